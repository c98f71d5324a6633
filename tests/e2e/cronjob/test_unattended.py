"""The CronJob's own pod, run for real: its environment, its account, its volumes, nothing else."""

from __future__ import annotations

import time
from collections.abc import Iterable

from tests.controlplane.audit import AuditedRequest
from tests.controlplane.fixtures import Kubectl
from tests.controlplane.process import eventually

from .conftest import Host

MEMBER = "system:serviceaccount:federation-system:aws-eu-host"
ROLE = "/apis/rbac.authorization.k8s.io/v1/namespaces/federation-system/roles/reconcile"
# Refused by the API server for its port.
BROKEN = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: broken, namespace: shop}
spec:
  selector: {matchLabels: {app: broken}}
  template:
    metadata: {labels: {app: broken}}
    spec: {containers: [{name: a, image: "a:1", ports: [{containerPort: 700000}]}]}
"""


def refused(requests: Iterable[AuditedRequest]) -> list[AuditedRequest]:
    return [request for request in requests if request.code in (401, 403)]


def test_a_run_is_refused_nothing_and_writes_nowhere_but_into_its_cache(
    federation: Host, kubectl: Kubectl
) -> None:
    host = federation
    pod = host.pod("first")
    with host.cluster.recorded() as at_home, host.desk.member.recorded() as there:
        ended = pod.run()
        assert ended.code == 0, ended.said
        assert "Done: 3 created." in ended.said
        again = host.pod("second").run()
        assert again.code == 0, again.said
        assert "No changes" in again.said
    assert "web" in kubectl(host.desk.member, "get", "deployments", "-n", "shop", "-o", "name")
    assert {request.user for request in there} == {MEMBER}
    assert not refused([*at_home, *there])
    assert [request for request in at_home if request.user == host.account()]
    # The root cannot be written, which the run did not notice; what it keeps is the clone.
    assert pod.written()["tmp"] == []
    assert pod.written()["cache"]
    assert all(name.startswith("federation-reconciler/") for name in pod.written()["cache"])


def test_every_right_in_the_host_is_one_that_runs_use(federation: Host) -> None:
    host = federation
    with host.cluster.recorded() as requests:
        assert host.pod("first").run().code == 0
        host.desk.write("broken.yaml", BROKEN)
        host.commit()
        for name in ("failing", "failing-again"):
            ended = host.pod(name).run()
            assert ended.code == 1, ended.said
            assert "Warning" not in ended.said
        (host.desk.repository / "broken.yaml").unlink()
        host.commit()
        assert host.pod("well-again").run().code == 0
    used = {
        (request.group, request.resource, request.verb)
        for request in requests
        if request.user == host.account()
    }
    granted = {
        (group, resource, verb)
        for rule in host.cluster.call("GET", ROLE)["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert used == granted
    (event,) = host.events("GuardViolated")
    assert event["series"]["count"] == 2
    assert "broken" in event["note"]


def test_a_revoked_token_is_told_and_moves_nothing(federation: Host, kubectl: Kubectl) -> None:
    host = federation
    assert host.pod("first").run().code == 0
    account = "/api/v1/namespaces/federation-system/serviceaccounts/aws-eu-host"
    host.desk.member.call("DELETE", account)
    # API servers remember for ten seconds that they took a token for good.
    eventually(
        lambda: "nauthorized" in host.desk.as_joined("get", "--raw", "/version").stderr,
        "the token is refused",
    )
    ended = host.pod("second").run()
    assert ended.code == 1
    assert "aws-eu" in ended.said
    assert "401" in ended.said or "nauthorized" in ended.said
    assert "Traceback" not in ended.said
    assert "web" in kubectl(host.desk.member, "get", "deployments", "-n", "shop", "-o", "name")
    (event,) = host.events("RunFailed")
    assert "aws-eu" in event["note"]


def test_without_the_hosts_api_nothing_is_written_and_the_run_ends_soon(federation: Host) -> None:
    host = federation
    assert host.pod("first").run().code == 0
    pod = host.pod("second")
    host.desk.write("more.yaml", BROKEN.replace("700000", "70"))
    host.commit()
    # The pod's volumes are laid out before the API server goes.
    pod.begin()
    host.cluster.stop()
    with host.desk.member.recorded() as there:
        ended = pod.wait()
    assert ended.code == 1, ended.said
    assert "Traceback" not in ended.said
    assert not [request for request in there if request.writes]


def test_a_pod_that_is_told_to_go_gives_the_lock_back_in_time(federation: Host) -> None:
    host = federation
    host.desk.member.pause()
    pod = host.pod("first").begin()
    lease = "/apis/coordination.k8s.io/v1/namespaces/federation-system/leases/federation-shop"
    deadline = time.monotonic() + 30
    while host.cluster.request("GET", lease).status != 200 and time.monotonic() < deadline:
        time.sleep(0.1)
    held = host.cluster.call("GET", lease)["spec"]["holderIdentity"]
    assert "first" in held
    ended = pod.terminate()
    assert ended.code == 143, ended.said
    assert "holderIdentity" not in host.cluster.call("GET", lease)["spec"]
