"""Pods that share a run, quiet hours and a rollout.

All go by one decision about commits, and each by its own clock about what is open: nothing is
written where either says no.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec.structs import replace

from kubesim.fleet import Sandbox
from kubesim.server import ClusterSettings
from reconciler.api.options import RunOptions
from reconciler.lock.run_lock import RunLock
from reconciler.plan.model import RunResult
from reconciler.run.pipeline import Prepared, apply_plan, make_plan
from reconciler.shard.split import Shard
from tests.scenarios.failover_world import CLUSTERS, NAMES
from tests.scenarios.rollout_world import FIRST, LAST, SECOND, rules, web
from tests.scenarios.seats_world import SYSTEM
from tests.scenarios.test_rollout_elsewhere import RolloutPods, all_on

OPENS = datetime(1970, 1, 12, 14, tzinfo=UTC).timestamp()
"""A quarter of an hour after these worlds begin."""
FROM_TWO = 'maintenance: [{kind: Allow, schedule: "0 14 * * *", duration: 9h}]'
NOT_AT_TWO = 'maintenance: [{kind: Deny, schedule: "0 14 * * *", duration: 10m}]'


def clusters(**windows: str) -> str:
    """With windows for some of them, by name (``aws_eu``)."""
    found = CLUSTERS
    for name, text in windows.items():
        named, spec = f"{{name: {name.replace('_', '-')}}}\nspec: {{", f"spec: {{{text}, "
        found = found.replace(named, named.replace("spec: {", spec))
    return found


@dataclass
class QuietPods(RolloutPods):
    """``skew``: pod -> by how many seconds its clock is ahead; ``plans``: pod -> its last one."""

    skew: dict[int, float] = field(default_factory=dict)
    plans: dict[int, Prepared] = field(default_factory=dict)

    def pod(self, index: int, name: str) -> RunResult:
        given = RunOptions(**{**self.options, "kubeconfig": str(self.kubeconfig)})
        given = replace(
            given,
            shard=str(Shard(index, len(NAMES), name)),
            round=name,
            clock=lambda: self.now + self.skew.get(index, 0.0),
        )
        with RunLock(given) as lock:
            self.plans[index] = make_plan(given, lock=lock)
            return apply_plan(self.plans[index])

    def agreed(self) -> dict[str, str]:
        """Cluster -> the commit that its pod went by; each cluster has one pod."""
        works = [work for plan in self.plans.values() for work in plan.works]
        assert sorted(work.cluster.name for work in works) == sorted(NAMES)
        assert {work.stable_commit for work in works} == {self.rollout.stable}
        return {work.cluster.name: work.own_commit for work in works}

    def closed(self) -> set[str]:
        return {w.cluster.name for one in self.plans.values() for w in one.works if w.plan.closed}

    def pod_of(self, cluster: str) -> int:
        return next(
            i for i in range(len(NAMES)) if Shard(i, len(NAMES), "x").clusters_of([cluster])
        )


@pytest.fixture
def pods(repository: Path) -> Iterator[QuietPods]:
    with Sandbox(list(NAMES), settings=ClusterSettings(nodes=2)) as sandbox:
        hosts = {name: sandbox.cluster(name) for name in NAMES}
        world = QuietPods(repository, sandbox.kubeconfig, hosts=hosts)
        world.begin()
        yield world


def test_pods_wait_for_windows_and_agree_who_has_which_commit(pods: QuietPods) -> None:
    new = pods.commit({"clusters.yaml": clusters(aws_eu=FROM_TWO, gcp_eu=NOT_AT_TWO)}, web=web("2"))
    with pods.writes() as writes:
        for _ in range(3):
            assert pods.run().ok
            assert pods.closed() == {FIRST}
            assert pods.agreed() == pods.commits()
    assert new not in pods.commits().values()
    assert writes[FIRST] == []
    assert [line for name in NAMES for line in writes[name] if SYSTEM not in line] == []
    assert pods.view().waves[0].waits == (
        f"{FIRST}, which waits until 1970-01-12 14:00 UTC (Cluster {FIRST}: maintenance)"
    )

    pods.now = OPENS
    for _ in range(3):
        assert pods.run().ok
        assert pods.closed() == {SECOND}
        assert pods.agreed() == pods.commits()
        assert pods.versions() == {FIRST: "2", SECOND: "1", LAST: "1"}
    assert "14:10 UTC" in pods.view().waves[1].waits

    pods.now = OPENS + 600
    assert pods.run_until_stable().ok
    assert pods.versions() == all_on("2")
    assert pods.agreed() == pods.commits() == dict.fromkeys(NAMES, new)


@pytest.mark.parametrize("ahead", [30.0, -30.0])
def test_a_window_opens_between_the_clocks_of_two_pods(pods: QuietPods, ahead: float) -> None:
    """Shard 0 decides that the commit begins, or not yet; the pod of that cluster sees it closed
    still, or open already."""
    decides, other = pods.pod_of(FIRST), next(n for n in NAMES if pods.pod_of(n))
    first = FIRST if decides else other
    rest = [name for name in NAMES if name != first]
    terms = {first.replace("-", "_"): FROM_TWO}
    new = pods.commit(
        {"federation.yaml": rules(waves=(first, rest[0])), "clusters.yaml": clusters(**terms)},
        web=web("2"),
    )
    assert pods.run().ok
    pods.skew = {pods.pod_of(first): ahead}
    pods.now = OPENS - 60 - ahead / 2
    with pods.writes() as writes:
        assert pods.run().ok
    assert pods.agreed() == pods.commits()
    assert (pods.commits()[first] == new) is (ahead < 0)
    assert (pods.closed() == {first}) is (ahead < 0)
    assert pods.versions() == all_on("1"), "where the two do not agree, nothing is written"
    assert [line for line in writes[first] if SYSTEM not in line] == []
    assert [line for name in rest for line in writes[name] if SYSTEM not in line] == []

    pods.run()
    assert pods.versions() == {first: "2", **dict.fromkeys(rest, "1")}
    assert pods.agreed() == pods.commits()
    assert pods.run_until_stable().ok
    assert pods.versions() == all_on("2")
