"""What a deletion waits for, what it is decided by again, and what it may not take along."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kubesim.fleet import Sandbox
from reconciler.plan.model import Action, Change
from reconciler.run.pipeline import apply_plan
from tests.controlplane.fixtures import Fleet
from tests.controlplane.plane import ControlPlane
from tests.definitions import definition_text
from tests.scenarios.conftest import FEDERATION, NAMES, World
from tests.scenarios.manifests import NAMESPACE, SERVICE, SETTINGS, SHOP, WEB

OURS = "federation.reconciler.dev"
RECREATE = f'{OURS}/recreate: "true"'
SKIP = FEDERATION + "  guards: {onInvalid: Skip}\n"
RENAMED = SETTINGS.replace("name: settings", "name: settings-2")
TAKEN = SETTINGS.replace("name: settings", "name: taken")
WIDGET = """
apiVersion: example.org/v1
kind: Widget
metadata: {name: one, namespace: shop}
"""
WIDGETS = definition_text(
    "Widget",
    "example.org",
    schema="""
properties:
  spec:
    type: object
    x-kubernetes-preserve-unknown-fields: true
    properties:
      size:
        type: string
        x-kubernetes-validations: [{rule: self == oldSelf, message: size is immutable}]
""",
)
PLACED = (
    "apiVersion: federation.reconciler.dev/v1alpha1\nkind: Placement\nmetadata: {name: settings}\n"
    "spec:\n  select: [{kind: ConfigMap, name: settings}]\n  clusters: [%s]\n"
)


def join(*documents: str) -> str:
    return "---".join(documents)


def with_selector(app: str, manifest: str = WEB, annotations: str = RECREATE) -> str:
    """``manifest`` with other Pod labels, which needs a recreation, and annotations."""
    return manifest.replace("app: web", f"app: {app}").replace(
        "name: web, namespace: shop}",
        f"name: web, namespace: shop, annotations: {{{annotations}}}}}",
        1,
    )


def put(world: World, *bodies: dict[str, Any], cluster: str = "aws") -> None:
    """Somebody creates objects with kubectl."""
    path = world.repository.parent / "by-hand.json"
    path.write_text("---\n".join(json.dumps(body) + "\n" for body in bodies))
    world.kubectl("apply", "--server-side", "-f", str(path), cluster=cluster)


def config_map(name: str, owner: dict[str, Any] | None = None) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "namespace": "shop"}
    if owner is not None:
        metadata["ownerReferences"] = [reference(owner)]
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}


def reference(owner: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
    }


def own(world: World, kind: str, name: str, owner: dict[str, Any]) -> None:
    """Somebody makes ``owner`` the owner of an object of ours."""
    patch = json.dumps({"metadata": {"ownerReferences": [reference(owner)]}})
    world.kubectl("-n", "shop", "patch", kind, name, "--type=merge", "-p", patch)


def prunes(world: World, cluster: str = "aws") -> list[str]:
    return [c.key.name for c in world.changes(cluster) if c.action is Action.PRUNE]


def one(changes: tuple[Change, ...], kind: str) -> Change:
    (found,) = [c for c in changes if c.key.kind == kind]
    return found


# -- what prunes wait for --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "refused",
    [
        TAKEN,
        TAKEN.replace("taken", "conflict"),
        WIDGET,
        SERVICE.replace("port: 80", "port: 99999999"),
        with_selector("other", annotations='example.org/note: "needs a recreation"'),
    ],
    ids=["another inventory's", "a conflict", "not served", "invalid", "needs recreate"],
)
def test_what_is_refused_in_a_cluster_holds_its_prunes(world: World, refused: str) -> None:
    world.write("federation.yaml", SKIP)
    world.write("shop.yaml", SHOP)
    world.apply()
    for cluster in NAMES:
        other = {"applyset.kubernetes.io/part-of": "applyset-other-v1"}
        world.create_config_map("taken", cluster, **other)
        world.create_config_map("conflict", cluster)
        world.kubectl(
            *("-n", "shop", "patch", "configmap", "conflict", "--field-manager=somebody"),
            *("--type=merge", "-p", '{"data": {"colour": "red"}}'),
            cluster=cluster,
        )
    rest = [d for d in (WEB, SERVICE) if f"{kind_of(d)} {name_of(d)}" != f"{kind_of(refused)} web"]
    world.write("shop.yaml", join(NAMESPACE, RENAMED, *rest, refused))
    plan = world.plan()
    for part in plan.clusters:
        assert {c.action for c in part.changes} == {Action.CREATE, Action.FAILED}
        assert "could not be applied first" in part.prune_blocked
    assert any("then go ConfigMap shop/settings" in warning for warning in plan.warnings)
    assert not world.apply().ok
    assert world.exists("configmap", "settings")
    assert world.exists("configmap", "settings-2")
    # What was refused is no longer asked for, and the prune is made.
    world.write("shop.yaml", join(NAMESPACE, RENAMED, WEB, SERVICE))
    assert world.apply().ok
    assert not world.exists("configmap", "settings")


def kind_of(manifest: str) -> str:
    return next(line.partition(": ")[2] for line in manifest.splitlines() if "kind:" in line)


def name_of(manifest: str) -> str:
    return manifest.partition("name: ")[2].partition(",")[0]


def test_a_refusal_holds_nothing_where_nothing_is_to_be_pruned(world: World) -> None:
    world.write("shop.yaml", SHOP)
    world.apply()
    other = {"applyset.kubernetes.io/part-of": "applyset-other-v1"}
    world.create_config_map("taken", **other)
    world.write("shop.yaml", join(SHOP, TAKEN))
    aws, _ = world.plan().clusters
    assert aws.prune_blocked == ""


def test_a_recreation_waits_for_what_is_refused(world: World) -> None:
    world.write("shop.yaml", SHOP)
    world.apply()
    uid = world.get("deployment", "web")["metadata"]["uid"]
    other = {"applyset.kubernetes.io/part-of": "applyset-other-v1"}
    world.create_config_map("taken", **other)
    world.write("shop.yaml", join(NAMESPACE, with_selector("other"), SETTINGS, SERVICE, TAKEN))
    aws, gcp = world.plan().clusters
    change = one(aws.changes, "Deployment")
    assert change.action is Action.FAILED
    assert "recreation waits: ConfigMap shop/taken could not be applied first" in change.error
    assert one(gcp.changes, "Deployment").action is Action.RECREATE
    world.apply()
    assert world.get("deployment", "web")["metadata"]["uid"] == uid


def test_a_recreation_waits_for_what_fails_in_the_run(world: World) -> None:
    world.write("shop.yaml", SHOP)
    world.apply()
    uid = world.get("deployment", "web")["metadata"]["uid"]
    world.write("shop.yaml", join(NAMESPACE, with_selector("other"), SETTINGS, SERVICE, RENAMED))
    prepared = world.prepare()
    # Between plan and apply somebody else takes the name, with a value of his own.
    world.create_config_map("settings-2")
    world.kubectl(
        *("-n", "shop", "patch", "configmap", "settings-2", "--type=merge"),
        *("--field-manager=somebody", "-p", '{"data": {"colour": "red"}}'),
    )
    result = apply_plan(prepared)
    told = {o.key.kind: o for o in result.outcomes if o.cluster == "aws"}
    assert told["ConfigMap"].status == "failed"
    assert told["Deployment"].status == "skipped"
    assert "recreation waits" in told["Deployment"].message
    assert world.get("deployment", "web")["metadata"]["uid"] == uid


# -- across clusters -------------------------------------------------------------------------------


def moved(world: World) -> None:
    """The ConfigMap ``settings`` is to move from aws to gcp."""
    world.write("shop.yaml", SHOP)
    world.write("placement.yaml", PLACED % "aws")
    world.apply()
    world.write("placement.yaml", PLACED % "gcp")


def test_what_is_refused_where_it_moves_to_is_not_pruned_and_the_plan_says_so(
    world: World,
) -> None:
    moved(world)
    other = {"applyset.kubernetes.io/part-of": "applyset-other-v1"}
    world.create_config_map("settings", "gcp", **other)
    plan = world.plan()
    aws, _ = plan.clusters
    assert aws.changes == ()
    assert any(
        "aws: pruning waits: ConfigMap shop/settings" in w and "refused in gcp" in w
        for w in plan.warnings
    )
    world.apply()
    assert world.exists("configmap", "settings")


def test_what_would_take_along_what_waits_waits_too(simulated_world: World) -> None:
    """A Namespace that goes from aws with a ConfigMap that gcp refuses."""
    world = simulated_world
    kept = SETTINGS.replace("namespace: shop", "namespace: default").replace("settings", "kept")
    placed = PLACED.replace("name: settings}]", "name: settings}, {kind: Namespace}]")
    world.write("shop.yaml", join(NAMESPACE, SETTINGS, kept))
    world.write("placement.yaml", placed % "aws, gcp")
    world.apply()
    world.write("placement.yaml", placed % "gcp")
    assert sorted(prunes(world)) == ["settings", "shop"]
    world.write("shop.yaml", join(NAMESPACE, SETTINGS + "dada: {x: y}\n", kept))
    world.write("federation.yaml", SKIP)
    assert prunes(world) == []
    world.apply()
    assert world.exists("configmap", "settings")


@pytest.fixture
def pair(simulated_world: World, sandbox: Sandbox) -> tuple[World, Sandbox]:
    return simulated_world, sandbox


def test_what_moves_to_a_cluster_that_does_not_answer_stays(
    pair: tuple[World, Sandbox],
) -> None:
    world, sandbox = pair
    moved(world)
    sandbox.cluster("gcp").stop()
    plan = world.plan()
    assert all(not c.changes for c in plan.clusters)
    assert any(
        "aws keeps ConfigMap shop/settings until it is ready in gcp" in str(m) for m in plan.moves
    )
    world.apply()
    world.apply(clusters=("aws",))
    assert world.exists("configmap", "settings")


def test_what_moves_stays_when_the_run_over_there_dies(pair: tuple[World, Sandbox]) -> None:
    world, sandbox = pair
    moved(world)
    prepared = world.prepare()
    sandbox.cluster("gcp").stop()
    assert not apply_plan(prepared).ok
    assert world.exists("configmap", "settings")


def test_what_moves_to_several_clusters_waits_for_them_all(pair: tuple[World, Sandbox]) -> None:
    """One home where it always was is not enough: the other may be the one that counts."""
    world, sandbox = pair
    text = (world.repository / "clusters.yaml").read_text()
    world.write("clusters.yaml", text + "---" + text.partition("---")[0].replace("aws", "far"))
    world.write("shop.yaml", SHOP)
    world.write("placement.yaml", PLACED % "aws, gcp")
    world.apply()
    world.write("placement.yaml", PLACED % "gcp, far")
    sandbox.cluster("far").stop()
    world.apply()
    world.apply(clusters=("aws",))
    world.apply(clusters=("aws", "gcp"))
    assert world.exists("configmap", "settings")
    sandbox.cluster("far").start()
    assert world.apply().ok
    assert world.exists("configmap", "settings", "far")
    assert not world.exists("configmap", "settings")


# -- decided again ---------------------------------------------------------------------------------

MEANWHILE = {
    "protected": ("annotate", f"{OURS}/protect=true"),
    "orphaned": ("annotate", f"{OURS}/orphan=true"),
    "orphaned by KubeFed": ("annotate", "kubefed.io/orphan=true"),
    "a protected label": ("label", "keep=me"),
    "another inventory's": ("label", "--overwrite", "applyset.kubernetes.io/part-of=applyset-o-v1"),
    "nobody's": ("label", "applyset.kubernetes.io/part-of-"),
    "another propagation": ("annotate", f"{OURS}/prune-propagation=Orphan"),
}
PROTECTED_LABEL = FEDERATION + "  prune: {protect: {labels: {matchLabels: {keep: me}}}}\n"


@pytest.mark.parametrize("how", MEANWHILE)
@pytest.mark.parametrize("kind", ["configmap", "deployment", "namespace"])
def test_what_was_decided_otherwise_since_the_plan_is_not_pruned(
    world: World, how: str, kind: str
) -> None:
    name = {"configmap": "settings", "deployment": "web", "namespace": "shop"}[kind]
    world.write("federation.yaml", PROTECTED_LABEL)
    world.write("kept.yaml", SETTINGS.replace("shop}", "default}").replace("settings", "kept"))
    world.write("shop.yaml", join(NAMESPACE, WEB, SETTINGS))
    world.apply()
    world.remove("shop.yaml")
    prepared = world.prepare(max_deletions=9)
    verb, *arguments = MEANWHILE[how]
    world.kubectl(verb, kind, name, "-n", "shop", *arguments)
    result = apply_plan(prepared)
    assert not result.ok
    (told,) = [o for o in result.outcomes if o.cluster == "aws" and o.key.name == name]
    assert told.status != "done"
    assert not world.get(kind, name)["metadata"].get("deletionTimestamp")


def test_what_got_an_owner_since_the_plan_is_not_pruned_by_it(world: World) -> None:
    world.write("shop.yaml", SHOP)
    world.apply()
    world.create_config_map("owner")
    world.write("shop.yaml", join(NAMESPACE, WEB, SERVICE))
    prepared = world.prepare()
    own(world, "configmap", "settings", world.get("configmap", "owner"))
    result = apply_plan(prepared)
    (told,) = [o for o in result.outcomes if o.cluster == "aws"]
    assert told.status == "failed"
    assert "owned by ConfigMap owner" in told.message
    assert world.exists("configmap", "settings")
    # The next plan says whose it is besides, and an owner that stays does not keep it for ever.
    (change,) = world.changes()
    assert (change.action, change.reason) == (
        Action.PRUNE,
        "removed from Git; owned by ConfigMap owner",
    )
    assert world.apply().ok
    assert not world.exists("configmap", "settings")
    assert world.exists("configmap", "owner")


def test_an_object_whose_status_moved_since_the_plan_is_pruned(world: World) -> None:
    world.write("shop.yaml", SHOP)
    world.apply()
    world.write("shop.yaml", join(NAMESPACE, WEB, SERVICE))
    prepared = world.prepare()
    world.kubectl("annotate", "configmap", "settings", "-n", "shop", "example.org/seen=yes")
    assert apply_plan(prepared).ok
    assert not world.exists("configmap", "settings")


def test_an_object_made_anew_since_the_plan_is_not_pruned(world: World) -> None:
    world.write("shop.yaml", SHOP)
    world.apply()
    world.write("shop.yaml", join(NAMESPACE, WEB, SERVICE))
    prepared = world.prepare()
    body = world.get("configmap", "settings")
    for name in ("uid", "resourceVersion", "creationTimestamp", "managedFields"):
        body["metadata"].pop(name, None)
    world.kubectl("-n", "shop", "delete", "configmap", "settings")
    put(world, body)
    result = apply_plan(prepared)
    assert any("made again meanwhile" in o.message for o in result.outcomes)
    assert world.exists("configmap", "settings")


@pytest.mark.parametrize(
    "arguments",
    [
        ("annotate", f"{OURS}/protect=true"),
        ("label", "keep=me"),
        ("label", "applyset.kubernetes.io/part-of-"),
        ("scale", "--replicas=5"),
    ],
    ids=["protected", "labelled", "nobody's", "scaled"],
)
def test_what_was_changed_since_the_plan_is_not_recreated(
    world: World, arguments: tuple[str, ...]
) -> None:
    world.write("shop.yaml", SHOP)
    world.apply()
    uid = world.get("deployment", "web")["metadata"]["uid"]
    world.write("shop.yaml", join(NAMESPACE, with_selector("other"), SETTINGS, SERVICE))
    prepared = world.prepare()
    verb, *more = arguments
    world.kubectl("-n", "shop", verb, "deployment", "web", *more)
    result = apply_plan(prepared)
    assert not result.ok
    assert world.get("deployment", "web")["metadata"]["uid"] == uid


def test_what_is_no_longer_to_be_orphaned_is_not_released(world: World) -> None:
    marked = SETTINGS.replace("shop}", f'shop, annotations: {{{OURS}/orphan: "true"}}}}')
    world.write("shop.yaml", join(NAMESPACE, WEB, marked))
    world.apply()
    world.write("shop.yaml", join(NAMESPACE, WEB))
    prepared = world.prepare()
    world.kubectl("-n", "shop", "annotate", "configmap", "settings", f"{OURS}/orphan-")
    assert not apply_plan(prepared).ok
    labels = world.get("configmap", "settings")["metadata"]["labels"]
    assert "applyset.kubernetes.io/part-of" in labels


def test_an_object_of_others_is_never_recreated(world: World) -> None:
    path = world.repository.parent / "by-hand.yaml"
    path.write_text(NAMESPACE + "---" + WEB)
    for cluster in NAMES:
        world.kubectl("apply", "-f", str(path), cluster=cluster)
    world.write("shop.yaml", join(NAMESPACE, with_selector("other")))
    change = one(world.changes(), "Deployment")
    assert change.action is Action.FAILED
    assert "not in this federation's inventory" in change.error


# -- owners ----------------------------------------------------------------------------------------


def test_a_definition_stays_while_its_objects_belong_to_others(world: World) -> None:
    """As cert-manager's Certificates belong to Ingresses."""
    world.write("kept.yaml", SETTINGS.replace("shop}", "default}").replace("settings", "kept"))
    world.write("shop.yaml", join(NAMESPACE, SETTINGS, SERVICE, WIDGETS))
    world.apply()
    world.create_config_map("foreign")
    widget = {"apiVersion": "example.org/v1", "kind": "Widget"}
    for name, owner in (("of-ours", "settings"), ("of-others", "foreign")):
        body = config_map(name, world.get("configmap", owner))
        put(world, {**widget, "metadata": body["metadata"]})
    world.write("shop.yaml", join(NAMESPACE, SERVICE))
    plan = world.plan(max_deletions=9)
    told = [w for w in plan.warnings if "CustomResourceDefinition" in w]
    assert len(told) == 1
    assert "not ours: Widget.example.org shop/of-others" in told[0]
    world.apply(max_deletions=9)
    assert world.exists("crd", "widgets.example.org")
    # Once its owner is gone too, nobody needs it.
    world.kubectl("-n", "shop", "delete", "widget", "of-others")
    assert world.exists("crd", "widgets.example.org")


