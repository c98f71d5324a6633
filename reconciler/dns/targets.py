"""Live Services, Ingresses and Gateways -> the addresses at which each cluster can be reached.

What a cluster's other LISTs already brought is used; of the rest it is asked with one LIST a
kind, and with one for the EndpointSlices.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping

from msgspec import Struct

from reconciler.api.errors import NotFound
from reconciler.api.objects import Object, ObjectKey, key_of
from reconciler.cluster.client import Member
from reconciler.cluster.discovery import RESTMapping
from reconciler.dns.names import absolute
from reconciler.dns.records import NameEntry
from reconciler.federation.model import DesiredState
from reconciler.scheduler.commits import versions_of

_RESOURCES = {
    ("", "Service"): RESTMapping("v1", "Service", "services", namespaced=True),
    ("networking.k8s.io", "Ingress"): RESTMapping(
        "networking.k8s.io/v1", "Ingress", "ingresses", namespaced=True
    ),
    ("gateway.networking.k8s.io", "Gateway"): RESTMapping(
        "gateway.networking.k8s.io/v1", "Gateway", "gateways", namespaced=True
    ),
}
_SLICES = RESTMapping("discovery.k8s.io/v1", "EndpointSlice", "endpointslices", namespaced=True)
_OF_SERVICE = "kubernetes.io/service-name"
# Past so many names a label selector makes the address of the request too long for some proxies.
_NAMES_IN_A_SELECTOR = 60


class Exposed(Struct, frozen=True):
    """Where one object can be reached in one cluster, and whether anything answers there.

    ``addresses`` are IPv4 and IPv6 in their shortest form, ``hosts`` names with a final dot.
    """

    addresses: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    ready: bool = False


ServiceView = Mapping[ObjectKey, Exposed]
"""One cluster as DNS sees it: what of the sought objects there is."""


class ExposedObjects(Struct, frozen=True):
    """What to look for in a cluster: the objects that names point to, and the Services whose
    endpoints tell whether those are ready (namespace and name)."""

    objects: frozenset[ObjectKey] = frozenset()
    services: frozenset[tuple[str, str]] = frozenset()


def exposed_objects(state: DesiredState, entries: Iterable[NameEntry]) -> dict[str, ExposedObjects]:
    """What to look for in each cluster: the objects behind the wanted names. Pure."""
    by_cluster: dict[str, set[ObjectKey]] = {}
    for place in {place for entry in entries for place in entry.places}:
        by_cluster.setdefault(place.cluster, set()).add(place.key)
    behind = {
        w.key.with_namespace: {
            (w.key.with_namespace.namespace, name)
            for version, _ in versions_of(state, w)
            for name in backends_of(version.template)
        }
        for w in state.workloads
        if w.key.kind == "Ingress"
    }
    found = {}
    for cluster, keys in by_cluster.items():
        services = {(key.namespace, key.name) for key in keys if key.kind == "Service"}
        for key in keys & behind.keys():
            services |= behind[key]
        found[cluster] = ExposedObjects(frozenset(keys), frozenset(services))
    return found


def read_services(
    member: Member, wanted: ExposedObjects, live: Mapping[ObjectKey, Object]
) -> ServiceView:
    """Ask a member for what ``live`` (its objects that were read already) does not tell.

    Raises ClusterError; the cluster's addresses are then unknown, which withdraws none of them.
    """
    if not wanted.objects:
        return {}
    found = {key: live[key] for key in wanted.objects if key in live}
    missing = wanted.objects - found.keys()
    for kind in sorted({(key.group, key.kind) for key in missing}):
        keys = [key for key in missing if (key.group, key.kind) == kind]
        for obj in _list(member, _RESOURCES[kind], {key.namespace for key in keys}):
            if key_of(obj) in keys:
                found[key_of(obj)] = obj
    slices = _list_slices(member, wanted.services) if found else []
    return view_of(found, slices)


def _list(
    member: Member, resource: RESTMapping, namespaces: set[str], selector: str = ""
) -> list[Object]:
    namespace = next(iter(namespaces)) if len(namespaces) == 1 else ""
    try:
        return member.list_objects(resource, namespace=namespace, label_selector=selector)
    except NotFound:
        return []  # A kind that the cluster does not serve, such as Gateways.


def _list_slices(member: Member, services: Iterable[tuple[str, str]]) -> list[Object]:
    wanted = sorted(services)
    if not wanted:
        return []
    names = sorted({name for _, name in wanted})
    few = len(names) <= _NAMES_IN_A_SELECTOR
    selector = f"{_OF_SERVICE} in ({','.join(names)})" if few else _OF_SERVICE
    return _list(member, _SLICES, {namespace for namespace, _ in wanted}, selector)


def view_of(objects: Mapping[ObjectKey, Object], slices: Iterable[Object]) -> ServiceView:
    """What the objects' status and the EndpointSlices say. Pure."""
    ready = ready_services(slices)
    return {key: exposed(key, obj, ready) for key, obj in objects.items()}


def ready_services(slices: Iterable[Object]) -> frozenset[tuple[str, str]]:
    """The Services (namespace, name) with a ready endpoint.

    A condition that is not given counts as ready, as the API of EndpointSlices says.
    """
    found = set()
    for one in slices:
        metadata = one["metadata"]
        name = (metadata.get("labels") or {}).get(_OF_SERVICE)
        if name and any(_is_ready(endpoint) for endpoint in one.get("endpoints") or ()):
            found.add((metadata.get("namespace", ""), name))
    return frozenset(found)


def _is_ready(endpoint: Object) -> bool:
    return (endpoint.get("conditions") or {}).get("ready") is not False


def exposed(key: ObjectKey, obj: Object, ready: frozenset[tuple[str, str]]) -> Exposed:
    """One object's addresses and readiness.

    A Service is ready with a ready endpoint, an Ingress when one of the Services behind it is (or
    none is named), a Gateway when its controller says that it is programmed.
    """
    status = obj.get("status") or {}
    if key.kind == "Gateway":
        given = [str(a.get("value", "")) for a in status.get("addresses") or ()]
        conditions = {c.get("type"): c.get("status") for c in status.get("conditions") or ()}
        return _sorted(given, conditions.get("Programmed") == "True")
    points = (status.get("loadBalancer") or {}).get("ingress") or ()
    given = [str(point[part]) for point in points for part in ("ip", "hostname") if point.get(part)]
    if key.kind == "Ingress":
        behind = backends_of(obj)
        return _sorted(given, not behind or any((key.namespace, n) in ready for n in behind))
    return _sorted(given, (key.namespace, key.name) in ready)


def _sorted(given: Iterable[str], ready: bool) -> Exposed:
    addresses, hosts = set(), set()
    for text in given:
        try:
            addresses.add(str(ipaddress.ip_address(text)))
        except ValueError:
            hosts.add(absolute(text))
    return Exposed(tuple(sorted(addresses)), tuple(sorted(hosts - {"."})), ready)


def backends_of(ingress: Object) -> frozenset[str]:
    """The Services that an Ingress sends requests to."""
    spec = ingress.get("spec") or {}
    backends = [spec.get("defaultBackend") or {}]
    for rule in spec.get("rules") or ():
        backends += [
            path.get("backend") or {} for path in (rule.get("http") or {}).get("paths") or ()
        ]
    names = [(backend.get("service") or {}).get("name") for backend in backends]
    return frozenset(str(name) for name in names if name)
