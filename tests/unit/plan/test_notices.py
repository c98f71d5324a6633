"""What people should know besides: compared as values, worded in one place."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from string import Formatter

import pytest
from msgspec.structs import replace

from reconciler.api.notices import Notice, NoticeCause, WordedCause, notice
from reconciler.plan.compare_base import against_base
from reconciler.plan.model import Plan, RunResult
from reconciler.report.json_report import plan_document, result_document

ROOT = Path(__file__).parents[3] / "reconciler"
CAUSES = {n: one for n, one in vars(NoticeCause).items() if isinstance(one, WordedCause)}
FIELDS = {"cluster", "subject", "path", "place"}

SHORT = notice(NoticeCause.SHORTFALL, subject="Deployment.apps shop/web", place="a.yaml:3", count=2)
WAITS = notice(NoticeCause.PRUNES_WAIT, "aws", reason="the server says 1")


def plan(*notices: Notice) -> Plan:
    return Plan("shop", (), notices=notices)


# -- the words of every notice ---------------------------------------------------------------------


def causes_in(node: ast.AST) -> set[WordedCause]:
    return {
        CAUSES[one.attr]
        for one in ast.walk(node)
        if isinstance(one, ast.Attribute)
        and isinstance(one.value, ast.Name)
        and one.value.id == "NoticeCause"
    }


def causes_of(name: str, scope: ast.AST) -> set[WordedCause]:
    """Those that a variable may be, by what is assigned to it in ``scope``."""
    found: set[WordedCause] = set()
    for one in ast.walk(scope):
        if isinstance(one, ast.Assign):
            targets, value = one.targets, one.value
        elif isinstance(one, ast.For):
            targets, value = [one.target], one.iter
        else:
            continue
        names = {n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)}
        found |= causes_in(value) if name in names else set()
    return found


@cache
def made() -> list[tuple[str, WordedCause, set[str]]]:
    """Every place that makes a notice, the cause that it has there, and its details."""
    found = []
    for path in sorted(ROOT.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if "NoticeCause" not in text:
            continue
        module = ast.parse(text)
        functions = [f for f in ast.walk(module) if isinstance(f, ast.FunctionDef)]
        for call in ast.walk(module):
            if not (isinstance(call, ast.Call) and getattr(call.func, "id", "") == "notice"):
                continue
            cause, where = call.args[0], f"{path.name}:{call.lineno}"
            causes = causes_in(cause)
            if isinstance(cause, ast.Name):
                around = [f for f in functions if f.lineno <= call.lineno <= (f.end_lineno or 0)]
                causes = causes_of(cause.id, around[-1]) or causes_in(module)
            details = {str(one.arg) for one in call.keywords} - FIELDS
            found += [(where, one, details) for one in causes]
    return found


def needed(cause: WordedCause) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(cause.words) if name} - FIELDS


def test_every_notice_is_made_with_the_details_that_its_words_name() -> None:
    found = made()
    assert len(found) > len(CAUSES) - 5
    assert [one for one in found if one[2] != needed(one[1])] == []


def test_every_cause_is_that_of_some_notice() -> None:
    assert {*CAUSES.values()} == {cause for _, cause, _ in made()}


def test_names_of_causes_are_those_of_the_code() -> None:
    """They stand in JSON, and must not be changed by the way."""
    assert len({str(one) for one in CAUSES.values()}) == len(CAUSES)
    for name, one in CAUSES.items():
        assert str(one).lower() == name.replace("_", "").lower()


@pytest.mark.parametrize(
    ("one", "sentence"),
    [
        (SHORT, "a.yaml:3: Deployment.apps shop/web: 2 replicas fit nowhere"),
        (WAITS, "aws: pruning waits: the server says 1"),
        (
            notice(NoticeCause.NO_DOMAIN, subject="x", name="{y}"),
            "x: there is no Domain '{y}', so ",
        ),
        (notice(NoticeCause.RETURNED, "{aws}"), "{aws} is back and takes over its share again"),
    ],
)
def test_a_sentence_is_made_of_the_fields(one: Notice, sentence: str) -> None:
    assert str(one).startswith(sentence)


# -- which are the same ----------------------------------------------------------------------------

SAME = {
    "figure": (SHORT, replace(SHORT, details=(("count", "3"),))),
    "line": (SHORT, replace(SHORT, place="a.yaml:9")),
    "words of a server": (WAITS, notice(NoticeCause.PRUNES_WAIT, "aws", reason="it says 2")),
}
OTHER = {
    "object": (SHORT, replace(SHORT, subject="Deployment.apps shop/api")),
    "cluster": (WAITS, replace(WAITS, cluster="gcp")),
    "cause": (WAITS, notice(NoticeCause.INVENTORY_DAMAGED, "aws", reason="the server says 1")),
    "part": (replace(SHORT, path="spec.a"), replace(SHORT, path="spec.b")),
    "clusters": (
        notice(NoticeCause.NOT_CHOSEN, subject="Placement web", clusters="aws"),
        notice(NoticeCause.NOT_CHOSEN, subject="Placement web", clusters="aws, gcp"),
    ),
    "words of an API server": (
        notice(NoticeCause.SERVER_WARNS, subject="x", clusters="aws", what="v1 is deprecated"),
        notice(NoticeCause.SERVER_WARNS, subject="x", clusters="aws", what="unknown field"),
    ),
}


@pytest.mark.parametrize("case", SAME)
def test_what_only_looks_otherwise_is_no_news_of_a_branch(case: str) -> None:
    before, after = SAME[case]
    assert before != after
    found = against_base(plan(after), plan(before), "main")
    assert found.base
    assert (found.notices, found.base.left_out.warnings) == ((), 1)


@pytest.mark.parametrize("case", OTHER)
def test_what_is_about_something_else_is_told_of_a_branch(case: str) -> None:
    before, after = OTHER[case]
    found = against_base(plan(after), plan(before), "main")
    assert found.base
    assert (found.notices, found.base.left_out.warnings) == ((after,), 0)


# -- for programs ----------------------------------------------------------------------------------


def test_json_has_sentences_and_beside_them_the_fields_in_the_same_order() -> None:
    document = plan_document(plan(SHORT, WAITS))
    assert document["warnings"] == [str(SHORT), str(WAITS)]
    assert document["notices"] == [
        {
            "cause": "Shortfall",
            "cluster": "",
            "subject": "Deployment.apps shop/web",
            "path": "",
            "place": "a.yaml:3",
            "details": {"count": "2"},
        },
        {
            "cause": "PrunesWait",
            "cluster": "aws",
            "subject": "",
            "path": "",
            "place": "",
            "details": {"reason": "the server says 1"},
        },
    ]


def test_a_run_has_those_of_its_plan_and_then_its_own() -> None:
    document = result_document(RunResult(plan(SHORT), notices=(WAITS,)))
    assert document["warnings"] == [str(SHORT), str(WAITS)]
    assert [one["cause"] for one in document["notices"]] == ["Shortfall", "PrunesWait"]
