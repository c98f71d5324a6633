"""Each fault, as a client sees it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from typing import Any, Literal

import pytest
import urllib3
from urllib3.exceptions import ProtocolError, ReadTimeoutError

from kubesim.cluster import SimulatedCluster
from kubesim.fleet import Sandbox

MAPS = "/api/v1/namespaces/default/configmaps"
SETTINGS = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "settings", "namespace": "default"},
    "data": {"colour": "red"},
}


@pytest.fixture
def cluster() -> Iterator[SimulatedCluster]:
    with Sandbox(["a"]) as sandbox:
        yield sandbox.cluster("a")


def ask(
    cluster: SimulatedCluster, method: str = "GET", path: str = MAPS, **options: Any
) -> urllib3.BaseHTTPResponse:
    headers = {"Authorization": f"Bearer {cluster.token}"}
    with urllib3.PoolManager(retries=False) as pool:
        options = {"timeout": 5, **options}
        return pool.request(method, cluster.url + path, headers=headers, **options)


def create(cluster: SimulatedCluster) -> urllib3.BaseHTTPResponse:
    return ask(cluster, "POST", json=SETTINGS)


def there(cluster: SimulatedCluster) -> bool:
    return cluster.find("ConfigMap", "settings", "default") is not None


def test_too_many_requests_for_a_while(cluster: SimulatedCluster) -> None:
    fault = cluster.faults.throttle(2, count=2)
    answers = [ask(cluster) for _ in range(3)]
    assert [answer.status for answer in answers] == [429, 429, 200]
    assert answers[0].headers["Retry-After"] == "2"
    assert answers[0].json()["reason"] == "TooManyRequests"
    assert fault.hits == cluster.faults.hits == 2


def test_a_fault_may_spare_the_first(cluster: SimulatedCluster) -> None:
    cluster.faults.error(503, skip=1, count=1)
    assert [ask(cluster).status for _ in range(3)] == [200, 503, 200]


def test_a_fault_is_limited_to_a_method_and_a_path(cluster: SimulatedCluster) -> None:
    cluster.faults.error(500, method="POST", path="configmaps$|configmaps\\?")
    assert create(cluster).status == 500
    assert ask(cluster).status == 200
    assert ask(cluster, "POST", "/api/v1/namespaces", json={}).status != 500


def test_a_slow_answer_does_not_hold_up_others(cluster: SimulatedCluster) -> None:
    cluster.faults.latency(0.3, path="configmaps")
    began = time.perf_counter()
    ask(cluster, path="/readyz")
    assert time.perf_counter() - began < 0.25
    ask(cluster)
    assert time.perf_counter() - began > 0.3


def test_a_request_that_hangs(cluster: SimulatedCluster) -> None:
    cluster.faults.hang(count=1)
    with pytest.raises(ReadTimeoutError):
        ask(cluster, timeout=0.2)
    assert ask(cluster).status == 200


def test_a_reset_before_the_work_is_done(cluster: SimulatedCluster) -> None:
    cluster.faults.reset(method="POST", count=1)
    with pytest.raises(ProtocolError):
        create(cluster)
    assert not there(cluster)


def test_a_reset_after_the_work_is_done(cluster: SimulatedCluster) -> None:
    cluster.faults.reset(when="after", method="POST", count=1)
    with pytest.raises(ProtocolError):
        create(cluster)
    assert there(cluster)


def test_a_truncated_answer(cluster: SimulatedCluster) -> None:
    cluster.faults.truncate(0.5, count=1)
    with pytest.raises(ProtocolError):
        ask(cluster)
    assert cluster.requests[-1].status == 0
    assert ask(cluster).json()["kind"] == "ConfigMapList"


def test_later_pages_of_a_list_have_expired(cluster: SimulatedCluster) -> None:
    for number in range(3):
        name = {"name": f"settings-{number}", "namespace": "default"}
        cluster.create({**SETTINGS, "metadata": name})
    cluster.faults.expire_lists(count=1)
    first = ask(cluster, path=f"{MAPS}?limit=1").json()
    path = f"{MAPS}?limit=1&continue={first['metadata']['continue']}"
    second = ask(cluster, path=path)
    assert second.status == 410
    assert second.json()["reason"] == "Expired"
    assert ask(cluster, path=path).status == 200


def test_a_webhook_denies_writes_only(cluster: SimulatedCluster) -> None:
    cluster.faults.deny("no red", webhook="colours.example.com")
    answer = create(cluster)
    assert answer.status == 403
    assert answer.json()["message"] == (
        'admission webhook "colours.example.com" denied the request: no red'
    )
    assert ask(cluster).status == 200
    assert not there(cluster)


def test_a_webhook_changes_what_is_written_unnoticed(cluster: SimulatedCluster) -> None:
    def paint(obj: dict[str, Any], _: dict[str, Any] | None) -> dict[str, Any]:
        obj["data"] = {**obj.get("data", {}), "colour": "blue"}
        return obj

    cluster.faults.mutate(paint)
    applied = cluster.apply(SETTINGS, manager="ours")
    assert applied["data"] == {"colour": "blue"}
    (entry,) = applied["metadata"]["managedFields"]
    assert entry["fieldsV1"] == {"f:data": {"f:colour": {}}}


def test_an_aggregated_api_fails_alone(cluster: SimulatedCluster) -> None:
    cluster.faults.fail_group("metrics.k8s.io/v1beta1")
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    headers = {"Authorization": f"Bearer {cluster.token}", "Accept": accept}
    found = urllib3.request("GET", f"{cluster.url}/apis", headers=headers).json()
    stale = [
        item["metadata"]["name"]
        for item in found["items"]
        if any(version["freshness"] == "Stale" for version in item["versions"])
    ]
    assert stale == ["metrics.k8s.io"]
    assert ask(cluster, path="/apis/metrics.k8s.io/v1beta1").status == 503
    assert ask(cluster, path="/apis/apps/v1").status == 200
    cluster.faults.mend_group("metrics.k8s.io/v1beta1")
    assert ask(cluster, path="/apis/metrics.k8s.io/v1beta1").status == 404


def test_a_skewed_clock_shows_in_objects_and_headers(cluster: SimulatedCluster) -> None:
    cluster.faults.skew_clock(-3600)
    answer = ask(cluster)
    behind = time.time() - parsedate_to_datetime(answer.headers["Date"]).timestamp()
    assert 3590 < behind < 3700
    created = cluster.create(SETTINGS)["metadata"]["creationTimestamp"]
    assert created < time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 3000))


def test_clearing_ends_everything(cluster: SimulatedCluster) -> None:
    cluster.faults.error(500)
    cluster.faults.fail_group()
    cluster.faults.skew_clock(60)
    cluster.faults.clear()
    assert ask(cluster).status == 200
    assert not cluster.faults
    assert cluster.server.clock.skew == 0


def test_401_and_403_on_request(cluster: SimulatedCluster) -> None:
    cluster.faults.unauthorized(count=1)
    cluster.faults.forbid(path="secrets")
    assert ask(cluster).status == 401
    assert ask(cluster).status == 200
    assert ask(cluster, path="/api/v1/namespaces/default/secrets").status == 403


def test_a_server_that_lies(cluster: SimulatedCluster) -> None:
    cluster.faults.answer({"kind": "ConfigMapList", "items": []}, method="GET", count=1)
    assert ask(cluster).json()["items"] == []
    assert ask(cluster).json()["items"] != []


def test_a_list_comes_in_smaller_pages(cluster: SimulatedCluster) -> None:
    create(cluster)
    cluster.faults.small_pages(1)
    page = ask(cluster, path=f"{MAPS}?limit=500").json()
    assert len(page["items"]) == 1
    assert page["metadata"]["continue"]
    assert len(ask(cluster).json()["items"]) == 2


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_write_is_held_until_it_is_let_go(
    cluster: SimulatedCluster, when: Literal["before", "after"]
) -> None:
    held = cluster.faults.hold_write(2, when=when)
    create(cluster)
    assert ask(cluster, "PATCH", f"{MAPS}/settings?dryRun=All", json={}).status == 415
    with ThreadPoolExecutor(1) as pool:
        deleted = pool.submit(ask, cluster, "DELETE", f"{MAPS}/settings")
        assert held.reached.wait(10)
        assert not deleted.done()
        assert there(cluster) is (when == "before")
        held.released.set()
        assert deleted.result(10).status == 200
    assert not there(cluster)


def test_a_held_write_whose_client_has_left_is_not_processed(cluster: SimulatedCluster) -> None:
    held = cluster.faults.hold_write(1)
    with pytest.raises(ReadTimeoutError):
        ask(cluster, "POST", json=SETTINGS, timeout=0.2)
    assert held.reached.is_set()
    # Answered after the end of the first connection was noticed.
    assert ask(cluster).status == 200
    cluster.faults.clear()
    assert ask(cluster).status == 200
    assert not there(cluster)
