"""Asking a member's API server, by dry runs, what an apply of one object would do."""

from __future__ import annotations

import dataclasses
import fnmatch
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import orjson
from msgspec import Struct
from msgspec.structs import replace

from reconciler.api.errors import ApiError, Conflict, Invalid, NotFound, Throttled
from reconciler.api.field_path import ends_of
from reconciler.api.objects import DEFAULT_NAMESPACE, Object, RedactedRepr
from reconciler.api.reasons import Cause, Reason
from reconciler.cluster.client import Member
from reconciler.cluster.discovery import RESTMapping
from reconciler.cluster.refusals import TOO_LARGE
from reconciler.federation.model import AdoptionRules
from reconciler.inventory.managed_fields import (
    Fields,
    entries_of,
    fields_of,
    is_ours,
    our_entry,
    owned_fields,
    owned_paths,
    union,
    with_all_below,
    without,
)
from reconciler.inventory.records import AppliedRecord, Digester, Footprint
from reconciler.plan import field_ownership
from reconciler.plan.additions import AdditionFinder, FoundAdditions
from reconciler.plan.custom_resources import (
    NO_CHANGE,
    Definition,
    as_git_says,
    entry_migration_command,
    refused_version,
    stale_entries_in,
)
from reconciler.plan.diff import Comparison, Question
from reconciler.plan.fields import (
    REPLICAS_FIELD,
    changed_fields,
    fields_at,
    leaf_fields,
    recreated_fields,
)
from reconciler.plan.ignored import (
    disowning,
    owned_but_not_sent,
    owned_ignored_fields,
    with_live_ignored,
)
from reconciler.plan.model import Action, Addition, Change, FieldChange, UnlistedKind
from reconciler.plan.reasons import FieldReasons, overridden_managers, reasons_of_object
from reconciler.plan.redact import refusal_words, refused_fields, shown_paths
from reconciler.plan.refused_updates import (
    UpdateRefusal,
    apply_by_another_name,
    dry_run_replacing,
    entries_for_apply,
    holders_of,
    named_by,
    refusal_of,
    removals_needed,
    try_as_new,
    with_values_of,
    without_server_additions,
)
from reconciler.plan.requests import ApplyTarget, with_running_replicas
from reconciler.plan.server_values import with_server_chosen
from reconciler.render.run_once import is_collected

_CHECKED_LATER = Reason(
    Cause.CHECKED_LATER, detail="by the server once its CustomResourceDefinition is written"
)
_IS_NEW = (Reason(Cause.NEW),)
_CHECKED_THEN = Reason(Cause.CHECKED_LATER, detail="by the server then")
LEFT_TO_OTHERS = "left to others"
_OWNER = re.compile(r'conflict with "((?:[^"\\]|\\.)*)"')

_ETCD_LIMIT = 1_572_864
"""Bytes of one request, unless etcd's --max-request-bytes says otherwise."""


class Checked(Struct, frozen=True, gc=False):
    """The verdict on one object: a change, or (None) unchanged with the record to remember.

    ``invalid`` marks a manifest that the server refuses as such, which is bad input rather than
    one cluster's trouble. ``unservable`` marks one whose kind or namespace the cluster lacks, which
    is bad input when it is so in every cluster. ``added`` is what people added to the object, and
    what stays there.
    """

    target: ApplyTarget
    change: Change | None
    record: AppliedRecord | None = None
    fields: Fields | None = None
    invalid: bool = False
    unservable: bool = False
    added: tuple[Addition, ...] = ()


HELM = "helm"
"""The field manager of `helm install`: an Update of Helm 3, an Apply of Helm 4."""


class ApplyRules(Struct, frozen=True):
    """What the rules allow in this run. ``recorded`` gives a past apply's field tree by its E,
    ``recreation`` the deletion that a recreation begins with, or why there must be none."""

    digester: Digester
    adoption: AdoptionRules
    force_conflicts: bool
    recreation: Callable[[ApplyTarget, Object], Change | str]
    recorded: Callable[[str], Fields | None]
    addition_finder: AdditionFinder

    def of(self, target: ApplyTarget) -> ApplyRules:
        """Those for one object: what a chart renders is taken over from an earlier helm, too."""
        if not target.desired.rules.chart:
            return self
        taken = (*self.adoption.take_over, HELM)
        return replace(self, adoption=replace(self.adoption, take_over=taken))


