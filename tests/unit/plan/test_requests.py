"""The exact body that is sent: identity, marks, and what is the member's to keep."""

from __future__ import annotations

import base64
import copy
from typing import Any

import pytest

from reconciler.api.annotations import PART_OF
from reconciler.api.errors import Position
from reconciler.api.manifest import Manifest
from reconciler.api.objects import Object, key_of
from reconciler.cluster.discovery import Discovery, GroupVersionKind, RESTMapping
from reconciler.inventory.applyset import IDENTITY, is_member
from reconciler.plan.refused_updates import without_fields
from reconciler.plan.requests import (
    ApplyTarget,
    crds_in,
    leaves_count,
    matching_port,
    request_for,
    target_of,
    with_running_replicas,
)
from reconciler.render.render import DesiredObject, ObjectRules

OURS = "applyset-ours-v1"
MARK = "federation.reconciler.dev/"
SERVED = [
    RESTMapping("v1", "ConfigMap", "configmaps", namespaced=True),
    RESTMapping("v1", "Secret", "secrets", namespaced=True),
    RESTMapping("v1", "Namespace", "namespaces", namespaced=False),
    RESTMapping("apps/v1", "Deployment", "deployments", namespaced=True),
]
DISCOVERY = Discovery({GroupVersionKind(r.api_version, r.kind): r for r in SERVED})


def thing(kind: str = "ConfigMap", namespace: str = "shop", **more: Any) -> Object:
    version = {"Deployment": "apps/v1", "Shop": "example.org/v1"}.get(kind, "v1")
    metadata = {"name": "x", "namespace": namespace} if namespace else {"name": "x"}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **more}


def target(body: Object, crds: Any = None, **more: Any) -> ApplyTarget:
    desired = DesiredObject(
        key_of(body), Manifest(body), Position("a.yaml", 1, 1), ObjectRules(**more)
    )
    return target_of(desired, DISCOVERY, crds or {}, OURS)


# -- identity and marks ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "written", "sent"),
    [
        ("ConfigMap", "shop", "shop"),
        ("ConfigMap", "", "default"),
        ("Namespace", "", ""),
        ("Namespace", "shop", ""),
        ("Shop", "shop", "shop"),
        ("Shop", "", ""),
    ],
)
def test_the_namespace_is_settled_by_the_scope_of_the_kind(
    kind: str, written: str, sent: str
) -> None:
    body = thing(kind, written)
    given = copy.deepcopy(body)
    found = target(body)
    assert found.key.namespace == sent
    assert found.body["metadata"].get("namespace", "") == sent
    assert is_member(found.body, OURS, found.key)
    assert (found.resource is None) == (kind == "Shop")
    assert body == given


def test_the_scope_of_a_kind_that_this_plan_introduces_is_that_of_its_definition() -> None:
    shop = GroupVersionKind("example.org/v1", "Shop")
    crds = {shop: RESTMapping("example.org/v1", "Shop", "shops", namespaced=True)}
    found = target(thing("Shop", ""), crds)
    assert (found.key.namespace, found.resource) == ("default", None)


def test_the_marks_say_on_the_object_how_it_is_to_be_pruned() -> None:
    plain = target(thing()).body["metadata"]
    assert set(plain["annotations"]) == {IDENTITY}
    assert plain["labels"] == {PART_OF: OURS}
    rules: Any = {"protect": True, "orphan": True, "prune_propagation": "Orphan", "hidden": ("",)}
    found = target(thing(), **rules).body["metadata"]["annotations"]
    assert {name: value for name, value in found.items() if name != IDENTITY} == {
        MARK + "protect": "true",
        MARK + "orphan": "true",
        MARK + "prune-propagation": "Orphan",
        MARK + "sensitive": "true",
    }
    secret = target(thing("Secret"), hidden=("",)).body["metadata"]["annotations"]
    assert MARK + "sensitive" not in secret, "a Secret is hidden anyway"


def test_a_status_is_not_sent() -> None:
    assert "status" not in target(thing(status={"a": 1})).body


def test_string_data_of_a_secret_is_sent_as_data_over_what_is_there() -> None:
    found = target(thing("Secret", data={"a": "b2xk", "b": "a2VlcA=="}, stringData={"a": "new"}))
    assert found.body["data"] == {"a": base64.b64encode(b"new").decode(), "b": "a2VlcA=="}
    assert "stringData" not in found.body
    empty = target(thing("Secret", stringData={})).body
    assert "stringData" not in empty
    assert "data" not in empty


