"""Every placed object over all clusters: wanted, ready, and what it says of itself. Pure."""

from __future__ import annotations

import fnmatch
from collections.abc import Collection, Mapping, Sequence

from msgspec import Struct

from reconciler.api.objects import DEFAULT_NAMESPACE, Object, ObjectKey, RedactedRepr
from reconciler.cluster.kstatus import ObjectStatus, Status, object_status, ready_replicas
from reconciler.plan.member_plan import MemberWork
from reconciler.plan.model import Action, Change, Plan


class ClusterStatus(RedactedRepr, frozen=True):
    """One object in one cluster. ``wanted``/``ready`` are replicas, None for what has none, or
    where the cluster does not answer. ``live`` is the object there."""

    cluster: str
    status: Status | None
    message: str = ""
    wanted: int | None = None
    ready: int | None = None
    live: Object | None = None

    @property
    def fine(self) -> bool:
        return self.status is Status.CURRENT


class WorkloadStatus(Struct, frozen=True):
    """One object over the fleet; ``clusters`` are those where it is wanted, by name."""

    key: ObjectKey
    clusters: tuple[ClusterStatus, ...]

    @property
    def replicated(self) -> bool:
        return any(one.wanted is not None for one in self.clusters)

    @property
    def wanted(self) -> int:
        return sum(one.wanted or 0 for one in self.clusters)

    @property
    def ready(self) -> int:
        return sum(one.ready or 0 for one in self.clusters)

    @property
    def fine(self) -> bool:
        return all(one.fine for one in self.clusters)

    @property
    def status(self) -> Status | None:
        """The worst of all clusters'; None where one of them does not answer."""
        found = {one.status for one in self.clusters}
        return next((status for status in _WORST_FIRST if status in found), Status.CURRENT)


_WORST_FIRST = (
    Status.FAILED,
    Status.NOT_FOUND,
    Status.TERMINATING,
    None,
    Status.IN_PROGRESS,
    Status.CURRENT,
)


def fleet_status(
    plan: Plan, works: Sequence[MemberWork], placed: Mapping[ObjectKey, frozenset[str]]
) -> tuple[WorkloadStatus, ...]:
    """Everything that is placed somewhere, by key. ``placed`` is the pipeline's."""
    work_of = {work.cluster.name: work for work in works}
    live = {name: work.observation.members for name, work in work_of.items()}
    problems = {cluster.name: cluster.problem for cluster in plan.clusters}
    wanted = {row.key: row.after for row in plan.workloads}
    changes = {name: {c.key: c for c in work.plan.changes} for name, work in work_of.items()}
    known = {key for name in live for key in (*live[name], *changes[name])}
    rows = []
    for key in sorted(placed):
        if not _is_its_own(key, placed, known):
            continue
        parts = []
        for name in sorted(placed[key] & problems.keys()):
            count = wanted.get(key, {}).get(name)
            if name not in work_of:
                message = problems[name] or "it was not looked at"
                parts.append(ClusterStatus(name, None, message, wanted=count))
                continue
            if key not in live[name] and key not in changes[name]:
                if key in work_of[name].ran:
                    now = "it has run, and is gone since"
                    parts.append(ClusterStatus(name, Status.CURRENT, now))
                continue
            obj = live[name][key][1] if key in live[name] else None
            parts.append(_one(name, obj, changes[name].get(key), count))
        if parts:
            rows.append(WorkloadStatus(key, tuple(parts)))
    return tuple(rows)


def _is_its_own(
    key: ObjectKey, placed: Collection[ObjectKey], known: Collection[ObjectKey]
) -> bool:
    """Whether an object has this key, and not that of the twin.

    What Git gives no namespace is placed under two keys, as only a member's discovery tells whether
    it is namespaced. ``known`` are the keys seen in members; where none was, Git's own counts.
    """
    if key.namespace not in ("", DEFAULT_NAMESPACE):
        return True
    other = key._replace(namespace="" if key.namespace else DEFAULT_NAMESPACE)
    if other not in placed or key in known:
        return True
    return other not in known and not key.namespace


def _one(
    cluster: str, live: Object | None, change: Change | None, wanted: int | None
) -> ClusterStatus:
    status = object_status(live)
    if wanted is None and live is not None and live.get("kind") == "DaemonSet":
        # As many as there are nodes for it, which only the cluster knows.
        wanted = int((live.get("status") or {}).get("desiredNumberScheduled") or 0)
    if change is not None and change.action is Action.FAILED:
        status = ObjectStatus(Status.FAILED, change.error)
    elif change is not None and change.action is Action.ADOPT:
        status = ObjectStatus(Status.IN_PROGRESS, f"not applied yet: {change.reason}")
    elif change is not None and change.action in (Action.UPDATE, Action.RECREATE):
        # The server's own status is of what runs, which is not what Git says.
        behind = f"not applied yet: {change.reason}" if change.reason else "not applied yet"
        now = status.status if status.status is not Status.CURRENT else Status.IN_PROGRESS
        status = ObjectStatus(now, behind)
    ready = ready_replicas(live) if live is not None and wanted is not None else None
    if live is None and wanted is not None:
        ready = 0
    return ClusterStatus(cluster, status.status, status.message, wanted, ready, live)


def select(rows: Sequence[WorkloadStatus], name: str, namespace: str) -> list[WorkloadStatus]:
    """Rows whose key is meant by ``web``, ``deployment/web`` or ``shop/web`` (globs work).

    Without a name: those with replicas, and of the others those that are not fine.
    """
    rows = [row for row in rows if not namespace or row.key.namespace == namespace]
    if not name:
        return [row for row in rows if row.replicated or not row.fine]
    return [row for row in rows if _is_meant(row.key, name)]


def _is_meant(key: ObjectKey, text: str) -> bool:
    before, slash, name = text.rpartition("/")
    if not fnmatch.fnmatchcase(key.name, name):
        return False
    if not slash or fnmatch.fnmatchcase(key.namespace, before):
        return True
    kind = key.kind.lower()
    return any(fnmatch.fnmatchcase(k, before.lower()) for k in (kind, f"{kind}s", f"{kind}es"))


def status_document(row: WorkloadStatus) -> Object:
    """The row as JSON."""
    status = row.status
    return {
        "group": row.key.group,
        "kind": row.key.kind,
        "namespace": row.key.namespace,
        "name": row.key.name,
        "status": str(status) if status else "Unknown",
        "wanted": row.wanted if row.replicated else None,
        "ready": row.ready if row.replicated else None,
        "clusters": [
            {
                "name": one.cluster,
                "status": str(one.status) if one.status else "Unknown",
                "message": one.message,
                "wanted": one.wanted,
                "ready": one.ready,
            }
            for one in row.clusters
        ],
    }
