"""Replicas go from Git to an autoscaler and back without a dip, and are left to what sets them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reconciler.plan.model import Action, Plan
from tests.controlplane.fixtures import Fleet
from tests.controlplane.plane import ControlPlane
from tests.controlplane.process import eventually
from tests.definitions import definition_text
from tests.scenarios.conftest import CLUSTERS, World
from tests.scenarios.manifests import NAMESPACE

WEB = """
apiVersion: apps/v1
kind: {kind}
metadata: {{name: web, namespace: shop}}
spec:
  {count}
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec: {{containers: [{{name: web, image: "registry.example/web:1.0"}}]}}
"""
SCALER = """
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web, namespace: shop}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: KIND, name: web}
  minReplicas: 2
  maxReplicas: 9
"""
KINDS = ("Deployment", "StatefulSet", "ReplicaSet")


def web(count: str = "replicas: 6", kind: str = "Deployment") -> str:
    return NAMESPACE + "---" + WEB.format(count=count, kind=kind)


def scaler(kind: str = "Deployment") -> str:
    return SCALER.replace("KIND", kind)


def scale(world: World, count: int, manager: str, cluster: str = "aws") -> None:
    """As an autoscaler does it: by the subresource, under its own name."""
    world.kubectl(
        *("-n", "shop", "patch", "deployment/web", "--subresource=scale", "--type=merge"),
        *("--field-manager", manager, "-p", json.dumps({"spec": {"replicas": count}})),
        cluster=cluster,
    )


def replicas(world: World, kind: str = "deployment", cluster: str = "aws") -> int:
    return int(world.get(kind, "web", cluster)["spec"]["replicas"])


def paths(plan: Plan) -> set[str]:
    return {f.path for c in plan.clusters for change in c.changes for f in change.fields}


def told(plan: Plan, text: str) -> bool:
    return any(text in warning for warning in plan.warnings)


@pytest.mark.parametrize("said", ["# dropped", "replicas: null"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_count_that_leaves_git_for_an_autoscaler_stays_until_that_sets_another(
    world: World, kind: str, said: str
) -> None:
    world.write("web.yaml", web(kind=kind))
    assert world.apply().ok
    world.write("web.yaml", web(said, kind))
    world.write("scaler.yaml", scaler(kind))
    plan = world.plan()
    assert "spec.replicas" not in {
        f.path
        for c in plan.clusters
        for change in c.changes
        if change.key.kind == kind
        for f in change.fields
    }
    assert told(plan, "spec.replicas is handed over to HorizontalPodAutoscaler web; 6 stays")
    assert world.apply().ok
    assert replicas(world, kind) == 6
    assert not world.plan().has_changes


def test_a_count_that_leaves_git_for_nobody_stays_and_the_plan_says_so(world: World) -> None:
    world.write("web.yaml", web())
    assert world.apply().ok
    world.write("web.yaml", web("# dropped").replace("web:1.0", "web:2.0"))
    plan = world.plan()
    assert paths(plan) == {"spec.template.spec.containers[name=web].image"}
    assert told(plan, "spec.replicas is no longer in Git; 6 stays")
    (row,) = plan.workloads
    assert row.after == row.before == {"aws": 6, "gcp": 6}
    assert world.apply().ok
    assert replicas(world) == 6
    assert not world.plan().has_changes

    # Whoever sets it now, has it.
    scale(world, 4, "kubectl")
    plan = world.plan()
    assert not plan.has_changes
    assert not told(plan, "aws: Deployment.apps shop/web: spec.replicas")
    world.write("web.yaml", web("# dropped").replace("web:1.0", "web:3.0"))
    assert world.apply().ok
    assert replicas(world) == 4


def test_what_an_autoscaler_of_git_set_is_kept_through_changes_and_given_back(
    world: World,
) -> None:
    world.write("web.yaml", web("# from the beginning the autoscaler's"))
    world.write("scaler.yaml", scaler())
    assert world.apply().ok
    scale(world, 7, "kube-controller-manager")
    assert not world.plan().has_changes
    world.write("web.yaml", web("replicas: 3").replace("web:1.0", "web:2.0"))
    assert paths(world.plan()) == {"spec.template.spec.containers[name=web].image"}
    assert world.apply().ok
    assert replicas(world) == 7

    world.remove("scaler.yaml")
    plan = world.plan()
    change = next(c for c in plan.clusters[0].changes if c.action is Action.UPDATE)
    assert [(f.path, f.before, f.after) for f in change.fields] == [("spec.replicas", 7, 3)]
    assert world.apply().ok
    assert replicas(world) == 3
    assert not world.plan().has_changes


def test_an_autoscaler_holds_only_in_the_clusters_that_have_it(world: World) -> None:
    world.write("web.yaml", web("replicas: 3"))
    world.write("scaler.yaml", scaler())
    world.write(
        "placement.yaml",
        """
        apiVersion: federation.reconciler.dev/v1alpha1
        kind: Placement
        metadata: {name: scaler}
        spec:
          select: [{kind: HorizontalPodAutoscaler}]
          clusters: [aws]
        """,
    )
    assert world.apply().ok
    scale(world, 5, "kube-controller-manager")
    scale(world, 5, "kubectl", "gcp")
    plan = world.plan()
    assert [len(c.changes) for c in plan.clusters] == [0, 1]
    assert world.apply().ok
    assert (replicas(world), replicas(world, cluster="gcp")) == (5, 3)


@pytest.mark.parametrize("manager", ["kube-controller-manager", "keda", "kubectl"])
def test_an_autoscaler_that_is_not_in_git_keeps_what_it_scales(world: World, manager: str) -> None:
    world.write("web.yaml", web("replicas: 3"))
    assert world.apply().ok
    path = world.repository.parent / "scaler.yaml"
    path.write_text(scaler())
    world.kubectl("apply", "-f", str(path))
    scale(world, 5, manager)
    plan = world.plan()
    assert not plan.has_changes
    assert told(
        plan, "is left at 5 to HorizontalPodAutoscaler web, which is not in Git; Git says 3"
    )
    assert [row.after["aws"] for row in plan.workloads] == [5]
    world.write("web.yaml", web("replicas: 4").replace("web:1.0", "web:2.0"))
    assert "spec.replicas" not in {f.path for change in world.changes() for f in change.fields}
    assert world.apply().ok
    assert (replicas(world), replicas(world, cluster="gcp")) == (5, 4)

    # Gone, it keeps nothing any more, though its entry stays in managedFields.
    world.kubectl("-n", "shop", "delete", "horizontalpodautoscaler", "web")
    assert paths(world.plan()) == {"spec.replicas"}
    assert world.apply().ok
    assert replicas(world) == 4
    assert not world.plan().has_changes


def test_a_count_may_be_taken_from_an_autoscaler_that_is_not_in_git(world: World) -> None:
    world.write("web.yaml", web("replicas: 3"))
    assert world.apply().ok
    path = world.repository.parent / "scaler.yaml"
    path.write_text(scaler())
    world.kubectl("apply", "-f", str(path))
    scale(world, 5, "kube-controller-manager")
    annotated = "name: web, annotations: {federation.reconciler.dev/force-conflicts: 'true'}"
    world.write("web.yaml", web("replicas: 3").replace("name: web,", annotated + ",", 1))
    assert "spec.replicas" in {f.path for change in world.changes() for f in change.fields}
    assert world.apply().ok
    assert replicas(world) == 3


def test_what_a_person_scaled_is_drift(world: World) -> None:
    world.write("web.yaml", web("replicas: 3"))
    assert world.apply().ok
    world.kubectl("-n", "shop", "scale", "deploy/web", "--replicas=5")
    (change,) = world.changes()
    assert change.reason == "drift: changed by kubectl"
    assert world.apply().ok
    assert replicas(world) == 3


DIVIDED = """
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {name: web}
spec:
  select: [{kind: Deployment, name: web}]
  replicas:
    mode: Divided
    total: 6
    clusters: [{name: aws, weight: AWS}, {name: gcp, weight: GCP}]
