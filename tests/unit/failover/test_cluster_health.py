"""What is remembered and told of each cluster, to the second and to the word.

Histories of many runs, told and random, are in ``test_decision``.
"""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from reconciler.api.durations import duration_words
from reconciler.failover.cluster_health import (
    ClusterHealth,
    HealthDecision,
    Transition,
    decide_cluster_health,
    limit_of,
    settle,
)
from reconciler.failover.probe import Diagnosis, Finding, Nodes, Probe, Signal, text_diagnosis
from reconciler.federation.model import FailoverRules
from reconciler.state.memory import ClusterMemory, Phase

RULES = FailoverRules(
    enabled=True,
    unhealthy_after=180,
    healthy_after=300,
    max_unhealthy=1,
    max_unhealthy_is_share=False,
)
NOW = 1_000_000.0
WELL = [Probe("b", Signal.HEALTHY), Probe("c", Signal.HEALTHY)]
KNOWN = ClusterMemory(known=True)
ILL = Probe("a", Signal.UNHEALTHY, text_diagnosis("timeout"))
BACK = Probe("a", Signal.HEALTHY)
UNSURE = Probe("a", Signal.UNKNOWN, text_diagnosis("401"))
DOWN = ClusterMemory(Phase.DOWN, since=5.0, reason="timeout", outages=2, known=True)


def decide(
    probe: Probe,
    memory: ClusterMemory = KNOWN,
    rules: FailoverRules = RULES,
    others: list[Probe] = WELL,
    **more: ClusterMemory,
) -> HealthDecision:
    """One run, in which ``a`` answers so."""
    before = {"a": memory, **dict.fromkeys("bc", KNOWN), **more}
    return decide_cluster_health(rules, before, [probe, *others], NOW)


def remembered(decision: HealthDecision, name: str = "a") -> ClusterMemory:
    return decision.memory[name]


def health(decision: HealthDecision) -> ClusterHealth:
    return next(one for one in decision.health if one.cluster == "a")


# -- what is remembered ----------------------------------------------------------------------------


def test_the_first_bad_probe_begins_a_streak_of_no_length() -> None:
    one = remembered(decide(ILL))
    assert (one.phase, one.streak, one.seen, one.reason) == (Phase.UP, 0.0, NOW, "timeout")


@pytest.mark.parametrize(
    ("gap", "counts"), [(60.0, 60.0), (89.0, 89.0), (91.0, 90.0), (7200.0, 90.0), (-60.0, 0.0)]
)
def test_of_the_time_between_two_runs_at_most_half_the_grace_period_counts(
    gap: float, counts: float
) -> None:
    before = replace(KNOWN, streak=10.0, seen=NOW - gap)
    assert remembered(decide(ILL, before)).streak == 10.0 + counts
    down = replace(DOWN, streak=10.0, seen=NOW - gap)
    assert remembered(decide(BACK, down)).streak == 10.0 + (150.0 if gap > 150 else max(0.0, gap))


def test_a_streak_ends_with_a_good_probe_or_one_that_cannot_tell() -> None:
    before = replace(KNOWN, streak=100.0, seen=NOW - 60, reason="timeout")
    well, unsure = remembered(decide(BACK, before)), remembered(decide(UNSURE, before))
    assert (well.streak, well.seen, well.reason) == (0.0, 0.0, "")
    assert (unsure.streak, unsure.seen, unsure.reason) == (0.0, 0.0, "timeout")


@pytest.mark.parametrize("probe", [ILL, UNSURE, BACK])
def test_one_that_is_down_keeps_the_reason_for_which_it_was_declared(probe: Probe) -> None:
    other = replace(probe, diagnosis=text_diagnosis("something else"))
    assert remembered(decide(other, DOWN)).reason == "timeout"


