"""Control characters from servers and from Git reach no terminal, Markdown or HTML, by any text."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

import reconciler
from reconciler.api.errors import ReconcileError, StalePlan
from reconciler.api.notices import NoticeCause, notice
from reconciler.api.objects import ObjectKey
from reconciler.api.reasons import Cause, Reason
from reconciler.cli.console import Console
from reconciler.cli.error_messages import report_failure
from reconciler.failover.survivability import (
    Cell,
    FailoverTargets,
    Impact,
    Outage,
    Row,
    Survivability,
)
from reconciler.plan.model import (
    Action,
    AgainstBase,
    Avoided,
    Change,
    ClusterPlan,
    FieldChange,
    KeptField,
    Plan,
    RunResult,
)
from reconciler.report.html import render_html, render_result_html
from reconciler.report.json_report import plan_document, report_as_json
from reconciler.report.markdown import render_plan_markdown, render_result_markdown
from reconciler.report.survivability import (
    render_survivability_markdown,
    render_survivability_text,
)
from reconciler.report.text import render_plan, render_result
from tests.unit.report import hostile

PACKAGE = Path(reconciler.__file__).parent
SIGNS = "\x1b\x9b\u202e\u2066\x07\x08\r\x7f\x85\x00\u2028"
EVIL = f"evil{SIGNS}[2Jtext"
SAID = notice(NoticeCause.NOT_APPLICABLE, error=EVIL)
KEY = ObjectKey(EVIL, EVIL, EVIL, EVIL)
WRITERS = {"report/markdown.py", "cli/validate.py"}
"""Of Markdown and of GitHub's annotations; ``report/terminal.py`` serves the terminal and HTML."""


def change(action: Action) -> Change:
    return Change(
        action,
        KEY,
        EVIL,
        (
            FieldChange(EVIL, EVIL, {EVIL: EVIL}, (EVIL,), (Reason(Cause.DRIFT, (EVIL,), EVIL),)),
            FieldChange("lines", f"one\n{EVIL}", f"two\n{EVIL}", (EVIL,)),
        ),
        stays=(KeptField(EVIL, EVIL, (EVIL,), EVIL),),
        reasons=(Reason(Cause.TAKEN_BY_FORCE, (EVIL,), EVIL),),
        error=EVIL,
        origin=EVIL,
        propagation="Orphan",
        request={"spec": {"replicas": EVIL, "type": EVIL}, "data": {EVIL: EVIL}},
    )


@pytest.fixture
def plan(monkeypatch: pytest.MonkeyPatch) -> Plan:
    monkeypatch.setattr(hostile, "HOSTILE", EVIL)
    plan = hostile.hostile()
    base = AgainstBase(
        EVIL,
        EVIL,
        avoided=(Avoided(EVIL, change(Action.PRUNE)),),
        avoided_records=({"name": EVIL, "type": EVIL, "from": [EVIL], "to": [EVIL + "2"]},),
        problem=EVIL,
    )
    changes = tuple(change(action) for action in Action if action is not Action.UNCHANGED)
    more = ClusterPlan(EVIL + "3", EVIL, EVIL, EVIL, changes=changes)
    return replace(plan, clusters=(*plan.clusters, more), base=base)


def survivability() -> Survivability:
    return Survivability(
        EVIL,
        (Outage((EVIL,), (EVIL, EVIL), EVIL),),
        (Row(KEY, (Cell(Impact.SURVIVES, 1, 1, 1),)),),
        (EVIL,),
        FailoverTargets((), {EVIL: EVIL}, 1, {EVIL: frozenset({(KEY, EVIL)})}),
    )


PLAN_WRITERS: dict[str, Callable[[Plan], str]] = {
    "text": render_plan,
    "all text": lambda plan: render_plan(plan, verbose=True, width=200),
    "text of a run": lambda plan: render_result(RunResult(plan, notices=(SAID,), stopped=EVIL)),
    "Markdown": render_plan_markdown,
    "Markdown of a run": lambda plan: render_result_markdown(RunResult(plan, stopped=EVIL)),
    "HTML": render_html,
    "HTML of a run": lambda plan: render_result_html(RunResult(plan, stopped=EVIL)),
}


def assert_harmless(text: str) -> None:
    assert "evil" in text
    assert not set(text) & set(SIGNS), ascii(text)


@pytest.mark.parametrize("writer", PLAN_WRITERS)
def test_no_text_of_a_plan_brings_a_control_character(plan: Plan, writer: str) -> None:
    assert_harmless(PLAN_WRITERS[writer](plan))


@pytest.mark.parametrize("render", [render_survivability_text, render_survivability_markdown])
def test_no_text_of_the_survivability_does(render: Callable[[Survivability], str]) -> None:
    assert_harmless(render(survivability()))


def test_no_mention_in_a_comment_on_survivability_reaches_anybody() -> None:
    found = render_survivability_markdown(
        replace(
            survivability(), notices=(notice(NoticeCause.NOT_APPLICABLE, error="@everyone [x](y)"),)
        )
    )
    assert "@everyone" not in found
    assert "[x](" not in found


@pytest.mark.parametrize(
    "error", [StalePlan([EVIL], hint=EVIL), ReconcileError(EVIL, hint=EVIL)], ids=["stale", "other"]
)
def test_no_text_of_an_error_does(error: ReconcileError, capfd: pytest.CaptureFixture[str]) -> None:
    report_failure(error, Console())
    assert_harmless(capfd.readouterr().err)


def test_json_on_a_terminal_is_the_same_json_and_harmless(
    plan: Plan, capfd: pytest.CaptureFixture[str]
) -> None:
    document = plan_document(plan)
    Console().document(report_as_json(document))
    shown = capfd.readouterr().out
    assert json.loads(shown) == json.loads(report_as_json(document))
    assert not set(shown) & set("\x1b\x9b\x07\x08\r\x7f\x85\x00"), ascii(shown)


def test_only_what_writes_escapes() -> None:
    """Escaped earlier, a text would be compared, cut and measured as what it is not."""
    importers = {
        file.relative_to(PACKAGE).as_posix()
        for file in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and "visible" in [one.name for one in node.names]
    }
    assert importers == WRITERS
