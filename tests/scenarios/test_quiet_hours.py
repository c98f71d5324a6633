"""Quiet hours and pauses: what is closed is not written to, and nothing is lost meanwhile."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from reconciler.api.errors import StalePlan
from reconciler.api.options import RunOptions
from reconciler.plan.model import Change, Plan, RunResult
from reconciler.report.html import render_html
from reconciler.report.json_report import plan_document
from reconciler.report.markdown import render_plan_markdown
from reconciler.report.text import render_plan
from reconciler.run.pipeline import apply_plan
from reconciler.run.progress import NoProgress
from reconciler.saved_plans.file import check_fresh, read_plan, save_plan
from tests.controlplane.fixtures import Fleet
from tests.controlplane.plane import ControlPlane
from tests.scenarios.conftest import World
from tests.scenarios.desk import BLUE, Desk, simulated_desk
from tests.scenarios.manifests import NAMESPACE, SERVICE, SETTINGS, SHOP, WEB

__all__ = ["simulated_desk"]

DAY = datetime(2026, 11, 30, 12, tzinfo=UTC).timestamp()
NIGHT = datetime(2026, 12, 1, 2, 30, tzinfo=UTC).timestamp()
LATE = datetime(2026, 12, 1, 4, 30, tzinfo=UTC).timestamp()
AT_NIGHT = (
    'maintenance: [{kind: Allow, schedule: "0 2 * * *", timeZone: Europe/Berlin, duration: 3h%s}]'
)
RECREATE = 'annotations: {federation.reconciler.dev/recreate: "true"}'
OPENS = "waits until 2026-12-01 02:00 CET"

CLUSTERS = """
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: aws, labels: {cloud: aws}}
spec:
  provider: aws
  AWS
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: gcp, labels: {cloud: gcp}}
spec: {provider: gcp}
"""


def clusters(aws: str = "") -> str:
    return CLUSTERS.replace("AWS", aws)


def at(moment: float) -> dict[str, Any]:
    return {"clock": lambda: moment}


def changes(plan: Plan, cluster: str) -> tuple[Change, ...]:
    return next(one.changes for one in plan.clusters if one.name == cluster)


def done(result: RunResult) -> set[str]:
    return {one.cluster for one in result.outcomes if one.status == "done"}


def everything(world: World, cluster: str) -> str:
    """All that may be written there, with versions; Secrets and ConfigMaps of the inventory too."""
    return world.kubectl(
        "get",
        "namespaces,configmaps,secrets,services,deployments",
        "-A",
        "-o",
        "jsonpath={range .items[*]}{.kind}/{.metadata.name}@{.metadata.resourceVersion} {end}",
        cluster=cluster,
    )


@pytest.fixture
def world(simulated_world: World) -> World:
    simulated_world.write("shop.yaml", SHOP)
    return simulated_world


def test_a_paused_cluster_is_planned_and_not_written(world: World) -> None:
    world.write("clusters.yaml", clusters("paused: true"))
    before = everything(world, "aws")
    plan = world.plan()
    assert {change.waits for change in changes(plan, "aws")} == {"waits: paused (Cluster aws)"}
    assert {change.waits for change in changes(plan, "gcp")} == {""}
    assert {cluster.name for cluster, _ in plan.writes()} == {"gcp"}
    result = world.apply()
    assert result.ok
    assert done(result) == {"gcp"}
    assert everything(world, "aws") == before
    # With only that left, there is nothing to do.
    plan = world.plan()
    assert not plan.has_changes
    assert plan.summary()["waiting"] == len(changes(plan, "aws")) > 0
    assert world.apply().ok
    assert everything(world, "aws") == before
    world.write("clusters.yaml", clusters())
    assert done(world.apply()) == {"aws"}
    assert not world.plan().summary()["waiting"]


def test_outside_of_its_window_a_cluster_is_not_written_and_then_it_is(world: World) -> None:
    world.write("clusters.yaml", clusters(AT_NIGHT % ""))
    before = everything(world, "aws")
    result = world.apply(**at(DAY))
    assert result.ok
    assert done(result) == {"gcp"}
    assert everything(world, "aws") == before
    assert done(world.apply(**at(NIGHT))) == {"aws"}
    # A change, a deletion and somebody's edit wait again.
    world.write("shop.yaml", SHOP.replace("green", "blue"))
    world.kubectl("delete", "service", "web", "-n", "shop")
    settled = everything(world, "aws")
    result = world.apply(**at(LATE))
    assert done(result) == {"gcp"}
    assert everything(world, "aws") == settled
    assert done(world.apply(**at(NIGHT + 86_400))) == {"aws"}


def test_every_report_says_until_when_a_change_waits(world: World) -> None:
    world.write("clusters.yaml", clusters(AT_NIGHT % ""))
    plan = world.plan(**at(DAY))
    told = f"{OPENS} (Cluster aws: maintenance)"
    text = render_plan(plan, width=160)
    assert f"Closed: aws: {told}" in text
    assert f"+ shop/settings  {told}" in text
    assert f"{plan.summary()['waiting']} waiting" in text
    assert OPENS in render_plan_markdown(plan)
    assert OPENS in render_html(plan)
    document = plan_document(plan)
    (aws, gcp) = document["clusters"]
    assert (aws["closed"], gcp["closed"]) == (told, "")
    assert {change["waits"] for change in aws["changes"]} == {told}
    assert {change["waits"] for change in gcp["changes"]} == {""}
    assert {change["action"] for change in aws["changes"]} == {"create"}


def test_a_window_that_closes_in_the_middle_of_a_run_stops_it_there(world: World) -> None:
    world.write("clusters.yaml", clusters(AT_NIGHT % ""))
    clock = {"now": NIGHT}
    prepared = world.prepare(clock=lambda: clock["now"])
    assert prepared.plan.has_changes

    class Counting(NoProgress):
        def advance(self, name: str, steps: int = 1) -> None:
            clock["now"] = LATE  # when the first object was written

    result = apply_plan(prepared, Counting())
    assert not result.ok
    by_cluster = {"aws": set(), "gcp": set()}
    for one in result.outcomes:
        by_cluster[one.cluster].add(one.status)
    assert by_cluster["gcp"] == {"done"}
    assert "skipped" in by_cluster["aws"]
    skipped = [one for one in result.outcomes if one.status == "skipped"]
    assert {one.message for one in skipped if "waits until" in one.message}
    assert {one.cluster for one in skipped} == {"aws"}
    # What is left is done when the window opens again, and nothing is lost or left behind.
    assert world.apply(**at(NIGHT + 86_400)).ok
    assert not world.plan(**at(NIGHT + 86_400)).has_changes


def test_a_window_that_closes_before_the_first_write_leaves_no_trace(world: World) -> None:
    world.write("clusters.yaml", clusters(AT_NIGHT % ""))
    clock = {"now": NIGHT}
    prepared = world.prepare(clock=lambda: clock["now"])
    before = everything(world, "aws")
    clock["now"] = LATE
    result = apply_plan(prepared)
    assert {o.status for o in result.outcomes if o.cluster == "aws"} == {"skipped"}
    assert everything(world, "aws") == before


SETTINGS_PLACEMENT = """
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {name: settings}
spec:
  select: [{kind: ConfigMap, name: settings}]
  SAID
