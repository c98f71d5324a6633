"""A CustomResourceDefinition of apiextensions.k8s.io/v1beta1 -> one of v1.

v1 has schema, subresources and printer columns in each version, wants a structural schema, and
drops fields that the schema lacks. What v1beta1 kept is kept: everywhere, unless the manifest says
``preserveUnknownFields: false``. Sources: Kubernetes' pages on CustomResourceDefinitions
(structural schemas, pruning) and the conversion that API servers had.
"""

from __future__ import annotations

from typing import Any

from reconciler.api.objects import map_of
from reconciler.manifests.edits import Draft, Steps

_PRESERVE, _INT_OR_STRING = "x-kubernetes-preserve-unknown-fields", "x-kubernetes-int-or-string"
_INT_AND_STRING = [{"type": "integer"}, {"type": "string"}]
_JUNCTORS = ("allOf", "anyOf", "oneOf")
_NOT_INSIDE = ("default", "additionalProperties", "nullable", _PRESERVE, _INT_OR_STRING,
               "x-kubernetes-embedded-resource")  # fmt: skip
_APPROVAL = "api-approved.kubernetes.io"
_PROTECTED = (".k8s.io", ".kubernetes.io")
_PER_VERSION = (("validation", "schema"), ("subresources", "subresources"),
                ("additionalPrinterColumns", "additionalPrinterColumns"))  # fmt: skip
_SCHEMA = "openAPIV3Schema"


def convert_crd(draft: Draft, before: str) -> None:
    """Make one of v1 of it; what has no place in a structural schema is left to a person."""
    spec = map_of(draft.get("spec"))
    given = spec.get("versions")
    versions: list[Any] = given if isinstance(given, list) else []
    names = [map_of(one).get("name") for one in versions] or [spec.get("version")]
    if names[0] is None:
        draft.stop(("spec",), "there is no version", "spec.versions")
        return
    keeps_all = spec.get("preserveUnknownFields") is not False
    _one_version(draft, ("spec",), keeps_all=keeps_all)
    for number in range(len(versions)):
        _one_version(draft, ("spec", "versions", number), keeps_all=keeps_all)
    _conversion(draft, before)
    why = f"what {before} took"
    draft.default(("spec", "scope"), "Namespaced", why, before="versions")
    if spec.get("preserveUnknownFields") is True:
        why = "the schema says it, place by place"
        draft.set(("spec", "preserveUnknownFields"), False, why)
    if str(spec.get("group")).endswith(_PROTECTED):
        text = f"unapproved, as it was in {before}"
        why = "v1 wants it in groups of Kubernetes' own domains"
        draft.default(("metadata", "annotations", _APPROVAL), text, why)
    if not versions:
        one = {"name": names[0], "served": True, "storage": True}
        draft.set(("spec", "versions"), [one], "spec.version is its first", before="version")
    draft.remove(("spec", "version"), told=bool(versions))
    _move_into_versions(draft, len(names))
    for number in range(len(names)):
        if not map_of(draft.get("spec", "versions", number, "schema")).get(_SCHEMA):
            anything = {_SCHEMA: {"type": "object", _PRESERVE: True}}
            why = f"{before} took everything without one"
            draft.set(("spec", "versions", number, "schema"), anything, why)


def _one_version(draft: Draft, place: Steps, *, keeps_all: bool) -> None:
    columns = draft.get(*place, "additionalPrinterColumns")
    for number, column in enumerate(columns if isinstance(columns, list) else ()):
        if "JSONPath" in map_of(column):
            path = (*place, "additionalPrinterColumns", number)
            draft.move((*path, "JSONPath"), (*path, "jsonPath"))
    root = (*place, "validation" if place == ("spec",) else "schema", _SCHEMA)
    if map_of(draft.get(*root)):
        _structural(draft, root, keeps_all=keeps_all, is_root=True)


def _move_into_versions(draft: Draft, versions: int) -> None:
    """What held for all versions is said in each."""
    for old, new in _PER_VERSION:
        value = draft.get("spec", old)
        if value is None:
            draft.remove(("spec", old), told=False)
            continue
        if any(draft.get("spec", "versions", n, new) is not None for n in range(versions)):
            message = f"{old} is there for all versions, and {new} in one of them"
            draft.stop(("spec", old), message, "one of them")
            continue
        draft.move(("spec", old), ("spec", "versions", 0, new), "each version has its own")
        for number in range(1, versions):
            draft.set(("spec", "versions", number, new), value, told=False)


def _conversion(draft: Draft, before: str) -> None:
    conversion = map_of(draft.get("spec", "conversion"))
    inside = ("spec", "conversion")
    if "webhookClientConfig" in conversion:
        draft.move((*inside, "webhookClientConfig"), (*inside, "webhook", "clientConfig"))
    if conversion.get("strategy") != "Webhook":
        draft.remove((*inside, "conversionReviewVersions"), "nothing is converted")
        return
    to = (*inside, "webhook", "conversionReviewVersions")
    if conversion.get("conversionReviewVersions"):
        draft.move((*inside, "conversionReviewVersions"), to)
    else:
        draft.default(to, ["v1beta1"], f"what {before} took")


