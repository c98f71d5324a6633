"""A fleet that a host lists as ClusterProfiles: never fewer clusters by a failure, and no
credential for another server than before."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kubesim.fleet import Sandbox
from kubesim.server import ClusterSettings
from reconciler.api.errors import BadInput, SourceError
from reconciler.api.notices import NoticeCause
from reconciler.api.options import RunOptions
from reconciler.plan.model import Plan
from reconciler.run.repository import validate_repository
from tests.scenarios.cluster_profiles import FLEET, definition, profile
from tests.scenarios.conftest import World
from tests.scenarios.manifests import NAMESPACE, SETTINGS, WEB
from tests.unit.git.repositories import commit, git

FEDERATION = """
apiVersion: federation.reconciler.dev/v1alpha1
kind: Federation
metadata: {name: shop}
spec:
  inventory: {clusterProfiles: {namespace: fleet}}
  defaults: {placement: {clusterSelector: {}}}
"""
SETTINGS_OF_CLUSTERS = ClusterSettings(nodes=1, established_after=0)
PLUGIN = """
import json, os, sys
with open({log!r}, "a") as file:
    file.write(json.dumps([sys.argv[1:], os.environ["KUBERNETES_EXEC_INFO"],
                           os.environ.get("REGION", "")]) + "\\n")
info = json.loads(os.environ["KUBERNETES_EXEC_INFO"])
tokens = json.load(open({tokens!r}))
token = tokens.get(info["spec"]["cluster"]["server"], "nobody")
print(json.dumps({{"apiVersion": info["apiVersion"], "kind": "ExecCredential",
                  "status": {{"token": token}}}}))
