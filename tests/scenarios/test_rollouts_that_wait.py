"""What a rollout waits for besides its Pods: windows, and waves of which all clusters are down."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime

from reconciler.api.errors import GuardViolation
from reconciler.state.memory import RolloutPhase
from tests.scenarios.failover_world import CLUSTERS, FEDERATION, NAMES
from tests.scenarios.rollout_world import (
    FIRST,
    LAST,
    SECOND,
    RolloutWorld,
    config_map,
    rules,
    simulated,
    web,
)

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


def at_the_window(tag: str) -> str:
    """The workload, whose Placement is open at the window only."""
    terms = "replicas: {mode: Divided}"
    return web(tag).replace(terms, f"{terms}\n  {WINDOW.rstrip(', ')}")


def test_what_must_not_be_written_yet_proves_nothing(simulated: RolloutWorld) -> None:
    """The window of a Placement: until it opens, no cluster has the commit; then one after the
    other gets it."""
    world = simulated
    world.begin()
    world.commit({"settings.yaml": config_map("settings", a="b")}, web=at_the_window("2"))
    for _ in range(16):
        world.run()
    assert world.rollout.phase is RolloutPhase.PROGRESSING, "no deadline runs meanwhile"
    assert world.find(FIRST, "ConfigMap", "settings"), "what is open is written"
    assert not world.find(SECOND, "ConfigMap", "settings")
    assert "waits until 1970-01-12 15:00" in world.view().waves[0].waits
    world.now = OPENS
    world.run()
    assert world.versions() == {FIRST: "2", SECOND: "1", LAST: "1"}
    world.run()
    world.run_until_stable()
    assert world.versions() == dict.fromkeys(NAMES, "2")


def test_what_waits_since_an_earlier_commit_holds_up_no_other(simulated: RolloutWorld) -> None:
    world = simulated
    world.begin()
    old = world.commit(web=at_the_window("2"))
    for _ in range(8):
        if world.rollout.candidate:
            world.steer(promoted=True)
        world.run()
    assert world.rollout.stable == old
    assert world.versions() == dict.fromkeys(NAMES, "1")
    new = world.commit({"settings.yaml": config_map("settings", a="b")})
    world.run()
    world.run_until_stable(6)
    assert world.rollout.stable == new
    assert world.now < OPENS
    assert world.versions() == dict.fromkeys(NAMES, "1")


def test_a_window_that_leaves_git_leaves_each_cluster_with_its_own_commit(
    simulated: RolloutWorld,
) -> None:
    """What waited for the window until then would else be written everywhere in the first wave."""
    world = simulated
    world.begin()
    world.commit(web=at_the_window("2"))
    world.run()
    world.steer(promoted=True, at_once=True)
    world.run()
    assert world.versions() == dict.fromkeys(NAMES, "1"), "all have that commit, and wait"
    world.commit(web=web("2"))
    world.run()
    assert world.versions() == {FIRST: "2", SECOND: "1", LAST: "1"}
    world.run()
    assert world.versions() == {FIRST: "2", SECOND: "2", LAST: "1"}
    world.run_until_stable(6)
    assert world.now < OPENS
    assert world.versions() == dict.fromkeys(NAMES, "2")


def test_a_window_that_comes_with_a_commit_closes_no_cluster_that_has_not_got_it(
    simulated: RolloutWorld,
) -> None:
    world = simulated
    world.begin()
    world.commit(web=at_the_window("2"))
    world.run()
    for name in (FIRST, SECOND):
        containers = [{"name": "web", "image": "registry.invalid/web:by-hand"}]
        world.hosts[name].apply(
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"name": "web", "namespace": "shop"},
                "spec": {"template": {"spec": {"containers": containers}}},
            },
            force=True,
        )
    world.run()
    assert world.versions() == {FIRST: "by-hand", SECOND: "1", LAST: "1"}


def test_what_a_guard_stops_proves_nothing_by_what_an_outage_asks_for(
    simulated: RolloutWorld,
) -> None:
    """Only the failover's part is written past a guard: the commit has not arrived by that."""
    world = simulated
    names = [f"old-{number}" for number in range(8)]
    documents = "---\n".join(config_map(name) for name in names)
    world.begin(federation=rules(FEDERATION + "  guards: {maxDeletions: 1}\n"))
    world.commit({"old.yaml": documents, "settings.yaml": config_map("settings", a="a")})
    world.run_until_stable()
    (world.repository / "old.yaml").unlink()
    new = world.commit({"settings.yaml": config_map("settings", a="b")})
    for number in range(7):
        if number == 1:
            world.hosts[LAST].stop()
        world.now += 60
        with contextlib.suppress(GuardViolation):
            world.apply()
        world.settle()
    assert world.shares(FIRST, SECOND) == {FIRST: 3, SECOND: 3}, "failover goes on"
    assert world.find(FIRST, "ConfigMap", "settings")["data"] == {"a": "a"}
    assert new not in (world.commits()[SECOND], world.rollout.stable)
