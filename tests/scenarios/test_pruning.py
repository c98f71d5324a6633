"""What may be deleted, and what never is."""

from __future__ import annotations

import pytest

from reconciler.api.errors import GuardViolation
from reconciler.plan.model import Action
from reconciler.run.pipeline import apply_plan
from tests.scenarios.conftest import FEDERATION, World
from tests.scenarios.manifests import NAMESPACE, SERVICE, SETTINGS, SHOP, WEB


def settings(number: int) -> str:
    return SETTINGS.replace("name: settings", f"name: settings-{number}")


def test_what_leaves_git_leaves_the_clusters_and_nothing_else_does(world: World) -> None:
    world.write("shop.yaml", SHOP)
    world.apply()
    world.create_config_map("foreign")
    world.write("shop.yaml", "---".join([NAMESPACE, WEB, SETTINGS]))
    (change,) = world.changes()
    assert (change.action, change.key.kind, change.reason) == (
        Action.PRUNE,
        "Service",
        "removed from Git",
    )
    assert world.apply().ok
    assert not world.exists("service", "web")
    assert world.exists("configmap", "foreign")
    assert world.exists("configmap", "settings")


def test_an_emptied_repository_prunes_nothing(world: World) -> None:
    world.write("shop.yaml", SHOP)
    world.apply()
    world.remove("shop.yaml")
    with pytest.raises(GuardViolation) as caught:
        world.apply()
    assert "nothing is wanted any more" in str(caught.value)
    assert world.exists("deployment", "web")


def test_more_deletions_than_the_guard_allows_stop_the_run_before_its_first_write(
    world: World,
) -> None:
    world.write("shop.yaml", "---".join([NAMESPACE, *(settings(n) for n in range(12))]))
    world.apply()
    world.write("shop.yaml", "---".join([NAMESPACE, settings(0), SERVICE]))
    with pytest.raises(GuardViolation) as caught:
        world.apply()
    assert "11 of 13 objects" in str(caught.value)
    assert world.exists("configmap", "settings-5")
    assert not world.exists("service", "web")
    assert world.apply(max_deletions=11).ok
    assert not world.exists("configmap", "settings-5")


def test_a_namespace_with_foreign_objects_is_kept(world: World) -> None:
    world.write("shop.yaml", "---".join([NAMESPACE, SETTINGS]))
    world.write("other.yaml", SETTINGS.replace("namespace: shop", "namespace: default"))
    world.apply()
    world.create_config_map("foreign")
    world.remove("shop.yaml")
    plan = world.plan()
    assert any(
        "holds objects that are not ours: ConfigMap shop/foreign" in w for w in plan.warnings
    )
    assert world.apply().ok
    assert world.exists("configmap", "foreign")
    assert not world.exists("configmap", "settings")


def test_a_namespace_goes_only_with_all_that_is_in_it(world: World) -> None:
    """Protected, or still wanted here: the Namespace would take it along."""
    keep = "  prune: {protect: {kinds: [ConfigMap]}}\n"
    world.write("federation.yaml", FEDERATION + keep)
    world.write("namespace.yaml", NAMESPACE)
    world.write("settings.yaml", SETTINGS)
    world.apply()
    # Only the Namespace leaves; the ConfigMap in it is still wanted.
    world.remove("namespace.yaml")
    plan = world.plan()
    assert not plan.has_changes
    assert any("holds objects that stay: ConfigMap shop/settings" in w for w in plan.warnings)
    # Both leave, but the ConfigMap is protected.
    world.write("other.yaml", SETTINGS.replace("namespace: shop", "namespace: default"))
    world.remove("settings.yaml")
    result = world.apply()
    assert any(
        "holds objects that stay: ConfigMap shop/settings" in w for w in result.plan.warnings
    )
    assert world.exists("configmap", "settings")


def test_a_namespace_that_got_a_foreign_object_since_the_plan_is_kept(world: World) -> None:
    world.write("shop.yaml", "---".join([NAMESPACE, SETTINGS]))
    world.write("other.yaml", SETTINGS.replace("namespace: shop", "namespace: default"))
    world.apply()
    world.remove("shop.yaml")
    prepared = world.prepare()
    world.create_config_map("foreign")
    result = apply_plan(prepared)
    assert not result.ok
    assert any("not ours: ConfigMap shop/foreign" in o.message for o in result.outcomes)
    assert world.exists("configmap", "foreign")


