"""Commits that reach the fleet in waves, on simulated clusters: those that are good, those that are
not, and what happens meanwhile."""

from __future__ import annotations

import os

import pytest

from reconciler.api.errors import GuardViolation
from reconciler.rollout.model import RolloutEvent
from reconciler.run.pipeline import apply_plan
from reconciler.state.memory import Phase, RolloutPhase
from tests.scenarios.failover_world import FEDERATION, NAMES, SHARES
from tests.scenarios.rollout_world import (
    BROKEN,
    FIRST,
    LAST,
    SECOND,
    RolloutWorld,
    config_map,
    rules,
    simulated,
    web,
)
from tests.unit.git.repositories import git

__all__ = ["simulated"]


@pytest.fixture
def world(simulated: RolloutWorld) -> RolloutWorld:
    """Everything is on the first commit."""
    simulated.begin()
    return simulated


def all_on(tag: str) -> dict[str, str]:
    return dict.fromkeys(NAMES, tag)


def test_a_good_commit_goes_wave_by_wave(world: RolloutWorld) -> None:
    new = world.commit(web=web("2"))
    seen = []
    for _ in range(8):
        world.run()
        if not seen or seen[-1] != world.versions():
            seen.append(world.versions())
        assert world.ready() == 6
    assert seen == [
        {FIRST: "2", SECOND: "1", LAST: "1"},
        {FIRST: "2", SECOND: "2", LAST: "1"},
        all_on("2"),
    ]
    assert world.rollout.stable == new
    assert not world.rollout.candidate
    with world.writes() as writes:
        assert world.run().ok
    assert not any(writes.values())


def test_a_bad_commit_stops_in_its_first_wave(world: RolloutWorld) -> None:
    stable = world.head
    with world.writes() as writes:
        bad = world.fail()
    assert writes[FIRST]
    assert not writes[SECOND]
    assert not writes[LAST]
    assert world.versions() == {FIRST: BROKEN, SECOND: "1", LAST: "1"}
    assert "no progress in 10m" in world.rollout.reason
    assert "canary" in world.rollout.reason
    assert world.commits() == {FIRST: bad, SECOND: stable, LAST: stable}
    with world.writes() as writes:
        for _ in range(3):
            world.run()
    assert not any(writes.values()), "it stays as it is, and costs no write"


def test_it_fails_no_earlier_than_its_deadline(world: RolloutWorld) -> None:
    world.commit(web=web(BROKEN))
    world.freeze()
    for minute in range(11):
        world.run()
        assert world.rollout.phase is RolloutPhase.PROGRESSING, minute
    world.run()
    assert world.rollout.phase is RolloutPhase.FAILED


def test_a_failed_commit_is_fixed_forward(world: RolloutWorld) -> None:
    world.fail()
    world.thaw()
    good = world.commit(web=web("3"))
    with world.writes() as writes:
        world.run()
    assert world.versions() == {FIRST: "3", SECOND: "1", LAST: "1"}
    assert not writes[SECOND]
    assert not writes[LAST]
    world.run_until_stable()
    assert world.versions() == all_on("3")
    assert world.commits() == dict.fromkeys(NAMES, good)


def test_a_failed_commit_is_reverted(world: RolloutWorld) -> None:
    world.fail()
    world.thaw()
    back = world.revert()
    with world.writes() as writes:
        result = world.run_until_stable()
    assert result.ok
    assert world.versions() == all_on("1")
    assert world.commits() == dict.fromkeys(NAMES, back)
    touched = {line for name in (SECOND, LAST) for line in writes[name]}
    assert not [line for line in touched if "/shop/" in line], "nothing changes there"


def test_a_branch_that_is_set_back_ends_the_candidate(world: RolloutWorld) -> None:
    stable = world.head
    world.fail()
    world.thaw()
    git(world.repository, "reset", "-q", "--hard", stable)
    world.options["allow_rollback"] = True
    result = world.run()
    assert result.plan.rollout
    assert [event for event, _ in result.plan.rollout.events] == [RolloutEvent.ABORTED]
    assert world.versions() == all_on("1")
    assert world.commits() == dict.fromkeys(NAMES, stable)


