"""`reconcile --every 10m --listen --webhook-secret`: a push is applied when its webhook comes."""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import urllib3

from kubesim.fleet import Sandbox
from tests.command import run_command
from tests.controlplane.process import eventually
from tests.unit.cli.conftest import environment  # noqa: F401  (a fixture of ``Service``)
from tests.unit.cli.test_every import FEDERATION, SETTINGS, Service, colour
from tests.unit.git.repositories import commit, git, new_repository
from tests.unit.git.servers import HttpServer, http_server

SECRET = "a-made-up-secret-of-tests"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    files = {"federation.yaml": FEDERATION, "settings.yaml": SETTINGS % "green"}
    return new_repository(tmp_path / "git" / "fleet", files)


@pytest.fixture
def server(repository: Path) -> Iterator[HttpServer]:
    with http_server(repository.parent) as server:
        yield server


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(["aws"]) as sandbox:
        yield sandbox


Start = Callable[..., Service]


@pytest.fixture
def start(
    environment: dict[str, str],  # noqa: F811
    server: HttpServer,
    sandbox: Sandbox,
    tmp_path: Path,
) -> Iterator[Start]:
    secret = tmp_path / "secret"
    secret.write_text(f"{SECRET}\n")
    started: list[Service] = []

    def begin(*more: object) -> Service:
        # Every run is one that a webhook asked for: nothing else makes one in ten minutes.
        arguments = ("--every", "10m", "--no-watch", "--listen", "127.0.0.1:0")
        arguments = (*arguments, "--webhook-secret", secret)
        common = ("--repo", server.url("fleet/.git"), "--ref", "main", "--kubeconfig")
        service = Service(environment, *arguments, *common, sandbox.kubeconfig, *more)
        started.append(service)
        return service

    yield begin
    for service in started:
        service.process.kill()
        service.process.wait()


def announce(service: Service, ref: str = "refs/heads/main", secret: str = SECRET) -> int:
    """The webhook that Gitea sends for a push."""
    body = json.dumps({"ref": ref, "repository": {"full_name": "platform/fleet"}}).encode()
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    headers = {"X-Gitea-Event": "push", "X-Gitea-Signature": signature}
    url = f"http://127.0.0.1:{service.port}/webhook"
    return urllib3.request("POST", url, body=body, headers=headers, retries=False).status


def runs(service: Service) -> int:
    return sum(service.runs(outcome) for outcome in ("ok", "failed", "locked"))


def test_a_push_is_applied_when_its_webhook_comes_and_not_before(
    start: Start, repository: Path, sandbox: Sandbox
) -> None:
    service = start()
    eventually(lambda: service.runs("ok") == 1, "the first run has ended")
    assert colour(sandbox) == "green"
    for shade in ("blue", "red"):
        commit(repository, {"settings.yaml": SETTINGS % shade})
        assert announce(service, secret="another-secret-of-theirs") == 401
        git(repository, "branch", "-f", "feature")
        assert announce(service, "refs/heads/feature") == 202
        time.sleep(1.5)
        assert colour(sandbox) != shade, "of neither anybody takes notice"
        assert announce(service) == 202
        eventually(lambda s=shade: colour(sandbox) == s, "it is applied")
    eventually(lambda: runs(service) == 3, "a run for each push")
    assert service.end() == 0
    assert service.text.count("A webhook asked for this run.") == 2
    assert SECRET not in service.text


def test_a_storm_while_a_run_goes_on_makes_one_more_run(
    start: Start, repository: Path, server: HttpServer, sandbox: Sandbox
) -> None:
    server.faults.append("hang")
    service = start()
    eventually(lambda: bool(server.seen), "the first run reads the repository")
    commit(repository, {"settings.yaml": SETTINGS % "blue"})
    assert [announce(service) for _ in range(50)] == [202] * 50
    assert runs(service) == 0
    server.released.set()
    eventually(lambda: runs(service) == 2, "one more")
    assert colour(sandbox) == "blue"
    time.sleep(3)
    assert runs(service) == 2


def test_webhooks_all_the_time_leave_a_pause_between_the_runs(start: Start) -> None:
    service = start()
    eventually(lambda: runs(service) == 1, "the first run has ended")
    ends = time.monotonic() + 5
    while time.monotonic() < ends:
        announce(service)
        time.sleep(0.01)
    assert 2 <= runs(service) <= 6


def test_where_another_process_is_at_a_run_it_is_tried_again_until_it_is_done(
    start: Start, repository: Path, sandbox: Sandbox, tmp_path: Path
) -> None:
    service = start()
    eventually(lambda: service.runs("ok") == 1, "the first run has ended")
    (lock,) = tmp_path.joinpath("state").rglob("shop.lock")
    with lock.open() as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        commit(repository, {"settings.yaml": SETTINGS % "blue"})
        announce(service)
        eventually(lambda: service.runs("locked") >= 1, "the other one holds the lock")
    eventually(lambda: colour(sandbox) == "blue", "the push is not forgotten")


def test_sigterm_ends_it_between_two_runs_with_0_whatever_came_in(start: Start) -> None:
    service = start()
    eventually(lambda: service.runs("ok") == 1, "the first run has ended")
    announce(service)
    eventually(lambda: service.runs("ok") == 2, "so has the second")
    time.sleep(1.2)
    assert service.end() == 0


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--every", "1m"), 64, "--webhook-secret goes with --listen"),
        (("--every", "1m", "--listen", "127.0.0.1:0"), 1, "openssl rand -hex 32"),
    ],
)
def test_a_secret_that_cannot_be_used_is_told_at_the_start(
    environment: dict[str, str],  # noqa: F811
    tmp_path: Path,
    arguments: tuple[str, ...],
    code: int,
    said: str,
) -> None:
    done: subprocess.CompletedProcess[str] = run_command(
        *arguments, "--webhook-secret", tmp_path / "none", cwd=tmp_path, env=environment, code=code
    )
    assert said in done.stderr
    assert "Listening" not in done.stderr