"""


@dataclass
class Fleet:
    """``aws`` and ``gcp`` are listed by ``host``; a plugin has a token for each."""

    world: World
    sandbox: Sandbox
    folder: Path

    @property
    def host(self) -> Any:
        return self.sandbox.cluster("host")

    def list_profile(self, name: str, server: str = "", **more: Any) -> None:
        body = profile(name, server or self.sandbox.cluster(name).url, **more)
        self.host.apply(body)
        self.host.edit(
            "ClusterProfile.multicluster.x-k8s.io",
            name,
            {"status": body["status"]},
            namespace=FLEET,
            subresource="status",
        )

    def unlist(self, name: str) -> None:
        self.world.kubectl("delete", "clusterprofiles", name, "-n", FLEET, cluster="host")

    def plugin_calls(self) -> list[Any]:
        log = self.folder / "log"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    def providers(self, **more: Any) -> None:
        execute = {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": sys.executable,
            "args": [str(self.folder / "plugin.py")],
            "provideClusterInfo": True,
        }
        body = {"providers": [{"name": "plugin", "execConfig": execute, **more}]}
        (self.folder / "providers.json").write_text(json.dumps(body))


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    repository = tmp_path / "repository"
    repository.mkdir()
    folder = tmp_path / "plugin"
    folder.mkdir()
    with Sandbox(["host", "aws", "gcp"], settings=SETTINGS_OF_CLUSTERS) as sandbox:
        sandbox.cluster("host").apply(definition("ClusterProfile"))
        for namespace in (FLEET, "federation-system"):
            sandbox.cluster("host").apply(
                {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
            )
        tokens = {sandbox.cluster(n).url: sandbox.cluster(n).token for n in ("aws", "gcp")}
        (folder / "tokens").write_text(json.dumps(tokens))
        text = PLUGIN.format(log=str(folder / "log"), tokens=str(folder / "tokens"))
        (folder / "plugin.py").write_text(text)
        world = World(
            repository,
            sandbox.kubeconfig,
            {
                "host_context": "host",
                "access_providers": folder / "providers.json",
                "allow_access": ("plain-http",),
                "state": str(tmp_path / "memory.json"),
                "plan_only": False,
            },
        )
        world.write("federation.yaml", FEDERATION)
        world.write("shop.yaml", f"{NAMESPACE}---{SETTINGS}")
        made = Fleet(world, sandbox, folder)
        made.providers()
        made.list_profile("aws", properties={"topology.kubernetes.io/region": "eu-central-1"})
        made.list_profile("gcp", labels={"cloud": "gcp"}, field="credentialProviders")
        yield made


def causes(plan: Plan) -> list[NoticeCause]:
    return [notice.cause for notice in plan.notices]


def test_listed_clusters_get_what_git_says(fleet: Fleet) -> None:
    assert fleet.world.apply().ok
    for name in ("aws", "gcp"):
        assert fleet.world.exists("configmap", "settings", cluster=name)
    assert not fleet.world.plan().has_changes
    asked = {json.loads(call[1])["spec"]["cluster"]["server"] for call in fleet.plugin_calls()}
    assert asked == {fleet.sandbox.cluster(name).url for name in ("aws", "gcp")}


def test_labels_and_properties_place_things(fleet: Fleet) -> None:
    fleet.world.write(
        "federation.yaml",
        FEDERATION.replace(
            "{clusterSelector: {}}",
            "{clusterSelector: {matchLabels: {topology.kubernetes.io/region: eu-central-1}}}",
        ),
    )
    assert fleet.world.apply().ok
    assert fleet.world.exists("configmap", "settings", cluster="aws")
    assert not fleet.world.exists("configmap", "settings", cluster="gcp")


def test_the_selector_says_which_profiles_are_taken(fleet: Fleet) -> None:
    text = FEDERATION.replace(
        "namespace: fleet", "namespace: fleet, selector: {matchLabels: {cloud: gcp}}"
    )
    fleet.world.write("federation.yaml", text)
    assert [cluster.name for cluster in fleet.world.plan().clusters] == ["gcp"]


@pytest.mark.parametrize("code", [500, 403, 404])
def test_a_host_that_does_not_answer_lists_what_it_listed_before(fleet: Fleet, code: int) -> None:
    assert fleet.world.apply().ok
    fleet.host.faults.error(code, path="clusterprofiles")
    plan = fleet.world.plan()
    assert [cluster.name for cluster in plan.clusters] == ["aws", "gcp"]
    assert not plan.has_changes
    assert NoticeCause.INVENTORY_SILENT in causes(plan)


def test_a_page_that_is_missing_is_a_list_that_failed(fleet: Fleet) -> None:
    assert fleet.world.apply().ok
    fleet.host.faults.small_pages(1, path="clusterprofiles")
    assert [cluster.name for cluster in fleet.world.plan().clusters] == ["aws", "gcp"]
    fleet.host.faults.forbid(path="clusterprofiles.*continue=")
    plan = fleet.world.plan()
    assert [cluster.name for cluster in plan.clusters] == ["aws", "gcp"]
    assert NoticeCause.INVENTORY_SILENT in causes(plan)


def test_a_failed_list_is_not_remembered_as_the_fleet(fleet: Fleet) -> None:
    assert fleet.world.apply().ok
    fleet.host.faults.forbid(path="clusterprofiles")
    assert fleet.world.apply().ok
    assert [cluster.name for cluster in fleet.world.plan().clusters] == ["aws", "gcp"]


def test_without_an_answer_or_a_memory_nothing_is_done(fleet: Fleet) -> None:
    fleet.host.faults.forbid(path="clusterprofiles")
    with pytest.raises(SourceError, match="the inventory cannot be read"):
        fleet.world.plan()


def test_an_inventory_that_is_suddenly_empty_is_doubted(fleet: Fleet) -> None:
    assert fleet.world.apply().ok
    fleet.unlist("aws")
    fleet.unlist("gcp")
    plan = fleet.world.plan()
    assert [cluster.name for cluster in plan.clusters] == ["aws", "gcp"]
    assert NoticeCause.INVENTORY_EMPTY in causes(plan)


def test_a_profile_that_goes_leaves_what_runs_in_its_cluster(fleet: Fleet) -> None:
    assert fleet.world.apply().ok
    fleet.unlist("gcp")
    prepared = fleet.world.prepare()
    assert [cluster.name for cluster in prepared.plan.clusters] == ["aws"]
    assert NoticeCause.CLUSTER_NOT_LISTED in causes(prepared.plan)
    assert fleet.world.apply().ok
    assert fleet.world.exists("configmap", "settings", cluster="gcp")


def test_git_goes_first_field_by_field(fleet: Fleet) -> None:
    fleet.world.write(
        "aws.yaml",
        """
        apiVersion: federation.reconciler.dev/v1alpha1
        kind: Cluster
        metadata: {name: aws, labels: {tier: gold}}
        spec: {region: eu-west-1, weight: 3, taints: [{key: old, effect: NoSchedule}]}
        """,
    )
    fleet.list_profile(
        "aws",
        labels={"tier": "tin", "cloud": "aws"},
        properties={
            "topology.kubernetes.io/region": "eu-central-1",
            "topology.kubernetes.io/zone": "c",
        },
    )
    prepared = fleet.world.prepare()
    aws = next(c for c in prepared.state.clusters if c.name == "aws")
    assert (aws.region, aws.zone, aws.weight) == ("eu-west-1", "c", 3)
    assert aws.all_labels["tier"] == "gold"
    assert aws.all_labels["cloud"] == "aws"
    assert aws.all_labels["topology.kubernetes.io/region"] == "eu-west-1"
    assert [str(taint) for taint in aws.taints] == ["old=:NoSchedule"]
    (told,) = (n for n in prepared.plan.notices if n.cause is NoticeCause.IN_GIT_AND_INVENTORY)
    assert "label tier, spec.region, spec.taints, spec.weight" in str(told)
    # Its access is still the profile's.
    assert all(cluster.reachable for cluster in prepared.plan.clusters)


def test_a_manager_that_calls_a_cluster_unhealthy_decides_nothing(fleet: Fleet) -> None:
    fleet.list_profile("gcp", healthy="False")
    plan = fleet.world.plan()
    assert all(cluster.reachable for cluster in plan.clusters)
    (told,) = (n for n in plan.notices if n.cause is NoticeCause.PROFILE_UNHEALTHY)
    assert "gcp" in str(told)


def test_a_profile_that_names_another_server_gets_no_credential(fleet: Fleet) -> None:
    assert fleet.world.apply().ok
    before = len(fleet.plugin_calls())
    fleet.list_profile("gcp", "http://127.0.0.1:1", field="credentialProviders")
    plan = fleet.world.plan()
    (gcp,) = (cluster for cluster in plan.clusters if cluster.name == "gcp")
    assert "it was not sent" in gcp.problem
    assert "kubectl delete configmap -n federation-system cluster-profile-" in gcp.problem
    asked = [json.loads(call[1]) for call in fleet.plugin_calls()[before:]]
    assert {one["spec"]["cluster"]["server"] for one in asked} == {fleet.sandbox.cluster("aws").url}


def test_two_profiles_of_one_server_are_both_left_alone(fleet: Fleet) -> None:
    fleet.list_profile("twin", fleet.sandbox.cluster("aws").url)
    plan = fleet.world.plan()
    reasons = {cluster.name: cluster.problem for cluster in plan.clusters}
    assert "same server as ClusterProfile twin" in reasons["aws"]
    assert "same server as ClusterProfile aws" in reasons["twin"]
    assert fleet.world.apply().plan.has_failures
    assert fleet.world.exists("configmap", "settings", cluster="gcp")
    assert not fleet.world.exists("configmap", "settings", cluster="aws")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"provider": "other"}, "names the access providers other, and"),
        ({"insecure-skip-tls-verify": True}, "--allow-access insecure-tls"),
        ({"certificate-authority": "/etc/passwd"}, "names a file"),
        ({"proxy-url": "http://proxy.example:80"}, "--allow-access proxy"),
        ({"server": "https://user:word@example.org"}, "no https:// address of a server alone"),
    ],
)
def test_what_a_profile_must_not_say(fleet: Fleet, more: dict[str, Any], said: str) -> None:
    fleet.list_profile("gcp", **{"field": "credentialProviders", **more})
    plan = fleet.world.plan()
    (gcp,) = (cluster for cluster in plan.clusters if cluster.name == "gcp")
    assert said in gcp.problem
    assert len(fleet.plugin_calls()) == 1


def test_a_profile_without_providers_is_one_clusters_trouble(fleet: Fleet) -> None:
    body = profile("gcp")
    body["status"]["credentialProviders"] = None
    fleet.host.edit(
        "ClusterProfile.multicluster.x-k8s.io",
        "gcp",
        {"status": body["status"]},
        namespace=FLEET,
        subresource="status",
    )
    plan = fleet.world.plan()
    reasons = {cluster.name: cluster.problem for cluster in plan.clusters}
    assert "names no access provider" in reasons["gcp"]
    assert not reasons["aws"]


def test_arguments_and_variables_of_a_profile_go_by_the_policies_of_the_file(
    fleet: Fleet,
) -> None:
    more = {
        "clusterprofiles.multicluster.x-k8s.io/exec/additional-args": ["--cluster", "gcp; rm"],
        "clusterprofiles.multicluster.x-k8s.io/exec/additional-envs": {"REGION": "eu"},
        "client.authentication.k8s.io/exec": {"audience": "x"},
    }
    fleet.list_profile("gcp", extensions=more, field="credentialProviders")
    fleet.world.plan()
    assert [call[0] for call in fleet.plugin_calls()] == [[], []]
    assert {call[2] for call in fleet.plugin_calls()} == {""}
    fleet.providers(
        profileSourcedCLIArgsPolicy="Append", profileSourcedEnvVarsPolicy="AppendIfNotExists"
    )
    fleet.world.plan()
    last = next(call for call in fleet.plugin_calls()[2:] if call[0])
    assert last[0] == ["--cluster", "gcp; rm"]
    assert last[2] == "eu"
    assert json.loads(last[1])["spec"]["cluster"]["config"] == {"audience": "x"}


def test_a_profile_sets_no_variable_that_decides_what_runs(fleet: Fleet) -> None:
    fleet.providers(profileSourcedEnvVarsPolicy="Replace")
    key = "clusterprofiles.multicluster.x-k8s.io/exec/additional-envs"
    more = {key: {"LD_PRELOAD": "/tmp/x.so"}}
    fleet.list_profile("gcp", extensions=more, field="credentialProviders")
    plan = fleet.world.plan()
    reasons = {cluster.name: cluster.problem for cluster in plan.clusters}
    assert "sets LD_PRELOAD" in reasons["gcp"]


def test_names_of_clusters_that_nobody_lists_are_told_and_stop_nothing(fleet: Fleet) -> None:
    fleet.world.write(
        "placement.yaml",
        """
        apiVersion: federation.reconciler.dev/v1alpha1
        kind: Placement
        metadata: {name: settings}
        spec: {select: [{kind: ConfigMap}], clusters: [aws, gpc]}
        """,
    )
    plan = fleet.world.plan()
    (told,) = (n for n in plan.notices if n.cause is NoticeCause.NAMED_NOT_LISTED)
    assert "placement.yaml:5" in str(told)
    assert "did you mean gcp?" in str(told)
    assert fleet.world.apply().ok
    assert not fleet.world.exists("configmap", "settings", cluster="gcp")


def test_validate_asks_no_host_and_says_so(fleet: Fleet) -> None:
    fleet.sandbox.cluster("host").stop()
    options = RunOptions(repo=str(fleet.world.repository))
    fleet.world.write("web.yaml", WEB)
    told = [notice.cause for notice in validate_repository(options).state.notices]
    assert told == [NoticeCause.INVENTORY_NOT_ASKED]


def test_without_a_file_of_providers_no_plugin_is_run(fleet: Fleet) -> None:
    kubeconfig = fleet.folder / "host-only"
    text = fleet.world.kubeconfig.read_text().replace('name: "gcp"', 'name: "somebody"')
    kubeconfig.write_text(text)
    plan = fleet.world.plan(access_providers=None, kubeconfig=str(kubeconfig))
    reasons = {cluster.name: cluster.problem for cluster in plan.clusters}
    assert "no file of access providers was given" in reasons["gcp"]
    # A context of the cluster's own name serves a person at a desk, as for any Cluster.
    assert not reasons["aws"]
    assert fleet.plugin_calls() == []


def test_publishing_without_an_inventory_names_the_line(fleet: Fleet) -> None:
    fleet.world.write(
        "federation.yaml",
        FEDERATION.replace(
            "inventory: {clusterProfiles: {namespace: fleet}}",
            "publish: {placementDecisions: {namespace: fleet}}",
        ),
    )
    with pytest.raises(BadInput) as caught:
        fleet.world.plan()
    assert any("federation.yaml:6:3" in str(p.position) for p in caught.value.problems)


WAVES = """
apiVersion: federation.reconciler.dev/v1alpha1
kind: Federation
metadata: {name: shop}
spec:
  inventory: {clusterProfiles: {namespace: fleet}}
  defaults: {placement: {clusterSelector: {}}}
  rollout: {waves: [{name: canary, clusters: [aws]}]}
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {name: web}
spec:
  select: [{kind: Deployment}]
  clusters: [aws, gcp]
  replicas: {mode: Divided, total: 6, clusters: [{name: aws, weight: 5}, {name: gcp}]}
