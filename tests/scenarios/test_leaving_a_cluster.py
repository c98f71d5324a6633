"""Taints, labels and lists of clusters: nothing leaves before it is ready elsewhere."""

from __future__ import annotations

import pytest

from reconciler.api.errors import GuardViolation
from reconciler.cli.error_messages import describe_error
from reconciler.plan.model import Action
from reconciler.run.pipeline import apply_plan
from reconciler.state.memory import Phase
from tests.scenarios.failover_world import (
    CLUSTERS,
    FEDERATION,
    WEB,
    FailoverWorld,
    real,
    simulated,
)

__all__ = ["real", "simulated", "world"]

CALM = FEDERATION.partition("  failover:")[0]
PLACEMENT = """
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {name: %s}
spec:
  select: [{kind: %s, name: %s}]
  %s
"""
DIVIDED = "\n  replicas: {mode: Divided}"


def placed(where: str, replicas: str = "") -> str:
    """Both in the same clusters; only the Deployment has replicas to divide."""
    web = PLACEMENT % ("web", "Deployment", "web", where + replicas)
    return web + PLACEMENT % ("settings", "ConfigMap", "settings", where)


SETTINGS = """
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: shop}
data: {a: b}
"""
MANIFESTS = WEB.partition("---\napiVersion: federation")[0] + SETTINGS


def tainted(name: str, effect: str, clusters: str = CLUSTERS) -> str:
    old = next(part for part in clusters.split("---\n") if f"name: {name}}}" in part)
    new = old.replace("spec: {", f"spec: {{taints: [{{key: drain, effect: {effect}}}], ")
    return clusters.replace(old, new)


@pytest.fixture(params=["simulated", pytest.param("real", marks=pytest.mark.integration)])
def world(request: pytest.FixtureRequest) -> FailoverWorld:
    world: FailoverWorld = request.getfixturevalue(request.param)
    return world


def homes(world: FailoverWorld, kind: str = "deployment", name: str = "web") -> list[str]:
    return [n for n in ("aws-eu", "gcp-eu", "gcp-us") if world.exists(kind, name, cluster=n)]


@pytest.mark.parametrize(
    "placement",
    [
        placed("clusters: [aws-eu]"),
        placed("clusters: [aws-eu]", DIVIDED),
        placed(
            "clusterSelector: {}",
            "\n  replicas: {mode: Divided, clusters: "
            "[{name: gcp-eu, max: 0}, {name: gcp-us, max: 0}]}",
        ),
        placed(
            "clusterSelector: {matchLabels: {topology.kubernetes.io/region: eu-central-1}}\n"
            "  spread: [{by: region, maxGroups: 1}]"
        ),
    ],
    ids=["copied", "divided", "others take none", "spread"],
)
@pytest.mark.parametrize("effect", ["NoSchedule", "NoExecute"])
def test_what_has_no_other_place_stays_under_a_taint(
    world: FailoverWorld, placement: str, effect: str
) -> None:
    world.begin(MANIFESTS + placement, CALM)
    world.write("clusters.yaml", tainted("aws-eu", effect))
    for _ in range(3):
        result = world.run()
        assert result.ok
        assert not [o for o in result.outcomes if o.action is Action.PRUNE]
        assert world.ready("aws-eu") == 6
        assert world.exists("configmap", "settings", cluster="aws-eu")
    told = [*map(str, result.plan.moves), *result.plan.warnings]
    assert (effect == "NoSchedule") or any("aws-eu keeps" in text for text in told)


def test_no_schedule_keeps_new_ones_out(world: FailoverWorld) -> None:
    world.begin(MANIFESTS + placed("clusterSelector: {}", DIVIDED), CALM)
    world.write("clusters.yaml", tainted("aws-eu", "NoSchedule"))
    more = MANIFESTS.replace("replicas: 6", "replicas: 12")
    world.write("web.yaml", more + placed("clusterSelector: {}", DIVIDED))
    for _ in range(2):
        world.run()
    assert world.counts() == {"aws-eu": 2, "gcp-eu": 5, "gcp-us": 5}
    world.write("web.yaml", MANIFESTS + placed("clusters: [gcp-eu]"))
    for _ in range(3):
        world.run()
    world.write("clusters.yaml", tainted("aws-eu", "NoSchedule"))
    world.write("web.yaml", MANIFESTS + placed("clusterSelector: {}"))
    world.run()
    assert homes(world) == ["gcp-eu", "gcp-us"]


