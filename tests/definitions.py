"""CustomResourceDefinitions for tests."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any

import yaml

Object = dict[str, Any]

ANYTHING = "{x-kubernetes-preserve-unknown-fields: true}"


def definition(
    kind: str,
    group: str = "example.com",
    *,
    plural: str = "",
    scope: str = "Namespaced",
    versions: Sequence[str] = ("v1",),
    unserved: Collection[str] = (),
    schema: str = ANYTHING,
    **version: Any,
) -> Object:
    """The definition of a kind, whose first version is the stored one.

    ``schema`` is the YAML of all versions' openAPIV3Schema but for its type, ``version`` what else
    stands in each of them. Groups of Kubernetes' own domain have the annotation that these need.
    """
    plural = plural or f"{kind.lower()}s"
    names = {"kind": kind, "plural": plural, "singular": kind.lower(), "listKind": f"{kind}List"}
    metadata: Object = {"name": f"{plural}.{group}"}
    if group.endswith(".k8s.io"):
        metadata["annotations"] = {"api-approved.kubernetes.io": "unapproved, for a test"}
    listed = [
        {
            "name": name,
            "served": name not in unserved,
            "storage": name == versions[0],
            "schema": {"openAPIV3Schema": {"type": "object", **yaml.safe_load(schema)}},
            **version,
        }
        for name in versions
    ]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": metadata,
        "spec": {"group": group, "scope": scope, "names": names, "versions": listed},
    }


def definition_text(kind: str, group: str = "example.com", **more: Any) -> str:
    """As ``definition``: a document of a YAML file, in one line."""
    return f"\n{json.dumps(definition(kind, group, **more))}\n"


UNSERVED_GROUP = """\
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1.metrics.example.org}
spec:
  group: metrics.example.org
  version: v1
  groupPriorityMinimum: 100
  versionPriority: 15
  service: {name: none, namespace: default}
"""
"""An API group of a server that is not there: it answers 503."""
