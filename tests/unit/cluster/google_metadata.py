"""A stand-in for Google's metadata server: it tells a workload who it is, and hands out tokens."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

ACCOUNT = "federation-reconciler@shop-production.iam.gserviceaccount.com"
_BASE = "/computeMetadata/v1"


@dataclass
class MetadataServer:
    """``token`` is what it hands out; ``status`` 200 unless it is to refuse. ``asked``: paths."""

    token: str
    port: int = 0
    status: int = 200
    asked: list[str] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """By which Google's library finds it here instead of at its usual address."""
        address = f"127.0.0.1:{self.port}"
        return {"GCE_METADATA_HOST": address, "GCE_METADATA_IP": address}

    def answer(self, path: str) -> str:
        account = {"email": ACCOUNT, "aliases": ["default"], "scopes": []}
        if path.endswith("/token"):
            return json.dumps(
                {"access_token": self.token, "expires_in": 3600, "token_type": "Bearer"}
            )
        if path == f"{_BASE}/project/project-id":
            return "shop-production"
        return json.dumps(account)


@contextmanager
def metadata_server(token: str) -> Iterator[MetadataServer]:
    state = MetadataServer(token)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.asked.append(self.path)
            text = state.answer(urlsplit(self.path).path).encode()
            self.send_response(state.status)
            self.send_header("Metadata-Flavor", "Google")
            kind = "application/json" if text.startswith(b"{") else "text/plain"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *arguments: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield state
        finally:
            server.shutdown()
