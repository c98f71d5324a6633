"""A request as it reaches a simulated API server, and what goes back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote

import orjson

from kubesim.statuses import Refusal

JSON = "application/json"
APPLY = "application/apply-patch+yaml"
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"


@dataclass(slots=True)
class Request:
    """``headers`` have lower-case names; ``query`` keeps the last of repeated parameters."""

    method: str
    path: str
    query: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @classmethod
    def parse(cls, method: str, target: str, headers: dict[str, str], body: bytes) -> Request:
        path, _, query = target.partition("?")
        parameters = dict(parse_qsl(query, keep_blank_values=True)) if query else {}
        return cls(method, unquote(path) if "%" in path else path, parameters, headers, body)

    def flag(self, name: str) -> bool:
        return self.query.get(name, "") in ("1", "true", "True", "t", "T", "TRUE")

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def dry_run(self) -> bool:
        return self.query.get("dryRun") == "All"


Stream = Callable[[Callable[[bytes], None]], Callable[[], None]]
"""Given a function that sends, and ends the stream where it is given nothing, starts to send;
returns what cancels it."""


@dataclass(slots=True)
class Response:
    """``moved_on``: whether a bookmark says something that the watch did not begin with."""

    status: int
    body: bytes = b""
    content_type: str = JSON
    headers: dict[str, str] = field(default_factory=dict)
    stream: Stream | None = None
    bookmark: Callable[[], bytes] | None = None
    moved_on: Callable[[], bool] = lambda: False

    @classmethod
    def json(cls, value: Any, status: int = 200, **headers: str) -> Response:
        return cls(status, orjson.dumps(value), headers=headers)

    @classmethod
    def text(cls, text: str, status: int = 200) -> Response:
        headers = {"X-Content-Type-Options": "nosniff"}
        return cls(status, text.encode(), "text/plain; charset=utf-8", headers)

    @classmethod
    def refusal(cls, refusal: Refusal) -> Response:
        return cls(refusal.code, orjson.dumps(refusal.body), headers=dict(refusal.headers))
