"""A stand-in for Google Cloud DNS: the parts of its documented REST API (v1) that are used.

managedZones.list, resourceRecordSets.list (in pages), changes.create and changes.get, and the
token endpoint of a service account. A change is carried out as a whole or refused as a whole.
"""

from __future__ import annotations

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

PROJECT = "shop-project"
_PAGE = 3

Key = tuple[str, str]


class CloudDns:
    """``sets`` are the record sets by name and type: TTL and rrdatas. ``refuse``: an HTTP status
    that every change is answered with."""

    def __init__(self, zone: str) -> None:
        self.zone = zone
        self.sets: dict[Key, tuple[int, list[str]]] = {
            (zone, "NS"): (21600, ["ns-cloud-a1.googledomains.com."]),
            (zone, "SOA"): (21600, ["ns-cloud-a1.googledomains.com. x. 1 21600 3600 259200 300"]),
        }
        self.changes: list[dict[str, Any]] = []
        self.refuse = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def values(self, name: str, kind: str) -> list[str]:
        return self.sets.get((name, kind), (0, []))[1]

    def credentials(self) -> str:
        """A service account's key file, whose tokens this server hands out."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return json.dumps(
            {
                "type": "service_account",
                "project_id": PROJECT,
                "private_key_id": "1",
                "private_key": pem.decode(),
                "client_email": f"dns@{PROJECT}.iam.gserviceaccount.com",
                "client_id": "1",
                "token_uri": f"{self.url}/token",
            }
        )

    # -- the API ---------------------------------------------------------------------------

    def get(self, path: str, query: dict[str, str]) -> tuple[int, Any]:
        if path == "/managedZones":
            zone = {
                "kind": "dns#managedZone",
                "name": "shop",
                "dnsName": self.zone,
                "id": "1",
                "creationTime": "2026-01-01T00:00:00.000Z",
                "nameServers": ["ns-cloud-a1.googledomains.com."],
                "visibility": "public",
            }
            return 200, {"kind": "dns#managedZonesListResponse", "managedZones": [zone]}
        if path == "/managedZones/shop/rrsets":
            return 200, self._page(int(query.get("pageToken", "0")))
        match = re.fullmatch(r"/managedZones/shop/changes/(\d+)", path)
        if match:
            return 200, {**self.changes[int(match[1])], "status": "done"}
        return 404, _error(404, "notFound", f"{path} was not found")

    def _page(self, first: int) -> dict[str, Any]:
        every = [
            {"kind": "dns#resourceRecordSet", "name": n, "type": t, "ttl": ttl, "rrdatas": values}
            for (n, t), (ttl, values) in sorted(self.sets.items())
        ]
        more = first + _PAGE < len(every)
        token = {"nextPageToken": str(first + _PAGE)} if more else {}
        return {
            "kind": "dns#resourceRecordSetsListResponse",
            **token,
            "rrsets": every[first:][:_PAGE],
        }

    def post(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        if path != "/managedZones/shop/changes":
            return 404, _error(404, "notFound", f"{path} was not found")
        if self.refuse:
            return self.refuse, _error(self.refuse, "forbidden", "the caller may not do that")
        after = dict(self.sets)
        for one in body.get("deletions") or ():
            key, exact = (one["name"], one["type"]), (int(one["ttl"]), one["rrdatas"])
            if after.get(key) is None or _sorted(after[key]) != _sorted(exact):
                return 412, _error(412, "conditionNotMet", f"no such record set: {key}")
            del after[key]
        for one in body.get("additions") or ():
            key = (one["name"], one["type"])
            if key in after:
                return 409, _error(409, "alreadyExists", f"{key} already exists")
            after[key] = (int(one["ttl"]), one["rrdatas"])
        self.sets = after
        change = {
            "kind": "dns#change",
            "id": str(len(self.changes)),
            "startTime": "2026-01-01T00:00:00.000Z",
            "status": "pending",
            "additions": body.get("additions", []),
            "deletions": body.get("deletions", []),
        }
        self.changes.append(change)
        return 200, change


def _sorted(one: tuple[int, list[str]]) -> tuple[int, list[str]]:
    return one[0], sorted(one[1])


def _error(code: int, reason: str, message: str) -> dict[str, Any]:
    detail = {"domain": "global", "reason": reason, "message": message}
    return {"error": {"code": code, "message": message, "errors": [detail]}}


def _handler(server: CloudDns) -> type[BaseHTTPRequestHandler]:
    base = f"/dns/v1/projects/{PROJECT}"

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            query = {key: values[0] for key, values in parse_qs(url.query).items()}
            self._answer(*server.get(url.path.removeprefix(base), query))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/token":
                token = {"access_token": "example", "expires_in": 3600, "token_type": "Bearer"}
                self._answer(200, token)
            elif self.headers.get("Authorization") != "Bearer example":
                self._answer(401, _error(401, "authError", "Invalid Credentials"))
            else:
                self._answer(
                    *server.post(urlsplit(self.path).path.removeprefix(base), json.loads(body))
                )

        def _answer(self, status: int, body: Any) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    return Handler
