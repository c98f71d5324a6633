"""`reconcile rollout` in a shell: what is remembered is shown, and changed under the lock."""

from __future__ import annotations

import fcntl
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from reconciler.state.memory import (
    FleetMemory,
    RolloutMemory,
    RolloutPhase,
    decode_memory,
    encode_memory,
)
from tests.unit.cli.conftest import SAMPLE, Command

STABLE, CANDIDATE = "9be01d2" + "0" * 33, "3f2c1ab" + "0" * 33
RULES = """\
  rollout:
    waves:
      - {name: canary, clusters: [gcp-eu], soak: 10m}
      - {name: eu, clusters: [aws-eu], manual: true}
"""
Steer = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The sample repository, in waves."""
    copy = tmp_path / "fleet"
    subprocess.run(["cp", "-r", str(SAMPLE), str(copy)], check=True)
    rules = copy / "federation.yaml"
    rules.write_text(rules.read_text().replace("\nspec:\n", f"\nspec:\n{RULES}", 1))
    return copy


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "memory.json"


@pytest.fixture
def steer(reconcile: Command, folder: Path, state: Path) -> Steer:
    def run(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        return reconcile("rollout", *arguments, "--repo", folder, "--state", state, env=env)

    return run


def remember(state: Path, **given: object) -> None:
    """The candidate is in the first wave, and well there for a minute."""
    now = time.time()
    rollout = RolloutMemory(
        STABLE,
        CANDIDATE,
        {"gcp-eu": CANDIDATE},
        began=now - 3600,
        wave_began=now - 600,
        progress=now - 60,
        arrived=("gcp-eu",),
        well=now - 60,
    )
    rollout = replace(rollout, **given)  # type: ignore[arg-type]
    state.write_bytes(encode_memory(FleetMemory(rollout=rollout)))


def remembered(state: Path) -> RolloutMemory:
    found = decode_memory(state.read_bytes()).rollout
    assert found is not None
    return found


def test_it_shows_what_the_last_run_left(steer: Steer, state: Path) -> None:
    remember(state)
    shown = steer()
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith("Rollout of 3f2c1ab (stable 9be01d2): wave 1 of 3")
    assert "waits for soak (9 min left)" in " ".join(shown.stdout.split())
    assert "gcp-eu: on 3f2c1ab, well" in shown.stdout
    assert "3 rest" in shown.stdout
    assert "this wave " in " ".join(shown.stdout.split())
    document = json.loads(steer("-o", "json").stdout)
    assert document["federation"] == "web-shop"
    assert document["rollout"]["waves"][0]["clusters"][0]["step"] == "well"


def test_every_line_fits_a_narrow_terminal(steer: Steer, state: Path) -> None:
    remember(state)
    shown = steer(env={"COLUMNS": "64"}).stdout.splitlines()
    assert any(line.startswith("  Begun 2") for line in shown)
    assert max(map(len, shown)) <= 64


def test_what_has_failed_ends_in_1_also_where_it_is_watched(steer: Steer, state: Path) -> None:
    remember(state, phase=RolloutPhase.FAILED, reason="wave 1, canary: shop/web is not ready")
    for options in ((), ("--watch",)):
        failed = steer(*options)
        assert failed.returncode == 1
        assert "has failed in wave 1, canary: shop/web is" in failed.stdout


def test_watching_ends_with_the_rollout_or_with_its_time(steer: Steer, state: Path) -> None:
    remember(state, began=time.time(), wave_began=time.time())
    late = steer("--watch", "--interval", "200ms", "--timeout", "1s")
    assert late.returncode == 1
    assert late.stdout.count("Rollout of 3f2c1ab") == 1, "what has not changed is not repeated"
    assert "The time is over" in late.stderr
    state.write_bytes(encode_memory(FleetMemory(rollout=RolloutMemory(CANDIDATE))))
    assert steer("--watch").returncode == 0
    assert steer("--timeout", "1s").returncode == 64


def test_each_verb_changes_what_is_remembered(steer: Steer, state: Path) -> None:
    remember(state)
    held = steer("hold", "--reason", "checkout is slow")
    assert held.returncode == 0, held.stderr
    assert "is held in wave 1 of 3" in held.stdout
    assert (remembered(state).phase, remembered(state).reason) == (
        RolloutPhase.HELD,
        "checkout is slow",
    )
    refused = steer("promote")
    assert refused.returncode == 1
    assert "is held: checkout is slow" in refused.stderr
    assert "Next: reconcile --plan" in steer("resume").stderr
    promoted = steer("promote")
    assert 'begins wave 2 of 3 "eu" (aws-eu)' in promoted.stdout
    assert remembered(state).promoted
    aborted = steer("abort", "--yes")
    assert "brings gcp-eu back to 9be01d2" in aborted.stdout
    assert remembered(state) == RolloutMemory(STABLE, refused=CANDIDATE)
    nothing = steer("promote")
    assert nothing.returncode == 1
    assert "there is no rollout to promote: every cluster is on 9be01d2" in nothing.stderr


def test_all_at_once_is_told_loudly(steer: Steer, state: Path) -> None:
    remember(state)
    done = steer("promote", "--now", "--yes")
    assert done.returncode == 0, done.stderr
    assert "Warning: 3f2c1ab reaches 2 more clusters at once in the next run" in done.stderr
    assert remembered(state).at_once


def test_it_waits_for_a_run_that_has_the_lock(steer: Steer, state: Path) -> None:
    remember(state)
    with Path(f"{state}.run.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        refused = steer("hold", "--lock-timeout", "1s")
    assert refused.returncode == 1
    assert remembered(state).phase is RolloutPhase.PROGRESSING
    assert steer("hold").returncode == 0


def test_a_federation_without_waves_says_where_they_belong(reconcile: Command, state: Path) -> None:
    done = reconcile("rollout", "--repo", SAMPLE, "--state", state)
    assert done.returncode == 64
    assert "the Federation has no spec.rollout" in done.stderr


def test_help_and_completion_know_the_verbs(reconcile: Command) -> None:
    text = reconcile("rollout", "--help").stdout
    for verb in ("promote", "hold", "resume", "abort"):
        assert f"\n  {verb} " in text
    words = {"COMP_WORDS": "reconcile rollout ", "COMP_CWORD": "2"}
    found = reconcile(env={**words, "_RECONCILE_COMPLETE": "bash_complete"}).stdout
    assert "plain,promote" in found
