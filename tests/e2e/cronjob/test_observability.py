"""Dashboard and alert rules, against what a real run tells: by Prometheus, and by their words."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import yaml

from tests.command import start_command
from tests.controlplane.process import eventually
from tests.e2e.cronjob.prometheus import Prometheus, prometheus
from tests.unit.git.programs import needed
from tests.unit.git.repositories import new_repository

from .conftest import CRONJOB

FOLDER = CRONJOB / "observability"
RULES = FOLDER / "rules.yaml"
PREFIX = "federation_reconciler_"
CASES = Path(__file__).with_name("alert-cases.yaml")
# Two clusters that have no room for what is asked of them, and a name in DNS.
FLEET = """
apiVersion: federation.reconciler.dev/v1alpha1
kind: Federation
metadata: {name: shop}
spec:
  defaults: {placement: {clusterSelector: {}}}
  failover: {enabled: true}
  dns:
    providers: {aws: {class: octodns_route53.Route53Provider}}
    zones: [{name: shop.example.com., provider: aws}]
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: aws-eu}
spec: {provider: aws, region: eu-central-1}
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: gcp-eu}
spec: {provider: gcp, region: europe-west1}
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {name: web}
spec:
  select: [{kind: Deployment, name: web}]
  replicas:
    mode: Divided
    total: 9
    clusters: [{name: aws-eu, max: 2}, {name: gcp-eu, max: 3}]
---
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop, annotations: {federation.reconciler.dev/dns: "true"}}
spec: {type: LoadBalancer, ports: [{port: 443}], selector: {app: web}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "registry.example/web:1.0"}]}
"""


def dashboard() -> dict[str, Any]:
    return dict(json.loads((FOLDER / "dashboard.json").read_text()))


def expressions() -> dict[str, str]:
    """Every query of the dashboard, by the panel's title, with its variables filled in."""
    found = {}
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", ()):
            text = target["expr"].replace("$federation", "shop").replace("$cluster", ".*")
            found[f"{panel['title']} {target['refId']}"] = text
    return found


