"""From the webhook of a push to its object in the cluster, by a process that stays."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import urllib3

from bench.commands import Commands
from bench.repositories import NAMESPACE, paint, write_repository
from bench.rows import Row
from bench.sizes import Sizes
from bench.timing import CommandFailed, Figure
from bench.watching import staying
from tests.controlplane.cluster import Cluster
from tests.controlplane.plane import ControlPlane
from tests.unit.git.servers import http_server

EVERY = "10m"
SECRET = "a-made-up-secret-of-the-benchmark"
WAIT_SECONDS = 120.0
LOOK_SECONDS = 0.01
"""How often the cluster is asked for the object; the figures are that much too high at most."""
BETWEEN_SECONDS = 1.2
"""From the end of a run to the next push, which is longer than the pause that follows a run."""


def pushes_to_objects(plane: ControlPlane, commands: Commands, sizes: Sizes) -> list[Row]:
    """One ConfigMap changes with each push; the repository is read over HTTP from this machine."""
    rows = []
    for count in (1, sizes.clusters):
        names = [f"pushed-{number}" for number in range(1, count + 1)]
        clusters = plane.clusters(count)
        for cluster in clusters:
            cluster.clean()
        kubeconfig = plane.kubeconfig(dict(zip(names, clusters, strict=True)))
        repository = write_repository(commands.folder / f"of-{count}", sizes.objects, names)
        with (
            http_server(commands.folder) as server,
            _staying(commands, server.url(f"{repository.name}/.git"), kubeconfig) as port,
        ):
            found = []
            for number in range(1, sizes.pushes + 1):
                _wait_for_runs(port, number)
                found.append(_pushed(port, repository, clusters[-1], f"colour-{number}"))
        work = f"webhook to object, --every {EVERY}, {count} × {sizes.objects:,} objects"
        rows.append(Row(work, Figure.of(found), at_most=1, judged=sizes.judged))
    return rows


@contextmanager
def _staying(commands: Commands, url: str, kubeconfig: Path) -> Iterator[int]:
    """The port at which a process listens that takes webhooks."""
    secret = commands.folder / "webhook-secret"
    secret.write_text(f"{SECRET}\n")
    arguments = ("--every", EVERY, "--webhook-secret", str(secret))
    with staying(commands, url, kubeconfig, *arguments) as process:
        yield process.port


def _pushed(port: int, repository: Path, cluster: Cluster, colour: str) -> float:
    """Seconds from sending the webhook to the object; the push itself is done before."""
    paint(repository, colour)
    body = json.dumps({"ref": "refs/heads/main"}).encode()
    signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    began = time.perf_counter()
    answer = urllib3.request(
        "POST",
        f"http://127.0.0.1:{port}/webhook",
        body=body,
        headers={"X-Hub-Signature-256": f"sha256={signature}"},
    )
    if answer.status != 202:
        raise CommandFailed(f"the webhook was answered with {answer.status}")
    _wait_for(cluster, colour)
    return time.perf_counter() - began


def _wait_for_runs(port: int, number: int) -> None:
    """Until so many runs have ended, and the pause after the last one."""
    ends = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < ends:
        text = urllib3.request("GET", f"http://127.0.0.1:{port}/metrics").data.decode()
        if sum(map(int, re.findall(r"loop_runs_total\{\S+ (\d+)", text))) >= number:
            time.sleep(BETWEEN_SECONDS)
            return
        time.sleep(LOOK_SECONDS)
    raise CommandFailed(f"{number} runs have not ended after {WAIT_SECONDS:.0f} s")


def _wait_for(cluster: Cluster, colour: str) -> None:
    path = f"/api/v1/namespaces/{NAMESPACE}/configmaps?fieldSelector=metadata.name%3Dweb-0"
    ends = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < ends:
        if colour in [one["data"]["colour"] for one in cluster.call("GET", path)["items"]]:
            return
        time.sleep(LOOK_SECONDS)
    raise CommandFailed(f"{WAIT_SECONDS:.0f} s after the webhook the object is not {colour}")