@pytest.mark.parametrize(
    "rule",
    [
        "prune: {protect: {kinds: [ConfigMap]}}",
        "prune: {protect: {labels: {matchLabels: {keep: me}}}}",
        "prune: {enabled: false}",
    ],
)
def test_protected_objects_are_kept_with_a_warning(world: World, rule: str) -> None:
    world.write("federation.yaml", FEDERATION + f"  {rule}\n")
    kept = SETTINGS.replace("namespace: shop}", "namespace: shop, labels: {keep: me}}")
    world.write("shop.yaml", SHOP.replace(SETTINGS, kept))
    world.apply()
    world.write("shop.yaml", "---".join([NAMESPACE, WEB, SERVICE]))
    plan = world.plan()
    assert not plan.has_changes
    assert any("settings" in warning and "is kept" in warning for warning in plan.warnings)


@pytest.mark.parametrize("how", ["protect", "orphan"])
def test_an_annotation_outlives_its_manifest(world: World, how: str) -> None:
    marked = SETTINGS.replace(
        "namespace: shop}",
        f'namespace: shop, annotations: {{federation.reconciler.dev/{how}: "true"}}}}',
    )
    world.write("shop.yaml", SHOP.replace(SETTINGS, marked))
    world.apply()
    world.write("shop.yaml", "---".join([NAMESPACE, WEB, SERVICE]))
    assert world.apply().ok
    assert world.exists("configmap", "settings")
    labels = world.get("configmap", "settings")["metadata"].get("labels", {})
    assert ("applyset.kubernetes.io/part-of" in labels) == (how == "protect")


def test_a_copied_label_does_not_make_an_object_ours(world: World) -> None:
    world.write("shop.yaml", SHOP)
    world.apply()
    label = world.get("configmap", "settings")["metadata"]["labels"]
    name, value = next(iter(label.items()))
    world.create_config_map("copy", **{name: value})
    assert not world.plan().has_changes


def test_a_workload_that_moves_is_removed_only_when_it_is_in_place_elsewhere(world: World) -> None:
    only = "apiVersion: federation.reconciler.dev/v1alpha1\nkind: Placement\n"
    only += "metadata: {name: settings}\nspec:\n  select: [{kind: ConfigMap}]\n  clusters: [%s]\n"
    world.write("shop.yaml", SHOP)
    world.write("placement.yaml", only % "aws")
    world.apply()
    assert not world.exists("configmap", "settings", "gcp")
    # Somebody else's object of that name is in the way over there.
    label = {"applyset.kubernetes.io/part-of": "applyset-other-v1"}
    world.create_config_map("settings", "gcp", **label)
    world.write("placement.yaml", only % "gcp")
    result = world.apply()
    assert not result.ok
    assert world.exists("configmap", "settings", "aws")
    world.kubectl("-n", "shop", "delete", "configmap", "settings", cluster="gcp")
    assert world.apply().ok
    assert world.exists("configmap", "settings", "gcp")
    assert not world.exists("configmap", "settings", "aws")


def test_a_cluster_that_leaves_git_keeps_its_objects(world: World) -> None:
    world.write("shop.yaml", SHOP)
    world.apply()
    text = (world.repository / "clusters.yaml").read_text()
    world.write("clusters.yaml", text.partition("---")[0])
    assert world.apply().ok
    assert world.exists("deployment", "web", "gcp")


@pytest.mark.parametrize(
    "mark",
    [
        "federation.reconciler.dev/protect=True",
        "federation.reconciler.dev/protect=yes",
        "federation.reconciler.dev/orphan=1",
        "kubefed.io/orphan=True",
        "federation.reconciler.dev/prune-propagation=orphan",
    ],
)
def test_what_somebody_wrote_on_a_live_object_keeps_it_in_doubt(world: World, mark: str) -> None:
    world.write("shop.yaml", SHOP)
    world.apply()
    world.kubectl("annotate", "configmap", "settings", "-n", "shop", mark)
    world.write("shop.yaml", "---".join([NAMESPACE, WEB, SERVICE]))
    plan = world.plan()
    assert not [c for c in world.changes() if c.action in (Action.PRUNE, Action.ORPHAN)]
    name, _, value = mark.partition("=")
    assert any(f"its annotation {name} is {value!r}" in text for text in plan.warnings)
