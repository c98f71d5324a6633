"""More changes than octodns-bind sends at once, which are deletions first: no name that changes its
type is absent in between."""

from __future__ import annotations

import threading

import pytest

from tests.dns.fleets import CLUSTERS, WEB, World, running, service
from tests.dns.fleets import understood as read
from tests.dns.named import CREDENTIALS, ZONE, Named, federation

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:octodns_bind")

NAMES = [f"web-{number:03}" for number in range(270)]
LIMITS = "    thresholds: {deletePercent: 100, updatePercent: 100}"


def test_names_that_change_type_by_the_thousand_are_never_absent(named: Named) -> None:
    manifests = [WEB.replace("name: web", f"name: {name}") for name in NAMES]
    rules = federation(named.port).replace("    ttl: 60", LIMITS)
    before = {"aws-eu": running(*(service(name, "192.0.2.1") for name in NAMES))}
    hosts = [service(name, f"{name}.lb.example.net") for name in NAMES]
    after = {"aws-eu": running(*hosts)}
    world = World(read(rules, CLUSTERS, *manifests), before, CREDENTIALS)
    world.down = {"gcp-eu": "gone", "gcp-us": "gone"}
    world.settle()
    gone: list[str] = []
    looks: list[int] = []
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            # A transfer is of one state of the zone.
            there = {name for name, kind in named.transfer() if kind in ("A", "CNAME")}
            gone.extend(name for name in NAMES if f"{name}.shop.{ZONE}" not in there)
            looks.append(len(there))

    world.seen = after
    plan = world.plan()
    # Each record has a mark beside it, which changes with it.
    assert 2 * len(plan.changes) > 1000
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        world.settle()
    finally:
        done.set()
        watcher.join()
    assert len(looks) > 3
    assert gone == []
    assert named.answer(f"web-007.shop.{ZONE}", "CNAME") == ["web-007.lb.example.net."]
