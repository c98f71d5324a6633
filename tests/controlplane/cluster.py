"""One member cluster: an API server with its own users, certificate, audit log and data."""

from __future__ import annotations

import json
import secrets
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import urllib3

from tests.controlplane import audit
from tests.controlplane.controllers import Controllers
from tests.controlplane.etcd import Etcd
from tests.controlplane.kubeconfig import write_kubeconfig
from tests.controlplane.process import Server, StartFailed, eventually, free_port, port_taken

Object = dict[str, Any]

# User name -> groups. Those without a group may do nothing until a test binds a role to them.
USERS: Mapping[str, tuple[str, ...]] = {
    "admin": ("system:masters",),
    "reconciler": (),
    "viewer": (),
    "stranger": (),
    "control-plane": ("system:masters",),
    "kwok": ("system:masters",),
    "system:kube-controller-manager": ("system:masters",),
    "system:kube-scheduler": ("system:masters",),
    audit.MARKING_USER: (),
}

APPLY = "application/apply-patch+yaml"
MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"

_START_TIMEOUT = 120.0  # seconds; 5 on a quiet machine
_ATTEMPTS = 5

# Kept by the server or its controllers for themselves: neither removed nor put back by ``clean``.
_API_SERVICES = "apiregistration.k8s.io/apiservices/"
_SERVERS_OWN = (
    _API_SERVICES,
    "flowschemas/",
    "leases/kube-system/",
    "masterleases/",
    "peerserverleases/",
    "prioritylevelconfigurations/",
)
# Admission policies are compiled anew by a loop of the server's that runs once a second, and
# nothing that could be asked tells that it has come round.
_POLICY_LOOP = 1.5
_SETTLED = ("namespaces/default", "namespaces/kube-system", "services/specs/default/kubernetes")


@dataclass(frozen=True, slots=True)
class Answer:
    """A response of the API server; ``body`` is parsed JSON, or the text where it is none."""

    status: int
    body: Any


