"""What controllers do; slow on the real side, where Pods have to be pretended to run."""

from __future__ import annotations

from typing import Any

import yaml

from tests.contract.sides import Api, path_of

Object = dict[str, Any]


def objects(text: str) -> list[Object]:
    return list(yaml.safe_load_all(text))


def test_a_namespace_comes_with_an_account_and_takes_everything_along(running_api: Api) -> None:
    api = running_api
    namespace, settings = objects("""
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: shop}
data: {a: b}
""")
    created = api.apply(namespace).body
    assert created["metadata"]["labels"] == {"kubernetes.io/metadata.name": "shop"}
    assert created["spec"] == {"finalizers": ["kubernetes"]}
    assert created["status"] == {"phase": "Active"}
    account = "/api/v1/namespaces/shop/serviceaccounts/default"
    api.eventually(lambda: api("GET", account).status == 200)
    certificate = "/api/v1/namespaces/shop/configmaps/kube-root-ca.crt"
    api.eventually(lambda: api("GET", certificate).status == 200)
    api.apply(settings)
    going = api.delete(namespace).body
    assert going["status"]["phase"] == "Terminating"
    assert going["metadata"]["deletionTimestamp"]
    api.eventually(lambda: api("GET", path_of(namespace)).status == 404)
    assert api("GET", path_of(settings)).status == 404


def test_a_terminating_namespace_takes_nothing_new(running_api: Api) -> None:
    api = running_api
    namespace, held, settings = objects("""
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: held, namespace: shop, finalizers: [example.com/hold]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: shop}
""")
    api.apply(namespace)
    api.apply(held)
    api.delete(namespace)
    answer = api.apply(settings)
    assert answer.status == 403
    assert answer.body["reason"] == "Forbidden"
    assert "because it is being terminated" in answer.body["message"]
    assert answer.causes == [("metadata.namespace", "namespace shop is being terminated")]
    api.apply({**held, "metadata": {"name": "held", "namespace": "shop", "finalizers": []}})
    release = {"metadata": {"finalizers": None}}
    api("PATCH", path_of(held), release, content_type="application/merge-patch+json")
    api.eventually(lambda: api("GET", path_of(namespace)).status == 404)


def owner_and_child(api: Api) -> tuple[Object, Object]:
    owner, child = objects("""
apiVersion: v1
kind: ConfigMap
metadata: {name: owner, namespace: default}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: child, namespace: default}
""")
    uid = api.apply(owner).body["metadata"]["uid"]
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid}
    child["metadata"]["ownerReferences"] = [reference]
    api.apply(child)
    return owner, child


def test_children_go_with_their_owner(running_api: Api) -> None:
    api = running_api
    owner, child = owner_and_child(api)
    api.delete(owner)
    api.eventually(lambda: api("GET", path_of(child)).status == 404)


def test_children_may_be_orphaned(running_api: Api) -> None:
    api = running_api
    owner, child = owner_and_child(api)
    api.delete(owner, propagationPolicy="Orphan")
    api.eventually(lambda: api("GET", path_of(owner)).status == 404)
    assert "ownerReferences" not in api.get(child)["metadata"]


def test_an_owner_in_the_foreground_waits_for_its_children(running_api: Api) -> None:
    api = running_api
    owner, child = owner_and_child(api)
    answer = api.delete(owner, propagationPolicy="Foreground")
    assert answer.body["metadata"]["finalizers"] == ["foregroundDeletion"]
    api.eventually(lambda: api("GET", path_of(owner)).status == 404)
    api.eventually(lambda: api("GET", path_of(child)).status == 404)


def test_a_deployment_becomes_available(running_api: Api) -> None:
    api = running_api
    (web,) = objects("""
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: default}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "nginx:1"}]}
""")
    api.apply(web)
    api.eventually(lambda: api.get(web)["status"].get("availableReplicas") == 2, 60)

    def settled() -> Object | None:
        live = api.get(web)
        done = [
            c["reason"] for c in live["status"]["conditions"] if c["type"] == "Progressing"
        ] == ["NewReplicaSetAvailable"]
        return live if done else None

    live = api.eventually(settled, 60)
    status = live["status"]
    assert status["observedGeneration"] == live["metadata"]["generation"] == 1
    counts = ("replicas", "updatedReplicas", "readyReplicas")
    assert [status[count] for count in counts] == [2, 2, 2]
    assert {c["type"]: c["status"] for c in status["conditions"]} == {
        "Available": "True",
        "Progressing": "True",
    }
    assert live["metadata"]["annotations"] == {"deployment.kubernetes.io/revision": "1"}
    (entry,) = [
        e for e in live["metadata"]["managedFields"] if e["manager"] == "kube-controller-manager"
    ]
    assert (entry["operation"], entry["subresource"]) == ("Update", "status")
    assert entry["fieldsV1"]["f:metadata"] == {
        "f:annotations": {".": {}, "f:deployment.kubernetes.io/revision": {}}
    }
    # What controllers write does not concern the applier.
    assert api.apply(web).status == 200
    assert api.get(web)["metadata"]["resourceVersion"] == live["metadata"]["resourceVersion"]
