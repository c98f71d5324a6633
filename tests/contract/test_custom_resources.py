"""CustomResourceDefinitions: from the first apply to the last instance."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import yaml

from tests.contract.sides import DISCOVERY, JSON_PATCH, Api, path_of

Object = dict[str, Any]

DEFINITION: Object = yaml.safe_load("""
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: gadgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: gadgets, kind: Gadget, shortNames: [gd]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            required: [size]
            properties:
              size: {type: integer, minimum: 1}
              mode: {type: string, default: auto, enum: [auto, manual]}
              tags: {type: array, items: {type: string}, x-kubernetes-list-type: set}
              limits: {type: object, additionalProperties: {type: string}}
              rules:
                type: array
                x-kubernetes-list-type: map
                x-kubernetes-list-map-keys: [name]
                items:
                  type: object
                  required: [name]
                  properties: {name: {type: string}, value: {type: integer}}
              free: {type: object, x-kubernetes-preserve-unknown-fields: true}
          status: {type: object, x-kubernetes-preserve-unknown-fields: true}
""")


def gadget(**spec: Any) -> Object:
    metadata = {"name": "one", "namespace": "default"}
    return {"apiVersion": "example.com/v1", "kind": "Gadget", "metadata": metadata, "spec": spec}


def established(api: Api) -> bool:
    conditions = (api.get(DEFINITION).get("status") or {}).get("conditions") or []
    if not any(c["type"] == "Established" and c["status"] == "True" for c in conditions):
        return False
    return api("GET", "/apis/example.com/v1/gadgets").status == 200


@pytest.fixture
def served(api: Api) -> Api:
    assert api.apply(DEFINITION).status == 201
    api.eventually(lambda: established(api))
    return api


def test_an_unknown_kind_has_no_path(api: Api) -> None:
    assert api("GET", "/apis/example.com/v1/namespaces/default/gadgets").status == 404


def test_a_defined_kind_is_discovered(served: Api) -> None:
    def found() -> list[Object]:
        items = served("GET", "/apis", accept=DISCOVERY).body["items"]
        return [item for item in items if item["metadata"]["name"] == "example.com"]

    (group,) = served.eventually(found)
    (resource,) = group["versions"][0]["resources"]
    assert resource["resource"] == "gadgets"
    assert resource["responseKind"]["kind"] == "Gadget"
    assert resource["scope"] == "Namespaced"
    assert resource["shortNames"] == ["gd"]
    (old,) = [
        item
        for item in served("GET", "/apis/example.com/v1").body["resources"]
        if "/" not in item["name"]
    ]
    assert (old["name"], old["kind"], old["namespaced"]) == ("gadgets", "Gadget", True)


def test_an_instance_gets_its_defaults(served: Api) -> None:
    obj = served.apply(gadget(size=2)).body
    assert obj["spec"] == {"size": 2, "mode": "auto"}
    assert obj["metadata"]["generation"] == 1


def test_items_of_a_custom_list_name_their_kind(served: Api) -> None:
    served.apply(gadget(size=2))
    body = served("GET", "/apis/example.com/v1/namespaces/default/gadgets").body
    assert body["kind"] == "GadgetList"
    assert [item["kind"] for item in body["items"]] == ["Gadget"]


def test_ownership_follows_the_schema(served: Api) -> None:
    obj = served.apply(
        gadget(
            size=2,
            tags=["a"],
            rules=[{"name": "x", "value": 1}],
            limits={"cpu": "1"},
            free={"deep": {"list": [1, 2]}},
        )
    ).body
    (entry,) = obj["metadata"]["managedFields"]
    assert entry["fieldsV1"]["f:spec"] == {
        "f:size": {},
        "f:tags": {'v:"a"': {}},
        "f:rules": {'k:{"name":"x"}': {".": {}, "f:name": {}, "f:value": {}}},
        "f:limits": {"f:cpu": {}},
        "f:free": {"f:deep": {".": {}, "f:list": {}}},
    }


@pytest.mark.parametrize(
    ("spec", "status", "message"),
    [
        ({"size": 0}, 422, "spec.size in body should be greater than or equal to 1"),
        ({"mode": "auto"}, 422, "spec.size: Required value"),
        ({"size": 1, "mode": "slow"}, 422, 'supported values: "auto", "manual"'),
        ({"size": 1, "colour": "red"}, 500, ".spec.colour: field not declared in schema"),
    ],
    ids=["too small", "missing", "not in the list", "unknown"],
)
def test_the_schema_is_enforced(served: Api, spec: Object, status: int, message: str) -> None:
    for validation in ("Strict", "Ignore"):
        answer = served.apply(gadget(**spec), fieldValidation=validation)
        assert answer.status == status, answer.body
        assert message in answer.body["message"]


def test_the_status_of_an_instance_is_written_apart(served: Api) -> None:
    first = served.apply({**gadget(size=1), "status": {"phase": "Ready"}}).body
    assert "status" not in first
    patch = {"status": {"phase": "Ready"}}
    path = path_of(gadget()) + "/status"
    answer = served("PATCH", path, patch, content_type="application/merge-patch+json")
    assert answer.body["status"] == {"phase": "Ready"}
    assert answer.body["metadata"]["generation"] == 1


def test_an_update_of_an_instance_must_name_its_version(served: Api) -> None:
    served.apply(gadget(size=1))
    answer = served("PUT", path_of(gadget()), gadget(size=2))
    assert answer.status == 422
    assert (
        "metadata.resourceVersion: Invalid value: 0: must be specified for an update"
        in (answer.body["message"])
    )


def test_deleting_the_definition_deletes_the_instances(served: Api) -> None:
    served.apply(gadget(size=1))
    served.delete(DEFINITION)
    served.eventually(lambda: served("GET", path_of(DEFINITION)).status == 404)
    served.eventually(lambda: served("GET", path_of(gadget())).status == 404)
    served.apply(DEFINITION)
    served.eventually(lambda: established(served))
    assert served("GET", "/apis/example.com/v1/gadgets").body["items"] == []


def test_an_entry_of_a_version_that_is_dropped_stops_every_apply(served: Api) -> None:
    before = copy.deepcopy(DEFINITION)
    (version,) = before["spec"]["versions"]
    before["spec"]["versions"].append({**version, "name": "v1beta1", "storage": False})
    served.apply(before)
    old = {**gadget(size=2), "apiVersion": "example.com/v1beta1"}
    served.eventually(lambda: served.apply(old).status < 300)
    served.apply(DEFINITION)
    refused = "request to convert CR to an invalid group/version: example.com/v1beta1"
    # A dry run: an apply before the server knows would move the entry on to the new version.
    served.eventually(lambda: served.apply(gadget(size=3), dryRun="All").status == 500)
    assert served.apply(gadget(size=3)).body["message"] == refused
    moved = [{"op": "replace", "path": "/metadata/managedFields/0/apiVersion"}]
    moved[0]["value"] = "example.com/v1"
    assert served("PATCH", path_of(gadget()), moved, content_type=JSON_PATCH).status == 200
    assert served.apply(gadget(size=3)).status == 200