"""


def test_a_division_says_where_an_autoscaled_workload_runs_and_not_how_many(world: World) -> None:
    world.write("web.yaml", web("# divided"))
    world.write("scaler.yaml", scaler())
    world.write("placement.yaml", DIVIDED.replace("AWS", "1").replace("GCP", "1"))
    assert world.apply().ok
    assert (replicas(world), replicas(world, cluster="gcp")) == (3, 3)
    scale(world, 8, "kube-controller-manager")
    assert not world.plan().has_changes
    world.write("placement.yaml", DIVIDED.replace("AWS", "0").replace("GCP", "1"))
    assert world.apply().ok
    assert replicas(world) == 0
    world.write("placement.yaml", DIVIDED.replace("AWS", "1").replace("GCP", "1"))
    assert world.apply().ok
    assert replicas(world) == 3
    assert not world.plan().has_changes


def test_a_deployment_that_kubectl_applied_is_adopted_with_the_replicas_that_run(
    world: World,
) -> None:
    path = world.repository.parent / "web.yaml"
    path.write_text(web("replicas: 6"))
    world.kubectl("apply", "-f", str(path))
    world.write("web.yaml", web("# the autoscaler's"))
    world.write("scaler.yaml", scaler())
    assert world.apply().ok
    assert replicas(world) == 6
    assert not world.plan().has_changes


def test_a_count_that_leaves_git_after_managed_fields_were_cleared_stays(world: World) -> None:
    world.write("web.yaml", web())
    assert world.apply().ok
    world.kubectl(
        *("-n", "shop", "patch", "deploy/web", "--type=merge"),
        *("-p", '{"metadata": {"managedFields": [{}]}}'),
    )
    world.write("web.yaml", web("# dropped"))
    assert world.apply().ok
    assert replicas(world) == 6


@pytest.mark.integration
def test_a_real_autoscaler_takes_over_and_gives_back(
    fleet: Fleet, control_plane: ControlPlane, repository: Path
) -> None:
    (aws,) = fleet(1, controllers=True, nodes=1)
    world = World(repository, control_plane.kubeconfig({"aws": aws}))
    world.write("clusters.yaml", CLUSTERS.partition("---")[0])
    world.write("web.yaml", web("replicas: 3"))
    assert world.apply().ok
    path = world.repository.parent / "scaler.yaml"
    path.write_text(scaler().replace("minReplicas: 2", "minReplicas: 5"))
    world.kubectl("apply", "-f", str(path))
    eventually(lambda: replicas(world) == 5, "the autoscaler scales", 60)
    plan = world.plan()
    assert not plan.has_changes
    assert told(plan, "is left at 5 to HorizontalPodAutoscaler web, which is not in Git")

    # Into Git with it, and the count out of it; then out of Git with it, and the count back.
    world.write("scaler.yaml", path.read_text())
    world.write("web.yaml", web("# the autoscaler's"))
    assert world.apply().ok
    assert replicas(world) == 5
    assert not world.plan().has_changes
    world.remove("scaler.yaml")
    world.write("web.yaml", web("replicas: 4"))
    assert world.apply().ok
    assert not world.exists("horizontalpodautoscaler", "web")
    assert world.apply().ok
    assert replicas(world) == 4


FEDERATED = """
apiVersion: types.kubefed.io/v1beta1
kind: FederatedDeployment
metadata: {name: web, namespace: shop}
spec:
  retainReplicas: true
  placement: {clusterSelector: {}}
  template:
    spec:
      replicas: 3
      selector: {matchLabels: {app: web}}
      template:
        metadata: {labels: {app: web}}
        spec: {containers: [{name: web, image: "registry.example/web:1.0"}]}
