"""ClusterProfiles become Clusters of a repository, once each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from reconciler.join.cluster_profile_import import export_of_profiles
from reconciler.join.exported import Export, ImportRequest
from tests.command import run_command, user_environment
from tests.scenarios.cluster_profiles import profile


def exported(*objects: dict[str, Any], **request: Any) -> Export:
    return export_of_profiles(objects, ImportRequest(**request))


def test_a_profile_becomes_a_cluster_with_its_place_and_labels() -> None:
    one = profile(
        "aws-eu",
        "https://one.example",
        labels={"env": "prod", "x-k8s.io/cluster-manager": "hub"},
        properties={
            "topology.kubernetes.io/region": "eu-central-1",
            "platform.open-cluster-management.io": "AWS",
        },
    )
    files = exported(one).files
    assert sorted(files) == ["clusters/aws-eu.yaml", "federation.yaml"]
    assert yaml.safe_load(files["clusters/aws-eu.yaml"]) == {
        "apiVersion": "federation.reconciler.dev/v1alpha1",
        "kind": "Cluster",
        "metadata": {"name": "aws-eu", "labels": {"env": "prod"}},
        "spec": {
            "provider": "aws",
            "region": "eu-central-1",
            "access": {"context": "aws-eu"},
        },
    }


def test_with_seats_clusters_are_reached_by_what_joining_makes() -> None:
    seats = ("a", "b", "c")
    files = exported(profile("a"), profile("b"), profile("c"), seats=seats).files
    assert yaml.safe_load(files["federation.yaml"])["spec"] == {"seats": list(seats)}
    cluster = yaml.safe_load(files["clusters/a.yaml"])
    assert cluster["spec"]["access"] == {"secretRef": {"name": "a"}}


def test_what_becomes_no_cluster_is_told() -> None:
    going = profile("going")
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    twin = profile("twin", "https://one.example/")
    elsewhere = profile("aws", "https://other.example")
    elsewhere["metadata"]["namespace"] = "zoo"
    found = exported(
        profile("aws", "https://one.example"),
        twin,
        going,
        elsewhere,
        profile("Not_A_Name"),
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}},
    )
    assert found.counts == {"Cluster": 1}
    said = "\n".join(found.left_out)
    assert "fleet/twin: it has the same server as aws, which is taken" in said
    assert "fleet/going: it is being deleted" in said
    assert "zoo/aws: namespace 'fleet' has a profile of this name" in said
    assert "Not_A_Name: its name is no name of a cluster" in said
    assert "Secret s: it is no ClusterProfile" in said


def test_the_command_reads_an_export_and_refuses_what_is_kubefeds(tmp_path: Path) -> None:
    listed = {"apiVersion": "v1", "kind": "List", "items": [profile("aws"), profile("gcp")]}
    (tmp_path / "export.yaml").write_text(yaml.safe_dump(listed))
    environment = user_environment(tmp_path)

    def run(*arguments: str, code: int) -> str:
        command = ("import", "export.yaml", "--to", "fleet", *arguments)
        done = run_command(*command, cwd=tmp_path, env=environment, code=code)
        return done.stdout + done.stderr

    assert "Valid: 2 Cluster" in run("--from", "clusterprofiles", code=0)
    assert (tmp_path / "fleet/clusters/gcp.yaml").is_file()
    said = run("--from", "clusterprofiles", "--with-secrets", code=64)
    assert "--with-secrets is for --from kubefed" in said
    assert "there is nothing of KubeFed in it" in run("--overwrite", code=1)
    assert "--namespace is for --from clusterprofiles" in run("--namespace", "x", code=64)
