"""What `reconcile validate` says of good and of broken repositories."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import SAMPLE, Command

Write = Callable[[str], Path]

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: shop
spec:
  replicas: 2
  selector:
    matchLabels: {app: web}
  template:
    metadata:
      labels: {app: web}
    spec:
      containers:
        - name: web
          image: registry.example.com/web:1
"""

MISSPELT = """\
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata:
  name: web
spec:
  clusterSelectr: {}
"""

UNKNOWN_CLUSTER = """\
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata:
  name: web
spec:
  select:
    - kind: Deployment
  clusters: [oen]
"""


CONTRADICTIONS = """\
apiVersion: federation.reconciler.dev/v1alpha1
kind: Federation
metadata: {name: shop}
spec:
  failover:
    enabled: true
    probe: {timeout: 5s, attempts: 3}
    healthyAfter: 10s
    maxUnhealthy: 1
    minReadyNodes: "150%"
  dns:
    providers: {bind: {class: octodns_bind.Rfc2136Provider, host: localhost, key_secret: abc}}
    zones:
      - {name: shop.example.com., provider: bnid}
      - {name: shop.example.com., provider: bind, naming: "{service}"}
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: one}
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {name: web}
spec:
  select: [{kind: Deployment}]
  replicas: {mode: Divided, clusters: [{name: one, min: 3, max: 1}]}
  failover: {unhealthyAfter: 1m}
---
"""


@pytest.mark.parametrize("command", [("validate",), ("--plan",), ("--yes",)])
def test_rules_that_contradict_each_other_are_told_all_at_once(
    reconcile: Command, tmp_path: Path, command: tuple[str, ...]
) -> None:
    (tmp_path / "all.yaml").write_text(CONTRADICTIONS + DEPLOYMENT)
    simulated = () if command == ("validate",) else ("--sandbox",)
    done = reconcile(*command, *simulated, "--repo", tmp_path)
    assert done.returncode == 1
    told = done.stdout + done.stderr
    for place, message in {
        "8:19": "healthyAfter (10 s) is shorter than one probe may take",
        "9:19": "lets the only cluster be declared down at once",
        "10:20": "more than 100 %",
        "12:90": "a credential must not lie in Git",
        "14:45": "there is no provider 'bnid'",
        "15:16": "zone shop.example.com. is given twice",
        "15:59": "naming '{service}' leaves the zone",
        "26:40": "min 3 is more than max 1",
        "27:30": "1m is sooner than the Federation declares a cluster down",
    }.items():
        assert f":{place}: {message}" in told
    assert "did you mean bind?" in told
    assert "so long do 3 tries of probe.timeout take" in told


