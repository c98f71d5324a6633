"""Who counts as down, step by step, and in random histories."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from reconciler.failover.cluster_health import (
    HealthDecision,
    Hold,
    HoldReason,
    decide_cluster_health,
    limit_of,
    settle,
)
from reconciler.failover.probe import (
    A_PAGE,
    Nodes,
    Probe,
    ProbeAttempt,
    Signal,
    assess_probe,
    text_diagnosis,
)
from reconciler.federation.model import FailoverRules
from reconciler.state.memory import ClusterMemory, Phase
from tests.strategies import PROBE_HISTORIES

RULES = FailoverRules(
    enabled=True,
    unhealthy_after=180,
    healthy_after=300,
    max_unhealthy=1,
    max_unhealthy_is_share=False,
)
NAMES = ("aws-eu", "gcp-eu", "gcp-us")
SIGNALS = {"+": Signal.HEALTHY, "-": Signal.UNHEALTHY, "?": Signal.UNKNOWN}


def probes(signs: str) -> list[Probe]:
    """``-++``: the first cluster is unhealthy, the others are not."""
    return [
        Probe(name, SIGNALS[sign], text_diagnosis("timeout" if sign == "-" else ""))
        for name, sign in zip(NAMES, signs, strict=True)
    ]


class Runs:
    """One run after another, a minute apart unless told otherwise."""

    def __init__(self, rules: FailoverRules = RULES) -> None:
        self.rules = rules
        self.now = 1_000_000.0
        self.decision = HealthDecision((), {})

    def see(self, signs: str, after: float = 60.0) -> HealthDecision:
        self.now += after
        self.decision = decide_cluster_health(
            self.rules, self.decision.memory, probes(signs), self.now
        )
        return self.decision

    def settle(self) -> None:
        memory = {
            name: settle(one, self.now) if one.phase is Phase.RETURNING else one
            for name, one in self.decision.memory.items()
        }
        self.decision = replace(self.decision, memory=memory)

    @property
    def phases(self) -> str:
        return " ".join(self.decision.memory[name].phase for name in NAMES)


def test_a_cluster_counts_as_down_after_the_grace_period_and_not_before() -> None:
    runs = Runs()
    assert [bool(runs.see("-++").down) for _ in range(5)] == [False, False, False, True, True]
    assert runs.decision.down["aws-eu"].reason == "timeout"
    (health, *_) = runs.decision.health
    assert (health.phase, health.signal) == (Phase.DOWN, Signal.UNHEALTHY)


def test_one_good_answer_begins_the_grace_period_anew() -> None:
    runs = Runs()
    for signs in ("+++", "-++", "-++", "-++", "+++", "-++", "-++", "-++"):
        runs.see(signs)
    assert runs.phases == "Up Up Up"


def test_an_unknown_signal_neither_moves_anything_nor_counts() -> None:
    runs = Runs()
    for signs in ("-++", "-++", "-++", "?++", "-++", "-++"):
        runs.see(signs)
    assert runs.phases == "Up Up Up"


def test_it_comes_back_after_healthy_after_and_takes_over_before_it_is_up() -> None:
    runs = Runs()
    for _ in range(4):
        runs.see("-++")
    seen = [runs.see("+++").memory["aws-eu"].phase for _ in range(6)]
    assert seen == [Phase.DOWN] * 5 + [Phase.RETURNING]
    runs.settle()
    assert runs.phases == "Up Up Up"


def test_manual_failback_waits_for_a_person() -> None:
    runs = Runs(replace(RULES, failback="Manual"))
    for signs in ["-++"] * 4 + ["+++"] * 20:
        runs.see(signs)
    assert runs.phases == "Down Up Up"
    assert "reconcile failback aws-eu" in runs.decision.health[0].outlook
    released = replace(runs.decision.memory["aws-eu"], released=True)
    runs.decision = replace(runs.decision, memory={**runs.decision.memory, "aws-eu": released})
    runs.see("+++")
    assert runs.phases == "Returning Up Up"


def test_more_than_max_unhealthy_at_once_means_that_this_run_is_cut_off() -> None:
    runs = Runs()
    for _ in range(10):
        runs.see("--+")
    assert runs.phases == "Up Up Up"
    assert "may itself be cut off" in str(runs.decision.hold)
    # Once it can see again, the grace period begins anew for what is still unhealthy.
    assert [bool(runs.see("-++").down) for _ in range(4)] == [False, False, False, True]


def test_a_second_cluster_waits_while_as_many_are_down_as_may_be() -> None:
    runs = Runs()
    for signs in ["-++"] * 4 + ["+-+"] * 4:
        runs.see(signs)
    assert runs.phases == "Down Up Up"
    assert "gcp-eu cannot be declared down" in str(runs.decision.hold)
    for _ in range(3):
        runs.see("+-+")
    assert runs.phases == "Returning Down Up"
    runs.settle()
    assert runs.phases == "Up Down Up"


def test_nothing_moves_when_too_few_healthy_clusters_would_remain() -> None:
    runs = Runs(replace(RULES, min_available_clusters=2))
    for _ in range(10):
        runs.see("-?+")
    assert runs.phases == "Up Up Up"
    assert "minAvailableClusters is 2" in str(runs.decision.hold)


@pytest.mark.parametrize("jump", [3600.0, 86_400.0, -3600.0])
def test_a_clock_that_jumps_declares_nothing_by_itself(jump: float) -> None:
    runs = Runs()
    runs.see("-++")
    runs.see("-++", after=jump)
    assert runs.phases == "Up Up Up"


def test_one_that_was_never_seen_well_comes_back_like_one_that_was_down() -> None:
    """Its stand-ins may run, and the memory of that be lost."""
    runs = Runs()
    assert [runs.see(s).memory["aws-eu"].phase for s in ("-++", "?++", "+++")] == [
        Phase.UP,
        Phase.UP,
        Phase.RETURNING,
    ]
    runs.settle()
    assert runs.phases == "Up Up Up"
    assert Runs().see("+++").memory["aws-eu"].phase is Phase.UP, "nor is a new one late"


def test_without_a_memory_nothing_is_down() -> None:
    assert not decide_cluster_health(RULES, {}, probes("-++"), 1e9).down


def test_a_cluster_that_leaves_git_is_forgotten() -> None:
    memory = {"old": ClusterMemory(Phase.DOWN), **dict.fromkeys(NAMES, ClusterMemory())}
    assert set(decide_cluster_health(RULES, memory, probes("+++"), 1e9).memory) == set(NAMES)


@pytest.mark.parametrize(
    ("limit", "is_share", "clusters", "allowed"),
    [
        (1, False, 3, 1),
        (0.5, True, 3, 1),
        (0.34, True, 50, 17),
        (0.5, True, 2, 1),
        (9, False, 3, 2),
    ],
)
def test_the_limit_is_never_all_clusters(
    limit: float, is_share: bool, clusters: int, allowed: int
) -> None:
    rules = replace(RULES, max_unhealthy=limit, max_unhealthy_is_share=is_share)
    assert limit_of(rules, clusters) == allowed


@pytest.mark.parametrize(
    ("tries", "nodes", "signal", "words"),
    [
        ([ProbeAttempt(200)], None, Signal.HEALTHY, ""),
        ([ProbeAttempt(0, "timeout"), ProbeAttempt(200)], None, Signal.HEALTHY, ""),
        ([ProbeAttempt(0, "connection refused")] * 3, None, Signal.UNHEALTHY, "connection refused"),
        ([ProbeAttempt(500, "etcd")] * 3, None, Signal.UNHEALTHY, "not ready (HTTP 500): etcd"),
        ([ProbeAttempt(401, "Unauthorized")], None, Signal.UNKNOWN, "credential was refused"),
        ([ProbeAttempt(403)], None, Signal.UNKNOWN, "/readyz"),
        ([ProbeAttempt(302)] * 3, None, Signal.UNKNOWN, "does not say how the cluster is"),
        ([ProbeAttempt(404, "not found")] * 3, None, Signal.UNKNOWN, "(HTTP 404): not found"),
        ([ProbeAttempt(400)] * 3, None, Signal.UNKNOWN, "does not say how the cluster is"),
        ([ProbeAttempt(204)] * 3, None, Signal.UNKNOWN, "does not say how the cluster is"),
        ([ProbeAttempt(A_PAGE)] * 3, None, Signal.UNKNOWN, "a web page answers"),
        ([ProbeAttempt(429)] * 3, None, Signal.UNKNOWN, "too busy to say how it is (HTTP 429)"),
        (
            [ProbeAttempt(429), ProbeAttempt(0, "timeout"), ProbeAttempt(0, "timeout")],
            None,
            Signal.UNKNOWN,
            "HTTP 429",
        ),
        (
            [ProbeAttempt(0, "timeout"), ProbeAttempt(404), ProbeAttempt(503)],
            None,
            Signal.UNKNOWN,
            "HTTP 404",
        ),
        ([ProbeAttempt(429), ProbeAttempt(429), ProbeAttempt(200)], None, Signal.HEALTHY, ""),
        ([ProbeAttempt(502)] * 3, None, Signal.UNHEALTHY, "not ready (HTTP 502)"),
        ([ProbeAttempt(503, "etcd")] * 3, None, Signal.UNHEALTHY, "not ready (HTTP 503): etcd"),
        (
            [ProbeAttempt(0, "TLS: expired", inconclusive=True)],
            None,
            Signal.UNKNOWN,
            "TLS: expired",
        ),
        ([ProbeAttempt(200)], Nodes(1, 3), Signal.UNHEALTHY, "1 of 3 nodes are ready"),
        ([ProbeAttempt(200)], Nodes(2, 3), Signal.HEALTHY, ""),
        ([ProbeAttempt(200)], Nodes(0, 0), Signal.HEALTHY, ""),
    ],
)
def test_what_tries_and_nodes_say_together(
    tries: list[ProbeAttempt], nodes: Nodes | None, signal: Signal, words: str
) -> None:
    probe = assess_probe("aws-eu", tries, nodes, min_ready_nodes=0.5)
    assert probe.signal is signal
    assert words in probe.reason


# -- random histories --------------------------------------------------------------------------


@settings(max_examples=300)
@given(history=PROBE_HISTORIES, limit=st.integers(1, 2), least=st.integers(0, 2))
def test_whatever_happens(history: list[tuple[str, float, str]], limit: int, least: int) -> None:
    """Outages, recoveries, clock jumps, lost memories and partial probes, in any order."""
    rules = replace(RULES, max_unhealthy=limit, min_available_clusters=least)
    runs = Runs(rules)
    unhealthy_runs = dict.fromkeys(NAMES, 0)
    for signs, pause, kept in history:
        if kept == "lost":
            runs.decision = HealthDecision((), {})
            unhealthy_runs = dict.fromkeys(NAMES, 0)
        before = runs.decision.memory
        was_down = {name for name, one in before.items() if one.phase is Phase.DOWN}
        after = runs.see(signs, after=pause).memory
        changed = [t.cluster for t in runs.decision.transitions]
        assert len(changed) == len(set(changed)), "at most one change per run and cluster"
        assert len(runs.decision.down) <= limit
        for name, sign in zip(NAMES, signs, strict=True):
            unhealthy_runs[name] = unhealthy_runs[name] + 1 if sign == "-" else 0
            phase = after[name].phase
            if phase is Phase.DOWN and name not in was_down:
                assert unhealthy_runs[name] >= 3, "three runs at least have seen it"
                assert sum(s == "+" for s in signs) >= max(1, least)
            if name in was_down and phase is not Phase.DOWN:
                assert sign == "+"
            if sign == "?":
                moved = phase is not before.get(name, ClusterMemory()).phase
                assert not moved, "what cannot be told changes nothing"
    for _ in range(20):
        runs.see("+++")
        runs.settle()
    assert runs.phases == "Up Up Up", "after a full recovery all is as it was"


@pytest.mark.parametrize(
    ("signs", "least", "hold", "words"),
    [
        (
            ["--+"] * 2,
            1,
            Hold(HoldReason.CUT_OFF, ("aws-eu", "gcp-eu"), 2, 1, 3),
            "2 of 3 clusters look unhealthy (aws-eu, gcp-eu), and maxUnhealthy allows 1: this run "
            "may itself be cut off, so nothing moves",
        ),
        (
            ["-?+"] * 6,
            2,
            Hold(HoldReason.TOO_FEW_LEFT, ("aws-eu",), 1, 2, 3),
            "only 1 healthy clusters would remain, and minAvailableClusters is 2: nothing moves",
        ),
        (
            ["-++"] * 4 + ["+-+"] * 4,
            1,
            Hold(HoldReason.TOO_MANY_DOWN, ("gcp-eu",), 1, 1, 3),
            "gcp-eu cannot be declared down: 1 are, and maxUnhealthy says no",
        ),
    ],
)
def test_why_nothing_is_declared_down_is_a_value_with_its_figures(
    signs: list[str], least: int, hold: Hold, words: str
) -> None:
    runs = Runs(replace(RULES, min_available_clusters=least))
    for sign in signs:
        runs.see(sign)
    assert runs.decision.hold == hold
    assert str(hold) == words