def test_a_failed_wave_returns_where_the_rules_say_so(simulated: RolloutWorld) -> None:
    world = simulated
    world.begin(federation=rules(onFailure="Return"))
    stable = world.head
    bad = world.fail()
    world.thaw()
    world.run()
    assert world.versions() == all_on("1")
    assert world.commits() == dict.fromkeys(NAMES, stable)
    assert world.rollout.candidate == bad
    with world.writes() as writes:
        for _ in range(3):
            world.run()
    assert not any(writes.values()), "it is not tried again by itself"
    world.commit(web=web("3"))
    world.run_until_stable()
    assert world.versions() == all_on("3")


def test_a_newer_commit_replaces_one_in_its_first_wave(world: RolloutWorld) -> None:
    world.commit(web=web(BROKEN))
    world.freeze()
    world.run()
    newer = world.commit(web=web("3"))
    world.thaw()
    world.run()
    assert world.rollout.candidate == newer
    assert world.versions() == {FIRST: "3", SECOND: "1", LAST: "1"}
    world.run_until_stable()
    assert world.versions() == all_on("3")


def test_a_newer_commit_waits_for_one_that_has_left_its_first_wave(world: RolloutWorld) -> None:
    older = world.commit(web=web("2"))
    world.run()
    world.run()
    assert world.versions() == {FIRST: "2", SECOND: "2", LAST: "1"}
    passed_over = world.commit(web=web("3"))
    newest = world.commit(web=web("4"))
    world.run()
    assert world.rollout.candidate in (older, newest)
    seen = [world.versions()]
    for _ in range(8):
        world.run()
        seen.append(world.versions())
    assert all("3" not in one.values() for one in seen), "nobody got the one in between"
    assert world.commits() == dict.fromkeys(NAMES, newest)
    assert passed_over not in world.rollout.waiting


def test_in_order_every_commit_goes_its_whole_way(simulated: RolloutWorld) -> None:
    world = simulated
    world.begin(federation=rules(queue="InOrder"))
    world.commit(web=web("2"))
    world.run()
    world.commit(web=web("3"))
    world.run()
    world.commit(web=web("4"))
    seen: list[dict[str, str]] = [world.versions()]
    for _ in range(14):
        world.run()
        if seen[-1] != world.versions():
            seen.append(world.versions())
    assert world.versions() == all_on("4")
    for tag, before in (("3", "2"), ("4", "3")):
        first = next(one for one in seen if one[FIRST] == tag)
        assert first == {FIRST: tag, SECOND: before, LAST: before}, seen
    assert not world.rollout.waiting


def test_a_commit_that_a_rewritten_branch_has_no_more_does_not_begin(
    simulated: RolloutWorld,
) -> None:
    world = simulated
    world.begin(federation=rules(queue="InOrder"))
    world.options["allow_rollback"] = True
    for tag in ("2", "3", "4"):
        world.commit(web=web(tag))
        world.run()
    third, fourth = git(world.repository, "rev-parse", "HEAD~1", "HEAD").split()
    assert world.rollout.waiting == (third, fourth)
    git(world.repository, "reset", "--hard", "-q", third)
    fifth = world.commit(web=web("5"))
    seen = set()
    for _ in range(14):
        world.run()
        seen |= set(world.versions().values())
        assert fourth not in world.rollout.waiting
    assert seen == {"2", "3", "5"}
    assert world.rollout.stable == fifth


def test_a_cluster_lost_in_its_wave_neither_blocks_nor_counts(world: RolloutWorld) -> None:
    stable = world.head
    world.commit(web=web("2"))
    world.run()
    world.hosts[SECOND].stop()
    for _ in range(8):
        world.run()
    assert world.memory().clusters[SECOND].phase is Phase.DOWN
    assert world.versions(FIRST, LAST) == {FIRST: "2", LAST: "2"}
    assert world.rollout.stable != stable, "it went on without it"
    assert world.ready(FIRST, LAST) == 6
    world.hosts[SECOND].start()
    for _ in range(9):
        world.run()
        assert world.ready() >= 6
    assert world.versions() == all_on("2")
    assert world.shares() == SHARES


