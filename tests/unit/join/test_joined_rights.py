"""What a run does with a joined credential, and nothing else, on real servers."""

from __future__ import annotations

import json
import shutil
import stat
import sys
from pathlib import Path

import pytest
import yaml

from tests.controlplane.fixtures import Kubectl
from tests.definitions import definition_text

from .conftest import ROOT, SHOP, UNTIL_GONE, Desk, objects_of

ACCOUNT = "system:serviceaccount:federation-system:aws-eu-host"

WIDGET = f"""
{definition_text("Widget")}
---
apiVersion: example.com/v1
kind: Widget
metadata: {{name: one, namespace: shop}}
spec: {{size: 1}}
"""


def without_member_context(desk: Desk) -> None:
    """From now on the desk has no other way into the member than the host's Secret."""
    config = yaml.safe_load(desk.kubeconfig.read_text())
    config["contexts"] = [c for c in config["contexts"] if c["name"] == "host"]
    path = desk.home / "host-only.kubeconfig"
    path.write_text(yaml.safe_dump(config))
    desk.environment["KUBECONFIG"] = str(path)


def test_no_request_of_a_run_is_refused(desk: Desk) -> None:
    desk.join()
    without_member_context(desk)
    with desk.member.recorded() as requests:
        desk.run("--yes")
        desk.run("--plan", "--detailed-exitcode")
        desk.run("clusters")
    ours = [request for request in requests if request.user == ACCOUNT]
    assert ours
    assert ours == requests
    assert not [request for request in ours if request.code in (401, 403)]


def test_the_sample_repository_runs_by_a_joined_credential(desk: Desk, kubectl: Kubectl) -> None:
    shutil.rmtree(desk.repository)
    shutil.copytree(ROOT / "sample-repo", desk.repository)
    desk.join("--overwrite", "--label", "env=production")
    assert desk.manifest()["metadata"]["labels"]["continent"] == "europe"
    without_member_context(desk)
    with desk.member.recorded() as requests:
        desk.run("--yes", "--cluster", "aws-eu", code=0)
    assert not [r for r in requests if r.user == ACCOUNT and r.code == 403]
    assert "catalog" in kubectl(desk.member, "get", "deployments", "-n", "shop", "-o", "name")
    assert "shop-on-call" in kubectl(desk.member, "get", "clusterroles", "-o", "name")


def test_kinds_that_the_repository_itself_defines_can_be_written(
    desk: Desk, kubectl: Kubectl
) -> None:
    desk.write("widgets.yaml", WIDGET)
    desk.join()
    without_member_context(desk)
    desk.run("--yes")
    assert "one" in kubectl(desk.member, "get", "widgets", "-n", "shop", "-o", "name")


def test_what_left_the_repository_can_still_be_pruned_after_joining_again(
    desk: Desk, kubectl: Kubectl
) -> None:
    desk.join()
    desk.run("--yes")
    desk.write("shop.yaml", SHOP.partition("---\napiVersion: apps/v1")[0])
    desk.join()
    without_member_context(desk)
    desk.run("--yes")
    assert not kubectl(desk.member, "get", "deployments", "-n", "shop", "-o", "name")
    # Once it is gone, so is the right to it.
    desk.environment["KUBECONFIG"] = str(desk.kubeconfig)
    desk.join()
    assert desk.as_joined("auth", "can-i", "create", "deployments.apps").stdout.strip() == "no"


@pytest.mark.parametrize("sees", [True, False])
def test_a_namespace_is_pruned_only_by_an_account_that_may_look_into_it(
    desk: Desk, kubectl: Kubectl, sees: bool
) -> None:
    keep = SHOP.replace("name: shop}", "name: keep}").replace("namespace: shop", "namespace: keep")
    desk.write("keep.yaml", keep)
    desk.join(*(["--see-everything"] if sees else []))
    without_member_context(desk)
    desk.run("--yes")
    (desk.repository / "shop.yaml").unlink()
    said = desk.run("--yes")
    namespace = desk.member.call("GET", "/api/v1/namespaces/shop")
    assert ("deletionTimestamp" in namespace["metadata"]) is sees
    if not sees:
        assert "that cannot be listed" in said.stdout + said.stderr


def test_a_plugin_gives_the_credential_where_none_is_stored(desk: Desk) -> None:
    desk.join("--auth", "exec", "--user", "reconciler")
    credential = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": desk.member.tokens["reconciler"]},
    }
    plugin = desk.home / "plugin.py"
    plugin.write_text(f"#!{sys.executable}\nprint({json.dumps(json.dumps(credential))})\n")
    plugin.chmod(plugin.stat().st_mode | stat.S_IXUSR)
    config = yaml.safe_load(Path(desk.kubeconfig).read_text())
    (user,) = [u for u in config["users"] if u["name"].endswith("aws-eu")]
    user["user"] = {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": str(plugin),
            "interactiveMode": "Never",
        }
    }
    path = desk.home / "plugin.kubeconfig"
    path.write_text(yaml.safe_dump(config))
    desk.environment["KUBECONFIG"] = str(path)
    with desk.member.recorded() as requests:
        desk.run("--yes")
    assert {request.user for request in requests} == {"reconciler"}
    assert not [request for request in requests if request.code == 403]


def test_a_server_that_grants_less_time_is_taken_at_its_word(desk: Desk) -> None:
    # Servers cap what is asked for; the annotation tells what was given, not what was wished.
    desk.join("--token-lifetime", "10m")
    annotations = desk.secret()["metadata"]["annotations"]
    assert annotations["federation.reconciler.dev/token-lifetime"] == "600s"
    assert (
        annotations["federation.reconciler.dev/token-expires"]
        > annotations["federation.reconciler.dev/token-issued"]
    )


def test_another_address_can_be_given_for_the_reconciler(desk: Desk) -> None:
    address = desk.member.url.replace("127.0.0.1", "localhost")
    said = desk.join("--api-endpoint", address)
    assert "this machine's own" in said.stderr
    config = yaml.safe_load(desk.credential().read_text())
    assert config["clusters"][0]["cluster"]["server"] == address


def test_two_bare_clusters_become_a_federation_and_two_bare_clusters_again(
    running_desk: Desk,
) -> None:
    """The host is a member, too, as in many a small fleet."""
    desk = running_desk
    before = objects_of(desk.member, desk.host)
    desk.join("--label", "env=production")
    desk.run("join", "main", "--cluster-context", "host", "--host-cluster-context", "host")
    without_member_context(desk)
    desk.run("--yes", "--host-context", "host")
    desk.run(
        "status", "--host-context", "host", "--watch", "--interval", "500ms", "--timeout", "60s"
    )
    found = json.loads(desk.run("clusters", "--host-context", "host", "-o", "json").stdout)
    assert [(row["name"], row["ready"], row["managed"]) for row in found["clusters"]] == [
        ("aws-eu", True, 3),
        ("main", True, 3),
    ]
    assert {row["nodes"]["ready"] for row in found["clusters"]} == {1}
    desk.environment["KUBECONFIG"] = str(desk.kubeconfig)
    asked = ("unjoin", "main", "--prune", "--yes", "--cluster-context", "host")
    said = [desk.unjoin("--prune", "--yes"), desk.run(*asked, "--wait", UNTIL_GONE)]
    assert objects_of(desk.member, desk.host) == before, [one.stdout for one in said]
