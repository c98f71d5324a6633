"""Two processes and one lock: a run that sleeps past its Lease wakes up and writes nothing."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from kubesim.fleet import Sandbox
from tests.command import start_command, user_environment
from tests.controlplane.fixtures import Fleet
from tests.controlplane.plane import ControlPlane
from tests.controlplane.process import eventually
from tests.unit.apply.conftest import NAMESPACE
from tests.unit.apply.forwarder import forwarder

OBJECTS = 120
FEDERATION = """
apiVersion: federation.reconciler.dev/v1alpha1
kind: Federation
metadata: {name: shop}
spec: {defaults: {placement: {clusterSelector: {}}}}
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: host}
"""
SETTINGS = """---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings-%d, namespace: default}
data: {colour: %s}
"""
LEASE = "/apis/coordination.k8s.io/v1/namespaces/federation-system/leases/federation-shop"


@dataclass
class Server:
    """The one cluster, host and member at once, as a test sees it."""

    kubeconfig: Path
    get: Callable[[str], Any]
    writes: Callable[[], AbstractContextManager[list[str]]]

    @property
    def port(self) -> int:
        config = yaml.safe_load(self.kubeconfig.read_text())
        return urlsplit(config["clusters"][0]["cluster"]["server"]).port or 0

    def colours(self) -> list[str]:
        items = self.get("/api/v1/namespaces/default/configmaps")["items"]
        return [i["data"]["colour"] for i in items if i["metadata"]["name"].startswith("settings-")]

    def holder(self) -> str:
        return str(self.get(LEASE)["spec"].get("holderIdentity", ""))

    def renewed(self) -> str:
        return str(self.get(LEASE)["spec"]["renewTime"])


@pytest.fixture
def simulated_server(sandbox: Sandbox) -> Server:
    host = sandbox.cluster("host")

    @contextmanager
    def writes() -> Iterator[list[str]]:
        found: list[str] = []
        before = len(host.requests)
        yield found
        new = list(host.requests)[before:]
        found += [f"{r.method} {r.path}" for r in new if r.method != "GET"]

    return Server(sandbox.kubeconfig, lambda path: host.request("GET", path)[1], writes)


@pytest.fixture
def real_server(fleet: Fleet, control_plane: ControlPlane) -> Server:
    (cluster,) = fleet(1)
    cluster.call("POST", "/api/v1/namespaces", NAMESPACE)

    @contextmanager
    def writes() -> Iterator[list[str]]:
        found: list[str] = []
        with cluster.recorded() as requests:
            yield found
        found += [f"{r.verb} {r.path}" for r in requests if r.writes]

    file = control_plane.kubeconfig({"host": cluster})
    return Server(file, lambda path: cluster.call("GET", path), writes)


@pytest.fixture(params=["simulated", pytest.param("real", marks=pytest.mark.integration)])
def server(request: pytest.FixtureRequest) -> Server:
    found: Server = request.getfixturevalue(f"{request.param}_server")
    return found


def repository(folder: Path, colour: str) -> Path:
    folder.mkdir(exist_ok=True)
    settings = "".join(SETTINGS % (number, colour) for number in range(OBJECTS))
    (folder / "all.yaml").write_text(FEDERATION + settings)
    return folder


def behind(relay_port: int, kubeconfig: Path, path: Path) -> Path:
    """As ``kubeconfig``, with ``host`` reached through the relay and ``direct`` without it."""
    config = yaml.safe_load(kubeconfig.read_text())
    direct = {**config["clusters"][0], "name": "direct"}
    user = config["contexts"][0]["context"]["user"]
    relayed = dict(config["clusters"][0]["cluster"])
    relayed["server"] = f"{urlsplit(relayed['server']).scheme}://127.0.0.1:{relay_port}"
    config["clusters"] = [{"name": "host", "cluster": relayed}, direct]
    config["contexts"].append({"name": "direct", "context": {"cluster": "direct", "user": user}})
    path.write_text(yaml.safe_dump(config))
    return path


def start(home: Path, *arguments: object) -> subprocess.Popen[str]:
    return start_command("--yes", *arguments, env=user_environment(home))


def test_a_run_paused_past_its_lease_writes_nothing_when_it_wakes_up(
    server: Server, tmp_path: Path
) -> None:
    folder = repository(tmp_path / "repository", "first")
    with forwarder(server.port, delay=0.1) as relay:
        kubeconfig = behind(relay.port, server.kubeconfig, tmp_path / "config")
        common = ("--kubeconfig", kubeconfig, "--host-context", "direct", "--lease-duration", "4s")
        first = start(tmp_path, "--repo", folder, *common)
        eventually(lambda: "first" in server.colours(), "the first run writes")
        # Every thread of the first run waits for an answer: what it sent has been carried out.
        relay.hold_answers()
        holder = server.holder()
        first.send_signal(signal.SIGSTOP)
        try:
            direct = ("--kubeconfig", server.kubeconfig, "--host-context", "host")
            repository(folder, "second")
            second = start(tmp_path, "--repo", folder, *direct)
            out, err = second.communicate(timeout=120)
            assert second.returncode == 0, out + err
            assert f"The lock is held by {holder}" in err
            assert server.colours() == ["second"] * OBJECTS
            with server.writes() as writes:
                relay.let_go()
                first.send_signal(signal.SIGCONT)
                out, err = first.communicate(timeout=60)
        finally:
            first.kill()
    assert first.returncode == 1, out + err
    assert "the lock was last renewed" in out
    assert "not reached" in out or "skipped" in out
    assert writes == []
    assert server.colours() == ["second"] * OBJECTS
    assert server.holder() == ""


def test_two_runs_at_once_do_not_both_write(server: Server, tmp_path: Path) -> None:
    """The Lease is long enough for answers that are held while two processes start on a machine
    that has other things to do: a write may last for 28 seconds under it. It is renewed every 8."""
    folder = repository(tmp_path / "first", "first")
    with forwarder(server.port, delay=0.05) as relay:
        kubeconfig = behind(relay.port, server.kubeconfig, tmp_path / "config")
        common = ("--repo", folder, "--kubeconfig", kubeconfig, "--host-context", "direct")
        first = start(tmp_path, *common, "--lease-duration", "64s")
        eventually(lambda: "first" in server.colours(), "the first run writes")
        relay.hold_answers()
        renewed = server.renewed()
        second = start(tmp_path, *common)
        _, err = second.communicate(timeout=60)
        assert second.returncode == 1
        assert f"another run holds the lock: {server.holder()} since 20" in err
        third = start(tmp_path, *common, "--lock-timeout", "2m")
        assert third.stderr is not None
        assert "The lock is held by" in third.stderr.readline()
        eventually(lambda: server.renewed() > renewed, "the first run renews the lock", 20)
        relay.let_go()
        out, err = first.communicate(timeout=60)
        assert first.returncode == 0, out + err
        out, err = third.communicate(timeout=60)
        assert third.returncode == 0, out + err
    assert "No changes" in out or "nothing" in out.lower()
    assert server.holder() == ""
