"""What tells whether an object is still as it was planned for, without saying what is in it. Pure.

Digests are salted, anew for each plan. That keeps two plans from being compared, not a value of few
possibilities from being found by trying; so of Secrets and other sensitive objects there are none.
A live one is known again by its uid and resourceVersion, which every write to it moves; what would
be sent is known by the commit that it is made from.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reconciler.federation.overrides import split_pointer
from reconciler.inventory.records import Digester
from reconciler.objects import Object
from reconciler.planning.plan import NOT_WRITTEN, Change

_COUNTED_BY_SERVERS = ("managedFields", "resourceVersion", "generation", "selfLink")
_RESTLESS_ANNOTATIONS = (
    # Leader elections of old, and what autoscaling/v1 keeps of newer versions' status.
    "control-plane.alpha.kubernetes.io/leader",
    "autoscaling.alpha.kubernetes.io/",
    "endpoints.kubernetes.io/last-change-trigger-time",
    # The controller's number of a rollout, which comes some time after what was rolled out.
    "deployment.kubernetes.io/revision",
)


def fingerprint(change: Change, digester: Digester) -> dict[str, Any]:
    """What must be the same when the change is carried out; empty for one that is not."""
    if change.action in NOT_WRITTEN:
        return {}
    found: dict[str, Any] = {}
    if change.live is not None:
        found["uid"] = change.uid
        if change.is_sensitive:
            found["resourceVersion"] = change.resource_version
        else:
            found["live"] = digester.of(resting_state(change.live, change.retained))
    if change.request is not None and not change.is_sensitive:
        # Of a new object all is sent; in one that exists, the member's own is only repeated.
        retained = change.retained if change.live is not None else ()
        found["request"] = digester.of(_without_all(change.request, retained))
    if change.take_over:
        found["takeOver"] = list(change.take_over)
    return found


def resting_state(live: Object, retained: Sequence[str]) -> Object:
    """A live object without what moves by itself: status, servers' counters, heartbeats.

    ``retained``: JSON pointers of what is the member's own to set, such as the replicas of a
    workload that an autoscaler scales.
    """
    state: Object = {name: value for name, value in live.items() if name != "status"}
    metadata = {k: v for k, v in live["metadata"].items() if k not in _COUNTED_BY_SERVERS}
    annotations = metadata.pop("annotations", None) or {}
    if kept := {k: v for k, v in annotations.items() if not k.startswith(_RESTLESS_ANNOTATIONS)}:
        metadata["annotations"] = kept
    state["metadata"] = metadata
    return _without_all(state, retained)


def _without_all(obj: Object, pointers: Sequence[str]) -> Object:
    for pointer in pointers:
        obj = _without(obj, split_pointer(pointer))
    return obj


def _without(value: Any, path: Sequence[str]) -> Any:
    """A copy without what is at the path, ``*`` being every item of a list."""
    head, rest = path[0], path[1:]
    if isinstance(value, list):
        return [
            _without(item, rest) if rest and head in ("*", str(at)) else item
            for at, item in enumerate(value)
        ]
    if not isinstance(value, dict) or head not in value:
        return value
    if rest:
        return {**value, head: _without(value[head], rest)}
    return {name: inner for name, inner in value.items() if name != head}
