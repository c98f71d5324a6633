"""A ``Cluster`` of the repository -> a connected ``Member``.

Credentials come from a kubeconfig context or from a Secret of the host cluster; never from Git.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
from msgspec import Struct

from reconciler.cluster.endpoint import Endpoint, bearer
from reconciler.cluster.kubeconfig import (
    Kubeconfig,
    in_cluster,
    load_kubeconfig,
    parse_kubeconfig,
)
from reconciler.cluster.member import Member
from reconciler.cluster.resources import Resource
from reconciler.cluster.transport import Transport
from reconciler.errors import ClusterError, ClusterUnauthorized
from reconciler.federation.model import Access, Cluster, SecretReference
from reconciler.objects import ObjectKey

HOST = "host cluster"
_SECRETS = Resource("v1", "Secret", "secrets", namespaced=True)


INSECURE_TLS, OTHER_NAMESPACES = "insecure-tls", "other-namespaces"
"""What ``--allow-access`` allows: servers whose certificate is not verified, and credentials in
other namespaces of the host than the federation's own and KubeFed's."""
KUBEFED_NAMESPACE = "kube-federation-system"
BOUND_TO = "federation.reconciler.dev/bound-to"
"""On a Secret with a bare token: the only server that it may be sent to (``binding``)."""


@dataclass(slots=True)
class Bindings:
    """Which server each KubeFedCluster's token was sent to in earlier runs (``known``; None: nobody
    can tell), and by this run for the first time (``new``); both cluster -> ``binding``."""

    known: Mapping[str, str] | None = None
    new: dict[str, str] = field(default_factory=dict)


class Connector(Struct, frozen=True):
    """Makes members. ``namespace`` is where credential Secrets lie in the host cluster.

    ``host_context`` names the host cluster's kubeconfig context; without it, it is the cluster that
    this process runs in, else the kubeconfig's current context.
    """

    kubeconfig: Kubeconfig
    namespace: str
    host_context: str = ""
    fence: Callable[[], None] | None = None
    settings: tuple[tuple[str, Any], ...] = ()
    allow: frozenset[str] = frozenset()
    bindings: Bindings = msgspec.field(default_factory=Bindings)

    @classmethod
    def from_file(cls, path: str | None, namespace: str, **settings: Any) -> Connector:
        """Read the kubeconfig at ``path`` (None: where kubectl would look)."""
        fence = settings.pop("fence", None)
        host = settings.pop("host_context", "")
        allow = frozenset(settings.pop("allow", ()))
        given = tuple(sorted(settings.items()))
        return cls(load_kubeconfig(path), namespace, host, fence, given, allow)

    def member(self, cluster: Cluster) -> Member:
        """A member to talk to; nothing is sent yet, but Secrets may be read from the host.

        Raises ClusterUnauthorized when no credential can be had.
        """
        return self._member(cluster.name, self._endpoint(cluster))

    def host(self) -> Member:
        """The cluster that holds credentials, state and the Lease."""
        if self.host_context:
            return self._member(HOST, self.kubeconfig.endpoint(self.host_context, HOST))
        endpoint = in_cluster()
        if endpoint is None:
            if not self.kubeconfig.current_context:
                raise ClusterUnauthorized(
                    HOST,
                    "no host cluster: not in a pod, and the kubeconfig has no current context",
                    hint="name one with --host-context",
                )
            endpoint = self.kubeconfig.endpoint(self.kubeconfig.current_context, HOST)
        return self._member(HOST, endpoint)

    def _member(self, name: str, endpoint: Endpoint) -> Member:
        return Member(name, Transport(name, endpoint, **dict(self.settings)), fence=self.fence)

    def _endpoint(self, cluster: Cluster) -> Endpoint:
        access = cluster.access
        # A person at a desk has contexts, not KubeFed's Secrets; asking the host for them first
        # would cost a request per cluster and run.
        at_a_desk = in_cluster() is None and access.fallback_context in self.kubeconfig.contexts
        if access.secret is not None and not at_a_desk:
            try:
                return self._from_secret(cluster.name, access, access.secret)
            except ClusterError as error:
                known = access.fallback_context in self.kubeconfig.contexts
                if not (access.fallback_context and known):
                    raise _no_credential(cluster.name, error, access) from error
        context = access.context or access.fallback_context or cluster.name
        endpoint = self.kubeconfig.endpoint(context, cluster.name)
        if not access.proxy_url:
            return endpoint
        if not (endpoint.verify and endpoint.server.startswith("https://")):
            raise ClusterUnauthorized(
                cluster.name,
                "spec.proxyURL could read the credential, as the server's certificate is not "
                "verified; nothing was sent",
                hint=f"give kubeconfig context {context!r} an https:// server and its CA",
            )
        return replace(endpoint, proxy_url=access.proxy_url)

    def _from_secret(self, name: str, access: Access, reference: SecretReference) -> Endpoint:
        namespace = reference.namespace or self.namespace
        usual = {self.namespace, KUBEFED_NAMESPACE if access.api_endpoint else self.namespace}
        if namespace not in usual and OTHER_NAMESPACES not in self.allow:
            raise ClusterUnauthorized(
                name,
                f"Git names Secret {namespace}/{reference.name}, and credentials are only taken "
                f"from {' and '.join(sorted(usual))}",
                hint=f"move the Secret, or run with --allow-access {OTHER_NAMESPACES}",
            )
        key = ObjectKey("", "Secret", namespace, reference.name)
        secret = self.host().get(_SECRETS, key)
        if secret is None:
            raise ClusterUnauthorized(name, f"Secret {namespace}/{reference.name} does not exist")
        try:
            data = {k: base64.b64decode(v) for k, v in (secret.get("data") or {}).items()}
        except binascii.Error:
            raise ClusterUnauthorized(
                name, f"Secret {namespace}/{reference.name} is damaged"
            ) from None
        if reference.key in data:
            config = parse_kubeconfig(
                data[reference.key],
                origin=f"Secret {namespace}/{reference.name}",
                insecure=INSECURE_TLS in self.allow,
            )
            context = config.current_context or next(iter(config.contexts), "")
            return config.endpoint(context, name)
        if "token" in data and access.api_endpoint:
            endpoint = _kubefed_endpoint(name, access, data, insecure=INSECURE_TLS in self.allow)
            annotations = secret["metadata"].get("annotations") or {}
            self._check_binding(name, endpoint, key, annotations.get(BOUND_TO, ""))
            return endpoint
        raise ClusterUnauthorized(
            name,
            f"Secret {namespace}/{reference.name} has neither {reference.key!r} nor a token for "
            "an apiEndpoint",
        )

    def _check_binding(self, name: str, endpoint: Endpoint, key: ObjectKey, bound: str) -> None:
        """A bare token goes to one server, whatever Git says later. The Secret itself says to
        which, else the first run that used it."""
        wanted = binding(endpoint)
        earlier = self.bindings.known
        known = bound or (earlier or {}).get(name, "")
        if not known and earlier is None:
            raise ClusterUnauthorized(
                name,
                f"whether the token in Secret {key.namespace}/{key.name} is for {wanted}, as Git "
                "says, nobody can tell here; it was not sent",
                hint="let this read what runs remember (--state), or say it once: kubectl annotate "
                f"secret -n {key.namespace} {key.name} {BOUND_TO}='{wanted}'",
            )
        if not known:
            self.bindings.new[name] = wanted
        elif wanted != known and not (bound and wanted.startswith(f"{bound} ")):
            raise ClusterUnauthorized(
                name,
                f"Git names the API server {wanted} for the token in Secret {key.namespace}/"
                f"{key.name}, which is for {known}; it was not sent",
                hint="if the server has moved: kubectl annotate --overwrite secret "
                f"-n {key.namespace} {key.name} {BOUND_TO}='{wanted}'",
            )


def binding(endpoint: Endpoint) -> str:
    """A server and its CA as text: ``https://10.0.0.1:6443 ca:1f2e3d...``."""
    trusted = endpoint.ca_pem if endpoint.verify else "not verified"
    return f"{endpoint.server} ca:{hashlib.sha256(trusted.strip().encode()).hexdigest()[:32]}"


