"""What a run decided, told in the host as PlacementDecisions: shown in the plan, written with the
apply, and only ever our own."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from jsonschema_rs import validator_for

from reconciler.api.notices import NoticeCause
from reconciler.manifests.own_schemas import load_schema
from reconciler.plan.model import Action
from reconciler.report.json_report import plan_document
from reconciler.report.text import render_plan, render_result
from tests.command import run_command, user_environment
from tests.scenarios.cluster_profiles import FLEET, definition
from tests.scenarios.test_cluster_profiles import FEDERATION, Fleet, causes, fleet

__all__ = ["fleet"]

PUBLISHING = FEDERATION.replace(
    "  defaults:", "  publish: {placementDecisions: {namespace: fleet}}\n  defaults:"
)
PLACEMENT = """
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {name: settings}
spec: {select: [{kind: ConfigMap}], clusters: %s}
"""


@pytest.fixture
def publishing(fleet: Fleet) -> Fleet:
    fleet.host.apply(definition("PlacementDecision"))
    fleet.world.write("federation.yaml", PUBLISHING)
    fleet.world.write("placement.yaml", PLACEMENT % "[aws, gcp]")
    return fleet


def decisions(fleet: Fleet) -> list[Any]:
    text = fleet.world.kubectl(
        "get", "placementdecisions", "-n", FLEET, "-o", "json", cluster="host"
    )
    return list(json.loads(text)["items"])


def named(decision: Any) -> list[str]:
    return [one["clusterProfileRef"]["name"] for one in decision["decisions"]]


def test_what_the_plan_shows_is_published_with_the_apply(publishing: Fleet) -> None:
    plan = publishing.world.plan()
    (planned,) = plan.decisions
    assert planned.after == ("aws", "gcp")
    line = "+ PlacementDecision fleet/shop.settings-0: aws, gcp"
    assert line in render_plan(plan)
    assert plan_document(plan)["decisions"] == [
        {
            "action": "create",
            "namespace": "fleet",
            "name": "shop.settings-0",
            "from": None,
            "to": ("aws", "gcp"),
        }
    ]
    assert decisions(publishing) == []
    assert publishing.world.apply().ok
    (written,) = decisions(publishing)
    assert named(written) == ["aws", "gcp"]
    assert {one["clusterProfileRef"]["namespace"] for one in written["decisions"]} == {FLEET}
    labels = written["metadata"]["labels"]
    assert labels["multicluster.x-k8s.io/decision-key"] == "shop.settings"
    assert labels["multicluster.x-k8s.io/decision-index"] == "0"
    assert labels["multicluster.x-k8s.io/placement-key"] == "settings"
    assert not publishing.world.plan().has_changes


def test_a_change_of_placement_alone_is_a_change_to_apply(publishing: Fleet) -> None:
    assert publishing.world.apply().ok
    publishing.world.write("placement.yaml", PLACEMENT % "[gcp]")
    plan = publishing.world.plan()
    assert "~ PlacementDecision fleet/shop.settings-0: -aws, gcp" in render_plan(plan)
    assert "1 placement decision to publish" in render_plan(plan)
    result = publishing.world.apply()
    assert result.ok
    assert "1 placement decision published" in render_result(result)
    assert [named(one) for one in decisions(publishing)] == [["gcp"]]


def test_what_others_changed_in_ours_is_put_right(publishing: Fleet) -> None:
    assert publishing.world.apply().ok
    publishing.host.edit(
        "PlacementDecision.multicluster.x-k8s.io",
        "shop.settings-0",
        {"decisions": []},
        namespace=FLEET,
    )
    assert [one.action for one in publishing.world.plan().decisions] == [Action.UPDATE]
    assert publishing.world.apply().ok
    assert [named(one) for one in decisions(publishing)] == [["aws", "gcp"]]


def test_ours_go_when_nobody_asks_for_them_any_more_and_others_stay(publishing: Fleet) -> None:
    foreign = {
        "apiVersion": "multicluster.x-k8s.io/v1alpha1",
        "kind": "PlacementDecision",
        "metadata": {"name": "theirs", "namespace": FLEET},
        "decisions": [],
    }
    publishing.host.apply(foreign, manager="somebody")
    assert publishing.world.apply().ok
    assert len(decisions(publishing)) == 2
    publishing.world.write("federation.yaml", FEDERATION)
    assert [one.action for one in publishing.world.plan().decisions] == [Action.PRUNE]
    assert publishing.world.apply().ok
    assert [one["metadata"]["name"] for one in decisions(publishing)] == ["theirs"]
    # Once they are gone, nobody looks there any more.
    assert publishing.world.apply().ok
    publishing.host.faults.forbid(path="placementdecisions")
    assert publishing.world.apply().ok


def test_nothing_is_published_while_the_federation_is_closed(publishing: Fleet) -> None:
    noon = {"clock": lambda: datetime(2026, 11, 30, 12, tzinfo=UTC).timestamp()}
    assert publishing.world.apply(**noon).ok
    closed = 'spec:\n  maintenance: [{kind: Allow, schedule: "0 2 * * *", duration: 3h}]'
    publishing.world.write("federation.yaml", PUBLISHING.replace("spec:", closed))
    publishing.world.write("placement.yaml", PLACEMENT % "[gcp]")
    plan = publishing.world.plan(**noon)
    assert plan.decisions == ()
    assert NoticeCause.DECISIONS_WAIT in causes(plan)
    assert publishing.world.apply(**noon).ok
    assert [named(one) for one in decisions(publishing)] == [["aws", "gcp"]]


def test_a_saved_plan_holds_for_the_decisions_that_it_shows(publishing: Fleet) -> None:
    world, home = publishing.world, publishing.folder
    environment = user_environment(home, RECONCILE_ALLOW_ACCESS="plain-http")
    options = ("--kubeconfig", world.kubeconfig, "--host-context", "host")
    options = (*options, "--access-providers", home / "providers.json")

    def run(*arguments: object, code: int) -> str:
        done = run_command(*options, *arguments, cwd=world.repository, env=environment, code=code)
        return done.stdout + done.stderr

    run("--plan", "--out", home / "plan.json", code=0)
    saved = json.loads((home / "plan.json").read_text())["plan"]
    validator_for(load_schema("plan.json")).validate(saved)
    assert saved["decisions"][0]["to"] == ["aws", "gcp"]
    publishing.host.apply(
        {
            "apiVersion": "multicluster.x-k8s.io/v1alpha1",
            "kind": "PlacementDecision",
            "metadata": {"name": "shop.settings-0", "namespace": FLEET},
            "decisions": [],
        },
        manager="somebody",
    )
    said = run("--apply-plan", home / "plan.json", code=1)
    assert "PlacementDecision fleet/shop.settings-0 is to be otherwise than planned" in said
    world.kubectl("delete", "placementdecisions", "--all", "-n", FLEET, cluster="host")
    assert "1 placement decision published" in run("--apply-plan", home / "plan.json", code=0)


def test_a_name_of_somebody_else_is_left_to_them(publishing: Fleet) -> None:
    publishing.host.apply(
        {
            "apiVersion": "multicluster.x-k8s.io/v1alpha1",
            "kind": "PlacementDecision",
            "metadata": {"name": "shop.settings-0", "namespace": FLEET},
            "schedulerName": "another",
            "decisions": [],
        },
        manager="somebody",
    )
    plan = publishing.world.plan()
    assert plan.decisions == ()
    assert NoticeCause.DECISION_OF_OTHERS in causes(plan)
    assert publishing.world.apply().ok
    (there,) = decisions(publishing)
    assert there["schedulerName"] == "another"


def test_what_cannot_be_published_is_an_error_of_the_run(publishing: Fleet) -> None:
    publishing.host.faults.forbid(method="PATCH", path="placementdecisions")
    result = publishing.world.apply()
    assert not result.ok
    assert "PlacementDecision fleet/shop.settings-0 is not published" in str(result.errors[0])
    assert publishing.world.exists("configmap", "settings", cluster="gcp")


def test_a_host_without_the_kind_is_told_in_the_plan(fleet: Fleet) -> None:
    fleet.world.write("federation.yaml", PUBLISHING)
    plan = fleet.world.plan()
    assert NoticeCause.DECISIONS_UNREADABLE in causes(plan)
    assert not fleet.world.apply().ok


def test_a_cluster_without_a_profile_cannot_be_named(publishing: Fleet) -> None:
    publishing.world.write(
        "clusters.yaml",
        """
        apiVersion: federation.reconciler.dev/v1alpha1
        kind: Cluster
        metadata: {name: host}
        """,
    )
    publishing.world.write("placement.yaml", PLACEMENT % "[aws, host]")
    plan = publishing.world.plan()
    assert [one.after for one in plan.decisions] == [("aws",)]
    assert NoticeCause.DECISION_WITHOUT_PROFILE in causes(plan)


def test_a_run_of_one_cluster_publishes_nothing(publishing: Fleet) -> None:
    assert publishing.world.plan(clusters=("aws",)).decisions == ()


def test_a_federation_that_publishes_nothing_asks_nothing(fleet: Fleet) -> None:
    fleet.host.faults.forbid(path="placementdecisions")
    assert fleet.world.apply().ok
