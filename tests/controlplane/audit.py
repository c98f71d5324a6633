"""What an API server was really asked: its audit log, read as plain values."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

Level = Literal["Metadata", "Request", "RequestResponse"]

# Who belongs to the control plane itself; what they do is of no interest to a test.
INTERNAL_USERS = (
    "control-plane",
    "kwok",
    "system:apiserver",
    "system:kube-controller-manager",
    "system:kube-scheduler",
)
# Controllers' accounts, not those that a reconciler joins with.
INTERNAL_GROUPS = ("system:serviceaccounts:kube-system", "system:nodes")
MARKING_USER = "audit-marker"
_WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})


@dataclass(frozen=True, slots=True)
class AuditedRequest:
    """One request that the server has answered.

    ``verb`` is Kubernetes' own (get, list, watch, create, update, patch, delete, deletecollection;
    for paths that are no resource, the lower-case HTTP method). ``resource`` is the plural, with
    ``/subresource`` where there is one. ``body`` is there from level Request on.
    """

    verb: str
    group: str
    resource: str
    namespace: str
    name: str
    user: str
    code: int
    dry_run: bool
    field_manager: str
    uri: str
    user_agent: str
    body: dict[str, Any] | None

    @property
    def writes(self) -> bool:
        """Whether it would have changed something, successful or not; a dry run does not."""
        return self.verb in _WRITES and not self.dry_run

    @property
    def path(self) -> str:
        return urlsplit(self.uri).path


def policy(level: Level) -> dict[str, Any]:
    return {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived", "ResponseStarted"],
        "rules": [
            {"level": "None", "users": list(INTERNAL_USERS)},
            {"level": "None", "userGroups": list(INTERNAL_GROUPS)},
            {"level": level},
        ],
    }


def parse(event: dict[str, Any]) -> AuditedRequest:
    """One line of the log. Query parameters that matter are taken from the request URI."""
    target = event.get("objectRef", {})
    query = parse_qs(urlsplit(event["requestURI"]).query)
    resource = target.get("resource", "")
    if target.get("subresource"):
        resource += "/" + target["subresource"]
    return AuditedRequest(
        verb=event["verb"],
        group=target.get("apiGroup", ""),
        resource=resource,
        namespace=target.get("namespace", ""),
        name=target.get("name", ""),
        user=event["user"]["username"],
        code=event.get("responseStatus", {}).get("code", 0),
        dry_run="dryRun" in query or _dry_run_in_body(event),
        field_manager=query.get("fieldManager", [""])[0],
        uri=event["requestURI"],
        user_agent=event.get("userAgent", ""),
        body=event.get("requestObject"),
    )


def _dry_run_in_body(event: dict[str, Any]) -> bool:
    # DeleteOptions may carry it in the body, which the log shows from level Request on.
    body = event.get("requestObject")
    return isinstance(body, dict) and bool(body.get("dryRun"))


class AuditLog:
    """The log of one cluster. ``mark`` sends a request whose URI holds the given text.

    It returns False when the server does not answer; then the log is taken as it is.
    """

    def __init__(self, path: Path, mark: Callable[[str], bool]) -> None:
        self.path = path
        self._mark = mark
        self._marks = 0

    @contextmanager
    def recording(self) -> Iterator[list[AuditedRequest]]:
        """Collects what the server answers meanwhile; the list is filled when the block ends."""
        requests: list[AuditedRequest] = []
        start = self._settled()
        yield requests
        end = self._settled()
        with self.path.open("rb") as file:
            file.seek(start)
            lines = file.read(end - start).splitlines()
        events = (json.loads(line) for line in lines)
        requests.extend(
            parse(event) for event in events if event["user"]["username"] != MARKING_USER
        )

    def _settled(self, timeout: float = 10) -> int:
        """The log's size once a request of our own, sent now, has appeared in it."""
        before = self.path.stat().st_size if self.path.exists() else 0
        self._marks += 1
        text = f"mark-{self._marks}-{time.monotonic_ns()}"
        if not self._mark(text):
            return self.path.stat().st_size
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            with self.path.open("rb") as file:
                file.seek(before)
                written = file.read()
            if text.encode() in written and written.endswith(b"\n"):
                return before + len(written)
            time.sleep(0.01)
        raise AssertionError(f"the audit log {self.path} does not show our own request")
