"""The workflows of docs/pull-requests, read as the platforms read them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from reconciler.api.options import declarations
from tests.e2e.pull_requests.conftest import FILES
from tests.unit.git.programs import built

ACTIONLINT = ("github.com/rhysd/actionlint/cmd/actionlint", "v1.7.7")
SECRET = re.compile(r"secrets\.|github\.token|FLEET_KUBECONFIG|GITLAB_TOKEN")


def document(name: str) -> dict[Any, Any]:
    found: dict[Any, Any] = yaml.safe_load((FILES / name).read_text(encoding="utf-8"))
    return found


def test_the_workflow_is_one_that_github_takes() -> None:
    shellcheck = shutil.which("shellcheck") or ""
    done = subprocess.run(
        [
            built(*ACTIONLINT),
            "-shellcheck",
            shellcheck,
            "-pyflakes",
            "",
            FILES / "github-actions.yml",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_secret_gets_to_what_strangers_wrote_on_github() -> None:
    workflow = document("github-actions.yml")
    # YAML 1.1 takes `on` for a boolean.
    assert set(workflow[True]) == {"pull_request"}
    assert workflow["permissions"] == {}
    for name, job in workflow["jobs"].items():
        uses_secrets = bool(SECRET.search(yaml.safe_dump(job)))
        assert uses_secrets is (name == "plan")
        if uses_secrets:
            assert job["if"] == (
                "github.event.pull_request.head.repo.full_name == github.repository"
            )
            assert job["environment"]
        checkout = next(s for s in job["steps"] if s.get("uses", "").startswith("actions/checkout"))
        assert checkout["with"]["persist-credentials"] is False
        for step in job["steps"]:
            # What a pull request's author chooses never becomes part of a script.
            assert "github.event" not in step.get("run", "")
            assert "${{" not in step.get("run", "")
    assert workflow["jobs"]["plan"]["permissions"] == {
        "contents": "read",
        "pull-requests": "write",
    }


def test_no_variable_gets_to_what_strangers_wrote_on_gitlab() -> None:
    pipeline = document("gitlab-ci.yml")
    validate, plan = pipeline["reconcile validate"], pipeline["reconcile plan"]
    assert not SECRET.search(yaml.safe_dump({**pipeline[".reconcile"], **validate}))
    (rule,) = plan["rules"]
    assert "$CI_MERGE_REQUEST_SOURCE_PROJECT_ID == $CI_PROJECT_ID" in rule["if"]
    assert plan["artifacts"]["when"] == "always"
    for job in (validate, plan):
        assert job["extends"] == ".reconcile"


@pytest.mark.parametrize("name", ["github-actions.yml", "gitlab-ci.yml", "README.md"])
def test_every_variable_that_a_job_sets_is_one_that_the_script_reads(name: str) -> None:
    script = (FILES / "pull-request.sh").read_text(encoding="utf-8")
    text = (FILES / name).read_text(encoding="utf-8")
    for variable in ("SURVIVABILITY", "REPORT_URL", "GITHUB_TOKEN", "GITLAB_TOKEN", "COMMENT_NAME"):
        if variable in text:
            assert variable in script


@pytest.mark.parametrize(
    "name", ["github-actions.yml", "gitlab-ci.yml", "README.md", "pull-request.sh"]
)
def test_every_variable_that_is_called_an_option_is_one(name: str) -> None:
    options = {option.variable for option in declarations().values()}
    named = set(re.findall(r"RECONCILE_[A-Z_]+", (FILES / name).read_text(encoding="utf-8")))
    assert named <= options


def test_the_files_that_are_named_are_there() -> None:
    text = (FILES / "README.md").read_text(encoding="utf-8")
    for name in re.findall(r"\]\(([\w./-]+?)(?:#[\w-]+)?\)", text):
        assert (FILES / name).exists(), name
    assert os.access(FILES / "pull-request.sh", os.X_OK)
    assert Path(FILES / "planner.yaml").is_file()
