"""ClusterProfiles as managers write them, well or badly, become clusters."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.api.notices import NoticeCause
from reconciler.federation.inventory import hints_of, listed_clusters, profile_of, profiles_of
from reconciler.federation.model import InventoryRules, KnownInventory, Requirement, Selector
from reconciler.state.memory import FleetMemory, decode_memory, encode_memory
from tests.scenarios.cluster_profiles import profile


def test_places_come_from_labels_before_properties() -> None:
    body = profile(
        "a",
        labels={"topology.kubernetes.io/region": "by-label"},
        properties={
            "topology.kubernetes.io/region": "by-property",
            "topology.kubernetes.io/zone": "z",
            "platform.open-cluster-management.io": "GCP",
        },
    )
    (found,) = listed_clusters([profile_of(body)])
    assert (found.provider, found.region, found.zone) == ("gcp", "by-label", "z")
    assert found.all_labels["topology.kubernetes.io/region"] == "by-label"


def test_properties_are_labels_where_they_may_be() -> None:
    body = profile(
        "a",
        labels={"tier": "label"},
        properties={
            "tier": "property",
            "cluster.clusterset.k8s.io": "id-1",
            "nodes": "a list, of things",
            "no name": "x",
        },
    )
    assert profile_of(body).labels == {
        "tier": "label",
        "cluster.clusterset.k8s.io": "id-1",
        "federation.reconciler.dev/kubernetes-version": "v1.37.2_x1",
    }


def test_the_newer_field_of_providers_goes_before_the_older() -> None:
    body = profile("a", "https://new.example")
    body["status"]["credentialProviders"] = [
        {"name": "plugin", "cluster": {"server": "https://old.example"}},
        {"name": "other", "cluster": {"server": "https://other.example"}},
    ]
    servers = {one.name: one.cluster["server"] for one in profile_of(body).providers}
    assert servers == {"plugin": "https://new.example", "other": "https://other.example"}


@pytest.mark.parametrize(
    ("mark", "said"),
    [
        ({"labels": {"multicluster.x-k8s.io/inventory-member-id": "m"}}, "inventory-member-id"),
        ({"properties": {"cluster.clusterset.k8s.io": "c"}}, "cluster.clusterset.k8s.io"),
    ],
)
def test_two_managers_profiles_of_one_cluster(mark: Any, said: str) -> None:
    a, b = profile("a", "https://a.example", **mark), profile("b", "https://b.example", **mark)
    found = listed_clusters([profile_of(a), profile_of(b), profile_of(profile("c"))])
    faults = {one.name: [problem.message for problem in one.faults] for one in found}
    assert said in faults["a"][0]
    assert "ClusterProfile a" in faults["b"][0]
    assert faults["c"] == []


@pytest.mark.parametrize(
    "status",
    [
        None,
        [],
        {"conditions": "x", "properties": {}, "accessProviders": "y", "version": []},
        {"conditions": [None, {"type": 1}], "properties": [None, {"name": 1, "value": []}]},
        {"accessProviders": [{"name": 5}, {"name": "p", "cluster": "z"}, None]},
        {"accessProviders": [{"name": "p", "cluster": {"extensions": [{"name": 1}, "x"]}}]},
        {"version": {"kubernetes": 1.3}},
    ],
)
def test_what_is_not_as_the_api_has_it_counts_as_absent(status: Any) -> None:
    body = {**profile("a"), "status": status}
    (found,) = listed_clusters([profile_of(body)])
    assert found.faults == ()
    assert found.labels == {}
    assert list(hints_of([profile_of(body)])) == []


def test_names_that_no_cluster_may_have_are_told() -> None:
    found, notices = profiles_of([profile("Not_A_Name"), profile("b")], InventoryRules("fleet"))
    assert [one.name for one in found] == ["b"]
    assert [one.cause for one in notices] == [NoticeCause.NO_CLUSTER_NAME]


def test_rules_are_the_same_whatever_their_order() -> None:
    one = Requirement("env", "In", ("a", "b"))
    other = Requirement("env", "In", ("b", "a"))
    texts = {InventoryRules("fleet", Selector({}, (each,))).text for each in (one, other)}
    assert len(texts) == 1
    assert InventoryRules("fleet").text not in texts


def test_what_is_remembered_is_read_again() -> None:
    extensions = {"client.authentication.k8s.io/exec": {"audience": ["x"]}}
    known = KnownInventory(
        "fleet [] []",
        (
            profile_of(profile("a", "https://a.example", ca="PEM", extensions=extensions)),
            profile_of(profile("b", healthy="False")),
        ),
    )
    memory = FleetMemory(inventory=known, published_in=("fleet",))
    assert decode_memory(encode_memory(memory)) == memory
