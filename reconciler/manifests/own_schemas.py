"""The schemas of our own kinds, of KubeFed's and of Karmada's, and checking manifests against them.

Each schema is compiled once; only when it says no does the slower ``jsonschema`` look again, to
find the words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from reconciler.api.errors import Problem
from reconciler.api.objects import Object, api_group, value_at
from reconciler.api.spelling import close_matches
from reconciler.manifests.document import Document
from reconciler.manifests.secret_data import QUOTE_IT, content_faults, kind_of, read_as

OWN_GROUP = "federation.reconciler.dev"
_OWN = f"{OWN_GROUP}/v1alpha1"
KUBEFED_TYPES, _CORE = "types.kubefed.io/v1beta1", "core.kubefed.io/v1beta1"
_DNS = "multiclusterdns.kubefed.io/v1alpha1"
_FEDERATED = "kubefed-federated.json"
KARMADA_POLICY, KARMADA_CLUSTER = "policy.karmada.io/v1alpha1", "cluster.karmada.io/v1alpha1"

SCHEMA_OF: Mapping[tuple[str, str], str] = {
    (_OWN, "Federation"): "federation.json",
    (_OWN, "Cluster"): "cluster.json",
    (_OWN, "Placement"): "placement.json",
    (_OWN, "Chart"): "chart.json",
    (KUBEFED_TYPES, "FederatedNamespace"): "kubefed-namespace.json",
    (_CORE, "KubeFedCluster"): "kubefed-cluster.json",
    (_CORE, "KubeFedConfig"): "kubefed-config.json",
    (_CORE, "FederatedTypeConfig"): "kubefed-type-config.json",
    ("scheduling.kubefed.io/v1alpha1", "ReplicaSchedulingPreference"): (
        "kubefed-replica-scheduling.json"
    ),
    (_DNS, "Domain"): "kubefed-domain.json",
    (_DNS, "ServiceDNSRecord"): "kubefed-service-dns.json",
    (_DNS, "IngressDNSRecord"): "kubefed-ingress-dns.json",
    (KARMADA_POLICY, "PropagationPolicy"): "karmada-propagation-policy.json",
    (KARMADA_POLICY, "ClusterPropagationPolicy"): "karmada-propagation-policy.json",
    (KARMADA_POLICY, "OverridePolicy"): "karmada-override-policy.json",
    (KARMADA_POLICY, "ClusterOverridePolicy"): "karmada-override-policy.json",
    (KARMADA_CLUSTER, "Cluster"): "karmada-cluster.json",
}
"""Which schema file describes which kind. Any ``Federated<Kind>`` shares one."""

_KARMADA = "karmada.io"
_KARMADAS_OPERATOR = "operator.karmada.io"
"""Its kinds install Karmada in a cluster, and may be distributed like any others."""

BUILT_IN: Mapping[str, tuple[str, ...]] = {
    "": (
        "ConfigMap", "Endpoints", "Event", "LimitRange", "Namespace", "Node", "PersistentVolume",
        "PersistentVolumeClaim", "Pod", "PodTemplate", "ReplicationController", "ResourceQuota",
        "Secret", "Service", "ServiceAccount",
    ),
    "apps": ("ControllerRevision", "DaemonSet", "Deployment", "ReplicaSet", "StatefulSet"),
    "batch": ("CronJob", "Job"),
    "autoscaling": ("HorizontalPodAutoscaler",),
    "policy": ("PodDisruptionBudget",),
    "rbac.authorization.k8s.io": ("ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"),
}  # fmt: skip
"""Groups in which a kind that is nearly one of these is a slip of the pen."""

_RESERVED = frozenset(api_group(api_version) for api_version, _ in SCHEMA_OF)
_KIND_HOMES = {kind: api_version for api_version, kind in reversed(tuple(SCHEMA_OF))}
"""Of a kind that two groups have, ours."""
_HOMES_BY_GROUP = {(api_group(api_version), kind): api_version for api_version, kind in SCHEMA_OF}


def schema_folder() -> Path:
    """Where the schemas lie: inside the package when installed, beside it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "_schemas"
    return inside if inside.is_dir() else package.parent / "schemas"


@cache
def load_schema(name: str) -> Object:
    """A schema by its file name."""
    loaded = orjson.loads((schema_folder() / name).read_bytes())
    return dict(loaded)


def schema_name(body: Object) -> str | None:
    """The schema file for a manifest's kind, or None for kinds that are not ours to check."""
    api_version, kind = body.get("apiVersion"), body.get("kind")
    if not isinstance(api_version, str) or not isinstance(kind, str):
        return None
    name = SCHEMA_OF.get((api_version, kind))
    if name is None and api_version == KUBEFED_TYPES and kind.startswith("Federated"):
        return _FEDERATED
    return name