def test_what_is_owned_by_what_goes_keeps_no_namespace(world: World) -> None:
    world.write("kept.yaml", SETTINGS.replace("shop}", "default}").replace("settings", "kept"))
    world.write("shop.yaml", SHOP)
    world.apply()
    web = world.get("deployment", "web")
    put(world, config_map("child", web))
    put(world, config_map("grandchild", world.get("configmap", "child")))
    world.remove("shop.yaml")
    assert "shop" in prunes(world)
    put(world, config_map("other"))
    put(world, config_map("others-child", world.get("configmap", "other")))
    (told,) = [w for w in world.plan().warnings if "aws: Namespace shop" in w]
    assert "ConfigMap shop/other, ConfigMap shop/others-child" in told
    assert "grandchild" not in told


def test_what_is_left_by_an_orphaning_deletion_keeps_its_namespace(world: World) -> None:
    """With prune-propagation Orphan the dependents are to stay: the Namespace would take them."""
    note = f"{OURS}/prune-propagation: Orphan"
    orphaning = WEB.replace("namespace: shop}", f"namespace: shop, annotations: {{{note}}}}}", 1)
    world.write("kept.yaml", SETTINGS.replace("shop}", "default}").replace("settings", "kept"))
    world.write("shop.yaml", join(NAMESPACE, orphaning))
    world.apply()
    put(world, config_map("child", world.get("deployment", "web")))
    world.remove("shop.yaml")
    assert prunes(world) == ["web"]


