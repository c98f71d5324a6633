"""A run at a seat that sees no majority of the seats: it tells, alarms, and writes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pytest

from kubesim.cluster import LoggedRequest
from tests.chaos.world import is_write
from tests.scenarios.failover_world import NAMES
from tests.scenarios.seats_world import SeatsWorld, simulated
from tests.scenarios.test_killed_seats import furnish, start

__all__ = ["simulated"]


def writes(requests: Iterable[LoggedRequest]) -> list[LoggedRequest]:
    return [request for request in requests if is_write(request)]


@pytest.mark.parametrize("arguments", [(), ("--shard", "0/2", "--round", "r1")])
def test_the_command_plans_and_fails_and_sends_no_write_to_anybody(
    simulated: SeatsWorld, arguments: tuple[str, ...]
) -> None:
    furnish(simulated)
    for name in NAMES[1:]:
        simulated.hosts[name].stop()
    before = len(simulated.hosts["aws-eu"].requests)
    process = start(simulated, "aws-eu", "--events", "members", *arguments)
    said = process.communicate(timeout=120)[0].decode()
    assert process.returncode == 1, said
    assert "no majority" in said
    assert "Traceback" not in said
    assert writes(list(simulated.hosts["aws-eu"].requests)[before:]) == []


def test_a_seat_that_is_cut_off_stops_while_the_others_go_on(simulated: SeatsWorld) -> None:
    """The API servers all live; the cut-off seat reaches its own alone."""
    furnish(simulated)
    cut_off = simulated.kubeconfig.with_name("cut-off.kubeconfig")
    text = simulated.kubeconfig.read_text()
    for name in NAMES[1:]:
        text = text.replace(simulated.hosts[name].url, "https://127.0.0.1:9")
    cut_off.write_text(text)
    process = start(simulated, "aws-eu", kubeconfig=cut_off)
    said = process.communicate(timeout=120)[0].decode()
    assert process.returncode == 1, said
    assert not simulated.exists("configmap", "new", cluster="aws-eu")

    process = start(simulated, "gcp-eu")
    said = process.communicate(timeout=120)[0].decode()
    assert process.returncode == 0, said
    assert all(simulated.exists("configmap", "new", cluster=name) for name in NAMES)


def test_the_report_says_what_would_be_done_and_why_it_is_not(simulated: SeatsWorld) -> None:
    furnish(simulated)
    for name in NAMES[1:]:
        simulated.hosts[name].stop()
    file = simulated.repository.parent / "report.json"
    start(simulated, "aws-eu", "--report", str(file)).communicate(timeout=120)
    report = json.loads(file.read_text())
    actions = {c["name"]: c["action"] for one in report["clusters"] for c in one["changes"]}
    assert actions.get("new") == "create"
    assert any("no majority" in text for text in report["warnings"])
