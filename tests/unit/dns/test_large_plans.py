"""More changes than octodns-bind sends at once, which are deletions first: no name that changes its
type is absent in between."""

from __future__ import annotations

from typing import Any

import dns.message
import dns.query
import dns.update
import pytest

from tests.unit.dns.fleets import CLUSTERS, WEB, World, running, service
from tests.unit.dns.fleets import understood as read
from tests.unit.dns.named import CREDENTIALS, ZONE, Named, federation

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:octodns_bind")

NAMES = [f"web-{number:03}" for number in range(270)]
LIMITS = "    thresholds: {deletePercent: 100, updatePercent: 100}"


def test_names_that_change_type_by_the_thousand_are_never_absent(
    named: Named, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifests = [WEB.replace("name: web", f"name: {name}") for name in NAMES]
    rules = federation(named.port).replace("    ttl: 60", LIMITS)
    before = {"aws-eu": running(*(service(name, "192.0.2.1") for name in NAMES))}
    hosts = [service(name, f"{name}.lb.example.net") for name in NAMES]
    after = {"aws-eu": running(*hosts)}
    world = World(read(rules, CLUSTERS, *manifests), before, CREDENTIALS)
    world.down = {"gcp-eu": "gone", "gcp-us": "gone"}
    world.settle()
    world.seen = after
    # Each record has a mark beside it, which changes with it.
    assert 2 * len(world.plan().changes) > 1000
    messages: list[set[str]] = []
    send = dns.query.tcp

    def sent(message: dns.message.Message, *given: Any, **more: Any) -> Any:
        answer = send(message, *given, **more)
        if isinstance(message, dns.update.UpdateMessage):
            there = {name for name, kind in named.transfer() if kind in ("A", "CNAME")}
            messages.append({name for name in NAMES if f"{name}.shop.{ZONE}" not in there})
        return answer

    monkeypatch.setattr(dns.query, "tcp", sent)
    world.settle()
    assert len(messages) > 1
    assert [absent for absent in messages if absent] == []
    assert named.answer(f"web-007.shop.{ZONE}", "CNAME") == ["web-007.lb.example.net."]