def schema_problems(document: Document, *, federated: bool = False) -> Iterator[Problem]:
    """Everything that the kind's schema has against a document, worded for people.

    ``federated``: a FederatedTypeConfig makes it a federated kind, whatever its group.
    """
    name = _FEDERATED if federated else schema_name(document.body)
    if name is None:
        yield from _misplaced_kind(document)
    elif not _compiled(name).is_valid(document.body):
        yield from _explain(document, name)
        return
    for fault in content_faults(document.body, final=False):
        hint, message = fault.hint, fault.message
        written = "" if document.is_sensitive else document.written(*fault.steps)
        if hint == QUOTE_IT and written:
            hint = f'{hint}: "{written}"'
            message = read_as(value_at(document.body, fault.steps), written)
        yield _problem(document, fault.steps, message, fault.expected, hint)


def problems_by_schema(document: Document, name: str) -> Iterator[Problem]:
    """What the schema of that file name has against a document that is no manifest."""
    if not _compiled(name).is_valid(document.body):
        yield from _explain(document, name)


@cache
def _compiled(name: str) -> Any:
    import jsonschema_rs

    return jsonschema_rs.validator_for(load_schema(name))


@cache
def _explaining(name: str) -> Any:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(load_schema(name))


def _misplaced_kind(document: Document) -> Iterator[Problem]:
    api_version, kind = str(document.body.get("apiVersion")), str(document.body.get("kind"))
    group = api_group(api_version)
    home = _home_in(group, kind) or _KIND_HOMES.get(kind)
    if _is_karmadas(group) and not _home_in(group, kind):
        known = sorted(f"{k} ({v})" for v, k in SCHEMA_OF if _is_karmadas(api_group(v)))
        yield _problem(
            document,
            ("kind",),
            f"{kind} of {api_version} is Karmada's own, and is not understood here",
            ", ".join(known),
            _meant(kind, [k for v, k in SCHEMA_OF if _is_karmadas(api_group(v))])
            or "take it out: docs/karmada.md says what does the same here",
        )
    elif group in _RESERVED:
        if home and api_group(home) == group:
            yield _problem(document, ("apiVersion",), f"{kind} is not known in {api_version}", home)
            return
        near = close_matches(kind, list(_KIND_HOMES), n=1)
        kinds = sorted(k for v, k in SCHEMA_OF if api_group(v) == group)
        if api_version == KUBEFED_TYPES:
            kinds.append("Federated<Kind>")
        yield _problem(
            document,
            ("kind",),
            f"{group} has no kind {kind!r}",
            ", ".join(kinds),
            f"did you mean {near[0]}?" if near else "",
        )
    elif home in (_OWN,) or (home and not group):
        yield _problem(document, ("apiVersion",), f"{kind} does not belong to {api_version}", home)
    elif group in BUILT_IN and kind not in BUILT_IN[group]:
        near = close_matches(kind, BUILT_IN[group], n=1, cutoff=0.75)
        if near:
            yield _problem(
                document,
                ("kind",),
                f"{api_version} has no kind {kind!r}",
                near[0],
                f"did you mean {near[0]}?",
            )
        elif homes := [one for one, kinds in BUILT_IN.items() if kind in kinds]:
            message = f"{kind} does not belong to {api_version}"
            yield _problem(document, ("apiVersion",), message, f"{homes[0]}/v1".removeprefix("/"))
    elif group.endswith("kubefed.io") or _is_close(group, OWN_GROUP):
        near = close_matches(api_version, sorted({v for v, _ in SCHEMA_OF}), n=1)
        hint = f"did you mean {near[0]}?" if near else ""
        yield _problem(
            document, ("apiVersion",), f"the group {group!r} is not known", "a known group", hint
        )


def _home_in(group: str, kind: str) -> str | None:
    """The apiVersion in which that very group has the kind."""
    return _HOMES_BY_GROUP.get((group, kind))


def _is_karmadas(group: str) -> bool:
    return group.endswith(f".{_KARMADA}") and group != _KARMADAS_OPERATOR


def _meant(word: str, known: Iterable[str]) -> str:
    near = close_matches(word, list(known), n=1)
    return f"did you mean {near[0]}?" if near else ""


def _is_close(one: str, other: str) -> bool:
    return bool(close_matches(one, [other], n=1, cutoff=0.85))


def _explain(document: Document, name: str) -> Iterator[Problem]:
    for error in _explaining(name).iter_errors(document.body):
        yield from _word(document, error)


