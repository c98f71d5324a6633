"""Plans and results as JSON, against the published schema."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import get_args

import jsonschema
import pytest

from reconciler.api.moves import Move
from reconciler.plan.model import ABSENT, ClusterPlan, FieldChange, Plan
from reconciler.report.json_report import plan_document, report_as_json, result_document
from tests.unit.plan.every_move import EVERY_MOVE
from tests.unit.report.changes import CANARY, CATALOG
from tests.unit.report.fleets import (
    failover,
    guarded,
    large_fleet,
    quiet,
    run_of_web_shop,
    unwell,
    web_shop,
)
from tests.unit.report.hostile import hostile, run_of_hostile

SCHEMA = json.loads((Path(__file__).parents[3] / "schemas" / "plan.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


@pytest.mark.parametrize("make", [web_shop, failover, guarded, quiet, large_fleet, unwell, hostile])
def test_plans_follow_the_schema_and_are_the_same_each_time(make: object) -> None:
    text = report_as_json(plan_document(make()))  # type: ignore[operator]
    VALIDATOR.validate(json.loads(text))
    assert text == report_as_json(plan_document(make()))  # type: ignore[operator]


@pytest.mark.parametrize("make", [run_of_web_shop, run_of_hostile])
def test_results_follow_the_schema(make: object) -> None:
    VALIDATOR.validate(json.loads(report_as_json(result_document(make()))))  # type: ignore[operator]


def test_a_field_says_what_it_was_what_it_will_be_and_whose_it_is() -> None:
    document = plan_document(web_shop())
    (drift,) = [
        change
        for change in document["clusters"][2]["changes"]
        if change["reason"] == "drift: changed by kubectl-set"
    ]
    (field,) = drift["fields"]
    assert field["from"].endswith("frontend:2.13.9-debug")
    assert field["to"].endswith("frontend:2.14.0")
    assert field["managers"] == ["kubectl-set"]
    assert document["summary"]["update"] == 7


def test_a_field_that_is_absent_has_no_value() -> None:
    change = dataclasses.replace(
        CATALOG, fields=(FieldChange("a", ABSENT, None), FieldChange("b", 1, ABSENT))
    )
    document = plan_document(Plan("shop", (ClusterPlan("aws", changes=(change,)),)))
    assert document["clusters"][0]["changes"][0]["fields"] == [
        {"path": "a", "to": None},
        {"path": "b", "from": 1},
    ]


def test_what_is_in_a_secret_is_never_written() -> None:
    assert CANARY not in report_as_json(result_document(run_of_web_shop()))


def test_moves_are_sentences_with_their_fields_beside_them() -> None:
    document = json.loads(report_as_json(plan_document(Plan("shop", (), moves=EVERY_MOVE))))
    VALIDATOR.validate(document)
    assert document["moves"] == list(map(str, EVERY_MOVE))
    details = document["moveDetails"]
    assert {one["type"] for one in details} == {kind.__name__ for kind in get_args(Move)}
    web = {"group": "apps", "kind": "Deployment", "namespace": "shop", "name": "web"}
    assert details[1] == {
        "type": "StartsWith",
        "cluster": "gcp-eu",
        "workload": web,
        "count": 8,
        "leaves": ["aws-eu"],
    }
    assert details[8]["autoscaler"]["kind"] == "HorizontalPodAutoscaler"
    assert (details[8]["bounds"], details[8]["share"]) == ([2, 12], [1, 4])
    assert details[8]["homes"] == ["gcp-eu"]
    assert details[6]["stay"] == {"reason": "ForAWhile", "value": "", "seconds": 90}
    assert details[7]["unready"] == [{"workload": web, "ready": 1, "due": 2}]


def test_health_is_told_with_its_time() -> None:
    down, ailing, *_ = plan_document(unwell())["health"]
    assert (down["phase"], down["since"]) == ("Down", "2026-03-01T12:00:00+00:00")
    assert (ailing["phase"], ailing["signal"], ailing["since"]) == ("Up", "Unhealthy", None)
    assert (ailing["readyNodes"], ailing["nodes"]) == (1, 4)
