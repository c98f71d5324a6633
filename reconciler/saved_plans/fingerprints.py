"""What tells whether an object is still as it was planned for, without saying what is in it. Pure.

Digests are salted, anew for each plan. That keeps two plans from being compared, not a value of few
possibilities from being found by trying; so of Secrets and other sensitive objects there are none.
One that is to go is known again by its uid and resourceVersion, which every write to it moves; what
would be sent is known by the commit that it is made from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from reconciler.api.field_path import Step
from reconciler.api.json_pointer import split_pointer
from reconciler.api.objects import Object
from reconciler.api.reasons import Cause, Reason
from reconciler.inventory.managed_fields import Fields, entries_of, fields_of, is_ours, owned_values
from reconciler.inventory.records import Digester
from reconciler.plan.fields import changed_fields, entry_holds
from reconciler.plan.model import NOT_WRITTEN, Action, Change

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
    """What must be the same when the change is carried out; empty for one that is not.

    ``fields`` and ``writer`` are not compared: they name what is otherwise, and who wrote it.
    """
    if change.action in NOT_WRITTEN or change.waits:
        return {}
    found: dict[str, Any] = {}
    if change.live is not None:
        found["uid"] = change.uid
        found["writer"] = _last_writer(change.live)
        if change.action in (Action.UPDATE, Action.ADOPT):
            found |= _what_an_apply_rests_on(change, change.live, digester)
        elif change.is_sensitive:
            found["resourceVersion"] = change.resource_version
        else:
            found["live"] = digester.of(resting_state(change.live, change.retained))
            found["fields"] = _fields(change.live, change.retained, digester)
    if change.request is not None and not change.is_sensitive:
        # Of a new object all is sent; in one that exists, the member's own is only repeated.
        retained = change.retained if change.live is not None else ()
        found["request"] = digester.of(_without_all(change.request, retained))
    if change.take_over:
        found["takeOver"] = list(change.take_over)
    return found


def _what_an_apply_rests_on(change: Change, live: Object, digester: Digester) -> dict[str, Any]:
    """Our fields and their values. What else is in the object an apply leaves alone, so it may be
    written to all the time. Of sensitive objects only how many fields are ours, and where."""
    tree = fields_of(filter(is_ours, entries_of(live)))
    if change.is_sensitive:
        return {"ours": digester.of(_shape(tree))}
    for pointer in change.retained:
        tree = _without_step(tree, split_pointer(pointer))
    # Of an empty tree, the values would be the whole object.
    values = owned_values(tree, live) if tree else None
    return {
        "ours": digester.of([tree, values, live["metadata"].get("deletionTimestamp")]),
        "fields": _fields(
            live, change.retained, digester, lambda steps: entry_holds(tree, live, steps)
        ),
    }


def _fields(
    live: Object,
    retained: Sequence[str],
    digester: Digester,
    counts: Callable[[tuple[Step, ...]], bool] = lambda _steps: True,
) -> dict[str, list[str]]:
    """Path -> a digest of its value, and the field managers that own it now."""
    state = {**resting_state(live, retained)}
    state["metadata"] = {**state["metadata"], "managedFields": entries_of(live)}
    nothing: Object = {"metadata": {}}
    counted = (Reason(Cause.IN_GIT),)
    found = changed_fields(state, nothing, lambda steps: counted if counts(steps) else ())
    return {str(f.path): [digester.of(f.before), *f.managers] for f in found if f.reasons}


def _last_writer(live: Object) -> str:
    """The field manager whose entry was written last; those of status do not count. Of two in the
    same second, which servers do not tell apart, the one that is not ours."""
    entries = [entry for entry in entries_of(live) if entry.get("subresource") != "status"]
    last = max(entries, key=lambda e: (str(e.get("time") or ""), not is_ours(e)), default={})
    return str(last.get("manager") or "")


def _shape(tree: Fields) -> list[Any]:
    """Which fields a tree names, without the values by which it names items of lists."""
    return sorted(
        ([step if step[:2] == "f:" else step[:2], _shape(inner)] for step, inner in tree.items()),
        key=repr,
    )


def _without_step(tree: Fields, path: Sequence[str]) -> Fields:
    """A copy of the tree without a path, ``*`` being every item of a list."""
    head, rest = path[0], path[1:]
    found: Fields = {}
    for step, inner in tree.items():
        meant = step == f"f:{head}" or (step[:2] != "f:" and (head == "*" or head.isdecimal()))
        if step == "." or not meant:
            found[step] = inner
        elif rest:
            found[step] = _without_step(inner, rest)
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
