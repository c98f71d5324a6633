"""A plan that was compared with a base: what was left out, and what no longer happens. Pure."""

from __future__ import annotations

from reconciler.objects import ObjectKey
from reconciler.planning.plan import Action, AgainstBase, Plan
from reconciler.reporting.grouping import few
from reconciler.reporting.wording import dns_action, dns_line, key_text, note_of, plural, visible


def comparison(base: AgainstBase) -> str:
    """``main (3f1c2a9b77d0): 3 changes and 1 warning that it has as well are left out``."""
    name = visible(base.ref) + (f" ({base.commit[:12]})" if base.commit else "")
    if base.problem:
        return f"{name}: everything is shown, as {visible(base.problem)}"
    out = base.left_out
    counts = (
        (out.changes, "change"),
        (out.refused, "refused object"),
        (out.records, "DNS record"),
        (out.warnings, "warning"),
    )
    parts = [plural(count, word) for count, word in counts if count]
    if not parts:
        return f"{name}: nothing had to be left out"
    told = " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))
    one = sum(count for count, _ in counts) == 1
    return f"{name}: {told} that it has as well {'is' if one else 'are'} left out"


def avoided(plan: Plan) -> list[tuple[Action, str]]:
    """What the base would do and the head does not: the action, and the object, where, and why."""
    if plan.base is None:
        return []
    homes: dict[tuple[Action, ObjectKey, str], list[str]] = {}
    for one in plan.base.avoided:
        change = one.change
        homes.setdefault((change.action, change.key, note_of(change)), []).append(one.cluster)
    found = [
        (action, f"{key_text(key)} in {few(names)}" + (f": {why}" if why else ""))
        for (action, key, why), names in homes.items()
    ]
    return found + [(dns_action(one), dns_line(one)) for one in plan.base.avoided_records]
