"""The matrix workload x outage: what the scheduler and the rules make of every outage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import orjson
import pytest
from jsonschema import Draft202012Validator
from markdown_it import MarkdownIt

from reconciler.api.errors import UsageError
from reconciler.api.options import RunOptions
from reconciler.failover.survivability import (
    Impact,
    Survivability,
    assess_survivability,
    worse_than,
)
from reconciler.report import survivability as report
from reconciler.run.repository import validate_repository
from tests.scenarios.failover_world import CLUSTERS, FEDERATION, WEB

ROOT = Path(__file__).resolve().parents[3]
TWO_MAY_GO = FEDERATION.replace("maxUnhealthy: 1", "maxUnhealthy: 2")
CRON = """
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: report, namespace: shop}
spec: {schedule: "0 3 * * *", jobTemplate: {spec: {template: {spec: {containers: []}}}}}
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {name: report}
spec: {select: [{kind: CronJob}], clusters: [gcp-eu]}
"""

Matrix = Callable[..., Survivability]


@pytest.fixture
def matrix(tmp_path: Path) -> Matrix:
    def calculate(
        federation: str = FEDERATION, manifests: str = WEB, clusters: str = CLUSTERS, *outages: str
    ) -> Survivability:
        for name, text in (("f", federation), ("m", manifests), ("c", clusters)):
            (tmp_path / f"{name}.yaml").write_text(text)
        return assess_survivability(
            validate_repository(RunOptions(repo=str(tmp_path))).state, outages
        )

    return calculate


def told(matrix: Survivability, workload: str = "web") -> dict[str, str]:
    """Outage -> fate and numbers of one workload."""
    (row,) = [row for row in matrix.rows if row.workload.name == workload]
    return {
        outage.title: f"{cell.impact} {cell.after}/{cell.before}"
        for outage, cell in zip(matrix.outages, row.cells, strict=True)
    }


def test_divided_replicas_survive_what_the_rules_allow(matrix: Matrix) -> None:
    found = matrix(TWO_MAY_GO)
    assert not [outage.remark for outage in found.outages if outage.remark]
    assert told(found) == {
        "provider=aws": "survives 6/6",
        "region=europe-west1": "survives 6/6",
        "region=us-central1": "survives 6/6",
        "provider=gcp": "survives 6/6",
    }


SCALER = """
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web, namespace: shop}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  minReplicas: 1
  maxReplicas: %d
