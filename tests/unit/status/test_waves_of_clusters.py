"""`reconcile clusters` where commits reach clusters in waves: the wave and the commit of each."""

from __future__ import annotations

from reconciler.cli.clusters import _as_table
from reconciler.failover.probe import Signal
from reconciler.plan.model import ClusterPlan
from reconciler.report.terminal import unpainted
from reconciler.rollout.model import RolloutView
from reconciler.state.memory import FleetMemory
from reconciler.status.roster import ClusterFacts, MemberRow, roster, roster_document
from tests.unit.report.rollouts import CANDIDATE, STABLE, road
from tests.unit.rollout.worlds import CLUSTERS


def seen(view: RolloutView | None) -> tuple[MemberRow, ...]:
    clusters = [one for one in CLUSTERS if one.name in ("aws-eu", "gcp-eu", "gcp-us")]
    plans = [ClusterPlan(one.name) for one in clusters]
    facts = {one.name: ClusterFacts(Signal.HEALTHY) for one in clusters}
    return roster(clusters, plans, (), FleetMemory(), facts, {}, view)


def table(view: RolloutView | None) -> list[list[str]]:
    return [unpainted(line).split() for line in _as_table(seen(view), 0.0, wide=False)]


def test_each_cluster_has_its_wave_and_the_commit_that_it_is_to_have() -> None:
    headings, *lines = table(road())
    assert headings[-2:] == ["WAVE", "WANTED"]
    assert [line[-3:] for line in lines] == [
        ["canary", CANDIDATE[:8], "well"],
        ["eu", CANDIDATE[:8], "begun"],
        ["rest", STABLE[:8], "waits"],
    ]


def test_without_waves_the_table_is_as_ever() -> None:
    headings, *_ = table(None)
    assert headings[-1] == "COMMIT"


def test_data_has_it_too() -> None:
    found = {row.cluster.name: roster_document(row) for row in seen(road())}
    assert found["gcp-eu"]["wave"] == "eu"
    assert (found["gcp-us"]["wantedCommit"], found["gcp-us"]["step"]) == (STABLE, "waits")
    without = roster_document(seen(None)[0])
    assert (without["wave"], without["wantedCommit"], without["step"]) == ("", None, None)
