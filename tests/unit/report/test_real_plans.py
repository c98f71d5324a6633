"""Every format of what a real run makes: the sample repository on simulated clusters."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import jsonschema
import pytest

from kubesim.fleet import Sandbox
from reconciler.api.options import RunOptions
from reconciler.plan.model import Plan, RunResult
from reconciler.report.html import render_html, render_result_html
from reconciler.report.json_report import plan_document, report_as_json, result_document
from reconciler.report.markdown import LIMIT, render_plan_markdown, render_result_markdown
from reconciler.report.text import render_plan, render_result
from reconciler.run.pipeline import apply_plan, make_plan

ROOT = Path(__file__).parents[3]
SCHEMA = json.loads((ROOT / "schemas" / "plan.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
CANARY = "a-value-that-only-the-secret-has"


@dataclass(frozen=True)
class Life:
    """Plans of a fleet from its first day on."""

    first: Plan
    run: RunResult
    quiet: Plan
    outage: Plan

    @property
    def plans(self) -> tuple[Plan, ...]:
        return self.first, self.run.plan, self.quiet, self.outage


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    folder = tmp_path_factory.mktemp("shop") / "repository"
    shutil.copytree(ROOT / "sample-repo", folder)
    (folder / "canary.yaml").write_text(
        "apiVersion: v1\nkind: Secret\nmetadata: {name: canary, namespace: shop}\n"
        f"stringData: {{token: {CANARY}}}\n"
    )
    with Sandbox(["aws-eu", "gcp-eu", "gcp-us"]) as sandbox:
        kubeconfig = str(sandbox.kubeconfig)
        options = RunOptions(repo=str(folder), kubeconfig=kubeconfig, sandbox=True)
        first = make_plan(options)
        run = apply_plan(first)
        outage = RunOptions(
            repo=str(folder),
            kubeconfig=kubeconfig,
            sandbox=True,
            simulate_outages=("provider=aws",),
        )
        yield Life(first.plan, run, make_plan(options).plan, make_plan(outage).plan)


def test_the_fleet_lived_as_planned(life: Life) -> None:
    assert life.first.summary()["create"] > 90
    assert life.run.ok, life.run
    assert not life.quiet.has_changes
    assert life.outage.simulated_outages


def test_json_follows_its_schema(life: Life) -> None:
    for plan in life.plans:
        VALIDATOR.validate(json.loads(report_as_json(plan_document(plan))))
    document = json.loads(report_as_json(result_document(life.run)))
    VALIDATOR.validate(document)
    assert document["ok"] is True
    assert len(document["outcomes"]) == life.first.summary()["create"]


def test_no_format_shows_what_is_in_a_secret(life: Life) -> None:
    texts = [
        render(plan)
        for plan in life.plans
        for render in (
            render_html,
            render_plan_markdown,
            render_plan,
            lambda plan: render_plan(plan, verbose=True),
            lambda plan: report_as_json(plan_document(plan)),
        )
    ]
    texts += [
        render_result_html(life.run),
        render_result_markdown(life.run),
        render_result(life.run, verbose=True),
        report_as_json(result_document(life.run)),
    ]
    assert sum("shop/canary" in text or '"canary"' in text for text in texts) >= 10
    assert not [text for text in texts if CANARY in text]


def test_a_comment_holds_a_whole_first_plan(life: Life) -> None:
    text = render_plan_markdown(life.first)
    assert len(text) < LIMIT
    assert "Cut to" not in text
    assert all(cluster.name in text for cluster in life.first.clusters)


def test_the_page_tells_every_object(life: Life) -> None:
    page = render_html(life.first)
    changes = [change for cluster in life.first.clusters for change in cluster.changes]
    assert changes
    for change in changes:
        assert change.key.name in page