@pytest.mark.parametrize(("streak", "down"), [(179.0, False), (180.0, True)])
def test_it_counts_as_down_from_the_very_second_on(streak: float, down: bool) -> None:
    before = replace(KNOWN, streak=streak, seen=NOW, reason="timeout", outages=2, released=True)
    decision = decide(ILL, before)
    assert (remembered(decision).phase is Phase.DOWN) == down
    if down:
        assert remembered(decision) == ClusterMemory(
            Phase.DOWN, since=NOW, known=True, reason="timeout", outages=3
        )
        assert decision.transitions == (Transition("a", Phase.UP, Phase.DOWN, ILL.diagnosis),)
        assert decision.transitions[0].reason == "timeout"
        assert set(decision.down) == {"a"}
    else:
        assert decision.transitions == ()
        assert decision.down == {}


@pytest.mark.parametrize(("streak", "returns"), [(299.0, False), (300.0, True)])
def test_it_returns_from_the_very_second_on(streak: float, returns: bool) -> None:
    before = replace(DOWN, streak=streak, seen=NOW, released=True)
    decision = decide(BACK, before)
    if returns:
        assert remembered(decision) == ClusterMemory(
            Phase.RETURNING, since=NOW, known=True, outages=2
        )
        assert decision.transitions == (Transition("a", Phase.DOWN, Phase.RETURNING),)
    else:
        assert remembered(decision).phase is Phase.DOWN
        assert decision.transitions == ()


def test_one_that_may_not_be_declared_stays_as_it_is_however_long_it_is_unhealthy() -> None:
    long = replace(KNOWN, streak=10_000.0, seen=NOW - 60, reason="timeout")
    decision = decide(ILL, long, replace(RULES, min_available_clusters=3))
    assert remembered(decision) == replace(long, streak=10_060.0, seen=NOW)
    assert decision.transitions == ()


def test_a_run_in_which_nothing_changes_has_no_transitions() -> None:
    decision = decide(BACK)
    assert decision.transitions == ()
    assert decision.hold is None
    assert dict(decision.memory) == dict.fromkeys("abc", KNOWN)


def test_one_that_was_never_seen_is_new_and_known_once_it_is_well() -> None:
    new = decide_cluster_health(RULES, {}, [BACK, *WELL], NOW)
    assert remembered(new) == KNOWN
    late = decide(BACK, ClusterMemory())
    assert remembered(late) == ClusterMemory(Phase.RETURNING, since=NOW)
    ill = decide(ILL, ClusterMemory())
    assert not remembered(ill).known
    # One that still returns goes on as it does.
    returning = ClusterMemory(Phase.RETURNING, since=5.0)
    assert remembered(decide(BACK, returning)) == returning


def test_a_cluster_that_returned_carries_its_share_again() -> None:
    returning = ClusterMemory(Phase.RETURNING, since=5.0, reason="timeout", outages=3)
    assert settle(returning, NOW) == ClusterMemory(Phase.UP, since=NOW, known=True, outages=3)


# -- how many may be down --------------------------------------------------------------------------

DUE = replace(KNOWN, streak=180.0, seen=NOW, reason="timeout")


def test_the_longest_unhealthy_is_declared_first_and_the_others_are_named() -> None:
    rules = replace(RULES, max_unhealthy=2)
    others = [
        Probe("b", Signal.UNHEALTHY, "refused"),
        *(Probe(name, Signal.HEALTHY) for name in "cdef"),
    ]
    longer = replace(DUE, streak=200.0)
    down = {"c": ClusterMemory(Phase.DOWN, reason="earlier")}
    decision = decide(ILL, DUE, rules, others, b=longer, **down)
    assert set(decision.down) == {"b", "c"}
    assert str(decision.hold) == "a cannot be declared down: 2 are, and maxUnhealthy says no"


def test_of_two_that_are_unhealthy_for_as_long_the_first_by_name_is_declared() -> None:
    rules = replace(RULES, max_unhealthy=2)
    others = [Probe("b", Signal.UNHEALTHY, "x"), *(Probe(n, Signal.HEALTHY) for n in "cd")]
    down = {"c": ClusterMemory(Phase.DOWN)}
    assert set(decide(ILL, DUE, rules, others, b=DUE, **down).down) == {"a", "c"}


def test_where_more_than_may_be_are_down_already_no_other_is_declared() -> None:
    """As after ``maxUnhealthy`` was lowered."""
    down = dict.fromkeys("bc", ClusterMemory(Phase.DOWN))
    others = [*WELL, Probe("d", Signal.HEALTHY)]
    decision = decide(ILL, DUE, RULES, others, **down)
    assert set(decision.down) == {"b", "c"}
    assert str(decision.hold).startswith("a cannot be declared down: 2 are")


