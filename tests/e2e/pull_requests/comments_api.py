"""The comments of a pull request, as GitHub's and GitLab's APIs have them, on loopback."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "c4nary-token"


@dataclass
class CommentsApi:
    """``comments`` of pull request 7, oldest first, in the form of ``platform``.

    ``refusals``: statuses that the next requests get instead of an answer.
    """

    platform: str
    limit: int
    me: str
    port: int = 0
    comments: list[dict[str, Any]] = field(default_factory=list)
    refusals: list[int] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def place(self) -> str:
        if self.platform == "github":
            return "/repos/platform/fleet/issues/7/comments"
        return "/projects/42/merge_requests/7/notes"

    def add(self, body: str, author: str | None = None) -> dict[str, Any]:
        who = author or self.me
        author_of = (
            {"user": {"login": who}} if self.platform == "github" else {"author": {"username": who}}
        )
        comment = {"id": 100 + len(self.comments), "body": body, **author_of}
        self.comments.append(comment)
        return comment

    def answer(self, method: str, target: str, token: str, body: bytes) -> tuple[int, Any]:
        parts = urlsplit(target)
        self.requests.append(f"{method} {target}")
        if token != TOKEN:
            return 401, {"message": "Bad credentials"}
        if self.refusals:
            return self.refusals.pop(0), {"message": "not now"}
        if method == "GET" and parts.path == "/user" and self.platform == "gitlab":
            return 200, {"username": self.me}
        if method == "GET" and parts.path == self.place:
            query = parse_qs(parts.query)
            size, page = int(query["per_page"][0]), int(query["page"][0])
            return 200, self.comments[(page - 1) * size : page * size]
        text = json.loads(body)["body"] if body else ""
        if len(text) > self.limit:
            return 422, {"message": f"Body is too long (maximum is {self.limit} characters)"}
        if method == "POST" and parts.path == self.place:
            return 201, self.add(text)
        edit = r"/repos/platform/fleet/issues/comments/(\d+)"
        if self.platform == "gitlab":
            edit = re.escape(self.place) + r"/(\d+)"
        found = re.fullmatch(edit, parts.path)
        if found and method == ("PATCH" if self.platform == "github" else "PUT"):
            comment = next(c for c in self.comments if c["id"] == int(found[1]))
            comment["body"] = text
            return 200, comment
        return 404, {"message": "Not Found"}


@contextmanager
def comments_api(platform: str) -> Iterator[CommentsApi]:
    """``github`` or ``gitlab``."""
    if platform == "github":
        api = CommentsApi(platform, 65_536, "github-actions[bot]")
    else:
        api = CommentsApi(platform, 1_000_000, "project_42_bot")

    class Handler(BaseHTTPRequestHandler):
        def _any(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            bearer = (self.headers.get("authorization") or "").removeprefix("Bearer ")
            token = bearer if platform == "github" else self.headers.get("private-token") or ""
            status, found = api.answer(self.command, self.path, token, body)
            text = json.dumps(found).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PATCH = do_PUT = _any

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    api.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
