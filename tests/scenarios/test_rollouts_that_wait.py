"""What a rollout waits for besides its Pods: windows, and waves of which all clusters are down."""

from __future__ import annotations

from datetime import UTC, datetime

from reconciler.state.memory import RolloutPhase
from tests.scenarios.failover_world import CLUSTERS
from tests.scenarios.rollout_world import FIRST, LAST, SECOND, RolloutWorld, simulated, web

__all__ = ["simulated"]
OPENS = datetime(1970, 1, 12, 15, tzinfo=UTC).timestamp()
"""Some five quarters of an hour after these worlds begin."""
IN_SECOND = "gcp-eu}\nspec: {"
WINDOW = 'maintenance: [{kind: Allow, schedule: "0 15 * * *", duration: 8h}], '


def test_a_promoted_wave_is_left_and_its_closed_cluster_gets_the_commit_when_it_opens(
    simulated: RolloutWorld,
) -> None:
    world = simulated
    world.begin()
    closed = CLUSTERS.replace(IN_SECOND, f"{IN_SECOND}{WINDOW}")
    new = world.commit({"clusters.yaml": closed}, web=web("2"))
    with world.writes() as writes:
        for _ in range(16):
            world.run()
        assert world.versions() == {FIRST: "2", SECOND: "1", LAST: "1"}
        assert world.rollout.phase is RolloutPhase.PROGRESSING, "no deadline runs meanwhile"
        assert world.view().waves[1].waits.startswith(f"{SECOND}, which waits until 1970-01-12 15:")
        world.steer(promoted=True)
        for _ in range(3):
            world.run()
        assert world.versions() == {FIRST: "2", SECOND: "1", LAST: "2"}
        assert world.now < OPENS
    assert writes[SECOND] == []
    assert world.commits()[SECOND] == new
    world.now = OPENS
    for _ in range(4):
        world.run()
    assert world.versions() == {FIRST: "2", SECOND: "2", LAST: "2"}
    assert sum(world.shares().values()) == 6


def test_nobody_gets_a_commit_whose_first_wave_is_down(simulated: RolloutWorld) -> None:
    world = simulated
    world.begin()
    world.hosts[FIRST].stop()
    world.commit(web=web("2"))
    for _ in range(16):
        world.run()
        assert world.versions(SECOND, LAST) == {SECOND: "1", LAST: "1"}
    assert world.rollout.phase is RolloutPhase.PROGRESSING
    wave = world.view().waves[0]
    assert wave.waits == f"{FIRST} to come back, or a person: reconcile rollout promote"
    assert sum(world.shares(SECOND, LAST).values()) == 6, "failover goes on meanwhile"

    world.hosts[FIRST].start()
    world.run_until_stable(20)
    assert world.versions() == {FIRST: "2", SECOND: "2", LAST: "2"}


def test_a_person_promotes_past_a_first_wave_that_is_down(simulated: RolloutWorld) -> None:
    world = simulated
    world.begin()
    world.hosts[FIRST].stop()
    world.commit(web=web("2"))
    for _ in range(6):
        world.run()
    world.steer(promoted=True)
    world.run()
    assert world.versions(SECOND, LAST) == {SECOND: "2", LAST: "1"}
    world.run_until_stable()
    assert world.versions(SECOND, LAST) == {SECOND: "2", LAST: "2"}
    world.hosts[FIRST].start()
    for _ in range(6):
        world.run()
    assert world.versions(FIRST) == {FIRST: "2"}, "it gets what is stable by then"
