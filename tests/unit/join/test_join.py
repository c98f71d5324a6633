"""A bare cluster becomes a member, and can be worked with by its credential alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.controlplane.fixtures import Kubectl

from .conftest import FEDERATION, Desk, objects_of


def label_node(desk: Desk, name: str = "node-0", zone: str = "eu-central-1a") -> None:
    labels = {
        "topology.kubernetes.io/region": "eu-central-1",
        "topology.kubernetes.io/zone": zone,
    }
    node = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "spec": {"providerID": f"aws:///{zone}/i-0123456789"},
    }
    desk.member.call("POST", "/api/v1/nodes", node)


def test_a_dry_run_shows_every_step_and_writes_nothing(desk: Desk) -> None:
    before = objects_of(desk.member, desk.host)
    said = desk.join("--dry-run").stdout
    assert "ServiceAccount federation-system/aws-eu-host" in said
    assert "ClusterRole federation-reconciler:aws-eu-host" in said
    assert "clusters/aws-eu.yaml" in said
    assert objects_of(desk.member, desk.host) == before
    assert not (desk.repository / "clusters").exists()


def test_join_then_reconcile_with_the_joined_credential_only(desk: Desk, kubectl: Kubectl) -> None:
    label_node(desk)
    desk.join("--label", "env=production")
    manifest = desk.manifest()
    assert manifest["metadata"] == {"name": "aws-eu", "labels": {"env": "production"}}
    assert manifest["spec"] == {
        "provider": "aws",
        "region": "eu-central-1",
        "zone": "eu-central-1a",
        "access": {"secretRef": {"name": "aws-eu"}},
    }
    # The host's context is all that the run is given; the member's admin is gone from the file.
    config = yaml.safe_load(desk.kubeconfig.read_text())
    config["contexts"] = [c for c in config["contexts"] if c["name"] == "host"]
    only_host = desk.home / "host.kubeconfig"
    only_host.write_text(yaml.safe_dump(config))
    desk.run("--kubeconfig", str(only_host), "--yes")
    assert "web" in kubectl(desk.member, "get", "deployments", "-n", "shop", "-o", "name")
    again = json.loads(
        desk.run("--kubeconfig", str(only_host), "--plan", "--output", "json").stdout
    )
    assert again["summary"]["unchanged"] == 3


def test_a_kind_outside_the_repository_is_forbidden(desk: Desk) -> None:
    desk.join()
    for verb, kind in [("list", "secrets"), ("create", "jobs.batch"), ("delete", "pods")]:
        answer = desk.as_joined("auth", "can-i", verb, kind, "-n", "shop")
        assert answer.stdout.strip() == "no", (verb, kind)
    for verb, kind in [("create", "configmaps"), ("delete", "deployments.apps"), ("list", "nodes")]:
        assert desk.as_joined("auth", "can-i", verb, kind).stdout.strip() == "yes", (verb, kind)
    desk.write(
        "job.yaml",
        "apiVersion: policy/v1\nkind: PodDisruptionBudget\n"
        "metadata: {name: web, namespace: shop}\n"
        "spec: {minAvailable: 1, selector: {matchLabels: {app: web}}}\n",
    )
    refused = desk.run("--yes", code=1)
    assert "poddisruptionbudgets" in refused.stdout + refused.stderr
    desk.join()
    desk.run("--yes")


def test_joining_again_changes_nothing_and_keeps_the_token(desk: Desk) -> None:
    desk.join()
    token, text = desk.secret()["data"], (desk.repository / "clusters/aws-eu.yaml").read_text()
    said = desk.join()
    assert "nothing was to be done" in said.stderr
    assert desk.secret()["data"] == token
    assert (desk.repository / "clusters/aws-eu.yaml").read_text() == text


def test_a_join_that_broke_half_way_is_finished_by_the_next(desk: Desk, kubectl: Kubectl) -> None:
    # In the host somebody may look, and make namespaces, but not keep a Secret.
    kubectl(desk.host, "create", "clusterrole", "half", "--verb=get,list", "--resource=secrets")
    kubectl(
        desk.host,
        "create",
        "clusterrole",
        "rest",
        "--verb=get,create,patch",
        "--resource=namespaces",
    )
    for role in ("half", "rest"):
        kubectl(
            desk.host,
            "create",
            "clusterrolebinding",
            role,
            f"--clusterrole={role}",
            "--user=viewer",
        )
    desk.become("viewer", "host")
    said = desk.join(code=1)
    assert "create     ServiceAccount federation-system/aws-eu-host" in said.stdout
    assert "Secret federation-system/aws-eu" in said.stderr
    assert "administrator" in said.stderr
    assert not (desk.repository / "clusters").exists()
    desk.become("admin", "host")
    said = desk.join()
    assert "unchanged  ServiceAccount federation-system/aws-eu-host" in said.stdout
    assert "create     Secret federation-system/aws-eu" in said.stdout
    assert desk.as_joined("auth", "can-i", "create", "configmaps").stdout.strip() == "yes"


def test_what_somebody_removed_is_put_back_by_joining_again(desk: Desk) -> None:
    desk.join()
    roles = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/"
    desk.member.call("DELETE", roles + "federation-reconciler:aws-eu-host")
    said = desk.join().stdout
    assert "create     ClusterRoleBinding federation-reconciler:aws-eu-host" in said
    assert desk.as_joined("auth", "can-i", "create", "configmaps").stdout.strip() == "yes"


def test_a_manifest_that_somebody_edited_is_kept_and_the_difference_shown(desk: Desk) -> None:
    mine = (
        "# mine\napiVersion: federation.reconciler.dev/v1alpha1\nkind: Cluster\n"
        "metadata: {name: aws-eu}\nspec: {weight: 3, access: {context: aws-eu}}\n"
    )
    desk.write("clusters/aws-eu.yaml", mine)
    said = desk.join().stdout
    assert "clusters/aws-eu.yaml:2:1 is left as it is" in said
    assert "+    secretRef:" in said
    assert (desk.repository / "clusters/aws-eu.yaml").read_text() == mine
    desk.join("--overwrite")
    assert desk.manifest()["spec"] == {"weight": 3, "access": {"secretRef": {"name": "aws-eu"}}}


def test_a_repository_that_names_clusters_which_join_later_is_no_mistake(desk: Desk) -> None:
    desk.write(
        "placements.yaml",
        "apiVersion: federation.reconciler.dev/v1alpha1\nkind: Placement\nmetadata: {name: web}\n"
        "spec: {select: [{kind: Deployment}], clusters: [aws-eu, gcp-eu]}\n",
    )
    said = desk.join("--dry-run")
    assert "no Cluster manifest yet for gcp-eu" in said.stderr


def test_somebody_who_may_not_grant_learns_it_before_anything_is_written(
    desk: Desk, kubectl: Kubectl
) -> None:
    rules = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "half"},
        "rules": [
            {
                "apiGroups": ["", "rbac.authorization.k8s.io"],
                "resources": ["*"],
                "verbs": ["get", "list", "create", "patch"],
            }
        ],
    }
    kubectl(desk.member, "apply", "-f", "-", input=json.dumps(rules))
    kubectl(
        desk.member, "create", "clusterrolebinding", "half", "--clusterrole=half", "--user=viewer"
    )
    desk.become("viewer", "aws-eu")
    before = objects_of(desk.member, desk.host)
    said = desk.join(code=1).stderr
    assert "you can only grant what you hold yourself" in said
    assert "cluster-admin" in said
    assert objects_of(desk.member, desk.host) == before


def test_a_secret_of_somebody_else_is_not_overwritten(desk: Desk, kubectl: Kubectl) -> None:
    kubectl(desk.host, "create", "namespace", "federation-system")
    kubectl(desk.host, "create", "secret", "generic", "aws-eu", "-n", "federation-system")
    assert "that join did not make" in desk.join(code=1).stderr


def test_exec_stores_no_secret(desk: Desk) -> None:
    before = objects_of(desk.host)
    desk.join("--auth", "exec", "--group", "reconcilers")
    assert objects_of(desk.host) == before
    assert desk.manifest()["spec"]["access"] == {"context": "aws-eu"}
    accounts = desk.member.call("GET", "/api/v1/namespaces/federation-system/serviceaccounts")
    assert not accounts["items"]
    binding = desk.member.call(
        "GET",
        "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/federation-reconciler:aws-eu",
    )
    assert binding["subjects"] == [
        {"kind": "Group", "name": "reconcilers", "apiGroup": "rbac.authorization.k8s.io"}
    ]


def test_a_token_without_an_end(running_desk: Desk) -> None:
    desk = running_desk
    desk.join("--token-lifetime", "never")
    assert "token-expires" not in json.dumps(desk.secret()["metadata"])
    assert desk.as_joined("auth", "can-i", "create", "configmaps").stdout.strip() == "yes"
    assert "nothing was to be done" in desk.join("--token-lifetime", "never").stderr


def test_full_access_may_do_everything(desk: Desk) -> None:
    desk.join("--full-access")
    assert desk.as_joined("auth", "can-i", "*", "*").stdout.strip() == "yes"


@pytest.mark.parametrize("output", ["yaml", "json"])
def test_the_steps_can_be_had_as_data_without_a_credential(desk: Desk, output: str) -> None:
    desk.join()
    token = desk.secret()["data"]["kubeconfig"]
    said = desk.join("--dry-run", "-o", output).stdout
    found = list(yaml.safe_load_all(said))
    assert found
    assert token not in said


def test_the_repositorys_own_roles_can_be_written_without_escalation(desk: Desk) -> None:
    desk.write("access.yaml", Path(__file__).with_name("access.yaml").read_text())
    desk.join()
    desk.run("--yes")
    assert desk.as_joined("auth", "can-i", "escalate", "clusterroles").stdout.strip() == "no"


def test_the_reconcilers_context_may_be_called_otherwise(desk: Desk) -> None:
    desk.join("--auth", "exec", "--user", "robot", "--access-context", "eks")
    assert desk.manifest()["spec"]["access"] == {"context": "eks"}


def test_another_federations_member_is_not_taken_over_unasked(desk: Desk) -> None:
    desk.join()
    desk.write("federation.yaml", FEDERATION.replace("shop", "other"))
    refused = desk.join(code=1).stderr
    assert "of the federation 'shop'" in refused
    desk.join("--force-conflicts")
    labels = desk.secret()["metadata"]["labels"]
    assert labels["federation.reconciler.dev/federation"] == "other"


def test_a_repository_without_a_federation_is_told_what_that_means(desk: Desk) -> None:
    (desk.repository / "federation.yaml").unlink()
    assert "has no Federation" in desk.join("--dry-run").stderr
