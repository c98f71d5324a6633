"""A run as JSON lines: each stands for itself, and none holds a value of an object."""

from __future__ import annotations

import io
import json
import logging
from datetime import datetime
from typing import Any

from reconciler.api.errors import BadInput, GuardViolation, Position, Problem, TextViolation
from reconciler.report import logs
from reconciler.report.finished_run import FinishedRun, failures_of_result
from reconciler.report.logs import LoggedProgress
from reconciler.state.memory import Phase
from tests.unit.report.changes import CANARY
from tests.unit.report.fleets import run_of_web_shop
from tests.unit.report.hostile import run_of_hostile
from tests.unit.report.runs import plan, run


def written(*entries: logs.LogEntry) -> list[dict[str, Any]]:
    stream = io.StringIO()
    logger = logs.open_log("run-1", stream)
    for entry in entries:
        logs.log_entry(logger, entry)
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def lines_of(finished: FinishedRun, *warnings: str) -> list[dict[str, Any]]:
    return written(*logs.log_entries_of(finished, warnings))


def test_every_line_says_when_how_bad_and_of_which_run() -> None:
    lines = lines_of(run(plan(aws_eu=Phase.DOWN), "aws-eu"), "something odd")
    assert lines
    for line in lines:
        assert datetime.fromisoformat(line["time"]).utcoffset() is not None
        assert line["run"] == "run-1"
        assert line["level"] in ("info", "warning", "error")
        assert line["event"]
        assert line["message"]


def test_the_last_line_says_how_it_ended() -> None:
    result = run_of_web_shop()
    end = lines_of(run(result.plan, result=result, failures=failures_of_result(result)))[-1]
    assert end["event"] == "end"
    assert end["ok"] is False
    assert end["level"] == "error"
    assert end["federation"] == "shop"
    assert end["commit"] == result.plan.commit
    assert end["summary"]["create"] == result.plan.summary()["create"]
    assert lines_of(run())[-1] | {"time": ""} == {
        "time": "",
        "level": "info",
        "run": "run-1",
        "event": "end",
        "message": "the run succeeded",
        "ok": True,
        "federation": "shop",
        "commit": end["commit"],
        "planOnly": False,
        "seconds": 2.5,
        "failures": 0,
        "summary": {"unchanged": 7},
    }


def test_clusters_health_moves_and_failures_have_lines_of_their_own() -> None:
    found = lines_of(run(plan(aws_eu=Phase.DOWN, gcp_eu=Phase.UP), "aws-eu"), "something odd")
    by_event: dict[str, list[dict[str, Any]]] = {}
    for line in found:
        by_event.setdefault(line["event"], []).append(line)
    assert [line["reachable"] for line in by_event["cluster"]] == [False, True]
    assert by_event["health"][0]["phase"] == "Down"
    assert by_event["failure"][0]["cluster"] == "aws-eu"
    assert by_event["warning"][0]["message"] == "something odd"


def test_a_text_with_line_breaks_stays_in_one_line() -> None:
    result = run_of_hostile()
    stream = io.StringIO()
    logger = logs.open_log("run-1", stream)
    entries = list(logs.log_entries_of(run(result.plan, result=result)))
    for entry in entries:
        logs.log_entry(logger, entry)
    assert len(stream.getvalue().splitlines()) == len(entries)
    assert "\x1b" not in stream.getvalue()


def test_no_value_of_an_object_is_in_them() -> None:
    result = run_of_web_shop()
    text = json.dumps(lines_of(run(result.plan, result=result)))
    assert CANARY not in text


def test_every_problem_of_a_bad_repository_is_a_line_with_its_place() -> None:
    stream = io.StringIO()
    logs.open_log("run-1", stream)
    problems = [
        Problem(Position("a.yaml", 3, 5), "$.spec", "not a number"),
        Problem(Position("b.yaml", 1, 1), "", "not YAML"),
    ]
    logs.failed(BadInput(problems))
    logs.failed(GuardViolation([TextViolation(text="41 deletions")], hint="raise spec.guards"))
    found = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["message"].partition(": ")[0] for line in found] == [
        "a.yaml:3:5",
        "b.yaml:1:1",
        "41 deletions",
    ]
    assert found[2]["hint"] == "raise spec.guards"


def test_what_a_guard_did_not_stop_is_told_as_done() -> None:
    stream = io.StringIO()
    logs.open_log("run-1", stream)
    logs.failed(GuardViolation([TextViolation(text="41 deletions")], done=["shop/web in gcp-eu"]))
    _, done = (json.loads(line) for line in stream.getvalue().splitlines())
    assert done["message"] == "done all the same, because of what is down: shop/web in gcp-eu"
    assert (done["event"], done["level"]) == ("move", "warning")


def test_libraries_do_not_speak_in_it() -> None:
    stream = io.StringIO()
    logs.open_log("run-1", stream)
    logging.getLogger("urllib3").error("https://secret.example/token")
    assert stream.getvalue() == ""


def test_a_phase_is_logged_once_with_what_it_took() -> None:
    now = [100.0]
    stream = io.StringIO()
    progress = LoggedProgress(logs.open_log("run-1", stream), clock=lambda: now[0])
    progress.phase("observe", 2)
    progress.advance("observe")
    now[0] += 1.5
    progress.advance("observe")
    progress.phase("compare", 10)
    progress.advance("compare", 4)
    now[0] += 0.5
    progress.close()
    progress.close()
    found = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(x["phase"], x["done"], x["total"], x["seconds"], x["level"]) for x in found] == [
        ("observe", 2, 2, 1.5, "info"),
        ("compare", 4, 10, 0.5, "warning"),
    ]
