"""A ``Cluster`` of the repository -> a connected ``Member``.

Credentials come from a kubeconfig context or from a Secret of the host cluster; never from Git.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Collection, Mapping
from math import inf
from shlex import quote
from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from reconciler.api.errors import ApiError, ClusterError, ClusterUnauthorized, Conflict
from reconciler.api.notices import Notice, NoticeCause, notice
from reconciler.api.objects import Object, ObjectKey, map_of
from reconciler.cluster.client import KeptLists, Member
from reconciler.cluster.curl import Exchange
from reconciler.cluster.discovery import RESTMapping
from reconciler.cluster.endpoint import Endpoint, bearer
from reconciler.cluster.http import Transport
from reconciler.cluster.kubeconfig import (
    Kubeconfig,
    in_cluster,
    is_https,
    is_local,
    load_kubeconfig,
    own_namespace,
    parse_kubeconfig,
)
from reconciler.federation.model import Access, Cluster, ProfileAccess, SecretReference

if TYPE_CHECKING:
    from reconciler.cluster.access_providers import AccessProviders

HOST = "host cluster"
_SECRETS = RESTMapping("v1", "Secret", "secrets", namespaced=True)
_CONFIG_MAPS = RESTMapping("v1", "ConfigMap", "configmaps", namespaced=True)

INSECURE_TLS, OTHER_NAMESPACES = "insecure-tls", "other-namespaces"
PROXY, PLAIN_HTTP = "proxy", "plain-http"
"""What ``--allow-access`` allows: servers whose certificate is not verified; credentials in other
namespaces of the host than the federation's own, KubeFed's and Karmada's; proxies that Git or a
Secret name; credentials in the clear.
"""
KUBEFED_NAMESPACE, KARMADA_NAMESPACE = "kube-federation-system", "karmada-cluster"
BOUND_TO = "federation.reconciler.dev/bound-to"
"""On a Secret with a bare token: the only server that it may be sent to (``binding``)."""


class Kept(Protocol):
    """What a process that stays keeps of its members from run to run."""

    def of_member(self, name: str, endpoint: Endpoint) -> KeptMember:
        """Of one member, as far as it is still the same server, asked with the same credential."""
        ...


class KeptMember(KeptLists, Protocol):
    """Its lists, and its connections."""

    @property
    def exchange(self) -> Exchange: ...


class Connector(Struct, frozen=True):
    """Makes members. ``namespace`` is where credential Secrets lie in the host cluster.

    ``host_context`` names the host cluster's kubeconfig context; without it, it is the cluster that
    this process runs in, else the kubeconfig's current context.

    ``first_use`` is what becomes of a bare token of which nobody has said yet which server it is
    for: ``pin`` it to the one that Git names, only ``tell`` that it was sent there, or ``refuse``.
    ``remarks`` collects what people should know of that.

    ``seats`` are the clusters among which a Federation may name seats; ``seat`` is
    the one that the host cluster is, "" where it is none. ``providers`` are the programs that give
    credentials for the clusters of ClusterProfiles. ``kept`` is there in a process that stays.
    """

    kubeconfig: Kubeconfig
    namespace: str
    host_context: str = ""
    fence: Callable[[], None] | None = None
    settings: tuple[tuple[str, Any], ...] = ()
    allow: frozenset[str] = frozenset()
    first_use: Literal["pin", "tell", "refuse"] = "refuse"
    remarks: list[Notice] = msgspec.field(default_factory=list)
    seats: tuple[Cluster, ...] = ()
    seat: str = ""
    providers: AccessProviders | None = None
    kept: Kept | None = None

    @classmethod
    def from_file(cls, path: str | None, namespace: str, **settings: Any) -> Connector:
        """Read the kubeconfig at ``path`` (None: where kubectl would look), and the file of access
        providers where one is given. Raises UsageError or BadInput where that one is none."""
        fence = settings.pop("fence", None)
        host = settings.pop("host_context", "")
        allow = frozenset(settings.pop("allow", ()))
        first_use = settings.pop("first_use", "refuse")
        seats, seat = settings.pop("seats", ()), settings.pop("seat", "")
        providers = None
        if file := settings.pop("access_providers", None):
            from reconciler.cluster.access_providers import load_access_providers

            providers = load_access_providers(file)
        kept = settings.pop("kept", None)
        given = tuple(sorted(settings.items()))
        try:
            config = load_kubeconfig(path)
        except ClusterUnauthorized as error:
            config = Kubeconfig({}, {}, {}, problem=str(error))
        return cls(
            config,
            namespace,
            host,
            fence,
            given,
            allow,
            first_use,
            seats=seats,
            seat=seat,
            providers=providers,
            kept=kept,
        )

    def member(self, cluster: Cluster) -> Member:
        """A member to talk to; nothing is sent yet, but Secrets may be read from the host.

        Raises ClusterUnauthorized when no credential can be had, or Git has a fault there.
        """
        if cluster.faults:
            bound_to = "; ".join(f"{one.position}: {one.message}" for one in cluster.faults)
            raise ClusterUnauthorized(cluster.name, bound_to, hint=cluster.faults[0].hint)
        return self._member(cluster.name, self._endpoint(cluster))

    def host(self, name: str = HOST) -> Member:
        """The cluster that holds credentials, state and the Lease; ``name`` is for messages."""
        if self.host_context:
            return self._member(name, self._of_context(self.host_context, name))
        endpoint = in_cluster()
        if endpoint is None:
            if not (self.kubeconfig.current_context or self.kubeconfig.problem):
                raise ClusterUnauthorized(
                    name,
                    "no host cluster: not in a pod, and the kubeconfig has no current context",
                    hint="name one with --host-context",
                )
            endpoint = self._of_context(self.kubeconfig.current_context, name)
        return self._member(name, endpoint)

    def _member(self, name: str, endpoint: Endpoint) -> Member:
        settings = dict(self.settings)
        if self.kept is None:
            return Member(name, Transport(name, endpoint, **settings), fence=self.fence)
        kept = self.kept.of_member(name, endpoint)
        transport = Transport(name, endpoint, exchange=kept.exchange, **settings)
        return Member(name, transport, fence=self.fence, kept=kept)

    def _endpoint(self, cluster: Cluster) -> Endpoint:
        access = cluster.access
        # A person at a desk has contexts, not KubeFed's Secrets; asking the host for them first
        # would cost a request per cluster and run.
        at_a_desk = in_cluster() is None and access.fallback_context in self.kubeconfig.contexts
        if access.secret is not None and not at_a_desk:
            try:
                return self._from_secret(cluster.name, access, access.secret)
            except _NotSent:
                # Another credential would hide it.
                raise
            except ClusterError as error:
                known = access.fallback_context in self.kubeconfig.contexts
                if not (access.fallback_context and known):
                    raise _no_credential(cluster.name, error, access) from error
        if access.profile is not None and self.providers is not None:
            return self._from_profile(cluster.name, access.profile, self.providers)
        if access.profile is not None and access.fallback_context not in self.kubeconfig.contexts:
            raise ClusterUnauthorized(
                cluster.name,
                "its ClusterProfile says how it is reached, and no file of access providers was "
                "given",
                hint="--access-providers FILE; docs/cluster-profiles.md has an example",
            )
        context = access.context or access.fallback_context or cluster.name
        endpoint = self._of_context(context, cluster.name)
        if not access.proxy_url:
            return endpoint
        if not (endpoint.verify and endpoint.server.startswith("https://")):
            raise ClusterUnauthorized(
                cluster.name,
                "spec.proxyURL could read the credential, as the server's certificate is not "
                "verified; nothing was sent",
                hint=f"give kubeconfig context {context!r} an https:// server and its CA",
            )
        if access.proxy_url != endpoint.proxy_url:
            self._check_proxy(cluster.name, "spec.proxyURL")
        return replace(endpoint, proxy_url=access.proxy_url)

    def _of_context(self, context: str, name: str) -> Endpoint:
        endpoint = self.kubeconfig.endpoint(context, name)
        if not (is_https(endpoint.server, plain=PLAIN_HTTP in self.allow) or is_local(endpoint)):
            raise ClusterUnauthorized(
                name,
                f"kubeconfig context {context!r} has the server {endpoint.server}, which is no "
                "https:// address of a server alone; nothing was sent",
                hint=f"give it an https:// server, or run with --allow-access {PLAIN_HTTP}",
            )
        return endpoint

    def _check_proxy(self, name: str, where: str) -> None:
        if PROXY not in self.allow:
            raise _NotSent(
                name,
                f"{where} names a proxy, and nothing was sent through it",
                hint=f"run with --allow-access {PROXY}, or let HTTPS_PROXY name the proxy",
            )

    @property
    def _own(self) -> str:
        """The namespace of our credentials; a pod's own, which is not for Git to choose."""
        return own_namespace() or self.namespace

    def _from_secret(self, name: str, access: Access, reference: SecretReference) -> Endpoint:
        theirs = (_namespace_of_tokens(access),) if access.api_endpoint else ()
        namespace = self.namespace_of(name, reference.namespace, reference.name, *theirs)
        key = ObjectKey("", "Secret", namespace, reference.name)
        host = self.host()
        secret = host.get(_SECRETS, key)
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
                proxy=PROXY in self.allow,
                plain=PLAIN_HTTP in self.allow,
            )
            return config.endpoint(config.current_context, name)
        if "token" in data and access.api_endpoint:
            endpoint = _kubefed_endpoint(name, access, data, self.allow)
            if access.proxy_url:
                self._check_proxy(name, "spec.proxyURL")
            annotations = secret["metadata"].get("annotations") or {}
            self.check_binding(
                name,
                host,
                key,
                binding(endpoint),
                bound_to=str(annotations.get(BOUND_TO, "")),
                doubt=_doubt(secret, data, self._own),
            )
            return endpoint
        raise ClusterUnauthorized(
            name,
            f"Secret {namespace}/{reference.name} has neither {reference.key!r} nor a token for "
            "an apiEndpoint",
        )

    def _from_profile(
        self, name: str, profile: ProfileAccess, providers: AccessProviders
    ) -> Endpoint:
        """The server that a ClusterProfile names, with the credential that a program of ours gives
        for it. No program is run before the server is known to be the one that it was."""
        from reconciler.cluster.access_providers import server_of, with_additions
        from reconciler.cluster.exec_credential import with_credential
        from reconciler.federation.inventory import EXEC_CONFIG, MORE_ARGUMENTS, MORE_VARIABLES

        provider, named = providers.choose(name, profile)
        server = server_of(
            name,
            named,
            insecure=INSECURE_TLS in self.allow,
            proxy=PROXY in self.allow,
            plain=PLAIN_HTTP in self.allow,
        )
        more = (MORE_ARGUMENTS, MORE_VARIABLES)
        provider = with_additions(name, provider, named.extensions, more)
        subject = f"{provider.name}\0{profile.namespace}\0{name}"
        digest = hashlib.sha256(subject.encode()).hexdigest()[:16]
        key = ObjectKey("", "ClusterProfile", self._own, f"cluster-profile-{digest}")
        try:
            self.check_binding(
                name,
                self.host(),
                key,
                binding(server),
                what="the credential of",
                where=f"ClusterProfile {profile.namespace}/{name} (provider {provider.name})",
                who=f"ClusterProfile {profile.namespace}/{name}",
            )
        except ClusterError as error:
            if isinstance(error, _NotSent):
                raise
            # The host's trouble is not the member's: that one is not down.
            raise _NotSent(
                name,
                f"what the credential of its ClusterProfile is for cannot be looked up: {error}; "
                "it was not sent",
            ) from error
        left: Callable[[], float] = dict(self.settings).get("seconds_left", lambda: inf)
        return with_credential(name, provider, server, named.extensions.get(EXEC_CONFIG), left)

    def check_binding(
        self,
        name: str,
        host: Member,
        secret: ObjectKey,
        wanted: str,
        *,
        bound_to: str = "",
        doubt: str = "",
        what: str = "the token in",
        where: str = "",
        who: str = "Git",
    ) -> None:
        """Raises ClusterUnauthorized unless the credential in a Secret is for ``wanted``.

        It goes to one place, whatever Git says later. The Secret itself says to which
        (``bound_to``), else a ConfigMap beside it, which the first run made that used it: what Git
        names (cluster, federation, where runs remember) makes no other credential of it. ``doubt``
        is why its first use must be allowed by somebody. ``where`` is what holds the credential
        where that is no Secret, ``who`` names the server.
        """
        if where:
            pin = _pin_key(secret)
            allowing = f"kubectl delete configmap -n {pin.namespace} {pin.name}"
        else:
            where = f"Secret {secret.namespace}/{secret.name}"
            allowing = (
                f"kubectl annotate --overwrite secret -n {secret.namespace} {secret.name} "
                f"{BOUND_TO}={quote(wanted)}"
            )
        try:
            known = bound_to or _pinned(host, secret)
            if not known and (doubt := doubt or self._refusal()):
                raise _NotSent(
                    name,
                    f"nobody has said yet whether {what} {where} is for {wanted}, as {who} "
                    f"says; it was not sent, as {doubt}",
                    hint="" if secret.kind != "Secret" else f"if it is: {allowing}",
                )
            bound = None
            if not known and self.first_use == "pin":
                known = _pin(host, secret, wanted)
                bound = NoticeCause.CREDENTIAL_BOUND
            elif not known:
                bound = NoticeCause.CREDENTIAL_TO_BE_BOUND
            if bound:
                credential = f"{what} {where}"
                self.remarks.append(notice(bound, subject=name, what=credential, server=wanted))
            if not known:
                return
        except ApiError as error:
            raise _NotSent(
                name,
                f"what {what} {where} is for cannot be looked up or kept: {error}; it was not sent",
                hint=f"allow get and create of ConfigMaps in {secret.namespace}"
                + (f", or: {allowing}" if secret.kind == "Secret" else ", which must be there"),
            ) from error
        if wanted != known and not (bound_to and wanted.startswith(f"{bound_to} ")):
            raise _NotSent(
                name,
                f"{who} names {wanted} for {what} {where}, which is for {known}; it was not sent",
                hint=f"if it has moved: {allowing}",
            )

    def check_variable(self, name: str, variable: str, wanted: str, bound_to: str) -> None:
        """The same for an environment variable of this process, which ``bound_to`` tells where it
        may go; else a ConfigMap in the host cluster, as far as there is one."""
        if bound_to:
            if wanted != bound_to and not wanted.startswith(f"{bound_to} "):
                raise _NotSent(
                    name,
                    f"Git names {wanted} for ${variable}, which is for {bound_to}; it was not sent",
                )
            return
        pin = ObjectKey("", "Secret", self._own, f"env-{variable.lower().replace('_', '-')}")
        try:
            host = self.host()
            known = _pinned(host, pin)
            if not known and self.first_use == "pin":
                known = _pin(host, pin, wanted)
                bound, what = NoticeCause.CREDENTIAL_BOUND, f"${variable}"
                self.remarks.append(notice(bound, subject=name, what=what, server=wanted))
        except ClusterError:
            known = ""
        if known and wanted != known:
            raise _NotSent(
                name,
                f"Git names {wanted} for ${variable}, which is for {known}; it was not sent",
                hint=f"if it has moved: set {variable}_BOUND_TO={quote(wanted)}",
            )
        if not known:
            self.remarks.append(
                notice(
                    NoticeCause.CREDENTIAL_NOT_BOUND,
                    subject=name,
                    what=f"${variable}",
                    server=wanted,
                    setting=f"{variable}_BOUND_TO={quote(wanted)}",
                )
            )

    def namespace_of(self, name: str, reference_namespace: str, secret: str, *more: str) -> str:
        """Where a Secret that Git names is taken from. Raises ClusterUnauthorized for another
        namespace than our own, and ``more``, unless the job allows it."""
        namespace = reference_namespace or self.namespace
        usual = {self._own, *more}
        if namespace not in usual and OTHER_NAMESPACES not in self.allow:
            raise ClusterUnauthorized(
                name,
                f"Git names Secret {namespace}/{secret}, and credentials are only taken "
                f"from {' and '.join(sorted(usual))}",
                hint=f"move the Secret, or run with --allow-access {OTHER_NAMESPACES}",
            )
        return namespace

    def _refusal(self) -> str:
        return "this command uses no token for the first time" if self.first_use == "refuse" else ""


