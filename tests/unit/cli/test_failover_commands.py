"""`reconcile survivability` and `reconcile failback` as a shell sees them."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

from reconciler.state.memory import ClusterMemory, FleetMemory, Phase, WorkloadMemory, encode_memory
from tests.unit.cli.conftest import SAMPLE, Command


def test_survivability_needs_no_cluster_and_has_an_exit_code_for_ci(reconcile: Command) -> None:
    done = reconcile("survivability", "--repo", SAMPLE)
    assert done.returncode == 0, done.stderr
    assert "CronJob shop/nightly-report" in done.stdout
    assert "DOWN" in done.stdout
    assert reconcile("survivability", "--repo", SAMPLE, "--fail-on", "down").returncode == 1
    asked = ("survivability", "--repo", SAMPLE, "--outage", "provider=aws", "--fail-on", "down")
    assert reconcile(*asked).returncode == 0
    document = json.loads(reconcile(*asked, "-o", "json").stdout)
    assert document["outages"][0]["clusters"] == ["aws-eu"]


def test_survivability_compares_with_a_branch(reconcile: Command, tmp_path: Path) -> None:
    copy = tmp_path / "fleet"
    subprocess.run(["cp", "-r", str(SAMPLE), str(copy)], check=True)
    git = ["git", "-C", str(copy), "-c", "user.name=t", "-c", "user.email=t@example.com"]
    subprocess.run([*git, "init", "-q", "-b", "main"], check=True)
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-qm", "Before"], check=True)
    ask = ("survivability", "--repo", copy, "--base", "main", "--fail-on", "degraded")
    assert reconcile(*ask).returncode == 0
    rules = copy / "federation.yaml"
    rules.write_text(rules.read_text().replace("maxUnhealthy: 2", "maxUnhealthy: 1"))
    done = reconcile(*ask)
    assert done.returncode == 1
    assert "shop/cart" in done.stdout
    assert "shop/nightly-report" not in done.stdout, "that one was down before"


def test_failback_releases_what_waits_for_a_person(reconcile: Command, tmp_path: Path) -> None:
    state = tmp_path / "memory.json"
    away = {"aws-eu": {"Deployment.apps shop/web": WorkloadMemory(away=time.time() - 60, moves=1)}}
    down = {"gcp-eu": ClusterMemory(Phase.DOWN, time.time() - 600, reason="timeout")}
    state.write_bytes(encode_memory(FleetMemory(down, away)))
    ask = ("failback", "--repo", SAMPLE, "--state", state)
    listed = reconcile(*ask).stdout
    assert "gcp-eu  Down since" in listed
    assert "(10 min ago)  timeout" in listed
    assert "aws-eu  Deployment.apps shop/web stays away" in listed
    assert "may return" in reconcile(*ask, "gcp-eu").stdout
    assert json.loads(state.read_text())["clusters"]["gcp-eu"]["released"] is True
    assert "released" in reconcile(*ask).stdout
    reconcile(*ask, "aws-eu")
    assert "stays away" not in reconcile(*ask).stdout
    assert "nothing to be released" in reconcile(*ask, "gcp-us").stdout
    wrong = reconcile(*ask, "gcp")
    assert wrong.returncode == 64
    assert "there are: aws-eu, gcp-eu, gcp-us" in wrong.stderr
