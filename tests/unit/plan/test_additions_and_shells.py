"""With an addition goes the struct around it, whoever made that."""

from __future__ import annotations

from typing import Any

from reconciler.api.errors import Position
from reconciler.api.manifest import Manifest
from reconciler.api.objects import Object, key_of
from reconciler.cluster.client import FIELD_MANAGER
from reconciler.federation.model import DriftRules
from reconciler.inventory.managed_fields import claimed, fields_of, is_ours
from reconciler.plan.additions import AdditionFinder, FoundAdditions
from reconciler.render.render import DesiredObject


def live(*held: tuple[str, str, Any]) -> Object:
    """An object of which each manager holds a part of ``spec.securityContext``."""
    entries: list[Object] = [
        {
            "manager": manager,
            "operation": operation,
            "apiVersion": "example.com/v1",
            "fieldsType": "FieldsV1",
            "fieldsV1": {"f:spec": {"f:securityContext": fields}},
        }
        for manager, operation, fields in (*held, (FIELD_MANAGER, "Apply", None))
    ]
    entries[-1]["fieldsV1"] = {"f:spec": {"f:name": {}}}
    return {
        "apiVersion": "example.com/v1",
        "kind": "Thing",
        "metadata": {"name": "one", "namespace": "shop", "managedFields": entries},
        "spec": {"name": "one", "securityContext": {"runAsUser": 1}},
    }


def found(obj: Object) -> FoundAdditions:
    desired = DesiredObject(key_of(obj), Manifest(obj), Position("one.yaml", 1, 1))
    return AdditionFinder(DriftRules(additions="Remove")).find(obj, desired)


def test_an_empty_struct_that_another_person_made_is_claimed_with_what_is_in_it() -> None:
    obj = live(("kubectl", "Apply", {"f:runAsUser": {}}), ("kubectl-create", "Update", {}))
    added = found(obj)
    assert added.managers == ("kubectl", "kubectl-create")
    entries = obj["metadata"]["managedFields"]
    after = claimed(entries, added.managers, added.removed, "example.com/v1")
    assert fields_of(entry for entry in after if not is_ours(entry)) == {}


def test_a_struct_of_which_a_controller_holds_a_part_stays() -> None:
    obj = live(
        ("kubectl", "Apply", {"f:runAsUser": {}}),
        ("operator", "Update", {".": {}, "f:runAsGroup": {}}),
    )
    assert found(obj).removed == {"f:spec": {"f:securityContext": {"f:runAsUser": {}}}}