class _NotSent(ClusterUnauthorized):
    """There is a credential, and it is not for where it would go."""


def _pinned(host: Member, secret: ObjectKey) -> str:
    """The server that a token was used for first; empty where none is known."""
    found = host.get(_CONFIG_MAPS, _pin_key(secret))
    if found is None:
        return ""
    return str((found.get("data") or {}).get("server") or "nothing that can be read")


def _pin(host: Member, secret: ObjectKey, wanted: str) -> str:
    """Keep it before anything is sent; what another run has just kept counts. Raises ApiError."""
    key = _pin_key(secret)
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": key.name,
            "namespace": key.namespace,
            "labels": {"app.kubernetes.io/managed-by": "federation-reconciler"},
        },
        "data": {"server": wanted},
    }
    try:
        host.create(_CONFIG_MAPS, body, namespace=key.namespace)
    except Conflict:
        return _pinned(host, secret)
    return wanted


def _pin_key(secret: ObjectKey) -> ObjectKey:
    return ObjectKey("", "ConfigMap", secret.namespace, f"{secret.name}-bound-to")


def _namespace_of_tokens(access: Access) -> str:
    """Where KubeFed, or Karmada, keeps the tokens of its members."""
    return KARMADA_NAMESPACE if access.ca_key == "caBundle" else KUBEFED_NAMESPACE