def rule_expressions() -> dict[str, str]:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    return {one.get("alert") or one["record"]: one["expr"] for one in group["rules"]}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a real process tells of its runs: host and port."""
    folder = tmp_path_factory.mktemp("service")
    repository = new_repository(folder / "repository", {"fleet.yaml": FLEET})
    options = ("--sandbox", "--every", "2s", "--listen", "127.0.0.1:0", "--ref", "main")
    process = start_command(
        *(*options, "--repo", repository),
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder), "PYTHONUNBUFFERED": "1"},
        stderr=subprocess.STDOUT,
    )
    assert process.stdout is not None
    port = re.search(r"port (\d+)", process.stdout.readline())
    assert port
    subprocess.Popen(["cat"], stdin=process.stdout, stdout=subprocess.DEVNULL)
    yield f"127.0.0.1:{port[1]}"
    process.kill()
    process.wait()


@pytest.fixture(scope="module")
def server(address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    with prometheus(tmp_path_factory.mktemp("prometheus"), address, RULES) as found:
        told = f"{PREFIX}last_success_timestamp_seconds"
        eventually(lambda: bool(found.query(told)), "a run is scraped", timeout=120)
        yield found


def test_every_panel_shows_something_of_a_real_run(server: Prometheus) -> None:
    queries = expressions()
    assert len(queries) > 20
    empty = {title for title, text in queries.items() if not server.query(text)}
    # Of these there is nothing while all is well.
    only_of_trouble = {title for title, text in queries.items() if text.endswith("> 0")}
    assert empty <= only_of_trouble
    assert {"Replicas that move or fit nowhere B", "Whether it answers A"} <= set(queries)


def test_prometheus_takes_the_rules_and_finds_what_is_wrong(server: Prometheus) -> None:
    def states() -> dict[str, str]:
        (group,) = server.ask("rules")["groups"]
        return {rule["name"]: rule["health"] for rule in group["rules"]}

    eventually(lambda: set(states().values()) == {"ok"}, "all rules are evaluated")
    assert set(states()) == set(rule_expressions())
    # Four replicas fit nowhere, and that is all.
    wrong = {"FederationReplicasFitNowhere": "pending"}
    eventually(lambda: server.alerts() == wrong, "one alert waits for its time")
    fresh = server.query("federation_reconciler:fresh_run_age_seconds")
    assert [one["metric"]["federation"] for one in fresh] == ["shop"]


def test_alerts_come_and_go_as_the_cases_say() -> None:
    done = subprocess.run(
        [needed("promtool", "prometheus"), "test", "rules", CASES],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_has_a_case_in_which_it_fires() -> None:
    cases = [
        one
        for test in yaml.safe_load(CASES.read_text())["tests"]
        for one in test["alert_rule_test"]
    ]
    fired = {one["alertname"] for one in cases if one.get("exp_alerts")}
    assert fired == {name for name in rule_expressions() if name.startswith("Federation")}


def test_names_and_labels_are_those_that_runs_expose(address: str) -> None:
    """By the words of the queries: holds where Prometheus is not installed, too.

    Scraping adds job and instance, a Pushgateway the shard.
    """

    def text() -> str:
        with urlopen(f"http://{address}/metrics") as answer:
            return str(answer.read().decode())

    eventually(lambda: "last_success" in text(), "a first run has ended", timeout=120)
    labels: dict[str, set[str]] = {name: set() for name in re.findall(r"# TYPE (\w+)", text())}
    for name, pairs in re.findall(r"^(\w+)\{(.*)\} ", text(), re.MULTILINE):
        labels[name].update(re.findall(r"(\w+)=", pairs))
    # No record changes in the second run.
    labels[f"{PREFIX}dns_changes"].update({"federation", "zone", "action"})
    asked = set()
    for title, query in {**expressions(), **rule_expressions()}.items():
        found = re.findall(rf"\b({PREFIX}\w+)(?:\{{(.*?)\}})?", query)
        assert {name for name, _ in found} <= set(labels), title
        known = {"job", "instance", "shard"}.union(*(labels[name] for name, _ in found))
        named = re.findall(r"(\w+)(?:=~|!~|!=|=)\"", query)
        for names in re.findall(r"\b(?:by|on) \((.*?)\)", query):
            named += names.split(", ")
        if found:
            assert set(named) <= known, title
            asked |= {title}
    # That one asks kube-state-metrics alone.
    assert rule_expressions().keys() - asked == {"FederationTokensNotRenewed"}


def test_the_operators_rules_are_the_same_rules() -> None:
    operators = yaml.safe_load((FOLDER / "prometheus-rule.yaml").read_text())
    assert operators["spec"] == yaml.safe_load(RULES.read_text())


def test_the_monitor_finds_the_pods_of_the_deployment() -> None:
    monitor = yaml.safe_load((FOLDER / "pod-monitor.yaml").read_text())["spec"]
    deployment = yaml.safe_load((CRONJOB / "overlays/continuous/deployment.yaml").read_text())
    template = deployment["spec"]["template"]
    wanted = monitor["selector"]["matchLabels"].items()
    assert wanted <= template["metadata"]["labels"].items()
    ports = {port["name"] for port in template["spec"]["containers"][0]["ports"]}
    assert {one["port"] for one in monitor["podMetricsEndpoints"]} <= ports


def test_the_dashboard_can_be_imported() -> None:
    board = dashboard()
    # Null: Grafana gives it one; the uid is what links keep.
    assert board["id"] is None
    assert board["uid"] == "federation-reconciler"
    variables = {one["name"]: one for one in board["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
        if panel["type"] == "row":
            continue
        assert panel["datasource"]["uid"] == "${datasource}"
        assert panel["title"]
        assert panel["description"]
        assert panel["targets"]
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == "${datasource}"
            used = set(re.findall(r"\$\{?(\w+)", target["expr"]))
            assert used <= set(variables)