class Cluster:
    """Starts with ``launch`` and ``wait_ready``; ``stop`` and ``pause`` are its outages."""

    def __init__(
        self,
        name: str,
        *,
        number: int,
        directory: Path,
        etcd: Etcd,
        controllers: Controllers,
        program: Path,
        service_account_key: Path,
        audit_level: audit.Level | None,
    ) -> None:
        self.name = name
        self.directory = directory
        self.tokens = {user: secrets.token_hex(16) for user in USERS}
        self.port = free_port()
        self.service_account_key = service_account_key
        self.controllers = controllers
        self._number = number
        self.etcd = etcd
        self._program = program
        self._audit_level = audit_level
        self._server: Server | None = None
        self._paused = False
        self._baseline: dict[str, str] = {}
        self._baseline_revisions: dict[str, int] = {}
        directory.mkdir(parents=True)
        self._write_settings()
        self.audit_log = audit.AuditLog(directory / "audit.log", self._mark)

    # -- running ------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def certificate(self) -> Path:
        """The server makes it at its first start; it is its own certificate authority."""
        return self.directory / "certificates" / "apiserver.crt"

    def launch(self) -> None:
        """Starts the process and returns at once; ``wait_ready`` must follow."""
        self._server = Server(self._command(), self.directory / "kube-apiserver.log")
        self._paused = False

    def wait_ready(self) -> None:
        """Raises StartFailed, with the log's tail, when the API server does not come up."""
        for attempt in range(1, _ATTEMPTS + 1):
            assert self._server is not None
            try:
                self._server.wait_until(self._ready, f"kube-apiserver {self.name}", _START_TIMEOUT)
            except StartFailed as error:
                # A restart keeps its port: kubeconfigs with it have been handed out.
                if attempt == _ATTEMPTS or self._baseline or not port_taken(error):
                    self._server.kill()
                    raise
                self.port = free_port()
                self.launch()
            else:
                break
        if not self._baseline:
            eventually(self._settled, f"system objects in {self.name}")
            self._baseline_revisions = self.etcd.revisions(self._prefix)
            self._baseline = self.etcd.contents(self._prefix)

    def start(self) -> None:
        """After ``stop``: the same port, the same data. Does nothing when it is running."""
        if self._server is not None and self._server.running:
            self.resume()
            return
        self.launch()
        self.wait_ready()

    def stop(self) -> None:
        """SIGKILL: connections are reset, then refused."""
        if self._server is not None:
            self._server.kill()

    def pause(self) -> None:
        """SIGSTOP: connections are accepted by the kernel, and nobody ever answers."""
        assert self._server is not None
        self._server.signal(signal.SIGSTOP)
        self._paused = True

    def resume(self) -> None:
        """SIGCONT, and waits until the server answers again."""
        if self._paused and self._server is not None:
            self._server.signal(signal.SIGCONT)
            self._paused = False
            self._server.wait_until(self._ready, f"kube-apiserver {self.name}", _START_TIMEOUT)

    def start_controllers(self, *, nodes: int = 1) -> None:
        """Controllers, a scheduler and ``nodes`` Nodes that pretend to run every Pod."""
        self.controllers.start(self, nodes=nodes)

    def close(self) -> None:
        self.controllers.stop()
        self.stop()

    # -- asking it ----------------------------------------------------------------------------

    def request(
        self,
        method: str,
        path: str,
        body: Object | list[Object] | None = None,
        *,
        user: str = "admin",
        content_type: str = "application/json",
        query: Mapping[str, str] | None = None,
        timeout: float = 30,
    ) -> Answer:
        """A plain request. urllib3.exceptions.HTTPError when there is no answer."""
        url = f"{self.url}{path}" + (f"?{urlencode(query)}" if query else "")
        headers = {"Authorization": f"Bearer {self.tokens[user]}", "Content-Type": content_type}
        response = _pool(str(self.certificate), self.certificate.stat().st_mtime_ns).request(
            method,
            url,
            body=None if body is None else json.dumps(body),
            headers=headers,
            timeout=timeout,
        )
        try:
            return Answer(response.status, json.loads(response.data))
        except ValueError:
            return Answer(response.status, response.data.decode(errors="replace"))

    def call(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        """As ``request``, but hands out the body and fails the test on 4xx and 5xx."""
        answer = self.request(method, path, body, **options)
        assert answer.status < 400, f"{method} {path} on {self.name}: {answer.status} {answer.body}"
        return answer.body

    def apply(
        self,
        path: str,
        obj: Object,
        *,
        manager: str,
        force: bool = False,
        dry_run: bool = False,
        user: str = "admin",
    ) -> Any:
        """Server-side apply of one object to its own path."""
        query = {"fieldManager": manager, "force": str(force).lower()}
        if dry_run:
            query["dryRun"] = "All"
        return self.call("PATCH", path, obj, user=user, content_type=APPLY, query=query)

    def patch(
        self, path: str, patch: Any, *, manager: str = "somebody", content_type: str = MERGE_PATCH
    ) -> Any:
        query = {"fieldManager": manager}
        return self.call("PATCH", path, patch, content_type=content_type, query=query)

    @property
    def mutating_policy_version(self) -> str:
        """The apiVersion under which this server has MutatingAdmissionPolicy."""
        return f"admissionregistration.k8s.io/{_mutating_policy_version(self._program)}"

    def recorded(self) -> AbstractContextManager[list[audit.AuditedRequest]]:
        """The requests that the server answers inside the block, as its audit log has them."""
        assert self._audit_level is not None, "this cluster was started without an audit log"
        return self.audit_log.recording()

    # -- kubeconfig ---------------------------------------------------------------------------

    def kubeconfig(self, user: str = "admin", *, context: str = "") -> Path:
        """A file with one context, named after the cluster, for one of ``USERS``."""
        path = self.directory / f"{quote(user, safe='')}.{context or self.name}.kubeconfig"
        write_kubeconfig(path, {context or self.name: self}, user=user)
        return path

    # -- state --------------------------------------------------------------------------------

    def clean(self) -> None:
        """Takes everything back to how it was after the first start, in milliseconds.

        Works on etcd, not on the API: deleting a Namespace would need its controller and seconds.
        The server's caches follow the store; where it derives more from an object than a cache
        (the resources of a CRD, an admission policy), this waits until that is gone, too.
        """
        prefix = self._prefix + "/"
        there = self.etcd.revisions(self._prefix)
        self._remove_added_groups(
            key.removeprefix(prefix + _API_SERVICES)
            for key in there.keys() - self._baseline.keys()
            if key.startswith(prefix + _API_SERVICES)
        )
        now = {
            key: revision
            for key, revision in there.items()
            if not key.removeprefix(prefix).startswith(_SERVERS_OWN)
        }
        added = [key for key in now if key not in self._baseline]
        changed = {
            key: value
            for key, value in self._baseline.items()
            if not key.removeprefix(prefix).startswith(_SERVERS_OWN)
            and now.get(key) != self._baseline_revisions[key]
        }
        if not added and not changed:
            return
        self.etcd.change(put=changed, delete=added)
        after = self.etcd.revisions(self._prefix)
        self._baseline_revisions |= {key: after[key] for key in changed}
        self._wait_for_derived(removed=[key.removeprefix(prefix) for key in added])

    def _remove_added_groups(self, names: Iterable[str]) -> None:
        """Those that somebody else's server would serve; the others come and go with their CRDs."""
        for name in names:
            path = f"/apis/apiregistration.k8s.io/v1/apiservices/{name}"
            found = self.request("GET", path, user="control-plane")
            if found.status == 200 and found.body["spec"].get("service"):
                self.call("DELETE", path, user="control-plane")
                eventually(
                    partial(self._is_unknown, found.body["spec"]["group"]), f"{name} is gone"
                )

    def _is_unknown(self, group: str) -> bool:
        listed = self.request("GET", "/apis", user="control-plane").body["groups"]
        return group not in {one["name"] for one in listed}

    def _wait_for_derived(self, removed: list[str]) -> None:
        for key in removed:
            kind, _, name = key.rpartition("/")
            if kind == "apiextensions.k8s.io/customresourcedefinitions":
                resource, _, group = name.partition(".")
                eventually(partial(self._withdrawn, resource, group), f"{name} is gone")
        if any("admissionpolicies/" in key for key in removed):
            time.sleep(_POLICY_LOOP)

    def _withdrawn(self, resource: str, group: str) -> bool:
        answer = self.request("GET", f"/apis/{group}", user="control-plane")
        if answer.status != 200:
            return True
        # A group of which no version is served goes a moment later.
        is_served = False
        for version in answer.body["versions"]:
            path = f"/apis/{version['groupVersion']}"
            listed = self.request("GET", path, user="control-plane")
            if listed.status == 200:
                is_served = True
                if resource in {r["name"] for r in listed.body["resources"]}:
                    return False
        return is_served

    @property
    def _prefix(self) -> str:
        return f"/{self.name}"

    # -- starting -----------------------------------------------------------------------------

    def _write_settings(self) -> None:
        rows = (
            f'{token},{user},{user},"{",".join(USERS[user])}"\n'
            for user, token in self.tokens.items()
        )
        (self.directory / "tokens.csv").write_text("".join(rows), encoding="utf-8")
        if self._audit_level is not None:
            text = json.dumps(audit.policy(self._audit_level))
            (self.directory / "audit-policy.json").write_text(text, encoding="utf-8")

    def _command(self) -> list[str | Path]:
        audited: list[str | Path] = []
        if self._audit_level is not None:
            audited = [
                f"--audit-policy-file={self.directory / 'audit-policy.json'}",
                f"--audit-log-path={self.directory / 'audit.log'}",
                "--audit-log-maxsize=0",
            ]
        return [
            self._program,
            f"--etcd-servers={self.etcd.url}",
            f"--etcd-prefix={self._prefix}",
            f"--secure-port={self.port}",
            "--bind-address=127.0.0.1",
            # Without it the server looks for a default route, which a sandboxed machine lacks.
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none",
            f"--cert-dir={self.directory / 'certificates'}",
            f"--service-account-key-file={self.service_account_key}",
            f"--service-account-signing-key-file={self.service_account_key}",
            f"--service-account-issuer=https://{self.name}.test.invalid",
            f"--service-cluster-ip-range=10.{self._number % 250}.0.0/16",
            f"--token-auth-file={self.directory / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            "--allow-privileged",
            *_mutating_policy_flags(self._program),
            *audited,
        ]

    def _ready(self) -> bool:
        try:
            return self.request("GET", "/readyz", user="control-plane", timeout=2).status == 200
        except (urllib3.exceptions.HTTPError, FileNotFoundError):
            # FileNotFoundError: the first start has not written its certificate yet.
            return False

    def _settled(self) -> bool:
        keys = self.etcd.revisions(self._prefix)
        return all(f"{self._prefix}/{key}" in keys for key in _SETTLED)

    def _mark(self, text: str) -> bool:
        try:
            query = {"marker": text}
            self.request("GET", "/version", user=audit.MARKING_USER, query=query, timeout=5)
        except urllib3.exceptions.HTTPError:
            return False
        return True


@cache
def _pool(certificate: str, changed: int) -> urllib3.PoolManager:
    """``changed`` is part of the key: another certificate needs another pool."""
    return urllib3.PoolManager(ca_certs=certificate, retries=False, maxsize=8)


@cache
def api_server_minor(program: Path) -> int:
    """36 for ``Kubernetes v1.36.3``."""
    text = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    return int(text.split(".")[1])


def _mutating_policy_version(program: Path) -> str:
    """Alpha from 1.32, beta from 1.34, and from 1.36 on by itself."""
    minor = api_server_minor(program)
    if minor >= 36:
        return "v1"
    return "v1beta1" if minor >= 34 else "v1alpha1"


def _mutating_policy_flags(program: Path) -> list[str]:
    version = _mutating_policy_version(program)
    if version == "v1" or api_server_minor(program) < 32:
        return []
    return [
        "--feature-gates=MutatingAdmissionPolicy=true",
        f"--runtime-config=admissionregistration.k8s.io/{version}=true",
    ]