def _doubt(secret: Object, data: Mapping[str, bytes], own: str) -> str:
    """Why a Secret may be no member's at all, but another token that Git has no business to send
    anywhere: that of the Git server, a DNS provider, an account of the host. Empty: it looks as
    KubeFed's and Karmada's do."""
    if secret.get("type", "Opaque") != "Opaque":
        return f"the Secret is of type {secret['type']}"
    if other := sorted(set(data) - {"token", "ca.crt", "caBundle"}):
        return f"the Secret has other keys, too: {', '.join(other)}"
    namespace = secret["metadata"]["namespace"]
    theirs = (KUBEFED_NAMESPACE, KARMADA_NAMESPACE)
    if namespace == own not in theirs and not _is_of_an_account(data["token"]):
        return "it is no ServiceAccount's"
    return ""


def dns_credential_warning(secret: Object, value: str) -> str:
    """Why a Secret may be another's than a DNS provider's, as above."""
    if secret.get("type", "Opaque") != "Opaque":
        return f"the Secret is of type {secret['type']}"
    labels = secret["metadata"].get("labels") or {}
    if labels.get("app.kubernetes.io/managed-by") == "federation-reconciler":
        return "the Secret is what join, or a run, made for itself"
    if "kubeconfig" in (secret.get("data") or {}) or "kind: Config" in value:
        return "it is a kubeconfig"
    return "it is a ServiceAccount's token" if _is_of_an_account(value.encode()) else ""