def test_what_an_owner_that_is_gone_left_behind_keeps_no_namespace(world: World) -> None:
    """The garbage collector has not come to it yet; for one that was never there it will."""
    world.write("kept.yaml", SETTINGS.replace("shop}", "default}").replace("settings", "kept"))
    world.write("shop.yaml", SHOP)
    world.apply()
    uid = "00000000-0000-4000-8000-000000000000"
    gone = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "x", "uid": uid}}
    put(world, config_map("left-behind", gone))
    world.remove("shop.yaml")
    assert "shop" in prunes(world)
    # What a cluster-wide object owns is not known to be going.
    metadata = {"name": "x", "uid": uid.replace("4", "5", 1)}
    outside = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole"}
    put(world, config_map("owned-from-outside", {**outside, "metadata": metadata}))
    assert "shop" not in prunes(world)


@pytest.fixture
def running_world(repository: Path, fleet: Fleet, control_plane: ControlPlane) -> World:
    """Real servers with the garbage collector and the controllers of workloads."""
    clusters = fleet(len(NAMES), controllers=True, nodes=1)
    return World(repository, control_plane.kubeconfig(dict(zip(NAMES, clusters, strict=True))))


@pytest.mark.integration
def test_a_namespace_goes_in_one_run_with_workloads_that_run(running_world: World) -> None:
    world = running_world
    world.write("kept.yaml", SETTINGS.replace("shop}", "default}").replace("settings", "kept"))
    world.write("shop.yaml", SHOP)
    world.apply()
    for cluster in NAMES:
        world.kubectl("-n", "shop", "rollout", "status", "deployment/web", cluster=cluster)
    world.remove("shop.yaml")
    result = world.apply(max_deletions=9)
    assert result.ok, [o.message for o in result.outcomes if o.status != "done"]
    for cluster in NAMES:
        world.kubectl("wait", "--for=delete", "namespace/shop", "--timeout=50s", cluster=cluster)


