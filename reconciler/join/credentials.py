"""A member's credential in the host: a kubeconfig in a Secret, and its renewal before it expires.

The token is that of a ServiceAccount of the member (TokenRequest): it dies with the account, and
by itself. Its life is in annotations of the Secret, because the token itself must not be read.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from reconciler.api.errors import ClusterError, Conflict, Position
from reconciler.api.objects import Object, ObjectKey
from reconciler.cluster.client import Member
from reconciler.cluster.connect import Connector
from reconciler.cluster.discovery import RESTMapping
from reconciler.cluster.endpoint import Endpoint
from reconciler.federation.model import Access, Cluster, SecretReference
from reconciler.join.member_objects import SECRET
from reconciler.join.steps import CLUSTER_LABEL, FEDERATION_LABEL, MANAGED_BY, TOOL
from reconciler.manifests.yaml_text import as_yaml

KEY = "kubeconfig"
ACCOUNT = "federation.reconciler.dev/service-account"
ISSUED = "federation.reconciler.dev/token-issued"
EXPIRES = "federation.reconciler.dev/token-expires"
LIFETIME = "federation.reconciler.dev/token-lifetime"

_LEGACY = "kubernetes.io/serviceaccount"

TOKEN_TIMEOUT_SECONDS = 30.0
TOKEN_POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token; times are Unix seconds, ``expires`` None for one that does not."""

    value: str
    issued: float
    expires: float | None

    def __repr__(self) -> str:
        return f"Token(issued={self.issued}, expires={self.expires})"


class Identity(Struct, frozen=True):
    """The ServiceAccount whose token it is. ``lifetime`` is what is asked for, in seconds (the
    server may grant less), None for a token that never expires."""

    cluster: str
    namespace: str
    account: str
    lifetime: float | None


class Rotation(Struct, frozen=True):
    """What came of one credential. ``problem`` empty and not ``renewed``: it still lives long.
    ``seat``: of several hosts, the one that keeps it."""

    cluster: str
    renewed: bool = False
    expires: float | None = None
    problem: str = ""
    seat: str = ""


def request_token(member: Member, identity: Identity) -> Token:
    """A new token from the member. Raises ClusterError (Forbidden, Invalid for a bad lifetime)."""
    path = f"serviceaccounts/{identity.account}/token"
    resource = RESTMapping("authentication.k8s.io/v1", "TokenRequest", path, namespaced=True)
    # The subresource lives in the core group, whatever the apiVersion of what it takes.
    core = RESTMapping("v1", resource.kind, resource.plural, namespaced=True)
    issued = time.time()
    answer = member.create(core, token_request(identity), namespace=identity.namespace)
    status = answer.get("status") or {}
    return Token(str(status.get("token", "")), issued, parse_time(status["expirationTimestamp"]))


def token_request(identity: Identity) -> Object:
    """The body that asks for a token."""
    return {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "metadata": {"name": identity.account, "namespace": identity.namespace},
        "spec": {"expirationSeconds": int(identity.lifetime or 0)},
    }


def await_token(member: Member, secret: Object) -> Token:
    """The token that the member's controller writes into ``secret``. Raises ClusterError."""
    metadata = secret["metadata"]
    key = ObjectKey("", "Secret", metadata["namespace"], metadata["name"])
    give_up = time.monotonic() + TOKEN_TIMEOUT_SECONDS
    while True:
        data = (member.get(SECRET, key) or {}).get("data") or {}
        if data.get("token"):
            return Token(base64.b64decode(data["token"]).decode(), time.time(), None)
        if time.monotonic() > give_up:
            raise ClusterError(
                member.name,
                f"no token was written into Secret {key.namespace}/{key.name} in "
                f"{TOKEN_TIMEOUT_SECONDS:.0f} s",
                hint="run join again; or use a token that expires (--token-lifetime 720h)",
            )
        time.sleep(TOKEN_POLL_SECONDS)


def kubeconfig(endpoint: Endpoint, cluster: str, account: str, token: str) -> Object:
    """A kubeconfig of one context, which kubectl can use as it is."""
    server: Object = {"server": endpoint.server}
    if endpoint.ca_pem:
        server["certificate-authority-data"] = base64.b64encode(endpoint.ca_pem.encode()).decode()
    if endpoint.server_name:
        server["tls-server-name"] = endpoint.server_name
    if endpoint.proxy_url:
        server["proxy-url"] = endpoint.proxy_url
    if not endpoint.verify:
        server["insecure-skip-tls-verify"] = True
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": cluster, "cluster": server}],
        "users": [{"name": account, "user": {"token": token}}],
        "contexts": [{"name": cluster, "context": {"cluster": cluster, "user": account}}],
        "current-context": cluster,
    }


def credentials_secret(
    identity: Identity, labels: dict[str, str], host_namespace: str, config: Object, token: Token
) -> Object:
    """The Secret in the host; an empty ``token`` value gives what may be shown."""
    annotations = {ACCOUNT: f"{identity.namespace}/{identity.account}"}
    if token.expires is not None:
        annotations[ISSUED] = format_time(token.issued)
        annotations[EXPIRES] = format_time(token.expires)
    if identity.lifetime is not None:
        annotations[LIFETIME] = f"{int(identity.lifetime)}s"
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": {
            "name": identity.cluster,
            "namespace": host_namespace,
            "labels": labels,
            "annotations": annotations,
        },
        "data": {KEY: base64.b64encode(_dump(config)).decode()} if token.value else {},
    }


