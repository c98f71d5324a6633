"""The least that anyone who looks at the objects must do: a bare LIST of each of the four kinds.

``python -m bench.floor ADDRESS``: urllib3 and orjson, one connection, no threads, nothing else.
"""

from __future__ import annotations

import ssl
import sys
from pathlib import Path
from typing import Any

import orjson
import urllib3

PATHS = (
    "/apis/apps/v1/namespaces/bench/deployments",
    "/api/v1/namespaces/bench/services",
    "/api/v1/namespaces/bench/configmaps",
    "/api/v1/namespaces/bench/serviceaccounts",
)


def list_all(address: dict[str, str]) -> list[Any]:
    """The four lists, over one new connection."""
    context = ssl.create_default_context(cafile=address["certificate"])
    url = urllib3.util.parse_url(address["url"])
    pool = urllib3.HTTPSConnectionPool(str(url.host), url.port, ssl_context=context)
    headers = {"authorization": f"Bearer {address['token']}", "accept-encoding": "identity"}
    found = []
    for path in PATHS:
        answer = pool.request("GET", path, headers=headers)
        if answer.status != 200:
            raise SystemExit(f"{path}: {answer.status} {answer.data[:200]!r}")
        found.append(orjson.loads(answer.data)["items"])
    pool.close()
    return found


def read_address(path: str) -> dict[str, str]:
    address: dict[str, str] = orjson.loads(Path(path).read_bytes())
    return address


if __name__ == "__main__":
    list_all(read_address(sys.argv[1]))
