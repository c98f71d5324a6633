"""What a run asked of others than its members is asked again in each round of a process that
watches: the host's list of clusters, and Prometheus."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kubesim.fleet import Sandbox
from kubesim.server import ClusterSettings
from tests.controlplane.process import eventually
from tests.scenarios.cluster_profiles import FLEET, definition, profile
from tests.unit.cli.test_every import SETTINGS, Service
from tests.unit.cli.test_watching import colour, settle
from tests.unit.git.repositories import commit, git
from tests.unit.report.listener import Listener, listening

LISTED = """
apiVersion: federation.reconciler.dev/v1alpha1
kind: Federation
metadata: {name: shop}
spec:
  inventory: {clusterProfiles: {namespace: fleet}}
  defaults: {placement: {clusterSelector: {}}}
"""
WAVES = """
apiVersion: federation.reconciler.dev/v1alpha1
kind: Federation
metadata: {name: shop}
spec:
  defaults: {placement: {clusterSelector: {}}}
  rollout:
    waves:
      - name: canary
        clusters: [aws]
        gates: [{name: errors, prometheus: {url: "%s", query: errors}, atMost: 0.5}]
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: aws}
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: gcp}
"""


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    settings = ClusterSettings(bookmark_every=1, established_after=0)
    with Sandbox(["aws", "gcp", "host"], settings=settings) as sandbox:
        for namespace in (FLEET, "federation-system"):
            sandbox.cluster("host").apply(
                {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
            )
        yield sandbox


@pytest.fixture
def serve(
    environment: dict[str, str], tmp_path: Path, sandbox: Sandbox
) -> Iterator[Callable[..., Service]]:
    started: list[Service] = []

    def start(*arguments: object, **variables: str) -> Service:
        service = Service(
            environment | variables,
            *("--listen", "127.0.0.1:0", "--every", "300ms", "--host-context", "host"),
            *("--repo", tmp_path / "repository", "--kubeconfig", sandbox.kubeconfig),
            *arguments,
        )
        started.append(service)
        return service

    yield start
    for service in started:
        service.process.kill()
        service.process.wait()


def test_a_cluster_that_is_listed_or_unlisted_is_seen_in_the_next_round(
    serve: Callable[..., Service], sandbox: Sandbox, tmp_path: Path
) -> None:
    host = sandbox.cluster("host")
    host.apply(definition("ClusterProfile"))
    host.apply(profile("aws"))
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "federation.yaml").write_text(LISTED)
    (folder / "settings.yaml").write_text(SETTINGS % "green")
    service = serve()
    eventually(lambda: colour(sandbox) == "green", "it is there")
    settle(service)
    host.apply(profile("gcp"))
    eventually(lambda: colour(sandbox, "gcp") == "green", "it is told of", timeout=30)
    settle(service)
    runs = service.runs("ok")
    host.delete("ClusterProfile.multicluster.x-k8s.io", "gcp", namespace=FLEET)
    eventually(lambda: service.runs("ok") > runs, "it is told of")
    settle(service)
    (folder / "settings.yaml").write_text(SETTINGS % "white")
    eventually(lambda: colour(sandbox) == "white", "it follows Git")
    assert colour(sandbox, "gcp") == "green"


def prometheus_says(listener: Listener, value: str) -> None:
    result = [{"metric": {}, "value": [1.5, value]}]
    data = {"resultType": "vector", "result": result}
    body = json.dumps({"status": "success", "data": data}).encode()
    head = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body)
    listener.answers[:] = [head + body]


def test_a_gate_that_comes_to_hold_lets_the_rollout_go_on(
    serve: Callable[..., Service], sandbox: Sandbox, tmp_path: Path
) -> None:
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    with listening() as prometheus:
        prometheus_says(prometheus, "0.9")
        files = {"federation.yaml": WAVES % prometheus.url, "settings.yaml": SETTINGS % "green"}
        commit(folder, files)
        service = serve()
        eventually(lambda: colour(sandbox, "gcp") == "green", "the first commit is everywhere")
        settle(service)
        commit(folder, {"settings.yaml": SETTINGS % "white"})
        eventually(lambda: colour(sandbox) == "white", "the first wave has it")
        settle(service)
        # Another value that does not hold is no reason for a run.
        runs = service.runs("ok")
        prometheus_says(prometheus, "0.8")
        asked = len(prometheus.requests)
        eventually(lambda: len(prometheus.requests) > asked + 2, "it is asked in each round")
        assert service.runs("ok") == runs
        assert colour(sandbox, "gcp") == "green"
        prometheus_says(prometheus, "0.1")
        eventually(lambda: colour(sandbox, "gcp") == "white", "the second wave has it")


def test_a_message_that_could_not_be_delivered_is_sent_again_in_the_next_round(
    serve: Callable[..., Service], sandbox: Sandbox, tmp_path: Path
) -> None:
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    rules = WAVES.partition("        gates:")
    told = "  notifications: [{type: Webhook, urlFrom: {env: HOOK_URL}}]"
    rest = rules[2].partition("\n")[2]
    with listening() as receiver:
        files = {
            "federation.yaml": f"{rules[0]}{told}\n{rest}",
            "settings.yaml": SETTINGS % "green",
        }
        commit(folder, files)
        service = serve("--allow-access", "plain-http", HOOK_URL=receiver.url)
        settle(service)
        receiver.answers[:] = [(503, {})]
        commit(folder, {"settings.yaml": SETTINGS % "white"})
        eventually(lambda: colour(sandbox, "gcp") == "white", "it is everywhere")
        tried = len(receiver.requests)
        # More often than runs look whether all that the commit asked for is done.
        eventually(lambda: len(receiver.requests) > tried + 15, "it is tried again", timeout=40)
        receiver.answers[:] = [(200, {})]
        settle(service)