class Connections:
    """Members by cluster, each made once, so that one run's steps share connections."""

    def __init__(self, connector: Connector) -> None:
        self.connector = connector
        self._members: dict[str, Member] = {}

    def member(self, cluster: Cluster) -> Member:
        """As ``Connector.member``. Two threads must not ask for the same cluster at once."""
        if cluster.name not in self._members:
            self._members[cluster.name] = self.connector.member(cluster)
        return self._members[cluster.name]


def _kubefed_endpoint(
    name: str, access: Access, data: dict[str, bytes], *, insecure: bool
) -> Endpoint:
    """KubeFedCluster: the endpoint and CA in the manifest, the token in the Secret."""
    given = access.api_endpoint
    server = (given if "://" in given else f"https://{given}").rstrip("/")
    if not server.startswith("https://"):
        raise ClusterUnauthorized(
            name, f"spec.apiEndpoint {given} is no https:// address; nothing was sent"
        )
    skipped = [check for check in access.skip_tls_checks if check != "*"]
    if skipped or (access.skip_tls_checks and not insecure):
        raise ClusterUnauthorized(
            name,
            "spec.disabledTLSValidations would send the token to whoever answers at the address; "
            "nothing was sent",
            hint="single checks cannot be left out: give caBundle"
            if skipped
            else f"give caBundle, or run with --allow-access {INSECURE_TLS}",
        )
    try:
        ca = base64.b64decode(access.ca_bundle, validate=True) if access.ca_bundle else b""
        ca_pem = (ca or data.get("ca.crt", b"")).decode()
        token = data["token"].decode().strip()
    except (binascii.Error, UnicodeDecodeError):
        raise ClusterUnauthorized(
            name,
            "spec.caBundle, or the Secret's ca.crt or token, cannot be read",
            hint="caBundle is a PEM certificate in base64",
        ) from None
    return Endpoint(
        server=server,
        headers=bearer(token),
        ca_pem=ca_pem,
        proxy_url=access.proxy_url,
        verify="*" not in access.skip_tls_checks,
    )


def _no_credential(name: str, error: ClusterError, access: Access) -> ClusterUnauthorized:
    fallback = access.fallback_context
    tried = f", and the kubeconfig has no context {fallback!r}" if fallback else ""
    return ClusterUnauthorized(name, f"{error}{tried}", hint=error.hint)
