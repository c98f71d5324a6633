"""Quiet hours and pauses: what is closed is not written to, and nothing is lost meanwhile."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from reconciler.plan.model import Change, Plan, RunResult
from reconciler.report.html import render_html
from reconciler.report.json_report import plan_document
from reconciler.report.markdown import render_plan_markdown
from reconciler.report.text import render_plan
from reconciler.run.pipeline import apply_plan
from tests.scenarios.conftest import World
from tests.scenarios.manifests import SHOP

DAY = datetime(2026, 11, 30, 12, tzinfo=UTC).timestamp()
NIGHT = datetime(2026, 12, 1, 2, 30, tzinfo=UTC).timestamp()
LATE = datetime(2026, 12, 1, 4, 30, tzinfo=UTC).timestamp()
AT_NIGHT = (
    'maintenance: [{kind: Allow, schedule: "0 2 * * *", timeZone: Europe/Berlin, duration: 3h%s}]'
)
NOW_AND_NEVER_FAILOVER = AT_NIGHT % ", failover: false"
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
    moments = iter([])
    clock = {"now": NIGHT}
    prepared = world.prepare(clock=lambda: clock["now"])
    assert prepared.plan.has_changes
    calls: list[str] = []

    class Counting:
        def phase(self, name: str, total: int) -> None:
            del name, total

        def advance(self, name: str, steps: int = 1) -> None:
            del steps
            calls.append(name)
            clock["now"] = LATE  # after the first object was written

    result = apply_plan(prepared, Counting())
    del moments
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
