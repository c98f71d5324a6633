"""Create, update, patch, delete; namespaces; what may not change."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.contract.sides import JSON_PATCH, MERGE, STRATEGIC, Api, path_of
from tests.node_ports import CONTRACT_PORT

Object = dict[str, Any]


def manifest(text: str) -> Object:
    found: Object = yaml.safe_load(text)
    return found


WEB = manifest("""
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: default}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "nginx:1"}, {name: log, image: "fluent:1"}]}
""")
SETTINGS = manifest("""
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: default}
data: {colour: red}
""")


def changed(obj: Object, **spec: Any) -> Object:
    return {**obj, "spec": {**obj["spec"], **spec}}


def test_what_exists_cannot_be_created(api: Api) -> None:
    assert api.create(SETTINGS).status == 201
    answer = api.create(SETTINGS)
    assert answer.status == 409
    assert answer.body["reason"] == "AlreadyExists"
    assert answer.body["message"] == 'configmaps "settings" already exists'


def test_a_generated_name_is_completed(api: Api) -> None:
    obj = {**SETTINGS, "metadata": {"generateName": "settings-"}}
    path = path_of(SETTINGS).rpartition("/")[0]
    assert api("POST", path, obj).body["metadata"]["name"].startswith("settings-")


def test_an_update_with_an_outdated_version_is_refused(api: Api) -> None:
    old = api.create(SETTINGS).body
    api("PUT", path_of(SETTINGS), {**old, "data": {"colour": "blue"}})
    answer = api("PUT", path_of(SETTINGS), {**old, "data": {"colour": "green"}})
    assert answer.status == 409
    assert answer.body["message"] == (
        'Operation cannot be fulfilled on configmaps "settings": the object has been modified;'
        " please apply your changes to the latest version and try again"
    )


def test_an_update_without_a_version_wins(api: Api) -> None:
    api.create(SETTINGS)
    assert api("PUT", path_of(SETTINGS), {**SETTINGS, "data": {}}).status == 200


def test_a_change_of_the_spec_counts_the_generation(api: Api) -> None:
    assert api.create(WEB).body["metadata"]["generation"] == 1
    labelled = {"metadata": {"labels": {"a": "b"}}}
    answer = api("PATCH", path_of(WEB), labelled, content_type=MERGE)
    assert answer.body["metadata"]["generation"] == 1
    answer = api("PATCH", path_of(WEB), {"spec": {"replicas": 3}}, content_type=MERGE)
    assert answer.body["metadata"]["generation"] == 2


def test_the_status_is_written_apart(api: Api) -> None:
    api.create(WEB)
    patch = {"spec": {"replicas": 8}, "status": {"replicas": 5}}
    answer = api("PATCH", path_of(WEB) + "/status", patch, content_type=MERGE)
    assert answer.body["spec"]["replicas"] == 1
    assert answer.body["status"]["replicas"] == 5
    answer = api("PATCH", path_of(WEB), {"status": {"replicas": 0}}, content_type=MERGE)
    assert answer.body["status"]["replicas"] == 5
    managers = {e["manager"]: e for e in answer.body["metadata"]["managedFields"]}
    assert any(e.get("subresource") == "status" for e in managers.values()) or len(managers) == 2


def test_the_scale_subresource_sets_the_count(api: Api) -> None:
    api.create(WEB)
    path = path_of(WEB) + "/scale"
    scale = api("GET", path).body
    assert (scale["kind"], scale["spec"]) == ("Scale", {"replicas": 1})
    answer = api("PATCH", path, {"spec": {"replicas": 4}}, content_type=MERGE, fieldManager="hpa")
    assert answer.body["spec"] == {"replicas": 4}
    live = api.get(WEB)
    assert live["spec"]["replicas"] == 4
    (entry,) = [e for e in live["metadata"]["managedFields"] if e["manager"] == "hpa"]
    assert entry["subresource"] == "scale"
    assert entry["fieldsV1"] == {"f:spec": {"f:replicas": {}}}


def test_a_strategic_patch_merges_containers_by_name(api: Api) -> None:
    api.create(WEB)
    containers = [{"name": "log", "image": "fluent:2"}]
    patch = {"spec": {"template": {"spec": {"containers": containers}}}}
    answer = api("PATCH", path_of(WEB), patch, content_type=STRATEGIC)
    found = answer.body["spec"]["template"]["spec"]["containers"]
    assert {c["name"]: c["image"] for c in found} == {"web": "nginx:1", "log": "fluent:2"}


@pytest.mark.parametrize(
    ("patch", "status"),
    [
        ([{"op": "remove", "path": "/data/size"}], 422),
        ([{"op": "test", "path": "/data/colour", "value": "blue"}], 422),
        ([{"op": "add", "path": "/data/size", "value": "3"}], 200),
    ],
    ids=["remove what is missing", "test that fails", "add"],
)
def test_a_json_patch(api: Api, patch: list[Object], status: int) -> None:
    api.create(SETTINGS)
    assert api("PATCH", path_of(SETTINGS), patch, content_type=JSON_PATCH).status == status


@pytest.mark.parametrize("kind", ["text/plain", ""])
def test_an_unknown_kind_of_patch_is_refused(api: Api, kind: str) -> None:
    api.create(SETTINGS)
    assert api("PATCH", path_of(SETTINGS), {}, content_type=kind).status == 415


@pytest.mark.parametrize("validation", ["Strict", "Warn"])
def test_an_unknown_field_in_a_create(api: Api, validation: str) -> None:
    obj = changed(WEB, replica=3)
    answer = api.create(obj, fieldValidation=validation)
    if validation == "Strict":
        assert answer.status == 400
        assert answer.body["message"] == (
            'Deployment in version "v1" cannot be handled as a Deployment: strict decoding error:'
            ' unknown field "spec.replica"'
        )
    else:
        assert answer.status == 201
        assert answer.headers["warning"] == '299 - "unknown field \\"spec.replica\\""'


def test_a_wrong_type_in_a_create(api: Api) -> None:
    answer = api.create(changed(WEB, replicas="two"))
    assert answer.status == 400
    assert answer.body["message"].endswith(
        "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type"
        " int32"
    )


def test_a_delete_with_another_uid_is_refused(api: Api) -> None:
    uid = api.create(SETTINGS).body["metadata"]["uid"]
    answer = api.delete(SETTINGS, preconditions={"uid": "another"})
    assert answer.status == 409
    assert answer.body["reason"] == "Conflict"
    assert (
        f"the UID in the precondition (another) does not match the UID in record ({uid})"
        in (answer.body["message"])
    )
    assert api.delete(SETTINGS, preconditions={"uid": uid}).status == 200


def test_a_delete_with_an_outdated_version_is_refused(api: Api) -> None:
    version = api.create(SETTINGS).body["metadata"]["resourceVersion"]
    api("PATCH", path_of(SETTINGS), {"data": {"a": "b"}}, content_type=MERGE)
    answer = api.delete(SETTINGS, preconditions={"resourceVersion": version})
    assert answer.status == 409
    assert "the ResourceVersion in the precondition" in answer.body["message"]
    assert api.get(SETTINGS)


def test_a_delete_answers_with_a_status(api: Api) -> None:
    uid = api.create(SETTINGS).body["metadata"]["uid"]
    answer = api.delete(SETTINGS)
    assert answer.body["status"] == "Success"
    assert answer.body["details"] == {"name": "settings", "kind": "configmaps", "uid": uid}
    assert api.delete(SETTINGS).status == 404


def test_a_dry_run_of_a_delete_deletes_nothing(api: Api) -> None:
    api.create(SETTINGS)
    assert api("DELETE", path_of(SETTINGS), dryRun="All").status == 200
    assert api.get(SETTINGS)


def test_a_finalizer_holds_an_object_until_it_is_removed(api: Api) -> None:
    held = {**SETTINGS, "metadata": {**SETTINGS["metadata"], "finalizers": ["example.com/hold"]}}
    api.create(held)
    answer = api.delete(held)
    assert answer.body["metadata"]["deletionTimestamp"]
    assert api.get(held)["metadata"]["finalizers"] == ["example.com/hold"]
    answer = api.create(SETTINGS)
    assert answer.body["message"] == (
        'object is being deleted: configmaps "settings" already exists'
    )
    release = {"metadata": {"finalizers": None}}
    assert api("PATCH", path_of(held), release, content_type=MERGE).status == 200
    assert api("GET", path_of(held)).status == 404


SERVICE = manifest("""
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec: {selector: {app: web}, ports: [{port: 80}]}
""")
FROZEN = manifest("""
apiVersion: v1
kind: ConfigMap
metadata: {name: frozen, namespace: default}
immutable: true
data: {a: b}
""")
JOB = manifest("""
apiVersion: batch/v1
kind: Job
metadata: {name: job, namespace: default, labels: {app: job}}
spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: "a:1"}]}}}
""")
DATABASE = manifest("""
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: default}
spec:
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec: {containers: [{name: db, image: "pg:1"}]}
""")
CLAIM = manifest("""
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, namespace: default}
spec: {accessModes: [ReadWriteOnce], storageClassName: fast, resources: {requests: {storage: 1Gi}}}
""")
SECRET = manifest("""
apiVersion: v1
kind: Secret
metadata: {name: key, namespace: default}
stringData: {a: b}
""")
BINDING = manifest("""
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: bind, namespace: default}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}
subjects: [{kind: ServiceAccount, name: default, namespace: default}]
""")
CLASS = manifest("""
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: fast}
provisioner: example.com/disk
""")
OTHER_TEMPLATE = {
    "metadata": {"labels": {"app": "other"}},
    "spec": {"containers": [{"name": "web", "image": "nginx:1"}]},
}
IMMUTABLE: dict[str, tuple[Object, Object, str]] = {
    "the selector of a Deployment": (
        WEB,
        changed(WEB, selector={"matchLabels": {"app": "other"}}, template=OTHER_TEMPLATE),
        'spec.selector: Invalid value: {"matchLabels":{"app":"other"}}: field is immutable',
    ),
    "the address of a Service": (
        SERVICE,
        changed(SERVICE, clusterIP="None"),
        'spec.clusterIPs[0]: Invalid value: ["None"]: may not change once set',
    ),
    "a frozen ConfigMap": (
        FROZEN,
        {**FROZEN, "data": {"a": "c"}},
        "data: Forbidden: field is immutable when `immutable` is set",
    ),
    "the template of a Job": (
        JOB,
        changed(
            JOB,
            template={
                "spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "a:2"}]}
            },
        ),
        "field is immutable",
    ),
    "the service of a StatefulSet": (
        DATABASE,
        changed(DATABASE, serviceName="other"),
        'spec.serviceName: Invalid value: "other": field is immutable',
    ),
    "the class of a claim": (
        CLAIM,
        changed(CLAIM, storageClassName="other"),
        "spec: Forbidden: spec is immutable after creation except resources.requests",
    ),
    "the type of a Secret": (
        SECRET,
        {**SECRET, "type": "example.com/key"},
        'type: Invalid value: "example.com/key": field is immutable',
    ),
    "the role of a binding": (
        BINDING,
        {**BINDING, "roleRef": {**BINDING["roleRef"], "name": "edit"}},
        "field is immutable",
    ),
    "the provisioner of a StorageClass": (
        CLASS,
        {**CLASS, "provisioner": "example.com/other"},
        "field is immutable",
    ),
}


@pytest.mark.parametrize("case", IMMUTABLE)
def test_what_may_not_change(api: Api, case: str) -> None:
    before, after, message = IMMUTABLE[case]
    assert api.apply(before).status == 201
    answer = api.apply(after)
    assert answer.status == 422, answer.body
    assert answer.body["reason"] == "Invalid"
    assert message in answer.body["message"]


def test_nothing_is_created_in_a_namespace_that_is_not_there(api: Api) -> None:
    obj = {**SETTINGS, "metadata": {"name": "settings", "namespace": "shop"}}
    for answer in (api.create(obj), api.apply(obj)):
        assert answer.status == 404
        assert answer.body["message"] == 'namespaces "shop" not found'


def test_a_service_keeps_its_address(api: Api) -> None:
    address = api.apply(SERVICE).body["spec"]["clusterIP"]
    assert api.apply(changed(SERVICE, ports=[{"port": 81}])).body["spec"]["clusterIP"] == address
    put = api("PUT", path_of(SERVICE), SERVICE)
    assert put.body["spec"]["clusterIP"] == address


def test_plain_text_of_a_secret_becomes_data(api: Api) -> None:
    obj = api.apply(SECRET).body
    assert obj["data"] == {"a": "Yg=="}
    assert "stringData" not in obj
    assert obj["type"] == "Opaque"


def test_an_autoscaler_reads_in_both_versions(api: Api) -> None:
    scaler = manifest("""
    apiVersion: autoscaling/v2
    kind: HorizontalPodAutoscaler
    metadata: {name: web, namespace: default}
    spec:
      maxReplicas: 5
      scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
      metrics:
      - {type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 60}}}
    """)
    api.apply(scaler)
    old = api("GET", path_of({**scaler, "apiVersion": "autoscaling/v1"})).body
    assert old["apiVersion"] == "autoscaling/v1"
    assert old["spec"]["targetCPUUtilizationPercentage"] == 60
    assert "metrics" not in old["spec"]


LEASE = manifest("""
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata: {name: lock, namespace: default}
spec: {holderIdentity: one, leaseDurationSeconds: 15}
""")


def test_a_lease_changes_hands_only_from_the_version_that_was_read(api: Api) -> None:
    read = api.create(LEASE).body
    assert api("PUT", path_of(LEASE), changed(LEASE, holderIdentity="two")).status == 422
    two = changed(read, holderIdentity="two", renewTime="2026-01-01T00:00:00.123Z")
    coarse = api("PUT", path_of(LEASE), two)
    assert coarse.status == 400
    assert (
        'parsing time "2026-01-01T00:00:00.123Z" as "2006-01-02T15:04:05.000000Z07:00"'
        in (coarse.body["message"])
    )
    two["spec"]["renewTime"] = "2026-01-01T00:00:00.123000Z"
    taken = api("PUT", path_of(LEASE), two)
    assert taken.status == 200
    assert taken.body["spec"]["renewTime"] == "2026-01-01T00:00:00.123000Z"
    assert api("PUT", path_of(LEASE), changed(read, holderIdentity="three")).status == 409
    assert api.get(LEASE)["spec"]["holderIdentity"] == "two"


@pytest.mark.parametrize(("obj", "status"), [(SERVICE, 201), (SETTINGS, 404)])
def test_an_update_creates_some_kinds(api: Api, obj: Object, status: int) -> None:
    assert api("PUT", path_of(obj), obj).status == status


def test_a_node_port_has_one_service(api: Api) -> None:
    ports = [{"port": 80, "nodePort": CONTRACT_PORT}]
    one, other = (
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"type": "NodePort", "ports": ports},
        }
        for name in ("one", "other")
    )
    assert api.apply(one).status == 201
    assert api.apply(one).status == 200
    refused = api.apply(other, dryRun="All")
    assert refused.status == 422
    assert refused.causes == [
        (
            "spec.ports[0].nodePort",
            f"Invalid value: {CONTRACT_PORT}: provided port is already allocated",
        )
    ]
    api("DELETE", path_of(one))
    api.eventually(lambda: api.apply(other).status == 201)
