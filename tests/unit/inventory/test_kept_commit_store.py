"""The kept commit in Secrets of the host cluster: the old one or the new one, whatever happens."""

from __future__ import annotations

import base64
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from kubesim.fleet import Sandbox
from reconciler.api.errors import LeaseLost, ReconcileError
from reconciler.api.objects import Object, ObjectKey
from reconciler.cluster.connect import Connector
from reconciler.git.kept_commit import PIECE_BYTES, KeptCommit, KeptFile, pack
from reconciler.state.kept_commit_store import SECRETS, KeptCommits
from tests.controlplane.fixtures import Fleet
from tests.controlplane.plane import ControlPlane
from tests.unit.inventory.test_memory_store import host_of

NAMESPACE = "federation-system"
INDEX = "federation-commit-123"


def of(letter: str) -> KeptCommit:
    """Of two pieces."""
    noise = random.Random(letter).randbytes(PIECE_BYTES)
    return KeptCommit(letter * 40, (KeptFile("a.yaml", noise),))


@pytest.fixture
def sandbox_kubeconfig() -> Iterator[Path]:
    with Sandbox(["host"]) as sandbox:
        yield sandbox.kubeconfig


@pytest.fixture
def real_kubeconfig(fleet: Fleet, control_plane: ControlPlane) -> Path:
    return control_plane.kubeconfig({"host": fleet(1)[0]})


@pytest.fixture(params=["sandbox", pytest.param("real", marks=pytest.mark.integration)])
def connector(request: pytest.FixtureRequest) -> Connector:
    kubeconfig: Path = request.getfixturevalue(f"{request.param}_kubeconfig")
    host_of(kubeconfig)
    return Connector.from_file(str(kubeconfig), NAMESPACE, host_context="host")


def opened(connector: Connector, writes: int | None = None) -> KeptCommits:
    """As another process has it; one that may write so often, where that is said."""
    left = [writes]

    def fence() -> None:
        if left[0] is not None:
            left[0] -= 1
            if left[0] < 0:
                raise LeaseLost("the process was killed")

    return KeptCommits(replace(connector, fence=fence).host(), NAMESPACE, "123")


def names(place: KeptCommits) -> set[str]:
    found = place.host.list_objects(SECRETS, namespace=NAMESPACE)
    return {one["metadata"]["name"] for one in found}


def get(place: KeptCommits, name: str) -> Object:
    found = place.host.get(SECRETS, ObjectKey("", "Secret", NAMESPACE, name))
    assert found
    return found


def test_what_was_kept_is_read_and_the_one_before_is_gone(connector: Connector) -> None:
    place = opened(connector)
    assert place.read() is None
    for letter in "ab":
        place.write(pack(of(letter)))
        assert opened(connector).read() == of(letter)
        assert len(names(place)) == 3
    place.clear()
    assert place.read() is None
    assert names(place) == {INDEX}


def test_a_run_that_is_killed_at_any_write_leaves_the_old_or_the_new_one(
    connector: Connector,
) -> None:
    new, writes = False, 0
    opened(connector).write(pack(of("a")))
    while True:
        try:
            opened(connector, writes).write(pack(of("b")))
        except LeaseLost:
            pass
        else:
            break
        found = opened(connector).read()
        assert found in ([of("b")] if new else [of("a"), of("b")])
        new = new or found == of("b")
        writes += 1
    assert writes > 5
    assert opened(connector).read() == of("b")
    # Nothing that was begun is left behind.
    opened(connector).write(pack(of("c")))
    assert len(names(opened(connector))) == 3


def test_secrets_of_others_are_neither_changed_nor_deleted(connector: Connector) -> None:
    place = opened(connector)
    packed = pack(of("a"))
    stem = f"{INDEX}-{packed.commit[:12]}-{packed.sha256[:8]}"
    foreign = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": {"name": f"{stem}-1", "namespace": NAMESPACE},
        "data": {"password": base64.b64encode(b"theirs").decode()},
    }
    made = place.host.create(SECRETS, foreign, namespace=NAMESPACE)
    with pytest.raises(ReconcileError):
        place.write(packed)
    place.write(pack(of("b")))
    assert place.read() == of("b")
    now = get(place, f"{stem}-1")
    assert now["metadata"]["uid"] == made["metadata"]["uid"]
    assert now["data"] == foreign["data"]


def test_a_foreign_index_is_left_alone(connector: Connector) -> None:
    place = opened(connector)
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": INDEX, "namespace": NAMESPACE},
    }
    place.host.create(SECRETS, body, namespace=NAMESPACE)
    for work in (place.read, place.clear, lambda: place.write(pack(of("a")))):
        with pytest.raises(ReconcileError, match="is not of reconcile, and stays as it is"):
            work()
    assert names(place) == {INDEX}


def test_pieces_never_change_once_they_are_made(connector: Connector) -> None:
    place = opened(connector)
    place.write(pack(of("a")))
    pieces = [get(place, name) for name in names(place) if name != INDEX]
    assert len(pieces) == 2
    assert all(piece["immutable"] for piece in pieces)
    before = {p["metadata"]["name"]: p["metadata"]["resourceVersion"] for p in pieces}
    # The same once more makes nothing anew.
    place.write(pack(of("a")))
    after = {name: get(place, name)["metadata"]["resourceVersion"] for name in before}
    assert after == before
