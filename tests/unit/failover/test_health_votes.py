"""Votes: most seats must see a cluster unwell before it is declared down."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reconciler.failover.cluster_health import (
    ClusterHealth,
    HealthDecision,
    decide_cluster_health,
)
from reconciler.failover.health_votes import (
    MAX_BYTES,
    HealthVote,
    HealthVotes,
    SeatVotes,
    VoteCount,
    count_votes,
    decode_votes,
    encode_votes,
    health_votes_of,
)
from reconciler.failover.probe import Probe, Signal, text_diagnosis
from reconciler.federation.model import FailoverRules
from reconciler.state.memory import ClusterMemory, Phase
from tests.strategies import LOOKS, seats_votes

RULES = FailoverRules(enabled=True, unhealthy_after=180, healthy_after=300, max_unhealthy=0.5)
NOW = 1_000_000.0
CLUSTERS = ("aws-eu", "gcp-eu", "gcp-us", "onprem")
SEATS = ("aws-eu", "gcp-eu", "onprem")
SIGNALS = {"+": Signal.HEALTHY, "-": Signal.UNHEALTHY, "?": Signal.UNKNOWN}
OVERDUE = ClusterMemory(streak=1000.0, seen=NOW - 60, known=True)
KNOWN = ClusterMemory(known=True)


def probes(sign: str) -> list[Probe]:
    """``gcp-us`` looks so to this run, and the others well."""
    return [
        Probe(name, SIGNALS[sign], text_diagnosis("timeout" if sign == "-" else ""))
        if name == "gcp-us"
        else Probe(name, Signal.HEALTHY)
        for name in CLUSTERS
    ]


def look(sign: str, age: float = 60.0) -> HealthVotes:
    """``.`` is a look that has not seen gcp-us."""
    found = health_votes_of(probes(sign if sign != "." else "+"), NOW - age)
    return (
        found
        if sign != "."
        else HealthVotes(found.at, {n: s for n, s in found.clusters.items() if n != "gcp-us"})
    )


def known(at: str, answering: tuple[str, ...] = SEATS, **looks: HealthVotes) -> SeatVotes:
    return SeatVotes(
        at, {name.replace("_", "-"): one for name, one in looks.items()}, frozenset(answering)
    )


def decide(
    seen_here: str, looks: SeatVotes | None, memory: ClusterMemory = OVERDUE
) -> HealthDecision:
    """A run to which ``gcp-us`` has been unhealthy for long."""
    asked = probes(seen_here)
    before = dict.fromkeys(CLUSTERS, KNOWN) | {"gcp-us": memory}
    seen = None if looks is None else count_votes(asked, looks, RULES, NOW)
    return decide_cluster_health(RULES, before, asked, NOW, seen)


def health(decision: HealthDecision) -> ClusterHealth:
    return next(one for one in decision.health if one.cluster == "gcp-us")


# -- who is asked ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("looks", "down"),
    [
        (None, True),
        (known("aws-eu", gcp_eu=look("-"), onprem=look("+")), True),
        (known("aws-eu", gcp_eu=look("-"), onprem=look("-")), True),
        (known("aws-eu", gcp_eu=look("+"), onprem=look("+")), False),
        (known("aws-eu", gcp_eu=look("?"), onprem=look("+")), False),
        (known("aws-eu", gcp_eu=look("."), onprem=look(".")), False),
        (known("aws-eu"), False),
        # One of the three is silent: of the two that are heard both must agree.
        (known("aws-eu", ("aws-eu", "gcp-eu"), gcp_eu=look("-"), onprem=look("+")), True),
        (known("aws-eu", ("aws-eu", "gcp-eu"), gcp_eu=look("+"), onprem=look("-")), False),
        # A run whose own seat is silent has no vote, and the others do.
        (known("aws-eu", ("gcp-eu", "onprem"), gcp_eu=look("-"), onprem=look("+")), False),
        (known("aws-eu", ("gcp-eu", "onprem"), gcp_eu=look("-"), onprem=look("-")), True),
        # A person at a desk has none either.
        (known("", gcp_eu=look("-"), onprem=look("+"), aws_eu=look("+")), False),
        (known("", gcp_eu=look("-"), onprem=look("-"), aws_eu=look("+")), True),
        (known("aws-eu", ()), False),
    ],
)
def test_most_of_the_seats_that_are_heard_must_see_it_unwell(
    looks: SeatVotes | None, down: bool
) -> None:
    decision = decide("-", looks)
    assert bool(decision.down) is down
    assert decision.memory["gcp-us"].phase is (Phase.DOWN if down else Phase.UP)


@pytest.mark.parametrize(
    ("age", "counts"), [(0, True), (600, True), (601, False), (-600, True), (-601, False)]
)
def test_a_look_counts_for_ten_minutes(age: float, counts: bool) -> None:
    looks = known("aws-eu", gcp_eu=look("-", age), onprem=look("+"))
    assert bool(decide("-", looks).down) is counts


def test_with_long_grace_periods_looks_count_for_twice_as_long() -> None:
    rules = FailoverRules(enabled=True, unhealthy_after=1800)
    looks = known("aws-eu", gcp_eu=look("-", 3600), onprem=look("-", 3601))
    assert count_votes(probes("-"), looks, rules, NOW)["gcp-us"] == VoteCount(
        unwell=("aws-eu", "gcp-eu"), no_fresh_vote=("onprem",)
    )


def test_what_this_run_sees_stands_for_the_last_look_of_its_seat() -> None:
    looks = known("aws-eu", aws_eu=look("+"), gcp_eu=look("+"), onprem=look("+"))
    assert count_votes(probes("-"), looks, RULES, NOW)["gcp-us"].unwell == ("aws-eu",)


def test_a_seat_that_is_silent_does_not_vote_for_itself() -> None:
    gone = [
        Probe(name, Signal.UNHEALTHY if name == "onprem" else Signal.HEALTHY) for name in CLUSTERS
    ]
    looks = known(
        "aws-eu", ("aws-eu", "gcp-eu"), gcp_eu=health_votes_of(gone, NOW), onprem=look("+")
    )
    seen = count_votes(gone, looks, RULES, NOW)["onprem"]
    assert seen == VoteCount(unwell=("aws-eu", "gcp-eu"))
    assert seen.agreed


# -- what is told ----------------------------------------------------------------------------------


def test_a_broken_network_of_one_seat_is_told_as_that() -> None:
    told = health(decide("-", known("aws-eu", gcp_eu=look("+"), onprem=look("+"))))
    words = "seen well from gcp-eu and onprem, not from aws-eu"
    assert (told.phase, told.signal) == (Phase.UP, Signal.UNHEALTHY)
    assert told.outlook == f"not declared down: {words}"
    assert told.seen == words


def test_who_sees_it_well_hears_of_those_who_do_not() -> None:
    told = health(decide("+", known("aws-eu", gcp_eu=look("-"), onprem=look("+")), KNOWN))
    assert (told.signal, told.outlook) == (Signal.HEALTHY, "")
    assert told.seen == "seen well from aws-eu and onprem, not from gcp-eu"


@pytest.mark.parametrize(("streak", "left"), [(60.0, "1m"), (119.0, "1s")])
def test_while_the_grace_period_lasts_both_conditions_are_told(streak: float, left: str) -> None:
    looks = known("aws-eu", gcp_eu=look("+"), onprem=look("+"))
    young = ClusterMemory(streak=streak, seen=NOW - 60, known=True)
    assert health(decide("-", looks, young)).outlook == (
        f"counts as down when it stays so for {left} more and most seats see it so"
    )


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (VoteCount(), "no seat answered"),
        (VoteCount(well=("a", "b", "c")), "seen well from a, b and c"),
        (
            VoteCount(unwell=("a",), no_fresh_vote=("b", "c")),
            "seen unhealthy from a; no recent vote from b",
        ),
        (VoteCount(unwell=("a",), undecided=("b",)), "unclear from b"),
    ],
)
def test_words(seen: VoteCount, words: str) -> None:
    assert words in str(seen)


def test_where_all_agree_nothing_more_is_told() -> None:
    decision = decide("+", known("aws-eu", gcp_eu=look("+"), onprem=look("+")), KNOWN)
    assert decision == decide("+", None, KNOWN)


# -- in random histories ---------------------------------------------------------------------------

VOTES = seats_votes(SEATS)


@given(
    VOTES,
    st.frozensets(st.sampled_from(SEATS)),
    st.sampled_from(["", *SEATS]),
    st.sampled_from("+-?"),
)
def test_what_is_down_most_of_those_heard_saw_so_and_this_run_too(
    votes: dict[str, str], answering: frozenset[str], at: str, here: str
) -> None:
    looks = SeatVotes(at, {seat: look(sign) for seat, sign in votes.items()}, answering)
    down = bool(decide(here, looks).down)
    said = votes | ({at: here} if at else {})
    against = sum(said.get(seat) == "-" for seat in answering)
    assert down == (here == "-" and against > len(answering) / 2)
    if down:
        assert decide(here, None).down, "seats only ever hold up"


@given(st.sampled_from(SEATS), st.sampled_from(["", *SEATS]), VOTES)
def test_no_single_seat_declares_down_what_two_others_that_are_heard_see_well(
    lone: str, at: str, votes: dict[str, str]
) -> None:
    others = dict.fromkeys(SEATS, "+") | {lone: "-"}
    here = others.get(at, "-")
    looks = SeatVotes(at, {n: look(s) for n, s in (votes | others).items()}, frozenset(SEATS))
    assert not decide(here, looks).down


@given(st.lists(st.tuples(st.sampled_from(SEATS), st.text("+-?", min_size=4, max_size=4))))
def test_with_seats_never_more_is_down_than_without(runs: list[tuple[str, str]]) -> None:
    """One run after another at changing seats, each by its own eyes and the looks before it."""
    memory: dict[str, ClusterMemory] = dict.fromkeys(CLUSTERS, KNOWN)
    looks: dict[str, HealthVotes] = {}
    now = NOW
    for seat, signs in runs:
        now += 60
        asked = [
            Probe(n, SIGNALS[s], text_diagnosis(s)) for n, s in zip(CLUSTERS, signs, strict=True)
        ]
        seen = count_votes(asked, SeatVotes(seat, looks, frozenset(SEATS)), RULES, now)
        found = decide_cluster_health(RULES, memory, asked, now, seen)
        alone = decide_cluster_health(RULES, memory, asked, now)
        new = found.down.keys() - {n for n, m in memory.items() if m.phase is Phase.DOWN}
        assert len(found.down) <= len(alone.down)
        assert all(seen[name].agreed for name in new)
        up = {n for n in CLUSTERS if n not in found.down.keys() | alone.down.keys()}
        streaks = [{n: one.memory[n].streak for n in up} for one in (found, alone)]
        assert streaks[0] == streaks[1], "the periods are measured by each run's own probes"
        memory = dict(found.memory)
        looks[seat] = health_votes_of(asked, now)


# -- as it lies at a seat --------------------------------------------------------------------------


@given(LOOKS)
def test_a_look_is_read_as_it_was_written(one: HealthVotes) -> None:
    assert decode_votes(encode_votes(one)) == one


@given(st.text() | st.binary(max_size=40).map(lambda b: b.decode("utf-8", "replace")))
@example("")
@example("null")
@example("[]")
@example("{}")
@example('{"at": true, "clusters": {}}')
@example('{"at": "1", "clusters": {}}')
@example('{"at": 1, "clusters": []}')
@example('{"at": 1, "clusters": {"a": 1}}')
@example('{"at": 1, "clusters": {"a": "splendid"}}')
@example('{"at": 1e999, "clusters": {}}')
def test_a_damaged_look_is_none(text: str) -> None:
    assert decode_votes(text) is None


@given(st.integers(0, 60))
def test_half_a_look_is_none(kept: int) -> None:
    text = encode_votes(look("-"))
    assert decode_votes(text[: -1 - kept]) is None


def test_a_look_at_many_clusters_stays_small() -> None:
    many = HealthVotes(
        NOW, {f"cluster-{n:04}": HealthVote(Signal.UNHEALTHY, "x" * 5000) for n in range(1500)}
    )
    text = encode_votes(many)
    assert len(text) <= MAX_BYTES
    back = decode_votes(text)
    assert back is not None
    assert len(back.clusters) == 1500
    few = decode_votes(
        encode_votes(HealthVotes(NOW, {"a": HealthVote(Signal.UNHEALTHY, "x" * 5000)}))
    )
    assert few is not None
    assert few.clusters["a"].reason == "x" * 120


def test_an_imagined_outage_is_not_left_as_a_look() -> None:
    assert "gcp-us" not in health_votes_of(probes("-"), NOW, {"gcp-us": "an outage"}).clusters
    assert math.isclose(health_votes_of([], NOW).at, NOW)
