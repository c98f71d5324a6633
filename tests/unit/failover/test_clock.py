"""Ages do not change when this machine's clock is set, and real time ages everything."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from reconciler.failover.clock import NOTICED_SECONDS, clock_step, shifted_by, with_clock_offsets
from reconciler.state.memory import (
    ClusterMemory,
    FleetMemory,
    Phase,
    WorkloadMemory,
    decode_memory,
    encode_memory,
)
from tests.strategies import CLOCK_STEPS, GAPS_BETWEEN_RUNS

START = 1_700_000_000
CLUSTERS = ("a", "b", "c")


class Host:
    """Runs on a machine whose clock is set now and then; ``true`` is the time that has passed."""

    def __init__(self) -> None:
        self.true, self.set_by = 0, 0
        self.servers = dict.fromkeys(CLUSTERS, 0)
        self.memory = FleetMemory()

    @property
    def now(self) -> int:
        return START + self.true + self.set_by

    def clock_offsets(self, silent: tuple[str, ...] = ()) -> dict[str, int]:
        there = {name: own for name, own in self.servers.items() if name not in silent}
        return {name: START + self.true + own - self.now for name, own in there.items()}

    def begin(self) -> None:
        """Everything that ages begins now: a cluster down, a taint, a workload kept away."""
        began = float(self.now)
        memory = replace(
            self.memory,
            clusters={"a": ClusterMemory(phase=Phase.DOWN, since=began, seen=began)},
            workloads={"a": {"w": WorkloadMemory(seen=began, away=began)}},
            taints={"a": {"gone:NoExecute": began}},
        )
        self.memory = with_clock_offsets(memory, lambda: self.clock_offsets(("a",)))

    def run(self, gap: int = 60, step: int = 0, silent: tuple[str, ...] = ("a",)) -> None:
        self.true += gap
        self.set_by += step
        ahead = self.clock_offsets(silent)
        self.memory = with_clock_offsets(
            shifted_by(self.memory, clock_step(self.memory, ahead)), lambda: ahead
        )

    @property
    def ages(self) -> list[float]:
        cluster, workload = self.memory.clusters["a"], self.memory.workloads["a"]["w"]
        moments = [cluster.since, cluster.seen, workload.seen, workload.away]
        return [self.now - m for m in (*moments, self.memory.taints["a"]["gone:NoExecute"])]


@given(gaps=GAPS_BETWEEN_RUNS, steps=st.lists(CLOCK_STEPS, min_size=12, max_size=12))
@example(gaps=[1, 1], steps=[86_400] * 12)
def test_ages_are_of_the_time_that_passed_however_often_the_clock_is_set(
    gaps: list[int], steps: list[int]
) -> None:
    host = Host()
    host.true = 10**9  # A moment before 1970 would be none.
    host.begin()
    began = host.true
    for gap, step in zip(gaps, steps, strict=False):
        host.run(gap, step)
        if host.now < host.true - began + 1:
            return
        for age in host.ages:
            assert abs(age - (host.true - began)) <= NOTICED_SECONDS


@given(own=CLOCK_STEPS, name=st.sampled_from(CLUSTERS))
def test_the_clock_of_one_server_alone_changes_no_age(own: int, name: str) -> None:
    host = Host()
    host.begin()
    host.run(silent=())
    host.servers[name] += own
    host.run(silent=())
    host.run(step=3_600, silent=())
    assert all(abs(age - 180) <= NOTICED_SECONDS for age in host.ages)


def test_clocks_that_drift_apart_slowly_age_as_time_passes() -> None:
    host = Host()
    host.begin()
    for _ in range(100):
        host.run(gap=60, step=1)
    assert all(abs(age - 6_000) <= NOTICED_SECONDS + 1 for age in host.ages)


def test_without_a_witness_the_clock_is_believed() -> None:
    host = Host()
    host.begin()
    host.run(gap=60, step=600, silent=CLUSTERS)
    assert host.ages == [660.0] * 5


def test_a_run_that_finds_nothing_new_has_nothing_to_write() -> None:
    host = Host()
    host.begin()
    before = host.memory
    host.run(step=NOTICED_SECONDS)
    assert host.memory == before


def test_where_nothing_ages_nobody_is_a_witness() -> None:
    host = Host()
    host.begin()
    assert host.memory.clock_offsets == {"b": 0, "c": 0}
    well = with_clock_offsets(
        replace(host.memory, clusters={}, workloads={}, taints={}), host.clock_offsets
    )
    assert well.clock_offsets == {}


def test_the_witnesses_are_kept_with_the_rest() -> None:
    host = Host()
    host.servers["b"] = 7
    host.begin()
    assert decode_memory(encode_memory(host.memory)) == host.memory
    assert host.memory.clock_offsets["b"] == 7
