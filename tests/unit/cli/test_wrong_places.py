"""A place that holds no fleet is an error; and one member's trouble is told by every command."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Command

CLUSTERS = """
apiVersion: federation.reconciler.dev/v1alpha1
kind: Federation
metadata: {name: shop}
spec: {defaults: {placement: {clusterSelector: {}}}}
---
apiVersion: core.kubefed.io/v1beta1
kind: KubeFedCluster
metadata: {name: old, namespace: kube-federation-system}
spec: {apiEndpoint: "https://10.0.0.1", caBundle: "%%%", secretRef: {name: old}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: one, namespace: default}
"""


@pytest.mark.parametrize("command", [["--plan"], ["--yes"], ["status"], ["clusters"], ["validate"]])
@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "no manifest"),
        ({"README.md": "# nothing"}, "no manifest"),
        ({"values.yaml": ""}, "no manifest"),
    ],
)
def test_an_empty_or_wrong_directory_is_an_error_that_tells_what_was_expected(
    reconcile: Command, tmp_path: Path, command: list[str], files: dict[str, str], said: str
) -> None:
    folder = tmp_path / "fleet" / "wrong"
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    for arguments in (["--repo", folder], ["--repo", tmp_path / "fleet", "--path", "wrong"]):
        done = reconcile(*command, *arguments)
        assert done.returncode == 1
        assert said in done.stderr + done.stdout
        assert "expected Cluster (or KubeFedCluster) manifests" in done.stderr + done.stdout


def test_a_federation_without_clusters_may_be_checked_and_not_run(
    reconcile: Command, tmp_path: Path
) -> None:
    folder = tmp_path / "fleet"
    folder.mkdir()
    (folder / "federation.yaml").write_text(CLUSTERS.partition("---")[0])
    assert reconcile("validate", "--repo", folder).returncode == 0
    done = reconcile("--plan", "--repo", folder)
    assert done.returncode == 1
    assert "no Cluster" in done.stderr


@pytest.mark.parametrize("command", [["--plan"], ["status"], ["clusters"], ["survivability"]])
def test_every_command_tells_the_trouble_of_one_member(
    reconcile: Command, tmp_path: Path, command: list[str]
) -> None:
    folder = tmp_path / "fleet"
    folder.mkdir()
    (folder / "all.yaml").write_text(CLUSTERS)
    done = reconcile(*command, "--repo", folder)
    assert "all.yaml:10" in done.stdout + done.stderr
    assert "the caBundle is no base64" in done.stdout + done.stderr
    done = reconcile("validate", "--repo", folder)
    assert done.returncode == 1
    assert "all.yaml:10" in done.stdout


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.com")
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def test_git_trouble_is_not_clean(reconcile: Command, tmp_path: Path) -> None:
    folder = tmp_path / "fleet"
    folder.mkdir()
    (folder / "all.yaml").write_text(CLUSTERS)
    git(folder, "init", "--quiet")
    # Before the first commit there is nothing to be told.
    assert "Git cannot tell" not in reconcile("--plan", "--repo", folder).stderr
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "one")
    (folder / ".git" / "index").write_bytes(b"nonsense")
    done = reconcile("--plan", "--repo", folder)
    assert done.returncode == 1
    assert "Git cannot tell which commit" in done.stderr
    (folder / ".git" / "HEAD").write_text("nonsense")
    done = reconcile("--plan", "--repo", folder)
    assert done.returncode == 1
    assert "Git cannot tell which commit" in done.stderr
