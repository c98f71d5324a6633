"""Where a cluster is, as its Nodes tell; and the manifest that says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from reconciler.join.cluster_manifest import (
    ManifestValues,
    manifest_of,
    manifest_text,
    schema_reference,
)
from reconciler.join.member_objects import account_name
from reconciler.join.topology import Topology, topology_of


def node(provider_id: str = "", region: str = "", zone: str = "", beta: bool = False) -> Any:
    prefix = "failure-domain.beta.kubernetes.io" if beta else "topology.kubernetes.io"
    labels = {f"{prefix}/region": region, f"{prefix}/zone": zone}
    return {
        "metadata": {"name": "n", "labels": {k: v for k, v in labels.items() if v}},
        "spec": {"providerID": provider_id} if provider_id else {},
    }


@pytest.mark.parametrize(
    ("provider_id", "provider"),
    [
        ("aws:///eu-central-1a/i-0123", "aws"),
        ("gce://project/europe-west1-b/gke-1", "gcp"),
        ("azure:///subscriptions/1/x", "azure"),
        ("kind://docker/kind/kind-control-plane", "kind"),
        ("newcloud://x", "newcloud"),
        ("", ""),
        ("nonsense", ""),
    ],
)
def test_the_provider_is_the_scheme_of_the_provider_id(provider_id: str, provider: str) -> None:
    assert topology_of([node(provider_id)]).provider == provider


def test_old_labels_are_understood() -> None:
    found = topology_of([node(region="r", zone="z", beta=True)])
    assert (found.region, found.zone) == ("r", "z")


def test_a_cluster_in_several_zones_is_in_none() -> None:
    found = topology_of([node(region="r", zone="a"), node(region="r", zone="b")])
    assert (found.region, found.zone, found.zones) == ("r", "", ("a", "b"))


def test_a_cluster_without_nodes_is_nowhere() -> None:
    assert topology_of([]) == Topology()


def test_most_nodes_win_and_equals_are_told_apart_by_name() -> None:
    assert topology_of([node("aws://1"), node("aws://2"), node("kind://1")]).provider == "aws"
    assert topology_of([node("kind://1"), node("aws://2")]).provider == "aws"


@pytest.mark.parametrize(
    ("cluster", "host", "name"),
    [
        ("aws-eu", "host", "aws-eu-host"),
        ("aws-eu", "arn:aws:eks:eu-central-1:1111:cluster/Main", None),
        ("a", "", "a"),
        ("a", "x" * 300, None),
    ],
)
def test_an_accounts_name_is_one_that_a_server_takes(
    cluster: str, host: str, name: str | None
) -> None:
    found = account_name(cluster, host)
    assert name is None or found == name
    assert len(found) <= 253
    assert all(c.islower() or c.isdigit() or c in ".-" for c in found)
    assert found[0].isalnum()
    assert found[-1].isalnum()


WISH = ManifestValues(
    "aws-eu",
    {"env": "prod"},
    Topology("aws", "eu-central-1", "eu-central-1a"),
    {"secretRef": {"name": "aws-eu"}},
)


def test_what_a_person_wrote_into_a_manifest_stays() -> None:
    existing = {
        "apiVersion": "federation.reconciler.dev/v1alpha1",
        "kind": "Cluster",
        "metadata": {"name": "aws-eu", "labels": {"team": "web"}},
        "spec": {"region": "mine", "weight": 3, "taints": [], "access": {"context": "x"}},
    }
    assert manifest_of(WISH, existing)["spec"] == {
        "provider": "aws",
        "region": "mine",
        "zone": "eu-central-1a",
        "weight": 3,
        "taints": [],
        "access": {"secretRef": {"name": "aws-eu"}},
    }
    assert manifest_of(WISH, existing)["metadata"]["labels"] == {"team": "web", "env": "prod"}


def test_the_manifest_begins_with_the_line_for_editors() -> None:
    first, _, rest = manifest_text(manifest_of(WISH), "../x/cluster.json").partition("\n")
    assert first == "# yaml-language-server: $schema=../x/cluster.json"
    assert yaml.safe_load(rest) == manifest_of(WISH)


def test_the_schema_is_the_repositorys_own_wherever_it_lies(tmp_path: Path) -> None:
    fleet = tmp_path / "fleets" / "shop"
    fleet.mkdir(parents=True)
    (tmp_path / ".git").mkdir()
    path = "clusters/aws-eu.yaml"
    assert schema_reference(fleet, path) == "../.schemas/cluster.json"
    assert schema_reference(fleet, "all.yaml") == ".schemas/cluster.json"
    (tmp_path / "schemas").mkdir()
    (tmp_path / "schemas" / "cluster.json").write_text("{}")
    assert schema_reference(fleet, path) == "../../../schemas/cluster.json"
    reference = (fleet / "clusters" / schema_reference(fleet, path)).resolve()
    assert reference == tmp_path / "schemas" / "cluster.json"