def test_a_lost_cluster_gets_what_is_stable_when_it_returns(world: RolloutWorld) -> None:
    stable = world.head
    world.fail()
    world.thaw()
    world.hosts[FIRST].stop()
    for _ in range(5):
        world.run()
    assert world.memory().clusters[FIRST].phase is Phase.DOWN
    assert world.commits()[FIRST] == stable
    world.hosts[FIRST].start()
    for _ in range(9):
        world.run()
    assert world.versions() == all_on("1")


def test_failover_goes_on_while_a_rollout_stands(world: RolloutWorld) -> None:
    world.commit(web=web("2"))
    world.run()
    world.steer(phase=RolloutPhase.HELD, reason="somebody wants to look")
    assert world.versions() == {FIRST: "2", SECOND: "1", LAST: "1"}
    world.hosts[LAST].stop()
    for _ in range(5):
        world.run()
    assert world.shares(FIRST, SECOND) == {FIRST: 3, SECOND: 3}
    assert world.versions(FIRST, SECOND) == {FIRST: "2", SECOND: "1"}
    assert world.ready(FIRST, SECOND) == 6
    world.hosts[LAST].start()
    for _ in range(9):
        world.run()
        assert world.ready() >= 6
    assert world.shares() == SHARES
    assert world.versions() == {FIRST: "2", SECOND: "1", LAST: "1"}


@pytest.mark.parametrize("total", [3, 12])
def test_a_divided_workload_keeps_the_smaller_sum(world: RolloutWorld, total: int) -> None:
    world.commit(web=web("2", total=total))
    for _ in range(8):
        world.run()
        assert sum(world.shares().values()) >= min(6, total), world.shares()
        assert sum(world.shares().values()) <= max(6, total), world.shares()
    assert sum(world.shares().values()) == total
    assert world.versions() == all_on("2")


def test_what_moves_from_a_later_wave_to_an_earlier_one_is_never_nowhere(
    simulated: RolloutWorld,
) -> None:
    moves_between(simulated, LAST, FIRST)


def test_what_moves_from_an_earlier_wave_to_a_later_one_is_never_nowhere(
    simulated: RolloutWorld,
) -> None:
    moves_between(simulated, FIRST, LAST)


def moves_between(world: RolloutWorld, here: str, there: str) -> None:
    placement = """
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {name: web}
spec:
  select: [{kind: Deployment, name: web}]
  clusters: [%s]
"""
    text = web("1").rpartition("---")[0] + "---"
    world.begin(text + placement % here)
    assert world.shares() == {here: 6}
    world.commit(web=text + placement % there)
    for _ in range(10):
        world.run()
        assert world.ready() >= 6, world.shares()
    assert world.shares() == {there: 6}


def test_prunes_follow_the_wave_of_their_cluster(world: RolloutWorld) -> None:
    world.commit({"old.yaml": config_map("old", a="b")})
    world.run_until_stable()
    assert all(world.find(name, "ConfigMap", "old") for name in NAMES)
    (world.repository / "old.yaml").unlink()
    world.commit()
    seen = []
    for _ in range(5):
        world.run()
        seen.append([n for n in NAMES if world.find(n, "ConfigMap", "old")])
    assert seen[0] == [SECOND, LAST]
    assert seen[-1] == []
    assert sorted(seen, key=len, reverse=True) == seen


def test_drift_is_repaired_to_each_clusters_own_commit(world: RolloutWorld) -> None:
    world.fail()
    world.thaw()
    for name, tag in ((FIRST, BROKEN), (SECOND, "1")):
        patch = {
            "spec": {
                "template": {
                    "spec": {
                        "containers": [{"name": "web", "image": "registry.invalid/web:by-hand"}]
                    }
                }
            }
        }
        world.hosts[name].apply(
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"name": "web", "namespace": "shop"},
                **patch,
            },
            force=True,
        )
        assert world.versions(name) == {name: "by-hand"}
        world.run()
        assert world.versions(name) == {name: tag}
    assert world.rollout.phase is RolloutPhase.FAILED
    written = {w.cluster.name: w.observation.inventory.commit for w in world.prepare().works}
    assert written == world.commits(), "as reconcile clusters tells it"