def held_config(secret: Object) -> Object:
    """The kubeconfig in a Secret of ours; empty where it cannot be read."""
    import yaml

    try:
        data = base64.b64decode((secret.get("data") or {}).get(KEY, ""))
        config = yaml.load(data, yaml.CSafeLoader)
    except (ValueError, yaml.YAMLError):
        return {}
    return config if isinstance(config, dict) else {}


def token_in(secret: Object) -> str:
    """The token of a Secret of ours; empty where there is none."""
    users = held_config(secret).get("users") or ()
    return next((str((user.get("user") or {}).get("token", "")) for user in users), "")


def account_uid(token: str) -> str:
    """The UID of the ServiceAccount that a token was made for (a JSON Web Token's claims, old form
    and new); empty where it does not say."""
    try:
        part = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (IndexError, ValueError):
        return ""
    bound = (claims.get("kubernetes.io") or {}).get("serviceaccount") or {}
    return str(bound.get("uid") or claims.get(f"{_LEGACY}/service-account.uid") or "")


def without_token(config: Object) -> Object:
    """A kubeconfig that can be compared and shown."""
    return {**config, "users": [u.get("name") for u in config.get("users") or ()]}


def is_due(secret: Object, now: float) -> bool:
    """Whether less than half of the token's life remains. One without an end is never due."""
    annotations = secret["metadata"].get("annotations") or {}
    if EXPIRES not in annotations:
        return False
    try:
        issued, expires = parse_time(annotations.get(ISSUED, "")), parse_time(annotations[EXPIRES])
    except ValueError:
        return True
    return now >= issued + (expires - issued) / 2


def rotate_tokens(
    connector: Connector,
    federation: str,
    namespace: str,
    *,
    now: float,
    clusters: Collection[str] | None = None,
    every: bool = False,
) -> tuple[Rotation, ...]:
    """Renew every credential in the host that has lived half of its life, with itself.

    One LIST of Secrets in the host's ``namespace``, and two requests for each that is due; ``now``
    is Unix time, ``clusters`` (None: all) the ones to look at, ``every``: also those that are not
    due. Tokens without an end are left alone. A member's problem is in its Rotation.
    Raises ClusterError when the host does not answer or refuses.
    """
    host = connector.host()
    selector = f"{MANAGED_BY}={TOOL},{FEDERATION_LABEL}={federation},{CLUSTER_LABEL}"
    found = host.list_objects(SECRET, namespace=namespace, label_selector=selector)
    rotations = []
    for secret in sorted(found, key=lambda s: str(s["metadata"]["name"])):
        name = str(secret["metadata"]["labels"][CLUSTER_LABEL])
        is_ours = ACCOUNT in (secret["metadata"].get("annotations") or {})
        if not is_ours or (clusters is not None and name not in clusters):
            continue
        if not (is_due(secret, now) or (every and _expiry(secret) is not None)):
            rotations.append(Rotation(name, expires=_expiry(secret)))
            continue
        try:
            rotations.append(_renew(connector, host, secret, name))
        except ClusterError as error:
            rotations.append(Rotation(name, expires=_expiry(secret), problem=str(error)))
    return tuple(rotations)


def _renew(connector: Connector, host: Member, secret: Object, name: str) -> Rotation:
    metadata = secret["metadata"]
    annotations = metadata["annotations"]
    namespace, _, account = annotations[ACCOUNT].partition("/")
    lifetime = float(annotations.get(LIFETIME, "0s").removesuffix("s"))
    reference = SecretReference(metadata["name"], metadata["namespace"], KEY)
    member = connector.member(Cluster(name, Position("", 1, 1), access=Access(secret=reference)))
    identity = Identity(str(metadata["name"]), namespace, account, lifetime)
    token = request_token(member, identity)
    config = held_config(secret)
    for user in config.get("users") or ():
        user["user"]["token"] = token.value
    body = credentials_secret(
        identity, dict(metadata["labels"]), metadata["namespace"], config, token
    )
    body["metadata"]["resourceVersion"] = metadata["resourceVersion"]
    try:
        host.apply(SECRET, ObjectKey("", "Secret", *_place(body)), body, force=True)
    except Conflict:
        # Another rotation has just renewed it.
        return Rotation(name, expires=_expiry(secret))
    return Rotation(name, renewed=True, expires=token.expires)


def _place(body: Object) -> tuple[str, str]:
    return body["metadata"]["namespace"], body["metadata"]["name"]


def _expiry(secret: Object) -> float | None:
    try:
        return parse_time((secret["metadata"].get("annotations") or {}).get(EXPIRES, ""))
    except ValueError:
        return None


def format_time(seconds: float) -> str:
    """Unix seconds -> ``2026-01-02T03:04:05Z``."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(text: str) -> float:
    """The inverse of ``format_time``. Raises ValueError."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def _dump(config: Any) -> bytes:
    return as_yaml([config]).encode()
