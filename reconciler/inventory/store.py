"""The inventory in a member: an ApplySet parent Secret that also holds the records.

One LIST reads it all. Past a few thousand objects the records spread over further Secrets. Secrets
are replaced under their resourceVersion, so that two runs cannot overwrite each other's records.
"""

from __future__ import annotations

import base64
import os
import zlib
from collections.abc import Iterable, Mapping
from functools import cached_property

import orjson
from msgspec import ValidationError, convert, field, to_builtins
from msgspec.structs import replace

from reconciler.api.errors import ClusterError, Conflict, Forbidden
from reconciler.api.notices import Notice, NoticeCause, notice
from reconciler.api.objects import (
    GroupKind,
    Object,
    ObjectKey,
    RedactedRepr,
    map_of,
    read_in_threads,
)
from reconciler.cluster.client import Member
from reconciler.cluster.discovery import GroupVersionKind, RESTMapping
from reconciler.cluster.responses import MalformedAnswer
from reconciler.git.owner import Owner
from reconciler.inventory.applyset import (
    GROUP_KINDS,
    ID,
    NAMESPACES,
    TOOLING,
    applyset_id,
    format_group_kinds,
    is_our_tooling,
    parse_group_kinds,
    tool_annotation,
)
from reconciler.inventory.managed_fields import Fields
from reconciler.inventory.records import (
    AppliedRecord,
    Digester,
    decode_fields,
    decode_rows,
    encode_fields,
    encode_rows,
    used_fields,
)

LABEL = "federation.reconciler.dev/inventory"
FORMAT = 1
ROWS_PER_SECRET = 4000
MAX_SECRET_BYTES = 900_000

SECRETS = RESTMapping("v1", "Secret", "secrets", namespaced=True)
NAMESPACE = RESTMapping("v1", "Namespace", "namespaces", namespaced=False)


class Inventory(RedactedRepr, frozen=True, dict=True):
    """What the federation owns in one member, as last written. ``parent`` None: nothing yet.

    ``rows`` has every owned or soon-to-be-owned object; ``ran`` the Jobs and Pods among them that
    have run, with a digest of what they did; ``resources`` is the discovery that past runs needed;
    ``damaged`` says what could not be read (records are then recreated). ``stored`` are the rows as
    ``secrets`` hold them.
    ``commit`` is the one that was written last. Where commits reach the fleet in waves, ``done`` is
    the one that was applied here without a failure, and ``stable`` that of the fleet at that time.
    ``owner`` is the repository that it belongs to, ``cluster`` the name that the federation has
    for this API server, ``cluster_uid`` the UID of its kube-system; empty: not recorded yet.
    """

    federation: str
    namespace: str
    rows: Mapping[ObjectKey, AppliedRecord] = field(default_factory=dict)
    ran: Mapping[ObjectKey, str] = field(default_factory=dict)
    group_kinds: frozenset[GroupKind] = frozenset()
    resources: Mapping[GroupVersionKind, RESTMapping] = field(default_factory=dict)
    commit: str = ""
    done: str = ""
    stable: str = ""
    owner: Owner | None = None
    cluster: str = ""
    cluster_uid: str = ""
    key: bytes = b""
    secrets: Mapping[str, Object] = field(default_factory=dict)
    stored: Mapping[ObjectKey, AppliedRecord] = field(default_factory=dict)
    damaged: str = ""

    @property
    def parent_name(self) -> str:
        return f"federation-{self.federation}"

    @cached_property
    def applyset(self) -> str:
        return applyset_id(self.parent_name, self.namespace, GroupKind("", "Secret"))

    @property
    def exists(self) -> bool:
        return self.parent_name in self.secrets

    @property
    def parent_uid(self) -> str:
        """The UID of the parent Secret: no two API servers have the same."""
        parent = self.secrets.get(self.parent_name)
        return str(parent["metadata"].get("uid", "")) if parent else ""

    @property
    def news(self) -> Notice | None:
        """What the next write records of whose it is, where it says something else."""
        parent = self.secrets.get(self.parent_name)
        if parent is None or self.owner is None:
            return None
        meta = _meta(parent)
        before, cluster = _owner(meta), str(meta.get("cluster", ""))
        if before is None:
            return notice(NoticeCause.INVENTORY_UNOWNED, owner=self.owner)
        if (before.id, before.path) != (self.owner.id, self.owner.path):
            return notice(NoticeCause.INVENTORY_TAKEN_OVER, before=before, owner=self.owner)
        if cluster and cluster != self.cluster:
            return notice(NoticeCause.INVENTORY_RENAMED, before=cluster)
        return None

    @cached_property
    def digester(self) -> Digester:
        return Digester(self.key)

    @cached_property
    def fields(self) -> dict[str, Fields]:
        """The field trees of past applies by E; read only when a conflict asks for them."""
        merged: dict[str, Fields] = {}
        for secret in self.secrets.values():
            merged |= decode_fields(_data(secret, "fields"))
        return merged


