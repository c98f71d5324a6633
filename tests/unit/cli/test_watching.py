"""`reconcile --every` with watches: what wakes it, and that it does nothing where nothing is."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kubesim.fleet import Sandbox
from kubesim.server import ClusterSettings
from reconciler.cli.watching import BURST, Pace
from tests.controlplane.process import eventually
from tests.scenarios.test_announced_pushes import SECRET, announce
from tests.unit.cli.test_every import FEDERATION, SETTINGS, Service

COLOUR = "green"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "federation.yaml").write_text(FEDERATION)
    (folder / "settings.yaml").write_text(SETTINGS % COLOUR)
    return folder


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(["aws", "gcp", "west"], settings=ClusterSettings(bookmark_every=1)) as sandbox:
        yield sandbox


@pytest.fixture
def serve(
    environment: dict[str, str], folder: Path, sandbox: Sandbox
) -> Iterator[Callable[..., Service]]:
    started: list[Service] = []

    def start(*arguments: object) -> Service:
        common = ("--repo", folder, "--kubeconfig", sandbox.kubeconfig)
        service = Service(environment, "--listen", "127.0.0.1:0", *common, *arguments)
        started.append(service)
        return service

    yield start
    for service in started:
        service.process.kill()
        service.process.wait()


def colour(sandbox: Sandbox, cluster: str = "aws") -> str:
    found = sandbox.cluster(cluster).find("ConfigMap", "settings", "default")
    return found["data"]["colour"] if found else ""


def quiet(service: Service) -> int:
    name = "\nfederation_reconciler_loop_quiet_rounds_total "
    return int(service.get("/metrics")[1].partition(name)[2].partition("\n")[0])


def settle(service: Service) -> None:
    """Until rounds make no run."""

    def is_quiet() -> bool:
        runs, rounds = service.runs("ok"), quiet(service)
        eventually(lambda: quiet(service) > rounds or service.runs("ok") > runs, "a round")
        return service.runs("ok") == runs

    eventually(is_quiet, "it is settled", timeout=60)


def test_a_quiet_round_makes_no_run_and_lists_nothing(
    serve: Callable[..., Service], sandbox: Sandbox
) -> None:
    service = serve("--every", "300ms")
    settle(service)
    asked, rounds, runs = len(sandbox.cluster("aws").requests), quiet(service), service.runs("ok")
    eventually(lambda: quiet(service) >= rounds + 5, "five rounds more")
    assert list(sandbox.cluster("aws").requests)[asked:] == []
    assert service.runs("ok") == runs
    assert service.end() == 0


def test_a_change_behind_its_back_is_repaired_long_before_the_next_round(
    serve: Callable[..., Service], sandbox: Sandbox
) -> None:
    service = serve("--every", "1h")
    eventually(lambda: colour(sandbox) == COLOUR, "it is created")
    eventually(lambda: service.runs("ok") >= 2, "it is settled")
    for other in ("red", "blue"):
        changed = {"data": {"colour": other}}
        sandbox.cluster("aws").edit("ConfigMap", "settings", changed, namespace="default")
        eventually(lambda: colour(sandbox) == COLOUR, "it is repaired")
    sandbox.cluster("aws").delete("ConfigMap", "settings", namespace="default")
    eventually(lambda: colour(sandbox) == COLOUR, "it is made again")


def test_what_somebody_fights_over_is_put_back_later_and_later_and_named(
    serve: Callable[..., Service], sandbox: Sandbox
) -> None:
    service = serve("--every", "1h")
    eventually(lambda: service.runs("ok") >= 2, "it is settled")
    cluster, edits, ends = sandbox.cluster("aws"), 0, time.monotonic() + 10
    while time.monotonic() < ends:
        if colour(sandbox) == COLOUR:
            edits += 1
            red = {"data": {"colour": f"red-{edits}"}}
            cluster.edit("ConfigMap", "settings", red, namespace="default", manager="flux")
        time.sleep(0.02)
    assert 4 <= edits <= 7, "three at once, then after 2, 4, 8 s"
    assert "flux again and again: put back" in service.text
    assert "federation_reconciler_fights 1" in service.get("/metrics")[1]
    assert service.runs("failed") == 0


def test_its_own_writes_do_not_keep_it_at_work(
    serve: Callable[..., Service], sandbox: Sandbox
) -> None:
    service = serve("--every", "1h")
    eventually(lambda: service.runs("ok") >= 2, "it is settled")
    time.sleep(3)
    runs = service.runs("ok")
    changed = {"data": {"colour": "red"}}
    sandbox.cluster("aws").edit("ConfigMap", "settings", changed, namespace="default")
    eventually(lambda: colour(sandbox) == COLOUR, "it is repaired")
    time.sleep(5)
    # One repairs, one sees its own write; a third may come of where the events were cut in two.
    assert service.runs("ok") - runs <= 3


def test_git_is_looked_at_in_each_round(
    serve: Callable[..., Service], folder: Path, sandbox: Sandbox
) -> None:
    service = serve("--every", "300ms")
    settle(service)
    (folder / "settings.yaml").write_text(SETTINGS % "white")
    eventually(lambda: colour(sandbox) == "white", "it follows Git")
    settle(service)


def test_a_webhook_makes_it_look_at_once(
    serve: Callable[..., Service], folder: Path, sandbox: Sandbox, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(f"{SECRET}\n")
    service = serve("--every", "1h", "--webhook-secret", secret)
    eventually(lambda: service.runs("ok") >= 2, "it is settled")
    time.sleep(4)
    (folder / "settings.yaml").write_text(SETTINGS % "white")
    assert announce(service) == 202
    eventually(lambda: colour(sandbox) == "white", "it follows Git")
    assert "A webhook asked for this run." in service.text


def test_no_webhook_is_named_where_a_change_meets_another_process(
    serve: Callable[..., Service], sandbox: Sandbox, environment: dict[str, str]
) -> None:
    service = serve("--every", "1h")
    eventually(lambda: colour(sandbox) == COLOUR, "it is created")
    eventually(lambda: service.runs("ok") >= 2, "it is settled")
    (lock,) = Path(environment["XDG_STATE_HOME"]).rglob("shop.lock")
    with lock.open() as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        changed = {"data": {"colour": "red"}}
        sandbox.cluster("aws").edit("ConfigMap", "settings", changed, namespace="default")
        eventually(lambda: service.runs("locked") >= 1, "the other one holds the lock")
    eventually(lambda: colour(sandbox) == COLOUR, "it is repaired")
    assert service.end() == 0
    assert "A webhook asked" not in service.text


def test_a_cluster_that_is_gone_is_missed_and_one_that_is_back_is_reconciled(
    serve: Callable[..., Service], sandbox: Sandbox
) -> None:
    service = serve("--every", "500ms")
    settle(service)
    sandbox.cluster("aws").stop()
    before = service.runs("failed")
    eventually(lambda: service.runs("failed") > before, "it is missed")
    changed = {"data": {"colour": "red"}}
    sandbox.cluster("aws").edit("ConfigMap", "settings", changed, namespace="default")
    sandbox.cluster("aws").start()
    eventually(lambda: colour(sandbox) == COLOUR, "it is put right", timeout=60)
    assert "defect" not in service.text


FAILOVER = """
apiVersion: federation.reconciler.dev/v1alpha1
kind: Federation
metadata: {name: shop}
spec:
  defaults: {placement: {clusterSelector: {}}}
  failover:
    enabled: true
    maxUnhealthy: 1
    unhealthyAfter: 8s
    probe: {timeout: 1s, interval: 1s, attempts: 2}
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: aws}
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: gcp}
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: west}
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {name: web}
spec:
  select: [{kind: Deployment, namespace: default, name: web}]
  replicas: {mode: Divided, total: 6}
