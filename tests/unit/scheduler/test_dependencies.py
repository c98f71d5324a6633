"""What a workload needs goes where it goes."""

from __future__ import annotations

import pytest

from reconciler.api.objects import ObjectKey
from reconciler.federation.model import DesiredState
from reconciler.scheduler.commits import with_commits
from reconciler.scheduler.model import FleetView
from reconciler.scheduler.placement_warnings import separations, why_unplaced
from reconciler.scheduler.schedule import schedule
from tests.unit.dns.fleets import understood

FEDERATION = """
apiVersion: federation.reconciler.dev/v1alpha1
kind: Federation
metadata: {name: shop}
spec: {dependencies: %s%s}
"""
CLUSTERS = "---".join(
    f"""
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {{name: {name}}}
spec: {{provider: {name[:3]}, region: {name}}}
"""
    for name in ("aws", "edge", "gcp")
)
WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web, tier: front}}
    spec:
      serviceAccountName: web
      priorityClassName: high
      runtimeClassName: gvisor
      imagePullSecrets: [{name: registry}]
      containers:
        - {name: web, image: web, envFrom: [{configMapRef: {name: settings, optional: true}}]}
      volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {name: web}
spec: {select: [{kind: Deployment, name: web}], %s}
"""
NEEDED = """
---
{apiVersion: v1, kind: Namespace, metadata: {name: shop}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: settings, namespace: shop}}
---
{apiVersion: v1, kind: Secret, metadata: {name: registry, namespace: shop}}
---
{apiVersion: v1, kind: Secret, metadata: {name: of-account, namespace: shop}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: web, namespace: shop},
 imagePullSecrets: [{name: of-account}]}
---
{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: data, namespace: shop}}
---
{apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, metadata: {name: high}, value: 5}
---
{apiVersion: node.k8s.io/v1, kind: RuntimeClass, metadata: {name: gvisor}, handler: runsc}
---
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop},
 spec: {selector: {app: web}, ports: [{port: 80}]}}
---
{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {name: web, namespace: shop},
 spec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}, maxReplicas: 5}}
