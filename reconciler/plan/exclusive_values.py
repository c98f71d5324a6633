"""Values that only one object of a cluster may hold, and that move from one object to another.

The server refuses a Service with the node port or address of another one for as long as that is
there. Where the other is pruned, or changed such that it lets go, by the same plan, that is no
refusal but an order: first the one, then the other, and between them neither serves.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from reconciler.api.errors import ApiError
from reconciler.api.objects import (
    DEFAULT_NAMESPACE,
    GroupKind,
    Object,
    ObjectKey,
    first_few,
    map_of,
    maps_of,
)
from reconciler.api.reasons import Cause, Reason, remark
from reconciler.cluster.client import Member
from reconciler.plan.dry_run import Checked, refused
from reconciler.plan.fields import changed_fields, leaf_fields
from reconciler.plan.model import Action, Change
from reconciler.plan.prune import NAMESPACE
from reconciler.plan.refused_updates import try_as_new

_SERVICE = GroupKind("", "Service")
_INGRESS = GroupKind("networking.k8s.io", "Ingress")
_PRIORITY_CLASS = GroupKind("scheduling.k8s.io", "PriorityClass")
_FREE_HOST = "free.invalid"
"""Stands for a host of an Ingress where only the rest of it is tried."""

Value = tuple[str, Any]
"""What is held, and its value: ``("node port", 31080)``."""


def exclusive_values_of(kind: GroupKind, obj: Object) -> frozenset[Value]:
    """The exclusive values that an object states, or holds."""
    return frozenset(_values(kind, obj))


def _values(kind: GroupKind, obj: Object) -> Iterator[Value]:
    spec = map_of(obj.get("spec"))
    if kind == _SERVICE:
        addresses = spec.get("clusterIPs")
        for address in (spec.get("clusterIP"), *(addresses if isinstance(addresses, list) else ())):
            if isinstance(address, str) and address not in ("", "None"):
                yield "address", address
        for port in (spec.get("healthCheckNodePort"), *_node_ports(spec)):
            if isinstance(port, int) and port:
                yield "node port", port
        if isinstance(spec.get("loadBalancerIP"), str) and spec["loadBalancerIP"]:
            yield "load balancer address", spec["loadBalancerIP"]
    elif kind == _INGRESS:
        for rule in maps_of(spec.get("rules")):
            for path in maps_of(map_of(rule.get("http")).get("paths")) or [{}]:
                yield "host", f"{rule.get('host', '*')}{path.get('path', '/')}"
    elif kind == _PRIORITY_CLASS and obj.get("globalDefault") is True:
        yield "place as the default", True


def _node_ports(spec: Object) -> list[Any]:
    return [port.get("nodePort") for port in maps_of(spec.get("ports"))]


def _without(kind: GroupKind, body: Object, values: frozenset[Value]) -> Object:
    """The object as Git has it, but for the values."""
    found = copy.deepcopy(body)
    spec = map_of(found.get("spec"))
    if kind == _PRIORITY_CLASS:
        found.pop("globalDefault", None)
    for name, what in (
        ("clusterIP", "address"),
        ("healthCheckNodePort", "node port"),
        ("loadBalancerIP", "load balancer address"),
    ):
        if (what, spec.get(name)) in values:
            del spec[name]
            spec.pop("clusterIPs", None) if name == "clusterIP" else None
    for port in maps_of(spec.get("ports")) if kind == _SERVICE else ():
        if ("node port", port.get("nodePort")) in values:
            del port["nodePort"]
    for rule in maps_of(spec.get("rules")) if kind == _INGRESS else ():
        rule["host"] = _FREE_HOST
    return found


def _with_values(kind: GroupKind, made: Object, body: Object) -> Object:
    """What the server made of an object without its values, with these."""
    found = copy.deepcopy(made)
    spec, wanted = map_of(found.get("spec")), map_of(body.get("spec"))
    if kind == _INGRESS:
        spec["rules"] = wanted.get("rules")
    if kind == _PRIORITY_CLASS:
        found["globalDefault"] = body.get("globalDefault")
    if kind == _SERVICE:
        spec |= {n: wanted[n] for n in ("healthCheckNodePort", "loadBalancerIP") if n in wanted}
        ports = {_port(port): port for port in maps_of(spec.get("ports"))}
        for port in maps_of(wanted.get("ports")):
            if "nodePort" in port and _port(port) in ports:
                ports[_port(port)]["nodePort"] = port["nodePort"]
    return found


def _port(port: Object) -> tuple[Any, Any]:
    return port.get("port"), port.get("protocol", "TCP")


def ordered_by_exclusive_values(
    member: Member,
    checked: Sequence[Checked],
    live: Mapping[ObjectKey, Object],
    prune_of: Callable[[ObjectKey], Change | None],
) -> tuple[list[Checked], dict[ObjectKey, str]]:
    """The verdicts, in which what is refused only for a value that another object of ours lets go
    of waits for that; and what to say of the prunes that are waited for.

    ``prune_of`` gives the prune of an object that Git does not want. Costs a dry run for each
    refused object with such a value. Raises ClusterError when the member is lost.
    """
    if all(one.change is None for one in checked):
        return list(checked), {}
    verdicts = {one.target.key: one for one in checked}
    takers: dict[ObjectKey, list[str]] = {}
    while True:
        found = [
            (key, waiting)
            for key, verdict in verdicts.items()
            if verdict.change and _may_wait(verdict.change)
            if (waiting := _waiting(member, verdict, verdicts, live, prune_of)) is not None
        ]
        for key, (change, values) in found:
            verdicts[key] = replace(verdicts[key], change=change, invalid=False, unservable=False)
            for before in change.after:
                takers.setdefault(before, []).append(f"{key}, which takes its {_named(values)}")
        if not found:
            break
    for key, verdict in verdicts.items():
        if verdict.change is None or not _may_wait(verdict.change):
            continue
        if text := _kept_by_others(verdict, live):
            error = "; ".join(filter(None, (verdict.change.error, text)))
            verdicts[key] = replace(refused(verdict.target, error), invalid=verdict.invalid)
    notes = {
        key: f"it goes before {first_few(names)}: for a moment neither is there"
        for key, names in takers.items()
    }
    return [verdicts[one.target.key] for one in checked], notes


def _may_wait(change: Change) -> bool:
    """Whether it is refused; or a Service, whose address no dry run is refused for."""
    new_service = change.action is Action.CREATE and change.key.group_kind == _SERVICE
    return change.action is Action.FAILED or (new_service and not change.after)


def _waiting(
    member: Member,
    verdict: Checked,
    verdicts: Mapping[ObjectKey, Checked],
    live: Mapping[ObjectKey, Object],
    prune_of: Callable[[ObjectKey], Change | None],
) -> tuple[Change, frozenset[Value]] | None:
    """The change that can be made once others let go of their values; None: it stays refused."""
    target = verdict.target
    kind, resource = target.key.group_kind, target.resource
    held = _held(verdict, live)
    if not held or resource is None:
        return None
    if not all(_lets_go(key, values, verdicts, prune_of) for key, values in held.items()):
        return None
    values = frozenset(value for some in held.values() for value in some)
    there = live.get(target.key)
    if there is not None and any(what == "address" for what, _ in values):
        return None  # A Service keeps the address that it has.
    stripped = _without(kind, target.body, values)
    try:
        if there is not None:
            made = member.apply(resource, target.key, stripped, dry_run=True)
        else:
            made = try_as_new(member, resource, stripped, _namespace(target.key, verdicts))
    except ApiError:
        return None
    names = first_few([str(key) for key in held])
    done = "are pruned or changed" if len(held) > 1 else _what_becomes(next(iter(held)), verdicts)
    why = f"once {names} {done}, for its {_named(values)}: for a moment neither serves"
    change = Change(
        Action.UPDATE if there is not None else Action.CREATE,
        target.key,
        target.kind.api_version,
        fields=leaf_fields(target.body)
        if there is None
        else changed_fields(there, _with_values(kind, made, target.body)),
        reasons=(Reason(Cause.NEW if there is None else Cause.IN_GIT), remark(why)),
        origin=str(target.desired.position),
        verified=False,
        request=target.body,
        uid=str(there["metadata"].get("uid", "")) if there else "",
        resource_version=str(there["metadata"].get("resourceVersion", "")) if there else "",
        live=there,
        retained=target.desired.rules.retain,
        after=tuple(sorted(held)),
    )
    return change, values


def _held(verdict: Checked, live: Mapping[ObjectKey, Object]) -> dict[ObjectKey, frozenset[Value]]:
    """The other objects that have what this one states, and what that is."""
    key, change = verdict.target.key, verdict.change
    wanted = exclusive_values_of(key.group_kind, verdict.target.body)
    if change is None or change.action is not Action.FAILED:
        wanted = frozenset(value for value in wanted if value[0] == "address")
    return {
        other: values
        for other, obj in (live.items() if wanted else ())
        if other != key and other.group_kind == key.group_kind
        if (values := wanted & exclusive_values_of(key.group_kind, obj))
    }


def _lets_go(
    key: ObjectKey,
    values: frozenset[Value],
    verdicts: Mapping[ObjectKey, Checked],
    prune_of: Callable[[ObjectKey], Change | None],
) -> bool:
    """Whether the plan prunes the object, or changes it such that it no longer has the values."""
    if key not in verdicts:
        prune = prune_of(key)
        return prune is not None and prune.action is Action.PRUNE
    change = verdicts[key].change
    if change is None or change.action is not Action.UPDATE:
        return False
    if key.group_kind == _SERVICE:
        # What Git no longer states, the server keeps: only its own answer tells.
        gone = {field.before for field in change.fields if field.after != field.before}
        return all(value in gone for _, value in values if isinstance(value, int | str))
    return not values & exclusive_values_of(key.group_kind, change.request or {})


def _kept_by_others(verdict: Checked, live: Mapping[ObjectKey, Object]) -> str:
    """Who of ours has the values that the object cannot get; empty: nobody."""
    held = {} if verdict.target.desired.rules.hidden else _held(verdict, live)
    named = [
        f"its {_named(values)} is that of {key}, which keeps it" for key, values in held.items()
    ]
    return "; ".join(named)


def _namespace(key: ObjectKey, verdicts: Mapping[ObjectKey, Checked]) -> str:
    """Where the object can be tried: elsewhere while its Namespace is yet to be made."""
    own = verdicts.get(ObjectKey(*NAMESPACE, "", key.namespace))
    new = own is not None and own.change is not None and own.change.action is Action.CREATE
    return DEFAULT_NAMESPACE if new else key.namespace


def _what_becomes(key: ObjectKey, verdicts: Mapping[ObjectKey, Checked]) -> str:
    return "is changed" if key in verdicts else "is pruned"


def _named(values: frozenset[Value]) -> str:
    """``node port 31080``."""
    return first_few(sorted(w if v is True else f"{w} {v}" for w, v in values))


def with_notes(changes: Sequence[Change], notes: Mapping[ObjectKey, str]) -> list[Change]:
    """The changes, of which some say what waits for them."""
    return [
        dataclasses.replace(c, reasons=(*c.reasons, remark(notes[c.key]))) if c.key in notes else c
        for c in changes
    ]
