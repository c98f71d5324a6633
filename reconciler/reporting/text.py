"""Plans and results for the terminal: what a reviewer can read in a minute. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import orjson

from reconciler.objects import Object, ObjectKey
from reconciler.planning.plan import (
    ABSENT,
    Action,
    Change,
    ClusterPlan,
    FieldChange,
    Outcome,
    Plan,
    RunResult,
)

_MARKS = {
    Action.CREATE: ("+", "32"),
    Action.UPDATE: ("~", "33"),
    Action.ADOPT: ("&", "36"),
    Action.RECREATE: ("±", "35"),
    Action.PRUNE: ("-", "31"),
    Action.ORPHAN: ("o", "36"),
    Action.FAILED: ("!", "31;1"),
}
_VERBS = {
    Action.CREATE: "to create",
    Action.UPDATE: "to update",
    Action.ADOPT: "to adopt",
    Action.RECREATE: "to recreate",
    Action.PRUNE: "to prune",
    Action.ORPHAN: "to orphan",
    Action.FAILED: "failed",
}
_SHOWN_FIELDS = 12


@dataclass(frozen=True, slots=True)
class Style:
    """How to write: with colours or not, how wide, every field of a creation or its essence."""

    colour: bool = False
    width: int = 100
    verbose: bool = False

    def paint(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour else text


def render_plan(
    plan: Plan, *, colour: bool = False, width: int = 100, verbose: bool = False
) -> str:
    """The whole plan, warnings first, the summary last."""
    style = Style(colour, width, verbose)
    blocks = [
        list(_notices(plan, style)),
        *(_group_lines(names, part, style) for names, part in _grouped(plan)),
        list(_workload_lines(plan, style)),
        list(_closing(plan, style)),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def render_result(
    result: RunResult,
    *,
    colour: bool = False,
    width: int = 100,
    verbose: bool = False,
    with_plan: bool = True,
) -> str:
    """What was done; ``with_plan`` shows first what was to be done."""
    style = Style(colour, width, verbose)
    plan = result.plan
    text = ""
    if with_plan and (plan.has_changes or plan.has_failures or plan.warnings):
        text = render_plan(plan, colour=colour, width=width, verbose=verbose) + "\n"
    lines = [_outcome_line(o, style) for o in result.outcomes if o.status != "done"]
    lines += [style.paint(f"! {error}", "31;1") for error in result.errors]
    if result.stopped:
        lines.append(style.paint(f"Stopped: {result.stopped}", "31;1"))
    lines.append(_result_summary(result, style))
    return text + "\n".join(lines) + "\n"


def _notices(plan: Plan, style: Style) -> Iterator[str]:
    for outage in plan.simulated_outages:
        yield style.paint(f"Simulated: an outage of {outage}", "35;1")
    for cluster in plan.clusters:
        if not cluster.reachable:
            yield style.paint(f"! {cluster.name} is left out: {cluster.problem}", "31;1")
    for warning in plan.warnings:
        yield style.paint("Warning: ", "33;1") + warning


def _grouped(plan: Plan) -> list[tuple[list[ClusterPlan], list[Change]]]:
    """Changes that several clusters share word for word, told once."""
    homes: dict[bytes, list[ClusterPlan]] = defaultdict(list)
    samples: dict[bytes, Change] = {}
    for cluster in plan.clusters:
        for change in cluster.changes:
            identity = _identity(change)
            homes[identity].append(cluster)
            samples[identity] = change
    groups: dict[tuple[str, ...], list[Change]] = defaultdict(list)
    clusters = {cluster.name: cluster for cluster in plan.clusters}
    for identity, members in homes.items():
        groups[tuple(c.name for c in members)].append(samples[identity])
    return [
        ([clusters[name] for name in names], sorted(part, key=lambda c: (c.key, c.action)))
        for names, part in sorted(groups.items(), key=lambda item: (-len(item[0]), item[0]))
    ]


def _identity(change: Change) -> bytes:
    fields = [(f.path, _json(f.before), _json(f.after), f.managers) for f in change.fields]
    return orjson.dumps([change.action, list(change.key), change.reason, change.error, fields])


def _group_lines(
    clusters: Sequence[ClusterPlan], changes: Sequence[Change], style: Style
) -> list[str]:
    title = ", ".join(cluster.name for cluster in clusters)
    if len(clusters) == 1:
        place = " ".join(p for p in (clusters[0].provider, clusters[0].region) if p)
        title += f" ({place})" if place else ""
    lines = [style.paint(title, "1")]
    for change in changes:
        lines += _change_lines(change, style)
    return lines


def _change_lines(change: Change, style: Style) -> Iterator[str]:
    mark, code = _MARKS[change.action]
    line = style.paint(f"  {mark} {change.key}", code)
    note = change.error or (_essence(change) if change.action is Action.CREATE else change.reason)
    if note:
        line += "  " + (style.paint(note, "31") if change.error else style.paint(note, "2"))
    yield line
    if change.action is Action.CREATE and not style.verbose:
        return
    shown = change.fields if style.verbose else change.fields[:_SHOWN_FIELDS]
    for field in shown:
        yield "      " + _field_text(field, style)
    if len(change.fields) > len(shown):
        yield f"      … and {len(change.fields) - len(shown)} more fields (--verbose shows them)"


def _field_text(field: FieldChange, style: Style) -> str:
    room = max(24, (style.width - len(field.path) - 12) // 2)
    before, after = _contrast(_plain(field.before), _plain(field.after), room)
    if field.before is ABSENT:
        return f"{field.path}: {style.paint(after, '32')}"
    if field.after is ABSENT:
        return f"{field.path}: {style.paint(before, '31')} -> removed"
    return f"{field.path}: {style.paint(before, '31')} -> {style.paint(after, '32')}"


def _essence(change: Change) -> str:
    """The few facts of a new object that a reviewer wants first."""
    body = change.request or {}
    given = body.get("spec")
    spec: Object = given if isinstance(given, dict) else {}
    facts = []
    if isinstance(spec.get("replicas"), int):
        facts.append(f"replicas {spec['replicas']}")
    pod = (spec.get("template") or {}).get("spec") or {}
    images = [str(c.get("image", "")).rpartition("/")[2] for c in pod.get("containers") or ()]
    facts += images
    ports = [str(p.get("port")) for p in spec.get("ports") or () if isinstance(p, dict)]
    if ports:
        facts.append("port " + ", ".join(ports))
    if not change.verified:
        facts.append("not checked: its CRD comes with this plan")
    return ", ".join(facts)


def _workload_lines(plan: Plan, style: Style) -> Iterator[str]:
    rows = [row for row in plan.workloads if dict(row.before) != dict(row.after)]
    if not rows:
        return
    yield style.paint("Replicas", "1")
    for row in rows:
        parts = []
        for cluster in sorted({*row.before, *row.after}):
            old, new = row.before.get(cluster, 0), row.after.get(cluster, 0)
            text = f"{cluster} {new}" if old == new else f"{cluster} {old} -> {new}"
            parts.append(text if old == new else style.paint(text, "33"))
        short = style.paint(f"  {row.shortfall} fit nowhere", "31;1") if row.shortfall else ""
        yield f"  {row.key.namespace}/{row.key.name}: {', '.join(parts)}{short}"


def _closing(plan: Plan, style: Style) -> Iterator[str]:
    for violation in plan.violations:
        yield style.paint(f"Stopped by a guard: {violation}", "31;1")
    if plan.violation_hint:
        yield f"  {plan.violation_hint}"
    yield style.paint(summary_line(plan), "1")


def summary_line(plan: Plan) -> str:
    """``Plan: 3 to create, 1 to update over 3 clusters; 120 unchanged.``"""
    counts = plan.summary()
    parts = [f"{counts[action]} {verb}" for action, verb in _VERBS.items() if counts[action]]
    away = sum(not cluster.reachable for cluster in plan.clusters)
    over = f"over {len(plan.clusters)} cluster{'s' * (len(plan.clusters) != 1)}"
    if not parts:
        text = f"No changes {over}; {counts['unchanged']} objects are as Git says."
    else:
        text = f"Plan: {', '.join(parts)} {over}; {counts['unchanged']} unchanged."
    return text + (f" {away} could not be looked at." if away else "")


def _outcome_line(outcome: Outcome, style: Style) -> str:
    mark = "!" if outcome.status == "failed" else "·"
    text = f"{mark} {outcome.cluster}: {outcome.key} {outcome.status} ({outcome.action})"
    return style.paint(text, "31" if outcome.status == "failed" else "33") + f"  {outcome.message}"


def _result_summary(result: RunResult, style: Style) -> str:
    done = [o for o in result.outcomes if o.status == "done"]
    if not result.outcomes:
        if result.ok:
            return style.paint(summary_line(result.plan), "1")
        return style.paint("Nothing was written. " + summary_line(result.plan), "31;1")
    counts: dict[str, int] = defaultdict(int)
    for outcome in done:
        counts[outcome.action] += 1
    past = {a: v.removeprefix("to ") for a, v in _VERBS.items()}
    words = ", ".join(f"{n} {_past(past[Action(a)])}" for a, n in sorted(counts.items()))
    failed = sum(o.status == "failed" for o in result.outcomes)
    skipped = sum(o.status == "skipped" for o in result.outcomes)
    refused = result.plan.summary()["failed"]
    text = f"Done: {words or 'nothing'}"
    for number, word in ((failed + refused, "failed"), (skipped, "skipped")):
        text += f", {number} {word}" if number else ""
    return style.paint(text + ".", "32;1" if result.ok else "31;1")


def _past(verb: str) -> str:
    return verb + ("d" if verb.endswith("e") else "ed")


def key_text(key: ObjectKey) -> str:
    """``Deployment shop/web``."""
    return f"{key.kind} {key.namespace}/{key.name}" if key.namespace else f"{key.kind} {key.name}"


def _json(value: object) -> str:
    return "" if value is ABSENT else orjson.dumps(value).decode()


def _plain(value: object) -> str:
    text = value if isinstance(value, str) and value else _json(value)
    return text.replace("\n", "⏎").replace("\x1b", "␛")


def _contrast(before: str, after: str, room: int) -> tuple[str, str]:
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
    return _cut(before, room), _cut(after, room)


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else text[: room - 1] + "…"
