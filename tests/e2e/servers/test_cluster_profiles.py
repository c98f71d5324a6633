"""A host lists its fleet as ClusterProfiles: the command from the first plan to a failover that
others follow, with a credential plugin that asks each server for a token of its own."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from tests.command import ROOT, run_command, user_environment
from tests.controlplane.cluster import Cluster
from tests.controlplane.fixtures import Fleet, Kubectl
from tests.controlplane.process import eventually
from tests.scenarios.cluster_profiles import FLEET, GROUP, definition, profile

CRONJOB = ROOT / "cronjob"
MANIFESTS = """\
apiVersion: federation.reconciler.dev/v1alpha1
kind: Federation
metadata: {name: shop}
spec:
  inventory: {clusterProfiles: {namespace: fleet, selector: {matchLabels: {env: prod}}}}
  publish: {placementDecisions: {namespace: fleet}}
  failover:
    enabled: true
    unhealthyAfter: 1s
    maxUnhealthy: 1
    probe: {timeout: 1s, attempts: 1}
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {name: web}
spec:
  select: [{kind: Deployment}]
  clusterSelector: {}
  replicas: {mode: Divided}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: default}
spec:
  replicas: 4
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "registry.example/web:1"}]}
"""
PLUGIN = """\
#!{python}
import base64, json, os, ssl, sys, urllib.request

info = json.loads(os.environ["KUBERNETES_EXEC_INFO"])
cluster = info["spec"]["cluster"]
assert sys.argv[1:] == ["--name", cluster["config"]["name"]], sys.argv
authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
with open(os.environ["ADMINS"]) as file:
    admin = json.load(file)[cluster["server"]]
request = urllib.request.Request(
    cluster["server"] + "/api/v1/namespaces/default/serviceaccounts/fleet/token",
    json.dumps({{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
                "spec": {{"expirationSeconds": 600}}}}).encode(),
    {{"authorization": "Bearer " + admin, "content-type": "application/json"}},
)
context = ssl.create_default_context(cadata=authority)
kept = os.environ["ADMINS"] + "." + cluster["config"]["name"]
if not os.path.exists(kept):
    # Kept as the clouds' plugins do, which ask nobody while a token holds.
    with urllib.request.urlopen(request, context=context) as answer, open(kept, "wb") as file:
        file.write(answer.read())
with open(kept) as file:
    status = json.load(file)["status"]
print(json.dumps({{"apiVersion": info["apiVersion"], "kind": "ExecCredential", "status": {{
    "token": status["token"], "expirationTimestamp": status["expirationTimestamp"]}}}}))