---
apiVersion: types.kubefed.io/v1beta1
kind: FederatedNamespace
metadata: {name: shop, namespace: shop}
spec: {placement: {clusterSelector: {}}}
"""


def test_replicas_that_kubefed_retains_are_told(world: World) -> None:
    world.write("web.yaml", FEDERATED)
    assert world.apply().ok
    assert not told(world.plan(), "spec.replicas")
    scale(world, 5, "kubectl")
    plan = world.plan()
    assert not plan.has_changes
    assert told(plan, "spec.replicas stays 5, as KubeFed keeps it (retainReplicas); Git says 3")


_SCALE = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}
ROLLOUTS = definition_text(
    "Rollout",
    subresources={"scale": _SCALE},
    schema="""
properties:
  spec: {type: object, properties: {replicas: {type: integer}, image: {type: string}}}
  status: {type: object, properties: {replicas: {type: integer}}}
""",
)
ROLLOUT = """
apiVersion: example.com/v1
kind: Rollout
metadata: {name: web, namespace: shop}
spec: {image: web, replicas: 6}
"""


def test_replicas_of_a_custom_resource_are_handed_over(world: World) -> None:
    world.write("web.yaml", NAMESPACE + "---" + ROLLOUTS)
    assert world.apply().ok
    world.write("rollout.yaml", ROLLOUT)
    assert world.apply().ok
    world.write("rollout.yaml", ROLLOUT.replace(", replicas: 6", ""))
    world.write("scaler.yaml", scaler("Rollout").replace("apps/v1", "example.com/v1"))
    assert told(world.plan(), "spec.replicas is handed over to HorizontalPodAutoscaler web; 6")
    assert world.apply().ok
    assert world.get("rollout", "web")["spec"]["replicas"] == 6