"""


def test_only_the_objects_of_a_closed_placement_wait_and_deletions_with_them(world: World) -> None:
    assert world.apply(**at(DAY)).ok
    world.write("extra.yaml", SETTINGS_PLACEMENT.replace("SAID", AT_NIGHT % ""))
    world.write("shop.yaml", SHOP.replace("green", "blue"))
    world.write(
        "new.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: new, namespace: shop}"
    )
    assert world.apply(**at(DAY)).ok
    assert "green" in world.kubectl("get", "configmap", "settings", "-n", "shop", "-o", "yaml")
    assert world.kubectl("get", "configmap", "new", "-n", "shop")
    # What is to go may be what the waiting change still needs.
    world.remove("new.yaml")
    plan = world.plan(**at(DAY))
    assert {(c.action, bool(c.waits)) for c in changes(plan, "aws")} == {
        ("update", True),
        ("prune", True),
    }
    assert not plan.has_changes
    assert world.apply(**at(NIGHT)).ok
    assert "blue" in world.kubectl("get", "configmap", "settings", "-n", "shop", "-o", "yaml")
    assert not world.kubectl(
        "get", "configmap", "new", "-n", "shop", "--ignore-not-found", check=False
    )


def test_what_lies_in_a_namespace_that_waits_waits_with_it(world: World) -> None:
    placement = SETTINGS_PLACEMENT.replace("kind: ConfigMap, name: settings", "kind: Namespace")
    world.write("extra.yaml", placement.replace("SAID", AT_NIGHT % ""))
    plan = world.plan(**at(DAY))
    assert {bool(change.waits) for change in changes(plan, "aws")} == {True}
    assert world.apply(**at(NIGHT)).ok


def test_what_moves_stays_until_its_new_home_is_open(world: World) -> None:
    placement = SETTINGS_PLACEMENT.replace("SAID", "clusters: [gcp]")
    world.write("extra.yaml", placement)
    assert world.apply(**at(DAY)).ok
    # From gcp, which is open, to aws, which is not.
    world.write("extra.yaml", placement.replace("gcp", "aws"))
    world.write("clusters.yaml", clusters(AT_NIGHT % ""))
    for _ in range(2):
        assert world.apply(**at(DAY)).ok
        assert world.kubectl("get", "configmap", "settings", "-n", "shop", cluster="gcp")
    assert world.apply(**at(NIGHT)).ok
    assert world.kubectl("get", "configmap", "settings", "-n", "shop", cluster="aws")
    assert world.apply(**at(NIGHT)).ok
    assert not world.kubectl(
        *("get", "configmap", "settings", "-n", "shop", "--ignore-not-found"), cluster="gcp"
    )


def test_limits_are_held_against_what_would_be_deleted_now(world: World) -> None:
    assert world.apply(**at(DAY)).ok
    world.write("clusters.yaml", clusters(AT_NIGHT % ""))
    world.write("shop.yaml", "\n---\n".join(SHOP.split("---")[:1]))
    plan = world.plan(**at(DAY), max_deletions=0)
    assert {violation.cluster for violation in plan.violations} == {"gcp"}
    plan = world.plan(**at(NIGHT), max_deletions=0)
    assert {violation.cluster for violation in plan.violations} == {"aws", "gcp"}


@pytest.mark.parametrize(
    ("then", "now", "said"),
    [
        (
            NIGHT,
            LATE,
            "could be written when the plan was made, and now waits until 2026-12-02 02:00",
        ),
        (DAY, NIGHT, f"was to wait when the plan was made ({OPENS}"),
    ],
)
def test_a_saved_plan_is_refused_once_a_window_has_closed_or_opened(
    world: World, tmp_path: Path, then: float, now: float, said: str
) -> None:
    world.write("clusters.yaml", clusters(AT_NIGHT % ""))
    options = RunOptions(repo=str(world.repository), kubeconfig=str(world.kubeconfig), **at(then))
    file = tmp_path / "plan.json"
    save_plan(file, world.prepare(**at(then)), options)
    saved = read_plan(file)
    check_fresh(saved, world.prepare(**at(then + 60)), options)
    with pytest.raises(StalePlan) as refused:
        check_fresh(saved, world.prepare(**at(now)), options)
    assert said in str(refused.value.differences)


def test_what_only_waits_is_no_change_to_make(simulated_desk: Desk) -> None:
    desk = simulated_desk
    desk.commit(shop=BLUE)
    assert desk.reconcile("--plan", "--detailed-exitcode").returncode == 2
    desk.world.write(
        "clusters.yaml",
        clusters("paused: true").replace("spec: {provider: gcp}", "spec: {paused: true}"),
    )
    done = desk.reconcile("--plan", "--detailed-exitcode")
    assert done.returncode == 0, done.stderr
    assert "2 waiting" in done.stdout
    done = desk.reconcile("--yes")
    assert done.returncode == 0, done.stderr
    assert "waits: paused (Cluster aws)" in done.stdout
    assert desk.world.get("configmap", "settings")["data"]["colour"] == "green"
    done = desk.reconcile("clusters")
    assert "WRITES" in done.stdout
    assert "paused" in done.stdout
    assert "gcp: waits: paused (Cluster gcp)" in done.stderr
    document = json.loads(desk.reconcile("clusters", "-o", "json").stdout)
    assert [one["closed"] for one in document["clusters"]] == [
        "waits: paused (Cluster aws)",
        "waits: paused (Cluster gcp)",
    ]


RENAMED = """
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {name: web}
spec:
  select: [{kind: Deployment}]
  SAID
