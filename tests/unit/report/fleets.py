"""Plans and results as real runs make them, written by hand: what the report tests show."""

from __future__ import annotations

from reconciler.api.errors import TextViolation
from reconciler.api.moves import NotMoved, Stay, StayReason
from reconciler.api.notices import NoticeCause, notice
from reconciler.api.objects import ObjectKey
from reconciler.api.reasons import Cause, Reason
from reconciler.failover.cluster_health import Absence, ClusterHealth
from reconciler.failover.probe import Diagnosis, Finding, Nodes, Signal, text_diagnosis
from reconciler.plan.model import (
    Action,
    Change,
    ClusterPlan,
    Outcome,
    Plan,
    PruneHold,
    RunResult,
    WorkloadRow,
)
from reconciler.state.memory import Phase
from tests.unit.report.changes import (
    ADOPT,
    CATALOG,
    CONFLICT,
    CREATE,
    CREATE_SERVICE,
    FRONTEND_DRIFT,
    ORPHAN,
    PRUNE,
    RECREATE,
    SECRET_CREATE,
    SECRET_UPDATE,
    SETTINGS,
    WIDGET,
    deployment,
    replicas,
)

_COUNTS = {
    "shop/catalog": ({"aws-eu": 4, "gcp-eu": 4, "gcp-us": 2}, {"aws-eu": 5, "gcp-eu": 5}),
    "shop/reviews": ({}, {"aws-eu": 3, "gcp-eu": 3, "gcp-us": 3}),
    "shop/frontend": ({"aws-eu": 6, "gcp-eu": 4, "gcp-us": 3}, {}),
    "shop/checkout": ({"aws-eu": 2, "gcp-eu": 2}, {}),
    "shop/cart": ({"aws-eu": 3, "gcp-eu": 2, "gcp-us": 1}, {}),
    "shop/worker": ({"aws-eu": 4, "gcp-eu": 4}, {}),
    "shop/recommendations": ({"gcp-eu": 2, "gcp-us": 2}, {"gcp-us": 4, "gcp-eu": 0}),
    "shop/search": ({"aws-eu": 3, "gcp-us": 3}, {}),
    "shop/gateway": ({"aws-eu": 2, "gcp-eu": 2, "gcp-us": 2}, {}),
    "payments/payments-api": ({"aws-eu": 4, "gcp-eu": 4, "gcp-us": 1}, {}),
    "payments/fraud-check": ({"aws-eu": 2, "gcp-eu": 3}, {}),
    "payments/ledger": ({"aws-eu": 3, "gcp-eu": 3, "gcp-us": 3}, {}),
}


def _rows() -> tuple[WorkloadRow, ...]:
    rows = []
    for name, (before, changed) in sorted(_COUNTS.items()):
        namespace, _, workload = name.partition("/")
        after = {**before, **changed}
        rows.append(
            WorkloadRow(
                deployment(workload, namespace),
                before,
                after,
                shortfall=2 if workload == "recommendations" else 0,
                placed_by=f"Placement {workload}",
            )
        )
    return tuple(rows)


def web_shop() -> Plan:
    """Three clusters, twelve workloads, one change of every sort."""
    return Plan(
        "shop",
        (
            ClusterPlan(
                "aws-eu",
                "aws",
                "eu-central-1",
                "eu-central-1a",
                changes=(CATALOG, CREATE, CREATE_SERVICE, SETTINGS, SECRET_UPDATE, CONFLICT),
                unchanged=37,
                requests=24,
            ),
            ClusterPlan(
                "gcp-eu",
                "gcp",
                "europe-west1",
                changes=(
                    *(CATALOG, CREATE, CREATE_SERVICE, SETTINGS, SECRET_UPDATE),
                    *(PRUNE, RECREATE, ORPHAN),
                ),
                unchanged=35,
                requests=26,
            ),
            ClusterPlan(
                "gcp-us",
                "gcp",
                "us-central1",
                changes=(FRONTEND_DRIFT, CREATE, CREATE_SERVICE, ADOPT, SECRET_CREATE, WIDGET),
                unchanged=31,
                prune_hold=PruneHold(refused="the API group metrics.k8s.io did not answer"),
                requests=25,
            ),
        ),
        commit="4f0c1d2e9b7a6553c8d1e0f2a3b4c5d6e7f80912",
        notices=(
            notice(
                NoticeCause.PLACEMENTS_TIE,
                subject="Deployment.apps shop/search",
                place="shop/search/deployment.yaml:1",
                winner="search",
                others="everything",
            ),
            notice(NoticeCause.SHORTFALL, subject="Deployment.apps shop/recommendations", count=2),
        ),
        workloads=_rows(),
    )