"""


def admitted(cluster: Cluster, kubectl: Kubectl) -> None:
    """The account whose tokens the plugin gives."""
    kubectl(cluster, "create", "serviceaccount", "fleet", "-n", "default")
    role = ("--clusterrole=cluster-admin", "--serviceaccount=default:fleet")
    kubectl(cluster, "create", "clusterrolebinding", "fleet", *role)


def granted(host: Cluster, file: str, role: str, namespace: str) -> None:
    """The Role of that name in cronjob/, to the user ``reconciler``: it has no other rights."""
    documents = yaml.safe_load_all((CRONJOB / file).read_text())
    (found,) = [d for d in documents if d["kind"] == "Role" and d["metadata"]["name"] == role]
    path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
    host.call("POST", f"{path}/roles", found)
    group = "rbac.authorization.k8s.io"
    binding = {
        "metadata": {"name": role},
        "roleRef": {"apiGroup": group, "kind": "Role", "name": role},
        "subjects": [{"apiGroup": group, "kind": "User", "name": "reconciler"}],
    }
    host.call("POST", f"{path}/rolebindings", binding)


def listed(host: Cluster, name: str, cluster: Cluster) -> None:
    """As a cluster manager writes it: the profile, then its status."""
    extensions = {
        "client.authentication.k8s.io/exec": {"name": name},
        "clusterprofiles.multicluster.x-k8s.io/exec/additional-args": ["--name", name],
    }
    ca = cluster.certificate.read_text()
    body = profile(name, cluster.url, ca=ca, labels={"env": "prod"}, extensions=extensions)
    path = f"/apis/{GROUP}/v1alpha1/namespaces/{FLEET}/clusterprofiles"
    status = body.pop("status")
    host.call("POST", path, body)
    host.patch(f"{path}/{name}/status", {"status": status}, manager="manager")


def test_a_listed_fleet_from_the_first_plan_to_a_failover(
    fleet: Fleet, kubectl: Kubectl, tmp_path: Path
) -> None:
    host, aws, gcp = fleet(3)
    for kind in ("ClusterProfile", "PlacementDecision"):
        crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        host.call("POST", crds, definition(kind))
        path = f"/apis/{GROUP}/v1alpha1/{kind.lower()}s"
        eventually(lambda path=path: host.request("GET", path).status == 200, path)
    for namespace in (FLEET, "federation-system"):
        kubectl(host, "create", "namespace", namespace)
    granted(host, "base/access.yaml", "reconcile", "federation-system")
    rights = "overlays/cluster-profiles/rights.yaml"
    granted(host, rights, "reconcile-cluster-profiles", FLEET)
    for name, cluster in (("aws", aws), ("gcp", gcp)):
        admitted(cluster, kubectl)
        listed(host, name, cluster)

    repository = tmp_path / "repository"
    repository.mkdir()
    (repository / "all.yaml").write_text(MANIFESTS)
    plugin = tmp_path / "plugin"
    plugin.write_text(PLUGIN.format(python=sys.executable))
    plugin.chmod(0o755)
    admins = tmp_path / "admins.json"
    admins.write_text(json.dumps({one.url: one.tokens["admin"] for one in (aws, gcp)}))
    provider = {
        "name": "plugin",
        "execConfig": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": "./plugin",
            "env": [{"name": "ADMINS", "value": str(admins)}],
            "provideClusterInfo": True,
        },
        "profileSourcedCLIArgsPolicy": "Append",
    }
    providers = tmp_path / "providers.json"
    providers.write_text(json.dumps({"providers": [provider]}))
    environment = user_environment(
        tmp_path,
        KUBECONFIG=str(host.kubeconfig("reconciler", context="host")),
        RECONCILE_HOST_CONTEXT="host",
        RECONCILE_ACCESS_PROVIDERS=str(providers),
    )

    def reconcile(*arguments: str, code: int) -> str:
        done = run_command(*arguments, cwd=repository, env=environment, code=code)
        said = done.stdout + done.stderr
        for one in (host, aws, gcp):
            assert one.tokens["admin"] not in said
        assert "eyJ" not in said
        return said

    def decided() -> list[str]:
        path = f"/apis/{GROUP}/v1alpha1/namespaces/{FLEET}/placementdecisions"
        (one,) = host.call("GET", path)["items"]
        return [entry["clusterProfileRef"]["name"] for entry in one["decisions"]]

    def replicas(cluster: Cluster) -> Any:
        found = cluster.request("GET", "/apis/apps/v1/namespaces/default/deployments/web")
        return found.body["spec"]["replicas"] if found.status == 200 else None

    planned = reconcile("--plan", "--detailed-exitcode", code=2)
    assert "+ PlacementDecision fleet/shop.web-0: aws, gcp" in planned
    assert replicas(aws) is None
    reconcile("--yes", code=0)
    assert [replicas(aws), replicas(gcp)] == [2, 2]
    assert decided() == ["aws", "gcp"]
    reconcile("--plan", "--detailed-exitcode", code=0)

    # A list that fails is no smaller fleet.
    crd = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/clusterprofiles.{GROUP}"
    served = host.call("GET", crd)
    served["spec"]["versions"][0]["served"] = False
    host.call("PUT", crd, served)
    path = f"/apis/{GROUP}/v1alpha1/clusterprofiles"
    eventually(lambda: host.request("GET", path).status == 404, "the kind is not served")
    said = reconcile("--plan", "--detailed-exitcode", code=0)
    assert "the 2 clusters that it listed before are taken" in " ".join(said.split())
    served = host.call("GET", crd)
    served["spec"]["versions"][0]["served"] = True
    host.call("PUT", crd, served)
    eventually(lambda: host.request("GET", path).status == 200, "the kind is served")

    gcp.stop()
    try:
        for _ in range(8):
            said = reconcile("--yes", code=1)
            if replicas(aws) == 4:
                break
            time.sleep(1)
        assert replicas(aws) == 4, said
        assert decided() == ["aws"]
    finally:
        gcp.start()

    target = tmp_path / "imported"
    command = ("import", "--from", "clusterprofiles", "--context", "host", "--namespace", FLEET)
    assert "Valid: 2 Cluster" in reconcile(*command, "--to", str(target), code=0)
    assert (target / "clusters" / "gcp.yaml").is_file()
