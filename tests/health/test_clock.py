"""Ages are of counted time: no step of the clock makes anything older, and real time still does."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from reconciler.health.clock import aligned, looked
from reconciler.health.memory import (
    ClusterMemory,
    FleetMemory,
    Phase,
    WorkloadMemory,
    decode,
    encode,
)

START = 1_000_000.0
MINUTE = 60.0
STEPS = st.one_of(
    st.floats(-1e9, 1e9, allow_nan=False),
    st.sampled_from([-86_400.0, -61.0, -60.0, -1.0, 1.0, 59.0, 600.0, 3_600.0, 31_536_000.0]),
)


class Host:
    """Runs with a clock that may be set between any two; ``true`` is the time that has passed."""

    def __init__(self, every: float = MINUTE) -> None:
        self.every, self.true, self.step = every, 0.0, 0.0
        self.memory = FleetMemory()
        for _ in range(4):
            self.run()

    @property
    def now(self) -> float:
        return START + 1e9 + self.true + self.step

    def run(self, step: float = 0.0, after: float | None = None) -> FleetMemory:
        self.true += self.every if after is None else after
        self.step += step
        self.memory = looked(aligned(self.memory, self.now), self.now)
        return self.memory

    def begin(self) -> float:
        """Everything that ages begins now: a cluster down, a taint, a workload kept away."""
        moment = self.now
        self.memory = looked(
            replace(
                self.memory,
                clusters={"a": ClusterMemory(phase=Phase.DOWN, since=moment, seen=moment)},
                workloads={"a": {"w": WorkloadMemory(seen=moment, away=moment)}},
                taints={"a": {"gone:NoExecute": moment}},
            ),
            moment,
        )
        return self.true

    @property
    def ages(self) -> list[float]:
        cluster, workload = self.memory.clusters["a"], self.memory.workloads["a"]["w"]
        moments = [cluster.since, cluster.seen, workload.seen, workload.away]
        return [self.now - m for m in (*moments, self.memory.taints["a"]["gone:NoExecute"])]


@given(step=STEPS, at=st.integers(0, 8), every=st.floats(1, 3_600))
@example(step=86_400.0, at=0, every=60.0)
def test_no_step_of_the_clock_makes_anything_older(step: float, at: int, every: float) -> None:
    host = Host(every)
    began = host.begin()
    for number in range(9):
        host.run(step if number == at else 0.0)
        # Nanoseconds: a float of today's Unix time has a quarter of a microsecond.
        assert max(host.ages) <= host.true - began + 1e-3 * (number + 1)


@given(step=STEPS, at=st.integers(0, 8))
def test_what_really_lasts_ages_in_time(step: float, at: int) -> None:
    host = Host()
    began = host.begin()
    for number in range(9):
        host.run(step if number == at else 0.0)
    # The gap in which the clock went back is the most that is not counted.
    assert min(host.ages) >= host.true - began - MINUTE - 1


@given(gaps=st.lists(st.floats(50, 70), min_size=20, max_size=40))
def test_runs_that_are_not_quite_regular_age_nearly_as_fast(gaps: list[float]) -> None:
    host = Host()
    began = host.begin()
    for gap in gaps:
        host.run(after=gap)
    assert (host.true - began) * 0.8 <= min(host.ages)
    assert max(host.ages) <= host.true - began + 0.1


def test_a_job_that_was_suspended_for_a_day_saw_one_gap() -> None:
    host = Host()
    host.begin()
    host.run(after=86_400)
    assert host.ages == pytest.approx([MINUTE] * 5)


def test_a_schedule_that_changes_is_learned() -> None:
    host = Host()
    host.begin()
    for _ in range(12):
        host.run(after=600)
    before = max(host.ages)
    host.run(after=600)
    assert max(host.ages) == pytest.approx(before + 600)


@given(step=st.floats(61, 1e9))
def test_without_any_gap_known_the_first_does_not_count(step: float) -> None:
    first = FleetMemory(taints={"a": {"gone:NoExecute": START}})
    second = aligned(looked(first, START), START + step)
    assert second.taints["a"]["gone:NoExecute"] == START + step


def test_a_run_that_finds_all_well_remembers_nothing_new() -> None:
    host = Host()
    well = host.run()
    assert well.clock.last == 0
    assert host.run() == well


def test_the_clock_is_kept_with_the_rest() -> None:
    host = Host()
    host.begin()
    assert decode(encode(host.memory)) == host.memory
