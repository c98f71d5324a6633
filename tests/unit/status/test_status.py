"""`reconcile status`: workloads over all clusters."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from reconciler.api.objects import ObjectKey
from reconciler.cluster.kstatus import Status
from reconciler.status.failing_pods import selector_text
from reconciler.status.fleet_status import ClusterStatus, WorkloadStatus, select
from tests.scenarios.conftest import CLUSTERS
from tests.scenarios.manifests import NAMESPACE

from .conftest import Fleet

AGENT = """
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent, namespace: shop}
spec:
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}}
    spec: {containers: [{name: agent, image: registry.example/agent:1.0}]}
"""
SCOPES = """
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: readers}
rules: []
---
apiVersion: v1
kind: ConfigMap
metadata: {name: flags}
"""


def workloads(fleet: Fleet, *arguments: str, code: int = 0) -> dict[str, Any]:
    said = fleet.run("status", "-o", "json", *arguments, code=code).stdout
    return {f"{row['kind']}/{row['name']}": row for row in json.loads(said)["workloads"]}


def test_a_fleet_that_is_as_git_says_ends_in_0(shop_fleet: Fleet) -> None:
    shop_fleet.run("--yes")
    shop_fleet.run("status", "--watch", "--interval", "100ms", "--timeout", "20s")
    (web,) = workloads(shop_fleet).values()
    assert (web["status"], web["wanted"], web["ready"]) == ("Current", 4, 4)
    assert [part["name"] for part in web["clusters"]] == ["aws", "gcp"]


def test_what_was_never_applied_is_missing_everywhere(shop_fleet: Fleet) -> None:
    found = workloads(shop_fleet, code=1)
    assert found["Deployment/web"]["status"] == "NotFound"
    assert found["ConfigMap/settings"]["status"] == "NotFound"
    assert found["Deployment/web"]["ready"] == 0


def test_a_change_in_git_is_in_progress_until_it_is_applied(shop_fleet: Fleet) -> None:
    shop_fleet.run("--yes")
    text = (shop_fleet.repository / "shop.yaml").read_text()
    (shop_fleet.repository / "shop.yaml").write_text(text.replace("web:1.0", "web:2.0"))
    web = workloads(shop_fleet, "web", code=1)["Deployment/web"]
    assert {part["message"] for part in web["clusters"]} == {"not applied yet: changed in Git"}


def test_one_workload_is_chosen_by_name_kind_or_namespace(shop_fleet: Fleet) -> None:
    shop_fleet.run("--yes")
    shop_fleet.run("status", "--watch", "--interval", "100ms", "--timeout", "20s")
    assert set(workloads(shop_fleet, "deployment/web")) == {"Deployment/web"}
    assert set(workloads(shop_fleet, "shop/web")) == {"Deployment/web", "Service/web"}
    said = shop_fleet.run("status", "nothing", code=64).stderr
    assert "called 'nothing'" in said


def test_a_member_that_does_not_answer_is_unknown_not_well(shop_fleet: Fleet) -> None:
    shop_fleet.run("--yes")
    shop_fleet.sandbox.cluster("gcp").faults.error(500)
    web = workloads(shop_fleet, "deployment/web", code=1)["Deployment/web"]
    assert [part["status"] for part in web["clusters"]] == ["Current", "Unknown"]
    assert web["status"] == "Unknown"


def test_what_has_no_namespace_in_git_is_told_once_of_each_member(shop_fleet: Fleet) -> None:
    (shop_fleet.repository / "scopes.yaml").write_text(SCOPES)
    shop_fleet.run("--yes")
    # One member knows that a ConfigMap has a namespace and a ClusterRole has none; then nobody.
    for down, namespace in (("gcp", "default"), ("aws", "")):
        shop_fleet.sandbox.cluster(down).faults.error(500)
        for name, told in (("readers", ""), ("flags", namespace)):
            said = shop_fleet.run("status", name, "-o", "json", code=1).stdout
            (row,) = json.loads(said)["workloads"]
            assert (row["namespace"], len(row["clusters"])) == (told, 2)


def test_watching_ends_when_everything_is_there(shop_fleet: Fleet) -> None:
    watcher: list[int] = []

    def watch() -> None:
        done = shop_fleet.run("status", "--watch", "--interval", "100ms", "--timeout", "40s")
        watcher.append(done.returncode)

    thread = threading.Thread(target=watch)
    thread.start()
    shop_fleet.run("--yes")
    thread.join(timeout=50)
    assert watcher == [0]


def test_watching_gives_up_after_its_time(shop_fleet: Fleet) -> None:
    said = shop_fleet.run("status", "-w", "--interval", "100ms", "--timeout", "500ms", code=1)
    assert "The time is over" in said.stderr


def test_a_daemon_set_is_wanted_on_as_many_nodes_as_there_are(shop_fleet: Fleet) -> None:
    (shop_fleet.repository / "agent.yaml").write_text(AGENT)
    shop_fleet.run("--yes")
    shop_fleet.run("status", "--watch", "--interval", "100ms", "--timeout", "20s")
    agent = workloads(shop_fleet, "daemonset/agent")["DaemonSet/agent"]
    assert (agent["wanted"], agent["ready"]) == (4, 4)


def test_a_timeout_without_watching_is_a_mistake(shop_fleet: Fleet) -> None:
    assert "--watch" in shop_fleet.run("status", "--timeout", "5s", code=64).stderr


def row(name: str, *statuses: Status | None, kind: str = "Deployment") -> WorkloadStatus:
    clusters = tuple(ClusterStatus(str(i), s, wanted=1, ready=1) for i, s in enumerate(statuses))
    return WorkloadStatus(ObjectKey("apps", kind, "shop", name), clusters)


@pytest.mark.parametrize(
    ("statuses", "worst"),
    [
        ((Status.CURRENT, Status.CURRENT), Status.CURRENT),
        ((Status.CURRENT, Status.IN_PROGRESS), Status.IN_PROGRESS),
        ((Status.IN_PROGRESS, None), None),
        ((None, Status.FAILED), Status.FAILED),
        ((Status.NOT_FOUND, Status.TERMINATING), Status.NOT_FOUND),
    ],
)
def test_the_worst_cluster_speaks_for_the_fleet(
    statuses: tuple[Status | None, ...], worst: Status | None
) -> None:
    assert row("web", *statuses).status is worst


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("web", {"web"}),
        ("w*", {"web", "worker"}),
        ("deployments/w*", {"web"}),
        ("Job/*", {"worker"}),
        ("shop/web", {"web"}),
        ("other/web", set()),
        ("", {"web", "worker"}),
    ],
)
def test_names_choose(text: str, names: set[str]) -> None:
    rows = [row("web", Status.CURRENT), row("worker", Status.CURRENT, kind="Job")]
    assert {found.key.name for found in select(rows, text, "")} == names


@pytest.mark.parametrize(
    ("selector", "query"),
    [
        ({"matchLabels": {"app": "web"}}, "app=web"),
        (
            {
                "matchLabels": {"a": "b"},
                "matchExpressions": [
                    {"key": "tier", "operator": "In", "values": ["x", "y"]},
                    {"key": "canary", "operator": "DoesNotExist"},
                ],
            },
            "a=b,tier in (x,y),!canary",
        ),
        ({"matchExpressions": [{"key": "a", "operator": "Resembles"}]}, ""),
        (None, ""),
    ],
)
def test_a_selector_is_a_query(selector: Any, query: str) -> None:
    assert selector_text(selector) == query


ONLY_AWS = """
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {name: all}
spec: {select: [{namespace: shop}, {kind: Namespace}], clusters: [aws]}
"""


@pytest.mark.parametrize("how", ["broken", "left out"])
def test_a_cluster_that_is_not_looked_at_is_named_though_nothing_is_placed_there(
    shop_fleet: Fleet, how: str
) -> None:
    shop = shop_fleet.repository / "shop.yaml"
    shop.write_text(shop.read_text() + ONLY_AWS)
    shop_fleet.run("--yes")
    shop_fleet.run("status", "--watch", "--interval", "100ms", "--timeout", "20s")
    if how == "broken":
        shop_fleet.sandbox.cluster("gcp").faults.error(500)
    else:
        clusters = shop_fleet.repository / "clusters.yaml"
        access = "spec: {access: {context: nowhere}, provider: gcp"
        clusters.write_text(CLUSTERS.replace("spec: {provider: gcp", access))
    for form in ("table", "wide"):
        said = shop_fleet.run("status", "-o", form, code=1).stdout
        (line,) = [line for line in said.splitlines() if line.startswith("gcp: ")]
        assert len(line) > len("gcp: it")
    document = json.loads(shop_fleet.run("status", "-o", "json", code=1).stdout)
    assert [one["name"] for one in document["notLookedAt"]] == ["gcp"]
    (web,) = document["workloads"]
    assert [part["name"] for part in web["clusters"]] == ["aws"]
    # It has no say about what is not wanted there.
    assert "gcp: " in shop_fleet.run("status", "web").stdout


def test_no_summary_says_that_all_is_well_while_a_cluster_is_not_looked_at(
    shop_fleet: Fleet,
) -> None:
    (shop_fleet.repository / "shop.yaml").write_text(NAMESPACE + ONLY_AWS)
    assert "all of it is well" not in shop_fleet.run("status", code=1).stdout
    shop_fleet.run("--yes")
    assert "Nothing is placed anywhere, or all of it is well" in shop_fleet.run("status").stdout
    shop_fleet.sandbox.cluster("gcp").stop()
    said = shop_fleet.run("status", code=1).stdout
    assert "in the clusters that were looked at" in said
    assert said.count("gcp: ") == 1


def test_a_cluster_is_told_once_however_much_is_wanted_there(shop_fleet: Fleet) -> None:
    shop_fleet.run("--yes")
    shop_fleet.sandbox.cluster("gcp").stop()
    said = shop_fleet.run("status", code=1).stdout
    assert said.count("gcp: ") == 1