def check_existing(
    member: Member,
    target: ApplyTarget,
    body: Object,
    live: Object,
    comparison: Comparison,
    previous: AppliedRecord | None,
    apply_rules: ApplyRules,
    definition: Definition = NO_CHANGE,
    *,
    adopting: bool = False,
) -> Checked:
    """Dry-run the apply against the live object and say what would change.

    Where ``definition`` changes, the server judges by the old one: what it says is reported as not
    checked yet, and no refusal of it counts.
    """
    if stale_entries_in(live, definition.dropped).ours:
        return unchecked(target, body, live, definition, adopting=adopting)
    resource = _resource(target)
    force = took = False
    # What cannot be taken out of an adopted object stays in it, and is reported.
    fixed: Fields = {}

    def ask() -> Object:
        return member.apply(resource, target.key, body, force=force, dry_run=True)

    def with_claims(
        answer: Object,
    ) -> tuple[Object, field_ownership.OwnershipChange, FoundAdditions]:
        nonlocal fixed
        added = apply_rules.addition_finder.find(answer, target.desired)
        dry_run = dry_run_replacing(member, resource, target.key, live)
        while True:
            ownership_after = field_ownership.ownership_change(
                live, answer, recorded, adoption, added, fixed
            )
            if not ownership_after.claim:
                return answer, ownership_after, added
            try:
                return (
                    dry_run(without_server_additions(live, ownership_after.result)),
                    ownership_after,
                    added,
                )
            except Invalid as error:
                named = (
                    named_by(error, ownership_after.claim) if adoption and error.code == 422 else {}
                )
                if not named:
                    raise
                fixed = union(fixed, named)

    recorded: Fields = {}
    if previous is not None and previous.api_version == body["apiVersion"]:
        recorded = apply_rules.recorded(previous.entry) or {}
    adoption = apply_rules.adoption if adopting else None
    try:
        try:
            answer = ask()
        except Conflict as conflict:
            if not _may_force(conflict, target, previous, comparison, apply_rules, adopting):
                return _conflicting(target, conflict, adopting)
            force = True
            answer = ask()
        result, ownership_after, added = with_claims(answer)
        promised = with_server_chosen(live, result, body, lambda: with_claims(ask())[0])
    except Invalid as error:
        if definition.changes:
            return unchecked(target, body, live, definition, adopting=adopting)
        try:
            found = _refused(member, target, body, live, error, apply_rules, recorded, adoption)
            if isinstance(found, Checked):
                return found
            live, ownership_after, added = found.live, found.ownership_after, found.added
            answer = found.answer
            result = found.ask()
            promised = with_server_chosen(live, result, body, found.ask)
        except ApiError as other:
            return _failed(target, _words(target, other, body, live))
        took = found.forced
    except ApiError as error:
        if version := refused_version(error):
            stuck = Definition(dropped=frozenset({version}), stays=target.kind.api_version)
            return _unstuck(target, body, live, stuck, error, adopting=adopting)
        return _failed(target, _words(target, error, body, live))
    if too_large := _too_large(result):
        return _failed(target, too_large)
    field_reasons = FieldReasons(
        live, answer, recorded, comparison.question, forced=force or took, adopting=adopting
    )
    fields = changed_fields(live, promised, field_reasons.why)
    after = apply_rules.digester.footprint(result)
    leaving = owned_ignored_fields(result, target.desired.rules.ignore)
    settled = apply_rules.digester.footprint(_disowned(result, leaving)) if leaving else after
    same_entry = (
        settled is not None
        and comparison.footprint is not None
        and settled.entry == comparison.footprint.entry
    )
    stays = field_ownership.fields_that_stay(ownership_after, result, target.body)
    if adopting or not (recorded or comparison.footprint):
        stays += field_ownership.fields_not_in_git(
            result, _made_from_git(member, resource, target, body)
        )
    # What becomes ours for a moment only was not ours before.
    leaving = leaving if adopting else owned_ignored_fields(live, target.desired.rules.ignore)
    stays += fields_at(result, leaving, LEFT_TO_OTHERS)
    if not fields:
        # What the server sets by itself comes back, and is nobody's then.
        stays += fields_at(result, added.removed, field_ownership.NOT_IN_GIT)
    if same_entry and not (fields or stays or adopting):
        footprint = comparison.footprint
        return Checked(target, None, comparison.record, footprint.fields if footprint else None)
    action = Action.ADOPT if adopting else Action.UPDATE
    if not (fields or stays or adopting):
        stays = field_ownership.newly_owned_fields(live, result)
    reasons = _reasons(
        comparison.question, fields, adopting, bounds_divided=target.desired.rules.bounds_divided
    )
    if added.managers:
        who = tuple(added.managers)
        if reasons in ((), (Reason(Cause.DRIFT),)) or comparison.question is Question.ADDED:
            reasons = (Reason(Cause.DRIFT_BY_ADDITION, who),)
        else:
            reasons = (*reasons, Reason(Cause.ADDITION_GOES, who))
    if not reasons:
        reasons = _ownership(comparison.footprint, after) or _version(live, target)
    if definition.changes:
        reasons = (*reasons, _CHECKED_LATER)
    change = Change(
        action,
        target.key,
        target.kind.api_version,
        fields=fields,
        stays=stays,
        reasons=reasons,
        origin=str(target.desired.position),
        force=force,
        verified=not definition.changes,
        request=body,
        uid=str(live["metadata"].get("uid", "")),
        resource_version=str(live["metadata"].get("resourceVersion", "")),
        take_over=ownership_after.former,
        claim=ownership_after.claim,
        live=live,
        retained=target.desired.rules.retain,
        ignored=target.desired.rules.ignore,
    )
    return Checked(target, change)