def read_inventory(member: Member, federation: str, namespace: str) -> Inventory:
    """One LIST. Raises ClusterError when the parent belongs to another tool."""
    found = member.labelled(SECRETS, f"{LABEL}={federation}", namespace=namespace)
    known = member.remembered(KnownRows) or KnownRows()
    held = {str(item["metadata"]["name"]): item for item in found}
    empty = Inventory(federation, namespace, secrets=held, key=os.urandom(32))
    parent = held.get(empty.parent_name)
    if parent is None:
        rows, _ = _all_rows(held, known)
        return replace(empty, rows=rows, stored=rows)
    annotations = parent["metadata"].get("annotations") or {}
    if not is_our_tooling(annotations.get(TOOLING, "")):
        raise ClusterError(
            member.name,
            f"Secret {namespace}/{empty.parent_name} is the ApplySet of another tool "
            f"({annotations.get(TOOLING, 'unnamed')!r})",
            hint="name the Federation otherwise, or delete that ApplySet",
        )
    rows, damaged = _all_rows(held, known)
    meta = _meta(parent)
    return replace(
        empty,
        rows=rows,
        stored=rows,
        ran=_ran(meta),
        group_kinds=parse_group_kinds(annotations.get(GROUP_KINDS, "")),
        resources=_resources(meta),
        commit=str(meta.get("commit", "")),
        done=str(meta.get("done", "")),
        stable=str(meta.get("stable", "")),
        owner=_owner(meta),
        cluster=str(meta.get("cluster", "")),
        cluster_uid=str(meta.get("clusterUid", "")),
        key=_data(parent, "key") or empty.key,
        damaged=damaged,
    )


def write_inventory(
    member: Member,
    inventory: Inventory,
    *,
    rows: Mapping[ObjectKey, AppliedRecord],
    ran: Mapping[ObjectKey, str],
    group_kinds: Iterable[GroupKind],
    resources: Mapping[GroupVersionKind, RESTMapping],
    new_fields: Mapping[str, Fields],
    commit: str,
    done: str = "",
    stable: str = "",
) -> Inventory:
    """Write what changed, the parent last, and return the inventory as it now is.

    Raises Conflict when somebody else wrote it since it was read.
    """
    if not inventory.exists:
        _ensure_namespace(member, inventory.namespace)
    wanted = replace(
        inventory,
        rows=dict(rows),
        ran={key: digest for key, digest in ran.items() if key in rows},
        group_kinds=frozenset(group_kinds),
        resources=dict(resources),
        commit=commit,
        done=done,
        stable=stable,
    )
    fields = {**inventory.fields, **new_fields}
    held = dict(inventory.secrets)
    bodies = _bodies(wanted, fields)
    for name in sorted(bodies, key=lambda n: (n == wanted.parent_name, n)):
        held[name] = _put(member, wanted.namespace, bodies[name], held.get(name))
    for name in sorted(set(held) - set(bodies)):
        _delete(member, wanted.namespace, held.pop(name))
    return replace(wanted, secrets=held, stored=wanted.rows, damaged="")


