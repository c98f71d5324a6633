"""What Git still has and no rule places any more: told as such, and not deleted without a word."""

from __future__ import annotations

import pytest

from reconciler.api.errors import GuardViolation
from reconciler.api.options import RunOptions
from reconciler.plan.model import Action, Change
from reconciler.run.pipeline import apply_plan
from reconciler.run.repository import validate_repository
from tests.scenarios.conftest import CLUSTERS, FEDERATION, World
from tests.scenarios.manifests import NAMESPACE, WEB

PLACEMENT = """
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {name: web}
spec:
  select: [{kind: Deployment}]
  clusterSelector: {matchLabels: {cloud: aws}}
"""
BARE = FEDERATION.replace("  defaults: {placement: {clusterSelector: {}}}\n", "  dns: {}\n")
SPACE = """
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {name: spaces}
spec: {select: [{kind: Namespace}]}
"""


@pytest.fixture
def placed(world: World) -> World:
    """The Deployment runs in aws by its Placement, and no default would keep it."""
    world.write("federation.yaml", BARE)
    world.write("shop.yaml", "---".join([NAMESPACE, WEB, SPACE]))
    world.write("placement.yaml", PLACEMENT)
    assert world.apply().ok
    return world


def pruned(world: World, cluster: str = "aws") -> Change:
    (change,) = [c for c in world.changes(cluster) if c.action is Action.PRUNE]
    assert change.key.kind == "Deployment"
    return change


def no_match(world: World) -> None:
    world.write("placement.yaml", PLACEMENT.replace("cloud: aws", "cloud: asw"))


def relabelled(world: World) -> None:
    world.write("clusters.yaml", CLUSTERS.replace("cloud: aws", "cloud: other"))


def no_placement(world: World) -> None:
    world.remove("placement.yaml")


def other_selection(world: World) -> None:
    world.write("placement.yaml", PLACEMENT.replace("Deployment", "StatefulSet"))


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        (no_match, "Placement web matches no cluster"),
        (relabelled, "Placement web matches no cluster"),
        (no_placement, "no Placement selects it"),
        (other_selection, "no Placement selects it"),
    ],
)
def test_it_is_told_and_stays(placed: World, edit, why: str) -> None:
    edit(placed)
    for _ in range(2):
        plan = placed.plan()
        assert not plan.violations
        assert any("aws keeps Deployment" in str(move) for move in plan.moves)
        goes_nowhere = [text for text in plan.warnings if "goes nowhere" in text]
        assert any(why in text and "web" in text for text in goes_nowhere), plan.warnings
        said = validate_repository(RunOptions(repo=str(placed.repository))).warnings
        assert any(why in text and "web" in text for text in said), said
        assert placed.apply().ok
        assert placed.exists("deployment", "web")


def test_an_empty_list_of_clusters_says_that_it_is_to_go(placed: World) -> None:
    placed.write(
        "placement.yaml",
        PLACEMENT.replace("clusterSelector: {matchLabels: {cloud: aws}}", "clusters: []"),
    )
    assert not placed.plan().violations
    assert "no longer placed anywhere" in pruned(placed).reason


def test_what_moves_elsewhere_is_no_matter_for_the_guard(placed: World) -> None:
    placed.write("placement.yaml", PLACEMENT.replace("cloud: aws", "cloud: gcp"))
    plan = placed.plan()
    assert not plan.violations
    assert any("aws keeps Deployment shop/web until" in str(move) for move in plan.moves)
    assert not any("goes nowhere" in text for text in plan.warnings)


KUBEFED = """
apiVersion: types.kubefed.io/v1beta1
kind: FederatedConfigMap
metadata: {name: settings, namespace: shop}
spec:
  template: {data: {a: b}}
  placement: %s
"""


def test_a_kubefed_placement_that_no_longer_says_where_is_stopped_by_the_guard(
    placed: World,
) -> None:
    placed.write("settings.yaml", KUBEFED % "{clusterSelector: {matchLabels: {cloud: aws}}}")
    assert placed.apply().ok
    placed.write("settings.yaml", KUBEFED % "{}")
    prepared = placed.prepare()
    (violation,) = map(str, prepared.plan.violations)
    assert "no longer placed anywhere: ConfigMap shop/settings" in violation
    with pytest.raises(GuardViolation):
        apply_plan(prepared)
    assert placed.exists("configmap", "settings")
    placed.write("federation.yaml", BARE + "  guards: {unplaced: Allow}\n")
    assert placed.apply().ok
    assert not placed.exists("configmap", "settings")
