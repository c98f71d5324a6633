"""Plans and results for a pull request's comment. Pure.

The first line is a hidden marker, by which the comment of an earlier run is found and updated.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from reconciler.plan.model import (
    ABSENT,
    Action,
    Change,
    ClusterPlan,
    FieldChange,
    Plan,
    RunResult,
    WorkloadRow,
)
from reconciler.report.grouping import (
    avoided,
    comparison,
    few_names,
    group_title,
    grouped,
    is_text,
    line_diff,
)
from reconciler.report.headlines import Health, fleet_health, headlines
from reconciler.report.rollout import happenings, headline, is_told, road_end, stages
from reconciler.report.terminal import visible
from reconciler.report.wording import (
    MARKS,
    addition_text,
    changed_rows,
    cut,
    dns_action,
    dns_line,
    kept_field_text,
    key_text,
    kind_name,
    note_of,
    object_name,
    plural,
    replica_steps,
    result_line,
    summary_line,
    value_texts,
    why_field,
)
from reconciler.rollout.model import RolloutView

LIMIT = 65_536
"""What GitHub takes as a comment, in characters; GitLab takes a million."""

LEAST_LIMIT = 2_000
_SIGNS = {"stop": "🛑", "down": "❌", "outage": "🧪", "warning": "⚠️"}
_HEALTH = {"ok": "✅", "degraded": "⚠️", "down": "❌", "unknown": "❔"}
_STATES = {"done": "✅", "current": "▶️", "coming": "⏳"}
_MOST_COLUMNS = 8
_LONGEST_TEXT = 600
_LONGEST_NAME = 63
_UNFOLDED_CLUSTERS = 12
_ROOM_FOR_NOTE = 400


class _Part(Struct, frozen=True):
    """A piece of the comment that is whole with any number of its items.

    ``share``: how much of the limit it may take at most. ``what`` its items are, for the note.
    """

    head: str
    items: Sequence[str]
    tail: str = ""
    share: float = 1.0
    what: str = "change"


def marker(plan: Plan, kind: str = "plan") -> str:
    """The first line; the same for each plan of a federation."""
    name = re.sub("--+", "-", re.sub(r"[^A-Za-z0-9._-]", "", plan.federation))
    return f"<!-- federation-reconciler:{kind}:{name[:_LONGEST_NAME]} -->"


def render_plan_markdown(plan: Plan, *, limit: int = LIMIT) -> str:
    """What would be done: what must be known, tables, then each group's changes folded.

    No longer than ``limit`` characters (at least ``LEAST_LIMIT``): what does not fit is left out
    item by item, and a note at the end says how much.
    """
    return _fitted(marker(plan), summary_line(plan), _parts(plan, None), plan, limit)


def render_result_markdown(result: RunResult, *, limit: int = LIMIT) -> str:
    """What was done; what failed and what was skipped come first. ``limit`` as above."""
    plan = result.plan
    parts = _parts(plan, result)
    return _fitted(marker(plan, "run"), result_line(result), parts, plan, limit)


def escape(text: str) -> str:
    """Text on one line that no Markdown or HTML in it can act through, mentioning nobody."""
    text = cut(visible(text), _LONGEST_TEXT).replace("&", "&amp;")
    return _unlinked(re.sub(r"([\\`*_\[\]|<>~$])", r"\\\1", text))


def escape_html(text: str) -> str:
    """The same where Markdown is not read, as in ``<summary>``."""
    return _unlinked(html.escape(cut(visible(text), _LONGEST_TEXT)))


def _unlinked(text: str) -> str:
    """Nothing that a platform makes a mention, a reference or a link of after rendering."""
    text = re.sub(r"([@#]|://)(?=\S)", "\\1\u200b", text)
    return re.sub(r"(?i)\b(www|gh)(?=[.-])", "\\1\u200b", text)


# -- fitting into the limit ------------------------------------------------------------------


def _fitted(first: str, headline: str, parts: Iterable[_Part], plan: Plan, limit: int) -> str:
    if limit < LEAST_LIMIT:
        raise ValueError(f"a comment has at least {LEAST_LIMIT} characters, not {limit}")
    text = f"{first}\n### {escape(headline)}\n"
    if plan.commit:
        text += f"\nGit commit {escape(plan.commit[:12])}\n"
    if plan.base:
        text += f"\nCompared with {escape(comparison(plan.base))}\n"
    if plan.rollout and plan.rollout.complete:
        text += "\nThis is what the whole fleet comes to; the order is below.\n"
    left_out: dict[str, int] = {}
    for part in parts:
        room = limit - _length(text) - _ROOM_FOR_NOTE
        written, count = _as_much_as_fits(part, min(room, int(limit * part.share)))
        text += written
        if count < len(part.items):
            left_out[part.what] = left_out.get(part.what, 0) + len(part.items) - count
    if left_out:
        missing = ", ".join(plural(count, f"more {what}") for what, count in left_out.items())
        text += f"\n*Cut to what fits into a comment: {missing}. A JSON or HTML report has all.*\n"
    return text


def _as_much_as_fits(part: _Part, room: int) -> tuple[str, int]:
    """(the part with as many of its items as fit into ``room``, how many those are)."""
    size = _length(part.head) + _length(part.tail)
    kept = []
    for item in part.items:
        size += _length(item)
        if size > room:
            break
        kept.append(item)
    return ("".join((part.head, *kept, part.tail)) if kept else ""), len(kept)


def _length(text: str) -> int:
    """As platforms count, in UTF-16 units."""
    return len(text) + sum(ord(sign) > 0xFFFF for sign in text)


# -- the parts -------------------------------------------------------------------------------


def _parts(plan: Plan, result: RunResult | None) -> Iterator[_Part]:
    lines = [
        f"- {_SIGNS[one.level]} **{one.word}:** {escape(one.text)}\n"
        for one in headlines(plan, result)
    ]
    yield _Part("\n", lines, share=0.3, what="notice")
    yield _cluster_table(plan)
    added = [
        f"- {escape(cluster.name)}: {escape(key_text(one.key))}: {escape(addition_text(field))}\n"
        for cluster in plan.clusters
        for one in cluster.additions
        for field in one.fields
    ]
    yield _Part("\n**Added by others** (stays)\n\n", added, "", 0.2, "addition")
    yield from _replicas(plan)
    yield _Part("\n**Moves**\n\n", [f"- {escape(str(m))}\n" for m in plan.moves], "", 0.1, "move")
    records = [f"- `{MARKS[dns_action(r)]}` {escape(dns_line(r))}\n" for r in plan.dns]
    yield _Part("\n**DNS**\n\n", records, "", 0.1, "record")
    decisions = [f"- `{MARKS[one.action]}` {escape(str(one))}\n" for one in plan.decisions]
    yield _Part("\n**Placement decisions**\n\n", decisions, "", 0.1, "placement decision")
    gone = [f"- `{MARKS[action]}` {escape(text)}\n" for action, text in avoided(plan)]
    if gone and plan.base:
        head = f"\n**No longer, as {escape(plan.base.ref)} would**\n\n"
        yield _Part(head, gone, "", 0.1, "change that is avoided")
    if plan.rollout and is_told(plan.rollout):
        yield _road(plan.rollout)
    yield from _details(plan)


def _road(view: RolloutView) -> _Part:
    """The rollout wave by wave; what this run brings above, what is to be known below."""
    head = f"\n**{escape(headline(view))}**\n\n"
    head += "".join(f"- {escape(text)}\n" for text in happenings(view))
    head += "\n" * bool(happenings(view)) + "| wave | | clusters |\n| --- | --- | --- |\n"
    rows = []
    for one in stages(view):
        clusters = "<br>".join(f"**{escape(who)}**: {escape(text)}" for who, text in one.lines)
        status = f"{_STATES[one.state]} {escape(one.status)}"
        rows.append(f"| {escape(one.title)} | {status} | {clusters or 'no cluster'} |\n")
    tail = "".join(f"\n{escape(text)}\n" for text in road_end(view))
    return _Part(head, rows, tail, 0.25, "wave")


def _cluster_table(plan: Plan) -> _Part:
    """Who is there, and how much changes; clusters with trouble or changes first."""
    summary = plan.summary()
    used = [action for action in MARKS if summary[action] and action is not Action.UNCHANGED]
    names = "".join(f" {action} |" for action in used)
    many = len(plan.clusters) > _UNFOLDED_CLUSTERS
    fold = f"\n<details><summary>{len(plan.clusters)} clusters</summary>\n" if many else ""
    head = f"{fold}\n| cluster | health |{names} unchanged |\n"
    head += "| --- | --- |" + " ---: |" * (len(used) + 1) + "\n"
    ordered = sorted(plan.clusters, key=lambda c: (c.reachable, not c.changes))
    health = fleet_health(plan)
    rows = [_cluster_row(c, health[c.name], used) for c in ordered]
    return _Part(head, rows, "\n</details>\n" * many, 0.15, "cluster")


def _cluster_row(cluster: ClusterPlan, health: Health, used: Sequence[Action]) -> str:
    found = [change.counts_as for change in cluster.changes]
    counts = "".join(f" {found.count(action) or ''} |" for action in used)
    how = f"{_HEALTH[health.sign]} {health.word}"
    return f"| {escape(cluster.name)} | {how} |{counts} {cluster.unchanged} |\n"


def _replicas(plan: Plan) -> Iterator[_Part]:
    """Workloads by clusters; where the fleet is too wide for a table, in sentences."""
    names = [cluster.name for cluster in plan.clusters]
    if len(names) > _MOST_COLUMNS:
        lines = [_replica_line(row) for row in changed_rows(plan.workloads)]
        yield _Part("\n**Replicas**\n\n", lines, "", 0.2, "workload")
        return
    actions = {(c.name, change.key): change.action for c in plan.clusters for change in c.changes}
    moving = {row.key for row in changed_rows(plan.workloads)}
    rows = [
        row
        for row in plan.workloads
        if row.key in moving or any((name, row.key) in actions for name in names)
    ]
    columns = "".join(f" {escape(name)} |" for name in names)
    nowhere = any(row.shortfall for row in rows)
    head = f"\n| workload |{columns} in all |{' fit nowhere |' * nowhere}\n"
    head += "| --- |" + " ---: |" * (len(names) + 1 + nowhere) + "\n"
    lines = []
    for row in rows:
        cells = "".join(f" {_cell(row, name, actions.get((name, row.key)))} |" for name in names)
        cells += f" {_step(sum(row.before.values()), sum(row.after.values()))} |"
        cells += f" {row.shortfall or ''} |" * nowhere
        lines.append(f"| {_workload_name(row)} |{cells}\n")
    used = {action for (_, key), action in actions.items() if key in {row.key for row in rows}}
    legend = ", ".join(f"`{mark}` {action}" for action, mark in MARKS.items() if action in used)
    yield _Part(head, lines, f"\nReplicas{f'; {legend}' if legend else ''}\n", 0.2, "workload")


def _cell(row: WorkloadRow, cluster: str, action: Action | None) -> str:
    mark = f"`{MARKS[action]}` " if action else ""
    if cluster not in row.before and cluster not in row.after:
        return mark.strip()
    return mark + _step(row.before.get(cluster, 0), row.after.get(cluster, 0))


def _step(before: int, after: int) -> str:
    return str(after) if before == after else f"{before} → **{after}**"


def _workload_name(row: WorkloadRow) -> str:
    kind = "" if row.key.kind == "Deployment" else f"{kind_name(row.key)} "
    return escape(kind + object_name(row.key))


def _replica_line(row: WorkloadRow) -> str:
    changing = [step for step in replica_steps(row) if step[0] != step[1]]
    parts = [f"{escape(few_names(names))} {_step(old, new)}" for old, new, names in changing[:4]]
    if len(changing) > 4:
        parts.append(plural(sum(len(names) for _, _, names in changing[4:]), "more cluster"))
    parts.append(f"in all {_step(sum(row.before.values()), sum(row.after.values()))}")
    if row.shortfall:
        parts.append(f"**{row.shortfall} fit nowhere**")
    return f"- {_workload_name(row)}: {'; '.join(parts)}\n"


def _details(plan: Plan) -> Iterator[_Part]:
    for group in grouped(plan):
        blocks = [diff_of(change) for change in group.changes]
        longest = max((len(run) for block in blocks for run in re.findall(r"`+", block)), default=0)
        fence = "`" * max(3, longest + 1)
        found = [change.action for change in group.changes]
        counts = " ".join(f"{mark}{found.count(a)}" for a, mark in MARKS.items() if a in found)
        title = escape_html(group_title(group.clusters, plan.clusters))
        summary = f"<b>{title}</b>: {plural(len(found), 'change')} ({html.escape(counts)})"
        yield _Part(
            f"\n<details><summary>{summary}</summary>\n\n{fence}diff\n",
            blocks,
            f"{fence}\n\n</details>\n",
        )


# -- one change as a diff block --------------------------------------------------------------------


_MOST_FIELDS = 40
_MOST_LINES = 40
_LONGEST_LINE = 300
_COLUMN = {Action.CREATE: "+ ", Action.PRUNE: "- ", Action.FAILED: "! "}


def diff_of(change: Change) -> str:
    """The object with what happens to it, then its fields; every line ends with a line feed."""
    return "".join(f"{cut(visible(line), _LONGEST_LINE)}\n" for line in _lines(change))


def _lines(change: Change) -> Iterator[str]:
    note = note_of(change)
    name = key_text(change.key) + (f"  {note}" if note else "")
    yield _COLUMN.get(change.action, f"! {MARKS[change.action]} ") + name
    if change.error:
        yield f"!     {change.error}"
    if change.action is Action.CREATE:
        # What a new object is like stands in Git, beside this comment.
        return
    for field in change.fields[:_MOST_FIELDS]:
        yield from _field(field, change)
    if len(change.fields) > _MOST_FIELDS:
        yield f"      … {plural(len(change.fields) - _MOST_FIELDS, 'more field')}"
    yield from (f"      {kept_field_text(field)}" for field in change.stays[:_MOST_FIELDS])
    if len(change.stays) > _MOST_FIELDS:
        more = plural(len(change.stays) - _MOST_FIELDS, "more field")
        yield f"      … {more} that stay as they are"


def _field(field: FieldChange, change: Change) -> Iterator[str]:
    path = field.path
    why = why_field(field, change)
    owner = f"  ({why})" if why else ""
    if is_text(field):
        yield f"      {path}:{owner}"
        lines = line_diff(field)
        yield from (f"{sign}       {line}".rstrip() for sign, line in lines[:_MOST_LINES])
        if len(lines) > _MOST_LINES:
            yield f"        … {plural(len(lines) - _MOST_LINES, 'more line')}"
        return
    before, after = value_texts(field.before, field.after)
    if field.before is not ABSENT:
        yield f"-     {path}: {before}{owner}"
    if field.after is not ABSENT:
        yield f"+     {path}: {after}{owner if field.before is ABSENT else ''}"