@pytest.mark.parametrize("wrong", [{"stringData": {"a": 1}}, {"stringData": ["a"]}])
def test_string_data_that_makes_no_sense_is_left_to_the_server(wrong: Object) -> None:
    assert target(thing("Secret", **wrong)).body["stringData"] == wrong["stringData"]
    config = target(thing(stringData={"a": "b"})).body
    assert config["stringData"] == {"a": "b"}, "no other kind has it"


def test_the_kinds_of_definitions_are_those_of_their_served_versions() -> None:
    versions = [{"name": "v1", "served": True}, {"name": "v1beta1", "served": False}]
    names = {"kind": "Shop", "plural": "shops"}
    spec = {"group": "example.org", "names": names, "scope": "Namespaced", "versions": versions}
    crd = {"kind": "CustomResourceDefinition", "spec": spec}
    wide = {"kind": "CustomResourceDefinition", "spec": {**spec, "scope": "Cluster"}}
    v1 = GroupVersionKind("example.org/v1", "Shop")
    assert crds_in([crd, thing()]) == {v1: RESTMapping("example.org/v1", "Shop", "shops", True)}
    assert not crds_in([wide])[v1].namespaced
    assert crds_in([{"kind": "CustomResourceDefinition", "spec": None}]) == {}


def test_the_apply_of_no_field_is_of_the_same_object() -> None:
    assert without_fields(target(thing(data={"a": "b"})).body) == thing()
    assert without_fields(target(thing("Namespace", "")).body) == thing("Namespace", "")


# -- replicas --------------------------------------------------------------------------------------


def entry(manager: str, operation: str = "Apply", **more: Any) -> Object:
    fields = {"f:spec": {"f:replicas": {}}}
    return {"manager": manager, "operation": operation, "fieldsV1": fields, **more}


OUR = entry("federation-reconciler")
EDITOR = entry("kubectl-edit", "Update")
SCALER = entry("autoscaler", "Update", subresource="scale")
OUR_OTHER = {**OUR, "fieldsV1": {"f:spec": {"f:paused": {}}}}


def web(replicas: int | None, *entries: Object) -> Object:
    found = thing("Deployment", spec={"paused": False})
    if replicas is not None:
        found["spec"]["replicas"] = replicas
    if entries:
        found["metadata"]["managedFields"] = list(entries)
    return found


RETAINED: Any = {"retain": ("/spec/replicas",)}
HANDED: Any = {"retain": ("/spec/replicas",), "autoscaler": "HorizontalPodAutoscaler web"}
ABSENT = "absent"


@pytest.mark.parametrize(
    ("wanted", "live", "rules", "sent"),
    [
        pytest.param(3, None, RETAINED, 3, id="a new one"),
        pytest.param(None, None, {}, ABSENT, id="a new one without a count"),
        pytest.param(3, web(5, OUR), {}, 3, id="Git says it"),
        pytest.param(3, web(5, OUR), RETAINED, 5, id="retained, and ours: repeated"),
        pytest.param(3, web(5, OUR, SCALER), RETAINED, ABSENT, id="retained, and a scaler's"),
        pytest.param(3, web(5, OUR_OTHER, EDITOR), RETAINED, ABSENT, id="retained, not ours"),
        pytest.param(None, web(5, OUR), {}, 5, id="dropped in Git, only ours: repeated"),
        pytest.param(None, web(5, OUR_OTHER, EDITOR), {}, ABSENT, id="dropped, somebody else's"),
        pytest.param(None, web(1, OUR), {}, ABSENT, id="dropped, and as the default is"),
        pytest.param(None, web(5), {}, 5, id="dropped, and of an object without owners"),
        pytest.param(None, web(5, OUR_OTHER), {}, ABSENT, id="dropped, and nobody's"),
        pytest.param(0, web(5, OUR), HANDED, 0, id="Git's 0 is written, autoscaler or not"),
        pytest.param(3, web(0, OUR), HANDED, 3, id="a 0 of ours ends"),
        pytest.param(3, web(0, OUR, SCALER), HANDED, ABSENT, id="a 0 of a scaler's stays"),
        pytest.param(3, web(5, OUR), HANDED, 5, id="an autoscaler's count is repeated"),
    ],
)
def test_who_sets_the_count(wanted: int | None, live: Any, rules: Any, sent: Any) -> None:
    one = target(web(wanted), **rules)
    given = copy.deepcopy(one.body)
    body = request_for(one, live).body
    assert body["spec"].get("replicas", ABSENT) == sent
    assert one.body == given
    others = {k: v for k, v in body["spec"].items() if k != "replicas"}
    assert others == {"paused": False}


