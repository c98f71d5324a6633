"""`reconcile validate --fix`: what is rewritten, shown and left alone."""

from __future__ import annotations

import json
from pathlib import Path

from .conftest import Command

FLEET = """\
apiVersion: federation.reconciler.dev/v1alpha1
kind: Federation
metadata: {name: shop}
spec:
  defaults: {placement: {clusterSelector: {}}}
  sensitive: [{kind: NetworkPolicy.networking.k8s.io}]
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: one}
"""
CRON = """\
# Every night.
apiVersion: batch/v1beta1  # since 2019
kind: CronJob
metadata: {name: nightly, namespace: shop}
spec:
  schedule: "0 3 * * *"
  jobTemplate:
    spec:
      template:
        spec:
          restartPolicy: Never
          containers: [{name: job, image: "registry.example.com/job:1"}]
"""
POLICY = """\
apiVersion: extensions/v1beta1
kind: NetworkPolicy
metadata: {name: hidden-name, namespace: shop}
spec: {podSelector: {}}
"""
TEMPLATE = "apiVersion: policy/v1beta1\nkind: PodDisruptionBudget\nmetadata: {name: '{{ name }}'}\n"


def test_files_are_rewritten_in_place_and_the_diff_is_shown(
    reconcile: Command, tmp_path: Path
) -> None:
    (tmp_path / "fleet.yaml").write_text(FLEET)
    (tmp_path / "jobs").mkdir()
    cron = tmp_path / "jobs" / "nightly.yaml"
    cron.write_text(CRON)
    cron.chmod(0o640)
    (tmp_path / "policy.yaml").write_text(POLICY)
    before = reconcile("validate", "--repo", tmp_path)
    assert before.returncode == 1
    assert "jobs/nightly.yaml:2:1: CronJob of batch/v1beta1" in before.stdout
    for command in (("--plan",), ("--yes",)):
        assert reconcile(*command, "--sandbox", "--repo", tmp_path).returncode == 1
    done = reconcile("validate", "--fix", "--repo", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert cron.read_text() == CRON.replace("batch/v1beta1  #", "batch/v1       #")
    assert cron.stat().st_mode & 0o777 == 0o640
    assert "--- a/jobs/nightly.yaml" in done.stdout
    assert "+apiVersion: batch/v1" in done.stdout
    assert "apiVersion: networking.k8s.io/v1" in (tmp_path / "policy.yaml").read_text()
    assert "hidden-name" not in done.stdout
    assert "2 files rewritten." in done.stdout
    assert (tmp_path / "fleet.yaml").read_text() == FLEET
    assert [file.name for file in (tmp_path / "jobs").iterdir()] == ["nightly.yaml"]
    again = reconcile("validate", "--fix", "--repo", tmp_path, "--output", "json")
    assert json.loads(again.stdout)["fixed"] == []


def test_templates_and_what_kustomize_builds_are_told_and_left(
    reconcile: Command, tmp_path: Path
) -> None:
    (tmp_path / "fleet.yaml").write_text(FLEET)
    (tmp_path / "budget.yaml").write_text(TEMPLATE)
    folder = tmp_path / "built"
    folder.mkdir()
    (folder / "kustomization.yaml").write_text("resources: [cron.yaml]\n")
    (folder / "cron.yaml").write_text(CRON)
    (tmp_path / "laid-out.json").write_text(
        '{"apiVersion": "policy/v1beta1", "kind":\n'
        '"PodDisruptionBudget", "metadata": {"name": "a"}}\n'
    )
    done = reconcile("validate", "--fix", "--repo", tmp_path, "--output", "json")
    assert done.returncode == 1
    found = json.loads(done.stdout)
    refused, of_json = [problem for one in found["fixed"] for problem in one["refused"]]
    assert (refused["file"], of_json["file"]) == ("budget.yaml", "laid-out.json")
    assert "template" in refused["message"]
    (built,) = [p for p in found["problems"] if p["file"] == "built/kustomization.yaml"]
    assert "change the file that kustomize reads it from" in built["hint"]
    assert not any("--fix" in problem.get("hint", "") for problem in found["problems"])
    assert (folder / "cron.yaml").read_text() == CRON
    assert (tmp_path / "budget.yaml").read_text() == TEMPLATE


def test_a_file_with_a_second_name_is_rewritten_once(reconcile: Command, tmp_path: Path) -> None:
    (tmp_path / "fleet.yaml").write_text(FLEET)
    cron = tmp_path / "nightly.yaml"
    cron.write_text(CRON)
    for name in ("a.yaml", "z.yaml"):
        (tmp_path / name).symlink_to(cron.name)
    done = reconcile("validate", "--fix", "--repo", tmp_path)
    assert "1 file rewritten." in done.stdout, done.stderr
    assert "+++ b/nightly.yaml" in done.stdout
    assert "batch/v1 " in cron.read_text()
    assert (tmp_path / "a.yaml").is_symlink()


def test_a_commit_cannot_be_rewritten(reconcile: Command, tmp_path: Path) -> None:
    done = reconcile("validate", "--fix", "--repo", tmp_path, "--ref", "HEAD")
    assert done.returncode == 64
    assert "--fix rewrites files" in done.stderr