def failover() -> Plan:
    """A region is down: replicas move, DNS targets are withdrawn."""
    down = "simulated outage: region=eu-central-1"
    moved = Change(
        Action.UPDATE,
        deployment("frontend"),
        "apps/v1",
        (replicas(4, 7),),
        reasons=(Reason(Cause.SHARE_OF_REPLICAS),),
    )
    name = "frontend.shop.example.com."
    return Plan(
        "shop",
        (
            ClusterPlan("aws-eu", "aws", "eu-central-1", reachable=False, absence=Absence(down)),
            ClusterPlan("gcp-eu", "gcp", "europe-west1", changes=(moved,), unchanged=40),
            ClusterPlan("gcp-us", "gcp", "us-central1", unchanged=34),
        ),
        workloads=(
            WorkloadRow(
                deployment("frontend"),
                {"aws-eu": 6, "gcp-eu": 4, "gcp-us": 3},
                {"aws-eu": 0, "gcp-eu": 7, "gcp-us": 3},
                shortfall=3,
                placed_by="Placement frontend",
            ),
        ),
        moves=(NotMoved("aws-eu", (deployment("api"),), Stay(StayReason.HAS_RUN)),),
        dns=(
            {
                "zone": "shop.example.com.",
                "name": name,
                "type": "A",
                "from": ["192.0.2.10", "198.51.100.7"],
                "to": ["198.51.100.7"],
                "reason": "aws-eu is down",
            },
        ),
        simulated_outages=("region=eu-central-1",),
    )


def unwell() -> Plan:
    """Clusters in every state of health: well, ailing, down, coming back, and nobody knows."""
    noon = 1_772_366_400.0
    refused = "10.0.0.1:6443 refused the connection"
    return Plan(
        "shop",
        (
            ClusterPlan(
                "aws-eu",
                "aws",
                "eu-central-1",
                reachable=False,
                absence=Absence(refused, down=True),
            ),
            ClusterPlan("aws-us", "aws", "us-east-1", unchanged=30),
            ClusterPlan("gcp-asia", "gcp", "asia-east1", unchanged=30),
            ClusterPlan("gcp-eu", "gcp", "europe-west1", changes=(CATALOG,), unchanged=30),
            ClusterPlan(
                "gcp-us", "gcp", "us-central1", reachable=False, absence=Absence("no credential")
            ),
        ),
        health=(
            ClusterHealth("aws-eu", Phase.DOWN, Signal.UNHEALTHY, text_diagnosis(refused), noon),
            ClusterHealth(
                "aws-us",
                Phase.UP,
                Signal.UNHEALTHY,
                Diagnosis(Finding.FEW_NODES, nodes=Nodes(1, 4)),
                outlook="counts as down when it stays so for 2m more",
                ready_nodes=1,
                nodes=4,
            ),
            ClusterHealth("gcp-asia", Phase.RETURNING, Signal.HEALTHY, since=noon),
            ClusterHealth("gcp-eu", Phase.UP, Signal.HEALTHY, ready_nodes=3, nodes=4),
            ClusterHealth(
                "gcp-us",
                Phase.UP,
                Signal.UNKNOWN,
                text_diagnosis("no credential"),
                outlook="its writes wait, nothing moves",
            ),
        ),
    )