@pytest.mark.integration
@pytest.mark.parametrize("how", ["Orphan", "Foreground"])
def test_dependents_of_what_is_recreated_go_or_stay_as_it_is_said(
    running_world: World, how: str
) -> None:
    world = running_world
    world.write("shop.yaml", SHOP)
    world.apply()
    put(world, config_map("child", world.get("deployment", "web")))
    notes = f"{RECREATE}, {OURS}/prune-propagation: {how}"
    again = with_selector("other", annotations=notes)
    world.write("shop.yaml", join(NAMESPACE, again, SETTINGS, SERVICE))
    result = world.apply()
    assert result.ok, [o.message for o in result.outcomes if o.status != "done"]
    if how == "Orphan":
        assert "ownerReferences" not in world.get("configmap", "child")["metadata"]
    else:
        assert not world.exists("configmap", "child")


# -- recreations -----------------------------------------------------------------------------------

STATEFUL = """
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: web, namespace: shop, annotations: {NOTE}}
spec:
  serviceName: web
  persistentVolumeClaimRetentionPolicy: {whenDeleted: POLICY}
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "registry.example/web:1.0"}]}
"""
VOLUME = """
apiVersion: v1
kind: PersistentVolume
metadata: {name: web, annotations: {NOTE}}
spec:
  capacity: {storage: 1Gi}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: POLICY
  hostPath: {path: /tmp/web}
"""
CLAIM = """
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: web, namespace: shop, annotations: {NOTE}}
spec:
  accessModes: [ReadWriteOnce]
  storageClassName: POLICY
  resources: {requests: {storage: 1Gi}}
"""
TAKES_ALONG = {
    "StatefulSet.apps": (STATEFUL.replace("POLICY", "Delete"), ("app: web", "app: other")),
    "PersistentVolume": (VOLUME.replace("POLICY", "Delete"), ("/tmp/web", "/tmp/other")),
    "PersistentVolumeClaim": (CLAIM.replace("POLICY", "fast"), ("fast", "slow")),
}