@pytest.mark.parametrize("mode", ["Duplicated", "Divided"])
def test_a_move_is_made_in_the_new_place_before_the_old_one_is_left(
    world: FailoverWorld, mode: str
) -> None:
    rule = DIVIDED if mode == "Divided" else ""
    world.begin(MANIFESTS + placed("clusters: [aws-eu]", rule), CALM)
    world.write("web.yaml", MANIFESTS + placed("clusters: [gcp-eu]", rule))
    result = world.run()
    assert result.ok, "a move that waits is no failure"
    assert not [o for o in result.outcomes if o.action is Action.PRUNE]
    assert homes(world) == homes(world, "configmap", "settings") == ["aws-eu", "gcp-eu"]
    assert any("aws-eu keeps" in str(move) for move in result.plan.moves)
    for _ in range(2):
        assert world.run().ok
        assert world.ready(*homes(world)) >= 6
    assert homes(world) == homes(world, "configmap", "settings") == ["gcp-eu"]


def test_a_list_that_is_made_shorter_on_purpose_is_followed_at_once(world: FailoverWorld) -> None:
    world.begin(MANIFESTS + placed("clusters: [aws-eu, gcp-eu, gcp-us]"), CALM)
    world.write("web.yaml", MANIFESTS + placed("clusters: [aws-eu, gcp-eu]"))
    world.run()
    assert homes(world) == ["aws-eu", "gcp-eu"]
    world.write("web.yaml", MANIFESTS + placed("clusters: []"))
    world.options["max_deletions"] = 9
    world.run()
    assert homes(world) == [], "somebody has said otherwise"


def test_a_selector_that_matches_nothing_any_more_removes_nothing(world: FailoverWorld) -> None:
    region = "clusterSelector: {matchLabels: {topology.kubernetes.io/region: %s}}"
    world.begin(MANIFESTS + placed(region % "eu-central-1"), CALM)
    world.write("web.yaml", MANIFESTS + placed(region % "eu-central-7"))
    result = world.run()
    assert homes(world) == ["aws-eu"]
    (move,) = result.plan.moves
    assert "no other cluster may have them" in str(move)
    assert "clusters: []" in str(move)


def test_a_guard_stops_deletions_and_no_outage(world: FailoverWorld) -> None:
    """The memory is written, and what is down is replaced; only the rest waits."""
    world.begin(
        WEB + "".join(SETTINGS.replace("settings", name) for name in "abc"),
        FEDERATION + "  guards: {maxDeletions: 1}\n",
    )
    world.write("web.yaml", WEB)
    world.hosts["aws-eu"].stop()
    told: set[str] = set()
    said = []
    for _ in range(6):
        world.now += 60
        prepared = world.prepare()
        told |= set(map(str, prepared.plan.despite_guards))
        with pytest.raises(GuardViolation, match="maxDeletions is 1") as stopped:
            apply_plan(prepared)
        said.append(next(describe_error(stopped.value)).partition("limit. ")[2])
    assert set(said) == {"Nothing was written.", "Nothing else was written."}
    assert said.count("Nothing else was written.") == 1, "the run that moved the replicas"
    assert told == {
        "goes on all the same where nobody is asked: update Deployment.apps shop/web in gcp-eu",
        "goes on all the same where nobody is asked: update Deployment.apps shop/web in gcp-us",
    }
    assert world.memory().clusters["aws-eu"].phase is Phase.DOWN
    assert world.counts("gcp-eu", "gcp-us") == {"gcp-eu": 3, "gcp-us": 3}
    assert world.exists("configmap", "a", cluster="gcp-eu")


@pytest.mark.parametrize("edit", ["selector", "no placement"])
def test_what_goes_nowhere_stays_in_every_cluster_that_has_it(
    world: FailoverWorld, edit: str
) -> None:
    """A copy that stays is not the new home of another one."""
    where = "clusterSelector: {matchExpressions: [{key: %s, operator: Exists}]}"
    region = "topology.kubernetes.io/region"
    world.begin(MANIFESTS + placed(where % region), CALM)
    everywhere = homes(world)
    assert len(everywhere) == 3
    if edit == "selector":
        world.write("web.yaml", MANIFESTS + placed(where % "topology.kubernetes.io/regoin"))
    else:
        world.write("web.yaml", MANIFESTS)
        world.write("federation.yaml", CALM.partition("  defaults:")[0] + "  dns: {}\n")
    for _ in range(3):
        world.run()
        assert homes(world) == homes(world, "configmap", "settings") == everywhere
