"""What a server chooses when it writes, and in a dry run only makes up. Pure.

A dry run takes no node port and no cluster IP: it answers with one that somebody may have. A UID is
another one each time, and so is what a webhook draws by lot. No plan may promise such a value.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from reconciler.api.objects import Object, map_of, maps_of
from reconciler.plan.fields import changed_fields, leaf_fields
from reconciler.plan.model import ABSENT, SERVER_CHOSEN
from reconciler.plan.requests import matching_port


def with_server_chosen(
    live: Object, result: Object, body: Object, again: Callable[[], Object]
) -> Object:
    """``result``, the answer to a dry run of sending ``body``, with CHOSEN where it is made up.

    ``again`` sends it once more, and is asked only where something changes that Git does not say:
    what two answers say differently the server chooses. Raises what ``again`` raises.
    """
    stated = {field.path for field in leaf_fields(body)}
    fields = changed_fields(live, result)
    if all(field.after is ABSENT or field.path in stated for field in fields):
        return result
    return settled(_common(result, again()), live, body)


def _common(one: Any, other: Any) -> Any:
    """``one`` with CHOSEN where ``other`` has another value in the same place."""
    if isinstance(one, dict) and isinstance(other, dict):
        return {k: _common(v, other[k]) if k in other else v for k, v in one.items()}
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return [_common(*pair) for pair in zip(one, other, strict=True)]
    return one if one == other or isinstance(one, dict | list) else SERVER_CHOSEN


def settled(result: Object, live: Object, body: Object) -> Object:
    """A Service without the numbers and addresses that a dry run only makes up: those that neither
    the live one has nor Git states."""
    if (result.get("apiVersion"), result.get("kind")) != ("v1", "Service"):
        return result
    spec, now, body_spec = (map_of(one.get("spec")) for one in (result, live, body))
    spec = dict(spec)
    known = {"None", "", *_texts([now.get("clusterIP"), body_spec.get("clusterIP")])}
    known |= {*_texts(now.get("clusterIPs")), *_texts(body_spec.get("clusterIPs"))}
    if str(spec.get("clusterIP")) not in known:
        spec["clusterIP"] = SERVER_CHOSEN
    if addresses := _texts(spec.get("clusterIPs")):
        spec["clusterIPs"] = [one if one in known else SERVER_CHOSEN for one in addresses]
    check = "healthCheckNodePort"
    if spec.get(check) and check not in body_spec and spec[check] != now.get(check):
        spec[check] = SERVER_CHOSEN
    if "ports" in spec:
        spec["ports"] = [_port(port, now, body_spec) for port in maps_of(spec["ports"])]
    return {**result, "spec": spec}


def _port(port: Object, now: Object, body_spec: Object) -> Object:
    stated, live = (matching_port(port, spec.get("ports")) or {} for spec in (body_spec, now))
    number = port.get("nodePort")
    if not number or number in (stated.get("nodePort"), live.get("nodePort")):
        return port
    return {**port, "nodePort": SERVER_CHOSEN}


def _texts(values: Any) -> Collection[str]:
    return [str(value) for value in values] if isinstance(values, list) else []