"""
IN_GIT = """
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: %s}
---
"""


def shares(fleet: Fleet) -> dict[str, int]:
    found = {n: fleet.sandbox.cluster(n).find("Deployment", "web", "shop") for n in ("aws", "gcp")}
    return {name: one["spec"]["replicas"] for name, one in found.items() if one}


@pytest.mark.parametrize("leaves_list", [False, True])
def test_listed_clusters_keep_their_shares_while_they_are_on_two_commits(
    fleet: Fleet, leaves_list: bool
) -> None:
    repository = fleet.world.repository
    fleet.world.options["lock"] = "none"
    git(repository, "init", "-q", "-b", "main")
    shop = f"{NAMESPACE}---{SETTINGS}---{WEB}"
    commit(repository, {"federation.yaml": WAVES, "shop.yaml": shop})
    for _ in range(2):
        assert fleet.world.apply().ok
    assert shares(fleet) == {"aws": 5, "gcp": 1}
    files = {"shop.yaml": shop.replace("green", "red")}
    if leaves_list:
        line = "  inventory: {clusterProfiles: {namespace: fleet}}\n"
        files["federation.yaml"] = WAVES.replace(line, "")
        files["clusters.yaml"] = "".join(IN_GIT % name for name in ("aws", "gcp"))
    commit(repository, files)
    assert fleet.world.apply().ok
    found = [fleet.sandbox.cluster(n).find("ConfigMap", "settings", "shop") for n in ("aws", "gcp")]
    assert [one and one["data"]["colour"] for one in found] == ["red", "green"]
    for _ in range(3):
        assert shares(fleet) == {"aws": 5, "gcp": 1}
        assert fleet.world.apply().ok