@pytest.fixture
def real_world(repository: Path, real_kubeconfig: Path) -> World:
    """Where immutable fields are those of Kubernetes, and of a definition's own rules."""
    return World(repository, real_kubeconfig)


@pytest.mark.integration
@pytest.mark.parametrize("kind", TAKES_ALONG)
def test_what_takes_data_along_is_recreated_only_where_a_rule_names_it(
    real_world: World, kind: str
) -> None:
    world = real_world
    manifest, (old, new) = TAKES_ALONG[kind]
    manifest = manifest.replace("NOTE", RECREATE)
    world.write("shop.yaml", join(NAMESPACE, manifest))
    world.apply()
    world.write("shop.yaml", join(NAMESPACE, manifest.replace(old, new)))
    (change,) = world.changes()
    assert change.action is Action.FAILED
    assert "needs recreate" in change.error
    assert f"spec.recreation.allowDataLoss: [{kind}] would allow it" in change.error
    world.write("federation.yaml", FEDERATION + f"  recreation: {{allowDataLoss: [{kind}]}}\n")
    (change,) = world.changes()
    assert change.action is Action.RECREATE


@pytest.mark.parametrize(
    ("policy", "note"), [("Retain", ""), ("Delete", f", {OURS}/prune-propagation: Orphan")]
)
def test_a_stateful_set_that_leaves_its_claims_may_be_recreated(
    world: World, policy: str, note: str
) -> None:
    manifest = STATEFUL.replace("POLICY", policy).replace("NOTE", RECREATE + note)
    world.write("shop.yaml", join(NAMESPACE, manifest))
    world.apply()
    world.write("shop.yaml", join(NAMESPACE, manifest.replace("app: web", "app: other")))
    assert world.changes()[0].action is Action.RECREATE


