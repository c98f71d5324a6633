"""Whether an object is in place in clusters that a run does not plan."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kubesim.fleet import Sandbox
from reconciler.api.objects import ObjectKey, key_of
from reconciler.apply.fleet import OtherClusters
from reconciler.cluster.client import Member
from reconciler.cluster.discovery import RESTMapping
from reconciler.federation.model import Cluster
from reconciler.inventory.applyset import with_membership
from tests.unit.apply.works import body, cluster, connected

MAPS = RESTMapping("v1", "ConfigMap", "configmaps", namespaced=True)
SETTINGS = body("ConfigMap", "settings", "default", data={"colour": "red"})
KEY = key_of(SETTINGS)
OURS = "applyset-ours-v1"
NAMES = ("aws", "gcp")


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(NAMES) as sandbox:
        yield sandbox


@pytest.fixture
def others(sandbox: Sandbox) -> OtherClusters:
    def connect(one: Cluster) -> Member:
        return connected(str(sandbox.kubeconfig), one.name)

    return OtherClusters([cluster(name) for name in NAMES], connect)


def missing(others: OtherClusters, *names: str, key: ObjectKey = KEY) -> set[str]:
    return others.missing(MAPS, key, OURS, names or NAMES)


def test_only_what_is_there_as_ours_is_in_place(sandbox: Sandbox, others: OtherClusters) -> None:
    sandbox.cluster("aws").create(with_membership(SETTINGS, KEY, OURS))
    sandbox.cluster("gcp").create(SETTINGS)
    assert missing(others) == {"gcp"}
    assert missing(others, "aws") == set()
    assert missing(others, key=KEY._replace(name="other")) == {"aws", "gcp"}


def test_a_copy_of_our_label_is_not_in_place(sandbox: Sandbox, others: OtherClusters) -> None:
    copy = with_membership(SETTINGS, KEY._replace(name="another"), OURS)
    sandbox.cluster("aws").create(copy)
    assert missing(others, "aws") == {"aws"}


def test_what_belongs_to_another_federation_is_not_in_place(
    sandbox: Sandbox, others: OtherClusters
) -> None:
    sandbox.cluster("aws").create(with_membership(SETTINGS, KEY, "applyset-theirs-v1"))
    assert missing(others, "aws") == {"aws"}


def test_what_is_being_deleted_is_not_in_place(sandbox: Sandbox, others: OtherClusters) -> None:
    held = with_membership(SETTINGS, KEY, OURS)
    held["metadata"]["finalizers"] = ["example.org/hold"]
    sandbox.cluster("aws").create(held)
    sandbox.cluster("aws").delete("ConfigMap", KEY.name, namespace=KEY.namespace)
    assert missing(others, "aws") == {"aws"}


def test_a_cluster_that_refuses_or_that_nobody_knows_has_nothing(
    sandbox: Sandbox, others: OtherClusters
) -> None:
    for name in NAMES:
        sandbox.cluster(name).create(with_membership(SETTINGS, KEY, OURS))
    sandbox.cluster("gcp").faults.forbid(path="/configmaps")
    assert missing(others, "aws", "gcp", "unknown") == {"gcp", "unknown"}


def test_each_cluster_is_asked_once_for_a_kind(sandbox: Sandbox, others: OtherClusters) -> None:
    for _ in range(2):
        for name in ("a", "b", "c"):
            assert missing(others, key=KEY._replace(name=name)) == {"aws", "gcp"}
    assert [len(sandbox.cluster(name).requests) for name in NAMES] == [1, 1]