def test_not_one_of_several_is_declared_where_more_than_may_be_are_down_already() -> None:
    rules = replace(RULES, max_unhealthy=2)
    others = [
        Probe("b", Signal.UNHEALTHY, "x"),
        *(Probe(name, Signal.HEALTHY) for name in "cdef"),
    ]
    down = dict.fromkeys("cde", ClusterMemory(Phase.DOWN))
    decision = decide(ILL, DUE, rules, others, b=DUE, **down)
    assert set(decision.down) == {"c", "d", "e"}
    assert str(decision.hold).startswith("a, b cannot be declared down: 3 are")


def test_without_a_grace_period_one_that_is_well_is_not_down() -> None:
    at_once = replace(RULES, unhealthy_after=0.0)
    assert not decide(BACK, KNOWN, at_once).down
    assert not decide(UNSURE, KNOWN, at_once).down
    assert set(decide(ILL, KNOWN, at_once).down) == {"a"}


def test_without_a_grace_period_one_that_is_not_well_does_not_return() -> None:
    at_once = replace(RULES, healthy_after=0.0)
    assert set(decide(ILL, DOWN, at_once).down) == {"a"}
    assert set(decide(UNSURE, DOWN, at_once).down) == {"a"}
    assert remembered(decide(BACK, DOWN, at_once)).phase is Phase.RETURNING


@pytest.mark.parametrize(("least", "down"), [(0, True), (2, True), (3, False)])
def test_so_many_healthy_clusters_must_remain(least: int, down: bool) -> None:
    decision = decide(ILL, DUE, replace(RULES, min_available_clusters=least))
    assert bool(decision.down) == down
    told = "only 2 healthy clusters would remain, and minAvailableClusters is 3: nothing moves"
    assert str(decision.hold or "") == ("" if down else told)
    assert decide(ILL, rules=replace(RULES, min_available_clusters=least)).hold is None


def test_one_healthy_cluster_must_remain_whatever_the_rules_say() -> None:
    others = [Probe("b", Signal.UNKNOWN), Probe("c", Signal.UNKNOWN)]
    decision = decide(ILL, DUE, replace(RULES, min_available_clusters=0), others)
    assert not decision.down
    assert "minAvailableClusters is 1" in str(decision.hold)


def test_one_that_answers_again_but_counts_as_down_is_none_that_remains() -> None:
    rules = replace(RULES, max_unhealthy=2, min_available_clusters=2)
    decision = decide(ILL, DUE, rules, WELL, b=ClusterMemory(Phase.DOWN))
    assert set(decision.down) == {"b"}
    assert "only 1 healthy clusters" in str(decision.hold)


def test_as_many_suspects_as_may_be_down_are_believed_and_one_more_is_not() -> None:
    rules = replace(RULES, max_unhealthy=2)
    others = [Probe("b", Signal.UNHEALTHY, "x"), *(Probe(n, Signal.HEALTHY) for n in "cd")]
    assert decide(ILL, DUE, rules, others).down
    decision = decide(ILL, DUE, RULES, others)
    assert not decision.down
    assert str(decision.hold) == (
        "2 of 4 clusters look unhealthy (a, b), and maxUnhealthy allows 1: this run may itself be "
        "cut off, so nothing moves"
    )
    # Nor does the time in which nothing could be told count later.
    assert remembered(decision).streak == 0.0
    assert remembered(decision).seen == 0.0


def test_one_that_is_down_and_cannot_be_told_of_is_a_suspect_and_another_is_not() -> None:
    unsure = [Probe("b", Signal.UNKNOWN), Probe("c", Signal.HEALTHY)]
    assert "cut off" in str(decide(ILL, DUE, RULES, unsure, b=ClusterMemory(Phase.DOWN)).hold)
    assert decide(ILL, DUE, RULES, unsure).down


