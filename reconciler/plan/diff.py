"""Desired x live x record -> is it unchanged, or must the server be asked? Pure.

The rule and why it is sound are explained in ``inventory.records``.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import orjson
from msgspec import Struct
from msgspec.structs import replace

from reconciler.api.objects import Object
from reconciler.cluster.client import FIELD_MANAGER
from reconciler.inventory.managed_fields import Fields, owned_values
from reconciler.inventory.records import AppliedRecord, Digester, Footprint, canonical_json


class Question(StrEnum):
    """Why the server has to be asked about an object."""

    NONE = "unchanged"
    EDITED = "changed in Git"
    DRIFTED = "drift"
    TAKEN = "drift: somebody took or dropped ownership of fields"
    ADDED = "drift: somebody added fields"
    UNKNOWN = "no record of an earlier apply"
    SAMPLED = "sampled for verification"


class Comparison(Struct, frozen=True):
    """``record`` is what should be remembered if the object turns out to be as wanted."""

    question: Question
    record: AppliedRecord
    footprint: Footprint | None


def request_digest(digester: Digester, body: Object) -> str:
    """H: everything that decides what the server would do with this request."""
    return digester.of_bytes(request_bytes(body))


def request_bytes(body: Object) -> bytes:
    """What H is the digest of: the same in all members that the same is applied to."""
    return canonical_json([FIELD_MANAGER, body])


def compare(
    digester: Digester, body: Object, live: Object, record: AppliedRecord | None
) -> Comparison:
    """Tell whether ``live`` is surely what applying ``body`` would leave it as."""
    footprint = digester.footprint(live)
    wanted = request_digest(digester, body)
    fresh = AppliedRecord(
        wanted,
        footprint.entry if footprint else "",
        footprint.values if footprint else "",
        body["apiVersion"],
        str(live["metadata"].get("uid", "")),
    )
    return Comparison(_question(fresh, footprint, body, live, record), fresh, footprint)


def _question(
    fresh: AppliedRecord,
    footprint: Footprint | None,
    body: Object,
    live: Object,
    record: AppliedRecord | None,
) -> Question:
    if record is None or not record.confirmed:
        if footprint and not footprint.has_missing and _applied_as_written(footprint, body, live):
            return Question.NONE
        return Question.UNKNOWN
    if replace(record, uid=fresh.uid) == fresh:
        return Question.NONE
    if record.request != fresh.request:
        return Question.EDITED
    return Question.TAKEN if record.entry != fresh.entry else Question.DRIFTED


def _applied_as_written(footprint: Footprint, body: Object, live: Object) -> bool:
    """Without a record: our entry covers just what the body says, and the values are the same.

    No normalising: a value that the server writes differently costs a needless question.
    """
    sent = {k: v for k, v in body.items() if k not in ("apiVersion", "kind")}
    metadata = {k: v for k, v in sent["metadata"].items() if k not in ("name", "namespace")}
    sent["metadata"] = metadata
    fields = footprint.fields
    return _covers(fields, sent) and canonical_json(owned_values(fields, sent)) == canonical_json(
        owned_values(fields, live)
    )


def _covers(fields: Fields, value: Any) -> bool:
    """Whether the tree names every part of the value (a path that ends covers all below it)."""
    steps = [step for step in fields if step != "."]
    if not steps:
        return True
    if isinstance(value, dict):
        return len(steps) == len(value) and all(
            f"f:{name}" in fields and _covers(fields[f"f:{name}"], inner)
            for name, inner in value.items()
        )
    if isinstance(value, list):
        if len(steps) != len(value):
            return False
        return all(_covers_item(fields, steps, item) for item in value)
    return False


def _covers_item(fields: Fields, steps: list[str], item: Any) -> bool:
    for step in steps:
        if step.startswith("k:") and isinstance(item, dict):
            keys = orjson.loads(step[2:])
            if all(item.get(k) == v for k, v in keys.items()):
                return _covers(fields[step], item)
        elif step.startswith("v:") and orjson.loads(step[2:]) == item:
            return True
    return False
