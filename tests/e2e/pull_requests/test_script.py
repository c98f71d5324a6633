"""The script of docs/pull-requests, run for real: in a checkout, against a stand-in of the API."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from tests.e2e.pull_requests.comments_api import TOKEN
from tests.e2e.pull_requests.conftest import FEDERATION, SCRIPT, SECOND_IMAGE, SHOP, Job
from tests.unit.git.programs import needed
from tests.unit.git.repositories import git


def test_the_first_run_writes_a_comment_and_the_next_one_updates_it(job: Job) -> None:
    job.api.add("Looks good to me", author="alice")
    job.merge(shop=SECOND_IMAGE)
    done = job.run(REPORT_URL="https://ci.example.com/reports/1")
    assert done.returncode == 0, done.stdout + done.stderr
    first = job.comment
    assert first.startswith("<!-- reconcile-pull-request:. -->\n- ✅ The manifests are valid.\n")
    assert "<!-- federation-reconciler:plan:shop -->" in first
    assert "Compared with main (" in first
    assert "web:2" in first
    assert "[The whole plan as a page, as JSON and as text](https://ci.example.com/repor" in first
    assert TOKEN not in first + done.stdout + done.stderr

    job.merge(shop=SHOP.replace("web:1", "web:3"))
    done = job.run()
    assert done.returncode == 0, done.stderr
    assert len(job.api.comments) == 2, "the same comment, and that of alice"
    assert "web:3" in job.comment
    assert "web:2" not in job.comment
    assert [r.split()[0] for r in job.api.requests if not r.startswith("GET")] == [
        "POST",
        "PATCH" if job.api.platform == "github" else "PUT",
    ]


def test_the_reports_are_kept_in_every_form(github_job: Job, tmp_path: Path) -> None:
    job = github_job
    job.merge(shop=SECOND_IMAGE)
    assert job.run().returncode == 0
    assert json.loads(job.report("plan.json"))["base"]["ref"] == "main"
    assert job.report("plan.html").startswith("<!DOCTYPE html>")
    assert "web:2" in job.report("plan.txt")
    assert "\x1b" not in job.report("plan.txt")
    assert (tmp_path / "summary.md").read_text() == job.comment


def test_our_comment_is_found_behind_hundreds_and_nobody_else_s_is_touched(job: Job) -> None:
    hostile = job.api.add("<!-- reconcile-pull-request:. -->\nnot ours", author="mallory")
    for number in range(250):
        job.api.add(f"comment {number}", author="alice")
    ours = job.api.add("<!-- reconcile-pull-request:. -->\nof an earlier run")
    job.merge(shop=SECOND_IMAGE)
    done = job.run()
    assert done.returncode == 0, done.stderr
    assert hostile["body"].endswith("not ours")
    assert "web:2" in ours["body"]
    assert len(job.api.comments) == 252


def test_two_jobs_of_one_repository_have_a_comment_each(github_job: Job) -> None:
    job = github_job
    job.merge(shop=SECOND_IMAGE)
    for name in ("staging --> x", "production"):
        assert job.run(COMMENT_NAME=name).returncode == 0
    firsts = [comment["body"].splitlines()[0] for comment in job.api.comments]
    assert firsts == [
        "<!-- reconcile-pull-request:staging_-__x -->",
        "<!-- reconcile-pull-request:production -->",
    ]


# -- what makes it fail ----------------------------------------------------------------------


def test_manifests_that_are_not_valid_are_told_with_their_lines(job: Job) -> None:
    job.merge(shop=SHOP.replace("clusterSelector", "clusterSelectr"), more="kind: '`````'\n")
    done = job.run()
    assert done.returncode == 1
    assert "- ❌ The manifests are not valid." in job.comment
    assert "    shop.yaml:20:3: unknown key 'clusterSelectr'" in job.comment
    assert "clusterSelector" in job.comment
    if job.api.platform == "github":
        assert "::error file=shop.yaml,line=20,col=3," in done.stdout
    else:
        found = json.loads(job.report("code-quality.json"))
        lines = {one["location"]["path"]: one["location"]["lines"]["begin"] for one in found}
        assert lines == {"shop.yaml": 20, "more.yaml": 1}
    job.merge(shop=SECOND_IMAGE, more="# mended\n")
    assert job.run().returncode == 0
    assert "not valid" not in job.comment


def test_a_limit_that_is_passed_fails_the_job_and_is_told(github_job: Job) -> None:
    job = github_job
    assert (
        subprocess.run(
            ["reconcile", "--yes"],
            cwd=job.folder,
            env=job.environment,
            capture_output=True,
            check=False,
        ).returncode
        == 0
    )
    job.merge(federation=FEDERATION + "---\n", shop="# all gone\n")
    done = job.run()
    assert done.returncode == 1, done.stderr
    assert "- ❌ The plan passes a limit: once merged, nothing is written." in job.comment
    assert "Stopped by a guard" in job.comment


LESS = SHOP.replace("clusterSelector: {}", "clusters: [aws-eu]")


@pytest.mark.parametrize(("asked", "code"), [("never", 0), ("down", 1)])
def test_lost_survivability_fails_the_job_only_where_that_is_asked_for(
    github_job: Job, asked: str, code: int
) -> None:
    job = github_job
    job.merge(shop=LESS)
    done = job.run(SURVIVABILITY=asked)
    assert done.returncode == code, done.stderr
    sign = "❌" if code else "⚠️"
    assert f"- {sign} Workloads outlive an outage worse than before, see below." in job.comment
    assert "| Deployment shop/web |" in job.comment


def test_what_was_worse_before_is_no_fault_of_the_branch(github_job: Job) -> None:
    job = github_job
    job.folder.joinpath("shop.yaml").write_text(LESS)
    git(job.folder, "commit", "-qam", "less")
    job.merge(more="# nothing\n")
    assert job.run(SURVIVABILITY="down").returncode == 0
    assert "- ✅ No workload outlives an outage worse than before." in job.comment


def test_a_base_that_is_not_valid_shows_everything(github_job: Job) -> None:
    job = github_job
    job.folder.joinpath("broken.yaml").write_text("kind: [\n")
    git(job.folder, "add", "-A")
    git(job.folder, "commit", "-qm", "broken")
    job.merge(shop=SECOND_IMAGE, broken="# mended\n")
    done = job.run(SURVIVABILITY="down")
    assert done.returncode == 0, done.stderr
    assert "everything is shown, as it is not valid: 1 problem" in job.comment
    assert "- ❔ Survivability cannot be compared with the base." in job.comment


# -- the platform ----------------------------------------------------------------------------


def test_a_comment_that_would_be_too_long_is_cut_and_still_markdown(github_job: Job) -> None:
    job = github_job
    many = "---\n".join(
        f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c{n}-{'x' * 80}, namespace: shop}}\n"
        for n in range(900)
    )
    job.merge(shop=LESS, many=many)
    done = job.run()
    assert done.returncode == 0, done.stderr
    text = job.comment
    assert 45_000 < len(text) <= 65_536
    assert "*Cut to what fits into a comment: " in text
    assert text.rstrip().endswith("</details>")
    html = MarkdownIt("commonmark").render(text)
    assert html.count("<details>") == html.count("</details>") == text.count("<details>")


@pytest.mark.parametrize(
    ("refusals", "words"),
    [
        ([403], "/comments?per_page=100&page=1&sort=asc&order_by=created_at: HTTP 403: not now"),
        ([404], ": HTTP 404: not now"),
    ],
)
def test_what_the_api_refuses_is_told_and_fails_the_job(
    github_job: Job, refusals: list[int], words: str
) -> None:
    job = github_job
    job.api.refusals = refusals
    job.merge(shop=SECOND_IMAGE)
    done = job.run()
    assert done.returncode == 1
    assert words in done.stderr
    assert "The comment could not be written." in done.stderr
    assert TOKEN not in done.stdout + done.stderr
    assert not job.api.comments
    assert "web:2" in job.report("plan.txt"), "the reports are there all the same"


def test_a_wrong_token_is_told(job: Job) -> None:
    name = "GITHUB_TOKEN" if job.api.platform == "github" else "GITLAB_TOKEN"
    job.merge(shop=SECOND_IMAGE)
    done = job.run(**{name: "wrong"})
    assert done.returncode == 1
    assert "HTTP 401: Bad credentials" in done.stderr


def test_asking_is_repeated_when_a_server_is_busy(github_job: Job) -> None:
    job = github_job
    job.api.refusals = [503, 502]
    job.merge(shop=SECOND_IMAGE)
    done = job.run()
    assert done.returncode == 0, done.stderr
    assert len(job.api.comments) == 1


def test_without_a_platform_there_is_no_comment_and_no_token(github_job: Job) -> None:
    job = github_job
    job.environment = {
        name: value for name, value in job.environment.items() if not name.startswith("GITHUB")
    }
    job.merge(shop=SECOND_IMAGE)
    assert "BASE" in job.run().stderr
    done = job.run(BASE="main")
    assert done.returncode == 0, done.stderr
    assert not job.api.requests
    assert "web:2" in job.report("plan.md")


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"GITHUB_REF": "refs/heads/main"}, "PULL_REQUEST is 'refs', which is no number"),
        ({"PLATFORM": "gitea"}, "it is github, gitlab or none"),
        ({"GITHUB_REPOSITORY": ""}, "GITHUB_REPOSITORY"),
    ],
)
def test_what_is_not_set_is_told_before_anything_is_done(
    github_job: Job, environment: dict[str, str], words: str
) -> None:
    github_job.merge(shop=SECOND_IMAGE)
    done = github_job.run(**environment)
    assert done.returncode != 0
    assert words in done.stderr
    assert not (github_job.folder / "reconcile-report").exists()


def test_the_script_is_plain_posix() -> None:
    shellcheck = needed("shellcheck", "shellcheck")
    done = subprocess.run(
        [shellcheck, "--shell=sh", "--external-sources", SCRIPT],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert os.access(SCRIPT, os.X_OK)