@pytest.mark.integration
def test_a_custom_resource_that_owns_claims_is_not_recreated(real_world: World) -> None:
    """Directly, or through what an operator made of it."""
    world = real_world
    widget = WIDGET.replace("shop}", f"shop, annotations: {{{RECREATE}}}}}\nspec: {{size: small}}")
    world.write("shop.yaml", join(NAMESPACE, WIDGETS, widget))
    world.apply()
    world.write("shop.yaml", join(NAMESPACE, WIDGETS, widget.replace("small", "large")))
    assert world.changes()[0].action is Action.RECREATE
    put(world, config_map("made-by-an-operator", world.get("widget", "one")))
    claim = config_map("data", world.get("configmap", "made-by-an-operator"))
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    put(world, {**claim, "kind": "PersistentVolumeClaim", "spec": spec})
    (change,) = world.changes()
    assert change.action is Action.FAILED
    assert "PersistentVolumeClaim shop/data would be deleted with it" in change.error
    allowed = FEDERATION + "  recreation: {allowDataLoss: [Widget.example.org]}\n"
    world.write("federation.yaml", allowed)
    assert world.changes()[0].action is Action.RECREATE


@pytest.mark.parametrize(
    ("manifest", "told"),
    [
        (STATEFUL.replace("POLICY", "Delete"), "its PersistentVolumeClaims are deleted with it"),
        (VOLUME.replace("POLICY", "Delete"), "the volume itself is deleted with it"),
        (CLAIM.replace("POLICY", "fast"), "the data of its volume is deleted with it"),
    ],
    ids=list(TAKES_ALONG),
)
def test_a_prune_tells_which_data_goes_along(world: World, manifest: str, told: str) -> None:
    world.write("shop.yaml", join(NAMESPACE, SETTINGS, manifest.replace("NOTE", RECREATE)))
    world.apply()
    world.write("shop.yaml", join(NAMESPACE, SETTINGS))
    (change,) = world.changes()
    assert change.reason.startswith(f"removed from Git; {told}")


