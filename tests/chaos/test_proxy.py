"""The proxy does to real traffic what the simulated clusters do to theirs."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from pathlib import Path
from time import time
from typing import Any

import pytest
import urllib3
from urllib3.exceptions import ProtocolError, ReadTimeoutError

from kubesim.cluster import SimulatedCluster
from kubesim.fleet import Sandbox
from tests.chaos.proxy import FaultProxy, fault_proxy

MAPS = "/api/v1/namespaces/default/configmaps"
SETTINGS = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}}


@pytest.fixture
def cluster() -> Iterator[SimulatedCluster]:
    with Sandbox(["a"]) as sandbox:
        yield sandbox.cluster("a")


@pytest.fixture
def proxy(cluster: SimulatedCluster, tmp_path: Path) -> Iterator[FaultProxy]:
    own = tmp_path / "proxy.pem"
    with fault_proxy(cluster.url, tmp_path / "none.pem", own) as proxy:
        yield proxy


@pytest.fixture
def ask(cluster: SimulatedCluster, proxy: FaultProxy) -> Iterator[Any]:
    context = ssl.create_default_context(cadata=proxy.certificate)
    with urllib3.PoolManager(retries=False, ssl_context=context) as pool:

        def ask(method: str = "GET", path: str = MAPS, **options: Any) -> Any:
            headers = {"Authorization": f"Bearer {cluster.token}"}
            given = {"timeout": 5, "headers": headers, **options}
            return pool.request(method, proxy.url + path, **given)

        yield ask


def there(cluster: SimulatedCluster) -> bool:
    return cluster.find("ConfigMap", "settings", "default") is not None


def test_without_faults_it_is_not_there(
    cluster: SimulatedCluster, proxy: FaultProxy, ask: Any
) -> None:
    cluster.revoke()
    cluster.accept()
    assert ask("POST", json=SETTINGS).status == 201
    assert ask(path=f"{MAPS}/settings").json()["metadata"]["name"] == "settings"
    assert ask(path=f"{MAPS}/nobody").status == 404
    assert [(r.method, r.status) for r in proxy.requests] == [
        (r.method, r.status) for r in cluster.requests
    ]


def test_refusals_come_from_the_proxy(
    cluster: SimulatedCluster, proxy: FaultProxy, ask: Any
) -> None:
    fault = proxy.faults.throttle(2, count=1)
    answer = ask()
    assert (answer.status, answer.headers["retry-after"]) == (429, "2")
    assert answer.json()["reason"] == "TooManyRequests"
    assert ask().status == 200
    assert fault.hits == 1
    assert len(cluster.requests) == 1


@pytest.mark.parametrize("when", ["before", "after"])
def test_resets(cluster: SimulatedCluster, proxy: FaultProxy, ask: Any, when: Any) -> None:
    proxy.faults.reset(when=when, method="POST", count=1)
    with pytest.raises(ProtocolError):
        ask("POST", json=SETTINGS)
    assert there(cluster) is (when == "after")
    assert proxy.requests[-1].status == 0
    assert ask().status == 200


def test_truncated_late_and_missing_answers(proxy: FaultProxy, ask: Any) -> None:
    proxy.faults.truncate(0.5, count=1)
    with pytest.raises(ProtocolError):
        ask()
    proxy.faults.hang(count=1)
    with pytest.raises(ReadTimeoutError):
        ask(timeout=0.2)
    proxy.faults.latency(0.3, count=1)
    with pytest.raises(ReadTimeoutError):
        ask(timeout=0.1)
    assert ask().status == 200


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_write_is_held(cluster: SimulatedCluster, proxy: FaultProxy, ask: Any, when: Any) -> None:
    held = proxy.faults.hold_write(1, when=when)
    with ThreadPoolExecutor(1) as pool:
        written = pool.submit(ask, "POST", json=SETTINGS)
        assert held.reached.wait(10)
        assert there(cluster) is (when == "after")
        assert not written.done()
        held.released.set()
        assert written.result(10).status == 201
    assert there(cluster)


def test_a_held_write_whose_client_has_left_is_not_passed_on(
    cluster: SimulatedCluster, proxy: FaultProxy, ask: Any
) -> None:
    held = proxy.faults.hold_write(1)
    with pytest.raises(ReadTimeoutError):
        ask("POST", json=SETTINGS, timeout=0.2)
    assert held.reached.is_set()
    assert ask().status == 200
    assert not there(cluster)


def test_a_server_that_is_gone_resets_its_client(
    cluster: SimulatedCluster, proxy: FaultProxy, ask: Any
) -> None:
    cluster.stop()
    with pytest.raises(ProtocolError):
        ask()
    cluster.start()
    assert ask().status == 200


def test_small_pages_that_expire_and_a_wrong_date(
    cluster: SimulatedCluster, proxy: FaultProxy, ask: Any
) -> None:
    cluster.create({**SETTINGS, "metadata": {"name": "settings", "namespace": "default"}})
    proxy.faults.small_pages(1)
    proxy.faults.expire_lists(count=1)
    proxy.skew = -3600
    page = ask(path=f"{MAPS}?limit=500")
    assert len(page.json()["items"]) == 1
    assert time() - parsedate_to_datetime(page.headers["date"]).timestamp() > 3000
    token = page.json()["metadata"]["continue"]
    assert ask(path=f"{MAPS}?limit=500&continue={token}").status == 410
    assert ask(path=f"{MAPS}?limit=500&continue={token}").status == 200
