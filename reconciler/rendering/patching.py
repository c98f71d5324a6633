"""JSON Patch (RFC 6902) on values that are shared: what changes is copied, the rest is not."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from reconciler.federation.model import PatchOperation
from reconciler.federation.overrides import split_pointer

_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")


class PatchFault(ValueError):
    """The path does not exist; the message says where it ends."""


def patched(value: Any, operation: PatchOperation) -> Any:
    """A copy of ``value`` with one operation done. Raises PatchFault.

    As in KubeFed, maps that ``add`` needs below ``/metadata`` (labels, annotations) are made.
    """
    return _patch(value, split_pointer(operation.path), operation, ())


def _patch(value: Any, steps: Sequence[str], operation: PatchOperation, seen: Sequence[str]) -> Any:
    step, rest = steps[0], steps[1:]
    if isinstance(value, dict):
        return _patch_map(value, step, rest, operation, seen)
    if isinstance(value, list):
        return _patch_list(value, step, rest, operation, seen)
    raise PatchFault(f"/{'/'.join(seen)} is not a map or a list")


def _patch_map(
    value: dict[str, Any],
    step: str,
    rest: Sequence[str],
    operation: PatchOperation,
    seen: Sequence[str],
) -> dict[str, Any]:
    result = dict(value)
    if rest:
        if step not in value or value[step] is None:
            if operation.op != "add" or tuple(seen) != ("metadata",):
                raise _missing(value, step, seen)
            result[step] = {}
        result[step] = _patch(result[step], rest, operation, (*seen, step))
    elif operation.op == "add":
        result[step] = operation.value
    elif step not in value:
        raise _missing(value, step, seen)
    elif operation.op == "remove":
        del result[step]
    else:
        result[step] = operation.value
    return result


def _patch_list(
    value: list[Any],
    step: str,
    rest: Sequence[str],
    operation: PatchOperation,
    seen: Sequence[str],
) -> list[Any]:
    result = list(value)
    if step == "-" and not rest and operation.op == "add":
        return [*result, operation.value]
    inserting = operation.op == "add" and not rest
    # As a JSON pointer writes them; str.isdigit() also likes what int() does not.
    index = int(step) if _INDEX.fullmatch(step) else len(value) + 1
    if index >= len(value) + inserting:
        where = "/" + "/".join(seen)
        raise PatchFault(f"{where} has {len(value)} items, and no item {step}")
    if rest:
        result[index] = _patch(value[index], rest, operation, (*seen, step))
    elif operation.op == "add":
        result.insert(index, operation.value)
    elif operation.op == "remove":
        del result[index]
    else:
        result[index] = operation.value
    return result


def _missing(value: dict[str, Any], step: str, seen: Sequence[str]) -> PatchFault:
    where = "/" + "/".join(seen)
    names = ", ".join(sorted(value)) or "nothing"
    return PatchFault(f"{where} has no {step!r}; it has {names}")