@pytest.mark.parametrize("where", ["annotation", "rule"])
def test_a_recreation_leaves_dependents_where_it_is_told_to(
    simulated_world: World, where: str
) -> None:
    world = simulated_world
    world.write("shop.yaml", SHOP)
    world.apply()
    put(world, config_map("child", world.get("deployment", "web")))
    notes = RECREATE
    if where == "annotation":
        notes += f", {OURS}/prune-propagation: Orphan"
    else:
        world.write("federation.yaml", FEDERATION + "  prune: {propagation: Orphan}\n")
    world.write(
        "shop.yaml", join(NAMESPACE, with_selector("other", annotations=notes), SETTINGS, SERVICE)
    )
    change = one(world.changes(), "Deployment")
    assert (change.action, change.propagation) == (Action.RECREATE, "Orphan")
    assert world.apply().ok
    assert "ownerReferences" not in world.get("configmap", "child")["metadata"]


@pytest.mark.parametrize("count", [6, 0])
def test_a_recreated_workload_starts_with_the_replicas_that_run(world: World, count: int) -> None:
    """Whoever scales it goes on from there, and the next run has nothing to do."""
    unsaid = WEB.replace("  replicas: 2\n", "")
    world.write("shop.yaml", join(NAMESPACE, unsaid))
    world.apply()
    before = world.get("deployment", "web")["metadata"]["uid"]
    world.kubectl("-n", "shop", "scale", "deployment", "web", f"--replicas={count}")
    world.write("shop.yaml", join(NAMESPACE, with_selector("other", unsaid)))
    change = one(world.changes(), "Deployment")
    assert change.action is Action.RECREATE
    assert "spec.replicas" not in [field.path for field in change.fields]
    assert world.apply().ok
    live = world.get("deployment", "web")
    assert live["metadata"]["uid"] != before
    assert live["spec"]["replicas"] == count
    assert not world.plan().has_changes
    # A later edit neither takes the count nor lets it go.
    edited = with_selector("other", unsaid).replace("web:1.0", "web:2.0")
    world.write("shop.yaml", join(NAMESPACE, edited))
    assert world.apply().ok
    assert world.get("deployment", "web")["spec"]["replicas"] == count


def test_a_recreated_workload_starts_with_its_autoscalers_count(world: World) -> None:
    scaler = """
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web, namespace: shop}
spec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}, maxReplicas: 9}
"""
    world.write("shop.yaml", join(NAMESPACE, WEB, scaler))
    world.apply()
    world.kubectl("-n", "shop", "scale", "deployment", "web", "--replicas=6")
    world.write("shop.yaml", join(NAMESPACE, with_selector("other"), scaler))
    assert one(world.changes(), "Deployment").action is Action.RECREATE
    assert world.apply().ok
    assert world.get("deployment", "web")["spec"]["replicas"] == 6
    assert not world.plan().has_changes