def _is_of_an_account(token: bytes) -> bool:
    """Whether it is a JSON Web Token of a ServiceAccount, as KubeFed's are."""
    part = token.partition(b".")[2].partition(b".")[0]
    try:
        claims = map_of(json.loads(base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4))))
    except ValueError:
        return False
    return str(claims.get("sub")).startswith("system:serviceaccount:")


def bind_token(host: Member, name: str, access: Access) -> str:
    """Write into the Secret of a KubeFedCluster which server its bare token is for; that server, or
    empty where there is no such token, or it says so already. Raises ClusterError."""
    reference = access.secret
    if reference is None or not access.api_endpoint:
        return ""
    key = ObjectKey("", "Secret", reference.namespace, reference.name)
    secret = host.get(_SECRETS, key)
    if secret is None or "token" not in (secret.get("data") or {}):
        return ""
    metadata = secret["metadata"]
    if (metadata.get("annotations") or {}).get(BOUND_TO):
        return ""
    data = {k: base64.b64decode(v) for k, v in secret["data"].items()}
    wanted = binding(_kubefed_endpoint(name, access, data, frozenset({INSECURE_TLS, PLAIN_HTTP})))
    # With the UID, none is made where it has gone meanwhile.
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": key.name,
            "namespace": key.namespace,
            "uid": metadata["uid"],
            "annotations": {BOUND_TO: wanted},
        },
    }
    host.apply(_SECRETS, key, body)
    return wanted


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
    name: str, access: Access, data: dict[str, bytes], allow: Collection[str]
) -> Endpoint:
    """KubeFed's and Karmada's clusters: the endpoint in the manifest, the token in the Secret."""
    given = access.api_endpoint
    server = (given if "://" in given else f"https://{given}").rstrip("/")
    if not is_https(server, plain=PLAIN_HTTP in allow):
        plain = server.startswith("http://")
        raise ClusterUnauthorized(
            name,
            f"spec.apiEndpoint {given} is no https:// address of a server alone; nothing was sent",
            hint=f"run with --allow-access {PLAIN_HTTP} to send the token in the clear"
            if plain
            else "",
        )
    skipped = [check for check in access.skip_tls_checks if check != "*"]
    if skipped or (access.skip_tls_checks and INSECURE_TLS not in allow):
        raise ClusterUnauthorized(
            name,
            "spec.disabledTLSValidations would send the token to whoever answers at the address; "
            "nothing was sent",
            hint="single checks cannot be left out: give caBundle"
            if skipped
            else f"give caBundle, or run with --allow-access {INSECURE_TLS}",
        )
    try:
        ca = base64.b64decode("".join(access.ca_bundle.split()), validate=True)
        ca_pem = (ca or data.get(access.ca_key, b"")).decode()
        token = data["token"].decode().strip()
    except (binascii.Error, UnicodeDecodeError):
        raise ClusterUnauthorized(
            name,
            f"spec.caBundle, or the Secret's {access.ca_key} or token, cannot be read",
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