"""


@pytest.mark.parametrize(
    ("limit", "two_left", "one_left"),
    [(6, "survives 6/6", "survives 6/6"), (4, "survives 6/6", "degraded 4/6")],
)
def test_what_an_autoscaler_scales_comes_back_as_far_as_it_may(
    matrix: Matrix, limit: int, two_left: str, one_left: str
) -> None:
    found = matrix(TWO_MAY_GO, WEB + SCALER % limit)
    assert told(found) == {
        "provider=aws": two_left,
        "region=europe-west1": two_left,
        "region=us-central1": two_left,
        "provider=gcp": one_left,
    }
    (warning,) = found.warnings
    assert f"grows by its load, to at most {limit} in each cluster" in warning


def test_bounds_that_are_divided_follow_an_outage(matrix: Matrix) -> None:
    divided = WEB.replace("mode: Divided", "mode: Divided, autoscalers: Divided")
    follow = TWO_MAY_GO.replace("spec:\n", "spec:\n  dependencies: Follow\n", 1)
    found = matrix(follow, divided + SCALER % 6)
    assert told(found)["provider=gcp"] == "survives 6/6"
    off = follow.replace("enabled: true", "enabled: false")
    # Each of the three has 2 of the 6, and the one that is left has no more.
    assert told(matrix(off, divided + SCALER % 6))["provider=gcp"] == "degraded 2/6"


def test_an_outage_beyond_max_unhealthy_moves_nothing_and_says_so(matrix: Matrix) -> None:
    found = matrix()
    assert told(found)["provider=gcp"] == "degraded 2/6"
    assert "may itself be cut off" in found.outages[-1].remark


def test_without_failover_every_outage_costs_its_replicas(matrix: Matrix) -> None:
    found = matrix(FEDERATION.replace("enabled: true", "enabled: false"))
    assert told(found)["provider=aws"] == "degraded 4/6"
    assert "nothing moves by itself" in found.warnings[0]


@pytest.mark.parametrize(
    ("placement", "fate"),
    [
        ("failover: {action: None}", "degraded 4/6"),
        ("failover: {unhealthyAfter: 30m}", "survives 6/6"),
        ("tolerations: [{key: federation.reconciler.dev/down, operator: Exists}]", "degraded 4/6"),
    ],
)
def test_a_placement_that_stays_loses_what_ran_there(
    matrix: Matrix, placement: str, fate: str
) -> None:
    assert told(matrix(FEDERATION, WEB + f"  {placement}\n"))["provider=aws"] == fate


def test_capacity_is_shared_by_all_workloads(matrix: Matrix) -> None:
    small = CLUSTERS.replace("region: us-central1", "region: us-central1, capacity: {replicas: 3}")
    small = small.replace("region: europe-west1", "region: europe-west1, capacity: {replicas: 5}")
    other = WEB.replace("name: web", "name: api").replace("name: shop}\n---", "name: shop2}\n---")
    both = WEB + "---" + other.partition("---")[2]
    found = matrix(FEDERATION, both, small)
    lost = {name: told(found, name)["provider=aws"] for name in ("api", "web")}
    assert lost == {"api": "survives 6/6", "web": "degraded 2/6"}


def test_what_runs_in_one_place_only_goes_down_with_it(matrix: Matrix) -> None:
    found = matrix(TWO_MAY_GO, WEB + CRON)
    assert told(found, "report")["region=europe-west1"] == "down 0/1"
    assert told(found, "report")["provider=aws"] == "untouched 1/1"
    assert found.count(Impact.DOWN) == 1


def test_only_the_outages_asked_for(matrix: Matrix) -> None:
    found = matrix(FEDERATION, WEB, CLUSTERS, "cluster=aws-eu", "provider=gcp")
    assert [outage.clusters for outage in found.outages] == [("aws-eu",), ("gcp-eu", "gcp-us")]
    with pytest.raises(UsageError, match="no cluster has that region"):
        matrix(FEDERATION, WEB, CLUSTERS, "region=moon")


def test_only_what_got_worse_is_told(matrix: Matrix) -> None:
    before = matrix(TWO_MAY_GO, WEB + CRON)
    after = matrix(TWO_MAY_GO, WEB + "  failover: {action: None}\n" + CRON)
    assert [row.workload.name for row in worse_than(before, after).rows] == ["web"]
    assert not worse_than(after, before).rows
    new = matrix(TWO_MAY_GO, WEB)
    assert [row.workload.name for row in worse_than(new, before).rows] == ["report"]


def test_reports_say_the_same_in_three_forms(matrix: Matrix) -> None:
    found = matrix(FEDERATION, WEB + CRON)
    text = report.render_survivability_text(found)
    assert "Deployment shop/web" in text
    assert "DOWN" in text
    assert text.endswith(
        "2 workloads, 4 outages: 0 survive all, 1 lose replicas in some, 1 are down in some.\n"
    )
    narrow = report.render_survivability_text(found, width=40)
    assert "aws-eu:" in narrow
    page = report.render_survivability_markdown(found)
    tokens = MarkdownIt("commonmark").enable("table").parse(page)
    assert sum(token.type == "tr_open" for token in tokens) == 3
    assert "| workload | aws-eu | gcp-eu | gcp-us | provider gcp |" in page
    assert "❌ DOWN" in page
    for told in (text, page):
        assert "·: nothing of it runs there" in told
        assert "provider gcp: gcp-eu, gcp-us" in told
    document = orjson.loads(report.render_survivability_json(found))
    schema = orjson.loads((ROOT / "schemas" / "survivability.json").read_bytes())
    Draft202012Validator(schema).validate(document)
    assert document["summary"] == {"untouched": 0, "survives": 0, "degraded": 1, "down": 1}