def _disowned(result: Object, fields: Fields) -> Object:
    entries = disowning(entries_of(result), fields)
    return {**result, "metadata": {**result["metadata"], "managedFields": entries}}


def _made_from_git(
    member: Member, resource: RESTMapping, target: ApplyTarget, body: Object
) -> Object:
    """The object as it would be if there were none yet, or as Git has it if that is refused."""
    try:
        return try_as_new(member, resource, body, target.key.namespace)
    except ApiError:
        return body


def check_new(member: Member, target: ApplyTarget, *, namespace_exists: bool) -> Checked:
    """Dry-run a creation, so that the server's refusals are known before the first write.

    Where the namespace is yet to be made, the object is tried in ``default``: its form is checked
    all the same. What else that says (policies, quotas, accounts) holds for ``default`` only.
    """
    body = target.body
    resource = _resource(target)
    tried_elsewhere = resource.namespaced and not namespace_exists
    try:
        if tried_elsewhere:
            made = apply_by_another_name(member, resource, body, DEFAULT_NAMESPACE)
        else:
            made = member.apply(resource, target.key, body, dry_run=True)
    except Throttled as error:
        return _failed(target, _words(target, error, body))
    except ApiError as error:
        words = _words(target, error, body)
        if tried_elsewhere and not _is_malformed(error):
            change = _creation(target, body)
            detail = f"once its namespace is there ({DEFAULT_NAMESPACE}: {words})"
            reasons = (*change.reasons, Reason(Cause.CHECKED_LATER, detail=detail))
            return Checked(target, dataclasses.replace(change, verified=False, reasons=reasons))
        if any(cause.get("reason") == "NamespaceTerminating" for cause in error.causes):
            going = f"its Namespace {target.key.namespace} is being deleted"
            return terminating(target, going, None)
        unservable = isinstance(error, NotFound) and not _says_a_role_is_missing(target, error)
        failed = _failed(target, words, invalid=_is_malformed(error))
        return replace(failed, unservable=unservable)
    if too_large := _too_large(made):
        return _failed(target, too_large)
    return Checked(target, _creation(target, body, collected=is_collected(made)))


def _too_large(made: Object) -> str:
    """Why etcd will not take the object that a dry run made; empty: it may."""
    if len(orjson.dumps(made)) <= _ETCD_LIMIT:
        return ""
    ownership = len(orjson.dumps(made["metadata"].get("managedFields")))
    rest = {k: v for k, v in made["metadata"].items() if k != "managedFields"}
    size = ownership + _stored_size({**made, "metadata": rest})
    if made.get("kind") == "Secret":
        # What is text here is kept as bytes.
        size -= _stored_size(made.get("data") or {}) // 4
    if size <= _ETCD_LIMIT:
        return ""
    return f"too large: {size} bytes, {ownership} of them its managedFields; {TOO_LARGE}"


