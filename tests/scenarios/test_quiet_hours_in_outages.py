"""Moves while something is closed: what an outage asks for is written, and none gives up early."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.scenarios.failover_world import (
    CLUSTERS,
    FEDERATION,
    SHARES,
    WEB,
    FailoverWorld,
    real,
    simulated,
)

__all__ = ["real", "simulated"]

DAY = datetime(2026, 11, 30, 12, tzinfo=UTC).timestamp()
NIGHT = datetime(2026, 12, 1, 2, tzinfo=UTC).timestamp()
AT_NIGHT = (
    'maintenance: [{kind: Allow, schedule: "0 2 * * *", timeZone: Europe/Berlin, duration: 5h%s}]'
)


def with_rules(name: str, rules: str) -> str:
    """The clusters, one of them with these rules."""
    old = next(part for part in CLUSTERS.split("---\n") if f"name: {name}}}" in part)
    return CLUSTERS.replace(old, old.replace("spec: {", f"spec: {{{rules}, "))


@pytest.fixture(params=["simulated", pytest.param("real", marks=pytest.mark.integration)])
def world(request: pytest.FixtureRequest) -> FailoverWorld:
    world: FailoverWorld = request.getfixturevalue(request.param)
    world.now = DAY
    world.begin()
    return world


@pytest.mark.parametrize(
    "rules",
    [
        AT_NIGHT % "",
        "paused: true",
        'maintenance: [{kind: Deny, schedule: "0 0 * * *", duration: 20h}]',
    ],
)
def test_a_closed_cluster_takes_over_for_one_that_is_down(world: FailoverWorld, rules: str) -> None:
    # Something waits there, too, and does not come along.
    world.write("clusters.yaml", with_rules("gcp-eu", rules))
    world.write(
        "web.yaml", WEB.replace("labels: {app: web}}", "labels: {app: web, new: label}}", 1)
    )
    world.hosts["aws-eu"].stop()
    for _ in range(5):
        world.run()
    assert world.counts("gcp-eu", "gcp-us")["gcp-us"] == 3
    pods = world.get("deployment", "web", cluster="gcp-eu")["spec"]["template"]["metadata"]
    assert "new" not in pods["labels"]


def test_only_replicas_move_into_a_closed_cluster(world: FailoverWorld) -> None:
    world.write("clusters.yaml", with_rules("gcp-eu", AT_NIGHT % ""))
    world.hosts["aws-eu"].stop()
    for _ in range(5):
        world.run()
    assert world.counts("gcp-eu", "gcp-us") == {"gcp-eu": 3, "gcp-us": 3}
    world.hosts["aws-eu"].start()
    for _ in range(9):
        world.run()
    # What it has too much of, it gives up when it is open again.
    assert world.counts() == {"aws-eu": 2, "gcp-eu": 3, "gcp-us": 2}
    world.now = NIGHT
    world.run()
    assert world.counts() == SHARES


def test_a_window_may_say_that_not_even_failover_moves_are_written(world: FailoverWorld) -> None:
    world.write("clusters.yaml", with_rules("gcp-eu", AT_NIGHT % ", failover: false"))
    world.hosts["aws-eu"].stop()
    for _ in range(5):
        result = world.run()
    assert world.counts("gcp-eu", "gcp-us") == {"gcp-eu": 2, "gcp-us": 3}
    (change,) = next(c.changes for c in result.plan.clusters if c.name == "gcp-eu")
    assert change.waits == "waits until 2026-12-01 02:00 CET (Cluster gcp-eu: maintenance)"
    world.now = NIGHT
    world.run()
    assert world.counts("gcp-eu", "gcp-us") == {"gcp-eu": 3, "gcp-us": 3}


@pytest.mark.parametrize("shut", ["aws-eu", "gcp-us"])
def test_replicas_that_move_are_ready_somewhere_at_any_time(
    world: FailoverWorld, shut: str
) -> None:
    """From aws-eu to gcp-us, of which one is closed."""
    world.write("federation.yaml", FEDERATION.partition("  failover:")[0])
    world.write("clusters.yaml", with_rules(shut, AT_NIGHT % ""))
    world.write(
        "web.yaml",
        WEB.replace("clusterSelector: {}", "clusters: [gcp-eu, gcp-us]"),
    )
    for _ in range(4):
        assert world.run().ok
        assert world.ready() >= 6
    # aws-eu gives up no more than is ready elsewhere, and nothing while it is closed itself.
    expected = {"gcp-us": {"aws-eu": 1, "gcp-us": 2}, "aws-eu": {"aws-eu": 2, "gcp-us": 3}}
    assert world.counts("aws-eu", "gcp-us") == expected[shut]
    world.now = NIGHT
    for _ in range(4):
        assert world.run().ok
        assert world.ready(*(n for n in SHARES if world.exists("deployment", "web", n))) >= 6
    assert world.counts("gcp-eu", "gcp-us") == {"gcp-eu": 3, "gcp-us": 3}
    assert not world.exists("deployment", "web", cluster="aws-eu")