def _delete(member: Member, namespace: str, secret: Object) -> None:
    metadata = secret["metadata"]
    key = ObjectKey("", "Secret", namespace, str(metadata["name"]))
    try:
        member.delete(
            SECRETS,
            key,
            uid=str(metadata["uid"]),
            resource_version=str(metadata["resourceVersion"]),
        )
    except Conflict as error:
        raise _meanwhile(member, key) from error


def _meanwhile(member: Member, key: ObjectKey) -> ClusterError:
    return ClusterError(
        member.name,
        f"another run changed the inventory {key.namespace}/{key.name} meanwhile",
        hint="run again; a Lease keeps runs apart",
    )


def _bodies(inventory: Inventory, fields: Mapping[str, Fields]) -> dict[str, Object]:
    """The Secrets as they should be. What is in ``secrets`` is taken from there, row for row."""
    changed = _changed(inventory)
    count = 1 + len(inventory.rows) // ROWS_PER_SECRET
    while True:
        parts: list[dict[ObjectKey, AppliedRecord]] = [{} for _ in range(count)]
        for key, row in inventory.rows.items():
            parts[_shard(key, count)][key] = row
        known: Mapping[str, Object] = {}
        spread_alike = all(_shards(secret) == count for secret in inventory.secrets.values())
        if count > 1 and spread_alike and not inventory.damaged:
            known = inventory.secrets
        others = {_shard(key, count) for key in changed} if known else set()
        bodies = {}
        for index, part in enumerate(parts):
            name = inventory.parent_name if index == 0 else f"{inventory.parent_name}-{index}"
            as_before = name in known and index not in others
            content = {
                "records": _data(known[name], "records") if as_before else encode_rows(part),
                "fields": encode_fields(used_fields(part.values(), fields)),
            }
            if count > 1:
                content["shards"] = b"%d" % count
            bodies[name] = _secret(inventory, name, content)
        if all(_size(body) <= MAX_SECRET_BYTES for body in bodies.values()) or count > 512:
            return bodies
        count *= 2


def _changed(inventory: Inventory) -> list[ObjectKey]:
    """The rows that differ from what ``secrets`` hold, or are there no longer."""
    stored, rows = inventory.stored, inventory.rows
    changed = [key for key, row in rows.items() if stored.get(key) != row]
    return [*changed, *(stored.keys() - rows.keys())]


def _shard(key: ObjectKey, count: int) -> int:
    return zlib.crc32("/".join(key).encode()) % count if count > 1 else 0


def _shards(secret: Object) -> int:
    """Over how many Secrets rows were spread when it was written; 0: it does not say, and rows of
    others may be in it."""
    try:
        return int(_data(secret, "shards"))
    except ValueError:
        return 0


def _size(body: Object) -> int:
    return sum(len(value) for value in body["data"].values())


def _secret(inventory: Inventory, name: str, content: dict[str, bytes]) -> Object:
    metadata: Object = {
        "name": name,
        "namespace": inventory.namespace,
        "labels": {LABEL: inventory.federation},
    }
    if name == inventory.parent_name:
        namespaces = sorted({key.namespace for key in inventory.rows if key.namespace})
        metadata["labels"][ID] = inventory.applyset
        metadata["annotations"] = {
            TOOLING: tool_annotation(),
            GROUP_KINDS: format_group_kinds(inventory.group_kinds),
            NAMESPACES: ",".join(n for n in namespaces if n != inventory.namespace),
        }
        content["key"] = inventory.key
        rollout = {"done": inventory.done, "stable": inventory.stable} if inventory.done else {}
        content["meta"] = orjson.dumps(
            {
                **rollout,
                "format": FORMAT,
                "commit": inventory.commit,
                "owner": to_builtins(inventory.owner),
                "cluster": inventory.cluster,
                "clusterUid": inventory.cluster_uid,
                "resources": sorted(
                    [r.api_version, r.kind, r.plural, r.namespaced]
                    for r in inventory.resources.values()
                ),
                "ran": sorted([*key, digest] for key, digest in inventory.ran.items()),
            }
        )
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "federation.reconciler.dev/inventory",
        "metadata": metadata,
        "data": {k: base64.b64encode(v).decode() for k, v in content.items()},
    }


