"""The words in which every report speaks of changes: marks, names, values, summary lines. Pure.

Texts here are as they come. What writes a report (``terminal``, ``markdown``, ``html``) escapes
them, so that no control or direction character can act on its reader.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any

import orjson

from reconciler.api.field_path import reads_as_other_type
from reconciler.api.objects import Object, ObjectKey, map_of, maps_of
from reconciler.api.reasons import reasons_text
from reconciler.plan.model import (
    ABSENT,
    Action,
    Addition,
    Change,
    FieldChange,
    KeptField,
    Plan,
    RunResult,
    WorkloadRow,
    is_server_chosen,
)

MARKS: Mapping[Action, str] = {
    Action.FAILED: "!",
    Action.TERMINATING: "†",
    Action.PRUNE: "-",
    Action.RECREATE: "±",
    Action.UPDATE: "~",
    Action.ADOPT: "&",
    Action.ORPHAN: "o",
    Action.CREATE: "+",
    Action.WAITING: "…",
    Action.UNCHANGED: "=",
}
"""One sign per action, the most serious first."""

PAST: Mapping[Action, str] = {
    Action.CREATE: "created",
    Action.UPDATE: "updated",
    Action.ADOPT: "adopted",
    Action.RECREATE: "recreated",
    Action.PRUNE: "pruned",
    Action.ORPHAN: "orphaned",
}
"""In the order in which summaries count."""

_BUILT_IN_GROUPS = frozenset({"", "apps", "autoscaling", "batch", "policy"})
_LONGEST_STAYING = 60
_SHOWN_KEYS = 4


def value_text(value: Any) -> str:
    """A JSON value for people: strings bare but the empty one; ``(absent)`` where there is none.

    Maps have their keys sorted, so that equal values read alike.
    """
    if value is ABSENT:
        return "(absent)"
    if isinstance(value, str) and value:
        return value
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def value_texts(before: Any, after: Any) -> tuple[str, str]:
    """Two different JSON values, written so that the difference is seen.

    ``1`` and ``"1"``, two ways to write é, or a space at the end look alike until they are quoted
    as in JSON. So is a text that reads as another type than the other value has.
    """
    texts = value_text(before), value_text(after)
    if _as_seen(texts[0]) == _as_seen(texts[1]) or _changes_type(before, after):
        return _quoted(before), _quoted(after)
    return texts


def _as_seen(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).split())


def _changes_type(before: Any, after: Any) -> bool:
    texts = [value for value in (before, after) if isinstance(value, str)]
    return len(texts) == 1 and ABSENT not in (before, after) and reads_as_other_type(texts[0])


def _quoted(value: Any) -> str:
    import json  # orjson does not escape what looks alike.

    return "(absent)" if value is ABSENT else json.dumps(value, sort_keys=True)


def why_field(field: FieldChange, change: Change) -> str:
    """What the note on the object does not say of one of its fields: why just this one changes, and
    who owns it. Empty where there is no more to say."""
    shared = field.reasons == change.reasons or is_server_chosen(field.after)
    own = () if shared else field.reasons
    named = {name for reason in (*change.reasons, *own) for name in reason.names}
    others = [name for name in field.managers if name not in named]
    owned = f"owned by {', '.join(others)}" if others else ""
    return "; ".join(part for part in (reasons_text(own), owned) if part)


def kept_field_text(field: KeptField) -> str:
    """``data.b stays: 2  (not in Git; owned by kubectl-create)``."""
    note = field.note + (f"; owned by {', '.join(field.managers)}" if field.managers else "")
    value = cut(value_text(field.value), _LONGEST_STAYING)
    return f"{field.path} stays: {value}  ({note})"


def addition_text(field: Addition) -> str:
    """``data.b: 2  (kubectl-edit, 2026-11-28T10:00:00Z)``."""
    value = cut(value_text(field.value), _LONGEST_STAYING)
    by = ", ".join(filter(None, (*field.managers, field.time)))
    return f"{field.path}: {value}  ({by})"


def cut(text: str, room: int) -> str:
    """At most ``room`` characters, an ellipsis where some are missing."""
    return text if len(text) <= room else text[: max(room - 1, 0)] + "…"


def contrast(before: str, after: str, room: int) -> tuple[str, str]:
    """Both cut to ``room`` characters, so that what differs is still to be seen."""
    if max(len(before), len(after)) <= room:
        return before, after
    same = 0
    while same < min(len(before), len(after)) and before[same] == after[same]:
        same += 1
    if before and after and same > room // 2:
        word = max(before.rfind(sign, 0, same) for sign in "/ ,=") + 1
        begin = word if same - word <= room // 2 else same - room // 3
        before, after = f"…{before[begin:]}", f"…{after[begin:]}"
    return cut(before, room), cut(after, room)


def kind_name(key: ObjectKey) -> str:
    """``Deployment`` for what Kubernetes brings along, ``Widget.example.com`` for the rest."""
    known = key.group in _BUILT_IN_GROUPS or key.group.endswith(".k8s.io")
    return key.kind if known else str(key.group_kind)


def object_name(key: ObjectKey) -> str:
    """``shop/web``; ``web`` for what is in no namespace."""
    return key.namespaced_name


def key_text(key: ObjectKey) -> str:
    """``Deployment shop/web``."""
    return f"{kind_name(key)} {object_name(key)}"


def note_of(change: Change) -> str:
    """What a reviewer wants to know of a change in a line: a creation's essence, else its reason.

    Errors are not told here.
    """
    if change.action is Action.CREATE:
        facts = list(_essence(change))
        if not change.verified:
            facts.append("not checked: its CRD or namespace comes with this plan")
        note = ", ".join(facts)
    else:
        note = change.reason
    if change.action in (Action.PRUNE, Action.RECREATE) and change.propagation != "Background":
        note += f" ({change.propagation.lower()} deletion)"
    return "; ".join(filter(None, (change.waits, note)))


def _essence(change: Change) -> Iterator[str]:
    """The few facts of a new object that tell it from others of its kind."""
    spec = {} if change.is_sensitive else map_of((change.request or {}).get("spec"))
    if isinstance(spec.get("replicas"), int):
        yield f"replicas {spec['replicas']}"
    if "maxReplicas" in spec:
        yield f"replicas {spec.get('minReplicas', 1)} to {spec['maxReplicas']}"
    if "schedule" in spec:
        yield f"schedule {spec['schedule']}"
    template = map_of(map_of(spec.get("jobTemplate")).get("spec")) or spec
    pod = map_of(map_of(template.get("template")).get("spec"))
    yield from (
        str(container["image"]).rpartition("/")[2]
        for container in maps_of(pod.get("containers"))
        if container.get("image")
    )
    ports = [str(port["port"]) for port in maps_of(spec.get("ports")) if "port" in port]
    if ports:
        yield "port " + ", ".join(ports)
    yield from (str(rule["host"]) for rule in maps_of(spec.get("rules")) if rule.get("host"))
    if change.key.kind in ("ConfigMap", "Secret"):
        yield from _data_keys(change)


def _data_keys(change: Change) -> Iterator[str]:
    """Names of a ConfigMap's or Secret's entries, never what is in them."""
    names = [f.path for f in change.fields if f.path.startswith(("data", "stringData"))]
    bare = sorted({n.removeprefix("stringData").removeprefix("data").strip('.["]') for n in names})
    bare = [name for name in bare if name]
    if bare:
        more = len(bare) - _SHOWN_KEYS
        yield "keys " + ", ".join(bare[:_SHOWN_KEYS]) + (f" and {more} more" if more > 0 else "")


def plural(count: int, word: str) -> str:
    """``1 cluster``, ``2 clusters``."""
    return f"{count} {word}{'s' * (count != 1)}"


def summary_line(plan: Plan) -> str:
    """``Plan: 3 to create, 1 to update over 3 clusters; 120 unchanged.``

    Of a plan that was compared with another commit's: ``Against main: ...``.
    """
    counts = plan.summary()
    parts = [part] if (part := _to_do(counts)) else []
    if counts[Action.FAILED]:
        parts.append(f"{counts[Action.FAILED]} failed")
    parts += [f"{counts[a]} {a}" for a in (Action.TERMINATING, Action.WAITING) if counts[a]]
    away = sum(not cluster.reachable for cluster in plan.clusters)
    over = f"over {plural(len(plan.clusters), 'cluster')}"
    to_change = [record for record in plan.dns if not record.get("waits")]
    told = [f"{plural(len(to_change), 'DNS record')} to change"] if to_change else []
    if plan.decisions:
        told.append(f"{plural(len(plan.decisions), 'placement decision')} to publish")
    records = ", ".join(told)
    compared = plan.base is not None and not plan.base.problem
    begin = f"Against {plan.base.ref}" if plan.base and compared else "Plan"
    if parts:
        text = f"{begin}: {', '.join(parts)} {over}; {counts['unchanged']} unchanged."
        text += f" {records}." if records else ""
    elif records and compared:
        text = f"{begin}: {records} {over}."
    elif records:
        text = f"{begin}: {records}; {plural(counts['unchanged'], 'object')} {over} as Git says."
    elif compared and away < len(plan.clusters):
        text = f"{begin}: no changes {over}."
    elif away and away == len(plan.clusters):
        text = f"No plan {over}."
    else:
        text = f"No changes {over}; {plural(counts['unchanged'], 'object')} as Git says."
    if added := counts["additions"]:
        text += f" {plural(added, 'field')} added by others."
    return text + (f" {away} could not be looked at." if away else "")


def counted(actions: Iterable[Action]) -> str:
    """``1 to create, 2 to update``."""
    return _to_do(Counter(actions))


def _to_do(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{counts[a]} to {a}" for a in PAST if counts.get(a))


def result_line(result: RunResult) -> str:
    """``Done: 3 created, 1 failed, 2 skipped.``; the plan's line where nothing was to be done."""
    if not result.outcomes and not result.records and not result.published:
        line = summary_line(result.plan)
        return line if result.ok else f"Nothing was written. {line}"
    counts = dict.fromkeys(PAST, 0)
    failed, skipped = result.plan.summary()[Action.FAILED], 0
    for outcome in result.outcomes:
        if outcome.status == "done":
            counts[outcome.action] = counts.get(outcome.action, 0) + 1
        failed += outcome.status == "failed"
        skipped += outcome.status == "skipped"
    words = [f"{n} {PAST.get(action, action)}" for action, n in counts.items() if n]
    written = sum(record.status == "done" for record in result.records)
    if written:
        words.append(f"{plural(written, 'DNS record')} written")
    if result.published:
        words.append(f"{plural(result.published, 'placement decision')} published")
    if not words:
        words = ["nothing"]
    found = result.plan.summary()
    idle = [(found[action], str(action)) for action in (Action.TERMINATING, Action.WAITING)]
    others = ((failed, "failed"), (skipped, "skipped"), *idle)
    words += [f"{n} {word}" for n, word in others if n]
    if written < len(result.records):
        words.append(f"{plural(len(result.records) - written, 'DNS record')} not written")
    away = sum(not cluster.reachable for cluster in result.plan.clusters)
    text = f"Done: {', '.join(words)}."
    return text + (f" {plural(away, 'cluster')} could not be looked at." if away else "")