def _structural(draft: Draft, at: Steps, *, keeps_all: bool, is_root: bool = False) -> None:
    """Give a schema, and those in it, the types that v1 wants, and what keeps unknown fields."""
    schema = map_of(draft.get(*at))
    _int_or_string(draft, at)
    kind = schema.get("type")
    why = "v1 wants a type everywhere"
    if not kind and not schema.get(_INT_OR_STRING):
        if is_root or {"properties", "additionalProperties"} & schema.keys():
            kind = "object"
        elif "items" in schema:
            kind = "array"
        if kind:
            draft.set((*at, "type"), kind, why)
        elif not schema.get(_PRESERVE):
            draft.set((*at, _PRESERVE), True, "v1 takes any type only so")
    if kind == "array" and not isinstance(schema.get("items"), dict):
        draft.set((*at, "items"), {_PRESERVE: True}, "v1 wants to know what is in a list")
    if keeps_all and kind == "object" and not schema.get(_PRESERVE):
        why = "v1beta1 kept what the schema lacks"
        draft.set((*at, _PRESERVE), True, why if is_root else "", told=is_root)
    if is_root and "additionalProperties" in schema:
        expected = "none at the root"
        draft.stop((*at, "additionalProperties"), "v1 does not take additionalProperties", expected)
    for name, inner in map_of(schema.get("properties")).items():
        if isinstance(inner, dict) and is_root and name == "metadata":
            # Servers know it; a schema may say no more than that it is an object.
            draft.default((*at, "properties", name, "type"), "object", why)
        elif isinstance(inner, dict):
            own = is_root and name in ("apiVersion", "kind")
            if own:
                draft.default((*at, "properties", name, "type"), "string", why)
            _structural(draft, (*at, "properties", name), keeps_all=keeps_all)
    for name in ("items", "additionalProperties"):
        if isinstance(schema.get(name), dict):
            _structural(draft, (*at, name), keeps_all=keeps_all)
    for name in (*_JUNCTORS, "not"):
        _junctor(draft, at, (name,))


def _int_or_string(draft: Draft, at: Steps) -> None:
    """``anyOf`` an integer or a string is said in one way only."""
    schema = map_of(draft.get(*at))
    for name in ("anyOf", "oneOf"):
        given = schema.get(name)
        if given not in (_INT_AND_STRING, _INT_AND_STRING[::-1]):
            continue
        if schema.get("type"):
            continue
        if given != _INT_AND_STRING or name != "anyOf":
            draft.remove((*at, name), told=False)
            draft.set((*at, "anyOf"), _INT_AND_STRING, "v1 knows it in this order", told=False)
        if not schema.get(_INT_OR_STRING):
            draft.set((*at, _INT_OR_STRING), True, "v1 takes a number or text only so")
        return


def _junctor(draft: Draft, at: Steps, inside: Steps) -> None:
    """Below ``allOf`` and its like there may be conditions only: a type and what describes a field
    is said outside."""
    outside = map_of(draft.get(*at))
    value = draft.get(*at, *inside)
    if isinstance(value, list):
        for number in range(len(value)):
            _junctor(draft, at, (*inside, number))
        return
    if not isinstance(value, dict):
        return
    place = (*at, *inside)
    known_form = outside.get("anyOf") == _INT_AND_STRING and outside.get(_INT_OR_STRING)
    if known_form and inside[0] == "anyOf":
        return
    for name in ("description", "title"):
        draft.remove((*place, name), "v1 takes conditions only here")
    if "type" in value and value["type"] == outside.get("type"):
        draft.remove((*place, "type"), "it is said outside")
    for name in ("type", *_NOT_INSIDE):
        if name in value:
            message = f"v1 takes no {name} below {inside[0]}"
            draft.stop((*place, name), message, "conditions only; say it outside")
    known = map_of(outside.get("properties"))
    for name, inner in map_of(value.get("properties")).items():
        if name not in known:
            message = f"{name} is only here, below {inside[0]}"
            draft.stop((*place, "properties", name), message, "the field outside as well")
        elif isinstance(inner, dict):
            _condition(draft, (*at, "properties", name), (*place, "properties", name))
    if isinstance(value.get("items"), dict):
        _condition(draft, (*at, "items"), (*place, "items"))
    for name in (*_JUNCTORS, "not"):
        if name in value:
            _junctor(draft, at, (*inside, name))


def _condition(draft: Draft, outside: Steps, place: Steps) -> None:
    """A field below a junctor, beside what is said of it ``outside``."""
    value = map_of(draft.get(*place))
    for name in ("description", "title"):
        draft.remove((*place, name), "v1 takes conditions only here")
    if "type" in value and value["type"] == draft.get(*outside, "type"):
        draft.remove((*place, "type"), "it is said outside")
    for name in ("type", *_NOT_INSIDE):
        if name in value:
            draft.stop((*place, name), f"v1 takes no {name} here", "conditions only")
    known = map_of(draft.get(*outside, "properties"))
    for name, inner in map_of(value.get("properties")).items():
        if name not in known:
            message = f"{name} is only here, below a condition"
            draft.stop((*place, "properties", name), message, "the field outside as well")
        elif isinstance(inner, dict):
            _condition(draft, (*outside, "properties", name), (*place, "properties", name))
