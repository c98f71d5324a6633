"""A run whose API server stops answering in mid-apply, as its store has stopped: it ends, tells of
each object what is known, and the next one finds all as it must be."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.command import start_command, user_environment
from tests.controlplane.cluster import Cluster
from tests.controlplane.fixtures import Fleet
from tests.controlplane.plane import ControlPlane
from tests.controlplane.process import eventually

OBJECTS = 400
DEADLINE, GRACE = 25, 10
FEDERATION = """
apiVersion: federation.reconciler.dev/v1alpha1
kind: Federation
metadata: {name: shop}
spec: {defaults: {placement: {clusterSelector: {}}}}
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: aws}
"""
SETTINGS = """---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings-%03d, namespace: default}
data: {colour: %s}
"""
MAPS = "/api/v1/namespaces/default/configmaps"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/federation-system/leases"


class Place:
    def __init__(self, aws: Cluster, control_plane: ControlPlane, folder: Path) -> None:
        self.aws, self.home = aws, folder
        self.kubeconfig = control_plane.kubeconfig({"aws": aws})
        self.repository = folder / "repository"
        self.repository.mkdir()
        namespace = {"apiVersion": "v1", "kind": "Namespace"}
        aws.call("POST", "/api/v1/namespaces", {**namespace, "metadata": {"name": SYSTEM}})

    def write(self, colour: str, more: str = "") -> None:
        settings = "".join(SETTINGS % (number, colour) for number in range(OBJECTS))
        (self.repository / "all.yaml").write_text(FEDERATION + settings + more)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        where = ("--repo", str(self.repository), "--kubeconfig", str(self.kubeconfig))
        return start_command("--yes", *arguments, *where, env=user_environment(self.home))

    def colours(self) -> list[str]:
        items = self.aws.call("GET", MAPS)["items"]
        return [i["data"]["colour"] for i in items if i["metadata"]["name"].startswith("settings-")]


SYSTEM = "federation-system"


@pytest.fixture
def place(fleet: Fleet, control_plane: ControlPlane, tmp_path: Path) -> Iterator[Place]:
    (aws,) = fleet(1)
    yield Place(aws, control_plane, tmp_path)
    aws.etcd.resume()
    aws.wait_ready()


@pytest.mark.parametrize("end", ["deadline", "SIGTERM"])
def test_a_store_that_stops_in_mid_apply_holds_up_neither_the_end_nor_the_words(
    place: Place, end: str
) -> None:
    place.write("green")
    limit = f"--deadline={DEADLINE}s" if end == "deadline" else f"--grace={GRACE}s"
    process = place.start(limit, "--host-context=aws", "--lease-duration=120s")
    began = time.monotonic()
    eventually(lambda: len(place.colours()) > 0, "the first objects are written")
    place.aws.etcd.pause()
    time.sleep(1)
    most = DEADLINE + 20
    if end == "SIGTERM":
        began, most = time.monotonic(), GRACE + 2
        process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=120)
    seconds = time.monotonic() - began
    place.aws.etcd.resume()
    place.aws.wait_ready()
    assert (process.returncode, seconds < most) == (1 if end == "deadline" else 143, True), (
        seconds,
        out[-2000:],
        err,
    )
    assert "whether it was carried out is not known" in out, out[-2000:]
    written = len(place.colours())
    assert 0 < written < OBJECTS
    assert "Traceback" not in err
    place.aws.request("DELETE", f"{LEASES}/federation-shop")
    again = place.start("--host-context=aws")
    out, err = again.communicate(timeout=200)
    assert again.returncode == 0, out[-2000:] + err
    assert place.colours() == ["green"] * OBJECTS


def test_a_lock_whose_holder_looks_dead_is_left_to_it_when_the_deadline_comes(
    place: Place,
) -> None:
    place.write("green")
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    spec = {"holderIdentity": "other", "leaseDurationSeconds": 90}
    spec |= {"acquireTime": now, "renewTime": now, "leaseTransitions": 1}
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "spec": spec}
    place.aws.call("POST", LEASES, {**lease, "metadata": {"name": "federation-shop"}})
    process = place.start("--deadline=10s", "--lock-timeout=5m", "--host-context=aws")
    out, err = process.communicate(timeout=100)
    assert process.returncode == 1, out + err
    assert "other" in err
    assert "may be dead; the time of this run is over" in err
    held = place.aws.call("GET", f"{LEASES}/federation-shop")["spec"]
    assert held["holderIdentity"] == "other"
    assert held["renewTime"] == now
    assert place.colours() == []
