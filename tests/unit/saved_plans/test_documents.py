"""The file's form: written, read with suspicion, compared word for word."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import referencing
from msgspec.structs import replace

from reconciler.api.errors import ReconcileError
from reconciler.api.options import RunOptions
from reconciler.inventory.records import Digester
from reconciler.plan.model import Action, Change, Plan
from reconciler.report.json_report import report_as_json
from reconciler.saved_plans import file as files
from reconciler.saved_plans.document import Origin, SavedPlan, Seal, as_saved
from reconciler.saved_plans.file import read_plan
from reconciler.saved_plans.fingerprints import fingerprint
from reconciler.saved_plans.options import command
from reconciler.saved_plans.staleness import differences_of
from tests.unit.report.changes import CANARY, CATALOG, PRUNE, SECRET_UPDATE
from tests.unit.report.fleets import failover, guarded, large_fleet, quiet, unwell, web_shop
from tests.unit.report.hostile import hostile

SCHEMAS = Path(__file__).parents[3] / "schemas"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
ORIGIN = Origin("https://git.example.com/fleet.git", "main", COMMIT)
SEAL = Seal(b"0123456789abcdef", 1_764_000_000.25)


def saved(plan: Plan, origin: Origin = ORIGIN, options: RunOptions | None = None) -> SavedPlan:
    document = as_saved(plan, origin, options or RunOptions(), SEAL).document
    return SavedPlan(json.loads(report_as_json(dict(document))))


def edited(plan: SavedPlan, edit: Callable[[dict[str, Any]], object]) -> SavedPlan:
    document = json.loads(json.dumps(plan.document))
    edit(document)
    return SavedPlan(document)


@pytest.mark.parametrize("make", [web_shop, failover, guarded, quiet, large_fleet, unwell, hostile])
def test_every_plan_is_read_as_it_was_written(make: Callable[[], Plan], tmp_path: Path) -> None:
    plan = saved(make())
    schema, inner = (
        json.loads((SCHEMAS / name).read_text()) for name in ("saved-plan.json", "plan.json")
    )
    registry = referencing.Registry().with_resource(
        inner["$id"], referencing.Resource.from_contents(inner)
    )
    jsonschema.Draft202012Validator(schema, registry=registry).validate(plan.document)
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(plan.document))
    found = read_plan(path)
    assert found == plan
    assert found.seal == SEAL
    assert not list(differences_of(plan, found))
    assert CANARY not in path.read_text()


def test_a_plan_saved_before_moves_had_fields_is_read(tmp_path: Path) -> None:
    plan = saved(failover())
    older = edited(plan, lambda document: document["plan"].pop("moveDetails"))
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(older.document))
    assert not list(differences_of(read_plan(path), plan))


BROKEN: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "a later version": (lambda d: d.update(formatVersion=2), "$.formatVersion"),
    "a part is missing": (lambda d: d.pop("touched"), '"touched" is a required property'),
    "an action of its own": (
        lambda d: d["plan"]["clusters"][0]["changes"][0].update(action="obliterate"),
        "$.plan.clusters[0].changes[0].action",
    ),
    "a field that nobody knows": (
        lambda d: d["options"].update(yes=True),
        "$.options: Additional properties are not allowed ('yes' was unexpected)",
    ),
    "no commit": (lambda d: d["source"].update(commit="main"), "$.source.commit"),
    "no date": (lambda d: d.update(madeAt="yesterday"), "$.madeAt"),
    "no day": (lambda d: d.update(madeAt="2025-02-30T10:00:00Z"), "$.madeAt"),
    "a leap second": (lambda d: d.update(madeAt="2016-12-31T23:59:60Z"), "$.madeAt"),
    "no base64": (lambda d: d.update(salt="é"), "$.salt"),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN.keys())
def test_what_does_not_fit_the_schema_is_told_with_its_path(
    broken: tuple[Callable[[dict[str, Any]], object], str], tmp_path: Path
) -> None:
    edit, words = broken
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(edited(saved(web_shop()), edit).document))
    with pytest.raises(ReconcileError) as caught:
        read_plan(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert words in str(caught.value)
    assert "--plan --out" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{\n  half", ":2:3 is no JSON"),
        ("[]", '$: [] is not of type "object"'),
        ('{"a": ' * 300 + "1" + "}" * 300, "is no saved plan: Recursion limit reached"),
        ("", ":1:1 is no JSON"),
    ],
    ids=["cut", "a list", "nested", "empty"],
)
def test_what_is_no_plan_at_all_is_told_as_such(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text(text)
    with pytest.raises(ReconcileError, match=r"plan\.json") as caught:
        read_plan(path)
    assert words in str(caught.value)


def test_a_report_is_told_from_a_saved_plan(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(json.dumps(saved(web_shop()).plan))
    with pytest.raises(ReconcileError, match="is a report, which shows a plan") as caught:
        read_plan(path)
    assert caught.value.hint == "save one with --plan --out"


def test_a_file_that_is_too_large_or_missing_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "plan.json"
    with pytest.raises(ReconcileError, match="No such file"):
        read_plan(path)
    path.write_text(json.dumps(saved(web_shop()).document))
    monkeypatch.setattr(files, "MAX_BYTES", 1000)
    with pytest.raises(ReconcileError, match="more than 1000 bytes"):
        read_plan(path)


# -- what differs ----------------------------------------------------------------------------


def cluster(document: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(c for c in document["plan"]["clusters"] if c["name"] == name)
    return found


def change(document: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(
        c for c in cluster(document, "aws-eu")["changes"] if c["name"] == name
    )
    return found


RECORD = {"zone": "example.com.", "name": "web.example.com.", "type": "A", "reason": "r"}
DIFFERENCES: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "version": (
        lambda d: d.update(madeBy="9.9.9"),
        "it was made by reconcile 0.1.0, and this is 9.9.9",
    ),
    "federation": (
        lambda d: d["plan"].update(federation="other"),
        "it was made for the Federation 'shop', which is now 'other'",
    ),
    "guard": (
        lambda d: d["plan"].update(violations=["aws-eu: 9 deletions"]),
        "a limit is passed now: aws-eu: 9 deletions",
    ),
    "a cluster less": (
        lambda d: d["plan"]["clusters"].pop(0),
        "aws-eu: the plan no longer has this cluster",
    ),
    "no answer": (
        lambda d: cluster(d, "aws-eu").update(reachable=False, problem="connection refused"),
        "aws-eu: it cannot be looked at now: connection refused",
    ),
    "pruning waits": (
        lambda d: cluster(d, "aws-eu").update(pruneBlocked="pods could not be listed"),
        "aws-eu: nothing is pruned there now: pods could not be listed",
    ),
    "API version": (
        lambda d: change(d, "catalog").update(apiVersion="apps/v2"),
        "aws-eu: Deployment.apps shop/catalog: apiVersion is apps/v2, not apps/v1",
    ),
    "force": (
        lambda d: change(d, "catalog").update(force=True),
        "aws-eu: Deployment.apps shop/catalog: force is True, not False",
    ),
    "propagation": (
        lambda d: change(d, "catalog").update(propagation="Orphan"),
        "aws-eu: Deployment.apps shop/catalog: propagation is Orphan, not Background",
    ),
    "true for one": (
        lambda d: change(d, "catalog")["fields"][0].update(to=True),
        "aws-eu: Deployment.apps shop/catalog: spec.replicas is now 4 -> true, not 4 -> 5",
    ),
    "take-over": (
        lambda d: d["touched"]["aws-eu"].update(
            {"Deployment.apps shop/catalog": {"takeOver": ["kubectl*"]}}
        ),
        "aws-eu: Deployment.apps shop/catalog: fields of other managers would be taken over",
    ),
    "refused by then": (
        lambda d: change(d, "catalog").update(action="failed", error="no\x1b"),
        "aws-eu: Deployment.apps shop/catalog: now to failed, not to update: changed in Git",
    ),
    "a record more": (
        lambda d: d["plan"].update(dns=[{**RECORD, "from": None, "to": ["10.0.0.1"]}]),
        "DNS, not planned: web.example.com. A: 10.0.0.1",
    ),
}


@pytest.mark.parametrize("difference", DIFFERENCES.values(), ids=DIFFERENCES.keys())
def test_every_difference_is_named(
    difference: tuple[Callable[[dict[str, Any]], object], str],
) -> None:
    edit, words = difference
    plan = saved(web_shop())
    assert list(differences_of(plan, edited(plan, edit))) == [words]


def test_a_record_that_goes_elsewhere_is_named() -> None:
    plan = replace(web_shop(), dns=({**RECORD, "from": ["10.0.0.1"], "to": ["10.0.0.2"]},))
    before = saved(plan)
    after = edited(before, lambda d: d["plan"]["dns"][0].update(to=["10.0.0.3"]))
    assert list(differences_of(before, after)) == [
        "DNS, otherwise than planned: web.example.com. A: 10.0.0.1 -> 10.0.0.3"
    ]
    reworded = edited(before, lambda d: d["plan"]["dns"][0].update(reason="another"))
    assert not list(differences_of(before, reworded))


def test_what_only_explains_makes_no_difference() -> None:
    plan = saved(failover())

    def explain(document: dict[str, Any]) -> None:
        document["plan"].update(
            warnings=["something"], notices=[], moves=["otherwise"], moveDetails=[]
        )
        for one in document["plan"]["health"]:
            one.update(reason="worded otherwise", outlook="in 10 s", nodes=9)
        for one in document["plan"]["clusters"]:
            one.update(requests=99, unchanged=one["unchanged"] + 1)
            for found in one["changes"]:
                found.update(reason="worded otherwise", origin="b.yaml:1:1")

    assert not list(differences_of(plan, edited(plan, explain)))


# -- what is known of an object --------------------------------------------------------------

LIVE = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {
        "name": "catalog",
        "uid": "u",
        "resourceVersion": "7",
        "generation": 3,
        "managedFields": [{"manager": "kubectl"}],
        "annotations": {"deployment.kubernetes.io/revision": "3"},
    },
    "spec": {"replicas": 3, "ports": [{"port": 80, "nodePort": 31000}]},
    "status": {"replicas": 3},
}


def sealed(live: dict[str, Any], *retained: str, of: Change = CATALOG) -> dict[str, Any]:
    return fingerprint(
        dataclasses.replace(of, live=live, uid="u", retained=retained), Digester(SEAL.salt)
    )


@pytest.mark.parametrize(
    ("moved", "retained", "same"),
    [
        ({"status": {"replicas": 1}}, (), True),
        ({"metadata": {**LIVE["metadata"], "resourceVersion": "8", "generation": 4}}, (), True),
        ({"metadata": {"name": "catalog", "uid": "u"}}, (), True),
        ({"spec": {**LIVE["spec"], "replicas": 9}}, (), False),
        ({"spec": {**LIVE["spec"], "replicas": 9}}, ("/spec/replicas",), True),
        (
            {"spec": {**LIVE["spec"], "ports": [{"port": 80, "nodePort": 9}]}},
            ("/spec/ports/*/nodePort",),
            True,
        ),
        ({"metadata": {**LIVE["metadata"], "labels": {"a": "b"}}}, ("/spec/replicas",), False),
        ({"metadata": {**LIVE["metadata"], "deletionTimestamp": "now"}}, (), False),
    ],
)
def test_a_live_object_is_known_again_by_all_that_does_not_move_by_itself(
    moved: dict[str, Any], retained: tuple[str, ...], same: bool
) -> None:
    gone = dataclasses.replace(CATALOG, action=Action.PRUNE, request=None)
    before, after = (sealed(one, *retained, of=gone) for one in (LIVE, {**LIVE, **moved}))
    assert (before["live"] == after["live"]) is same
    assert LIVE["status"] == {"replicas": 3}


def test_of_a_secret_no_digest_is_kept() -> None:
    request = {"stringData": {"password": CANARY}}
    found = sealed(
        LIVE, of=dataclasses.replace(SECRET_UPDATE, request=request, resource_version="7")
    )
    other = {**LIVE, "spec": {"replicas": 4}, "data": {"password": CANARY}}
    again = sealed(other, of=dataclasses.replace(SECRET_UPDATE, request=request))
    assert found == again
    assert found.keys() == {"uid", "writer", "ours"}
    going = dataclasses.replace(
        SECRET_UPDATE, action=Action.PRUNE, request=None, resource_version="7"
    )
    assert sealed(LIVE, of=going) == {"uid": "u", "writer": "kubectl", "resourceVersion": "7"}
    assert sealed(LIVE, of=PRUNE).keys() == {"uid", "writer", "live", "fields"}


def test_the_command_that_applies_it_is_fit_for_a_shell() -> None:
    options = RunOptions(
        path="a b", clusters=("gcp", "aws"), force_conflicts=True, max_deletions=0, sandbox=True
    )
    assert command(saved(web_shop(), options=options), "p.json") == (
        "reconcile --repo https://git.example.com/fleet.git --ref main --path 'a b' "
        "--cluster aws --cluster gcp --force-conflicts --max-deletions 0 --sandbox "
        "--apply-plan p.json"
    )
    local = Origin(".", None, COMMIT)
    assert command(saved(web_shop(), local), "p.json") == "reconcile --apply-plan p.json"