"""


def test_a_workload_with_another_name_replaces_the_old_one_in_its_window_only(world: World) -> None:
    world.write("extra.yaml", RENAMED.replace("SAID", AT_NIGHT % ""))
    assert world.apply(**at(NIGHT)).ok
    world.write("shop.yaml", SHOP.replace("name: web, namespace", "name: web2, namespace", 1))
    for _ in range(2):
        assert world.apply(**at(DAY)).ok
        assert world.exists("deployment", "web")
        assert not world.exists("deployment", "web2")
    assert world.apply(**at(NIGHT)).ok
    assert world.exists("deployment", "web2")
    assert not world.exists("deployment", "web")


def test_a_namespace_that_is_to_go_waits_for_what_in_it_waits(world: World) -> None:
    world.write("shop.yaml", "---".join([NAMESPACE, SETTINGS, SERVICE]))
    world.write("extra.yaml", SETTINGS_PLACEMENT.replace("SAID", AT_NIGHT % ""))
    assert world.apply(**at(NIGHT)).ok
    world.write(
        "extra.yaml", SETTINGS_PLACEMENT.replace("SAID", "clusters: [gcp]\n  " + AT_NIGHT % "")
    )
    for kind in ("Namespace", "Service"):
        text = SETTINGS_PLACEMENT.replace("kind: ConfigMap, name: settings", f"kind: {kind}")
        text = text.replace("name: settings", f"name: {kind.lower()}", 1)
        world.write(f"{kind}.yaml", text.replace("SAID", "clusters: [gcp]"))
    plan = world.plan(**at(DAY))
    waiting = {c.key.kind: bool(c.waits) for c in changes(plan, "aws")}
    assert waiting["Namespace"]
    assert world.apply(**at(DAY)).ok
    assert world.exists("configmap", "settings")
    assert world.apply(**at(NIGHT), max_deletions=9).ok
    assert not world.exists("configmap", "settings")


# -- on real API servers ---------------------------------------------------------------------------


@pytest.mark.integration
def test_nothing_is_written_to_a_closed_cluster_as_its_own_audit_log_says(
    repository: Path, fleet: Fleet, control_plane: ControlPlane, tmp_path: Path
) -> None:
    aws, gcp = fleet(2)
    world = World(repository, control_plane.kubeconfig({"aws": aws, "gcp": gcp}))
    world.options["state"] = str(tmp_path / "memory.json")
    world.write("shop.yaml", SHOP)
    for rules in ("paused: true", AT_NIGHT % ""):
        world.write("clusters.yaml", clusters(rules))
        with aws.recorded() as closed, gcp.recorded() as open_one:
            for _ in range(2):
                result = world.apply(**at(DAY))
                assert result.ok
        assert [r for r in closed if r.writes] == []
        assert any(r.verb == "list" for r in closed)
    world.write("shop.yaml", SHOP.replace("green", "blue"))
    with aws.recorded() as closed, gcp.recorded() as open_one:
        assert world.apply(**at(DAY)).ok
    assert [r for r in closed if r.writes] == []
    assert [r for r in open_one if r.writes]
    with aws.recorded() as opened:
        assert world.apply(**at(NIGHT)).ok
    assert [r for r in opened if r.writes]
    assert world.get("configmap", "settings")["data"]["colour"] == "blue"
    # Drift, a deletion from Git, and an edit in Git: all wait, and then all are done.
    world.kubectl("label", "service", "web", "-n", "shop", "who=me")
    world.kubectl("scale", "deployment", "web", "-n", "shop", "--replicas=5")
    world.write("shop.yaml", "---".join([NAMESPACE, WEB, SETTINGS.replace("green", "red")]))
    with aws.recorded() as closed:
        result = world.apply(**at(LATE))
        assert result.ok
        waiting = {(c.action, c.key.kind) for c in changes(result.plan, "aws") if c.waits}
    assert waiting == {
        ("update", "ConfigMap"),
        ("update", "Deployment"),
        ("prune", "Service"),
    }
    assert [r for r in closed if r.writes] == []
    assert world.apply(**at(NIGHT + 86_400)).ok
    assert world.get("configmap", "settings")["data"]["colour"] == "red"
    assert not world.exists("service", "web")
    assert not world.plan(**at(NIGHT + 86_400)).has_changes


WIDGETS = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {kind: Widget, plural: widgets, singular: widget, listKind: WidgetList}
  versions:
    - name: v1
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
---
apiVersion: example.com/v1
kind: Widget
metadata: {name: first, namespace: shop}
size: 3
"""


