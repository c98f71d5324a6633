"""JSON patch (RFC 6902), merge patch (RFC 7396) and Kubernetes' strategic merge patch."""

from __future__ import annotations

import copy
from typing import Any

from kubesim.objects import Object
from kubesim.schema import Shape
from kubesim.statuses import bad_request, unprocessable


def json_patch(target: Object, operations: Any) -> Object:
    """A patched copy. Raises Refusal: 400 for what is no patch, 422 for one that fails."""
    if not isinstance(operations, list):
        raise bad_request("error decoding patch: json patch must be a list of operations")
    document: Any = copy.deepcopy(target)
    for operation in operations:
        if not isinstance(operation, dict):
            raise bad_request("error decoding patch: an operation must be an object")
        document = _operate(document, operation)
    result: Object = document
    return result


def _operate(document: Any, operation: Object) -> Any:
    name, path = operation.get("op"), _pointer(operation.get("path"))
    if name == "test":
        if _read(document, path) != operation.get("value"):
            raise unprocessable()
        return document
    if name == "remove":
        return _remove(document, path)
    if name in ("add", "replace"):
        if name == "replace":
            # The server's library lets a replacement add a key that is not there.
            parent = _read(document, path[:-1])
            if not isinstance(parent, dict):
                _read(document, path)
        return _add(document, path, copy.deepcopy(operation.get("value")), name == "replace")
    if name in ("move", "copy"):
        source = _pointer(operation.get("from"))
        value = copy.deepcopy(_read(document, source))
        if name == "move":
            document = _remove(document, source)
        return _add(document, path, value, False)
    raise unprocessable()


def _pointer(text: Any) -> list[str]:
    if not isinstance(text, str) or (text and not text.startswith("/")):
        raise unprocessable()
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]]


def _read(document: Any, path: list[str]) -> Any:
    for part in path:
        try:
            document = document[part] if isinstance(document, dict) else document[int(part)]
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise unprocessable() from error
    return document


def _add(document: Any, path: list[str], value: Any, replace: bool) -> Any:
    if not path:
        return value
    parent = _read(document, path[:-1])
    last = path[-1]
    if isinstance(parent, dict):
        parent[last] = value
        return document
    if not isinstance(parent, list):
        raise unprocessable()
    try:
        index = len(parent) if last == "-" else int(last)
    except ValueError as error:
        raise unprocessable() from error
    if not 0 <= index <= len(parent):
        raise unprocessable()
    if replace:
        parent[index] = value
    else:
        parent.insert(index, value)
    return document


def _remove(document: Any, path: list[str]) -> Any:
    if not path:
        raise unprocessable()
    _read(document, path)
    parent = _read(document, path[:-1])
    if isinstance(parent, dict):
        del parent[path[-1]]
    else:
        del parent[int(path[-1])]
    return document


def merge_patch(target: Any, patch: Any) -> Any:
    """A patched copy: maps merge, null removes, everything else replaces."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge_patch(result.get(key), value)
    return result


def strategic_patch(target: Any, patch: Any, shape: Shape) -> Any:
    """Maps merge, lists merge by their patch key; ``$patch``, ``$retainKeys`` and deletions."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    directive = patch.get("$patch")
    if directive == "replace":
        return _plain(patch)
    if directive == "delete":
        return {}
    result = dict(target) if isinstance(target, dict) else {}
    retained = patch.get("$retainKeys")
    if retained is not None:
        result = {key: value for key, value in result.items() if key in retained}
    for key, value in patch.items():
        if key.startswith("$deleteFromPrimitiveList/"):
            field = key.partition("/")[2]
            result[field] = [item for item in result.get(field) or () if item not in value]
        elif key.startswith("$"):
            continue
        elif value is None:
            result.pop(key, None)
        else:
            result[key] = _strategic_value(result.get(key), value, _below(shape, key))
    for key, order in patch.items():
        if key.startswith("$setElementOrder/"):
            field = key.partition("/")[2]
            if isinstance(result.get(field), list):
                live = target.get(field) if isinstance(target, dict) else None
                result[field] = _ordered(result[field], order, _below(shape, field), live)
    return result


def _plain(value: Any) -> Any:
    return {key: child for key, child in value.items() if not key.startswith("$")}


def _below(shape: Shape, key: str) -> Shape | None:
    if shape.kind == "struct" and key in shape.fields:
        return shape.fields[key].shape
    return shape.of if shape.kind == "map" else None


def _strategic_value(target: Any, value: Any, shape: Shape | None) -> Any:
    if isinstance(value, dict):
        if shape is None or shape.kind not in ("struct", "map"):
            return merge_patch(target, value)
        return strategic_patch(target, value, shape)
    if isinstance(value, list) and shape is not None and shape.patch_key is not None:
        if shape.patch_key:
            return _merge_items(target or [], value, shape)
        existing = list(target or ())
        merged = {_name(item, ""): item for item in [*existing, *value]}
        order = list(dict.fromkeys(_name(item, "") for item in value))
        return _interleave(merged, order, [_name(item, "") for item in existing])
    return copy.deepcopy(value)


def _merge_items(target: list[Any], patch: list[Any], shape: Shape) -> list[Any]:
    key = shape.patch_key or ""
    if any(isinstance(item, dict) and item.get("$patch") == "replace" for item in patch):
        return [item for item in patch if "$patch" not in item]
    merged = {_name(old, key): old for old in target}
    order: list[str] = []
    for item in patch:
        if not isinstance(item, dict) or key not in item:
            raise bad_request(f"map: {item} does not contain declared merge key: {key}")
        name = _name(item, key)
        if item.get("$patch") == "delete":
            merged.pop(name, None)
            continue
        merged[name] = strategic_patch(merged.get(name, {}), item, shape.of)
        if name not in order:
            order.append(name)
    return _interleave(merged, order, [_name(old, key) for old in target])


def _name(item: Any, key: str) -> str:
    return str(item.get(key)) if key and isinstance(item, dict) else str(item)


def _interleave(merged: dict[str, Any], order: list[str], live: list[str]) -> list[Any]:
    """The patch's items in its order, the live object's others put before the first that they
    preceded there."""
    places = {name: index for index, name in enumerate(live)}
    others = [name for name in dict.fromkeys(live) if name in merged and name not in order]
    wanted = [name for name in order if name in merged]
    result: list[str] = []
    while others or wanted:
        if not wanted:
            result += others
            break
        first = wanted[0]
        if others and first in places and places[others[0]] < places[first]:
            result.append(others.pop(0))
        else:
            result.append(wanted.pop(0))
    return [merged[name] for name in result]


def _ordered(items: list[Any], order: list[Any], shape: Shape | None, live: Any) -> list[Any]:
    key = (shape.patch_key if shape is not None else "") or ""
    merged = {_name(item, key): item for item in items}
    before = [_name(item, key) for item in live or ()]
    return _interleave(merged, [_name(item, key) for item in order], before)