NOWHERE = """---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {name: settings}
spec:
  select: [{kind: ConfigMap, name: settings}]
  clusterSelector: {matchLabels: {no-cluster: has-this}}
"""


def test_what_a_commit_places_nowhere_by_mistake_is_not_pruned_in_its_first_wave(
    world: RolloutWorld,
) -> None:
    settings = config_map("settings", a="b")
    world.commit({"settings.yaml": settings})
    world.run_until_stable()
    world.commit({"settings.yaml": settings + NOWHERE})
    with pytest.raises(GuardViolation, match="no longer placed anywhere: ConfigMap shop/settings"):
        world.run()
    assert all(world.find(name, "ConfigMap", "settings") for name in NAMES)
    world.commit({"settings.yaml": config_map("settings", a="c")})
    world.run_until_stable()
    assert all(world.find(name, "ConfigMap", "settings")["data"] == {"a": "c"} for name in NAMES)


@pytest.mark.parametrize("lost", ["deleted", "damaged"])
def test_a_lost_memory_starts_nothing(world: RolloutWorld, lost: str) -> None:
    stable = world.head
    new = world.commit(web=web("2"))
    world.run()
    assert world.versions() == {FIRST: "2", SECOND: "1", LAST: "1"}
    world.state.unlink() if lost == "deleted" else world.state.write_text("{damaged")
    with world.writes() as writes:
        for _ in range(4):
            world.run()
    assert not any(writes.values())
    assert world.rollout.phase is RolloutPhase.HELD
    assert world.commits() == {FIRST: new, SECOND: stable, LAST: stable}
    world.steer(phase=RolloutPhase.PROGRESSING, reason="", progress=world.now)
    world.run_until_stable()
    assert world.versions() == all_on("2")


def test_a_lost_memory_and_a_newer_commit_start_nothing(world: RolloutWorld) -> None:
    stable = world.head
    old = world.commit(web=web("2"))
    world.run()
    world.state.unlink()
    world.commit(web=web("3"))
    with world.writes() as writes:
        for _ in range(3):
            world.run()
    assert not any(writes.values())
    assert world.commits() == {FIRST: old, SECOND: stable, LAST: stable}


def test_a_lost_memory_after_the_last_commit_holds_a_new_one(world: RolloutWorld) -> None:
    world.commit(web=web("2"))
    world.run_until_stable()
    world.state.unlink()
    world.commit(web=web(BROKEN))
    with world.writes() as writes:
        for _ in range(3):
            world.run()
    assert not any(writes.values()), "nobody knows that it may begin"
    assert world.versions() == all_on("2")


STEP = 1 if os.environ.get("RECONCILER_FAULTS", "") == "all" else 2
"""``make faults`` tries each write, the others every second one."""


class Killed(BaseException):
    """Stands for SIGKILL: nobody catches it, nothing is cleaned up."""


def killed_after(world: RolloutWorld, writes: int) -> bool:
    """A run that dies at one of its writes; False: it had no more than ``writes``."""
    world.now += 60
    prepared = world.prepare()
    left = [writes]

    def fence() -> None:
        if not left[0]:
            raise Killed
        left[0] -= 1

    for work in prepared.works:
        work.member.fence = fence
    try:
        apply_plan(prepared)
    except Killed:
        return True
    return False


