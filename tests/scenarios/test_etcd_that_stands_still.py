"""An API server whose etcd stands still: no wait is longer than its limit, nothing is "empty".

The server goes on answering what it knows by itself, ``/readyz`` with 200 for some seconds too, and
never answers a read or a write of etcd's contents.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from urllib3.exceptions import ProtocolError

from tests.command import run_command
from tests.controlplane.fixtures import programs
from tests.controlplane.plane import ControlPlane
from tests.scenarios.manifests import SHOP

pytestmark = pytest.mark.integration
SLACK = 45.0
"""Seconds for two starts of Python on a busy machine, and for what ends by its own limit."""
FLEET = """
apiVersion: federation.reconciler.dev/v1alpha1
kind: Federation
metadata: {name: shop}
spec: {defaults: {placement: {clusterSelector: {}}}}
"""
CLUSTER = """---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: %s}
spec: {provider: %s, region: eu-central-1}
"""


@pytest.fixture
def own_plane(tmp_path: Path, control_plane: ControlPlane) -> Iterator[ControlPlane]:
    """A fleet beside the shared one, because its etcd is stopped."""
    (tmp_path / "plane").mkdir()
    with ControlPlane(programs(), tmp_path / "plane") as plane:
        yield plane


def run(tmp_path: Path, config: Path, *arguments: str) -> tuple[int, str, float]:
    """Its exit code, what it told, and how long it took in seconds."""
    repository = tmp_path / "repository"
    where = ("--repo", repository, "--kubeconfig", config, "--state", tmp_path / "state.json")
    began = time.monotonic()
    done = run_command(*arguments, *where, timeout=300)
    return done.returncode, done.stdout + done.stderr, time.monotonic() - began


COMMANDS = {
    "plan": ("--plan", "--deadline=20s"),
    "run": ("--yes", "--deadline=20s"),
    "status": ("status",),
    "clusters": ("clusters",),
}


def test_every_command_ends_in_time_and_takes_nothing_for_gone(
    tmp_path: Path, control_plane: ControlPlane, own_plane: ControlPlane
) -> None:
    (still,), (well,) = own_plane.clusters(1), control_plane.clusters(1)
    well.clean()
    (tmp_path / "repository").mkdir()
    config = own_plane.kubeconfig({"aws": still, "gcp": well})
    fleet = FLEET + CLUSTER % ("aws", "aws") + CLUSTER % ("gcp", "gcp")
    source = tmp_path / "repository" / "all.yaml"
    source.write_text(f"{fleet}---\n{SHOP}")
    code, said, _ = run(tmp_path, config, "--yes")
    assert code == 0, said
    before = still.etcd.revisions(still._prefix)
    source.write_text(f"{fleet}---\n{SHOP.replace('8080', '9090')}")
    for name, arguments in COMMANDS.items():
        still.etcd.pause()
        try:
            code, said, seconds = run(tmp_path, config, *arguments)
        finally:
            still.etcd.resume()
        print(f"{name}: {code} after {seconds:.1f} s\n{said}")
        assert code == 1, said
        assert seconds < 20 + SLACK, said
        assert "aws" in said
        assert "Traceback" not in said
        assert "would be deleted" not in said
    path = "/api/v1/namespaces/shop/services/web"
    assert still.call("GET", path)["spec"]["ports"][0]["targetPort"] == 8080
    assert well.call("GET", path)["spec"]["ports"][0]["targetPort"] == 9090
    kept = still.etcd.revisions(still._prefix)
    assert {key for key in before if "/shop/" in key} <= set(kept)
    code, said, _ = run(tmp_path, config, "--yes")
    assert code == 0, said
    assert still.call("GET", path)["spec"]["ports"][0]["targetPort"] == 9090


WRITES = {
    "POST": ("", "application/json", {"metadata": {"name": "new"}}),
    "PUT": ("/settings", "application/json", {"metadata": {"name": "settings"}, "data": {}}),
    "PATCH": ("/settings", "application/apply-patch+yaml", {"metadata": {"name": "settings"}}),
    "DELETE": ("/settings", "application/json", None),
}


GIVEN_UP = 504


def test_the_server_gives_up_a_write_of_any_verb_when_it_was_told_to(
    own_plane: ControlPlane,
) -> None:
    """Its usual limits are 34 and 60 s. What etcd already has may still be carried out later."""
    (still,) = own_plane.clusters(1)
    path = "/api/v1/namespaces/default/configmaps"
    kind = {"apiVersion": "v1", "kind": "ConfigMap"}
    still.call("POST", path, kind | {"metadata": {"name": "settings"}, "data": {"a": "b"}})
    query = {"timeout": "3s", "fieldManager": "somebody", "force": "true"}
    found = {}
    still.etcd.pause()
    try:
        for method, (name, content_type, body) in WRITES.items():
            began = time.monotonic()
            try:
                status = still.request(
                    *(method, path + name, None if body is None else kind | body),
                    content_type=content_type,
                    query=query,
                ).status
            except ProtocolError:
                # It gave up in two places at once, and hung up.
                status = GIVEN_UP
            found[method] = (status, time.monotonic() - began)
    finally:
        still.etcd.resume()
    print(found)
    assert {status for status, _ in found.values()} == {GIVEN_UP}
    assert all(seconds < 15 for _, seconds in found.values()), found
