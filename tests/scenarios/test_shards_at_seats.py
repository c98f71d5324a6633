"""Jobs whose pods share a run, at three seats: one decision and one lock for each Job."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from reconciler.api.errors import LeaseLost
from reconciler.lock.register_lock import lock_record
from reconciler.lock.run_lock import RunLock
from reconciler.plan.model import RunResult
from reconciler.run.pipeline import apply_plan, make_plan
from reconciler.shard.split import Shard
from tests.scenarios.failover_world import NAMES, SHARES
from tests.scenarios.seats_world import SeatsWorld, simulated
from tests.unit.shard.conftest import git

__all__ = ["simulated"]
PODS = 3
ROUND = "federation-shop-round"


def begin(world: SeatsWorld) -> None:
    git(world.repository, "init", "--quiet", "--initial-branch", "main")
    world.begin()
    # A pod of a busy test machine may be slow.
    world.options |= {"repo": world.repository.as_uri(), "lease_duration": 30.0}
    commit(world)


def commit(world: SeatsWorld) -> None:
    git(world.repository, "add", "--all")
    git(world.repository, "commit", "--quiet", "--message", "change")


def job(world: SeatsWorld, at: str) -> list[RunResult]:
    """All pods of one Job at this seat, a minute after the one before."""
    world.now += 60
    name = uuid.uuid4().hex

    def pod(index: int) -> RunResult:
        shard = Shard(index, PODS, name)
        given = world.given(at, shard=str(shard), round=name)
        with RunLock(given) as lock:
            return apply_plan(make_plan(given, lock=lock))

    with ThreadPoolExecutor(PODS) as pool:
        return list(pool.map(pod, range(PODS)))


def test_the_pods_of_a_job_meet_in_the_cluster_of_their_seat(simulated: SeatsWorld) -> None:
    begin(simulated)
    for seat in NAMES[:2]:
        assert all(result.ok for result in job(simulated, seat))
    with_rounds = [
        name
        for name in NAMES
        if simulated.exists("configmap", ROUND, cluster=name, namespace="federation-system")
    ]
    assert with_rounds == list(NAMES[:2])
    record = lock_record(simulated.register().latest())
    assert record is not None
    assert record.holder == ""


def test_jobs_at_other_seats_go_on_when_one_is_lost(simulated: SeatsWorld) -> None:
    begin(simulated)
    assert all(result.ok for result in job(simulated, "aws-eu"))
    assert simulated.counts() == SHARES
    simulated.hosts["aws-eu"].stop()
    for at in ("gcp-eu", "gcp-us", "gcp-eu", "gcp-us", "gcp-eu"):
        job(simulated, at)
    assert sum(simulated.counts("gcp-eu", "gcp-us").values()) == 6


def test_a_pod_of_another_seats_job_does_not_share_the_lock(simulated: SeatsWorld) -> None:
    begin(simulated)
    mine = simulated.given("aws-eu", shard="0/2", round="mine")
    other = simulated.given("gcp-eu", shard="0/2", round="other", deadline=8.0)
    with RunLock(mine) as lock:
        make_plan(mine, lock=lock)
        with pytest.raises(LeaseLost, match="round-mine"), RunLock(other) as theirs:
            make_plan(other, lock=theirs)
        lock.check()