def _word(document: Document, error: Any) -> Iterator[Problem]:
    path = tuple(error.absolute_path)
    shown = "this" if _is_unquotable(document, path) else _shown(error.instance)
    expected = _expected(error)
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        known = list(error.schema.get("properties", {}))
        for key in error.instance:
            if key not in known:
                yield _unknown_key(document, path, str(key), known)
    elif error.validator == "required":
        missing = [k for k in error.validator_value if k not in error.instance]
        for key in missing:
            description = error.schema.get("properties", {}).get(key, {}).get("description", "")
            if error.message.startswith(repr(key)):
                yield _problem(document, path, f"{key} is missing", description)
    elif error.validator in ("anyOf", "oneOf") and (choice := _choice(error)):
        there = [key for key in choice if key in error.instance]
        first, last = ", ".join(choice[:-1]), choice[-1]
        message = f"{' and '.join(there)} at once" if there else f"{first} or {last} is missing"
        yield _problem(document, path, message, "one of " + ", ".join(choice))
    elif error.validator in ("anyOf", "oneOf"):
        yield _problem(document, path, f"not valid here: {shown}", expected)
    elif error.validator == "enum":
        allowed = [str(v) for v in error.validator_value]
        near = close_matches(shown.strip('"'), allowed, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else ""
        yield _problem(document, path, f"unknown value {shown}", expected, hint)
    elif error.validator == "pattern":
        yield _problem(document, path, f"not valid: {shown}", expected)
    elif error.validator == "type":
        scalar = isinstance(error.instance, int | float | bool)
        problem = f"{shown} is {kind_of(error.instance)}"
        if error.instance is None:
            problem = "there is no value"
        if scalar and shown != "this":
            shown = document.written(*path) or shown
            problem = read_as(error.instance, shown)
        # Quoted, a number without a unit is no duration yet.
        fits = shown == "this" or re.search(error.schema.get("pattern", ""), shown) is not None
        quoting = scalar and error.validator_value == "string" and fits
        hint = ("quote it" if shown == "this" else f'quote it: "{shown}"') if quoting else ""
        yield _problem(document, path, problem, expected, hint)
    elif error.validator == "uniqueItems":
        for number, item in enumerate(error.instance):
            if item in error.instance[:number]:
                where = (*path, number)
                words = "this" if _is_unquotable(document, where) else _shown(item)
                yield _problem(document, where, f"{words} twice", "each once")
    else:
        problem = f"not valid ({error.validator})" if shown == "this" else error.message[:200]
        yield _problem(document, path, problem, expected)


def _choice(error: Any) -> list[str]:
    """The keys of which a map must have one; none where something else is to be chosen."""
    ways: list[Object] = error.validator_value
    if not all(way.keys() == {"required"} and len(way["required"]) == 1 for way in ways):
        return []
    return [str(way["required"][0]) for way in ways]


def _is_unquotable(document: Document, path: tuple[Any, ...]) -> bool:
    """What is somebody's value, or a Secret's, and not a word of the schema."""
    return (
        document.is_sensitive
        or "value" in path
        or path[:2] in (("spec", "template"), ("spec", "values"))
    )


def _unknown_key(document: Document, path: tuple[Any, ...], key: str, known: list[str]) -> Problem:
    near = close_matches(key, known, n=1, cutoff=0.6)
    hint = f"did you mean {near[0]}?" if near else ""
    expected = "one of " + ", ".join(sorted(known)) if known else "nothing"
    return _problem(document, (*path, key), f"unknown key {key!r}", expected, hint, at_key=True)


def _expected(error: Any) -> str:
    rule = error.schema if isinstance(error.schema, dict) else {}
    validator, value = error.validator, error.validator_value
    if validator == "enum":
        return "one of " + ", ".join(str(v) for v in value)
    if validator == "const":
        return str(value)
    if validator == "type":
        kinds: list[str] = value if isinstance(value, list) else [value]
        wanted = " or ".join(_TYPE_WORDS.get(kind, kind) for kind in kinds)
        return wanted + (f": {rule['description']}" if rule.get("description") else "")
    description = str(rule.get("description", ""))
    limits = {
        "minimum": "at least",
        "maximum": "at most",
        "minItems": "at least",
        "maxLength": "at most",
    }
    if validator in limits:
        return f"{limits[validator]} {value}"
    return description


_TYPE_WORDS = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "object": "a map",
    "array": "a list",
    "null": "nothing",
}


def _shown(value: Any) -> str:
    if isinstance(value, dict | list):
        return "this"
    text = orjson.dumps(value).decode()
    return text if len(text) <= 60 else text[:57] + "…"


def json_path(path: tuple[Any, ...]) -> str:
    """``$.spec.clusters[0]``; keys with other characters quoted."""
    text = "$"
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif str(step).replace("_", "").replace("-", "").isalnum():
            text += f".{step}"
        else:
            text += f'["{step}"]'
    return text


def _problem(
    document: Document,
    path: tuple[Any, ...],
    message: str,
    expected: str = "",
    hint: str = "",
    *,
    at_key: bool = False,
) -> Problem:
    return Problem(document.position(*path, key=at_key), json_path(path), message, expected, hint)