"""
OTHERS = """
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: other, namespace: shop}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: settings, namespace: elsewhere}}
---
{apiVersion: v1, kind: Service, metadata: {name: other, namespace: shop},
 spec: {selector: {app: other}, ports: [{port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: none, namespace: shop}, spec: {ports: [{port: 1}]}}
"""
Where = dict[str, tuple[str, ...]]


def state_of(mode: str, web: str, *more: str, defaults: str = "") -> DesiredState:
    return understood(FEDERATION % (mode, defaults), CLUSTERS, WEB % web + "".join(more))


def where(state: DesiredState, view: FleetView | None = None) -> Where:
    found = schedule(state, view)
    return {f"{a.workload.kind} {a.workload.name}": tuple(a.replicas) for a in found}


def test_all_that_it_names_and_what_selects_or_scales_it_follows() -> None:
    state = state_of("Follow", "clusters: [aws, gcp]", NEEDED, OTHERS)
    found = where(state)
    others = {"ConfigMap other", "ConfigMap settings", "Service other", "Service none"}
    assert {name: there for name, there in found.items() if name not in others} == dict.fromkeys(
        found.keys() - others, ("aws", "gcp")
    )
    placed = {a.workload: tuple(a.replicas) for a in schedule(state)}
    assert placed[ObjectKey("", "ConfigMap", "shop", "settings")] == ("aws", "gcp")
    for namespace, kind, name in (
        ("elsewhere", "ConfigMap", "settings"),
        ("shop", "ConfigMap", "other"),
        ("shop", "Service", "other"),
        ("shop", "Service", "none"),
    ):
        assert placed[ObjectKey("", kind, namespace, name)] == ()
    assert not separations(state, schedule(state))
    nobody = [n for n in state.notices if n.cause == "PlacedByNobody"]
    assert len(nobody) == 4


def test_without_it_nothing_follows_but_the_namespace_and_all_is_told() -> None:
    state = state_of("Warn", "clusters: [aws]", NEEDED)
    assert {name for name, there in where(state).items() if there} == {
        "Deployment web",
        "Namespace shop",
    }
    (told,) = [n for n in separations(state, schedule(state)) if n.cause == "NeedElsewhere"]
    assert str(told).startswith("all.yaml:21: Deployment.apps shop/web may go to aws, where ")
    assert "PersistentVolumeClaim shop/data (all.yaml:55)" in str(told)
    ignored = state_of("Ignore", "clusters: [aws]", NEEDED)
    found = separations(ignored, schedule(ignored))
    assert not [n for n in found if n.cause == "NeedElsewhere"]


def test_a_placement_says_it_for_its_own_workloads() -> None:
    state = state_of("Warn", "clusters: [aws], dependencies: Follow", NEEDED)
    assert where(state)["ConfigMap settings"] == ("aws",)
    state = state_of("Follow", "clusters: [aws], dependencies: Ignore", NEEDED)
    assert where(state)["ConfigMap settings"] == ()


def test_what_has_a_placement_of_its_own_stays_there_and_is_told_with_both_lines() -> None:
    own = """
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {name: claims}
spec: {select: [{kind: PersistentVolumeClaim}], clusters: [gcp]}
"""
    state = state_of("Follow", "clusters: [aws]", NEEDED, own)
    assert where(state)["PersistentVolumeClaim data"] == ("gcp",)
    assert where(state)["Namespace shop"] == ("aws", "gcp")
    (told,) = separations(state, schedule(state))
    assert str(told) == (
        "all.yaml:21: Deployment.apps shop/web may go to aws, where PersistentVolumeClaim "
        "shop/data (all.yaml:55) does not go, which it needs"
    )


def test_what_goes_everywhere_by_default_goes_there_and_where_it_is_needed() -> None:
    defaults = ", defaults: {placement: {clusters: [gcp]}}"
    state = state_of("Follow", "clusters: [aws]", NEEDED, OTHERS, defaults=defaults)
    found = where(state)
    assert found["Secret registry"] == found["Namespace shop"] == ("aws", "gcp")
    assert found["ConfigMap other"] == ("gcp",)


def test_it_moves_in_an_outage_before_the_old_place_is_left() -> None:
    state = state_of("Follow", "spread: [{by: cluster, maxGroups: 1}]", NEEDED)
    (home,) = where(state)["Deployment web"]
    assert where(state)["Secret registry"] == (home,)
    moved = schedule(state, FleetView(unavailable={home: "down"}))
    web, *others = sorted(moved, key=lambda a: a.workload.kind != "Deployment")
    assert len(web.replicas) == 2
    assert home in web.replicas
    assert len(others) == 10
    for one in others:
        assert one.replicas.keys() == web.replicas.keys(), one.workload
        assert one.spare == web.spare


def test_what_nobody_that_goes_anywhere_needs_goes_nowhere() -> None:
    state = state_of("Follow", "clusters: []", NEEDED)
    assert where(state)["Secret registry"] == ()
    assert not why_unplaced(state, schedule(state)).nowhere


@pytest.mark.parametrize("kind", ["StatefulSet", "CronJob"])
def test_other_workloads_lead_as_well(kind: str) -> None:
    pod = "{containers: [{name: a, image: a, env: [{name: A, valueFrom: {secretKeyRef: " \
          "{name: registry, key: a}}}]}]}"  # fmt: skip
    spec = {
        "StatefulSet": "{serviceName: none, selector: {matchLabels: {a: b}}, template: "
        f"{{metadata: {{labels: {{a: b}}}}, spec: {pod}}}}}",
        "CronJob": '{schedule: "0 0 * * *", jobTemplate: {spec: {template: {spec: '
        f"{pod}}}}}}}}}",
    }[kind]
    version = {"StatefulSet": "apps/v1", "CronJob": "batch/v1"}[kind]
    text = f"""
---
apiVersion: {version}
kind: {kind}
metadata: {{name: other, namespace: shop}}
spec: {spec}
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {{name: other}}
spec: {{select: [{{kind: {kind}}}], clusters: [edge]}}
"""
    found = where(state_of("Follow", "clusters: [aws]", NEEDED, OTHERS, text))
    assert found["Secret registry"] == ("aws", "edge")
    assert found["Secret of-account"] == ("aws",)
    assert found["Service none"] == (("edge",) if kind == "StatefulSet" else ())


@pytest.mark.parametrize(
    "body",
    [
        "{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: other, "
        "namespace: shop}, spec: {tls: [{secretName: registry}]}}",
        "{apiVersion: argoproj.io/v1alpha1, kind: Rollout, metadata: {name: other, "
        "namespace: shop}, spec: {template: {spec: {imagePullSecrets: [{name: registry}], "
        "containers: [{name: a, image: a}]}}}}",
    ],
)
def test_an_ingress_and_other_kinds_of_workloads_lead_as_well(body: str) -> None:
    kind = body.split("kind: ")[1].split(",")[0]
    text = f"""
---
{body}
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {{name: other}}
spec: {{select: [{{kind: {kind}}}], clusters: [edge]}}
"""
    found = where(state_of("Follow", "clusters: [aws]", NEEDED, text))
    assert found["Secret registry"] == ("aws", "edge")
    assert found["Secret of-account"] == ("aws",)


NEEDS = "envFrom: [{configMapRef: {name: settings}}]"
SMALL = """
{apiVersion: v1, kind: Namespace, metadata: {name: shop}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: settings, namespace: shop}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: shop}, spec: {
  selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}},
  spec: {containers: [{name: web, image: web, %s}]}}}}
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {name: web}
spec: {select: [{kind: Deployment}], clusters: %s, dependencies: %s}
"""


@pytest.mark.parametrize("defaults", ["", ", defaults: {placement: {clusters: [aws]}}"])
@pytest.mark.parametrize(
    "commits",
    [
        ((NEEDS, "[aws, gcp]", "Ignore"), (NEEDS, "[aws, gcp]", "Follow")),
        (("", "[aws, gcp]", "Follow"), (NEEDS, "[aws, gcp]", "Follow")),
        ((NEEDS, "[aws]", "Follow"), (NEEDS, "[aws, gcp]", "Follow")),
    ],
)
@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("first", ["aws", "gcp"])
def test_what_another_commit_lets_follow_comes_with_that_commit(
    defaults: str, commits: tuple[tuple[str, ...], ...], backwards: bool, first: str
) -> None:
    old, new = (
        understood(FEDERATION % ("Ignore", defaults), CLUSTERS, SMALL % one)
        for one in (reversed(commits) if backwards else commits)
    )
    of_cluster = {c.name: "new" if c.name == first else "old" for c in new.clusters}
    mixed = schedule(with_commits(new, "old", of_cluster, {"old": old, "new": new}))
    alone = {"old": schedule(old), "new": schedule(new)}
    for cluster, commit in of_cluster.items():
        found = {a.workload for a in mixed if cluster in a.replicas}
        assert found == {a.workload for a in alone[commit] if cluster in a.replicas}