def unwritten_records(result: RunResult) -> list[tuple[str, str]]:
    """(zone, what happened to how many of its records), once for each cause."""
    bad = [(record.zone, record.message) for record in result.records if record.status != "done"]
    return [
        (
            zone,
            f"{plural(count, 'record')} not written, the next run tries again: {message}",
        )
        for (zone, message), count in Counter(bad).items()
    ]


def changed_rows(rows: Iterable[WorkloadRow]) -> list[WorkloadRow]:
    """The workloads whose replicas change somewhere, or do not all fit."""
    return [row for row in rows if row.shortfall or _nonzero(row.before) != _nonzero(row.after)]


def _nonzero(counts: Mapping[str, int]) -> dict[str, int]:
    return {name: count for name, count in counts.items() if count}


def replica_steps(row: WorkloadRow) -> list[tuple[int, int, tuple[str, ...]]]:
    """(before, after, clusters) with those clusters together that change alike; changes first."""
    names = sorted({*row.before, *row.after})
    steps = [(row.before.get(name, 0), row.after.get(name, 0), name) for name in names]
    ordered = sorted(steps, key=lambda s: (s[0] == s[1], s[0], s[1], s[2]))
    return [
        (old, new, tuple(name for _, _, name in same))
        for (old, new), same in groupby(ordered, key=lambda s: (s[0], s[1]))
    ]


def dns_line(record: Object) -> str:
    """``web.shop.example.com. A: 10.0.0.1 -> 10.0.0.2 (aws-eu is down)`` of one of Plan.dns."""
    name, kind = str(record.get("name", "")), str(record.get("type", ""))
    before, after = (_targets(record.get(side)) for side in ("from", "to"))
    text = f"{name} {kind}: " + (f"{before} -> {after}" if before and after else before or after)
    if record.get("reason"):
        text += f" ({record['reason']})"
    return text + (f"; {record['waits']}" if record.get("waits") else "")


def _targets(values: object) -> str:
    if values is None:
        return ""
    return ", ".join(str(v) for v in values) if isinstance(values, list | tuple) else str(values)


def dns_action(record: Object) -> Action:
    """create, update or prune, by which of ``from`` and ``to`` there is."""
    if not record.get("from"):
        return Action.CREATE
    return Action.UPDATE if record.get("to") else Action.PRUNE
