"""Outages of whole clusters: grace, move, return; and what must not move anything."""

from __future__ import annotations

import pytest

from reconciler.api.errors import MemoryChanged
from reconciler.run.pipeline import apply_plan
from reconciler.state.memory import Phase
from tests.scenarios.failover_world import (
    FEDERATION,
    SHARES,
    WEB,
    FailoverWorld,
    real,
    simulated,
    world,
)

__all__ = ["real", "simulated", "world"]


OTHERS = ("gcp-eu", "gcp-us")


@pytest.mark.parametrize("outage", ["killed", "silent"])
def test_replicas_move_after_the_grace_period_and_return_without_a_dip(
    world: FailoverWorld, outage: str
) -> None:
    aws = world.hosts["aws-eu"]
    aws.stop() if outage == "killed" else aws.pause()
    for _ in range(3):
        result = world.run()
        assert not result.ok, "a cluster that could not be looked at is told by the exit code"
        assert world.counts(*OTHERS) == {"gcp-eu": 2, "gcp-us": 2}
    result = world.run()
    assert any("aws-eu counts as down from now on" in w for w in result.plan.warnings)
    assert world.counts(*OTHERS) == {"gcp-eu": 3, "gcp-us": 3}
    assert world.ready(*OTHERS) == 6
    (row,) = result.plan.workloads
    assert (row.before["aws-eu"], row.after["aws-eu"]) == (2, 0)
    assert not world.plan().has_changes

    aws.start() if outage == "killed" else aws.resume()
    for _ in range(4):
        assert world.counts() == {"aws-eu": 2, "gcp-eu": 3, "gcp-us": 3}, "it is left alone"
        world.run()
        assert world.ready() >= 6
    assert world.memory().clusters["aws-eu"].phase in (Phase.RETURNING, Phase.UP)
    for _ in range(3):
        world.run()
        assert world.ready() >= 6, "nobody gives up what nobody else carries"
    assert world.counts() == SHARES
    assert world.memory().clusters["aws-eu"].phase is Phase.UP
    result = world.run()
    assert result.ok
    assert not result.outcomes


def test_a_refused_credential_is_told_and_moves_nothing(world: FailoverWorld) -> None:
    world.refuse_credential("aws-eu")
    for _ in range(8):
        result = world.run()
    assert not result.ok
    (health, *_) = result.plan.health
    assert "credential was refused" in health.reason
    assert world.counts(*OTHERS) == {"gcp-eu": 2, "gcp-us": 2}
    assert world.memory().clusters["aws-eu"].phase is Phase.UP


def test_a_lost_memory_moves_nothing(world: FailoverWorld) -> None:
    world.hosts["aws-eu"].stop()
    for _ in range(4):
        world.run()
    assert world.counts(*OTHERS) == {"gcp-eu": 3, "gcp-us": 3}
    world.state.write_text("{damaged")
    result = world.run()
    assert any("is damaged" in warning for warning in result.plan.warnings)
    assert world.counts(*OTHERS) == {"gcp-eu": 3, "gcp-us": 3}
    world.state.unlink()
    for _ in range(5):
        world.run()
        assert world.counts(*OTHERS) == {"gcp-eu": 3, "gcp-us": 3}
    assert world.memory().clusters["aws-eu"].phase is Phase.DOWN


def test_when_most_look_down_nothing_moves(world: FailoverWorld) -> None:
    world.hosts["aws-eu"].stop()
    world.hosts["gcp-eu"].stop()
    for _ in range(6):
        result = world.run()
    assert any("may itself be cut off" in warning for warning in result.plan.warnings)
    assert world.counts("gcp-us") == {"gcp-us": 2}
    world.hosts["aws-eu"].start()
    world.hosts["gcp-eu"].start()
    world.run()
    assert world.counts() == SHARES


def test_a_plan_reads_the_memory_and_never_writes_it(world: FailoverWorld) -> None:
    before = world.state.read_bytes()
    world.hosts["aws-eu"].stop()
    for _ in range(6):
        world.now += 60
        world.plan()
    assert world.state.read_bytes() == before
    assert world.plan(simulate_outages=("cluster=gcp-eu",)).simulated_outages
    assert world.state.read_bytes() == before


def test_the_memory_may_lie_in_the_host_cluster(world: FailoverWorld) -> None:
    world.options |= {"state": "configmap", "host_context": "gcp-us"}
    assert world.run().ok
    text = world.kubectl(
        *("get", "configmap", "federation-shop-memory", "-n", "federation-system"),
        *("-o", "jsonpath={.data.memory\\.json}"),
        cluster="gcp-us",
    )
    assert '"known": true' in text
    # Somebody else's run changes it between this one's plan and its first write.
    world.hosts["aws-eu"].stop()
    prepared = world.prepare()
    world.run()
    with pytest.raises(MemoryChanged):
        apply_plan(prepared)


def test_a_git_change_during_an_outage_reaches_the_others_and_later_the_returned(
    world: FailoverWorld,
) -> None:
    world.hosts["aws-eu"].stop()
    for _ in range(4):
        world.run()
    world.write("web.yaml", WEB.replace("replicas: 6", "replicas: 9"))
    world.run()
    assert sum(world.counts(*OTHERS).values()) == 9
    world.hosts["aws-eu"].start()
    for _ in range(9):
        world.run()
        assert world.ready() >= 9
    assert world.counts() == {"aws-eu": 3, "gcp-eu": 3, "gcp-us": 3}


def test_returning_replicas_are_limited_per_run(world: FailoverWorld) -> None:
    world.write("federation.yaml", FEDERATION + "    failback: {maxMovesPerRun: 1}\n")
    world.hosts["aws-eu"].stop()
    for _ in range(4):
        world.run()
    world.hosts["aws-eu"].start()
    # What it ran is gone, as after a rebuilt cluster.
    world.kubectl("scale", "deployment/web", "-n", "shop", "--replicas=0", cluster="aws-eu")
    world.until_ready()
    grown = []
    for _ in range(10):
        world.run()
        grown.append(world.counts("aws-eu")["aws-eu"])
        assert world.ready() >= 6
    assert max(after - before for before, after in zip([0, *grown], grown, strict=False)) == 1
    assert world.counts() == SHARES