def _stored_size(value: Any) -> int:
    """About as many bytes as etcd gets: text as it is, six bytes for the marks of each entry."""
    if isinstance(value, dict):
        return sum(len(key) + 6 + _stored_size(inner) for key, inner in value.items())
    if isinstance(value, list):
        return sum(2 + _stored_size(item) for item in value)
    return len(value.encode()) if isinstance(value, str) else 4


def _is_malformed(error: ApiError) -> bool:
    """Whether the server found a fault in the object itself, so that any namespace would do.

    A validation names fields; what cannot be decoded is a 400, and what does not fit the kind's
    schema a 500. Webhooks and policies answer with any code, and look at the namespace.
    """
    if not isinstance(error, Invalid) or error.by_admission:
        return False
    return error.code != 422 or any(cause.get("field") for cause in error.causes)


def _says_a_role_is_missing(target: ApplyTarget, error: ApiError) -> bool:
    """Of an account that may not bind any role, the server looks into the one that a binding names.

    That role may be yet to come, so this is the account's trouble and not the manifest's.
    """
    binding = target.key.kind in ("RoleBinding", "ClusterRoleBinding")
    return (
        binding
        and f'"{target.key.name}" not found' in str(error)
        and "namespaces" not in str(error)
    )


def unverified(target: ApplyTarget) -> Checked:
    """A custom resource whose CRD this very plan brings: nobody can check it yet."""
    return Checked(target, dataclasses.replace(_creation(target, target.body), verified=False))


def unchecked(
    target: ApplyTarget, body: Object, live: Object, definition: Definition, *, adopting: bool
) -> Checked:
    """An object that is there, and of which no server can say yet what would become of it: as Git
    says, with all else that it has."""
    apart = {"apiVersion": live["apiVersion"]}
    old = stale_entries_in(live, definition.dropped).ours
    reasons = (
        *((Reason(Cause.ADOPTED),) if adopting else ()),
        *((_moved_to(target.kind.api_version, old),) if old else ()),
        _CHECKED_LATER if definition.changes else _CHECKED_THEN,
    )
    return Checked(
        target,
        Change(
            Action.ADOPT if adopting else Action.UPDATE,
            target.key,
            target.kind.api_version,
            fields=changed_fields(live, {**as_git_says(live, body), **apart}),
            reasons=reasons,
            origin=str(target.desired.position),
            verified=False,
            request=body,
            uid=str(live["metadata"].get("uid", "")),
            resource_version=str(live["metadata"].get("resourceVersion", "")),
            live=live,
            retained=target.desired.rules.retain,
            old_entry=old,
            new_entry=definition.stays if old else "",
        ),
    )


def _unstuck(
    target: ApplyTarget,
    body: Object,
    live: Object,
    stuck: Definition,
    error: ApiError,
    *,
    adopting: bool,
) -> Checked:
    """An object that nobody can apply any more, as managedFields name a version that is no more:
    our own entries can be moved on."""
    left = stale_entries_in(live, stuck.dropped)
    if left.ours and not left.others:
        return unchecked(target, body, live, stuck, adopting=adopting)
    text = _words(target, error, body, live)
    if left.others:
        text += (
            f"; managedFields name that version for {', '.join(left.others)}; move the entries on: "
            f"{entry_migration_command(live, stuck)}"
        )
    return _failed(target, text)


def refused(target: ApplyTarget, error: str) -> Checked:
    """What must not be written, for a reason of ours."""
    return _failed(target, error)


def terminating(target: ApplyTarget, going: str, live: Object | None) -> Checked:
    """It is being deleted, or what it lies in is: nothing can be applied before it is gone."""
    change = Change(
        Action.TERMINATING,
        target.key,
        target.kind.api_version,
        error=f"{going}; it is recreated by a later run, once that is gone",
        origin=str(target.desired.position),
        uid=str(live["metadata"].get("uid", "")) if live else "",
        live=live,
    )
    return Checked(target, change)


