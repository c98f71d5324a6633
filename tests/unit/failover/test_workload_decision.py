"""A workload that does not run in one cluster goes where it runs; what runs nowhere stays."""

from __future__ import annotations

from reconciler.api.objects import ObjectKey
from reconciler.failover.workload_health import WorkloadReading, decide_workload_health
from reconciler.state.memory import FleetMemory

WEB = ObjectKey("apps", "Deployment", "shop", "web")


class Runs:
    def __init__(self, *, healthy_after: float | None = 300.0) -> None:
        self.now = 1_000_000.0
        self.memory = FleetMemory()
        self.healthy_after = healthy_after

    def see(self, template: str = "v1", **available: bool) -> list[str]:
        """The clusters that the workload is kept away from, a minute later."""
        self.now += 60
        kept_away = self.away
        seen = [
            WorkloadReading(
                c, WEB, ok, 0 if c in kept_away else 3, 120.0, self.healthy_after, template
            )
            for c, ok in available.items()
        ]
        workloads, away = decide_workload_health(self.memory, seen, list(available), self.now)
        self.memory = FleetMemory(workloads=workloads)
        return [move.cluster for move in away]

    @property
    def away(self) -> set[str]:
        return {
            name
            for name, found in self.memory.workloads.items()
            for one in found.values()
            if one.away
        }


def test_it_leaves_after_its_time_and_comes_back_for_another_try() -> None:
    runs = Runs()
    assert [runs.see(aws=False, gcp=True) for _ in range(4)] == [[], [], ["aws"], ["aws"]]
    assert [runs.see(aws=False, gcp=True) for _ in range(4)][-1] == []


def test_each_time_it_stays_away_for_longer() -> None:
    runs = Runs()
    runs_away = []
    for _ in range(3):
        while not runs.see(aws=False, gcp=True):
            pass
        count = 1
        while runs.see(aws=False, gcp=True):
            count += 1
        runs_away.append(count)
    assert runs_away == [5, 10, 20]


def test_a_new_version_gets_a_new_chance_at_once() -> None:
    runs = Runs()
    while not runs.see(aws=False, gcp=True):
        pass
    assert runs.see(template="v2", aws=False, gcp=True) == []


def test_what_runs_nowhere_is_broken_itself_and_stays() -> None:
    runs = Runs()
    assert not any(runs.see(aws=False, gcp=False) for _ in range(20))


def test_with_manual_failback_it_stays_away() -> None:
    runs = Runs(healthy_after=None)
    for _ in range(3):
        runs.see(aws=False, gcp=True)
    assert all(runs.see(aws=False, gcp=True) == ["aws"] for _ in range(2000))


def test_a_short_break_counts_for_nothing() -> None:
    runs = Runs()
    assert not any(runs.see(aws=bool(n % 2), gcp=True) for n in range(20))
    assert not runs.memory.workloads


def test_a_cluster_that_is_not_looked_at_keeps_its_memory() -> None:
    runs = Runs()
    while not runs.see(aws=False, gcp=True):
        pass
    runs.see(gcp=True)
    assert runs.away == {"aws"}
