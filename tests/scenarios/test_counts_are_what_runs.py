"""The table of replicas says what runs and what will: whoever made it, and whatever is refused."""

from __future__ import annotations

from typing import Any

from reconciler.api.objects import ObjectKey
from reconciler.plan.model import Action, Outcome, WorkloadRow
from reconciler.plan.replicas import rows_after_run
from reconciler.report.json_report import plan_document
from reconciler.report.markdown import render_plan_markdown
from reconciler.report.text import render_plan
from tests.scenarios.conftest import FEDERATION, World
from tests.scenarios.manifests import NAMESPACE, WEB

KEY = ObjectKey("apps", "Deployment", "shop", "web")
NEVER = FEDERATION + "  adoption: {policy: Never}\n"


def by_hand(world: World, replicas: int) -> None:
    path = world.repository.parent / "by-hand.yaml"
    path.write_text(WEB.replace("replicas: 2", f"replicas: {replicas}"))
    for cluster in ("aws", "gcp"):
        world.kubectl("apply", "-f", str(path), cluster=cluster)


def counts(world: World) -> tuple[dict[str, int], dict[str, int]]:
    (row,) = (row for row in world.plan().workloads if row.key == KEY)
    return dict(row.before), dict(row.after)


def test_what_is_adopted_runs_already(world: World) -> None:
    world.write("shop.yaml", NAMESPACE)
    assert world.apply().ok
    by_hand(world, 2)
    world.write("shop.yaml", "---".join([NAMESPACE, WEB]))
    plan = world.plan()
    assert plan.summary()["adopt"] == 2
    two = {"aws": 2, "gcp": 2}
    assert counts(world) == (two, two)
    assert "Replicas" not in render_plan(plan)
    assert "0 → " not in render_plan_markdown(plan)
    (told,) = plan_document(plan)["workloads"]
    assert (told["before"], told["after"]) == (two, two)


def test_what_is_adopted_with_another_count_changes_from_what_runs(world: World) -> None:
    world.write("shop.yaml", NAMESPACE)
    assert world.apply().ok
    by_hand(world, 5)
    world.write("shop.yaml", "---".join([NAMESPACE, WEB]))
    world.write("federation.yaml", FEDERATION + '  adoption: {takeOver: ["kubectl*"]}\n')
    assert counts(world) == ({"aws": 5, "gcp": 5}, {"aws": 2, "gcp": 2})


def test_what_may_not_be_adopted_stays_as_it_runs(world: World) -> None:
    world.write("shop.yaml", NAMESPACE)
    assert world.apply().ok
    by_hand(world, 3)
    world.write("federation.yaml", NEVER)
    world.write("shop.yaml", "---".join([NAMESPACE, WEB]))
    assert counts(world) == ({"aws": 3, "gcp": 3}, {"aws": 3, "gcp": 3})


def test_a_change_that_is_refused_changes_no_count(world: World) -> None:
    world.write("shop.yaml", "---".join([NAMESPACE, WEB]))
    assert world.apply().ok
    refused = WEB.replace("replicas: 2", "replicas: 4").replace("{app: web}", "{app: other}")
    world.write("shop.yaml", "---".join([NAMESPACE, refused]))
    two = {"aws": 2, "gcp": 2}
    assert world.plan().has_failures
    assert counts(world) == (two, two)


def test_a_new_workload_that_is_refused_runs_nowhere(world: World) -> None:
    world.write("shop.yaml", NAMESPACE)
    assert world.apply().ok
    refused = WEB.replace("labels: {app: web}", "labels: {app: another}")
    world.write("shop.yaml", "---".join([NAMESPACE, refused]))
    assert world.plan().has_failures
    (row,) = world.plan().workloads
    assert sum(row.after.values()) == 0


def test_what_is_let_go_or_kept_runs_on(world: World) -> None:
    orphan = WEB.replace(
        "namespace: shop}",
        'namespace: shop, annotations: {federation.reconciler.dev/orphan: "true"}}',
    )
    world.write("shop.yaml", "---".join([NAMESPACE, orphan]))
    assert world.apply().ok
    world.write("placement.yaml", PLACEMENT)
    plan = world.plan()
    assert plan.summary()["orphan"] == 2
    assert counts(world) == ({"aws": 2, "gcp": 2}, {"aws": 2, "gcp": 2})


PLACEMENT = """
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {name: web}
spec:
  select: [{kind: Deployment, namespace: shop, name: web}]
  clusters: []
"""


def test_what_failed_or_was_skipped_is_as_before() -> None:
    row = WorkloadRow(KEY, before={"aws": 2}, after={"aws": 4, "gcp": 4, "far": 4})

    def outcome(cluster: str, status: Any) -> Outcome:
        return Outcome(cluster, Action.UPDATE, KEY, status)

    outcomes = [outcome("aws", "failed"), outcome("gcp", "skipped"), outcome("far", "done")]
    (came,) = rows_after_run([row], outcomes)
    assert came.after == {"aws": 2, "far": 4}
