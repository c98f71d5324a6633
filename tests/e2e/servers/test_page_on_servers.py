"""The page of the fleet over two real clusters: what people and outages do to them is shown, and
what a Secret holds is not."""

from __future__ import annotations

import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3

from tests.command import start_command, user_environment
from tests.controlplane.cluster import Cluster
from tests.controlplane.fixtures import Fleet, Kubectl
from tests.controlplane.plane import ControlPlane
from tests.controlplane.process import eventually

VALUE = "aHVzaC1odXNo"
OTHER_VALUE = "b3RoZXItaHVzaA=="
FEDERATION = """
apiVersion: federation.reconciler.dev/v1alpha1
kind: Federation
metadata: {name: shop}
spec:
  defaults: {placement: {clusterSelector: {}}}
  failover:
    enabled: true
    probe: {timeout: 2s, attempts: 1}
    unhealthyAfter: 3s
    healthyAfter: 3s
    maxUnhealthy: 1
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: aws-eu}
spec: {provider: aws, region: eu-central-1}
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: gcp-eu}
spec: {provider: gcp, region: europe-west1}
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {name: web}
spec:
  select: [{kind: Deployment, namespace: default, name: web}]
  replicas: {mode: Divided, total: 4}
---
apiVersion: v1
kind: Secret
metadata: {name: key, namespace: default}
data: {key: %s}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: default}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: example/web:1}]}
"""


class Watched:
    """The running process, and its page."""

    def __init__(self, folder: Path, kubeconfig: Path) -> None:
        self.repository = folder / "repository"
        self.repository.mkdir()
        self.write(VALUE)
        self.process = start_command(
            *("--every", "500ms", "--page", "0", "--repo", self.repository, "--yes"),
            *("--kubeconfig", kubeconfig, "--state", folder / "memory.json"),
            env=user_environment(folder, PYTHONUNBUFFERED="1"),
            stderr=subprocess.STDOUT,
        )
        assert self.process.stdout
        line = self.process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+/", line)
        assert found, line
        self.address, self.said = found[0], line
        threading.Thread(target=self._read, daemon=True).start()

    def write(self, value: str) -> None:
        (self.repository / "shop.yaml").write_text(FEDERATION % value)

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.said += line

    def text(self, path: str = "") -> str:
        answer = urllib3.request("GET", self.address + path, retries=False, timeout=20)
        assert answer.status == 200, answer.data
        return answer.data.decode()

    def shows(self, text: str, path: str = "") -> None:
        try:
            eventually(lambda: text in self.text(path), f"the page shows {text!r}", 60)
        except AssertionError as error:
            error.add_note(self.said[-3000:])
            raise


@pytest.fixture
def clusters(fleet: Fleet) -> tuple[Cluster, Cluster]:
    first, second = fleet(2)
    return first, second


@pytest.fixture
def watched(
    clusters: tuple[Cluster, Cluster], control_plane: ControlPlane, tmp_path: Path
) -> Iterator[Watched]:
    names = dict(zip(("aws-eu", "gcp-eu"), clusters, strict=True))
    one = Watched(tmp_path, control_plane.kubeconfig(names))
    yield one
    one.process.kill()
    one.process.communicate()


def test_people_and_outages_are_shown_and_secrets_are_not(
    watched: Watched, clusters: tuple[Cluster, Cluster], kubectl: Kubectl
) -> None:
    aws, gcp = clusters
    watched.shows("4 created")
    watched.shows("0 of 4 ready")
    kubectl(aws, "set", "image", "deployment/web", "web=example/web:2", "-n", "default")
    watched.shows("1 updated")
    watched.write(OTHER_VALUE)
    watched.shows("2 updated")
    page = watched.text("clusters/aws-eu")
    assert "kubectl --context aws-eu --namespace default describe deployment.apps web" in page
    gcp.stop()
    watched.shows("gcp-eu is down")
    watched.shows("<b>Cluster down</b>")
    gcp.start()
    watched.shows("<b>Cluster back</b>")
    runs = re.findall(r'href="(runs/[^"#]+)"', watched.text())
    reports = [watched.text(run) for run in dict.fromkeys(runs)]
    assert any("example/web:2" in report for report in reports), "drift is in its report"
    pages = [watched.text(), watched.text("clusters/aws-eu"), *reports]
    for hidden in (VALUE, OTHER_VALUE, "hush-hush", "other-hush"):
        assert not any(hidden in page for page in pages)
    watched.process.send_signal(signal.SIGTERM)
    assert watched.process.wait(30) in (0, 143)
