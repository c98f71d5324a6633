"""Server-side apply: what the product builds on."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from tests.contract.sides import JSON_PATCH, MERGE, Api, path_of

Object = dict[str, Any]

WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: default, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: nginx:1.27
        env: [{name: LEVEL, value: info}, {name: MODE, value: fast}]
        ports: [{containerPort: 80}]
        resources: {requests: {cpu: "1"}}
"""
SETTINGS = """
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: default}
data: {colour: red, size: "3"}
"""


@pytest.fixture
def web() -> Object:
    found: Object = yaml.safe_load(WEB)
    return found


@pytest.fixture
def settings() -> Object:
    found: Object = yaml.safe_load(SETTINGS)
    return found


def owned(obj: Object, manager: str) -> Object:
    """The fieldsV1 of a manager's only entry."""
    (entry,) = [e for e in obj["metadata"]["managedFields"] if e["manager"] == manager]
    fields: Object = entry["fieldsV1"]
    return fields


def test_an_apply_creates_and_owns_exactly_what_it_names(api: Api, settings: Object) -> None:
    answer = api.apply(settings)
    assert answer.status == 201
    (entry,) = answer.body["metadata"]["managedFields"]
    assert entry["operation"] == "Apply"
    assert entry["apiVersion"] == "v1"
    assert entry["fieldsType"] == "FieldsV1"
    assert entry["fieldsV1"] == {"f:data": {"f:colour": {}, "f:size": {}}}


def test_list_items_are_owned_by_their_keys_with_defaults(api: Api, web: Object) -> None:
    fields = owned(api.apply(web).body, "ours")
    container = fields["f:spec"]["f:template"]["f:spec"]["f:containers"]['k:{"name":"web"}']
    assert container["f:ports"] == {
        'k:{"containerPort":80,"protocol":"TCP"}': {".": {}, "f:containerPort": {}}
    }
    assert fields["f:spec"]["f:selector"] == {}


def test_an_apply_that_changes_nothing_writes_nothing(api: Api, web: Object) -> None:
    first = api.apply(web).body
    again = api.apply(web)
    assert again.status == 200
    assert again.body == first