"""
WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: default}
spec:
  replicas: 6
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: web}]}
"""


def test_an_outage_is_declared_in_its_time_whatever_the_period(
    serve: Callable[..., Service], folder: Path, sandbox: Sandbox
) -> None:
    (folder / "federation.yaml").write_text(FAILOVER)
    (folder / "web.yaml").write_text(WEB)

    def replicas() -> int:
        found = [sandbox.cluster(n).find("Deployment", "web", "default") for n in ("gcp", "west")]
        return sum(one["spec"]["replicas"] for one in found if one)

    service = serve("--every", "1h")
    eventually(lambda: replicas() == 4, "it runs everywhere", timeout=60)
    eventually(lambda: service.runs("ok") >= 2, "it is settled", timeout=60)
    time.sleep(5)
    sandbox.cluster("aws").stop()
    began = time.monotonic()
    eventually(lambda: replicas() == 6, "the others take over", timeout=60)
    beyond = time.monotonic() - began - 8
    print(f"beyond: {beyond:.2f} s")
    assert 0 <= beyond < 10


def test_many_runs_at_once_make_those_after_them_wait() -> None:
    now = [0.0]
    pace = Pace(lambda: now[0])
    for _ in range(BURST):
        assert pace.wait() == 0
        pace.ran(0.4)
    waits = []
    for _ in range(20):
        wait = pace.wait()
        waits.append(wait)
        now[0] += wait + 0.4
        pace.ran(0.4)
    assert sum(waits) >= 20 * 0.4 * 0.8, "a storm has a share of the time only"
    now[0] += 600
    assert pace.wait() == 0
