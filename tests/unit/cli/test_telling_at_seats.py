"""A repository that cannot be read, at seats: who is told of it is known by what they agreed on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from kubesim.fleet import Sandbox
from reconciler.cluster.connect import Connector
from reconciler.git.owner import Owner
from reconciler.seats.document import RegisterDocument
from reconciler.seats.register import Register
from reconciler.state.memory import FleetMemory, encode_memory
from reconciler.state.register_store import remembered_in
from tests.unit.report.listener import Listener, listening

from .conftest import Command

SYSTEM = "federation-system"
SEATS = ("aws", "gcp", "onprem")
FEDERATION = """
apiVersion: federation.reconciler.dev/v1alpha1
kind: Federation
metadata: {name: shop}
spec:
  seats: [aws, gcp, onprem]
  defaults: {placement: {clusterSelector: {}}}
  notifications: [{type: Webhook, urlFrom: {env: HOOK_URL}}]
""" + "".join(
    f"""---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {{name: {name}}}
spec: {{provider: {name}, region: here}}
"""
    for name in SEATS
)
FAILS, WELL = "Federation shop does not run as Git says", "Federation shop runs as Git says again"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(list(SEATS)) as sandbox:
        for cluster in sandbox.clusters:
            cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM}})
        yield sandbox


@pytest.fixture
def hook() -> Iterator[Listener]:
    with listening() as listener:
        yield listener


def register(sandbox: Sandbox, federation: str = "shop") -> Register:
    members = {
        name: Connector.from_file(str(sandbox.kubeconfig), SYSTEM, host_context=name).host(name)
        for name in SEATS
    }
    return Register(members, SYSTEM, federation)


@pytest.fixture
def folder(tmp_path: Path, sandbox: Sandbox) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "federation.yaml").write_text(FEDERATION)
    register(sandbox).initialise(SEATS)
    return folder


@pytest.fixture
def run(reconcile: Command, folder: Path, sandbox: Sandbox, hook: Listener) -> Callable[..., Any]:
    def start(at: str, *, code: int) -> Any:
        done = reconcile(
            *("--yes", "--repo", folder, "--kubeconfig", sandbox.kubeconfig),
            *("--host-context", at, "--seat", at),
            env={"HOOK_URL": f"{hook.url}/H00K", "RECONCILE_ALLOW_ACCESS": "plain-http"},
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done

    return start


def titles(hook: Listener) -> list[str]:
    return [one["title"] for request in hook.requests for one in request.json["tidings"]]


def test_an_unreadable_repository_is_told_once_whichever_seat_sees_it(
    run: Callable[..., Any], folder: Path, hook: Listener
) -> None:
    run("aws", code=0)
    (folder / "federation.yaml").write_text("kind: [")
    for name in SEATS:
        run(name, code=1)
    assert titles(hook) == [FAILS]
    (folder / "federation.yaml").write_text(FEDERATION)
    for name in ("gcp", "aws"):
        run(name, code=0)
    assert titles(hook) == [FAILS, WELL]


def test_it_is_told_while_a_seat_is_gone(
    run: Callable[..., Any], folder: Path, hook: Listener, sandbox: Sandbox
) -> None:
    run("aws", code=0)
    (folder / "federation.yaml").write_text("kind: [")
    sandbox.cluster("aws").stop()
    run("gcp", code=1)
    run("onprem", code=1)
    assert titles(hook) == [FAILS]


def test_the_register_of_another_repository_is_not_this_ones(
    run: Callable[..., Any], folder: Path, hook: Listener, sandbox: Sandbox
) -> None:
    run("aws", code=0)
    theirs = FleetMemory(owner=Owner("git.example.com/others/fleet", ".", "1" * 12))
    document = RegisterDocument(memory=orjson.loads(encode_memory(theirs)))
    register(sandbox, "others").initialise(SEATS, document)
    (folder / "federation.yaml").write_text("kind: [")
    run("gcp", code=1)
    assert titles(hook) == [FAILS]
    assert remembered_in(register(sandbox, "others").latest(), "").memory == theirs
