"""Jobs of several pods at seats: a Job's pods share one holding of the register's lock."""

# ruff: noqa: F401, F811  (fixtures)

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest
from msgspec.structs import replace

from kubesim.fleet import Sandbox
from kubesim.server import ClusterSettings
from reconciler.api.options import RunOptions
from reconciler.cluster.connect import Connector
from reconciler.lock.lease import LeaseRecord
from reconciler.lock.register_lock import lock_record
from reconciler.lock.run_lock import RunLock
from reconciler.plan.model import RunResult
from reconciler.run.pipeline import Prepared, apply_plan, make_plan
from reconciler.seats.register import Register
from reconciler.shard.split import Shard
from reconciler.state.memory import FleetMemory
from reconciler.state.register_store import remembered_in
from tests.unit.shard.conftest import (
    FEDERATION,
    NAMES,
    NAMESPACE,
    Job,
    ShardedWorld,
    git_repository,
)
from tests.unit.shard.test_shared_runs import WEB

SYSTEM = "federation-system"


@dataclass
class ShardedSeats(ShardedWorld):
    """All members are seats, and there is no host; ``at`` is where the next Job runs."""

    at: str = NAMES[0]

    def given(self, shard: Shard | None = None, **more: Any) -> RunOptions:
        return replace(super().given(shard, **more), host_context=self.at, seat=self.at)

    def job_at(self, at: str, count: int = 3) -> SeatJob:
        return SeatJob(self, count, at=at)

    def register(self) -> Register:
        members = {
            name: Connector.from_file(str(self.kubeconfig), SYSTEM, host_context=name).host(name)
            for name in NAMES
        }
        return Register(members, SYSTEM, "shop")

    def lock(self) -> LeaseRecord:
        found = lock_record(self.register().latest())
        assert found is not None
        return found

    def memory(self) -> FleetMemory:
        return remembered_in(self.register().latest(), "").memory


@dataclass
class SeatJob(Job):
    at: str = ""
    held: list[tuple[str, int]] = field(default_factory=list)
    """By whom and for which time the lock was held when each pod was about to write."""

    def options(self, index: int, **more: Any) -> RunOptions:
        return replace(super().options(index, **more), host_context=self.at, seat=self.at)

    def note(self, _: Prepared) -> None:
        assert isinstance(self.world, ShardedSeats)
        lock = self.world.lock()
        self.held.append((lock.holder, lock.transitions))


@pytest.fixture
def seats(git_repository: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[ShardedSeats]:
    for name in ("XDG_CACHE_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, str(git_repository.parent / name.lower()))
    with Sandbox(list(NAMES), settings=ClusterSettings(nodes=1)) as sandbox:
        for cluster in sandbox.clusters:
            cluster.create(NAMESPACE)
        world = ShardedSeats(git_repository, sandbox.kubeconfig)
        named = f"spec:\n  seats: [{', '.join(NAMES)}]\n"
        world.commit("federation.yaml", FEDERATION.replace("spec:\n", named, 1))
        world.register().initialise(NAMES)
        yield world


def test_the_pods_of_a_job_share_one_holding_of_the_lock(seats: ShardedSeats) -> None:
    commit = seats.commit("web.yaml", WEB)
    times = []
    for at in NAMES[:2]:
        job = seats.job_at(at)
        job.before_write = job.note
        assert all(result.ok for result in job.run())
        assert {holder for holder, _ in job.held} == {f"round-{job.round}"}
        (time,) = {time for _, time in job.held}
        assert len(job.held) == 3
        times.append(time)
        assert seats.lock().holder == ""
    assert times[1] == times[0] + 1
    assert seats.replicas() == dict.fromkeys(NAMES, 2)
    assert seats.memory().commit == commit


def test_jobs_of_two_seats_never_write_at_the_same_time(seats: ShardedSeats) -> None:
    seats.commit("web.yaml", WEB)
    jobs = seats.job_at(NAMES[0]), seats.job_at(NAMES[1])
    writing: Counter[str] = Counter()
    most = Counter[str]()
    guard = threading.Lock()

    def pod(job: SeatJob, index: int) -> RunResult:
        options = job.options(index, lock_timeout=120.0)
        with RunLock(options) as lock:
            prepared = make_plan(options, lock=lock)
            with guard:
                writing[job.at] += 1
                assert +writing == {job.at: writing[job.at]}
                most[job.at] = max(most[job.at], writing[job.at])
            result = apply_plan(prepared)
            with guard:
                writing[job.at] -= 1
            return result

    with ThreadPoolExecutor(6) as pool:
        pods = [pool.submit(pod, job, index) for index in range(3) for job in jobs]
        assert all(one.result().ok for one in pods)
    assert set(most) == set(NAMES[:2])
    assert seats.lock().holder == ""


def test_a_pod_that_is_repeated_goes_on_under_the_same_holding(seats: ShardedSeats) -> None:
    seats.commit("web.yaml", WEB)
    job = seats.job_at(NAMES[0])
    options = job.options(0)
    with RunLock(options) as lock:
        make_plan(options, lock=lock)
        # It ends as a process that is killed does: it tells nobody, and gives nothing back.
        lock.leave()
    assert seats.lock().holder == f"round-{job.round}"
    job.before_write = job.note
    assert all(result.ok for result in job.run())
    assert len(set(job.held)) == 1
    assert seats.replicas() == dict.fromkeys(NAMES, 2)
    assert seats.lock().holder == ""
