"""Plans and results for the terminal: what a reviewer can read in a minute. Pure.

No terminal library: a run without changes would pay for it.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from msgspec import Struct

from reconciler.plan.model import (
    Action,
    Change,
    ClusterPlan,
    FieldChange,
    Outcome,
    Plan,
    RunResult,
    WorkloadRow,
)
from reconciler.report.grouping import (
    ChangeGroup,
    avoided,
    comparison,
    few_names,
    group_title,
    grouped,
    grouped_by_text,
    is_text,
    line_diff,
)
from reconciler.report.headlines import (
    closed_clusters,
    health_headlines,
    rollout_warnings,
    unreachable_clusters,
)
from reconciler.report.terminal import painted, shown, unpainted
from reconciler.report.wording import (
    MARKS,
    addition_text,
    changed_rows,
    contrast,
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
    unwritten_records,
    value_texts,
    why_field,
)

if TYPE_CHECKING:
    from reconciler.rollout.model import RolloutView

BOLD, DIM, RED, GREEN, YELLOW, MAGENTA, CYAN = "1", "2", "31", "32", "33", "35", "36"
ALARM = "31;1"
_COLOURS = {
    Action.CREATE: GREEN,
    Action.UPDATE: YELLOW,
    Action.ADOPT: CYAN,
    Action.RECREATE: MAGENTA,
    Action.PRUNE: RED,
    Action.ORPHAN: CYAN,
    Action.FAILED: ALARM,
    Action.TERMINATING: ALARM,
    Action.WAITING: YELLOW,
    Action.UNCHANGED: DIM,
}
_SHOWN_FIELDS = 12
_SHOWN_LINES = 10
_SHOWN_CLUSTERS = 6
_SHOWN_STEPS = 4
_LEAST_WIDTH = 40
_ARROW = "\u2007->\u2007"
"""An arrow between two values, at which no line is broken."""


class Style(Struct, frozen=True):
    """How to write: with colours or not, how wide, every field of a creation or its essence."""

    colour: bool = False
    width: int = 100
    verbose: bool = False

    def paint(self, text: str, code: str) -> str:
        """Part of a line; ``code`` may be empty."""
        return painted(text, code) if code else text

    def finished(self, lines: Iterable[str]) -> str:
        """The lines as they are written: this alone escapes, and colours."""
        return "".join(f"{shown(line, colour=self.colour)}\n" for line in lines)

    def wrapped(self, first: str, text: str, hanging: int, code: str = "") -> Iterator[str]:
        """``first`` and ``text`` in lines that fit, those after the first indented."""
        lines = textwrap.wrap(
            (first + text.replace("\n", "⏎")).replace(" -> ", _ARROW),
            max(self.width, _LEAST_WIDTH),
            subsequent_indent=" " * hanging,
            break_long_words=False,
            break_on_hyphens=False,
        )
        for line in lines:
            yield self.paint(line.replace(_ARROW, " -> "), code)


def render_plan(
    plan: Plan,
    *,
    colour: bool = False,
    width: int = 100,
    verbose: bool = False,
    next_step: str = "",
) -> str:
    """The whole plan: warnings first, the summary last, and after it ``next_step`` if given."""
    style = Style(colour, width, verbose)
    blocks = [
        list(_notices(plan, style)),
        *(_group_lines(group, plan.clusters, style) for group in grouped(plan)),
        list(_addition_lines(plan, style)),
        list(_replica_lines(plan.workloads, style)),
        list(_move_lines(plan, style)),
        list(_dns_lines(plan, style)),
        list(_decision_lines(plan, style)),
        list(_avoided_lines(plan, style)),
        list(_road_lines(plan.rollout, style)) if plan.rollout else [],
        list(_closing(plan, style, next_step)),
    ]
    return "\n".join(style.finished(block) for block in blocks if block)


def render_result(
    result: RunResult,
    *,
    colour: bool = False,
    width: int = 100,
    verbose: bool = False,
    with_plan: bool = True,
    next_step: str = "",
) -> str:
    """What was done; ``with_plan`` shows first what was to be done."""
    style = Style(colour, width, verbose)
    plan = result.plan
    text = ""
    shows_plan = with_plan and _is_worth_telling(plan)
    if shows_plan:
        text = render_plan(plan, colour=colour, width=width, verbose=verbose) + "\n"
    lines = [] if with_plan else list(_checked_lines(result, style))
    if plan.rollout and not shows_plan:
        lines += _rollout_line(plan.rollout, style)
    lines += _outcome_lines(result.outcomes, style)
    for zone, trouble in unwritten_records(result):
        lines += style.wrapped("! ", f"DNS {zone}: {trouble}", 2, RED)
    for warning in result.warnings:
        lines += _warning(warning, style)
    for one in result.errors:
        lines += style.wrapped("! ", str(one), 2, ALARM)
    if result.stopped:
        lines += style.wrapped("Stopped: ", result.stopped, 2, ALARM)
    if not with_plan:
        lines += _unreachable(plan, style)
        for error in plan.dns_errors:
            lines += style.wrapped("! ", error, 2, ALARM)
    line = result_line(result)
    if shows_plan:
        # The plan has just ended with its own.
        line = line.removesuffix(summary_line(plan)).strip()
    lines += style.wrapped("", line, 2, "32;1" if result.ok else ALARM)
    if next_step:
        lines += style.wrapped("", next_step, 2)
    return (text if lines else text.removesuffix("\n")) + style.finished(lines)


def _is_worth_telling(plan: Plan) -> bool:
    """Whether a run that may have had nothing to do still has something to say."""
    found = plan.has_changes or plan.has_failures or plan.warnings or plan.violations or plan.moves
    waits = any(change.waits for cluster in plan.clusters for change in cluster.changes)
    news = plan.rollout and (plan.rollout.events or any(rollout_warnings(plan.rollout)))
    return (
        bool(found or waits or news)
        or any(c.additions for c in plan.clusters)
        or any(health_headlines(plan))
    )


def _notices(plan: Plan, style: Style) -> Iterator[str]:
    """What must be known before the rest is read."""
    if plan.base:
        yield from style.wrapped("Compared with ", comparison(plan.base), 2, CYAN)
    if plan.rollout and plan.rollout.complete:
        text = "this is what the whole fleet comes to; the order is below"
        yield from style.wrapped("Rollout: ", text, 2, CYAN)
    for outage in plan.simulated_outages:
        yield from style.wrapped("Simulated: an outage of ", outage, 2, "35;1")
    yield from _unreachable(plan, style)
    for text, names in closed_clusters(plan):
        yield from style.wrapped("Closed: ", f"{few_names(names)}: {text}", 2, YELLOW)
    for violation in plan.violations:
        yield from style.wrapped("Stopped by a guard: ", str(violation), 2, ALARM)
    for urgent in plan.despite_guards:
        yield from style.wrapped("  ", str(urgent), 4)
    for error in plan.dns_errors:
        yield from style.wrapped("! ", error, 2, ALARM)
    for text in health_headlines(plan):
        yield from _warning(text, style)
    for text, loud in rollout_warnings(plan.rollout):
        if loud:
            yield from style.wrapped("! ", f"Rollout: {text}", 2, ALARM)
        else:
            yield from _warning(text, style)
    blocked = ((c.prune_blocked, c.name) for c in plan.clusters if c.prune_blocked)
    for reason, names in grouped_by_text(blocked):
        who = ", ".join(names) if style.verbose else few_names(names)
        yield from _warning(f"nothing is pruned in {who}: {reason}", style)
    for warning in plan.warnings:
        yield from _warning(warning, style)


def _warning(text: str, style: Style) -> Iterator[str]:
    first, *rest = style.wrapped("Warning: ", text, 2)
    yield first.replace("Warning:", style.paint("Warning:", "33;1"), 1)
    yield from rest


def _unreachable(plan: Plan, style: Style) -> Iterator[str]:
    for problem, names in unreachable_clusters(plan):
        who = ", ".join(names) if style.verbose else few_names(names)
        text = f"{who} {'is' if len(names) == 1 else 'are'} {problem}"
        yield from style.wrapped("! ", text, 2, ALARM)


def _group_lines(group: ChangeGroup, fleet: Sequence[ClusterPlan], style: Style) -> list[str]:
    title = group_title(group.clusters, fleet, every_name=style.verbose)
    lines = list(style.wrapped("", title, 2, BOLD))
    for key, changes in group.by_kind():
        lines.append(f"  {kind_name(key)}")
        for change in changes:
            lines += _change_lines(change, style)
    return lines


def _change_lines(change: Change, style: Style) -> Iterator[str]:
    name = f"{MARKS[change.action]} {object_name(change.key)}"
    mark = style.paint(name, _COLOURS[change.action])
    note = note_of(change)
    if note and len(name) + len(note) + 6 <= style.width:
        yield f"    {mark}  {style.paint(note, DIM)}"
    else:
        yield f"    {mark}"
        if note:
            yield from style.wrapped(" " * 8, note, 8, DIM)
    if change.error:
        yield from style.wrapped(" " * 8, change.error, 8, RED)
    if style.verbose and change.origin:
        yield style.paint(f"        {change.origin}", DIM)
    if change.action is Action.CREATE and not style.verbose:
        return
    shown = change.fields if style.verbose else change.fields[:_SHOWN_FIELDS]
    for field in shown:
        yield from _field_lines(field, change, style)
    if len(change.fields) > len(shown):
        more = plural(len(change.fields) - len(shown), "more field")
        yield style.paint(f"        … and {more} (--verbose shows all)", DIM)
    staying = change.stays if style.verbose else change.stays[:_SHOWN_FIELDS]
    yield from (style.paint(f"        {kept_field_text(field)}", DIM) for field in staying)
    if len(change.stays) > len(staying):
        more = plural(len(change.stays) - len(staying), "more field")
        text = f"… and {more} that stay as they are (--verbose shows all)"
        yield style.paint(f"        {text}", DIM)


def _field_lines(field: FieldChange, change: Change, style: Style) -> Iterator[str]:
    """The field, and why just this one changes: beside it, or below it where there is no room."""
    lines = list(_value_lines(field, change, style))
    why = why_field(field, change)
    if not why:
        yield from lines
        return
    first, *rest = lines
    if len(unpainted(first)) + len(why) + 4 <= style.width:
        yield f"{first}  {style.paint(f'({why})', DIM)}"
        yield from rest
    else:
        yield from lines
        yield from style.wrapped(" " * 10, f"({why})", 10, DIM)


def _value_lines(field: FieldChange, change: Change, style: Style) -> Iterator[str]:
    path, indent = field.path, " " * 8
    if is_text(field):
        yield f"{indent}{path}:"
        lines = line_diff(field)
        shown = lines if style.verbose else lines[:_SHOWN_LINES]
        for sign, line in shown:
            code = {"-": RED, "+": GREEN}.get(sign, DIM)
            yield style.paint(f"{indent}  {sign} {cut(line, style.width - 12)}".rstrip(), code)
        if len(lines) > len(shown):
            yield style.paint(f"{indent}    … {plural(len(lines) - len(shown), 'more line')}", DIM)
        return
    before, after = value_texts(field.before, field.after)
    new = change.action is Action.CREATE
    room = style.width - len(indent) - len(path) - 2
    wanted = len(before) + len(after) + 4
    if wanted <= room or room >= 44:
        yield f"{indent}{path}: {_values(before, after, room, style, creation=new)}"
    else:
        # The path takes the line; the values follow on their own.
        yield f"{indent}{path}:"
        yield f"{indent}  {_values(before, after, style.width - 10, style, creation=new)}"


def _values(before: str, after: str, room: int, style: Style, *, creation: bool) -> str:
    if creation:
        return style.paint(cut(after, room), GREEN)
    if len(before) + len(after) + 4 > room:
        before, after = contrast(before, after, (room - 4) // 2)
    return f"{style.paint(before, RED)} -> {style.paint(after, GREEN)}"


def _addition_lines(plan: Plan, style: Style) -> Iterator[str]:
    """What people added and what stays, for each cluster; nothing is written about it."""
    found = [(cluster, one) for cluster in plan.clusters for one in cluster.additions]
    if found:
        yield style.paint("Added by others (stays, as spec.drift says)", BOLD)
    shown = found if style.verbose else found[:_SHOWN_FIELDS]
    for cluster, one in shown:
        yield f"  {cluster.name}: {key_text(one.key)}"
        fields = one.fields if style.verbose else one.fields[:_SHOWN_FIELDS]
        yield from (style.paint(f"      {addition_text(field)}", YELLOW) for field in fields)
        if len(one.fields) > len(fields):
            more = plural(len(one.fields) - len(fields), "more field")
            yield style.paint(f"      … and {more} (--verbose shows all)", DIM)
    if len(found) > len(shown):
        more = plural(len(found) - len(shown), "more object")
        yield style.paint(f"  … and {more} (--verbose shows all)", DIM)


def _replica_lines(rows: Sequence[WorkloadRow], style: Style) -> Iterator[str]:
    changed = changed_rows(rows)
    if not changed:
        return
    yield style.paint("Replicas", BOLD)
    for row in changed:
        text = "; ".join(_replica_parts(row, style))
        yield from style.wrapped(f"  {object_name(row.key)}: ", text, 6)
        if row.shortfall:
            yield style.paint(f"      {row.shortfall} fit nowhere", ALARM)


def _replica_parts(row: WorkloadRow, style: Style) -> Iterator[str]:
    homes = len({*row.before, *row.after})
    steps = replica_steps(row)
    changing = [step for step in steps if step[0] != step[1]]
    same = [step for step in steps if step[0] == step[1]]
    shown = changing if style.verbose else changing[:_SHOWN_STEPS]
    for old, new, names in shown:
        yield f"{', '.join(names) if style.verbose else few_names(names)} {_step(old, new)}"
    if len(changing) > len(shown):
        yield plural(sum(len(names) for _, _, names in changing[len(shown) :]), "more cluster")
    if same and (homes <= _SHOWN_CLUSTERS or style.verbose):
        yield from (f"{', '.join(names)} {count}" for count, _, names in same)
    elif same:
        yield f"{plural(sum(len(names) for _, _, names in same), 'cluster')} as before"
    if homes > 1:
        yield f"in all {_step(sum(row.before.values()), sum(row.after.values()))}"


def _step(old: int, new: int) -> str:
    return str(new) if old == new else f"{old} -> {new}"


def _move_lines(plan: Plan, style: Style) -> Iterator[str]:
    if plan.moves:
        yield style.paint("Moves", BOLD)
    for move in plan.moves:
        yield from style.wrapped("  ", str(move), 4)


def _dns_lines(plan: Plan, style: Style) -> Iterator[str]:
    if plan.dns:
        yield style.paint("DNS", BOLD)
    for record in plan.dns:
        action = dns_action(record)
        yield from style.wrapped(f"  {MARKS[action]} ", dns_line(record), 6, _COLOURS[action])


def _decision_lines(plan: Plan, style: Style) -> Iterator[str]:
    if plan.decisions:
        yield style.paint("Placement decisions", BOLD)
    for one in plan.decisions:
        yield from style.wrapped(f"  {MARKS[one.action]} ", str(one), 6, _COLOURS[one.action])


def _avoided_lines(plan: Plan, style: Style) -> Iterator[str]:
    found = avoided(plan)
    if found and plan.base:
        yield style.paint(f"No longer, as {plan.base.ref} would", BOLD)
    for action, text in found:
        yield from style.wrapped(f"  {MARKS[action]} ", text, 6, DIM)


_STATE_COLOURS = {"done": GREEN, "current": BOLD, "coming": ""}


def _rollout_line(view: RolloutView, style: Style) -> Iterator[str]:
    from reconciler.report.rollout import headline, is_told

    if is_told(view):
        yield from style.wrapped("", headline(view), 2)


def _road_lines(view: RolloutView, style: Style, *, always: bool = False) -> Iterator[str]:
    """The rollout wave by wave, where there is something to say of it, or ``always``."""
    from reconciler.report.rollout import (
        FAILED,
        HELD,
        happenings,
        headline,
        is_told,
        road_end,
        stages,
    )

    if not (always or is_told(view)):
        return
    trouble = {FAILED: ALARM, HELD: YELLOW}.get(view.phase, BOLD)
    yield from style.wrapped("", headline(view), 2, trouble)
    for text in happenings(view):
        yield from style.wrapped("  ", text, 4)
    if not view.candidate and view.phase != HELD:
        return
    found = list(stages(view, every_name=style.verbose))
    width = max((len(one.title) for one in found), default=0)
    for one in found:
        title = f"  {one.title:<{width}}  "
        yield from style.wrapped(title, one.status, 6, _STATE_COLOURS[one.state])
        for who, text in one.lines:
            yield from style.wrapped(f"      {who}: ", text, 8)
        if not one.lines:
            yield style.paint("      no cluster", DIM)
    for line in road_end(view):
        yield from style.wrapped("  ", line, 4)


def render_rollout(view: RolloutView, *, colour: bool = False, width: int = 100) -> str:
    """The rollout alone."""
    style = Style(colour, width)
    return style.finished(_road_lines(view, style, always=True))


def _closing(plan: Plan, style: Style, next_step: str) -> Iterator[str]:
    if plan.violations:
        begin = "Nothing else" if plan.despite_guards else "Nothing"
        text = f"{begin} will be written. {_sentence(plan.violation_hint)}".strip()
        yield from style.wrapped("", text, 2, ALARM)
    yield from style.wrapped("", summary_line(plan), 2, BOLD)
    if next_step:
        yield from style.wrapped("", next_step, 2)


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:].rstrip('.')}." if text else ""


def _checked_lines(result: RunResult, style: Style) -> Iterator[str]:
    """What the server said of changes that nobody could check when the plan was shown."""
    for cluster, change in result.checked:
        name = f"{cluster}: {kind_name(change.key)}, as checked before it was written"
        yield from style.wrapped("", name, 2, BOLD)
        yield from _change_lines(change, style)


def _outcome_lines(outcomes: Sequence[Outcome], style: Style) -> Iterator[str]:
    """What failed, was skipped, or did not come to its end; clusters in which the same happened are
    told together."""

    def by_words(outcome: Outcome) -> tuple[bool, tuple[str, ...], str, str]:
        return outcome.status != "failed", tuple(outcome.key), outcome.action, outcome.message

    undone = sorted((o for o in outcomes if o.status != "done" or o.message), key=by_words)
    for _, same in groupby(undone, key=by_words):
        grouped_by_text = list(same)
        first = grouped_by_text[0]
        failed = first.status == "failed"
        where = few_names([outcome.cluster for outcome in grouped_by_text])
        text = f"{where}: {key_text(first.key)}: {first.action} {first.status}"
        text += f": {first.message}" if first.message else ""
        yield from style.wrapped("! " if failed else "· ", text, 2, RED if failed else YELLOW)
