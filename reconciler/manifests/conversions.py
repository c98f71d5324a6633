"""Manifests of API versions that are gone -> what they mean in the version that came after.

Where the new version wants something said that the old one took for granted, or takes another thing
for granted, what the old one meant is written out. Sources: the defaults and conversions that
Kubernetes had for those versions, and the deprecated API migration guide.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from reconciler.api.errors import Problem
from reconciler.api.json_pointer import join_pointer, split_pointer
from reconciler.api.objects import Object, RedactedRepr, map_of, maps_of, value_at
from reconciler.manifests.crd_conversion import convert_crd
from reconciler.manifests.document import Document
from reconciler.manifests.edits import Draft, Edit, Obstacle, Steps
from reconciler.manifests.old_versions import (
    TEMPLATE,
    OldVersion,
    old_part,
    old_target,
    old_version,
)
from reconciler.manifests.own_schemas import json_path

NO_LIMIT = 2**31 - 1
"""What extensions/v1beta1 took for a deadline or a limit that is not said: none."""
_EMPTY_SELECTOR = "in policy/v1beta1 an empty selector selects no Pod, in policy/v1 every Pod"
_PRESERVE_ZERO = "flowcontrol.k8s.io/v1beta3-preserve-zero-concurrency-shares"


FIX_HINT = "reconcile validate --fix rewrites it"


class Told(Struct, frozen=True):
    """A change in words, at the field that ``path`` leads to in the manifest as it is."""

    path: Steps
    message: str
    expected: str = ""
    hint: str = ""


class Conversion(RedactedRepr, frozen=True):
    """How a manifest becomes one of today. ``body`` is the whole manifest, converted as far as that
    goes; ``at`` leads to the converted object in it. With ``obstacles`` a person has to decide."""

    kind: str
    before: str
    version: OldVersion
    at: Steps
    body: Object
    edits: tuple[Edit, ...] = ()
    obstacles: tuple[Obstacle, ...] = ()

    @property
    def is_possible(self) -> bool:
        return bool(self.version.successor) and not self.obstacles

    @property
    def verdict(self) -> str:
        """``Deployment of apps/v1beta1: no Kubernetes since 1.16 has it``."""
        return f"{self.kind} of {self.before}: no Kubernetes since {self.version.removed} has it"

    def told(self, body: Object) -> Iterator[Told]:
        """The version, then every field that is another one than in ``body``, the manifest as it
        is, and what a person has to decide."""
        now = self.version.successor
        place = (*self.at, "apiVersion")
        yield Told(place, self.verdict, now or self.version.instead)
        for number, edit in enumerate(self.edits):
            if not edit.told or edit.path == place:
                continue
            name = str(edit.path[-1])
            message, expected = f"{now} has no {name} here", "nothing"
            if edit.to is not None:
                expected = _dotted(_finally(edit.to, self.edits[number + 1 :])[len(self.at) :])
            elif edit.sets:
                there = value_at(body, edit.path) is not None
                message = f"{name} {'is another one' if there else 'has to be said'} in {now}"
                expected = f"{name}: {_flow(edit.value)}"
            yield Told(edit.path, message, expected, edit.why)
        for obstacle in self.obstacles:
            yield Told(obstacle.path, obstacle.message, obstacle.expected, obstacle.hint)


def _finally(path: Steps, later: Sequence[Edit]) -> Steps:
    """Where a path is after all edits."""
    for edit in later:
        if edit.to is not None and path[: len(edit.path)] == edit.path:
            path = (*edit.to, *path[len(edit.path) :])
    return path


def _dotted(path: Steps) -> str:
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {_flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def conversion_of(body: Object) -> Conversion | None:
    """What becomes of a manifest; None where it is of no old version. Pure."""
    if target := old_target(body):
        return _of_type(body, target)
    found = old_part(body)
    if found is None:
        return None
    part, at = found
    before, kind = str(part["apiVersion"]), str(part["kind"])
    version = old_version(before, kind)
    if version is None or not version.successor:
        gone = version or OldVersion("")
        return Conversion(kind, before, gone, at, body)
    draft = Draft(body, at)
    if draft.get("apiVersion") is not None:
        draft.set(("apiVersion",), version.successor)
    convert = _CONVERT.get(kind)
    if convert:
        convert(draft, before)
    if at == TEMPLATE:
        _convert_overrides(draft, kind)
    return Conversion(
        kind, before, version, at, draft.body, tuple(draft.edits), tuple(draft.obstacles)
    )


def _of_type(body: Object, version: OldVersion) -> Conversion:
    """A FederatedTypeConfig, whose targetType has group and version apart."""
    at = ("spec", "targetType")
    draft = Draft(body, at)
    before = f"{draft.get('group')}/{draft.get('version')}"
    group, _, number = version.successor.partition("/")
    obstacles = []
    if version.successor:
        if draft.get("group") != group:
            draft.set(("group",), group)
        draft.set(("version",), number)
    else:
        obstacles.append(Obstacle(at, version.instead))
    kind = str(draft.get("kind"))
    return Conversion(kind, before, version, at, draft.body, tuple(draft.edits), tuple(obstacles))


def old_version_problems(document: Document) -> Iterator[Problem]:
    """That a manifest is of an API version that is gone: the version, then each field that is
    another one today, with what takes its place."""
    found = conversion_of(document.body)
    if found is None:
        return
    for number, told in enumerate(found.told(document.body)):
        position = document.position(*told.path, key=True)
        hint = "; ".join(filter(None, [told.hint, "" if number else _how(document, found)]))
        yield Problem(position, json_path(told.path), told.message, told.expected, hint)


def _how(document: Document, found: Conversion) -> str:
    if not found.is_possible:
        return ""
    if document.source.built_by:
        by_helm = document.source.built_by.startswith("helm")
        return "change the " + (
            "chart's template" if by_helm else "file that kustomize reads it from"
        )
    if document.source.decrypted:
        return "sops encrypted the file: change it with sops"
    return FIX_HINT


# -- workloads -------------------------------------------------------------------------------------


def _workload(draft: Draft, before: str) -> None:
    labels = map_of(draft.get("spec", "template", "metadata", "labels"))
    if before != "apps/v1beta2" and labels and draft.get("spec", "selector") is None:
        why = f"{before} took the labels of the template"
        selector = {"matchLabels": dict(labels)}
        draft.set(("spec", "selector"), selector, why, before="template")


def _deployment(draft: Draft, before: str) -> None:
    draft.remove(("spec", "rollbackTo"), "kubectl rollout undo goes back to a revision")
    _workload(draft, before)
    if before == "apps/v1beta1":
        why = f"so many did {before} keep"
        draft.default(("spec", "revisionHistoryLimit"), 2, why, before="template")
    if before != "extensions/v1beta1":
        return
    why = f"{before} kept all; say how many"
    draft.default(("spec", "revisionHistoryLimit"), NO_LIMIT, why, before="template")
    why = f"{before} had no deadline"
    draft.default(("spec", "progressDeadlineSeconds"), NO_LIMIT, why, before="template")
    strategy = map_of(draft.get("spec", "strategy"))
    if strategy.get("type") in (None, "RollingUpdate") or strategy.get("rollingUpdate"):
        why = f"{before} took 1, apps/v1 takes 25%"
        if not strategy:
            both = {"maxSurge": 1, "maxUnavailable": 1}
            draft.set(
                ("spec", "strategy"),
                {"type": "RollingUpdate", "rollingUpdate": both},
                why,
                before="template",
            )
            return
        for name in ("maxSurge", "maxUnavailable"):
            draft.default(("spec", "strategy", "rollingUpdate", name), 1, why)


def _stateful_set(draft: Draft, before: str) -> None:
    _workload(draft, before)
    if before == "apps/v1beta1":
        _on_delete(draft, before)


def _daemon_set(draft: Draft, before: str) -> None:
    draft.remove(("spec", "templateGeneration"))
    _workload(draft, before)
    if before == "extensions/v1beta1":
        _on_delete(draft, before)


def _on_delete(draft: Draft, before: str) -> None:
    why = f"{before} replaced no Pod by itself; apps/v1 takes RollingUpdate"
    if draft.get("spec", "updateStrategy") is None:
        draft.set(("spec", "updateStrategy"), {"type": "OnDelete"}, why, before="template")
    else:
        draft.default(("spec", "updateStrategy", "type"), "OnDelete", why)


# -- networking ------------------------------------------------------------------------------------


def _ingress(draft: Draft, before: str) -> None:
    _backend(draft, ("spec", "backend"))
    for number, rule in enumerate(_items(draft.get("spec", "rules"))):
        for index, path in enumerate(_items(map_of(map_of(rule).get("http")).get("paths"))):
            place = ("spec", "rules", number, "http", "paths", index)
            _backend(draft, (*place, "backend"))
            if isinstance(path, dict) and path.get("pathType") is None:
                why = f"{before} left it to the controller"
                draft.set((*place, "pathType"), "ImplementationSpecific", why, before="backend")
    if draft.get("spec", "backend") is not None:
        draft.move(("spec", "backend"), ("spec", "defaultBackend"))


def _backend(draft: Draft, place: Steps) -> None:
    backend = map_of(draft.get(*place))
    if "serviceName" in backend:
        draft.move((*place, "serviceName"), (*place, "service", "name"))
    if "servicePort" not in backend:
        return
    port = backend["servicePort"]
    digits = isinstance(port, str) and port.isdecimal()
    field = "name" if isinstance(port, str) and not digits else "number"
    draft.move((*place, "servicePort"), (*place, "service", "port", field))
    if digits:
        draft.set((*place, "service", "port", field), int(port), told=False)


def _endpoint_slice(draft: Draft, _: str) -> None:
    fields = {
        "kubernetes.io/hostname": "nodeName",
        "topology.kubernetes.io/zone": "zone",
    }
    for number, endpoint in enumerate(_items(draft.get("endpoints"))):
        place = ("endpoints", number)
        for key, field in fields.items():
            if key not in map_of(map_of(endpoint).get("topology")):
                continue
            if map_of(endpoint).get(field) is None:
                draft.move((*place, "topology", key), (*place, field))
            else:
                draft.remove((*place, "topology", key))
        draft.remove((*place, "topology"), "nodeName and zone are all that can be written")


# -- autoscaling -----------------------------------------------------------------------------------

_TARGETS = {
    "targetAverageUtilization": ("averageUtilization", "Utilization"),
    "targetAverageValue": ("averageValue", "AverageValue"),
    "targetValue": ("value", "Value"),
}


def _autoscaler(draft: Draft, before: str) -> None:
    _referred(draft, ("spec", "scaleTargetRef"))
    for number, _ in enumerate(_items(draft.get("spec", "metrics"))):
        metric = ("spec", "metrics", number)
        if before == "autoscaling/v2beta1":
            for source in ("resource", "containerResource"):
                _targets(draft, (*metric, source))
            for source in ("pods", "external", "object"):
                _metric(draft, (*metric, source), source)
        _referred(draft, (*metric, "object", "describedObject"))


def _metric(draft: Draft, place: Steps, source: str) -> None:
    given = map_of(draft.get(*place))
    if not given:
        return
    if "target" in given and source == "object":
        draft.move((*place, "target"), (*place, "describedObject"))
    if "metricName" in given:
        draft.move((*place, "metricName"), (*place, "metric", "name"))
    selector = "metricSelector" if source == "external" else "selector"
    if selector in given:
        draft.move((*place, selector), (*place, "metric", "selector"))
    if source == "object" and given.get("averageValue") is not None:
        draft.remove((*place, "targetValue"), "averageValue was what counted")
        draft.move((*place, "averageValue"), (*place, "target", "averageValue"))
        draft.set((*place, "target", "type"), "AverageValue", told=False, before="averageValue")
        return
    _targets(draft, place)


def _targets(draft: Draft, place: Steps) -> None:
    for old, (new, kind) in _TARGETS.items():
        if draft.get(*place, old) is not None:
            draft.move((*place, old), (*place, "target", new))
            draft.set((*place, "target", "type"), kind, told=False, before=new)


def _referred(draft: Draft, place: Steps) -> None:
    """A reference to a workload by an apiVersion that is gone finds nothing."""
    reference = map_of(draft.get(*place))
    version = old_version(reference.get("apiVersion"), reference.get("kind"))
    if version and version.successor:
        why = f"no Kubernetes since {version.removed} has {reference['apiVersion']}"
        draft.set((*place, "apiVersion"), version.successor, why)


def _disruption_budget(draft: Draft, _: str) -> None:
    selector = draft.get("spec", "selector")
    if isinstance(selector, dict) and not any(selector.values()):
        draft.remove(("spec", "selector"), _EMPTY_SELECTOR)


# -- rights and admission --------------------------------------------------------------------------


def _binding(draft: Draft, before: str) -> None:
    if not before.endswith("/v1alpha1"):
        return
    for number, subject in enumerate(_items(draft.get("subjects"))):
        given, place = map_of(subject), ("subjects", number)
        kind = given.get("kind")
        if kind not in ("User", "Group", "ServiceAccount"):
            draft.stop((*place, "kind"), f"not known: {kind}", "User, Group or ServiceAccount")
            continue
        draft.remove((*place, "apiVersion"), "apiGroup says it, and is known for this kind")
        if kind == "User" and given.get("name") == "*":
            why = f"{before} took the user * for all who are authenticated"
            draft.set((*place, "kind"), "Group", why)
            draft.set((*place, "name"), "system:authenticated", told=False)


def _webhooks(draft: Draft, before: str) -> None:
    names: dict[str, int] = {}
    for number, webhook in enumerate(_items(draft.get("webhooks"))):
        given, place = map_of(webhook), ("webhooks", number)
        for name, value in (("failurePolicy", "Ignore"), ("matchPolicy", "Exact")):
            draft.default((*place, name), value, f"what {before} took; v1 takes another")
        draft.default((*place, "timeoutSeconds"), 30, f"what {before} took; v1 takes 10")
        if not given.get("admissionReviewVersions"):
            why = f"all that {before} sent"
            draft.set((*place, "admissionReviewVersions"), ["v1beta1"], why)
        effects = given.get("sideEffects")
        if effects not in ("None", "NoneOnDryRun"):
            effects_text = f"sideEffects {effects}" if effects else "no sideEffects"
            draft.stop(
                (*place, "sideEffects") if effects else place,
                f"{effects_text}, which v1 does not take",
                "sideEffects: None or NoneOnDryRun",
                "only who wrote the webhook knows whether a dry run may call it",
            )
        name = str(given.get("name"))
        if names.setdefault(name, number) != number:
            message = f"a second webhook named {name}, which v1 does not take"
            draft.stop((*place, "name"), message, "each name once")


def _policy_binding(draft: Draft, before: str) -> None:
    if isinstance(draft.get("spec", "paramRef"), dict):
        path = ("spec", "paramRef", "parameterNotFoundAction")
        draft.default(path, "Deny", f"what {before} took")


def _signing_request(draft: Draft, _: str) -> None:
    signer = draft.get("spec", "signerName")
    if signer in (None, "kubernetes.io/legacy-unknown"):
        message, expected = "v1 signs nothing without a known signer", "spec.signerName"
        draft.stop(("spec", "signerName") if signer else ("spec",), message, expected)
    if not draft.get("spec", "usages"):
        draft.stop(("spec",), "v1 wants to know what the certificate is for", "spec.usages")


# -- others ----------------------------------------------------------------------------------------


def _runtime_class(draft: Draft, before: str) -> None:
    if not before.endswith("/v1alpha1"):
        return
    for old, new in (
        ("runtimeHandler", "handler"),
        ("overhead", "overhead"),
        ("scheduling", "scheduling"),
    ):
        if draft.get("spec", old) is not None:
            draft.move(("spec", old), (new,))
    if draft.get("spec") == {}:
        draft.remove(("spec",), told=False)


def _priority_level(draft: Draft, before: str) -> None:
    limited = ("spec", "limited")
    annotations = map_of(draft.get("metadata", "annotations"))
    name = "nominalConcurrencyShares"
    old = name if before.endswith("/v1beta3") else "assuredConcurrencyShares"
    if draft.get(*limited, old) == 0 and _PRESERVE_ZERO not in annotations:
        draft.remove((*limited, old), f"{before} took 30 for 0, as v1 does for nothing")
    elif old != name and draft.get(*limited, old) is not None:
        draft.move((*limited, old), (*limited, name))
    draft.remove(("metadata", "annotations", _PRESERVE_ZERO))


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


_CONVERT: Mapping[str, Callable[[Draft, str], None]] = {
    "Deployment": _deployment,
    "StatefulSet": _stateful_set,
    "DaemonSet": _daemon_set,
    "ReplicaSet": _workload,
    "Ingress": _ingress,
    "EndpointSlice": _endpoint_slice,
    "HorizontalPodAutoscaler": _autoscaler,
    "PodDisruptionBudget": _disruption_budget,
    "ClusterRoleBinding": _binding,
    "RoleBinding": _binding,
    "MutatingWebhookConfiguration": _webhooks,
    "ValidatingWebhookConfiguration": _webhooks,
    "ValidatingAdmissionPolicyBinding": _policy_binding,
    "CertificateSigningRequest": _signing_request,
    "RuntimeClass": _runtime_class,
    "PriorityLevelConfiguration": _priority_level,
    "CustomResourceDefinition": convert_crd,
}
"""Kinds that are not the same but for their version."""


# -- overrides of KubeFed --------------------------------------------------------------------------

_OLD_NAMES = {
    "Ingress": frozenset({"serviceName", "servicePort"}),
    "HorizontalPodAutoscaler": frozenset({*_TARGETS, "metricName", "metricSelector"}),
}


def _convert_overrides(draft: Draft, kind: str) -> None:
    """The overrides of a KubeFed object name fields of the template by their paths."""
    edits = list(draft.edits)
    draft.at = ()
    overrides = maps_of(draft.get("spec", "overrides"))
    for number, entry in enumerate(overrides):
        for index, given in enumerate(maps_of(entry.get("clusterOverrides"))):
            place = ("spec", "overrides", number, "clusterOverrides", index)
            pointer = given.get("path")
            if isinstance(pointer, str) and pointer.startswith("/"):
                _convert_override(draft, place, split_pointer(pointer), edits, kind)


def _convert_override(
    draft: Draft, place: Steps, pointer: tuple[str, ...], edits: list[Edit], kind: str
) -> None:
    old_names = _OLD_NAMES.get(kind, frozenset())
    value, steps = draft.get(*place, "value"), pointer
    for edit in edits:
        path = tuple(map(str, edit.path[len(TEMPLATE) :]))
        if edit.to is not None and steps[: len(path)] == path:
            steps = (*map(str, edit.to[len(TEMPLATE) :]), *steps[len(path) :])
        elif steps[: len(path)] == path and not edit.sets:
            draft.stop((*place, "path"), f"the converted {kind} has no such field")
            return
    if names := {*_keys(value), *steps} & old_names:
        expected = "the fields of today"
        hint = "it cannot be seen what it is for; write it by hand"
        message = f"an override with {', '.join(sorted(names))} of the old version"
        draft.stop(place, message, expected, hint)
        return
    if steps == ("apiVersion",):
        draft.stop((*place, "path"), "an override of apiVersion", "none")
        return
    if kind == "Ingress" and steps[-2:-1] == ("port",) and steps[-1] in ("number", "name"):
        field = "name" if isinstance(value, str) and not value.isdecimal() else "number"
        if field != steps[-1]:
            draft.set((*place, "value"), {field: value}, told=False)
            steps = steps[:-1]
        elif isinstance(value, str) and field == "number":
            draft.set((*place, "value"), int(value), told=False)
    if steps != pointer:
        draft.set((*place, "path"), join_pointer(steps), f"as in the template, for {kind}")


def _keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from _keys(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _keys(inner)