def test_a_quantity_in_another_spelling_is_no_change(api: Api, web: Object) -> None:
    requests = web["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"]
    first = api.apply(web).body
    for spelling in ("1000m", "1.0", "0.001k"):
        requests["cpu"] = spelling
        again = api.apply(web).body
        container = again["spec"]["template"]["spec"]["containers"][0]
        assert container["resources"] == {"requests": {"cpu": "1"}}
        assert again["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


def test_a_quantity_in_another_spelling_is_a_conflict(api: Api, web: Object) -> None:
    """Values are compared as they are written, before they are made canonical."""
    api.apply(web, manager="theirs")
    container = web["spec"]["template"]["spec"]["containers"][0]
    container["resources"]["requests"]["cpu"] = "1000m"
    (cause,) = api.apply(web).causes
    assert cause[0].endswith(".resources.requests.cpu")


def test_a_field_that_is_given_up_goes(api: Api, settings: Object) -> None:
    api.apply(settings)
    del settings["data"]["size"]
    assert api.apply(settings).body["data"] == {"colour": "red"}


def test_a_field_that_is_given_up_stays_while_another_owns_it(api: Api, settings: Object) -> None:
    api.apply(settings)
    api.apply(settings, manager="theirs")
    del settings["data"]["size"]
    assert api.apply(settings).body["data"] == {"colour": "red", "size": "3"}


def test_a_defaulted_field_falls_back_when_given_up(api: Api, web: Object) -> None:
    api.apply(web)
    del web["spec"]["replicas"]
    assert api.apply(web).body["spec"]["replicas"] == 1


def test_a_list_item_that_is_given_up_goes(api: Api, web: Object) -> None:
    api.apply(web)
    web["spec"]["template"]["spec"]["containers"][0]["env"].pop(0)
    container = api.apply(web).body["spec"]["template"]["spec"]["containers"][0]
    assert container["env"] == [{"name": "MODE", "value": "fast"}]


def test_another_value_of_anothers_field_is_a_conflict(api: Api, web: Object) -> None:
    api.apply(web)
    api(
        "PATCH",
        path_of(web),
        {"spec": {"replicas": 5}},
        content_type=MERGE,
        fieldManager="kubectl-edit",
    )
    answer = api.apply(web)
    assert answer.status == 409
    assert answer.body["reason"] == "Conflict"
    assert answer.body["details"]["causes"] == [
        {
            "reason": "FieldManagerConflict",
            "message": 'conflict with "kubectl-edit" using apps/v1',
            "field": ".spec.replicas",
        }
    ]
    assert answer.body["message"] == (
        'Apply failed with 1 conflict: conflict with "kubectl-edit" using apps/v1: .spec.replicas'
    )
    assert api.get(web)["spec"]["replicas"] == 5


def test_several_conflicts_are_all_named(api: Api, web: Object) -> None:
    api.apply(web, manager="theirs")
    web["spec"]["replicas"] = 7
    web["spec"]["template"]["spec"]["containers"][0]["image"] = "nginx:1.28"
    answer = api.apply(web)
    assert answer.causes == [
        (".spec.replicas", 'conflict with "theirs"'),
        ('.spec.template.spec.containers[name="web"].image', 'conflict with "theirs"'),
    ]


def test_the_same_value_is_shared_without_conflict(api: Api, settings: Object) -> None:
    api.apply(settings, manager="theirs")
    answer = api.apply(settings)
    assert answer.status == 200
    assert owned(answer.body, "ours") == owned(answer.body, "theirs")


def test_force_takes_the_field(api: Api, web: Object) -> None:
    api.apply(web, manager="theirs")
    web["spec"]["replicas"] = 7
    answer = api.apply(web, force="true")
    assert answer.body["spec"]["replicas"] == 7
    assert "f:replicas" in owned(answer.body, "ours")["f:spec"]
    assert "f:replicas" not in owned(answer.body, "theirs")["f:spec"]


def test_an_edit_moves_the_ownership(api: Api, settings: Object) -> None:
    api.apply(settings)
    patch = {"data": {"colour": "blue"}}
    edited = api(
        "PATCH", path_of(settings), patch, content_type=MERGE, fieldManager="kubectl-edit"
    ).body
    assert owned(edited, "ours") == {"f:data": {"f:size": {}}}
    assert owned(edited, "kubectl-edit") == {"f:data": {"f:colour": {}}}


def test_a_dry_run_shows_the_result_and_writes_nothing(api: Api, web: Object) -> None:
    before = api.apply(web).body
    web["spec"]["replicas"] = 9
    answer = api.apply(web, dryRun="All")
    assert answer.status == 200
    assert answer.body["spec"]["replicas"] == 9
    assert answer.body["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
    assert api.get(web) == before


def test_a_dry_run_of_a_new_object_does_not_create_it(api: Api, web: Object) -> None:
    answer = api.apply(web, dryRun="All")
    assert answer.status == 201
    assert answer.body["metadata"]["uid"]
    assert "resourceVersion" not in answer.body["metadata"]
    assert api("GET", path_of(web)).status == 404


def test_a_list_keeps_the_order_of_the_applied_configuration(api: Api, web: Object) -> None:
    api.apply(web)
    containers = web["spec"]["template"]["spec"]["containers"]
    containers[0]["env"].reverse()
    answer = api.apply(web)
    names = [e["name"] for e in answer.body["spec"]["template"]["spec"]["containers"][0]["env"]]
    assert names == ["MODE", "LEVEL"]


def test_an_apply_is_not_always_idempotent(api: Api, web: Object) -> None:
    """Giving up the only field of a struct leaves the struct owned, but absent."""
    pod = web["spec"]["template"]["spec"]
    pod["containers"][0]["securityContext"] = {"runAsUser": 0}
    api.apply(web)
    pod["containers"][0]["securityContext"] = {}
    first = api.apply(web).body
    second = api.apply(web).body
    container = first["spec"]["template"]["spec"]["containers"][0]
    assert "securityContext" not in container
    container = second["spec"]["template"]["spec"]["containers"][0]
    assert container["securityContext"] == {}


def test_an_object_created_by_kubectl_is_adopted(api: Api, web: Object) -> None:
    api.create(web)
    answer = api.apply(web)
    assert answer.status == 200
    assert "f:replicas" in owned(answer.body, "ours")["f:spec"]
    del web["spec"]["template"]["spec"]["containers"][0]["env"]
    # kubectl-create owns it, too: it stays.
    container = api.apply(web).body["spec"]["template"]["spec"]["containers"][0]
    assert [item["name"] for item in container["env"]] == ["LEVEL", "MODE"]


@pytest.mark.parametrize("wiped", [[], [{}]], ids=["empty", "one empty entry"])
def test_wiped_managed_fields_come_back_as_before_first_apply(
    api: Api, settings: Object, wiped: list[Object]
) -> None:
    api.apply(settings)
    patch = [{"op": "replace", "path": "/metadata/managedFields", "value": wiped}]
    answer = api("PATCH", path_of(settings), patch, content_type=JSON_PATCH)
    assert "managedFields" not in answer.body["metadata"]
    answer = api.apply(settings)
    managers = {(e["manager"], e["operation"]) for e in answer.body["metadata"]["managedFields"]}
    assert managers == {("ours", "Apply"), ("before-first-apply", "Update")}


def test_managed_fields_can_be_rewritten_by_a_patch(api: Api, settings: Object) -> None:
    """How ownership is migrated from kubectl to an applier."""
    created = api.create(settings, manager="kubectl-create").body
    entry = {**created["metadata"]["managedFields"][0], "manager": "ours", "operation": "Apply"}
    patch = [
        {"op": "replace", "path": "/metadata/managedFields", "value": [entry]},
        {
            "op": "replace",
            "path": "/metadata/resourceVersion",
            "value": created["metadata"]["resourceVersion"],
        },
    ]
    answer = api("PATCH", path_of(settings), patch, content_type=JSON_PATCH)
    assert [e["manager"] for e in answer.body["metadata"]["managedFields"]] == ["ours"]
    del settings["data"]["size"]
    assert api.apply(settings).body["data"] == {"colour": "red"}


def change(path: list[Any], value: Any) -> Callable[[Object], None]:
    def apply(obj: Object) -> None:
        for part in path[:-1]:
            obj = obj[part]
        obj[path[-1]] = value

    return apply


CONTAINER = ["spec", "template", "spec", "containers", 0]
REFUSED = {
    "an unknown field": (change(["spec", "replica"], 1), 500, ".spec.replica: field not declared"),
    "a count as text": (change(["spec", "replicas"], "2"), 500, ".spec.replicas: expected numeric"),
    "a label as number": (
        change(["metadata", "labels"], {"a": 1}),
        500,
        ".metadata.labels.a: expected string, got &value.valueUnstructured{Value:1}",
    ),
    "a port as text": (
        change([*CONTAINER, "ports"], [{"containerPort": "http"}]),
        500,
        'ports[containerPort="http",protocol="TCP"].containerPort: expected numeric',
    ),
    "a port out of range": (
        change([*CONTAINER, "ports"], [{"containerPort": 99999}]),
        422,
        "containerPort: Invalid value: 99999: must be between 1 and 65535, inclusive",
    ),
    "the same variable twice": (
        change([*CONTAINER, "env"], [{"name": "A"}, {"name": "A"}]),
        500,
        'env: duplicate entries for key [name="A"]',
    ),
    "a negative count": (
        change(["spec", "replicas"], -1),
        422,
        "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
    ),
    "no image": (change([*CONTAINER, "image"], ""), 422, "image: Required value"),
    "another name": (change(["metadata", "name"], "b"), 400, "does not match the name on the URL"),
    "another namespace": (change(["metadata", "namespace"], "b"), 400, "does not match the name"),
    "another version": (change(["apiVersion"], "apps/v2"), 400, "invalid object type: apps/v2"),
    "managed fields": (
        change(["metadata", "managedFields"], []),
        400,
        "metadata.managedFields must be nil",
    ),
    "a bad label": (change(["metadata", "labels"], {"a": "b c"}), 422, "a valid label must be"),
    "a bad policy": (
        change([*CONTAINER, "imagePullPolicy"], "Sometimes"),
        422,
        'Unsupported value: "Sometimes": supported values: "Always", "IfNotPresent", "Never"',
    ),
}


@pytest.mark.parametrize("validation", ["Strict", "Ignore"])
@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_in_an_apply(api: Api, web: Object, case: str, validation: str) -> None:
    """Whatever fieldValidation says: it is about keys that are there twice."""
    api.apply(web)
    spoil, status, message = REFUSED[case]
    path = path_of(web)
    spoiled = copy.deepcopy(web)
    spoil(spoiled)
    answer = api(
        "PATCH",
        path,
        spoiled,
        content_type="application/apply-patch+yaml",
        fieldManager="ours",
        fieldValidation=validation,
    )
    assert answer.status == status, answer.body
    assert message in answer.body["message"]
    assert answer.body["kind"] == "Status"


def test_an_apply_needs_a_field_manager(api: Api, web: Object) -> None:
    answer = api("PATCH", path_of(web), web, content_type="application/apply-patch+yaml")
    assert answer.status == 422
    assert answer.causes == [("fieldManager", "Required value: is required for apply patch")]


def test_an_apply_with_an_outdated_version_is_a_conflict(api: Api, web: Object) -> None:
    web["metadata"]["resourceVersion"] = api.apply(web).body["metadata"]["resourceVersion"]
    patch = {"spec": {"replicas": 5}}
    api("PATCH", path_of(web), patch, content_type=MERGE, fieldManager="ours")
    answer = api.apply(web, force="true")
    assert answer.status == 409
    assert "the object has been modified" in answer.body["message"]


@pytest.mark.parametrize("manager", ["ours", "theirs"])
def test_an_apply_with_a_version_that_nothing_has_only_creates(
    api: Api, settings: Object, manager: str
) -> None:
    settings["metadata"]["resourceVersion"] = "1"
    created = api.apply(settings)
    assert created.status == 201
    assert created.body["metadata"]["resourceVersion"] != "1"
    answer = api.apply(settings, manager=manager, force="true")
    assert answer.status == 409
    assert "the object has been modified" in answer.body["message"]