def unserved(target: ApplyTarget, known_versions: Iterable[str]) -> Checked:
    """The member has no such kind, and nothing in this plan would bring it."""
    versions = ", ".join(known_versions)
    text = f"the cluster does not serve {target.kind.kind} in {target.kind.api_version}"
    text += f"; it has it in {versions}" if versions else "; install its CRD or API first"
    return replace(_failed(target, text), unservable=True)


def unlisted(target: ApplyTarget, reason: str) -> Checked:
    """Its kind could not be listed, so there is nothing to compare with."""
    return _failed(target, f"cannot be compared: {UnlistedKind(target.kind, reason)}")


def owned_by_another(target: ApplyTarget, owner: str, former: str) -> Checked:
    """Another ApplySet claims the object; two masters would fight over it. ``former`` is the
    inventory where it is this repository's own, under another name."""
    if former:
        return _failed(
            target,
            f"belongs to the inventory {former}, which is this repository's own: the Federation, "
            "or its spec.namespace, was renamed; name it as before, or take all that it has along, "
            "once: reconcile --plan --take-over, and without --plan",
        )
    return _failed(
        target,
        f"belongs to another inventory ({owner}); remove it there, or its label "
        "applyset.kubernetes.io/part-of, before this federation takes it",
    )


def not_adopted(target: ApplyTarget, *, is_recreated_copy: bool) -> Checked:
    """It exists, is not ours (any more), and the rules forbid to adopt."""
    again = " (it is not the one that this federation made)" * is_recreated_copy
    return _failed(target, f"exists already{again} and spec.adoption.policy is Never")


def not_overwritten(target: ApplyTarget) -> Checked:
    """It exists, neither we nor Karmada made it, and its policy says Abort."""
    return _failed(
        target,
        "exists already, Karmada did not make it, and its policy does not say "
        "conflictResolution: Overwrite",
    )


def _creation(target: ApplyTarget, body: Object, *, collected: bool = False) -> Change:
    return Change(
        Action.CREATE,
        target.key,
        target.kind.api_version,
        fields=leaf_fields(body),
        reasons=_IS_NEW,
        origin=str(target.desired.position),
        request=body,
        ignored=target.desired.rules.ignore,
        collected=collected,
    )


def _may_force(
    conflict: Conflict,
    target: ApplyTarget,
    previous: AppliedRecord | None,
    comparison: Comparison,
    apply_rules: ApplyRules,
    adopting: bool,
) -> bool:
    """Whether the fields in conflict may be taken.

    A field that our last apply owned and somebody else holds now has drifted, or is another
    applier's as well: repairing that is what this tool is for. A field that was never ours is its
    owner's until a person says otherwise.
    """
    owners = conflicting_managers(conflict)
    if not owners:
        return False
    if _may_take(owners, target, apply_rules, apply_rules.adoption if adopting else None):
        return True
    if adopting:
        return False
    if previous is None or not previous.confirmed:
        return False
    if previous.request == comparison.record.request:
        return True
    fields = apply_rules.recorded(previous.entry)
    taken = {str(cause.get("field", "")) for cause in conflict.causes}
    # Nothing keeps it: an autoscaler that is gone, or a person's ``kubectl scale``.
    taken -= {f".{REPLICAS_FIELD}"} if target.takes_count else set()
    return not taken or (fields is not None and taken <= owned_paths(fields))


def _may_take(
    owners: Sequence[str],
    target: ApplyTarget,
    apply_rules: ApplyRules,
    adoption: AdoptionRules | None,
) -> bool:
    """Whether a person's word lets fields be taken from their owners."""
    if apply_rules.force_conflicts or target.desired.rules.force_conflicts:
        return True
    return adoption is not None and all(_is_taken(one, adoption.take_over) for one in owners)


def conflicting_managers(conflict: Conflict) -> list[str]:
    """The managers that a 409 names; empty when it is about something else than fields."""
    found = {
        match.group(1)
        for cause in conflict.causes
        if cause.get("reason") == "FieldManagerConflict"
        and (match := _OWNER.search(str(cause.get("message", ""))))
    }
    return sorted(found)


def _conflicting(target: ApplyTarget, conflict: Conflict, adopting: bool) -> Checked:
    owners = conflicting_managers(conflict)
    if not owners:
        return _failed(target, _words(target, conflict, target.body))
    fields = refused_fields(conflict, target.desired.rules.hidden, target.body)
    return _failed(target, f"conflict: {_owned(fields, owners, adopting=adopting)}")


