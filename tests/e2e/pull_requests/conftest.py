"""A repository with a branch to be merged, and the script that a job runs in its checkout."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.e2e.pull_requests.comments_api import TOKEN, CommentsApi, comments_api
from tests.unit.git.programs import needed
from tests.unit.git.repositories import commit, git, new_repository

ROOT = Path(__file__).resolve().parents[3]
FILES = ROOT / "docs" / "pull-requests"
SCRIPT = FILES / "pull-request.sh"

FEDERATION = """\
apiVersion: federation.reconciler.dev/v1alpha1
kind: Federation
metadata: {name: shop}
spec:
  defaults: {placement: {clusterSelector: {}}}
  failover: {enabled: true}
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
"""
SHOP = """\
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 4
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "registry.example/web:1"}]}
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {name: web}
spec:
  select: [{kind: Deployment, name: web}]
  clusterSelector: {}
  replicas: {mode: Divided}
"""
SECOND_IMAGE = SHOP.replace("web:1", "web:2")


@dataclass
class Job:
    """One job's checkout: the merge of a branch and its base, as CI makes it."""

    folder: Path
    api: CommentsApi
    environment: dict[str, str] = field(default_factory=dict)

    def merge(self, **files: str) -> None:
        """Check out what merging a branch with these files (and no others of them) would be."""
        git(self.folder, "checkout", "-q", "-B", "feature", "main")
        commit(self.folder, {f"{name}.yaml": text for name, text in files.items()})
        git(self.folder, "checkout", "-q", "--detach", "main")
        git(self.folder, "merge", "-q", "--no-ff", "-m", "merge", "feature")

    def run(self, **environment: str) -> subprocess.CompletedProcess[str]:
        # As a runner has it: a token, the ref, and nothing of whoever runs these tests.
        return subprocess.run(
            [os.environ.get("TEST_SHELL", "/bin/sh"), SCRIPT],
            cwd=self.folder,
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )

    def report(self, name: str) -> str:
        return (self.folder / "reconcile-report" / name).read_text(encoding="utf-8")

    @property
    def comment(self) -> str:
        """The body of the only comment that is ours."""
        (found,) = [c for c in self.api.comments if "<!-- reconcile-pull-request:" in c["body"]]
        body: str = found["body"]
        return body


def _job(tmp_path: Path, api: CommentsApi) -> Job:
    for program in ("git", "curl", "jq"):
        needed(program, program)
    folder = new_repository(tmp_path / "checkout", {"federation.yaml": FEDERATION})
    commit(folder, {"shop.yaml": SHOP})
    # What one run leaves is not there in the checkout of the next.
    (folder / ".git" / "info" / "exclude").write_text("reconcile-report/\n")
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "RECONCILE_SANDBOX": "true",
    }
    if api.platform == "github":
        environment |= {
            "GITHUB_ACTIONS": "true",
            "GITHUB_API_URL": api.url,
            "GITHUB_REPOSITORY": "platform/fleet",
            "GITHUB_TOKEN": TOKEN,
            "GITHUB_REF": "refs/pull/7/merge",
            "GITHUB_BASE_REF": "main",
            "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
        }
    else:
        environment |= {
            "GITLAB_CI": "true",
            "CI_API_V4_URL": api.url,
            "CI_PROJECT_ID": "42",
            "GITLAB_TOKEN": TOKEN,
            "CI_MERGE_REQUEST_IID": "7",
            "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main",
            "CI_MERGE_REQUEST_DIFF_BASE_SHA": git(folder, "rev-parse", "main"),
        }
    return Job(folder, api, environment)


@pytest.fixture(params=["github", "gitlab"])
def job(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Job]:
    with comments_api(request.param) as api:
        yield _job(tmp_path, api)


@pytest.fixture
def github_job(tmp_path: Path) -> Iterator[Job]:
    with comments_api("github") as api:
        yield _job(tmp_path, api)
