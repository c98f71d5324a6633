"""Commits in waves where runs are shared by pods or take turns at seats, and where Git is a server
that comes and goes."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kubesim.fleet import Sandbox
from kubesim.server import ClusterSettings
from reconciler.api.options import RunOptions
from reconciler.lock.run_lock import RunLock
from reconciler.plan.model import RunResult
from reconciler.run.pipeline import apply_plan, make_plan
from reconciler.shard.split import Shard
from tests.scenarios.failover_world import NAMES, SHARES
from tests.scenarios.rollout_world import (
    BROKEN,
    FIRST,
    LAST,
    SECOND,
    RolloutAtHost,
    RolloutWorld,
    rules,
    simulated,
    web,
)
from tests.scenarios.seats_world import NAMESPACE, SEATS, SYSTEM, SeatsWorld
from tests.unit.git.repositories import git
from tests.unit.git.servers import http_server

__all__ = ["simulated"]


def all_on(tag: str) -> dict[str, str]:
    return dict.fromkeys(NAMES, tag)


# -- pods that share a run -------------------------------------------------------------------------


@dataclass
class RolloutPods(RolloutAtHost):
    """``run`` is a Job whose pods have one cluster each; they meet in the host."""

    def memory_options(self) -> dict[str, Any]:
        return {"repo": self.repository.as_uri(), **super().memory_options()}

    def run(self, minutes: float = 1.0) -> RunResult:
        self.now += 60 * minutes
        name = uuid.uuid4().hex
        with ThreadPoolExecutor(len(NAMES)) as pool:
            results = list(pool.map(lambda index: self.pod(index, name), range(len(NAMES))))
        self.wait_for_pods()
        return next((one for one in results if not one.ok), results[0])

    def pod(self, index: int, name: str) -> RunResult:
        shard = Shard(index, len(NAMES), name)
        own = {"kubeconfig": str(self.kubeconfig), "shard": str(shard), "round": name}
        given = RunOptions(**{**self.options, **own})
        with RunLock(given) as lock:
            return apply_plan(make_plan(given, lock=lock))


@pytest.fixture
def pods(repository: Path) -> Iterator[RolloutPods]:
    with Sandbox(list(NAMES), settings=ClusterSettings(nodes=2)) as sandbox:
        hosts = {name: sandbox.cluster(name) for name in NAMES}
        world = RolloutPods(repository, sandbox.kubeconfig, hosts=hosts)
        world.begin()
        yield world


def test_pods_take_a_commit_wave_by_wave(pods: RolloutPods) -> None:
    new = pods.commit(web=web("2"))
    pods.run()
    assert pods.versions() == {FIRST: "2", SECOND: "1", LAST: "1"}
    pods.run()
    assert pods.versions() == {FIRST: "2", SECOND: "2", LAST: "1"}
    assert pods.run_until_stable().ok
    assert pods.versions() == all_on("2")
    assert pods.commits() == dict.fromkeys(NAMES, new)


def test_a_bad_commit_stops_in_its_first_wave_for_all_pods(pods: RolloutPods) -> None:
    with pods.writes() as writes:
        pods.fail()
    assert not [line for line in writes[SECOND] if SYSTEM not in line]
    assert not [line for line in writes[LAST] if SYSTEM not in line]
    assert pods.versions() == {FIRST: BROKEN, SECOND: "1", LAST: "1"}
    pods.thaw()
    pods.revert()
    pods.run_until_stable()
    assert pods.versions() == all_on("1")


def test_pods_keep_the_sum_while_a_commit_moves_on(pods: RolloutPods) -> None:
    pods.commit(web=web("2", total=3))
    for _ in range(7):
        pods.run()
        assert sum(pods.shares().values()) >= 3
    assert sum(pods.shares().values()) == 3
    assert pods.versions() == all_on("2")


# -- runs that take turns at seats -----------------------------------------------------------------


@dataclass
class RolloutSeats(RolloutWorld, SeatsWorld):
    """Each run is at the next seat."""

    def memory_options(self) -> dict[str, Any]:
        for name in NAMES:
            self.hosts[name].create(NAMESPACE)
        self.register().initialise(NAMES)
        return {"lease_duration": 10.0}


@pytest.fixture
def seats(repository: Path) -> Iterator[RolloutSeats]:
    with Sandbox(list(NAMES), settings=ClusterSettings(nodes=2)) as sandbox:
        hosts = {name: sandbox.cluster(name) for name in NAMES}
        world = RolloutSeats(repository, sandbox.kubeconfig, hosts=hosts)
        world.begin(federation=rules(SEATS))
        yield world


def test_seats_that_take_turns_take_a_commit_wave_by_wave(seats: RolloutSeats) -> None:
    new = seats.commit(web=web("2"))
    seats.run()
    assert seats.versions() == {FIRST: "2", SECOND: "1", LAST: "1"}
    seats.run()
    assert seats.versions() == {FIRST: "2", SECOND: "2", LAST: "1"}
    seats.run_until_stable()
    assert seats.versions() == all_on("2")
    assert seats.commits() == dict.fromkeys(NAMES, new)


def test_a_seat_lost_in_the_first_wave_holds_the_rollout_up_at_the_others(
    seats: RolloutSeats,
) -> None:
    """Nobody has proved the commit."""
    seats.commit(web=web("2"))
    seats.run(at=FIRST)
    seats.hosts[FIRST].stop()
    for at in (SECOND, LAST) * 5:
        seats.run(at=at)
    assert seats.versions(SECOND, LAST) == {SECOND: "1", LAST: "1"}
    assert seats.ready(SECOND, LAST) == 6
    seats.hosts[FIRST].start()
    for _ in range(12):
        seats.run()
    assert seats.versions() == all_on("2")
    assert seats.shares() == SHARES


def test_a_seat_lost_in_a_later_wave_leaves_the_rollout_to_the_others(seats: RolloutSeats) -> None:
    seats.commit(web=web("2"))
    for at in (FIRST, SECOND, LAST) * 4:
        if seats.versions(SECOND)[SECOND] == "2":
            break
        seats.run(at=at)
    assert seats.versions() == {FIRST: "2", SECOND: "2", LAST: "1"}
    seats.hosts[SECOND].stop()
    for at in (FIRST, LAST) * 5:
        seats.run(at=at)
    assert seats.versions(FIRST, LAST) == {FIRST: "2", LAST: "2"}
    assert seats.ready(FIRST, LAST) == 6
    seats.hosts[SECOND].start()
    for _ in range(12):
        seats.run()
    assert seats.versions() == all_on("2")
    assert seats.shares() == SHARES


# -- a Git server ----------------------------------------------------------------------------------


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.usefixtures("cached")
def test_both_commits_are_read_from_a_server(simulated: RolloutWorld, tmp_path: Path) -> None:
    world = simulated
    with http_server(tmp_path) as server:
        world.options["repo"] = server.url("repository")
        world.begin()
        world.commit(web=web("2"))
        world.run()
        world.commit(web=web("3"))
        assert world.versions() == {FIRST: "2", SECOND: "1", LAST: "1"}
        seen = []
        for _ in range(9):
            world.run()
            seen.append(world.versions())
        assert seen[-1] == all_on("3")
        assert world.run().ok


@pytest.mark.usefixtures("cached")
def test_a_rollout_stands_and_failover_goes_on_without_git(
    simulated: RolloutWorld, tmp_path: Path
) -> None:
    world = RolloutAtHost(simulated.repository, simulated.kubeconfig, hosts=simulated.hosts)
    source = "  source: {whenUnreachable: Continue}\n"
    with http_server(tmp_path) as server:
        world.options["repo"] = server.url("repository")
        world.begin(federation=rules(wave="manual: true") + source)
        world.commit(web=web("2"))
        world.run()
        assert world.versions() == {FIRST: "2", SECOND: "1", LAST: "1"}
        world.run()
    world.hosts[LAST].stop()
    for _ in range(5):
        result = world.run()
        assert result.plan.without_git
    assert world.versions(FIRST, SECOND) == {FIRST: "2", SECOND: "1"}
    assert world.ready(FIRST, SECOND) == 6
    world.hosts[LAST].start()
    for _ in range(10):
        world.run()
    assert world.versions() == {FIRST: "2", SECOND: "1", LAST: "1"}
    assert world.shares() == SHARES


def test_a_commit_that_git_has_no_more_leaves_its_cluster_as_it_is(
    simulated: RolloutWorld,
) -> None:
    world = simulated
    world.begin()
    world.commit(web=web("2"))
    world.run()
    git(world.repository, "reset", "-q", "--hard", "HEAD~1")
    world.commit(web=web("3"))
    git(world.repository, "reflog", "expire", "--expire=all", "--all")
    git(world.repository, "gc", "-q", "--prune=now")
    world.options["allow_rollback"] = True
    world.run()
    assert world.versions()[SECOND] == "1"
    for _ in range(8):
        world.run()
    assert world.versions() == all_on("3")
