"""How far a commit may go: by hand-made facts, and by histories at random."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from msgspec.structs import replace

from reconciler.federation.model import Gate, RolloutRules
from reconciler.report.rollout import headline, is_told
from reconciler.rollout.advance import (
    Advanced,
    Facts,
    Recorded,
    WaveTerms,
    Wellness,
    advance,
    rollout_view,
)
from reconciler.rollout.model import ClusterStep, RolloutEvent
from reconciler.state.memory import RolloutMemory, RolloutPhase
from tests.strategies import ROLLOUT_STEPS, RolloutStep

GATE = Gate("errors", "http://prometheus", "up", at_most=1.0)
WAVES = (
    WaveTerms("canary", ("a",), 1, soak=60.0),
    WaveTerms("eu", ("b", "c"), 1),
    WaveTerms("rest", ("d",), 1),
)
EVERY = "abcd"
RULES = RolloutRules((), progress_deadline=600.0)


@dataclass
class Fleet:
    """A fleet that applies what it is given at once; ``bad`` commits never become well."""

    waves: Sequence[WaveTerms] = WAVES
    rules: RolloutRules = RULES
    now: float = 1000.0
    newest: str = "one"
    memory: RolloutMemory | None = None
    bad: frozenset[str] = frozenset()
    failing: frozenset[str] = frozenset()
    same: frozenset[str] = frozenset()
    untouched: frozenset[str] = frozenset()
    down: frozenset[str] = frozenset()
    closed: Mapping[str, str] = field(default_factory=dict)
    shut: frozenset[str] = frozenset()
    """Clusters with a part of the commit that must not be written now."""
    recorded: dict[str, Recorded] = field(default_factory=dict)
    gate: str = ""
    unserved: str = ""
    gone: frozenset[str] = frozenset()
    """Commits that the branch has no more."""

    def facts(self) -> Facts:
        return Facts(
            self.newest,
            self.now,
            self.rules,
            waves=lambda _candidate, _stable: self.waves,
            changes=lambda commit, cluster, other: (
                commit != other and commit not in self.same and cluster not in self.untouched
            ),
            wellness=self.wellness,
            recorded={n: one for n, one in self.recorded.items() if n not in self.down},
            down=self.down,
            closed=self.closed,
            gates=lambda _candidate, _wave: self.gate,
            unserved=lambda _candidate, _stable: self.unserved,
            has_left=lambda _newest, earlier: earlier in self.gone,
        )

    def wellness(self, cluster: str, candidate: str) -> Wellness:
        if self.recorded.get(cluster, Recorded("")).commit != candidate:
            return Wellness("not applied there yet", closed=cluster in self.shut)
        failed = candidate in self.failing
        return Wellness("broken", failed) if failed or candidate in self.bad else Wellness()

    def run(self, newest: str = "", *, seconds: float = 60.0) -> Advanced:
        self.newest, self.now = newest or self.newest, self.now + seconds
        found = advance(self.memory, self.facts())
        self.memory = found.memory
        for name in EVERY:
            if name not in self.down | self.closed.keys() | self.shut:
                self.recorded[name] = Recorded(self.has(name), found.memory.stable)
        return found

    def has(self, cluster: str) -> str:
        assert self.memory is not None
        return self.memory.commits.get(cluster, self.memory.stable)

    def commits(self) -> str:
        """The commits of a, b, c and d, as ``two one one one``."""
        return " ".join(self.has(name) for name in EVERY)

    def steered(self, **changes: object) -> None:
        assert self.memory is not None
        self.memory = replace(self.memory, **changes)


def _settled(**more: object) -> Fleet:
    fleet = Fleet(**more)  # type: ignore[arg-type]
    fleet.run("one")
    return fleet


def _events(found: Advanced) -> list[str]:
    return [str(event) for event, _ in found.events]


def test_the_first_commit_reaches_all_at_once() -> None:
    fleet = Fleet()
    assert _events(fleet.run("one")) == []
    assert fleet.commits() == "one one one one"


@pytest.mark.parametrize(
    ("has", "stable"), [("one", "one"), ("zero", "one"), ("begun", "rules"), ("", "one")]
)
def test_the_first_rules_take_no_cluster_back_behind_what_was_begun_there(
    has: str, stable: str
) -> None:
    """``zero`` comes before what was applied last, ``begun`` after it: a run of it failed."""
    fleet = Fleet(newest="rules", recorded={"a": Recorded("one"), "b": Recorded(has)})
    facts = replace(
        fleet.facts(), applied="one", contains=lambda _, earlier: earlier in ("zero", "one")
    )
    assert advance(None, facts).memory.stable == stable


def test_a_commit_goes_wave_by_wave_and_soaks() -> None:
    fleet = _settled()
    assert _events(fleet.run("two")) == [RolloutEvent.STARTED]
    assert fleet.commits() == "two one one one"
    assert "left" in fleet.run(seconds=30).waits
    assert fleet.commits() == "two one one one"
    assert _events(fleet.run(seconds=61)) == [RolloutEvent.PROMOTED]
    assert fleet.commits() == "two two one one"  # maxConcurrent: one after the other
    fleet.run()
    assert fleet.commits() == "two two two one"
    fleet.run()
    assert fleet.commits() == "two two two two"
    assert _events(fleet.run()) == [RolloutEvent.PROMOTED, RolloutEvent.COMPLETED]
    assert fleet.memory == RolloutMemory(stable="two")


def test_a_cluster_that_becomes_unwell_soaks_anew() -> None:
    fleet = _settled()
    fleet.run("two")
    fleet.run(seconds=1)
    fleet.bad = frozenset({"two"})
    assert fleet.run(seconds=50).waits == "a: broken"
    fleet.bad = frozenset()
    fleet.run(seconds=30)
    assert fleet.run(seconds=59).memory.wave == 0
    assert fleet.run(seconds=2).memory.wave == 1


@pytest.mark.parametrize("on_failure", ["Hold", "Return"])
def test_no_progress_fails_the_wave(on_failure: str) -> None:
    rules = RolloutRules((), progress_deadline=600.0, on_failure=on_failure)  # type: ignore[arg-type]
    fleet = _settled(rules=rules, bad=frozenset({"two"}))
    fleet.run("two")
    assert fleet.run(seconds=600).memory.phase is RolloutPhase.PROGRESSING
    found = fleet.run(seconds=1)
    assert found.memory.phase is RolloutPhase.FAILED
    assert found.memory.reason == "wave 1, canary: no progress in 10m; a: broken"
    assert fleet.commits() == ("two" if on_failure == "Hold" else "one") + " one one one"
    assert (RolloutEvent.RETURNED in _events(found)) is (on_failure == "Return")
    fleet.bad = frozenset()
    for _ in range(9):
        fleet.run(seconds=700)
    assert fleet.commits() == ("two" if on_failure == "Hold" else "one") + " one one one"


def test_what_kstatus_counts_as_failed_fails_at_once() -> None:
    fleet = _settled(failing=frozenset({"two"}))
    fleet.run("two")
    assert fleet.run(seconds=1).memory.phase is RolloutPhase.FAILED


def test_a_fix_takes_the_place_of_what_failed_in_a_later_wave() -> None:
    fleet = _settled()
    fleet.run("two")
    fleet.run(seconds=1)
    fleet.run(seconds=61)
    assert fleet.commits() == "two two one one"
    fleet.failing = frozenset({"two"})
    fleet.run()
    assert _events(fleet.run("three")) == [RolloutEvent.STARTED]
    assert fleet.commits() == "three two one one"
    for _ in range(9):
        fleet.run(seconds=100)
    assert fleet.commits() == "three three three three"


@pytest.mark.parametrize(("queue", "then"), [("Latest", "three"), ("InOrder", "two")])
def test_a_newer_commit_in_the_first_wave(queue: str, then: str) -> None:
    fleet = _settled(rules=RolloutRules((), 600.0, queue=queue))  # type: ignore[arg-type]
    fleet.run("two")
    fleet.run("three")
    assert fleet.has("a") == then
    for _ in range(20):
        fleet.run(seconds=100)
    assert fleet.commits() == "three three three three"


def test_what_has_left_its_first_wave_is_not_replaced_there_as_rules_put_it_back() -> None:
    fleet = _settled()
    fleet.run("two")
    fleet.run()
    fleet.run(seconds=61)
    assert fleet.commits() == "two two one one"
    fleet.waves = (WaveTerms("lab", ("d",), 1, soak=600.0), *WAVES[:2])
    for _ in range(4):
        assert fleet.run("three").memory.candidate == "two"
        assert fleet.memory is not None
        assert fleet.memory.waiting == ("three",)


@pytest.mark.parametrize(("queue", "second"), [("Latest", "four"), ("InOrder", "three")])
def test_newer_commits_wait_past_the_first_wave(queue: str, second: str) -> None:
    fleet = _settled(rules=RolloutRules((), 600.0, queue=queue))  # type: ignore[arg-type]
    fleet.run("two")
    fleet.run(seconds=1)
    fleet.run(seconds=61)
    fleet.run("three")
    fleet.run("four")
    seen = []
    for _ in range(40):
        if fleet.has("a") not in seen:
            seen.append(fleet.has("a"))
        fleet.run(seconds=100)
    assert seen[:2] == ["two", second]
    assert fleet.commits() == "four four four four"


@pytest.mark.parametrize(
    ("newest", "gone", "waiting"),
    [("five", {"four"}, ("three", "five")), ("three", {"four"}, ("three",)), ("two", {}, ())],
)
def test_what_a_rewritten_branch_has_no_more_does_not_begin(
    newest: str, gone: set[str], waiting: tuple[str, ...]
) -> None:
    fleet = _settled(rules=RolloutRules((), 600.0, queue="InOrder"))
    fleet.run("two")
    fleet.run("three", seconds=1)
    fleet.run("four", seconds=1)
    assert fleet.memory is not None
    assert fleet.memory.waiting == ("three", "four")
    fleet.gone = frozenset(gone)
    assert fleet.run(newest, seconds=1).memory.waiting == waiting
    seen = set()
    for _ in range(40):
        fleet.run(seconds=100)
        seen.add(fleet.has("a"))
    assert seen == {"two", *waiting}
    assert fleet.commits() == " ".join([newest] * 4)


def test_a_branch_that_is_set_back_ends_it() -> None:
    fleet = _settled()
    fleet.run("two")
    assert _events(fleet.run("one")) == [RolloutEvent.ABORTED]
    assert fleet.memory == RolloutMemory(stable="one")


def test_a_refused_commit_does_not_begin_again() -> None:
    fleet = _settled()
    fleet.run("two")
    fleet.memory = RolloutMemory(stable="one", refused="two")
    found = fleet.run()
    view = rollout_view(found, fleet.facts())
    assert is_told(view), "or a user would wonder what becomes of the newest commit"
    assert headline(view).endswith("; two was aborted, and does not begin again")
    assert fleet.commits() == "one one one one"
    fleet.run("three")
    assert fleet.commits() == "three one one one"


def test_a_commit_that_changes_nothing_passes_in_one_run_without_a_word() -> None:
    fleet = _settled(same=frozenset({"two"}))
    found = fleet.run("two")
    assert (found.memory, found.events) == (RolloutMemory(stable="two"), ())


def test_a_revert_is_a_commit_that_the_clusters_of_the_failed_one_get_first() -> None:
    fleet = _settled(failing=frozenset({"two"}), same=frozenset({"revert"}))
    fleet.run("two")
    fleet.run()
    fleet.run("revert")
    assert fleet.has("a") == "revert"
    fleet.run()
    assert fleet.memory == RolloutMemory(stable="revert")


def test_a_cluster_that_is_down_neither_blocks_nor_counts_and_gets_what_is_stable_then() -> None:
    fleet = _settled(down=frozenset({"b"}))
    fleet.run("two")
    fleet.run(seconds=1)
    fleet.run(seconds=61)
    assert fleet.commits() == "two one two one"
    fleet.run()
    assert fleet.commits() == "two one two two"
    fleet.down = frozenset()
    assert fleet.has("b") == "one"
    fleet.run()
    assert fleet.commits() == "two two two two"


def test_a_wave_that_is_down_as_a_whole_proves_nothing_and_waits() -> None:
    """As long as it takes: nothing speaks against the commit, so it does not fail."""
    fleet = _settled(down=frozenset("a"))
    fleet.run("two")
    began = fleet.now
    for _ in range(3):
        assert fleet.run(seconds=5000).waits == (
            "a to come back, or a person: reconcile rollout promote"
        )
    assert fleet.commits() == "one one one one"
    assert fleet.memory
    assert fleet.memory.progress == began, "the alert must see that it stands"
    fleet.down = frozenset()
    fleet.run()
    assert fleet.commits() == "two one one one"
    fleet.run()
    fleet.run(seconds=61)
    assert fleet.commits() == "two two one one"


def test_a_person_promotes_what_a_wave_that_is_down_cannot_prove() -> None:
    fleet = _settled(down=frozenset("a"))
    fleet.run("two")
    fleet.steered(promoted=True)
    fleet.run()
    assert fleet.commits() == "one two one one"


def test_a_wave_of_which_the_last_one_goes_down_in_its_soak_waits_for_it() -> None:
    fleet = _settled()
    fleet.run("two")
    fleet.run(seconds=30)
    fleet.down = frozenset("a")
    for _ in range(3):
        fleet.run()
    assert fleet.commits() == "one one one one"
    fleet.down = frozenset()
    fleet.run()
    fleet.run()
    assert "left" in fleet.run(seconds=30).waits, "it soaks anew"


def test_a_later_wave_that_is_down_as_a_whole_is_left_as_the_one_before_has_proved_it() -> None:
    fleet = _settled(down=frozenset("bc"))
    fleet.run("two")
    fleet.run()
    found = fleet.run(seconds=61)
    assert fleet.commits() == "two one one two"
    assert [text for _, text in found.events][-1].endswith("(all that it changes there is down)")
    fleet.down = frozenset("bcd")
    found = fleet.run()
    assert fleet.memory == RolloutMemory(stable="two")
    assert found.events[-1][1] == "two is in every cluster but b, c, d, which get it later"


@pytest.mark.parametrize("terms", [{"manual": True}, {"gates": (GATE,)}])
def test_a_wave_that_is_down_as_a_whole_still_asks_its_person_and_gates(
    terms: dict[str, object],
) -> None:
    waves = (WAVES[0], replace(WAVES[1], soak=60.0, **terms), WAVES[2])
    fleet = _settled(waves=waves, down=frozenset("bc"))
    fleet.run("two")
    fleet.run()
    fleet.gate = "too many errors"
    found = fleet.run(seconds=61)
    assert fleet.commits() == "two one one one"
    assert found.waits in ("a person: reconcile rollout promote", "too many errors")
    fleet.gate = ""
    fleet.steered(promoted="manual" in terms)
    fleet.run()
    assert fleet.commits() == "two one one two", "and nobody is there to soak"


def test_what_proved_it_must_still_be_there() -> None:
    fleet = _settled()
    fleet.run("two")
    fleet.run()
    fleet.run(seconds=61)
    assert fleet.commits() == "two two one one"
    fleet.down = frozenset("abc")
    for _ in range(3):
        assert fleet.run().waits.startswith("one of b, c to come back")
    assert fleet.commits() == "one one one one"


def test_no_commit_gets_through_a_fleet_that_is_down() -> None:
    fleet = _settled(down=frozenset(EVERY))
    for _ in range(3):
        fleet.run("two")
    assert fleet.memory
    assert (fleet.memory.stable, fleet.memory.candidate) == ("one", "two")


def test_one_that_the_commit_does_not_change_proves_nothing_for_one_that_is_down() -> None:
    fleet = _settled(down=frozenset("b"), untouched=frozenset("ac"))
    fleet.run("two")
    fleet.run()
    assert fleet.run(seconds=61).waits.startswith("b to come back")
    assert fleet.has("d") == "one"
    fleet.untouched = frozenset("abc")
    fleet.run()
    assert fleet.has("d") == "two", "a wave that it does not change has nothing to prove"


def test_a_closed_cluster_waits_and_the_deadline_does_not_run() -> None:
    fleet = _settled(closed={"a": "waits until Monday"})
    fleet.run("two")
    found = fleet.run(seconds=500)
    for _ in range(5):
        before, found = found, fleet.run(seconds=500)
        assert found.waits == "a, which waits until Monday"
        assert found.memory == before.memory
    assert rollout_view(found, fleet.facts()).progress == fleet.now, "it stands as it must"
    fleet.closed = {}
    fleet.run()
    assert fleet.commits() == "two one one one"


@pytest.mark.parametrize("well", ["c", "b"])
def test_a_closed_cluster_does_not_stop_the_deadline_of_an_open_one(well: str) -> None:
    """Whether it has the commit already, or not yet."""
    fleet = _settled(waves=(WaveTerms("all", ("b", "c"), 2),), bad=frozenset({"two"}))
    if well == "c":
        fleet.closed = {"c": "waits until Monday"}
        fleet.run("two")
    else:
        fleet.run("two")
        fleet.closed = {"c": "waits until Monday"}
    assert fleet.run().waits == "b: broken"
    assert fleet.run(seconds=601).memory.phase is RolloutPhase.FAILED


def test_no_deadline_runs_while_a_part_of_the_commit_must_not_be_written() -> None:
    fleet = _settled(shut=frozenset("a"))
    fleet.run("two")
    for _ in range(3):
        assert fleet.run(seconds=5000).memory.phase is RolloutPhase.PROGRESSING
    fleet.shut = frozenset()
    # The first run of an open window sees what is to be written, long after the last run.
    assert fleet.run(seconds=5000).memory.phase is RolloutPhase.PROGRESSING
    assert fleet.run().waits.startswith("soak")
    fleet.bad = frozenset({"two"})
    fleet.run()
    assert fleet.run(seconds=601).memory.phase is RolloutPhase.FAILED


def test_promotion_leaves_a_wave_of_which_a_cluster_is_closed() -> None:
    """It has the commit as soon as it opens, and the report says so."""
    fleet = _settled()
    fleet.closed = {"a": "waits until Monday"}
    fleet.run("two")
    fleet.steered(promoted=True)
    found = fleet.run()
    assert fleet.commits() == "two two one one"
    view = rollout_view(found, fleet.facts())
    late = view.waves[0].clusters[0]
    assert (view.waves[0].state, late.step, late.why) == (
        *("done", ClusterStep.BEGUN),
        "waits until Monday",
    )
    while fleet.memory and fleet.memory.candidate:
        found = fleet.run()
    assert found.events[-1][1] == "two is in every cluster but a, which gets it later"
    assert fleet.has("a") == "two"


def test_what_was_not_well_when_it_was_promoted_is_not_called_well() -> None:
    fleet = _settled(bad=frozenset({"two"}))
    fleet.run("two")
    fleet.steered(promoted=True)

    def canary() -> tuple[object, ...]:
        view = rollout_view(fleet.run(), fleet.facts())
        one = view.waves[0].clusters[0]
        return view.waves[0].state, one.commit, one.step, one.why

    assert canary() == ("done", "two", ClusterStep.BEGUN, "broken")
    assert canary() == ("done", "two", ClusterStep.BEGUN, "broken")
    fleet.bad = frozenset()
    assert canary() == ("done", "two", ClusterStep.WELL, "")
    fleet.bad = frozenset({"two"})
    assert canary() == ("done", "two", ClusterStep.WELL, ""), "it is left, and has proved it"


def test_where_a_part_of_it_was_refused_it_is_not_said_to_be_everywhere() -> None:
    fleet = _settled(shut=frozenset("a"))
    for _ in range(8):
        found = fleet.run("two")
        if not found.memory.candidate:
            break
        fleet.steered(promoted=True)
    assert ("Completed", "two is in every cluster but a, which gets it later") in found.events


def test_all_at_once_does_not_open_what_is_closed() -> None:
    fleet = _settled(closed={"c": "waits until Monday"})
    fleet.run("two")
    fleet.steered(promoted=True, at_once=True)
    fleet.run()
    assert fleet.commits() == "two two one two"
    fleet.run(seconds=5000)
    assert fleet.run(seconds=5000).waits == "c, which waits until Monday"
    fleet.closed = {}
    fleet.run()
    fleet.run()
    assert fleet.memory == RolloutMemory(stable="two")


def test_gates_hold_up_a_wave_that_is_well_and_fail_it_in_the_end() -> None:
    fleet = _settled(waves=(replace(WAVES[0], gates=(GATE,)), *WAVES[1:]), gate="too many errors")
    fleet.run("two")
    assert fleet.run().waits == "too many errors"
    assert fleet.run(seconds=601).memory.phase is RolloutPhase.FAILED
    fleet.steered(phase=RolloutPhase.PROGRESSING, progress=fleet.now)
    fleet.gate = ""
    fleet.run()
    assert fleet.run(seconds=61).memory.wave == 1


def test_a_manual_wave_waits_for_a_person_for_as_long_as_it_takes() -> None:
    fleet = _settled(waves=(replace(WAVES[0], manual=True), *WAVES[1:]))
    fleet.run("two")
    fleet.run()
    found = fleet.run(seconds=5000)
    for _ in range(4):
        before, found = found, fleet.run(seconds=5000)
        assert "reconcile rollout promote" in found.waits
        assert found.memory == before.memory, "there is nothing to write, and no run to follow"
    view = rollout_view(found, fleet.facts())
    assert fleet.now - view.progress > 20_000, "the alert for rollouts that stand still"
    fleet.bad = frozenset({"two"})
    assert fleet.run().memory.phase is RolloutPhase.PROGRESSING, "its time begins with this"
    fleet.bad = frozenset()
    fleet.run()
    fleet.steered(promoted=True)
    fleet.run()
    assert fleet.commits() == "two two one one"


def test_what_a_person_promoted_is_no_wave_that_rules_put_in_front_of_it() -> None:
    fleet = _settled()
    fleet.run("two")
    fleet.run()
    fleet.run(seconds=61)
    assert fleet.commits() == "two two one one"
    fleet.steered(promoted=True)
    fleet.waves = (WaveTerms("lab", ("d",), 1, soak=60.0), *WAVES[:2])
    fleet.bad = frozenset({"two"})
    fleet.run()
    fleet.run()
    assert fleet.memory is not None
    assert (fleet.memory.wave, fleet.memory.promoted) == (0, False)
    assert fleet.commits() == "two two one two", "it is tried in the new wave, and goes no further"


def test_promotion_leaves_a_failed_wave() -> None:
    fleet = _settled(failing=frozenset({"two"}))
    fleet.run("two")
    fleet.run()
    fleet.steered(phase=RolloutPhase.PROGRESSING, promoted=True)
    fleet.run()
    assert fleet.commits() == "two two one one"


def test_all_at_once_is_one_wave_that_must_become_well() -> None:
    fleet = _settled()
    fleet.run("two")
    fleet.run(seconds=1)
    fleet.run(seconds=61)
    fleet.steered(promoted=True, at_once=True)
    fleet.run()
    assert fleet.commits() == "two two two two"
    assert fleet.memory is not None
    assert fleet.memory.candidate == "two"
    fleet.run()
    assert fleet.memory == RolloutMemory(stable="two")


def test_a_kind_that_a_later_cluster_does_not_serve_stops_it_before_the_first() -> None:
    fleet = _settled(unserved="d does not serve Widget in example.com/v2")
    found = fleet.run("two")
    assert found.memory.phase is RolloutPhase.FAILED
    assert fleet.commits() == "one one one one"


def test_a_person_promotes_past_a_kind_that_is_not_served() -> None:
    fleet = _settled(unserved="d does not serve Widget in example.com/v2")
    fleet.run("two")
    fleet.steered(phase=RolloutPhase.PROGRESSING, promoted=True, at_once=True)
    fleet.run()
    assert fleet.commits() == "two two two two"


def test_what_a_later_cluster_does_not_serve_counts_where_the_first_wave_is_empty() -> None:
    waves = (WaveTerms("canary", (), 1), *WAVES[1:])
    fleet = _settled(waves=waves, unserved="d does not serve Widget in example.com/v2")
    assert fleet.run("two").memory.phase is RolloutPhase.FAILED
    assert fleet.commits() == "one one one one"


@pytest.mark.parametrize("seen", ["a", "ab", "bc", "d"])
def test_a_lost_memory_does_not_take_what_some_clusters_have_for_what_all_have(seen: str) -> None:
    """The others do not answer, and keep what they have once they do."""
    fleet = _settled()
    fleet.run("two")
    fleet.run()
    fleet.run(seconds=61)
    assert fleet.commits() == "two two one one"
    fleet.memory, fleet.down = None, frozenset(EVERY) - frozenset(seen)
    found = fleet.run()
    assert found.memory.phase is RolloutPhase.HELD
    assert found.memory.stable == "one"
    fleet.down = frozenset()
    fleet.run()
    assert fleet.commits() == "two two one one"
    for _ in range(3):
        fleet.run(seconds=500)
    assert fleet.commits() == "two two one one"


def test_a_cluster_without_an_inventory_is_known_to_have_nothing() -> None:
    """So what all others have is what all had; the newest commit waits for a person."""
    fleet = _settled()
    fleet.recorded = dict.fromkeys("abc", Recorded("two", "one")) | {"d": Recorded("")}
    fleet.memory = None
    found = fleet.run("three")
    assert (found.memory.stable, found.memory.phase) == ("two", RolloutPhase.HELD)
    assert found.memory.unknown == ()
    assert fleet.commits() == "two two two two"


def test_a_lost_memory_goes_on_with_nothing_and_takes_nothing_back() -> None:
    fleet = _settled()
    fleet.run("two")
    fleet.memory = None
    found = fleet.run()
    assert found.memory.phase is RolloutPhase.HELD
    assert fleet.commits() == "two one one one"
    for _ in range(5):
        fleet.run(seconds=500)
    assert fleet.commits() == "two one one one"
    fleet.steered(phase=RolloutPhase.PROGRESSING, progress=fleet.now)
    for _ in range(9):
        fleet.run(seconds=100)
    assert fleet.commits() == "two two two two"


def test_a_lost_memory_does_not_begin_what_was_aborted() -> None:
    fleet = _settled()
    fleet.run("two")
    fleet.memory = RolloutMemory(stable="one", refused="two")
    fleet.run()
    fleet.memory = None
    fleet.run()
    assert fleet.commits() == "one one one one"
    assert fleet.memory
    assert fleet.memory.phase is RolloutPhase.HELD


def test_a_view_says_where_each_cluster_is() -> None:
    fleet = _settled()
    fleet.run("two")
    before = fleet.memory
    view = rollout_view(advance(before, fleet.facts()), fleet.facts())
    assert [wave.state for wave in view.waves] == ["current", "coming", "coming"]
    assert [c.step for wave in view.waves for c in wave.clusters] == [
        ClusterStep.WELL,
        *[ClusterStep.WAITS] * 3,
    ]


@given(ROLLOUT_STEPS)
def test_no_cluster_gets_what_the_waves_before_did_not_prove(steps: list[RolloutStep]) -> None:
    """Random commits, outages, failures and clocks; the fleet agrees once all is quiet."""
    fleet = _settled()
    proven: dict[str, set[str]] = {}
    was_down: dict[str, set[str]] = {}
    ran = 0
    for number, step in enumerate(steps):
        commit = f"c{number}" if step.commits else fleet.newest
        if step.commits and step.is_bad:
            fleet.bad |= {commit}
        fleet.down, fleet.closed = step.down, dict.fromkeys(step.closed, "closed")
        if step.forgets:
            fleet.memory = None
        before = {name: fleet.has(name) if fleet.memory else "" for name in EVERY}
        well = {
            name
            for name in EVERY
            if fleet.memory and not fleet.wellness(name, fleet.memory.candidate).why
        }
        fleet.run(commit, seconds=step.seconds)
        assert fleet.memory is not None
        ran += 1
        candidate = fleet.memory.candidate
        was_down.setdefault(candidate, set()).update(fleet.down)
        for name in well:
            proven.setdefault(before[name], set()).add(name)
        if not candidate or not any(before.values()):
            continue
        for index, terms in enumerate(WAVES):
            begun = [n for n in terms.clusters if fleet.has(n) == candidate != before[n]]
            so_far, earlier = proven.get(candidate, set()), WAVES[:index]
            names = {name for wave in earlier for name in wave.clusters}
            if begun and earlier:
                assert so_far & names, begun
                assert names <= so_far | was_down[candidate], begun
    assert ran == len(steps)
    fleet.down, fleet.closed, fleet.bad = frozenset(), {}, fleet.bad - {fleet.newest}
    for _ in range(30):
        if fleet.memory and fleet.memory.phase is RolloutPhase.HELD:
            fleet.steered(phase=RolloutPhase.PROGRESSING, progress=fleet.now)
        fleet.run("last", seconds=120)
    assert fleet.commits() == "last last last last"
