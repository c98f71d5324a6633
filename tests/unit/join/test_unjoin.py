"""A member leaves: nothing of ours stays, and nothing of anybody else's goes."""

from __future__ import annotations

import json
import os

import pytest

from tests.controlplane.fixtures import Kubectl
from tests.unit.cli.test_runs import Terminal

from .conftest import SHOP, Desk, objects_of

PROTECT = 'annotations: {federation.reconciler.dev/protect: "true"}'
PROTECTED = SHOP.replace("{name: settings,", "{" + PROTECT + ", name: settings,")


def joined_and_reconciled(desk: Desk) -> None:
    desk.join()
    desk.run("--yes")


def test_unjoin_leaves_nothing_behind(running_desk: Desk) -> None:
    desk = running_desk
    before = objects_of(desk.member, desk.host)
    joined_and_reconciled(desk)
    assert len(objects_of(desk.member) - before) > 8
    said = desk.unjoin("--prune", "--yes")
    assert objects_of(desk.member, desk.host) == before, said.stdout
    assert not (desk.repository / "clusters/aws-eu.yaml").exists()


def test_orphaned_objects_stay_as_they_are_but_for_our_marks(desk: Desk, kubectl: Kubectl) -> None:
    joined_and_reconciled(desk)
    path = "/apis/apps/v1/namespaces/shop/deployments/web"
    before = desk.member.call("GET", path)
    desk.unjoin("--orphan")
    after = desk.member.call("GET", path)
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["spec"] == before["spec"]
    assert "applyset" not in json.dumps(after["metadata"].get("labels", {}))
    left = kubectl(
        desk.member,
        "get",
        "clusterroles,clusterrolebindings,roles,rolebindings,serviceaccounts,secrets",
        "-A",
        "-l",
        "app.kubernetes.io/managed-by=federation-reconciler",
        "-o",
        "name",
    )
    assert not left.strip()


def test_what_is_to_become_of_the_objects_must_be_said(desk: Desk) -> None:
    joined_and_reconciled(desk)
    refused = desk.unjoin(code=64).stderr
    assert "runs 3 objects of this federation" in refused
    assert "--orphan" in refused
    refused = desk.unjoin("--prune", code=64).stderr
    assert "3 objects would be deleted, and nobody can be asked" in refused
    assert desk.as_joined("auth", "can-i", "create", "configmaps").stdout.strip() == "yes"


def test_a_dry_run_names_every_object_and_writes_nothing(desk: Desk) -> None:
    joined_and_reconciled(desk)
    before = objects_of(desk.member, desk.host)
    said = desk.unjoin("--prune", "--dry-run").stdout
    assert "Deployment.apps shop/web" in said
    assert "Secret federation-system/aws-eu" in said
    assert objects_of(desk.member, desk.host) == before


def test_pruning_spares_what_is_protected_and_what_is_not_ours(
    desk: Desk, kubectl: Kubectl
) -> None:
    desk.write("shop.yaml", PROTECTED)
    joined_and_reconciled(desk)
    kubectl(desk.member, "create", "configmap", "foreign", "-n", "shop")
    said = desk.unjoin("--prune", "--yes").stdout
    assert "ConfigMap shop/settings is left" in said
    left = kubectl(desk.member, "get", "configmaps,deployments", "-n", "shop", "-o", "name")
    assert "settings" in left
    assert "foreign" in left
    assert "web" not in left


def test_a_namespace_is_not_deleted_over_the_head_of_a_protected_object(desk: Desk) -> None:
    desk.write("shop.yaml", PROTECTED)
    joined_and_reconciled(desk)
    desk.unjoin("--prune", "--yes")
    namespace = desk.member.call("GET", "/api/v1/namespaces/shop")
    assert "deletionTimestamp" not in namespace["metadata"]


def test_a_member_that_is_gone_can_be_left(desk: Desk) -> None:
    joined_and_reconciled(desk)
    desk.member.stop()
    assert "--force" in desk.unjoin("--orphan", code=1).stderr
    said = desk.unjoin("--force").stdout
    assert "the member does not answer" in said
    secret = "/api/v1/namespaces/federation-system/secrets/aws-eu"
    assert desk.host.request("GET", secret).status == 404
    assert not (desk.repository / "clusters/aws-eu.yaml").exists()


