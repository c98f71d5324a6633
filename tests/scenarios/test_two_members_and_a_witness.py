"""The smallest fleet that outlives a region: two members, and a third place that votes."""

from __future__ import annotations

from reconciler.state.memory import Phase
from tests.scenarios.failover_world import CLUSTERS
from tests.scenarios.seats_world import SeatsWorld, real, simulated

__all__ = ["real", "simulated"]

MEMBERS = ("aws-eu", "gcp-eu")


def begin(world: SeatsWorld) -> None:
    """``gcp-us`` only votes: no run is ever at it."""
    world.begin()
    world.write(
        "clusters.yaml", CLUSTERS.replace("provider: gcp, region: us-central1", "role: Witness")
    )
    for name in MEMBERS:
        assert world.run(at=name).ok
    assert world.counts(*MEMBERS) == dict.fromkeys(MEMBERS, 3)


def test_one_member_goes_down_and_the_other_carries_all_by_the_vote_of_the_witness(
    simulated: SeatsWorld,
) -> None:
    world = simulated
    begin(world)
    world.hosts["aws-eu"].stop()
    for _ in range(5):
        world.run(at="gcp-eu")
    assert world.memory().clusters["aws-eu"].phase is Phase.DOWN
    assert world.counts("gcp-eu") == {"gcp-eu": 6}


def test_without_the_witness_one_member_alone_writes_nothing(simulated: SeatsWorld) -> None:
    world = simulated
    begin(world)
    before = world.counts("gcp-eu")
    for name in ("aws-eu", "gcp-us"):
        world.hosts[name].stop()
    for _ in range(5):
        world.now += 60
        world.prepare_at("gcp-eu")
    assert world.counts("gcp-eu") == before
