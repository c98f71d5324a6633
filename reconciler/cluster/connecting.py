"""A ``Cluster`` of the repository -> a connected ``Member``.

Credentials come from a kubeconfig context or from a Secret of the host cluster; never from Git.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import replace
from typing import Any

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

    @classmethod
    def from_file(cls, path: str | None, namespace: str, **settings: Any) -> Connector:
        """Read the kubeconfig at ``path`` (None: where kubectl would look)."""
        fence = settings.pop("fence", None)
        host = settings.pop("host_context", "")
        return cls(load_kubeconfig(path), namespace, host, fence, tuple(sorted(settings.items())))

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
        return replace(endpoint, proxy_url=access.proxy_url) if access.proxy_url else endpoint

    def _from_secret(self, name: str, access: Access, reference: SecretReference) -> Endpoint:
        namespace = reference.namespace or self.namespace
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
                data[reference.key], origin=f"Secret {namespace}/{reference.name}"
            )
            context = config.current_context or next(iter(config.contexts), "")
            return config.endpoint(context, name)
        if "token" in data and access.api_endpoint:
            return _kubefed_endpoint(access, data)
        raise ClusterUnauthorized(
            name,
            f"Secret {namespace}/{reference.name} has neither {reference.key!r} nor a token for "
            "an apiEndpoint",
        )


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


def _kubefed_endpoint(access: Access, data: dict[str, bytes]) -> Endpoint:
    """KubeFedCluster: the endpoint and CA in the manifest, the token in the Secret."""
    ca = base64.b64decode(access.ca_bundle) if access.ca_bundle else data.get("ca.crt", b"")
    server = access.api_endpoint
    return Endpoint(
        server=(server if "://" in server else f"https://{server}").rstrip("/"),
        headers=bearer(data["token"].decode().strip()),
        ca_pem=ca.decode(),
        proxy_url=access.proxy_url,
        verify="*" not in access.skip_tls_checks,
    )


def _no_credential(name: str, error: ClusterError, access: Access) -> ClusterUnauthorized:
    fallback = access.fallback_context
    tried = f", and the kubeconfig has no context {fallback!r}" if fallback else ""
    return ClusterUnauthorized(name, f"{error}{tried}", hint=error.hint)
