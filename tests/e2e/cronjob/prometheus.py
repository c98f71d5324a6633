"""Prometheus itself, for a test: it scrapes one address, and evaluates rules each second."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import yaml

from tests.controlplane.process import Server, free_port
from tests.unit.git.programs import needed


class Prometheus:
    def __init__(self, port: int) -> None:
        self.port = port

    def ask(self, path: str, **query: str) -> Any:
        """``data`` of an answer of its API. Raises urllib's HTTPError for a bad query."""
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urlencode(query)}"
        with urlopen(url, timeout=30) as answer:
            return json.load(answer)["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        return list(self.ask("query", query=expression)["result"])

    def alerts(self) -> dict[str, str]:
        """Names of those that fire or wait for it, with their state."""
        return {one["labels"]["alertname"]: one["state"] for one in self.ask("alerts")["alerts"]}


@contextmanager
def prometheus(folder: Path, target: str, rules: Path | None = None) -> Iterator[Prometheus]:
    program = needed("prometheus", "prometheus")
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(rules)] if rules else [],
        "scrape_configs": [
            {"job_name": "reconcile", "static_configs": [{"targets": [target]}]},
        ],
    }
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
    port = free_port()
    server = Server(
        [
            program,
            f"--config.file={folder / 'prometheus.yaml'}",
            f"--storage.tsdb.path={folder / 'prometheus'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        folder / "prometheus.log",
    )
    found = Prometheus(port)

    def ready() -> bool:
        try:
            return bool(found.query("up == 1"))
        except OSError:
            return False

    try:
        server.wait_until(ready, "prometheus", 60)
        yield found
    finally:
        server.kill()