def as_somebody_who_may_not_delete(desk: Desk, kubectl: Kubectl, resource: str) -> None:
    """The desk's user of the member loses the right to delete one kind."""
    everything = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list", "patch"]}
    kinds = {
        "": ["configmaps", "secrets", "serviceaccounts", "namespaces"],
        "apps": ["deployments"],
        "rbac.authorization.k8s.io": [
            "clusterroles",
            "clusterrolebindings",
            "roles",
            "rolebindings",
        ],
    }
    deleting = [
        {
            "apiGroups": [group],
            "resources": [name for name in names if name != resource],
            "verbs": ["delete", "update"],
        }
        for group, names in kinds.items()
    ]
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "half"},
        "rules": [everything, *deleting],
    }
    kubectl(desk.member, "apply", "-f", "-", input=json.dumps(role))
    kubectl(
        desk.member, "create", "clusterrolebinding", "half", "--clusterrole=half", "--user=viewer"
    )
    desk.become("viewer", "aws-eu")


def test_unjoin_can_be_repeated_after_it_failed_half_way(
    running_desk: Desk, kubectl: Kubectl
) -> None:
    desk = running_desk
    before = objects_of(desk.member, desk.host)
    joined_and_reconciled(desk)
    as_somebody_who_may_not_delete(desk, kubectl, "configmaps")
    said = desk.unjoin("--prune", "--yes", code=1)
    assert "configmaps" in said.stderr
    assert "run unjoin again" in said.stderr
    # The credential went first, the manifest goes last.
    assert "federation-system/aws-eu" in said.stdout
    assert (desk.repository / "clusters/aws-eu.yaml").exists()
    desk.become("admin", "aws-eu")
    kubectl(desk.member, "delete", "clusterrole,clusterrolebinding", "half")
    said = desk.unjoin("--prune", "--yes")
    assert objects_of(desk.member, desk.host) == before, said.stdout
    assert "Nothing of aws-eu was found" in desk.unjoin("--prune", "--yes").stderr


def test_force_goes_past_what_is_refused_and_tells_it(desk: Desk, kubectl: Kubectl) -> None:
    joined_and_reconciled(desk)
    as_somebody_who_may_not_delete(desk, kubectl, "configmaps")
    said = desk.unjoin("--prune", "--yes", "--force").stdout
    assert "not everything could be removed" in said
    assert "configmaps" in said
    assert not (desk.repository / "clusters/aws-eu.yaml").exists()


def test_other_members_of_the_same_host_keep_theirs(desk: Desk, kubectl: Kubectl) -> None:
    joined_and_reconciled(desk)
    desk.run("join", "other", "--cluster-context", "host")
    before = kubectl(desk.host, "get", "clusterroles", "-o", "name")
    assert "federation-reconciler:other-host" in before
    desk.unjoin("--orphan")
    assert kubectl(desk.host, "get", "secret", "other", "-n", "federation-system", "-o", "name")
    assert kubectl(desk.host, "get", "clusterroles", "-o", "name") == before


def test_a_namespace_that_was_there_before_stays(running_desk: Desk, kubectl: Kubectl) -> None:
    desk = running_desk
    kubectl(desk.member, "create", "namespace", "federation-system")
    desk.join()
    assert "join did not make it" in desk.unjoin("--orphan").stdout
    assert "Active" in kubectl(desk.member, "get", "namespace", "federation-system")


def test_places_that_still_name_the_cluster_are_told(desk: Desk) -> None:
    desk.write(
        "placements.yaml",
        "apiVersion: federation.reconciler.dev/v1alpha1\nkind: Placement\nmetadata: {name: web}\n"
        "spec: {select: [{kind: Deployment}], clusters: [aws-eu]}\n",
    )
    desk.join()
    said = desk.unjoin("--orphan").stderr
    assert "placements.yaml:4" in said
    assert "there is no cluster 'aws-eu'" in said


@pytest.mark.parametrize(
    ("answer", "code", "gone"),
    [("yes\n", 0, True), ("y\n", 1, False), ("\n", 1, False)],
    ids=["yes", "y is not yes", "just Enter"],
)
def test_on_a_terminal_it_shows_the_steps_and_asks(
    desk: Desk, answer: str, code: int, gone: bool
) -> None:
    joined_and_reconciled(desk)
    options = ("--prune", "--wait", "1s", "--repo", desk.repository)
    terminal = Terminal({**os.environ, **desk.environment}, "unjoin", "aws-eu", *options)
    terminal.read_until("Only 'yes' is taken for a yes")
    assert "and delete 3 objects in it" in terminal.text
    assert "Deployment.apps shop/web" in terminal.text
    terminal.type(answer)
    assert terminal.end() == code, terminal.text
    answered = desk.member.request("GET", "/apis/apps/v1/namespaces/shop/deployments/web")
    assert (answered.status == 404) is gone
