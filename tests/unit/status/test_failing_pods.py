"""What Pods say is told where they may be read, and is no trouble where they may not."""

from __future__ import annotations

import pytest

from reconciler.api.errors import Position
from reconciler.api.objects import ObjectKey
from reconciler.cluster.client import Member
from reconciler.cluster.connect import Connector
from reconciler.federation.model import Access, Cluster
from reconciler.status.failing_pods import failing_pods
from tests.controlplane import cluster as planes
from tests.controlplane.fixtures import Fleet, Kubectl

WEB = ObjectKey("apps", "Deployment", "shop", "web")
LIVE = {"spec": {"selector": {"matchLabels": {"app": "web"}}}}


def member_of(cluster: planes.Cluster, user: str) -> Member:
    connector = Connector.from_file(str(cluster.kubeconfig(user, context="one")), "")
    return connector.member(Cluster("one", Position("", 1, 1), access=Access(context="one")))


@pytest.fixture
def broken(fleet: Fleet, kubectl: Kubectl) -> planes.Cluster:
    (cluster,) = fleet(1)
    kubectl(cluster, "create", "namespace", "shop")
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
    cluster.request("POST", "/api/v1/namespaces/shop/serviceaccounts", account)
    for number in range(2):
        kubectl(cluster, "run", f"web-{number}", "-n", "shop", "--image=none:1", "--labels=app=web")
        waiting = {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "none:1"'}
        container = {
            "name": "web",
            "image": "none:1",
            "imageID": "",
            "ready": False,
            "restartCount": 0,
            "state": {"waiting": waiting},
        }
        cluster.patch(
            f"/api/v1/namespaces/shop/pods/web-{number}/status",
            {"status": {"phase": "Pending", "containerStatuses": [container]}},
        )
    return cluster


def test_equal_trouble_is_told_once(broken: planes.Cluster) -> None:
    assert failing_pods(member_of(broken, "admin"), WEB, LIVE) == (
        '2 Pods: web: ImagePullBackOff: Back-off pulling image "none:1"',
    )


def test_without_the_right_to_read_pods_nothing_is_told(broken: planes.Cluster) -> None:
    assert failing_pods(member_of(broken, "stranger"), WEB, LIVE) == ()
