"""What is left to others: whose entries give it up."""

from __future__ import annotations

from typing import Any

from reconciler.api.objects import Object
from reconciler.plan.ignored import disowning


def test_only_our_own_entry_gives_up_the_count() -> None:
    def entry(manager: str, operation: str = "Apply", **more: Any) -> Object:
        fields = {"f:spec": {"f:replicas": {}, "f:template": {}}}
        return {"manager": manager, "operation": operation, "fieldsV1": fields, **more}

    ours = entry("federation-reconciler")
    others = [
        entry("somebody"),
        entry("federation-reconciler", "Update"),
        entry("federation-reconciler", subresource="scale"),
    ]
    first, *rest = disowning([ours, *others], {"f:spec": {"f:replicas": {}}})
    assert first["fieldsV1"] == {"f:spec": {"f:template": {}}}
    assert rest == others
    assert ours["fieldsV1"]["f:spec"]["f:replicas"] == {}
