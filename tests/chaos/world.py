"""A repository, its member clusters, and the command with everything that it puts out."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kubesim.cluster import LoggedRequest
from reconciler.cli.reconcile import reconcile
from tests.chaos.hosts import Host
from tests.command import start_command, user_environment

FORMATS = ("json", "md", "html", "txt")
HOST = "gcp"
"""The cluster in which lock, memory and Events are."""

_NOTHING_TO_DO = ("unchanged", "failed", "terminating", "waiting")
"""What is in a plan, and is not written by a run. A Namespace takes its time to go."""


@dataclass(frozen=True)
class Run:
    """One call of the command: how it ended, all that it put out, and what it asked of whom."""

    code: int
    out: str
    err: str
    report: Mapping[str, Any]
    requests: Mapping[str, tuple[LoggedRequest, ...]]

    @property
    def clusters(self) -> dict[str, Mapping[str, Any]]:
        return {cluster["name"]: cluster for cluster in self.report.get("clusters", ())}

    @property
    def changed(self) -> set[str]:
        """The clusters in which the plan has something to do."""
        return {
            name
            for name, cluster in self.clusters.items()
            if any(c["action"] not in _NOTHING_TO_DO for c in cluster["changes"])
        }

    @property
    def going(self) -> int:
        """How many objects are being deleted: without a controller a Namespace never ends."""
        return int(self.report.get("summary", {}).get("terminating", 0))

    @property
    def told(self) -> set[str]:
        """The clusters of which the report says that not all is well."""
        found = {
            name
            for name, cluster in self.clusters.items()
            if not cluster["reachable"]
            or cluster["pruneBlocked"]
            or any(c["action"] == "failed" for c in cluster["changes"])
        }
        found |= {o["cluster"] for o in self.report.get("outcomes", ()) if o["status"] != "done"}
        return found | {error.partition(":")[0] for error in self.report.get("errors", ())}

    def writes(self, name: str) -> list[LoggedRequest]:
        """What reached the cluster and was meant to change something, whatever came of it."""
        return [r for r in self.requests[name] if is_write(r)]


def is_write(request: LoggedRequest) -> bool:
    reading = request.method in ("GET", "HEAD") or "dryRun" in request.query
    return not reading and not request.path.endswith("/selfsubjectaccessreviews")


@dataclass
class World:
    """``run`` is the command within this process, ``start`` a process of its own."""

    folder: Path
    hosts: Mapping[str, Host]
    kubeconfig: Path
    texts: list[str] = field(default_factory=list)
    runs: int = 0
    lock: str = "lease"
    events: str = "members"

    @property
    def repository(self) -> Path:
        return self.folder / "repository"

    @property
    def home(self) -> Path:
        """What a run keeps on this machine: state, caches, reports, metrics."""
        return self.folder / "home"

    def write(self, files: Mapping[str, str | None]) -> None:
        """Files of the repository; None removes one."""
        self.repository.mkdir(exist_ok=True)
        for name, text in files.items():
            if text is None:
                (self.repository / name).unlink()
            else:
                (self.repository / name).write_text(text, encoding="utf-8")

    def arguments(self, *given: str) -> list[str]:
        self.home.mkdir(exist_ok=True)
        reports = [x for f in FORMATS for x in ("--report", str(self.home / f"report.{f}"))]
        return [
            *("--repo", str(self.repository), "--kubeconfig", str(self.kubeconfig)),
            *("--host-context", HOST, "--lock", self.lock, "--events", self.events),
            *("--metrics-file", str(self.home / "metrics.prom"), "--max-deletions", "100"),
            *(*reports, "--verbose", "--debug", *given),
        ]

    @property
    def environment(self) -> dict[str, str]:
        home = str(self.home)
        return user_environment(self.home, XDG_STATE_HOME=home, XDG_CACHE_HOME=home)

    def run(self, *given: str) -> Run:
        seen = self._seen()
        (self.home / "report.json").unlink(missing_ok=True)
        before = dict(os.environ)
        out, err = io.StringIO(), io.StringIO()
        os.environ.update(self.environment)
        try:
            with redirect_stdout(out), redirect_stderr(err):
                code = reconcile.main(self.arguments(*given), "reconcile", standalone_mode=False)
        finally:
            os.environ.clear()
            os.environ.update(before)
        return self._ended(code, out.getvalue(), err.getvalue(), seen)

    def apply(self, *given: str) -> Run:
        return self.run("--yes", *given)

    def plan(self) -> Run:
        return self.run("--plan", "--detailed-exitcode")

    def start(self, *given: str) -> subprocess.Popen[str]:
        return start_command(*self.arguments(*given), cwd=self.folder, env=self.environment)

    def ended(self, process: subprocess.Popen[str], seen: Mapping[str, int]) -> Run:
        """What a process that has ended, or was killed, left behind."""
        out, err = process.communicate(timeout=60)
        return self._ended(process.returncode, out, err, seen)

    def seen(self) -> dict[str, int]:
        (self.home / "report.json").unlink(missing_ok=True)
        return self._seen()

    def _seen(self) -> dict[str, int]:
        return {name: len(host.requests) for name, host in self.hosts.items()}

    def _ended(self, code: int, out: str, err: str, seen: Mapping[str, int]) -> Run:
        self.runs += 1
        self.texts += [out, err]
        for path in self.home.rglob("*"):
            if path.is_file():
                self.texts.append(path.read_text(encoding="utf-8", errors="replace"))
        file = self.home / "report.json"
        report = json.loads(file.read_text()) if file.exists() else {}
        requests = {n: tuple(host.requests)[seen[n] :] for n, host in self.hosts.items()}
        return Run(int(code), out, err, report, requests)


def words(text: str) -> str:
    """A terminal's text in one line, for looking something up in it."""
    return re.sub(r"\s+", " ", text)