@pytest.mark.parametrize("writes", range(0, 6, STEP))
@pytest.mark.parametrize("of", ["first", "second", "last"])
def test_a_run_killed_at_any_write_puts_no_cluster_ahead_of_its_wave(
    world: RolloutWorld, of: str, writes: int
) -> None:
    new = world.commit({"more.yaml": config_map("more", a="b")}, web=web("2"))
    runs = {"first": 0, "second": 1, "last": 2}[of]
    for _ in range(runs):
        world.run()
    killed_after(world, writes)
    world.settle()
    allowed = NAMES[: runs + 1]
    for name in NAMES:
        if name not in allowed:
            assert world.versions(name) == {name: "1"}
            assert world.find(name, "ConfigMap", "more") is None
    seen = []
    for _ in range(6):
        world.run()
        seen.append(world.versions())
        for name, before in zip(NAMES[1:], NAMES, strict=False):
            assert not (seen[-1][name] == "2" and seen[-1][before] == "1")
        assert world.ready() >= 6
    assert world.commits() == dict.fromkeys(NAMES, new)
    assert seen[-1] == all_on("2")
    assert all(world.find(name, "ConfigMap", "more") for name in NAMES)


def test_a_plan_shows_the_road_and_changes_nothing(world: RolloutWorld) -> None:
    world.commit(web=web("2"))
    before = world.state.read_bytes()
    with world.writes() as writes:
        view = world.view()
    assert not any(writes.values())
    assert world.state.read_bytes() == before
    assert [wave.state for wave in view.waves] == ["current", "coming", "coming"]
    assert [dict(c.changes) for wave in view.waves for c in wave.clusters] == [{"update": 1}] * 3


def test_a_soak_is_waited_for(simulated: RolloutWorld) -> None:
    world = simulated
    world.begin(federation=rules(wave="soak: 5m"))
    world.commit(web=web("2"))
    world.run()
    for _ in range(5):
        world.run()
        assert world.versions() == {FIRST: "2", SECOND: "1", LAST: "1"}
    world.run()
    assert world.versions() == {FIRST: "2", SECOND: "2", LAST: "1"}


def test_a_wave_that_becomes_unwell_soaks_anew(simulated: RolloutWorld) -> None:
    world = simulated
    world.begin(federation=rules(wave="soak: 5m"))
    world.commit(web=web("2"))
    for _ in range(4):
        world.run()
    world.hosts[FIRST].set_ready_nodes(0)
    world.hosts[FIRST].controllers.settle_all()
    world.wait_for_pods = lambda: None
    world.run()
    world.run()
    assert not world.rollout.well
    world.hosts[FIRST].set_ready_nodes(2)
    world.wait_for_pods = world.settle
    world.settle()
    for _ in range(5):
        world.run()
        assert world.versions()[SECOND] == "1"
    for _ in range(2):
        world.run()
    assert world.versions()[SECOND] == "2"


def test_a_wave_that_grows_meanwhile_is_not_left_before_all_of_it_is_well(
    world: RolloutWorld,
) -> None:
    world.commit(web=web("2"))
    world.freeze(SECOND)
    world.run()
    world.run()
    assert world.versions() == {FIRST: "2", SECOND: "2", LAST: "1"}
    merged = rules(waves=(f"{FIRST}, {SECOND}", LAST))
    with world.writes() as writes:
        world.commit({"federation.yaml": merged})
        for _ in range(3):
            world.run()
    assert world.versions() == {FIRST: "2", SECOND: "2", LAST: "1"}, "the second is not well yet"
    assert not writes[LAST]
    world.thaw()
    world.run_until_stable()
    assert world.versions() == all_on("2")


def test_a_cluster_that_moves_to_an_earlier_wave_is_not_passed_over(world: RolloutWorld) -> None:
    new = world.commit(web=web("2"))
    world.freeze(SECOND)
    world.run()
    world.run()
    world.commit({"federation.yaml": rules(waves=(f"{FIRST}, {LAST}", SECOND), queue="InOrder")})
    world.run()
    assert world.versions() == all_on("2")
    assert world.rollout.candidate == new, "it is to become well in the last one as well"
    world.freeze(LAST)
    world.thaw()


def test_without_rules_a_commit_goes_everywhere_at_once(simulated: RolloutWorld) -> None:
    world = simulated
    world.begin(federation=FEDERATION + "  rollout: {waves: [{name: all}]}\n")
    world.commit(web=web("2"))
    world.run()
    assert world.versions() == all_on("2")
