"""Plans for a pull request's comment. Pure."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

from reconciler.planning.plan import Action, ClusterPlan, Plan, RunResult
from reconciler.reporting.text import render_plan
from reconciler.reporting.wording import key_text, summary_line, visible

LIMIT = 65_536
_CUT = "\n\n*The rest was cut: it would not fit into a comment. Use `--report plan.json`.*\n"


def render_markdown(plan: Plan, *, limit: int = LIMIT) -> str:
    """Marker, warnings, tables, then each cluster's changes folded; whole blocks are cut at the end
    when the limit (characters) is near."""
    text = "\n".join(_head(plan))
    for cluster in plan.clusters:
        block = _details(cluster, plan)
        if block and len(text) + len(block) + len(_CUT) > limit:
            return text[: limit - len(_CUT)] + _CUT
        text += block
    return text


def render_result_markdown(result: RunResult) -> str:
    """The plan, and what failed or was skipped."""
    lines = [render_markdown(result.plan)]
    lines += [
        f"- **{o.status}** {escape(o.cluster)}: {escape(key_text(o.key))} {escape(o.message)}"
        for o in result.outcomes
        if o.status != "done"
    ]
    return "\n".join(lines) + "\n"


def escape(text: str) -> str:
    """Text that no Markdown or HTML in it can act through, on one line, mentioning nobody."""
    text = re.sub(r"([\\`*_{}\[\]()#+!|<>~])", r"\\\1", text.replace("\n", " "))
    return text.replace("@", "@\u200b")


def _head(plan: Plan) -> Iterator[str]:
    name = re.sub(r"[^A-Za-z0-9._-]", "", plan.federation)
    yield f"<!-- reconcile-plan:{name} -->"
    yield f"### {escape(summary_line(plan))}"
    yield ""
    for violation in plan.violations:
        yield f"- 🛑 {escape(violation)}"
    for cluster in plan.clusters:
        if not cluster.reachable:
            yield f"- ❌ {escape(cluster.name)} is left out: {escape(cluster.problem)}"
    for warning in plan.warnings:
        yield f"- ⚠️ {escape(warning)}"
    yield ""
    yield from _action_table(plan)
    yield from _replica_table(plan)


def _action_table(plan: Plan) -> Iterator[str]:
    actions = [a for a in Action if a is not Action.UNCHANGED]
    used = [a for a in actions if plan.summary()[a]]
    if not used:
        return
    yield "| cluster | " + " | ".join(used) + " | unchanged |"
    yield "| --- |" + " ---: |" * (len(used) + 1)
    for cluster in plan.clusters:
        counts = [str(sum(c.action is a for c in cluster.changes)) for a in used]
        yield f"| {escape(cluster.name)} | {' | '.join(counts)} | {cluster.unchanged} |"
    yield ""


def _replica_table(plan: Plan) -> Iterator[str]:
    rows = [row for row in plan.workloads if dict(row.before) != dict(row.after)]
    if not rows:
        return
    names = [cluster.name for cluster in plan.clusters]
    yield "| workload | " + " | ".join(escape(n) for n in names) + " | fits nowhere |"
    yield "| --- |" + " ---: |" * (len(names) + 1)
    for row in rows:
        cells = []
        for name in names:
            old, new = row.before.get(name, 0), row.after.get(name, 0)
            cells.append(str(new) if old == new else f"{old} → {new}")
        text = escape(f"{row.key.namespace}/{row.key.name}")
        yield f"| {text} | {' | '.join(cells)} | {row.shortfall or ''} |"
    yield ""


def _details(cluster: ClusterPlan, plan: Plan) -> str:
    if not cluster.changes:
        return ""
    alone = Plan(plan.federation, (cluster,))
    body = render_plan(alone, verbose=False)
    longest = max((len(run) for run in re.findall(r"`+", body)), default=0)
    fence = "`" * max(3, longest + 1)
    lines = [_diff_line(line) for line in body.splitlines()]
    count = len(cluster.changes)
    title = html.escape(visible(cluster.name))
    return (
        f"\n<details><summary>{title}: {count} change{'s' * (count != 1)}"
        f"</summary>\n\n{fence}diff\n" + "\n".join(lines) + f"\n{fence}\n\n</details>\n"
    )


def _diff_line(line: str) -> str:
    """The mark of a change in the first column, where diff highlighting looks for it."""
    match = re.match(r"^  ([-+~!&o±]) (.*)$", line)
    if not match:
        return " " + line
    mark = {"~": "!", "&": "!", "o": "!", "±": "!"}.get(match[1], match[1])
    return f"{mark} {match[2]}"
