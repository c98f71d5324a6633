"""What runs beside the API server: workloads become available, Services get addresses, and so on.

There are no Pods behind a Deployment here, and no ReplicaSets: its status alone tells the story.
"""

from __future__ import annotations

from collections.abc import Callable

from kubesim import deletes, workloads
from kubesim.bodies import RequestTarget
from kubesim.kinds import Resource
from kubesim.objects import Object
from kubesim.server import DEFINITIONS, NAMESPACES, ApiServer
from kubesim.store import Event, StoredObject, Table
from kubesim.writes import as_writer, change

NAME = "kube-controller-manager"
NODES: Table = ("", "nodes")
DEPLOYMENTS: Table = ("apps", "deployments")
_REPLICATED: tuple[Table, ...] = (DEPLOYMENTS, ("apps", "statefulsets"), ("apps", "replicasets"))
_WORKLOADS: tuple[Table, ...] = (*_REPLICATED, ("apps", "daemonsets"))
_WATCHED: frozenset[Table] = frozenset(
    {
        *_WORKLOADS,
        ("batch", "jobs"),
        ("", "pods"),
        ("", "services"),
        ("", "persistentvolumeclaims"),
        ("networking.k8s.io", "ingresses"),
    }
)


class Controllers:
    """Follows the store of one cluster. ``frozen``: nothing becomes ready by itself any more;
    ``broken``: nor does a workload with an image of this tag, where there is one."""

    def __init__(self, server: ApiServer) -> None:
        self.server = server
        self.frozen = False
        self.broken = ""
        self._busy = False
        server.store.listeners.append(self._observe)

    def _observe(self, event: Event) -> None:
        if self._busy:
            return
        server, record = self.server, event.record
        if event.kind == "DELETED":
            if server.store.owned_by(record.uid):
                delay = server.settings.established_after
                server.after(delay, lambda: deletes.collect(server, record.uid))
            if event.table in _WORKLOADS:
                server.after(0, self.settle_all)
        elif event.table == NAMESPACES:
            if event.kind == "ADDED":
                create_namespace_defaults(server, record.name)
        elif event.table == NODES:
            server.after(0, self.settle_all)
        elif event.table in _WATCHED:
            self._settle_later(event.table, record)

    def _settle_later(self, table: Table, record: StoredObject) -> None:
        delay = self.server.settings.ready_after
        key = (record.namespace, record.name)
        if delay > 0 and table in _WORKLOADS:
            self.server.after(0, lambda: self._settle(table, key, ready=False))
        self.server.after(delay, lambda: self._settle(table, key, ready=True))

    def settle_all(self) -> None:
        """Looks at every workload anew, in the order in which they are listed."""
        for table in _WORKLOADS:
            for record in self.server.store.records(table):
                self._settle(table, (record.namespace, record.name), ready=True)

    def _settle(self, table: Table, key: tuple[str, str], *, ready: bool) -> None:
        if self.frozen:
            return
        record = self.server.store.get(table, *key)
        if record is None:
            return
        obj = record.obj
        if obj["metadata"].get("deletionTimestamp") or self._is_broken(obj):
            return
        resource = self.server.kinds.of_table(table)
        if record.api_version != resource.api_version:
            return
        self._busy = True
        try:
            self._write_status(resource, record, obj, ready=ready)
        finally:
            self._busy = False

    def _is_broken(self, obj: Object) -> bool:
        pods = (obj.get("spec") or {}).get("template") or {}
        containers = (pods.get("spec") or {}).get("containers") or ()
        return bool(self.broken) and any(
            str(one.get("image", "")).endswith(f":{self.broken}") for one in containers
        )

    def _write_status(
        self, resource: Resource, record: StoredObject, obj: Object, *, ready: bool
    ) -> None:
        now = self.server.clock.stamp()
        before = obj.get("status") or {}
        status = self._status(resource, obj, now, ready=ready)
        if status is None or status == before:
            return
        if resource.table == DEPLOYMENTS:
            self._count_revision(obj)
        obj["status"] = status
        self._update(resource, record, obj, "status")

    def _count_revision(self, obj: Object) -> None:
        """Counts the Pod templates that a Deployment has had, as its ReplicaSets would."""
        annotations = obj["metadata"].setdefault("annotations", {})
        conditions = (obj.get("status") or {}).get("conditions") or []
        current = f'"{obj["metadata"]["name"]}-{workloads.revision(obj)}"'
        known = any(current in condition.get("message", "") for condition in conditions)
        if workloads.REVISION not in annotations:
            annotations[workloads.REVISION] = "1"
        elif conditions and not known:
            annotations[workloads.REVISION] = str(int(annotations[workloads.REVISION]) + 1)

    def _update(
        self, resource: Resource, record: StoredObject, obj: Object, subresource: str
    ) -> None:
        target = RequestTarget(resource, record.namespace, record.name, subresource)
        by = as_writer(self.server, target, NAME)
        decoded, _ = self.server.decode(obj, resource)
        change(self.server, target, record, decoded, by, dry_run=False)

    def _status(self, resource: Resource, obj: Object, now: str, *, ready: bool) -> Object | None:
        if resource.table in _REPLICATED:
            available = self._available(obj, ready=ready)
            if resource.table == DEPLOYMENTS:
                return self._deployment(obj, available, now, ready=ready)
            if resource.plural == "statefulsets":
                return workloads.stateful_set(obj, available)
            return workloads.replica_set(obj, available)
        if resource.plural == "daemonsets":
            up, nodes = ready_nodes(self.server), len(self.server.store.records(NODES))
            return workloads.daemon_set(obj, nodes, up if ready else 0)
        if not ready:
            return None
        simple = _SIMPLE.get(resource.table)
        return simple(self.server, obj, now) if simple else None

    def _deployment(self, obj: Object, available: int, now: str, *, ready: bool) -> Object:
        deadline = obj["spec"].get("progressDeadlineSeconds") or 600
        key = (obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
        overdue = False
        if ready and available < workloads.wanted(obj):
            started = self._short_since(obj)
            overdue = self.server.clock.now() - started >= deadline
            if not overdue:
                wait = started + deadline - self.server.clock.now()
                self.server.after(wait, lambda: self._settle(DEPLOYMENTS, key, ready=True))
        return workloads.deployment(obj, available, now, overdue=overdue)

    def _short_since(self, obj: Object) -> float:
        from datetime import datetime

        for condition in (obj.get("status") or {}).get("conditions") or ():
            if condition["type"] == "Progressing" and condition["status"] == "True":
                moment = condition["lastUpdateTime"]
                return datetime.fromisoformat(moment).timestamp() - self.server.clock.skew
        return 0.0 if (obj.get("status") or {}).get("conditions") else self.server.clock.now()

    def _available(self, obj: Object, *, ready: bool) -> int:
        """How many replicas have room. Those that run already keep their place."""
        count = workloads.wanted(obj)
        running = int((obj.get("status") or {}).get("availableReplicas") or 0)
        room = self._room(obj)
        if not ready:
            return min(count, running, room)
        return max(0, min(count, room))

    def _room(self, obj: Object) -> int:
        server = self.server
        nodes = server.store.records(NODES)
        up = ready_nodes(server)
        if nodes and not up:
            return 0
        if server.settings.pods_per_node is None:
            return 1_000_000_000
        taken = 0
        for table in _REPLICATED:
            for record in server.store.records(table):
                if record.uid != obj["metadata"]["uid"]:
                    other = record.obj.get("status") or {}
                    taken += int(other.get("availableReplicas") or 0)
        return max(0, up * server.settings.pods_per_node - taken)


def ready_nodes(server: ApiServer) -> int:
    """How many Nodes are Ready."""
    return sum(1 for record in server.store.records(NODES) if node_stays_ready(record.obj))


def node_stays_ready(node: Object) -> bool:
    """Whether a Node's condition Ready is True."""
    conditions = (node.get("status") or {}).get("conditions") or ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def _service(server: ApiServer, obj: Object, _: str) -> Object | None:
    status = obj.get("status") or {}
    if obj["spec"].get("type") != "LoadBalancer":
        return {"loadBalancer": {}} if status.get("loadBalancer") else None
    if status.get("loadBalancer", {}).get("ingress"):
        return None
    return {"loadBalancer": {"ingress": [server.balancer()]}}


def _ingress(server: ApiServer, obj: Object, _: str) -> Object | None:
    if (obj.get("status") or {}).get("loadBalancer", {}).get("ingress"):
        return None
    address = {key: value for key, value in server.balancer().items() if key != "ipMode"}
    return {"loadBalancer": {"ingress": [address]}}


def _job(_: ApiServer, obj: Object, now: str) -> Object | None:
    if obj["spec"].get("suspend") or (obj.get("status") or {}).get("completionTime"):
        return None
    return workloads.job(obj, now)


def _pod(_: ApiServer, obj: Object, now: str) -> Object | None:
    return workloads.pod(now) if (obj.get("status") or {}).get("phase") == "Pending" else None


def _claim(_: ApiServer, obj: Object, __: str) -> Object | None:
    if (obj.get("status") or {}).get("phase") == "Bound":
        return None
    return workloads.claim(obj)


_SIMPLE: dict[Table, Callable[[ApiServer, Object, str], Object | None]] = {
    ("", "services"): _service,
    ("networking.k8s.io", "ingresses"): _ingress,
    ("batch", "jobs"): _job,
    ("", "pods"): _pod,
    ("", "persistentvolumeclaims"): _claim,
}


def create_namespace_defaults(server: ApiServer, name: str) -> None:
    """What every namespace gets: the cluster's certificate and a ServiceAccount."""
    from kubesim.bootstrap import put

    certificate = "-----BEGIN CERTIFICATE-----\nsandbox\n-----END CERTIFICATE-----\n"
    put(
        server,
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": "kube-root-ca.crt",
                "namespace": name,
                "annotations": {
                    "kubernetes.io/description": "The certificate by which Pods know the server."
                },
            },
            "data": {"ca.crt": certificate},
        },
    )
    account = {"name": "default", "namespace": name}
    put(server, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account})


