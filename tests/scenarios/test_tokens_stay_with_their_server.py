"""A token of KubeFed's is sent to the server that it was used for first, whatever Git says later:
seen from servers that record whether a credential ever came."""

from __future__ import annotations

import base64
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from kubesim.fleet import Sandbox
from reconciler.api.objects import ObjectKey
from reconciler.api.options import RunOptions
from reconciler.cluster.connect import Connector
from reconciler.cluster.discovery import RESTMapping
from reconciler.lock.run_lock import RunLock
from reconciler.plan.model import Plan
from reconciler.run import pipeline
from tests.unit.cluster.test_tls import Authority

CANARY = "c4nary-token"
SYSTEM = "kube-federation-system"
FEDERATION = """
apiVersion: federation.reconciler.dev/v1alpha1
kind: Federation
metadata: {name: %s}
"""
CLUSTER = """
apiVersion: core.kubefed.io/v1beta1
kind: KubeFedCluster
metadata: {name: %s, namespace: kube-federation-system}
spec: {apiEndpoint: "%s", caBundle: "%s", secretRef: {name: aws}}
"""
OBJECT = """
apiVersion: v1
kind: ConfigMap
metadata: {name: one, namespace: default}
"""


class Recording(ThreadingHTTPServer):
    """Answers nothing that helps, and keeps what credentials came."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.credentials: list[str] = []

    def handle_error(self, request: object, client_address: object) -> None:
        """Who does not trust us hangs up."""


class _Answer(BaseHTTPRequestHandler):
    server: Recording

    def _answer(self) -> None:
        if given := self.headers.get("authorization"):
            self.server.credentials.append(given)
        self.send_response(404)
        self.send_header("content-length", "0")
        self.end_headers()

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _answer

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@dataclass
class Place:
    """A server with an authority of its own."""

    server: Recording
    url: str
    ca: str

    @property
    def was_told(self) -> bool:
        return any(CANARY in one for one in self.server.credentials)


@contextmanager
def recording(folder: Path, name: str) -> Iterator[Place]:
    authority = Authority(name)
    (folder / name).mkdir()
    signed = authority.sign("127.0.0.1").in_files(folder / name)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*signed)
    server = Recording()
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        ca = base64.b64encode(authority.pem.encode()).decode()
        yield Place(server, f"https://127.0.0.1:{server.server_address[1]}", ca)
    finally:
        server.shutdown()
        server.server_close()


@dataclass
class Host:
    """A host cluster with KubeFed's Secret, a repository, the right server and another one."""

    kubeconfig: str
    repository: Path
    right: Place
    other: Place
    options: dict[str, Any] = field(default_factory=dict)

    def git(self, place: Place, *, cluster: str = "aws", federation: str = "shop") -> None:
        """The repository names ``place`` for the token."""
        document = CLUSTER % (cluster, place.url, place.ca)
        text = "---".join((FEDERATION % federation, document, OBJECT))
        (self.repository / "all.yaml").write_text(text)

    def _given(self, **more: Any) -> RunOptions:
        given = {"repo": str(self.repository), "kubeconfig": self.kubeconfig}
        return RunOptions(**{**given, "host_context": "host", **self.options, **more})

    def plan(self, **more: Any) -> Plan:
        return pipeline.make_plan(self._given(**more)).plan

    def run(self) -> Plan:
        """A run as far as its plan: nothing can be applied to such servers."""
        options = self._given(plan_only=False)
        with RunLock(options, lambda _: None) as lock:
            return pipeline.make_plan(options, None, lock).plan


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with ExitStack() as stack:
        sandbox = stack.enter_context(Sandbox(["host"]))
        places = [stack.enter_context(recording(tmp_path, name)) for name in ("right", "other")]
        member = Connector.from_file(str(sandbox.kubeconfig), "", host_context="host").host()
        for namespace in (SYSTEM, "federation-system"):
            body: dict[str, Any] = {"apiVersion": "v1", "kind": "Namespace"}
            body["metadata"] = {"name": namespace}
            member.apply(
                RESTMapping("v1", "Namespace", "namespaces", namespaced=False),
                ObjectKey("", "Namespace", "", namespace),
                body,
            )
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "aws", "namespace": SYSTEM},
            "data": {"token": base64.b64encode(CANARY.encode()).decode()},
        }
        member.create(
            RESTMapping("v1", "Secret", "secrets", namespaced=True), secret, namespace=SYSTEM
        )
        repository = tmp_path / "fleet"
        repository.mkdir()
        yield Host(str(sandbox.kubeconfig), repository, places[0], places[1])


def text_of(plan: Plan) -> str:
    return " ".join((*plan.warnings, *(cluster.problem for cluster in plan.clusters)))


def test_the_first_use_is_told_and_from_then_on_the_token_goes_nowhere_else(host: Host) -> None:
    host.git(host.right)
    said = text_of(host.run())
    assert f"for the first time, for {host.right.url}" in said
    assert host.right.was_told
    assert CANARY not in said
    for cluster, federation in (("aws", "shop"), ("another", "shop"), ("aws", "another")):
        host.git(host.other, cluster=cluster, federation=federation)
        said = text_of(host.plan())
        assert "it was not sent" in said, (cluster, federation)
        assert "kubectl annotate --overwrite secret -n kube-federation-system aws" in said
    assert not host.other.was_told


def test_another_place_to_remember_in_does_not_free_the_token(host: Host, tmp_path: Path) -> None:
    host.git(host.right)
    host.run()
    host.git(host.other)
    host.plan(state=str(tmp_path / "memory.json"))
    host.plan(allow_rollback=True, take_over=True)
    assert not host.other.was_told


def test_one_run_does_not_send_one_token_to_two_servers(host: Host) -> None:
    host.git(host.right)
    text = (host.repository / "all.yaml").read_text()
    extra = CLUSTER % ("zz", host.other.url, host.other.ca)
    (host.repository / "all.yaml").write_text(f"{text}---{extra}")
    said = text_of(host.run())
    assert "it was not sent" in said
    assert not (host.right.was_told and host.other.was_told)


def test_a_plan_before_the_first_run_tells_and_binds_nothing(host: Host) -> None:
    host.git(host.right)
    for _ in range(2):
        assert "a run will bind it to that server" in text_of(host.plan())
