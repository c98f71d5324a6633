"""The least that anyone must do who tries each object first: dry runs of all, then applies of all.

``python -m bench.floor_of_writes ADDRESS FOLDER``: the manifests of the folder, which has one
Namespace; as many requests at a time as a first apply has, by libcurl in one thread, and nothing
else: no plan, no records, no answer that is read. Prints JSON: seconds of the dry runs, and of the
applies.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import orjson
import pycurl
import yaml

from bench.floor import read_address
from reconciler.apply.cluster import CONCURRENT_WRITES

Object = dict[str, Any]
PLURALS = {
    "Deployment": "apis/apps/v1/namespaces/{}/deployments",
    "Service": "api/v1/namespaces/{}/services",
    "ConfigMap": "api/v1/namespaces/{}/configmaps",
    "ServiceAccount": "api/v1/namespaces/{}/serviceaccounts",
}
QUERY = "fieldManager=floor&fieldValidation=Ignore"


class Server:
    """Sends requests of one sort, several at a time; its connections last."""

    def __init__(self, address: dict[str, str]) -> None:
        self._url = address["url"]
        self._multi = pycurl.CurlMulti()
        self._headers = [
            f"authorization: Bearer {address['token']}",
            "content-type: application/apply-patch+yaml",
            "accept: application/json",
            "expect:",
        ]
        self._handles = [pycurl.Curl() for _ in range(CONCURRENT_WRITES)]
        for handle in self._handles:
            handle.setopt(pycurl.CAINFO, address["certificate"])
            handle.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)

    def apply(self, requests: Sequence[tuple[str, bytes]]) -> float:
        """Seconds for all (path, body). Raises SystemExit where one is refused."""
        began = time.perf_counter()
        left = iter(requests)
        at_work = sum([self._send(handle, left) for handle in self._handles])
        while at_work:
            while self._multi.perform()[0] == pycurl.E_CALL_MULTI_PERFORM:
                pass
            _, done, failed = self._multi.info_read()
            for handle in done:
                if handle.getinfo(pycurl.RESPONSE_CODE) not in (200, 201):
                    raise SystemExit(handle.answer.getvalue()[:200].decode())
                self._multi.remove_handle(handle)
                at_work -= not self._send(handle, left)
            if failed:
                raise SystemExit(failed[0][2])
            if not done:
                self._multi.select(1.0)
        return time.perf_counter() - began

    def _send(self, handle: pycurl.Curl, left: Iterator[tuple[str, bytes]]) -> bool:
        """Whether there was one more to send."""
        path, body = next(left, ("", b""))
        if not path:
            return False
        handle.answer = BytesIO()
        handle.setopt(pycurl.URL, f"{self._url}/{path}")
        handle.setopt(pycurl.POSTFIELDS, body)
        handle.setopt(pycurl.CUSTOMREQUEST, "PATCH")
        handle.setopt(pycurl.HTTPHEADER, self._headers)
        handle.setopt(pycurl.WRITEDATA, handle.answer)
        self._multi.add_handle(handle)
        return True


def _request(obj: Object, namespace: str, query: str) -> tuple[str, bytes]:
    metadata = {**obj["metadata"], "namespace": namespace}
    path = f"{PLURALS[obj['kind']].format(namespace)}/{metadata['name']}?{query}"
    return path, orjson.dumps({**obj, "metadata": metadata})


def main() -> None:
    server = Server(read_address(sys.argv[1]))
    found: list[Object] = []
    for file in sorted(Path(sys.argv[2]).iterdir()):
        found += yaml.load_all(file.read_bytes(), yaml.CSafeLoader)
    (namespace,) = (obj for obj in found if obj["kind"] == "Namespace")
    name = namespace["metadata"]["name"]
    objects = [obj for obj in found if obj["kind"] in PLURALS]
    # In their own namespace nothing can be tried before it is there.
    dry = server.apply([_request(obj, "default", f"{QUERY}&dryRun=All") for obj in objects])
    server.apply([(f"api/v1/namespaces/{name}?{QUERY}", orjson.dumps(namespace))])
    wet = server.apply([_request(obj, name, QUERY) for obj in objects])
    print(json.dumps({"dry runs": dry, "applies": wet}))


if __name__ == "__main__":
    main()