def definition_changed(server: ApiServer, name: str) -> None:
    """After a write to CustomResourceDefinitions: serves them once they are established."""
    for record in server.store.records(DEFINITIONS):
        if name and record.name != name:
            continue
        obj = record.obj
        conditions = (obj.get("status") or {}).get("conditions") or []
        if any(c["type"] == "Established" and c["status"] == "True" for c in conditions):
            server.kinds.define(obj)
        else:
            delay = server.settings.established_after
            known = record.name
            server.after(delay, lambda known=known: establish(server, known))  # type: ignore[misc]


def establish(server: ApiServer, name: str) -> None:
    """Accepts a definition's names and serves its kinds from now on."""
    record = server.store.get(DEFINITIONS, "", name)
    if record is None:
        return
    obj, now = record.obj, server.clock.stamp()
    status = obj.get("status") or {}
    if any(c["type"] == "Established" for c in status.get("conditions") or ()):
        return
    accepted = {"type": "NamesAccepted", "reason": "NoConflicts", "message": "no conflicts found"}
    established = {
        "type": "Established",
        "reason": "InitialNamesAccepted",
        "message": "the initial names have been accepted",
    }
    status["conditions"] = [
        {**condition, "status": "True", "lastTransitionTime": now}
        for condition in (accepted, established)
    ]
    status["acceptedNames"] = obj["spec"]["names"]
    obj["status"] = status
    resource = server.kinds.of_table(DEFINITIONS)
    target = RequestTarget(resource, "", name, "status")
    by = as_writer(server, target, "kube-apiserver")
    decoded, _ = server.decode(obj, resource)
    change(server, target, record, decoded, by, dry_run=False)
    server.kinds.define(obj)