def _put(member: Member, namespace: str, body: Object, held: Object | None) -> Object:
    if held is None:
        return member.create(SECRETS, body, namespace=namespace)
    metadata = held["metadata"]
    same = all(
        (metadata.get(part) or {}) == (body["metadata"].get(part) or {})
        for part in ("labels", "annotations")
    )
    if same and held.get("data") == body["data"]:
        return held
    metadata_now = {**body["metadata"], "resourceVersion": metadata["resourceVersion"]}
    key = ObjectKey("", "Secret", namespace, str(metadata["name"]))
    try:
        return member.replace(SECRETS, key, {**body, "metadata": metadata_now})
    except Conflict as error:
        raise _meanwhile(member, key) from error


def _ensure_namespace(member: Member, namespace: str) -> None:
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    key = ObjectKey("", "Namespace", "", namespace)
    try:
        if member.get(NAMESPACE, key) is None:
            member.create(NAMESPACE, body)
    except (Conflict, Forbidden):
        # There already, or made by an administrator who lets us use only what is inside.
        return


class KnownRows:
    """The rows of Secrets that are kept, as they were read: from the same one come the same."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Object, Mapping[ObjectKey, AppliedRecord]]] = {}

    def of(self, name: str, secret: Object) -> Mapping[ObjectKey, AppliedRecord]:
        """Raises ValueError for damaged rows."""
        before = self._known.get(name)
        if before is None or before[0] is not secret:
            before = self._known[name] = secret, decode_rows(_data(secret, "records"))
        return before[1]

    def forget_others(self, names: Iterable[str]) -> None:
        """Those of Secrets that there are no longer."""
        self._known = {name: self._known[name] for name in names if name in self._known}


def _all_rows(
    held: Mapping[str, Object], known: KnownRows
) -> tuple[dict[ObjectKey, AppliedRecord], str]:
    rows: dict[ObjectKey, AppliedRecord] = {}
    damaged = ""
    known.forget_others(held)
    for name in sorted(held):
        try:
            rows |= known.of(name, held[name])
        except ValueError as error:
            damaged = f"Secret {name}: {error}"
    return rows, damaged


def _meta(parent: Object) -> Object:
    try:
        meta = orjson.loads(_data(parent, "meta"))
    except orjson.JSONDecodeError:
        return {}
    return meta if isinstance(meta, dict) and meta.get("format") == FORMAT else {}


read_in_threads(Owner)


def _owner(meta: Object) -> Owner | None:
    try:
        return convert(meta.get("owner"), Owner | None)
    except ValidationError:
        return None


def _resources(meta: Object) -> dict[GroupVersionKind, RESTMapping]:
    rows = convert(meta.get("resources", ()), list[list[str | bool]])
    return {
        GroupVersionKind(str(row[0]), str(row[1])): RESTMapping(
            str(row[0]), str(row[1]), str(row[2]), bool(row[3])
        )
        for row in rows
        if len(row) == 4
    }


def _ran(meta: Object) -> dict[ObjectKey, str]:
    rows = convert(meta.get("ran", ()), list[list[str]])
    return {ObjectKey(*row[:4]): row[4] for row in rows if len(row) == 5}


def _data(secret: Object, name: str) -> bytes:
    value = map_of(secret.get("data")).get(name, "")
    if not isinstance(value, str):
        raise MalformedAnswer("a Secret whose data are no texts")
    try:
        return base64.b64decode(value)
    except ValueError:
        return b""
