"""What runs found of fleets, written by hand: what the page of the fleet is drawn from."""

from __future__ import annotations

from msgspec.structs import replace

from reconciler.api.errors import Position
from reconciler.api.objects import ObjectKey
from reconciler.cluster.kstatus import Status
from reconciler.failover.cluster_health import Absence
from reconciler.failover.probe import Signal
from reconciler.federation.model import Cluster, DesiredState, Federation
from reconciler.plan.model import ClusterPlan, Plan, RunResult, WorkloadRow
from reconciler.report.events import EventDraft
from reconciler.report.finished_run import Failure, FinishedRun, failures_of_result
from reconciler.serve.fleet_snapshot import FleetFindings, FleetSnapshot, Remaining
from reconciler.state.memory import Phase
from reconciler.status.fleet_status import ClusterStatus, WorkloadStatus
from reconciler.status.roster import ClusterFacts, MemberRow

NOON = 1_772_366_400.0
HERE = Position("federation.yaml", 1, 1)


_PLACES = tuple(
    (provider, region)
    for provider, regions in (
        ("aws", ("eu-central-1", "eu-west-1", "us-east-1", "us-west-2")),
        ("gcp", ("europe-west1", "us-central1", "asia-northeast1")),
        ("azure", ("westeurope",)),
        ("", ("",)),
    )
    for region in regions
)
_NAMES = ("cart", "catalog", "checkout", "frontend", "gateway", "ledger", "reviews", "search")


def calm_fleet(count: int) -> Plan:
    """So many clusters, over three providers and a cellar, in which nothing is to do and everybody
    is well."""
    places = [_PLACES[number % len(_PLACES)] for number in range(count)]
    clusters = sorted(
        (
            ClusterPlan(f"{provider or 'edge'}-{region or 'cellar'}-{n:02}", provider, region)
            for n, (provider, region) in enumerate(places)
        ),
        key=lambda cluster: cluster.name,
    )
    rows = []
    for place, name in enumerate(_NAMES):
        counts = {
            c.name: 2 + (n * 7 + place * 3) % 9 for n, c in enumerate(clusters) if (n + place) % 4
        }
        rows.append(WorkloadRow(ObjectKey("apps", "Deployment", "shop", name), counts, counts))
    return Plan(
        "shop",
        tuple(replace(cluster, unchanged=110) for cluster in clusters),
        commit="4f0c1d2e9b7a6553c8d1e0f2a3b4c5d6e7f80912",
        workloads=tuple(rows),
    )


def findings(plan: Plan, run: str = "20260301T120000Z-000001", ready: int = 0) -> FleetFindings:
    """What a run finds that makes this plan and writes nothing; ``ready``: as many replicas less
    than wanted, in each cluster."""
    clusters = tuple(
        Cluster(c.name, HERE, provider=c.provider, region=c.region, zone=c.zone)
        for c in plan.clusters
    )
    members = tuple(
        MemberRow(
            cluster,
            ClusterFacts(Signal.HEALTHY if c.reachable else Signal.UNKNOWN, c.problem),
            Phase.UP,
            managed=110 if c.reachable else None,
            drift=sum(one.is_drift for one in c.changes) if c.reachable else None,
            added=c.added if c.reachable else None,
            commit=plan.commit,
            closed=c.closed,
        )
        for cluster, c in zip(clusters, plan.clusters, strict=True)
    )
    away = {c.name for c in plan.clusters if not c.reachable}
    objects = tuple(
        WorkloadStatus(
            row.key,
            tuple(
                ClusterStatus(name, None, "it was not looked at", count)
                if name in away
                else ClusterStatus(
                    name,
                    Status.IN_PROGRESS if ready else Status.CURRENT,
                    f"{ready} are missing" if ready else "",
                    count,
                    count - ready,
                )
                for name, count in sorted(row.after.items())
            ),
        )
        for row in plan.workloads
    )
    remaining = {
        c.name: tuple(Remaining(o.counts_as, o.key, o.error or o.reason) for o in c.changes)
        for c in plan.clusters
        if c.changes
    }
    state = DesiredState(Federation(plan.federation, HERE), clusters, ())
    return FleetFindings(run, plan, state, members, objects, 0, remaining)


def snapshot(
    plan: Plan | None,
    number: int = 1,
    *,
    result: RunResult | None = None,
    plan_only: bool = True,
    ready: int = 0,
    failures: tuple[Failure, ...] | None = None,
    drafts: tuple[EventDraft, ...] = (),
) -> FleetSnapshot:
    """The ``number``-th run, a minute after the one before."""
    name = f"20260301T12{number:02}00Z-{number:06x}"
    if failures is None:
        failures = failures_of_result(result) if result else ()
    run = FinishedRun(
        name,
        NOON + 60 * number,
        1.5,
        federation=plan.federation if plan else "shop",
        plan=plan,
        result=result,
        failures=failures,
        plan_only=plan_only,
    )
    return FleetSnapshot(run, drafts, findings(plan, name, ready) if plan else None)


def with_one_down(plan: Plan, name: str) -> Plan:
    """The same, in which one cluster does not answer."""
    why = Absence("10.0.0.1:6443 refused the connection", down=True)
    return replace(
        plan,
        clusters=tuple(
            replace(c, reachable=False, absence=why) if c.name == name else c for c in plan.clusters
        ),
    )
