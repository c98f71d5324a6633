"""What is no longer as it was when a plan was saved: two documents, compared. Pure.

Everything that a run would do is compared, and the live state of every object that it would touch.
Words that only explain (reasons, warnings, since when a cluster is unwell) are not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from reconciler.api.objects import GroupKind, ObjectKey, api_group, first_few
from reconciler.plan.model import ABSENT, NOT_WRITTEN
from reconciler.report.grouping import few_names, grouped_by_text
from reconciler.report.wording import PAST, dns_line, value_texts
from reconciler.rollout.words import short_commit, wave_name
from reconciler.saved_plans.document import SavedPlan

_NO_WRITE = frozenset(str(action) for action in NOT_WRITTEN)
_SHOWN_FIELDS = 3
_BETWEEN = (
    ("uid", "it was deleted and made again"),
    ("live", "it was changed in the cluster"),
    ("ours", "what an update rests on was changed in the cluster"),
    ("resourceVersion", "it was written to in the cluster"),
    ("request", "something else would be sent"),
    ("takeOver", "fields of other managers would be taken over"),
)
_LIVE = ("live", "ours", "resourceVersion")


def differences_of(saved: SavedPlan, now: SavedPlan) -> Iterator[str]:
    """In sentences, what it was made of first; nothing for the same plan."""
    yield from _of_sources(saved, now)
    yield from _of_violations(saved.plan, now.plan)
    yield from _of_rollouts(saved.plan.get("rollout"), now.plan.get("rollout"))
    planned = _writes(saved.plan)
    grouped = list(grouped_by_text(_of_fleet(saved, now)))
    all_seen = all(cluster["reachable"] for cluster in now.plan["clusters"])
    if grouped and planned and all_seen and not _writes(now.plan):
        yield f"none of its {planned} changes is to be made any more: was it applied meanwhile?"
    else:
        yield from (f"{few_names(names)}: {text}" for text, names in grouped)
    yield from _of_records(saved.plan["dns"], now.plan["dns"], now.plan.get("dnsErrors", ()))
    yield from _of_decisions(saved.plan.get("decisions", ()), now.plan.get("decisions", ()))


def _writes(plan: Mapping[str, Any]) -> int:
    return sum(plan["summary"][action] for action in PAST)


def _of_fleet(saved: SavedPlan, now: SavedPlan) -> Iterator[tuple[str, str]]:
    """(what is otherwise, in which cluster)."""
    then_by_name = {cluster["name"]: cluster for cluster in saved.plan["clusters"]}
    now_by_name = {cluster["name"]: cluster for cluster in now.plan["clusters"]}
    for name in sorted({*then_by_name, *now_by_name}):
        before, after = then_by_name.get(name), now_by_name.get(name)
        for text in _of_clusters(saved, now, before, after):
            yield text, name


# -- what it was made of ---------------------------------------------------------------------


def _of_sources(saved: SavedPlan, now: SavedPlan) -> Iterator[str]:
    made_by, running = saved.document["madeBy"], now.document["madeBy"]
    if made_by != running:
        yield f"it was made by reconcile {made_by}, and this is {running}"
    name, named_now = saved.plan["federation"], now.plan["federation"]
    if name != named_now:
        yield f"it was made for the Federation {name!r}, which is now {named_now!r}"
    before, after = saved.document["source"], now.document["source"]
    if before["commit"] != after["commit"]:
        ref = f" ({after['ref']})" if after["ref"] else ""
        text = f"the commit: it was {_commit(before)}, and is now {_commit(after)}{ref}"
        yield text
    elif sorted(before["uncommitted"]) != sorted(after["uncommitted"]) and before["commit"]:
        yield (
            f"files that are not as in the commit: {_some(before['uncommitted'])} then, "
            f"{_some(after['uncommitted'])} now"
        )
    # A commit that identifies all of them needs no rules beside it.
    if before["rules"] and after["rules"]:
        yield from _of_rules(before["rules"], after["rules"])


def _commit(source: Mapping[str, Any]) -> str:
    return source["commit"][:12] or "none"


def _some(names: Sequence[str]) -> str:
    return first_few(names, _SHOWN_FIELDS) or "none"


def _of_rules(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    for name in sorted({*before, *after}):
        if name not in after:
            yield f"the rules: {name} is gone"
        elif name not in before:
            yield f"the rules: {name} is new"
        elif before[name] != after[name]:
            yield f"the rules: {name} was edited"


def _of_violations(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    for text in after["violations"]:
        if text not in before["violations"]:
            yield f"a limit is passed now: {text}"


# -- the rollout -----------------------------------------------------------------------------


def _of_rollouts(
    before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
) -> Iterator[str]:
    """A plan holds for its wave. That a wave soaked longer meanwhile changes no write."""
    if before is None or after is None:
        if before is not after:
            yield f"commits {'no longer' if before else 'now'} reach the fleet in waves"
        return
    for name, what in (("candidate", "the commit on its way"), ("stable", "the stable commit")):
        if before[name] != after[name]:
            then, now = (short_commit(one[name]) for one in (before, after))
            yield f"the rollout: {what} was {then}, and is now {now}"
    if before["candidate"] == after["candidate"]:
        then, now = _current(before), _current(after)
        if then != now:
            yield f"the rollout: it was in {then}, and is now in {now}"
        if before["atOnce"] != after["atOnce"]:
            how = "now reaches" if after["atOnce"] else "no longer reaches"
            yield f"the rollout: it {how} all clusters at once"
    commits, commits_now = _commits(before), _commits(after)
    pairs = (
        (
            f"it was to be on {short_commit(commits[name])}, and is now to be on "
            f"{short_commit(commits_now[name])}",
            name,
        )
        for name in sorted(commits.keys() & commits_now.keys())
        if commits[name] != commits_now[name]
    )
    for text, names in grouped_by_text(pairs):
        yield f"{few_names(names)}: {text}"


def _current(rollout: Mapping[str, Any]) -> str:
    waves = rollout["waves"]
    for index, wave in enumerate(waves):
        if wave["state"] == "current":
            return wave_name(index, len(waves), wave["name"])
    return "no wave"


def _commits(rollout: Mapping[str, Any]) -> dict[str, str]:
    return {one["name"]: one["commit"] for wave in rollout["waves"] for one in wave["clusters"]}


# -- clusters and their objects --------------------------------------------------------------


def _of_clusters(
    saved: SavedPlan,
    now: SavedPlan,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
) -> Iterator[str]:
    if after is None:
        yield "the plan no longer has this cluster"
    elif before is None:
        yield "the plan did not have this cluster"
    elif before["reachable"] and not after["reachable"]:
        yield f"it cannot be looked at now: {after['problem']}"
    elif after["reachable"] and not before["reachable"]:
        yield "it could not be looked at when the plan was made, and can be now"
    else:
        if bool(before["pruneBlocked"]) != bool(after["pruneBlocked"]):
            why = after["pruneBlocked"]
            yield f"nothing is pruned there now: {why}" if why else "pruning need not wait now"
        name = before["name"]
        seals = saved.document["touched"].get(name, {}), now.document["touched"].get(name, {})
        yield from _of_changes(before["changes"], after["changes"], *seals)


def _of_changes(
    before: Sequence[Mapping[str, Any]],
    after: Sequence[Mapping[str, Any]],
    sealed: Mapping[str, Any],
    sealed_now: Mapping[str, Any],
) -> Iterator[str]:
    then = {_key(change): change for change in before}
    now = {_key(change): change for change in after}
    for key in sorted({*then, *now}):
        name = str(key)
        old, new = then.get(key), now.get(key)
        if new is None:
            if old and old.get("waits"):
                yield f"{name}: waited when the plan was made, and is as wanted, or is kept, now"
            elif old and old["action"] not in _NO_WRITE:
                yield f"{name}: no longer to {old['action']}: it is as wanted, or is kept"
            elif old:
                yield f"{name}: was refused when the plan was made, and is not now"
        elif old is None:
            why = new["reason"] or new["error"]
            yield f"{name}: now to {new['action']}, which was not planned: {why}"
        elif old["action"] != new["action"]:
            why = new["reason"] or new["error"]
            if sealed.get(name, {}).get("uid") != sealed_now.get(name, {}).get("uid"):
                why = f"{_BETWEEN[0][1]}; {why}"
            yield f"{name}: now to {new['action']}, not to {old['action']}: {why}"
        elif bool(old.get("waits")) != bool(new.get("waits")):
            yield f"{name}: {_no_longer_open(old, new)}"
        elif new["action"] not in _NO_WRITE and not new.get("waits"):
            found = list(_of_one(old, new, sealed.get(name, {}), sealed_now.get(name, {})))
            if found:
                yield f"{name}: {', '.join(found)}"


def _no_longer_open(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    if new.get("waits"):
        return f"could be written when the plan was made, and now {new['waits']}"
    return f"was to wait when the plan was made ({old['waits']}), and would be written now"


def _of_one(
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    seal: Mapping[str, Any],
    seal_now: Mapping[str, Any],
) -> Iterator[str]:
    for name, told in _BETWEEN:
        if seal.get(name) != seal_now.get(name):
            yield told + (_by_whom(seal, seal_now) if name in _LIVE else "")
    for name in ("apiVersion", "force", "propagation"):
        if old[name] != new[name]:
            yield f"{name} is {new[name]}, not {old[name]}"
    fields = list(_of_fields(old["fields"], new["fields"]))
    stays, stay_now = ({field["path"] for field in one["stays"]} for one in (old, new))
    fields += [f"{path} does not stay now" for path in sorted(stays - stay_now)]
    fields += [f"{path} stays now" for path in sorted(stay_now - stays)]
    yield from fields[:_SHOWN_FIELDS]
    if len(fields) > _SHOWN_FIELDS:
        yield f"and {len(fields) - _SHOWN_FIELDS} more fields"


def _by_whom(seal: Mapping[str, Any], seal_now: Mapping[str, Any]) -> str:
    """``: data.size by kubectl-edit``; of what is gone or hidden, who wrote last."""
    then, now = seal.get("fields", {}), seal_now.get("fields", {})
    last = seal_now.get("writer", "")
    named = []
    for path in sorted({*then, *now}):
        if then.get(path, [""])[0] != now.get(path, [""])[0]:
            by = ", ".join(now.get(path, [""])[1:]) or last
            named.append(f"{path} by {by}" if by else path)
    if named:
        return f": {first_few(named, _SHOWN_FIELDS)}"
    return f", last by {last}" if last else ""


def _of_fields(
    before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    then = {field["path"]: field for field in before}
    now = {field["path"]: field for field in after}
    for path in sorted({*then, *now}):
        old, new = then.get(path), now.get(path)
        if new is None:
            yield f"{path} does not change now"
        elif old is None:
            yield f"{path} changes now: {_step(new)}"
        elif _values(old) != _values(new):
            yield f"{path} is now {_step(new)}, not {_step(old)}" + _owned_by(new)
        elif old.get("managers") != new.get("managers"):
            yield f"{path} has other owners than then" + _owned_by(new)


def _owned_by(field: Mapping[str, Any]) -> str:
    owners = field.get("managers")
    return f" (owned by {', '.join(owners)})" if owners else ""


def _values(field: Mapping[str, Any]) -> bytes:
    """JSON tells 1 from true, which Python does not."""
    sides = {side: field[side] for side in ("from", "to") if side in field}
    return orjson.dumps(sides, option=orjson.OPT_SORT_KEYS)


def _step(field: Mapping[str, Any]) -> str:
    return " -> ".join(value_texts(field.get("from", ABSENT), field.get("to", ABSENT)))


def _key(change: Mapping[str, Any]) -> ObjectKey:
    kind = GroupKind(api_group(change["apiVersion"]), change["kind"])
    return ObjectKey(*kind, change["namespace"], change["name"])


def _of_records(
    before: Sequence[Mapping[str, Any]],
    after: Sequence[Mapping[str, Any]],
    errors: Sequence[str],
) -> Iterator[str]:
    then = {_record_key(record): record for record in before}
    now = {_record_key(record): record for record in after}
    if then.keys() - now.keys():
        # A zone that cannot be read is worded otherwise each time; that its records are gone tells.
        yield from errors
    for key in sorted({*then, *now}):
        old, new = then.get(key), now.get(key)
        if old is None or new is None:
            what = "not planned" if old is None else "no longer to be written"
            yield f"DNS, {what}: {dns_line({**(new or old or {}), 'reason': ''})}"
        elif (old.get("from"), old.get("to")) != (new.get("from"), new.get("to")):
            yield f"DNS, otherwise than planned: {dns_line({**new, 'reason': ''})}"


def _of_decisions(
    before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    then, now = ({(o["namespace"], o["name"]): o for o in each} for each in (before, after))
    for key in sorted({*then, *now}):
        if then.get(key) != now.get(key):
            yield f"PlacementDecision {'/'.join(key)} is to be otherwise than planned"


def _record_key(record: Mapping[str, Any]) -> tuple[str, str, str]:
    return str(record.get("zone", "")), str(record["name"]), str(record["type"])