def _owned(fields: str, owners: Sequence[str], *, adopting: bool) -> str:
    return (
        f"{fields} is owned by {', '.join(owners)}; take it with "
        + ("spec.adoption.takeOver, " if adopting else "")
        + "--force-conflicts or "
        'the annotation federation.reconciler.dev/force-conflicts: "true", or leave it out in Git'
    )


class _InPlace(RedactedRepr, frozen=True):
    """What a change makes of ``live`` that goes by more than a bare apply: ``answer`` as that apply
    would leave it, with whose entries; ``ask`` is the dry run. ``forced``: it takes from others."""

    live: Object
    ownership_after: field_ownership.OwnershipChange
    added: FoundAdditions
    answer: Object
    ask: Callable[[], Object]
    forced: bool


def _refused(
    member: Member,
    target: ApplyTarget,
    body: Object,
    live: Object,
    error: Invalid,
    apply_rules: ApplyRules,
    recorded: Fields,
    adoption: AdoptionRules | None,
) -> Checked | _InPlace:
    """What to do where the apply is refused. Raises ApiError for another refusal on the way."""
    resource, text = _resource(target), _words(target, error, body, live)
    if error.code != 422:
        return _failed(target, text, invalid=_is_malformed(error))
    ignored = target.desired.rules.ignore
    new = with_live_ignored(body, live, ignored) if ignored else body
    try:
        fresh = try_as_new(member, resource, new, target.key.namespace, live)
    except ApiError as second:
        words = _words(target, second, body, live)
        text += f"; the new one would be refused too: {words}" * (words != text)
        return _failed(target, text, invalid=_is_malformed(error) and _is_malformed(second))
    now = member.get(resource, target.key)
    if now is None or now["metadata"].get("uid") != live["metadata"].get("uid"):
        return _failed(target, f"{text}; it was deleted meanwhile: run again")
    live = now
    own = [*filter(is_ours, disowning(entries_of(fresh), owned_but_not_sent(fresh, ignored, body)))]
    ours = fields_of(own)
    others = [entry for entry in entries_of(live) if not is_ours(entry)]
    entries = [*others, *own]
    applied = with_values_of(live, fresh, ours)
    applied["metadata"] = {**applied["metadata"], "managedFields": entries}
    added = apply_rules.addition_finder.find(applied, target.desired)
    ownership_after = field_ownership.ownership_change(live, applied, recorded, adoption, added)
    dry_run = dry_run_replacing(member, resource, target.key, live)
    # What is claimed may be what the server refused.
    still = refusal_of(ownership_after.result, dry_run) if ownership_after.claim else error
    gone = (
        removals_needed(live, ownership_after.result, fresh, body, still, dry_run) if still else {}
    )
    if isinstance(gone, UpdateRefusal):
        if gone.fixed:
            return _recreating(member, target, new, live, fresh, error, apply_rules)
        # The manifest is fine; it is refused for what the object has besides.
        paths = [field.path for field in field_ownership.fields_not_in_git(live, fresh)[:6]]
        beyond = shown_paths(paths, target.desired.rules.hidden, body, live)
        text += f"; it has what Git does not say: {beyond}" if beyond else ""
        hint = "; take the object over whole by spec.adoption.takeOver, or take these fields out"
        return _failed(target, text + hint * bool(beyond))
    # In an object that is adopted in part, what Git does not say is left to its owners.
    whole = adoption if adoption and adoption.whole else None
    given = ownership_after.former if whole or not adoption else ()
    former = [name for name in holders_of(live, gone) if not _is_taken(name, given)]
    if former and not _may_take(former, target, apply_rules, whole):
        what = shown_paths(ends_of(owned_fields(gone)), target.desired.rules.hidden, body, live)
        owned = _owned(what, former, adopting=bool(adoption))
        return _failed(target, f"{text}; it has what Git does not say: {owned}")
    known = fields_of(entries_for_apply(member, resource, target.key, live, target.body))
    ownership_after = replace(
        ownership_after,
        result=without(ownership_after.result, gone, ours),
        former=(*ownership_after.former, *former),
        claim=union(ownership_after.claim, with_all_below(gone, known)),
    )
    wanted = ownership_after.result
    return _InPlace(live, ownership_after, added, applied, lambda: dry_run(wanted), bool(former))