def test_a_return_is_believed_even_by_a_run_that_may_be_cut_off() -> None:
    ill = [Probe(name, Signal.UNHEALTHY, "x") for name in "bc"]
    before = replace(DOWN, streak=240.0, seen=NOW - 60)
    decision = decide(BACK, before, RULES, ill)
    assert "cut off" in str(decision.hold)
    assert remembered(decision).phase is Phase.RETURNING


@pytest.mark.parametrize(
    ("limit", "is_share", "clusters", "allowed"),
    [(0, False, 3, 0), (0.9, True, 10, 9), (1, True, 1, 0), (0.29, True, 100, 29)],
)
def test_the_limit(limit: float, is_share: bool, clusters: int, allowed: int) -> None:
    rules = replace(RULES, max_unhealthy=limit, max_unhealthy_is_share=is_share)
    assert limit_of(rules, clusters) == allowed


# -- what is told ----------------------------------------------------------------------------------


def test_of_a_healthy_cluster_only_what_is_worth_a_remark_is_told() -> None:
    late = Diagnosis(Finding.SLOW, tries=2)
    probe = Probe("a", Signal.HEALTHY, late, nodes=Nodes(2, 3))
    assert health(decide(probe, replace(KNOWN, since=7.0))) == ClusterHealth(
        "a",
        Phase.UP,
        Signal.HEALTHY,
        diagnosis=late,
        since=7.0,
        ready_nodes=2,
        nodes=3,
    )
    bare = health(decide(BACK))
    assert (bare.reason, bare.ready_nodes, bare.nodes) == ("", None, None)


def test_of_one_that_is_down_the_reason_of_then_is_told_unless_there_is_a_newer_one() -> None:
    assert health(decide(replace(BACK, diagnosis=text_diagnosis("slow")), DOWN)).reason == "timeout"
    assert (
        health(decide(replace(ILL, diagnosis=text_diagnosis("refused")), DOWN)).reason == "refused"
    )
    assert health(decide(ILL, DOWN)).outlook == ""


@pytest.mark.parametrize(
    ("probe", "memory", "outlook"),
    [
        (BACK, KNOWN, ""),
        (ILL, KNOWN, "counts as down when it stays so for 3m more"),
        (
            ILL,
            replace(KNOWN, streak=60.0, seen=NOW - 30),
            "counts as down when it stays so for 1m30s more",
        ),
        (UNSURE, KNOWN, "nothing moves"),
        (replace(UNSURE, answers=False), KNOWN, "its writes wait, nothing moves"),
        (UNSURE, DOWN, ""),
        (BACK, DOWN, "answers again; counts as back when it stays so for 5m more"),
        (
            BACK,
            replace(DOWN, streak=100.0, seen=NOW - 30),
            "answers again; counts as back when it stays so for 2m50s more",
        ),
        (
            BACK,
            replace(DOWN, streak=299.5, seen=NOW),
            "answers again; counts as back when it stays so for 1s more",
        ),
    ],
)
def test_what_would_change_the_phase(probe: Probe, memory: ClusterMemory, outlook: str) -> None:
    assert health(decide(probe, memory)).outlook == outlook


@pytest.mark.parametrize("streak", [300.0, 900.0])
def test_one_that_waits_for_a_person_says_so(streak: float) -> None:
    manual = replace(RULES, failback="Manual")
    waiting = replace(DOWN, streak=streak, seen=NOW)
    decision = decide(BACK, waiting, manual)
    told = "answers again; waits to be released: reconcile failback a"
    assert health(decision).outlook == told
    assert remembered(decision).phase is Phase.DOWN
    released = decide(BACK, replace(waiting, released=True), manual)
    assert remembered(released).phase is Phase.RETURNING


def test_one_that_is_due_and_may_not_be_declared_says_so() -> None:
    rules = replace(RULES, min_available_clusters=3)
    assert health(decide(ILL, DUE, rules)).outlook == "not declared down"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0, "1s"),
        (1.4, "1s"),
        (59, "59s"),
        (60, "1m"),
        (61, "1m1s"),
        (150, "2m30s"),
        (3599, "59m59s"),
        (3600, "1h"),
        (3661, "1h1m1s"),
        (90_000, "25h"),
    ],
)
def test_seconds_in_words(seconds: float, words: str) -> None:
    assert duration_words(seconds) == words
