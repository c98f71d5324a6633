"""The CRDs of ClusterProfile and PlacementDecision, written from their published API, and profiles
as a cluster manager writes them."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

GROUP = "multicluster.x-k8s.io"
FLEET = "fleet"
"""The namespace of the profiles."""

_TEXT = {"type": "string"}
_ANYTHING = {"x-kubernetes-preserve-unknown-fields": True}
_SERVER = {
    "type": "object",
    "properties": {
        "server": _TEXT,
        "tls-server-name": _TEXT,
        "insecure-skip-tls-verify": {"type": "boolean"},
        "certificate-authority": _TEXT,
        "certificate-authority-data": {"type": "string", "format": "byte"},
        "proxy-url": _TEXT,
        "disable-compression": {"type": "boolean"},
        "extensions": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name", "extension"],
                "properties": {"name": _TEXT, "extension": _ANYTHING},
            },
        },
    },
}
_PROVIDERS = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["name"],
        "properties": {"name": _TEXT, "cluster": _SERVER},
    },
}
_CONDITION = {
    "type": "object",
    "required": ["type", "status", "reason", "message", "lastTransitionTime"],
    "properties": {
        "type": _TEXT,
        "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
        "reason": _TEXT,
        "message": _TEXT,
        "lastTransitionTime": {"type": "string", "format": "date-time"},
        "observedGeneration": {"type": "integer", "format": "int64"},
    },
}
_PROFILE = {
    "type": "object",
    "required": ["spec"],
    "properties": {
        "apiVersion": _TEXT,
        "kind": _TEXT,
        "metadata": {"type": "object"},
        "spec": {
            "type": "object",
            "required": ["clusterManager"],
            "properties": {
                "displayName": _TEXT,
                "clusterManager": {
                    "type": "object",
                    "required": ["name"],
                    "properties": {"name": _TEXT},
                },
            },
        },
        "status": {
            "type": "object",
            "properties": {
                "conditions": {"type": "array", "items": _CONDITION},
                "version": {"type": "object", "properties": {"kubernetes": _TEXT}},
                "properties": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["name", "value"],
                        "properties": {
                            "name": {"type": "string", "minLength": 1, "maxLength": 253},
                            "value": {"type": "string", "minLength": 1, "maxLength": 1024},
                            "lastObservedTime": {"type": "string", "format": "date-time"},
                        },
                    },
                },
                "accessProviders": _PROVIDERS,
                "credentialProviders": _PROVIDERS,
            },
        },
    },
}
_DECISION = {
    "type": "object",
    "required": ["decisions"],
    "properties": {
        "apiVersion": _TEXT,
        "kind": _TEXT,
        "metadata": {"type": "object"},
        "schedulerName": _TEXT,
        "decisions": {
            "type": "array",
            "minItems": 0,
            "maxItems": 100,
            "items": {
                "type": "object",
                "required": ["clusterProfileRef"],
                "properties": {
                    "reason": _TEXT,
                    "clusterProfileRef": {
                        "type": "object",
                        "required": ["name"],
                        "properties": {"name": _TEXT, "namespace": _TEXT},
                    },
                },
            },
        },
    },
}


def definition(kind: str, versions: Sequence[str] = ("v1alpha1",)) -> dict[str, Any]:
    """The CRD of ClusterProfile or PlacementDecision."""
    plural = f"{kind.lower()}s"
    profiles = kind == "ClusterProfile"
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{plural}.{GROUP}",
            "annotations": {"api-approved.kubernetes.io": "https://example.org/for-tests"},
        },
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": kind.lower(),
            },
            "versions": [
                {
                    "name": version,
                    "served": True,
                    "storage": number == 0,
                    "schema": {"openAPIV3Schema": _PROFILE if profiles else _DECISION},
                    **({"subresources": {"status": {}}} if profiles else {}),
                }
                for number, version in enumerate(versions)
            ],
        },
    }


def profile(
    name: str,
    server: str = "",
    *,
    ca: str = "",
    labels: Mapping[str, str] | None = None,
    properties: Mapping[str, str] | None = None,
    provider: str = "plugin",
    field: str = "accessProviders",
    healthy: str = "True",
    extensions: Mapping[str, Any] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """A ClusterProfile; ``more`` are further fields of the provider's ``cluster``."""
    cluster: dict[str, Any] = {"server": server, **more}
    if ca:
        cluster["certificate-authority-data"] = base64.b64encode(ca.encode()).decode()
    if extensions:
        cluster["extensions"] = [{"name": n, "extension": e} for n, e in extensions.items()]
    return {
        "apiVersion": f"{GROUP}/v1alpha1",
        "kind": "ClusterProfile",
        "metadata": {"name": name, "namespace": FLEET, "labels": dict(labels or {})},
        "spec": {"displayName": name, "clusterManager": {"name": "manager"}},
        "status": {
            "version": {"kubernetes": "v1.37.2+x1"},
            "conditions": [
                {
                    "type": "ControlPlaneHealthy",
                    "status": healthy,
                    "reason": "Probed",
                    "message": "by the manager",
                    "lastTransitionTime": "2026-11-01T00:00:00Z",
                }
            ],
            "properties": [{"name": n, "value": v} for n, v in (properties or {}).items()],
            **({field: [{"name": provider, "cluster": cluster}]} if server or more else {}),
        },
    }
