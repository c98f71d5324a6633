"""The state of one simulated API server: its objects, kinds, clock, settings and due work."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

from kubesim.decode import Decoder
from kubesim.defaults import DEFAULTS
from kubesim.kinds import Kinds, Resource
from kubesim.objects import Object
from kubesim.store import Store, StoredObject
from kubesim.strategies import Allocators

NAMESPACES = ("", "namespaces")
DEFINITIONS = ("apiextensions.k8s.io", "customresourcedefinitions")


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """What a simulated cluster is like; times are in seconds.

    ``ready_after``: how long workloads, load balancers, Jobs and volumes take to become ready.
    ``pods_per_node`` times the ready nodes is how many Pods the cluster has room for; None: any
    number. ``load_balancer_prefix``: the first three parts of the addresses it gives out.
    """

    version: str = "v1.37.2"
    region: str = ""
    zone: str = ""
    provider: str = ""
    nodes: int = 3
    node_labels: Mapping[str, str] = field(default_factory=dict)
    pods_per_node: int | None = None
    ready_after: float = 0.05
    established_after: float = 0.02
    bookmark_every: float = 60.0
    load_balancer_prefix: str = ""
    load_balancer_hostnames: bool = False


class Clock:
    """Wall-clock time plus an offset that a test may move; ``advance`` also makes work due."""

    def __init__(self) -> None:
        self.offset = 0.0
        self.skew = 0.0

    def now(self) -> float:
        """Seconds since the epoch, by which work becomes due."""
        return time.time() + self.offset

    def advance(self, seconds: float) -> None:
        self.offset += seconds

    def stamp(self) -> str:
        """What the server writes into objects: RFC 3339, whole seconds, with its clock skew."""
        moment = datetime.fromtimestamp(self.now() + self.skew, UTC)
        return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


Mutation = Callable[[Object, Object | None], Object | None]
"""An admission webhook: (new object, old one or None) -> the object to store, or None."""


class ApiServer:
    """One cluster's control plane. Not thread-safe by itself: callers hold ``lock``."""

    def __init__(self, name: str, settings: ClusterSettings, number: int) -> None:
        self.name = name
        self.settings = settings
        self.number = number
        self.lock = threading.RLock()
        self.store = Store()
        self.kinds = Kinds()
        self.clock = Clock()
        self.mutations: list[Mutation] = []
        self.tokens: set[str] = {f"sandbox-token-{name}"}
        self.anonymous = True
        self.failing_groups: frozenset[str] = frozenset()
        self.on_due: Callable[[float], None] = lambda _: None
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._addresses = itertools.count(10)
        self._ports = itertools.count(30000)
        self._balancers = itertools.count(10)
        self._empty: dict[str, Object] = {}
        self.allocators = Allocators(
            self._cluster_ip,
            lambda: 30000 + next(self._ports) % 2768,
            self._in_service_range,
            self._is_taken,
        )

    # -- time ---------------------------------------------------------------------------------

    def after(self, delay: float, work: Callable[[], None]) -> None:
        """Has ``work`` done once the cluster's clock has moved on by ``delay`` seconds."""
        heapq.heappush(self._due, (self.clock.now() + delay, next(self._order), work))
        self.on_due(delay)

    def catch_up(self) -> None:
        """Does the work that is due; work that becomes due by it is done too."""
        while self._due and self._due[0][0] <= self.clock.now():
            _, _, work = heapq.heappop(self._due)
            work()

    # -- objects ------------------------------------------------------------------------------

    def record(self, resource: Resource, namespace: str, name: str) -> StoredObject | None:
        return self.store.get(resource.table, namespace, name)

    def decode(self, obj: Object, resource: Resource) -> tuple[Object, list[str]]:
        """The object as the server keeps it, and the paths of fields it does not know."""
        decoder = Decoder(DEFAULTS)
        decoded = decoder.decode(obj, resource.shape)
        decoded["apiVersion"], decoded["kind"] = resource.api_version, resource.kind
        return decoded, decoder.unknown

    def empty(self, resource: Resource) -> Object:
        """An object of the kind before anything is set: what changes are measured against."""
        key = f"{resource.api_version}/{resource.kind}"
        found = self._empty.get(key)
        if found is None:
            if resource.custom:
                found = {"metadata": {}}
            else:
                found = Decoder().decode({}, resource.shape)
            found["apiVersion"], found["kind"] = resource.api_version, resource.kind
            self._empty[key] = found
        return found

    def new_uid(self) -> str:
        return str(uuid.uuid4())

    def in_version(self, record: StoredObject, resource: Resource) -> Object:
        """The stored object as this version of its resource shows it."""
        obj = record.obj
        if record.api_version != resource.api_version:
            obj = convert(obj, resource)
        return obj

    def raw(self, record: StoredObject, resource: Resource) -> bytes:
        if record.api_version == resource.api_version:
            return record.raw
        obj = self.in_version(record, resource)
        return orjson.dumps({"kind": obj["kind"], "apiVersion": obj["apiVersion"], **obj})

    # -- what it hands out --------------------------------------------------------------------

    def _cluster_ip(self, wanted: str) -> str:
        if wanted:
            return wanted
        taken = {
            record.obj["spec"].get("clusterIP") for record in self.store.records(("", "services"))
        }
        for number in self._addresses:
            address = f"10.{self.number % 200}.{number // 254 % 256}.{number % 254 + 1}"
            if address not in taken:
                return address
        raise AssertionError("the counter never ends")

    def _is_taken(self, node_port: int) -> bool:
        return any(
            port.get("nodePort") == node_port
            for record in self.store.records(("", "services"))
            for port in record.obj["spec"].get("ports") or ()
        )

    def _in_service_range(self, address: str) -> bool:
        return address.startswith(f"10.{self.number % 200}.")

    def balancer(self) -> Object:
        """The address of a load balancer: a host name on AWS, an IP elsewhere."""
        number = next(self._balancers)
        if self.settings.load_balancer_hostnames:
            region = self.settings.region or "local"
            return {"hostname": f"lb-{self.name}-{number}.{region}.elb.example.net"}
        prefix = self.settings.load_balancer_prefix or f"203.0.{self.number % 256}"
        return {"ip": f"{prefix}.{number % 254 + 1}", "ipMode": "VIP"}


def convert(obj: Object, resource: Resource) -> Object:
    """Another version of the same kind. Autoscalers differ in shape, the rest in name only."""
    if resource.table == ("autoscaling", "horizontalpodautoscalers"):
        _convert_autoscaler(obj, resource.version)
    obj["apiVersion"], obj["kind"] = resource.api_version, resource.kind
    return obj


def _convert_autoscaler(obj: Object, version: str) -> None:
    spec: dict[str, Any] = obj.get("spec", {})
    if version == "v1" and "metrics" in spec:
        for metric in spec.pop("metrics") or ():
            source = metric.get("resource") or {}
            if source.get("name") == "cpu":
                share = source.get("target", {}).get("averageUtilization")
                if share is not None:
                    spec["targetCPUUtilizationPercentage"] = share
        spec.pop("behavior", None)
    elif version == "v2" and "metrics" not in spec:
        share = spec.pop("targetCPUUtilizationPercentage", None)
        if share is not None:
            target = {"type": "Utilization", "averageUtilization": share}
            spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