def _is_taken(manager: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(manager, pattern) for pattern in patterns)


def _recreating(
    member: Member,
    target: ApplyTarget,
    body: Object,
    live: Object,
    fresh: Object,
    error: Invalid,
    apply_rules: ApplyRules,
) -> Checked:
    """The recreation for fields that cannot be changed, or why there must be none."""
    fields = refused_fields(error, target.desired.rules.hidden, body, live)
    deletion = apply_rules.recreation(target, live)
    if isinstance(deletion, str):
        return _failed(
            target,
            f"needs recreate: {fields or _words(target, error, body, live)} cannot be changed in "
            f"place; {deletion}",
        )
    first, replicas = with_running_replicas(body, live)
    # What differs between two new ones is the server's choice.
    second_answer = try_as_new(member, _resource(target), first, target.key.namespace, live)
    if replicas is not None:
        fresh = try_as_new(member, _resource(target), first, target.key.namespace, live)
    change = Change(
        Action.RECREATE,
        target.key,
        target.kind.api_version,
        fields=recreated_fields(live, fresh, second_answer),
        reasons=(Reason(Cause.RECREATE, detail=f"{fields or 'a field'} is immutable"),),
        origin=str(target.desired.position),
        request=body,
        uid=str(live["metadata"].get("uid", "")),
        resource_version=str(live["metadata"].get("resourceVersion", "")),
        propagation=deletion.propagation,
        replicas=replicas,
        live=live,
        retained=target.desired.rules.retain,
        ignored=target.desired.rules.ignore,
    )
    return Checked(target, change)


def _reasons(
    question: Question,
    fields: tuple[FieldChange, ...],
    adopting: bool,
    *,
    bounds_divided: bool,
) -> tuple[Reason, ...]:
    losers = overridden_managers(fields)
    if adopting and losers:
        return Reason(Cause.ADOPTED), Reason(Cause.TAKEN_OVER, losers)
    if adopting:
        return (Reason(Cause.UNCLAIMED),)
    if fields:
        return reasons_of_object(fields, bounds_divided=bounds_divided)
    if question is Question.TAKEN:
        return (Reason(Cause.DRIFT_OF_OWNERSHIP),)
    if question in (Question.DRIFTED, Question.SAMPLED):
        return (Reason(Cause.DRIFT),)
    return (Reason(Cause.DIFFERS),) if question is Question.UNKNOWN else ()


def _ownership(before: Footprint | None, after: Footprint | None) -> tuple[Reason, ...]:
    """What an apply that changes no field does: fields are stated, or no longer stated, in Git."""
    old = owned_fields(before.fields) if before else set()
    new = owned_fields(after.fields) if after else set()
    return tuple(
        Reason(cause, paths=tuple(paths))
        for cause, paths in (
            (Cause.STAYS_AS_IT_IS, ends_of(old - new)),
            (Cause.IS_SO_ALREADY, ends_of(new - old)),
        )
        if paths
    )


def _version(live: Object, target: ApplyTarget) -> tuple[Reason, ...]:
    """What an apply does that changes nothing but the version in which its fields are kept."""
    entry = our_entry(live)
    before = str(entry.get("apiVersion")) if entry else ""
    after = target.kind.api_version
    return (_moved_to(after, before),) if before not in ("", after) else ()


def _moved_to(new: str, old: str) -> Reason:
    return Reason(Cause.ANOTHER_VERSION, detail=f"applied in {new}, no longer in {old}")


def _failed(target: ApplyTarget, error: str, *, invalid: bool = False) -> Checked:
    change = Change(
        Action.FAILED,
        target.key,
        target.kind.api_version,
        error=error,
        origin=str(target.desired.position),
    )
    return Checked(target, change, invalid=invalid)


def _words(target: ApplyTarget, error: ApiError, *bodies: Object | None) -> str:
    return refusal_words(error, target.desired.rules.hidden, *bodies)


def _resource(target: ApplyTarget) -> RESTMapping:
    if target.resource is None:
        raise ValueError(f"{target.key} is not served")
    return target.resource
