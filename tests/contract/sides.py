"""The two sides of the contract, asked in the same way: the sandbox and a real API server."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import urllib3

Object = dict[str, Any]

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
METADATA = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
METADATA_LIST = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

PLURALS = {"Ingress": "ingresses", "Endpoints": "endpoints", "NetworkPolicy": "networkpolicies"}


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: Any
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def causes(self) -> list[tuple[str, str]]:
        """(field, message) of each cause of a Status."""
        causes = self.body.get("details", {}).get("causes", [])
        return [(cause["field"], cause["message"]) for cause in causes]


class Api:
    """One API server. ``name`` is ``sandbox`` or ``real``; ``compact`` has it forget how things
    were before now."""

    def __init__(
        self,
        name: str,
        url: str,
        token: str,
        certificate: str | None = None,
        compact: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = name
        self.compact = compact
        self._url = url
        self._token = token
        self._pool = urllib3.PoolManager(ca_certs=certificate, retries=False)

    def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content_type: str = "application/json",
        accept: str = "application/json",
        **query: Any,
    ) -> Answer:
        url = self._url + path + (f"?{urlencode(query)}" if query else "")
        headers = {
            "Authorization": f"Bearer {self._token}",
            "Content-Type": content_type,
            "Accept": accept,
        }
        data = json.dumps(body) if isinstance(body, (dict, list)) else body
        answer = self._pool.request(method, url, body=data, headers=headers, timeout=30)
        try:
            parsed = json.loads(answer.data)
        except ValueError:
            parsed = answer.data.decode()
        return Answer(answer.status, parsed, {k.lower(): v for k, v in answer.headers.items()})

    def apply(self, obj: Object, *, manager: str = "ours", **query: Any) -> Answer:
        return self("PATCH", path_of(obj), obj, content_type=APPLY, fieldManager=manager, **query)

    def create(self, obj: Object, *, manager: str = "kubectl-create", **query: Any) -> Answer:
        path = path_of(obj).rpartition("/")[0]
        return self("POST", path, obj, fieldManager=manager, **query)

    def get(self, obj: Object) -> Object:
        answer = self("GET", path_of(obj))
        assert answer.status == 200, answer.body
        found: Object = answer.body
        return found

    def delete(self, obj: Object, **options: Any) -> Answer:
        return self("DELETE", path_of(obj), options or None)

    def eventually(self, said: Callable[[], Any], seconds: float = 20) -> Any:
        """Waits for something that controllers do; fails the test when it does not come."""
        deadline = time.monotonic() + seconds
        while not (found := said()):
            assert time.monotonic() < deadline, f"{self.name}: it did not happen"
            time.sleep(0.05)
        return found


def path_of(obj: Object) -> str:
    """Where an object lives; a namespaced one without a namespace is in ``default``."""
    version, kind = obj["apiVersion"], obj["kind"]
    plural = PLURALS.get(kind) or _plural(kind)
    prefix = f"/apis/{version}" if "/" in version else f"/api/{version}"
    name = obj["metadata"]["name"]
    if kind in CLUSTER_SCOPED:
        return f"{prefix}/{plural}/{name}"
    namespace = obj["metadata"].get("namespace", "default")
    return f"{prefix}/namespaces/{namespace}/{plural}/{name}"


def _plural(kind: str) -> str:
    word = kind.lower()
    if word.endswith("ss"):
        return word + "es"
    return word[:-1] + "ies" if word.endswith("y") else word + "s"


CLUSTER_SCOPED = frozenset(
    {
        "Namespace", "Node", "PersistentVolume", "ClusterRole", "ClusterRoleBinding",
        "StorageClass", "PriorityClass", "IngressClass", "CustomResourceDefinition",
        "ValidatingWebhookConfiguration", "MutatingWebhookConfiguration",
    }
)  # fmt: skip

_VOLATILE = (
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UID"),
    (r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", "TIME"),
    (r'"resourceVersion": "\d+"', '"resourceVersion": "1"'),
    (r'"10\.\d+\.\d+\.\d+"', '"ADDRESS"'),
    (r"\(\d+\)", "(NUMBER)"),
)


def stable(value: Any) -> Any:
    """Without what differs from server to server: uids, times, versions, addresses."""
    text = json.dumps(value, sort_keys=True)
    for pattern, replacement in _VOLATILE:
        text = re.sub(pattern, replacement, text)
    return _ordered_managers(json.loads(text))


def _ordered_managers(value: Any) -> Any:
    """Entries of one second are sorted by name, those of two by time: sort them all by name."""
    entries = value.get("metadata", {}).get("managedFields") if isinstance(value, dict) else None
    if entries:
        entries.sort(key=lambda e: (e["operation"], e["manager"], e.get("subresource", "")))
    return value
