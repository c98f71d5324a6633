"""A validating webhook of a real API server: it denies, or never answers."""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.controlplane.cluster import Cluster
from tests.controlplane.process import eventually
from tests.unit.git.servers import own_certificate

_PATH = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
_NAME = "faults.example.com"
_GROUPS = {"deployments": "apps"}
_PROBE = "is-the-webhook-asked"


class Webhook:
    """``calls`` counts what it was asked about our objects; it is in force once registered."""

    def __init__(self, file: Path) -> None:
        self.denial = ""
        self.name = ""
        self.silent = False
        self.calls = 0
        self.probed = False
        self.closing = threading.Event()
        self._certificate = own_certificate(file)
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
                answer = json.dumps(hook.answer(asked["request"])).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *arguments: object) -> None:
                """Nothing."""

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        review: dict[str, Any] = {"uid": request["uid"], "allowed": True}
        if request.get("name") == _PROBE:
            self.probed = True
        elif request["userInfo"]["username"] == "admin" and self.name in ("", request["name"]):
            self.calls += 1
            if self.silent:
                self.closing.wait()
            if self.denial:
                review |= {"allowed": False, "status": {"message": self.denial, "code": 403}}
        return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": review}

    def register(self, cluster: Cluster, resource: str) -> None:
        """Asked about the resource from now on; API servers take a moment to see that."""
        port = self._server.server_address[1]
        rule = {"apiGroups": [_GROUPS.get(resource, "")], "apiVersions": ["v1"]}
        rule |= {"operations": ["CREATE", "UPDATE", "DELETE"], "resources": [resource]}
        probe = {**rule, "apiGroups": [""], "resources": ["configmaps"]}
        hook = {
            "name": _NAME,
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "failurePolicy": "Fail",
            "timeoutSeconds": 1,
            "rules": [rule, probe] if resource != "configmaps" else [rule],
            # Only what is ours, and the probe: the control plane writes as well.
            "namespaceSelector": {
                "matchExpressions": [
                    {
                        "key": "kubernetes.io/metadata.name",
                        "operator": "NotIn",
                        "values": ["kube-system", "federation-system"],
                    }
                ]
            },
            "clientConfig": {
                "url": f"https://127.0.0.1:{port}/",
                "caBundle": base64.b64encode(self._certificate.encode()).decode(),
            },
        }
        body = {"apiVersion": "admissionregistration.k8s.io/v1", "metadata": {"name": _NAME}}
        body |= {"kind": "ValidatingWebhookConfiguration", "webhooks": [hook]}
        cluster.call("POST", _PATH, body)
        self.probed = False
        eventually(lambda: self._is_asked(cluster), "the API server asks the webhook")

    def withdraw(self, cluster: Cluster) -> None:
        self.denial, self.name, self.silent, self.calls = "", "", False, 0
        if cluster.request("DELETE", f"{_PATH}/{_NAME}").status == 404:
            return

        def forgotten() -> bool:
            self.probed = False
            self._is_asked(cluster)
            return not self.probed

        eventually(forgotten, "the API server no longer asks the webhook")

    def close(self) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()

    def _is_asked(self, cluster: Cluster) -> bool:
        metadata = {"name": _PROBE, "namespace": "default"}
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
        path = "/api/v1/namespaces/default/configmaps"
        cluster.call("POST", path, body, query={"dryRun": "All"})
        return self.probed


@contextmanager
def webhook(file: Path) -> Iterator[Webhook]:
    hook = Webhook(file)
    try:
        yield hook
    finally:
        hook.close()
