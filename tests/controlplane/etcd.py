"""The one etcd behind all API servers of a test session, each of which has a prefix of its own."""

from __future__ import annotations

import base64
import json
import signal
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import urllib3

from tests.controlplane.process import Server, StartFailed, free_port, port_taken

_ATTEMPTS = 5
_OPERATIONS = 5000  # in one transaction; the server is started with the same limit


class Etcd:
    """Not durable (``--unsafe-no-fsync``), which makes it fast. Talked to over its JSON gateway."""

    def __init__(self, program: Path, directory: Path) -> None:
        self._http = urllib3.PoolManager(retries=False, timeout=30)
        for attempt in range(1, _ATTEMPTS + 1):
            self.url = f"http://127.0.0.1:{free_port()}"
            peers = f"http://127.0.0.1:{free_port()}"
            self._server = Server(self._command(program, directory, peers), directory / "etcd.log")
            try:
                self._server.wait_until(self._healthy, "etcd", timeout=60)
            except StartFailed as error:
                self._server.kill()
                if attempt == _ATTEMPTS or not port_taken(error):
                    raise
            else:
                break

    def _command(self, program: Path, directory: Path, peers: str) -> list[str | Path]:
        return [
            program,
            "--name=tests",
            f"--data-dir={directory / 'etcd'}",
            f"--listen-client-urls={self.url}",
            f"--advertise-client-urls={self.url}",
            f"--listen-peer-urls={peers}",
            f"--initial-advertise-peer-urls={peers}",
            f"--initial-cluster=tests={peers}",
            "--unsafe-no-fsync",
            f"--max-txn-ops={_OPERATIONS}",
            "--quota-backend-bytes=4294967296",
            "--log-level=warn",
        ]

    def stop(self) -> None:
        self._server.kill()

    def pause(self) -> None:
        """SIGSTOP: what API servers ask for comes when it is resumed, if they still wait."""
        self._server.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT, and waits until it answers again."""
        self._server.signal(signal.SIGCONT)
        self._server.wait_until(self._healthy, "etcd", timeout=60)

    def revisions(self, prefix: str) -> dict[str, int]:
        """Every key below the prefix, with the revision of its last change."""
        answer = self._call("range", {**_below(prefix), "keys_only": True})
        return {_text(item["key"]): int(item["mod_revision"]) for item in answer.get("kvs", ())}

    def contents(self, prefix: str) -> dict[str, str]:
        """Every key below the prefix, with its value in base 64 as ``change`` takes it back."""
        answer = self._call("range", _below(prefix))
        return {_text(item["key"]): item["value"] for item in answer.get("kvs", ())}

    def change(self, *, put: Mapping[str, str], delete: Iterable[str]) -> None:
        operations: list[dict[str, Any]] = [
            *({"requestDeleteRange": {"key": _encoded(key)}} for key in delete),
            *({"requestPut": {"key": _encoded(key), "value": put[key]}} for key in put),
        ]
        for start in range(0, len(operations), _OPERATIONS):
            self._call("txn", {"success": operations[start : start + _OPERATIONS]})

    def compact(self) -> None:
        """Forget every revision but the present ones."""
        present = self._call("range", {"key": _encoded("/"), "limit": 1})["header"]["revision"]
        self._call("compaction", {"revision": present, "physical": True})

    def _healthy(self) -> bool:
        try:
            return self._http.request("GET", f"{self.url}/readyz", timeout=2).status == 200
        except urllib3.exceptions.HTTPError:
            return False

    def _call(self, what: str, body: dict[str, Any]) -> dict[str, Any]:
        response = self._http.request("POST", f"{self.url}/v3/kv/{what}", json=body)
        assert response.status == 200, f"etcd {what}: {response.status} {response.data[:500]!r}"
        answer: dict[str, Any] = json.loads(response.data)
        return answer


def _below(prefix: str) -> dict[str, str]:
    first = prefix.rstrip("/") + "/"
    end = first[:-1] + chr(ord("/") + 1)
    return {"key": _encoded(first), "range_end": _encoded(end)}


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _text(encoded: str) -> str:
    return base64.b64decode(encoded).decode()