def test_a_count_of_managers_that_are_taken_over_is_repeated() -> None:
    one = target(web(None))
    live = web(5, EDITOR)
    assert "replicas" not in request_for(one, live).body["spec"]
    assert request_for(one, live, ("kubectl-*",)).body["spec"]["replicas"] == 5
    scaled = web(5, EDITOR, SCALER)
    assert "replicas" not in request_for(one, scaled, ("*",)).body["spec"]


def test_a_count_that_stays_is_told_of() -> None:
    (kept,) = request_for(target(web(3), **RETAINED), web(5, OUR)).remarks
    assert str(kept).endswith(
        "spec.replicas stays 5, as KubeFed keeps it (retainReplicas); Git says 3"
    )
    (dropped,) = request_for(target(web(None)), web(5, OUR)).remarks
    assert "spec.replicas is no longer in Git; 5 stays" in str(dropped)
    (handed,) = request_for(target(web(None), **HANDED), web(5, OUR)).remarks
    assert "spec.replicas is handed over to HorizontalPodAutoscaler web; 5" in str(handed)
    assert request_for(target(web(3)), web(5, OUR)).remarks == ()
    assert request_for(target(web(5), **RETAINED), web(5, OUR)).remarks == ()


def test_whether_the_count_is_left_to_others() -> None:
    def of(rules: Any, wanted: int, live: Object) -> bool:
        return leaves_count(target(web(wanted), **rules).desired, live)

    assert not of({}, 3, web(5))
    assert of(RETAINED, 0, web(5))
    assert of(HANDED, 3, web(5))
    assert not of(HANDED, 0, web(5))
    assert not of(HANDED, 3, web(0, OUR))
    assert of(HANDED, 3, web(0, EDITOR))


def test_a_workload_that_is_made_anew_runs_as_many_unless_git_says() -> None:
    assert with_running_replicas(web(3), web(5)) == (web(3), None)
    assert with_running_replicas(web(None), web(5)) == (web(5), 5)
    assert with_running_replicas(thing(), thing()) == (thing(), None)


# -- other retained fields -------------------------------------------------------------------------


def service(address: str, *ports: Object, owner: str = "federation-reconciler") -> Object:
    fields = {"f:spec": {"f:clusterIP": {}}}
    entries = [{"manager": owner, "operation": "Apply", "fieldsV1": fields}]
    if owner != "federation-reconciler":
        entries.append({"manager": "federation-reconciler", "operation": "Apply", "fieldsV1": {}})
    found = thing(spec={"clusterIP": address, "ports": list(ports)})
    found["metadata"]["managedFields"] = entries
    return found


def test_a_retained_field_is_repeated_while_it_is_ours_and_else_left_out() -> None:
    wanted = thing(spec={"clusterIP": "10.0.0.1", "ports": []})
    one = target(wanted, retain=("/spec/clusterIP",))
    request = request_for(one, service("10.0.0.9"))
    assert request.body["spec"]["clusterIP"] == "10.0.0.9"
    kept = "spec.clusterIP stays 10.0.0.9, as KubeFed keeps it; Git says 10.0.0.1"
    assert kept in str(request.remarks[0])
    theirs = request_for(one, service("10.0.0.9", owner="kube"))
    assert "clusterIP" not in theirs.body["spec"]
    assert request_for(one, service("10.0.0.1")).remarks == ()
    nothing = request_for(one, thing(spec={}))
    assert nothing.body["spec"]["clusterIP"] == "10.0.0.1"
    assert one.body["spec"]["clusterIP"] == "10.0.0.1"


def test_ports_are_known_by_number_and_protocol() -> None:
    ports = [{"port": 80, "nodePort": 30001}, {"port": 53, "protocol": "UDP", "nodePort": 30002}]
    assert matching_port({"port": 80}, ports) == ports[0]
    assert matching_port({"port": 80, "protocol": "TCP"}, ports) == ports[0]
    assert matching_port({"port": 53}, ports) is None
    assert matching_port({"port": 53, "protocol": "UDP"}, ports) == ports[1]
    assert matching_port("80", ports) is None
    assert matching_port({"port": 80}, None) is None
    wanted = thing(spec={"ports": [{"port": 80, "nodePort": 1}, {"port": 81, "nodePort": 2}]})
    one = target(wanted, retain=("/spec/ports/*/nodePort",))
    sent = request_for(one, service("x", *ports))
    assert sent.body["spec"]["ports"] == [
        {"port": 80, "nodePort": 30001},
        {"port": 81, "nodePort": 2},
    ]
    assert "spec.ports[port=80].nodePort stays 30001" in str(sent.remarks[0])