def test_objects_of_a_kind_whose_definition_waits_wait_with_it(world: World) -> None:
    placement = SETTINGS_PLACEMENT.replace(
        "kind: ConfigMap, name: settings", "kind: CustomResourceDefinition"
    )
    world.write("extra.yaml", placement.replace("SAID", AT_NIGHT % ""))
    world.write("widgets.yaml", WIDGETS)
    plan = world.plan(**at(DAY))
    waiting = {change.key.kind: bool(change.waits) for change in changes(plan, "aws")}
    assert waiting.pop("CustomResourceDefinition")
    assert waiting.pop("Widget")
    assert not any(waiting.values())
    assert world.apply(**at(DAY)).ok
    assert world.apply(**at(NIGHT)).ok
    assert world.exists("widget", "first")


def test_what_is_made_anew_waits_while_anything_there_waits(world: World) -> None:
    assert world.apply(**at(DAY)).ok
    world.write("extra.yaml", SETTINGS_PLACEMENT.replace("SAID", AT_NIGHT % ""))
    recreated = WEB.replace("namespace: shop}", f"namespace: shop, {RECREATE}}}", 1)
    recreated = recreated.replace("{app: web}", "{app: web, tier: front}")
    world.write("shop.yaml", "---".join([NAMESPACE, recreated, SETTINGS.replace("green", "blue")]))
    before = world.get("deployment", "web")["metadata"]["uid"]
    plan = world.plan(**at(DAY))
    assert {(c.action, c.key.kind, bool(c.waits)) for c in changes(plan, "aws")} == {
        ("update", "ConfigMap", True),
        ("recreate", "Deployment", True),
        ("prune", "Service", True),
    }
    assert world.apply(**at(DAY)).ok
    assert world.get("deployment", "web")["metadata"]["uid"] == before
    assert world.apply(**at(NIGHT)).ok
    assert world.get("deployment", "web")["metadata"]["uid"] != before


def test_the_inventory_of_a_closed_cluster_is_not_written_either(world: World) -> None:
    assert world.apply(**at(DAY)).ok
    # It names a Service that neither Git nor the cluster has any more.
    world.kubectl("delete", "service", "web", "-n", "shop")
    world.write("shop.yaml", "---".join([NAMESPACE, WEB, SETTINGS]))
    world.write("clusters.yaml", clusters("paused: true"))
    before = everything(world, "aws")
    assert not changes(world.plan(**at(DAY)), "aws")
    assert world.apply(**at(DAY)).ok
    assert everything(world, "aws") == before
    world.write("clusters.yaml", clusters())
    assert world.apply(**at(DAY)).ok
    assert everything(world, "aws") != before