def test_the_sample_repository_is_valid(reconcile: Command) -> None:
    done = reconcile("validate", "--repo", SAMPLE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Valid: 37 manifests for 3 clusters" in done.stdout
    assert "Warning" not in done.stdout


@pytest.mark.parametrize(
    ("documents", "line", "words"),
    [
        (MISSPELT, 6, "clusterSelector"),
        (UNKNOWN_CLUSTER + "---\n" + DEPLOYMENT, 8, "one"),
        ("kind: [unclosed\n", 2, ""),
        (DEPLOYMENT + "---\n" + DEPLOYMENT, 18, ""),
        (DEPLOYMENT.replace("  name: web\n", "  name: web\n  name: web2\n", 1), 5, ""),
    ],
    ids=["misspelt key", "unknown cluster", "not YAML", "the same object twice", "duplicate key"],
)
def test_a_problem_is_told_with_its_place(
    reconcile: Command, repository: Write, documents: str, line: int, words: str
) -> None:
    done = reconcile("validate", "--repo", repository(documents))
    assert done.returncode == 1
    assert f"manifests.yaml:{line}:" in done.stdout
    assert words in done.stdout
    assert "1 problem" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_all_problems_are_told_at_once(reconcile: Command, repository: Write) -> None:
    folder = repository(MISSPELT)
    (folder / "more.yaml").write_text(MISSPELT.replace("name: web", "name: other"))
    done = reconcile("validate", "--repo", folder)
    assert "manifests.yaml:6:" in done.stdout
    assert "more.yaml:6:" in done.stdout
    assert "2 problems" in done.stdout


def test_json_is_for_programs(reconcile: Command, repository: Write) -> None:
    done = reconcile("validate", "--repo", repository(MISSPELT), "--output", "json")
    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert report["valid"] is False
    assert report["summary"]["problems"] == 1
    [problem] = report["problems"]
    assert (problem["file"], problem["line"]) == ("manifests.yaml", 6)
    good = json.loads(reconcile("validate", "--repo", repository(DEPLOYMENT), "-o", "json").stdout)
    assert good["valid"] is True
    assert good["summary"]["manifests"] == 1
    assert good["problems"] == []


def test_github_gets_annotations(reconcile: Command, repository: Write) -> None:
    done = reconcile("validate", "--repo", repository(MISSPELT), "--output", "github")
    assert done.returncode == 1
    [line] = [line for line in done.stdout.splitlines() if line.startswith("::error ")]
    assert line.startswith(
        "::error file=repository/manifests.yaml,line=6,col=3,title=reconcile validate::"
    )


def test_files_are_named_from_where_the_command_was_started(
    reconcile: Command, repository: Write, tmp_path: Path
) -> None:
    folder = repository("{}\n")
    (folder / "fleet").mkdir()
    (folder / "fleet" / "broken.yaml").write_text(MISSPELT)
    for where, arguments in {
        tmp_path: ("--repo", "repository", "--path", "fleet"),
        folder: ("--path", "fleet"),
        folder / "fleet": (),
    }.items():
        done = reconcile("validate", "--output", "github", *arguments, cwd=where)
        named = (folder / "fleet" / "broken.yaml").relative_to(where)
        assert f"::error file={named},line=6," in done.stdout
        done = reconcile("validate", *arguments, cwd=where)
        assert done.stdout.startswith(f"{named}:6:3: ")


def test_options_may_stand_before_the_command_or_in_the_environment(
    reconcile: Command, repository: Write
) -> None:
    folder = repository(MISSPELT)
    assert reconcile("--repo", folder, "validate").returncode == 1
    assert reconcile("validate", env={"RECONCILE_REPO": str(folder)}).returncode == 1
    assert reconcile("--repo", folder, "validate", "--repo", SAMPLE).returncode == 0
    assert reconcile("validate", cwd=SAMPLE).returncode == 0


@pytest.mark.parametrize(
    "arguments", [["validate"], ["--plan"], ["--yes"], ["--plan", "--sandbox"]]
)
def test_a_broken_repository_stops_every_command(
    reconcile: Command, repository: Write, arguments: list[str]
) -> None:
    done = reconcile(*arguments, "--repo", repository(MISSPELT))
    assert done.returncode == 1
    assert "manifests.yaml:6:" in done.stdout + done.stderr


@pytest.mark.parametrize("arguments", [["validate"], ["--plan"], ["--yes"]])
def test_a_repository_that_is_not_there_is_an_error(
    reconcile: Command, tmp_path: Path, arguments: list[str]
) -> None:
    done = reconcile(*arguments, "--repo", tmp_path / "nowhere")
    assert done.returncode == 1
    assert "Error:" in done.stderr
    assert "nowhere" in done.stderr
    assert "Traceback" not in done.stderr


def test_colour_is_for_terminals_and_where_it_is_forced(
    reconcile: Command, repository: Write
) -> None:
    folder = repository(MISSPELT)
    assert "\x1b[" not in reconcile("validate", "--repo", folder).stdout
    forced = {"FORCE_COLOR": "1"}
    assert "\x1b[" in reconcile("validate", "--repo", folder, env=forced).stdout
    assert "\x1b[" not in reconcile("validate", "--no-color", "--repo", folder, env=forced).stdout
    both = {"FORCE_COLOR": "1", "NO_COLOR": "1"}
    assert "\x1b[" not in reconcile("validate", "--repo", folder, env=both).stdout
