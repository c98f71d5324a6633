"""Whole runs of the command on simulated clusters: what is not trusted is not written."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.git.repositories import CLUSTER, FEDERATION, commit, config_map, git, write
from tests.unit.git.servers import http_server
from tests.unit.git.signing import Signer

Command = Callable[..., "subprocess.CompletedProcess[str]"]
NAMESPACE = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n"


@pytest.fixture
def fleet(origin: Path) -> Path:
    commit(
        origin,
        {"federation.yaml": FEDERATION, "cluster.yaml": CLUSTER, "shop/ns.yaml": NAMESPACE},
    )
    return origin


def counts(reconcile: Command, *repo: object) -> dict[str, int]:
    """What a plan of the last good state of the simulated cluster would still do."""
    done = reconcile("--plan", "--sandbox", "--output", "json", "--repo", *repo)
    assert done.returncode == 0, done.stderr
    return {k: v for k, v in json.loads(done.stdout)["summary"].items() if isinstance(v, int)}


def test_an_unsigned_head_ends_the_run_with_nothing_written(
    reconcile: Command, fleet: Path, alice: Signer, tmp_path: Path
) -> None:
    (tmp_path / "alice.asc").write_text(alice.public)
    demand = {
        "RECONCILE_REQUIRE_SIGNATURE": "gpg",
        "RECONCILE_TRUSTED_KEYS": str(tmp_path / "alice.asc"),
        "RECONCILE_REPO": fleet.as_uri(),
    }
    done = reconcile("--yes", "--sandbox", env=demand)
    assert done.returncode == 1
    assert "is not signed; gpg is demanded" in done.stderr
    assert counts(reconcile, fleet.as_uri())["create"] == 2
    alice.commit(fleet)
    done = reconcile("--yes", "--sandbox", env=demand)
    assert done.returncode == 0, done.stderr
    assert counts(reconcile, fleet.as_uri())["create"] == 0


def test_the_rule_of_the_repository_ends_the_run_too(
    reconcile: Command, fleet: Path, alice: Signer, mallory: Signer, tmp_path: Path
) -> None:
    (tmp_path / "alice.asc").write_text(alice.public)
    rule = FEDERATION + "  source: {requireSignature: {type: gpg}}\n"
    write(fleet, {"federation.yaml": rule})
    mallory.commit(fleet)
    given = ("--sandbox", "--repo", fleet.as_uri(), "--trusted-keys", tmp_path / "alice.asc")
    done = reconcile("--yes", *given)
    assert done.returncode == 1
    assert "a key that is not trusted" in done.stderr
    # A pull request's plan is still worth reading, and tells.
    plan = reconcile("--plan", *given)
    assert plan.returncode == 0, plan.stderr
    assert "this could not be applied" in plan.stdout
    assert "2 to create" in plan.stdout


def test_a_force_push_ends_the_run_until_it_is_meant(reconcile: Command, fleet: Path) -> None:
    first = git(fleet, "rev-parse", "HEAD")
    commit(fleet, {"shop/b.yaml": config_map("b", key="one")})
    given = ("--yes", "--sandbox", "--repo", fleet.as_uri(), "--ref", "main")
    assert reconcile(*given).returncode == 0
    git(fleet, "reset", "-q", "--hard", first)
    done = reconcile(*given)
    assert done.returncode == 1
    assert "does not come after" in done.stderr
    assert "--allow-rollback" in done.stderr
    done = reconcile(*given, "--allow-rollback")
    assert done.returncode == 0, done.stderr
    assert reconcile(*given).returncode == 0


def test_a_mounted_secret_serves_every_command(
    reconcile: Command, fleet: Path, tmp_path: Path
) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "token").write_text("c4nary-t0ken")
    with http_server(fleet.parent, "x-access-token", "c4nary-t0ken") as server:
        env = {
            "RECONCILE_GIT_CREDENTIALS": str(tmp_path / "secret"),
            "RECONCILE_REPO": server.url("fleet"),
        }
        assert reconcile("--plan", "--sandbox", env=env).returncode == 0
        given = ("--repo", server.url("fleet"), "--git-credentials", tmp_path / "secret")
        assert reconcile("validate", *given).returncode == 0
        (tmp_path / "secret" / "token").write_text("c4nary-0ther")
        done = reconcile("--plan", "--sandbox", "--debug", "-v", env=env)
        assert done.returncode == 1
        assert "does not accept the credential" in done.stderr
        assert "c4nary" not in done.stderr + done.stdout


def test_a_server_that_hangs_ends_by_the_given_time(reconcile: Command, fleet: Path) -> None:
    with http_server(fleet.parent) as server:
        server.faults = ["hang"]
        done = reconcile("validate", "--repo", server.url("fleet"), "--git-timeout", "1s")
    assert done.returncode == 1
    assert "did not finish within 1 s" in done.stderr


def test_nothing_is_read_of_the_users_git_settings(
    reconcile: Command, fleet: Path, tmp_path: Path
) -> None:
    trap = tmp_path / "trap"
    (tmp_path / ".gitconfig").write_text(
        f"[core]\n  sshCommand = touch {trap}\n"
        f'[url "file:///nowhere"]\n  insteadOf = {fleet.as_uri()}\n'
    )
    done = reconcile("validate", "--repo", fleet.as_uri(), env={"GIT_DIR": os.devnull})
    assert done.returncode == 0, done.stderr
    assert not trap.exists()
