"""JSON Patch (RFC 6902) on values that are shared: what changes is copied, the rest is not."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from reconciler.api.json_pointer import split_pointer
from reconciler.api.objects import Object
from reconciler.federation.model import ContainerOperation, PatchOperation
from reconciler.federation.overrides import CONTAINERS, POD_SPECS
from reconciler.manifests.problems import suggestion

_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")


class PatchError(ValueError):
    """What an operation is about does not exist; ``expected`` names what does."""

    def __init__(self, message: str, expected: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.expected, self.hint = expected, hint


def with_changes(body: Object, operation: PatchOperation | ContainerOperation) -> Object:
    """A copy of an object with one operation of an override done. Raises PatchError."""
    if isinstance(operation, PatchOperation):
        try:
            return dict(patched(body, operation))
        except PatchError as fault:
            raise PatchError(
                f"the override path {operation.path} does not exist: {fault}",
                "a path that is there once the operations before it are done",
                "use op: add to make a new field" if operation.op == "replace" else "",
            ) from None
    return _with_container(body, operation)


def _with_container(body: Object, operation: ContainerOperation) -> Object:
    names = []
    for path in POD_SPECS:
        pod_spec = _at(body, path)
        for part in CONTAINERS if isinstance(pod_spec, dict) else ():
            containers = pod_spec.get(part)
            for index, one in enumerate(containers if isinstance(containers, list) else ()):
                if not isinstance(one, dict):
                    continue
                if one.get("name") == operation.container:
                    made = [*containers]
                    made[index] = _container(one, operation)
                    return dict(_put(body, (*path, part), made))
                names.append(str(one.get("name")))
    raise PatchError(
        f"there is no container {operation.container!r}",
        ", ".join(names) or "no container: it has none",
        suggestion(operation.container, names),
    )


def _container(container: Object, operation: ContainerOperation) -> Object:
    value = operation.value
    if operation.field == "env" and isinstance(value, dict):
        value = _merged(container.get("env"), value)
    return {**container, operation.field: value}


def _merged(env: Any, wanted: Object) -> list[Any]:
    """Variables in their order, those that are new last. One with a ``valueFrom`` gets a value
    instead, as the server takes only either; of a name that is there twice, one is left."""
    left = dict(wanted)
    merged = []
    for entry in env if isinstance(env, list) else ():
        name = entry.get("name") if isinstance(entry, dict) else None
        if name not in wanted:
            merged.append(entry)
        elif name in left:
            merged.append({"name": name, "value": left.pop(name)})
    return merged + [{"name": name, "value": value} for name, value in left.items()]


def _at(value: Any, path: Sequence[str]) -> Any:
    for step in path:
        value = value.get(step) if isinstance(value, dict) else None
    return value


def _put(value: Any, path: Sequence[str], new: Any) -> Any:
    return {**value, path[0]: _put(value[path[0]], path[1:], new)} if path else new


def patched(value: Any, operation: PatchOperation) -> Any:
    """A copy of ``value`` with one operation done. Raises PatchError.

    As in KubeFed, maps that ``add`` needs below ``/metadata`` (labels, annotations) are made.
    """
    return _patch(value, split_pointer(operation.path), operation, ())


def _patch(value: Any, steps: Sequence[str], operation: PatchOperation, seen: Sequence[str]) -> Any:
    step, rest = steps[0], steps[1:]
    if isinstance(value, dict):
        return _patch_map(value, step, rest, operation, seen)
    if isinstance(value, list):
        return _patch_list(value, step, rest, operation, seen)
    raise PatchError(f"/{'/'.join(seen)} is not a map or a list")


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
        raise PatchError(f"{where} has {len(value)} items, and no item {step}")
    if rest:
        result[index] = _patch(value[index], rest, operation, (*seen, step))
    elif operation.op == "add":
        result.insert(index, operation.value)
    elif operation.op == "remove":
        del result[index]
    else:
        result[index] = operation.value
    return result


def _missing(value: dict[str, Any], step: str, seen: Sequence[str]) -> PatchError:
    where = "/" + "/".join(seen)
    names = ", ".join(sorted(value)) or "nothing"
    return PatchError(f"{where} has no {step!r}; it has {names}")
