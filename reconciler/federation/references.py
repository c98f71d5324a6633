"""What Pods name: the ConfigMaps, Secrets, accounts, claims and classes that they need to run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from reconciler.api.kinds import RUN_PODS
from reconciler.api.manifest import Manifest
from reconciler.api.objects import GroupKind, Object, ObjectKey, maps_of, value_at
from reconciler.federation.overrides import POD_SPECS

CONFIG_MAP, SECRET, ACCOUNT, CLAIM = (
    GroupKind("", kind)
    for kind in ("ConfigMap", "Secret", "ServiceAccount", "PersistentVolumeClaim")
)
_PRIORITY = GroupKind("scheduling.k8s.io", "PriorityClass")
_RUNTIME = GroupKind("node.k8s.io", "RuntimeClass")
CLUSTER_WIDE = frozenset({_PRIORITY, _RUNTIME})
"""Of what Pods name, kinds without a namespace."""
_BY_NAME = {
    "configMap": CONFIG_MAP,
    "configMapRef": CONFIG_MAP,
    "configMapKeyRef": CONFIG_MAP,
    "secret": SECRET,
    "secretRef": SECRET,
    "secretKeyRef": SECRET,
    "nodePublishSecretRef": SECRET,
    "imagePullSecrets": SECRET,
}
"""Fields of a Pod that hold a reference, or a list of them, by ``name``."""
_NAMES = {
    "secretName": SECRET,
    "serviceAccountName": ACCOUNT,
    "serviceAccount": ACCOUNT,
    "claimName": CLAIM,
    "priorityClassName": _PRIORITY,
    "runtimeClassName": _RUNTIME,
}
"""Fields of a Pod that are a name."""
_FIELDS = re.compile(b"|".join(b'"%s":' % name.encode() for name in (*_BY_NAME, *_NAMES)))
"""As they are written in JSON that has no spaces and escapes nothing that it need not."""

Named = frozenset[tuple[GroupKind, str]]


def has_needs(body: Object) -> bool:
    """Whether a manifest names what it needs as Pods do: it runs some, be it of a kind that only
    its own controller knows, or it is an Ingress with the Secrets of its certificates."""
    return body["kind"] in (*RUN_PODS, "Ingress") or any(
        isinstance(value_at(body, (*path, "containers")), list) for path in POD_SPECS
    )


def named_in(value: Any, *, needed: bool = False) -> Named:
    """What a Pod, or what makes Pods, names anywhere: in volumes, projected ones, environments,
    pull secrets. ``needed``: without what may be missing (``optional: true``)."""
    return frozenset(_named(value, needed))


def needs(manifest: Manifest, namespace: str) -> frozenset[ObjectKey]:
    """The objects without which the Pods of a workload in ``namespace`` do not run, and that."""
    named: Named = frozenset()
    if manifest.may_say(_FIELDS):
        named = named_in(manifest.object.get("spec"), needed=True)
    return frozenset({ObjectKey("", "Namespace", "", namespace)}) | frozenset(
        ObjectKey(kind.group, kind.kind, "" if kind in CLUSTER_WIDE else namespace, name)
        for kind, name in named
    )


def _named(value: Any, needed: bool) -> Iterator[tuple[GroupKind, str]]:
    # Not by calling itself: this looks at every value of everything that makes Pods.
    rest = [value]
    while rest:
        value = rest.pop()
        if isinstance(value, list):
            rest += value
        elif isinstance(value, dict) and not (needed and value.get("optional") is True):
            for field, inner in value.items():
                if isinstance(inner, str):
                    if kind := _NAMES.get(field):
                        yield kind, inner
                elif isinstance(inner, dict | list):
                    if kind := _BY_NAME.get(field):
                        yield from _by_name(kind, inner, needed)
                    rest.append(inner)


def _by_name(kind: GroupKind, inner: Any, needed: bool) -> Iterator[tuple[GroupKind, str]]:
    for one in (inner,) if isinstance(inner, dict) else maps_of(inner):
        name = one.get("name")
        if isinstance(name, str) and not (needed and one.get("optional") is True):
            yield kind, name