def guarded() -> Plan:
    """A plan that a guard stops."""
    gone = tuple(
        Change(
            Action.PRUNE,
            ObjectKey("", "ConfigMap", "shop", f"settings-{number:02}"),
            "v1",
            reasons=(Reason(Cause.REMOVED),),
        )
        for number in range(14)
    )
    return Plan(
        "shop",
        (ClusterPlan("aws-eu", "aws", "eu-central-1", changes=gone, unchanged=20),),
        violations=(
            TextViolation("aws-eu", "aws-eu: 14 deletions, spec.guards.maxDeletions is 10"),
        ),
        violation_hint="look at what would be deleted; pass --max-deletions once",
    )


def quiet() -> Plan:
    """Nothing to do."""
    return Plan(
        "shop",
        (
            ClusterPlan("aws-eu", "aws", "eu-central-1", unchanged=40),
            ClusterPlan("gcp-eu", "gcp", "europe-west1", unchanged=38),
        ),
        workloads=(WorkloadRow(deployment("web"), {"aws-eu": 2}, {"aws-eu": 2}),),
    )


_PLACES = (
    ("aws", ("eu-central-1", "eu-west-1", "us-east-1", "us-west-2", "ap-southeast-2")),
    ("gcp", ("europe-west1", "europe-north1", "us-central1", "asia-northeast1")),
    ("azure", ("westeurope", "eastus")),
    ("", ("",)),
)


def large_fleet(count: int = 40) -> Plan:
    """Many clusters over three providers and a cellar, one of them down, one moving replicas."""
    places = [(provider, region) for provider, regions in _PLACES for region in regions]
    clusters = []
    for number in range(count):
        provider, region = places[number % len(places)]
        name = f"{provider or 'edge'}-{region or 'cellar'}-{number:02}"
        if number == 7:
            problem = "10.7.0.1:6443 refused the connection"
            clusters.append(
                ClusterPlan(name, provider, region, reachable=False, absence=Absence(problem))
            )
            continue
        changes = (CATALOG, *((PRUNE,) if number % 9 == 0 else ()))
        changes += (FRONTEND_DRIFT,) if number % 11 == 3 else ()
        clusters.append(ClusterPlan(name, provider, region, changes=changes, unchanged=110))
    rows = []
    for place, workload in enumerate(sorted(_COUNTS)):
        namespace, _, short = workload.partition("/")
        before = {
            c.name: 2 + (index * 7 + place * 3) % 9
            for index, c in enumerate(clusters)
            if (index + place) % 4
        }
        after = dict(before)
        if short == "catalog":
            after = {name: n + 1 for name, n in before.items()}
        if short == "frontend":
            after = {name: 0 if name == clusters[7].name else n for name, n in before.items()}
        rows.append(WorkloadRow(deployment(short, namespace), before, after))
    return Plan(
        "shop",
        tuple(sorted(clusters, key=lambda c: c.name)),
        commit="4f0c1d2e9b7a6553c8d1e0f2a3b4c5d6e7f80912",
        workloads=tuple(rows),
    )


def run_of_web_shop() -> RunResult:
    """The web shop's plan carried out: one refusal, and what had to wait for it."""
    plan = web_shop()
    outcomes = []
    for cluster in plan.clusters:
        for change in cluster.changes:
            if change.action is Action.FAILED:
                continue
            status, message = "done", ""
            if change is RECREATE:
                status, message = "failed", "admission webhook quota.example.com denied the request"
            if change is PRUNE:
                status, message = "skipped", "pruning waits for what failed"
            outcomes.append(
                Outcome(cluster.name, change.action, change.key, status, message, seconds=0.25)  # type: ignore[arg-type]
            )
    return RunResult(
        plan,
        tuple(sorted(outcomes, key=lambda o: (o.cluster, o.key, o.action))),
        requests={"aws-eu": 41, "gcp-eu": 44, "gcp-us": 39},
    )
