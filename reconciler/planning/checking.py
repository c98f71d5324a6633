"""Asking a member's API server, by dry runs, what an apply of one object would do."""

from __future__ import annotations

import dataclasses
import fnmatch
import re
from collections.abc import Callable, Collection, Iterable

from msgspec import Struct
from msgspec.structs import replace

from reconciler.cluster.member import Member
from reconciler.cluster.resources import Resource, VersionedKind
from reconciler.errors import ApiError, Conflict, Invalid, NotFound, Throttled
from reconciler.federation.model import AdoptionRules
from reconciler.inventory.ownership import Fields, owned_paths
from reconciler.inventory.records import Digester, Footprint, Record
from reconciler.objects import DEFAULT_NAMESPACE, Object
from reconciler.planning import claims
from reconciler.planning.additions import Finder
from reconciler.planning.comparing import Comparison, Question
from reconciler.planning.fields import REPLICAS_FIELD, changed_fields, fields_at, leaf_fields
from reconciler.planning.ignored import held
from reconciler.planning.immutability import is_immutable
from reconciler.planning.once import is_collected
from reconciler.planning.plan import Action, Addition, Change, FieldChange
from reconciler.planning.redaction import refusal_words, refused_fields
from reconciler.planning.requests import (
    Target,
    with_running_replicas,
)

_ADMISSION = re.compile(r"admission webhook|(Validating|Mutating)AdmissionPolicy")
LEFT_TO_OTHERS = "left to others"
_OWNER = re.compile(r'conflict with "((?:[^"\\]|\\.)*)"')


class Checked(Struct, frozen=True):
    """The verdict on one object: a change, or (None) unchanged with the record to remember.

    ``invalid`` marks a manifest that the server refuses as such, which is bad input rather than
    one cluster's trouble. ``homeless`` marks one whose kind or namespace the cluster lacks, which
    is bad input when it is so in every cluster. ``added`` is what people added to the object, and
    what stays there.
    """

    target: Target
    change: Change | None
    record: Record | None = None
    fields: Fields | None = None
    invalid: bool = False
    homeless: bool = False
    added: tuple[Addition, ...] = ()


class Terms(Struct, frozen=True):
    """What the rules allow in this run. ``recorded`` gives a past apply's field tree by its E,
    ``recreation`` the deletion that a recreation begins with, or why there must be none."""

    digester: Digester
    adoption: AdoptionRules
    force_conflicts: bool
    recreation: Callable[[Target, Object], Change | str]
    recorded: Callable[[str], Fields | None]
    finder: Finder


def check_existing(
    member: Member,
    target: Target,
    body: Object,
    live: Object,
    comparison: Comparison,
    previous: Record | None,
    terms: Terms,
    *,
    adopting: bool = False,
) -> Checked:
    """Dry-run the apply against the live object and say what would change."""
    resource = _resource(target)
    force, why_forced = False, ""
    recorded: Fields = {}
    if previous is not None and previous.api_version == body["apiVersion"]:
        recorded = terms.recorded(previous.entry) or {}
    try:
        try:
            result = member.apply(resource, target.key, body, dry_run=True)
        except Conflict as conflict:
            why_forced = _may_force(conflict, target, previous, comparison, terms, adopting)
            if not why_forced:
                return _conflicting(target, conflict, adopting)
            force = True
            result = member.apply(resource, target.key, body, force=True, dry_run=True)
        adoption = terms.adoption if adopting else None
        added = terms.finder.find(result, target.desired)
        foreseen = claims.foresee(live, result, recorded, adoption, added)
        if foreseen.claim:
            result = _as_kept(member, resource, target, foreseen.result)
    except Invalid as error:
        return _refused(member, target, body, live, error, terms)
    except ApiError as error:
        return _failed(target, _words(target, error, body, live))
    fields = changed_fields(live, result)
    after = terms.digester.footprint(result)
    same_entry = (
        after is not None
        and comparison.footprint is not None
        and after.entry == comparison.footprint.entry
    )
    stays = claims.still_there(foreseen, result, target.body)
    if adopting or not (recorded or comparison.footprint):
        stays += claims.beyond_git(result, _made_from_git(member, resource, target, body))
    leaving = held(result, target.desired.ignore)
    stays += fields_at(result, leaving, LEFT_TO_OTHERS)
    if not fields:
        # What the server sets by itself comes back, and is nobody's then.
        stays += fields_at(result, added.removed, claims.NOT_IN_GIT)
    if same_entry and not (fields or stays or adopting):
        footprint = comparison.footprint
        return Checked(target, None, comparison.record, footprint.fields if footprint else None)
    action = Action.ADOPT if adopting else Action.UPDATE
    if not (fields or stays or adopting):
        stays = claims.becoming_ours(live, result)
    reason = why_forced or _reason(comparison.question, fields, adopting)
    if added.managers:
        who = ", ".join(added.managers)
        known = reason not in ("", "drift") and comparison.question is not Question.ADDED
        reason = f"{reason}; what {who} added goes" if known else f"drift: added by {who}"
    if not reason:
        reason = _ownership(comparison.footprint, after)
    change = Change(
        action,
        target.key,
        target.kind.api_version,
        fields=fields,
        stays=stays,
        reason=reason,
        origin=str(target.desired.position),
        force=force,
        request=body,
        uid=str(live["metadata"].get("uid", "")),
        resource_version=str(live["metadata"].get("resourceVersion", "")),
        take_over=foreseen.former,
        claim=foreseen.claim,
        live=live,
        retained=target.desired.retain,
        ignored=target.desired.ignore,
    )
    return Checked(target, change)


def _as_kept(member: Member, resource: Resource, target: Target, wanted: Object) -> Object:
    """What the server makes of ``wanted`` in the place of the object: with its defaults."""
    metadata = {k: v for k, v in wanted["metadata"].items() if k != "managedFields"}
    operations = [{"op": "replace", "path": "", "value": {**wanted, "metadata": metadata}}]
    return member.json_patch(resource, target.key, operations, dry_run=True)


def _made_from_git(member: Member, resource: Resource, target: Target, body: Object) -> Object:
    """The object as it would be if there were none yet, or as Git has it if that is refused."""
    try:
        return try_as_new(member, resource, body, target.key.namespace)
    except ApiError:
        return body


def check_new(member: Member, target: Target, *, namespace_exists: bool) -> Checked:
    """Dry-run a creation, so that the server's refusals are known before the first write.

    Where the namespace is yet to be made, the object is tried in ``default``: its form is checked
    all the same. What else that says (policies, quotas, accounts) holds for ``default`` only.
    """
    change = _creation(target)
    resource = _resource(target)
    tried_elsewhere = resource.namespaced and not namespace_exists
    try:
        if tried_elsewhere:
            made = try_as_new(member, resource, target.body, DEFAULT_NAMESPACE)
        else:
            made = member.apply(resource, target.key, target.body, dry_run=True)
    except Throttled as error:
        return _failed(target, _words(target, error, target.body))
    except ApiError as error:
        words = _words(target, error, target.body)
        if tried_elsewhere:
            generated = re.escape(_prefix(target.key.name)) + "[a-z0-9]{5}"
            words = re.sub(generated, target.key.name, words)
        if tried_elsewhere and not _is_about_form(error):
            remark = f"to be checked once its namespace is there ({DEFAULT_NAMESPACE}: {words})"
            reason = f"{change.reason}; {remark}"
            return Checked(target, dataclasses.replace(change, verified=False, reason=reason))
        homeless = isinstance(error, NotFound) and not _says_a_role_is_missing(target, error)
        failed = _failed(target, words, invalid=isinstance(error, Invalid))
        return replace(failed, homeless=homeless)
    return Checked(target, dataclasses.replace(change, collected=is_collected(made)))


def _is_about_form(error: ApiError) -> bool:
    """Whether the server found a fault in the object itself, so that any namespace would do.

    A validation names fields; what cannot be decoded is a 400. Webhooks and policies answer with
    either code, and look at the namespace.
    """
    if not isinstance(error, Invalid) or _ADMISSION.search(str(error)):
        return False
    return error.code == 400 or any(cause.get("field") for cause in error.causes)


def _says_a_role_is_missing(target: Target, error: ApiError) -> bool:
    """Of an account that may not bind any role, the server looks into the one that a binding names.

    That role may be yet to come, so this is the account's trouble and not the manifest's.
    """
    binding = target.key.kind in ("RoleBinding", "ClusterRoleBinding")
    return (
        binding
        and f'"{target.key.name}" not found' in str(error)
        and "namespaces" not in str(error)
    )


def unverified(target: Target) -> Checked:
    """A custom resource whose CRD this very plan brings: nobody can check it yet."""
    return Checked(target, dataclasses.replace(_creation(target), verified=False))


def unserved(target: Target, known_versions: Iterable[str]) -> Checked:
    """The member has no such kind, and nothing in this plan would bring it."""
    versions = ", ".join(known_versions)
    text = f"the cluster does not serve {target.kind.kind} in {target.kind.api_version}"
    text += f"; it has it in {versions}" if versions else "; install its CRD or API first"
    return replace(_failed(target, text), homeless=True)


def unlisted(target: Target, reason: str) -> Checked:
    """Its kind could not be listed, so there is nothing to compare with."""
    return _failed(target, f"cannot be compared: {could_not_be_listed(target.kind, reason)}")


def could_not_be_listed(kind: VersionedKind, reason: str) -> str:
    """The words for a LIST that failed."""
    return f"{kind.kind} ({kind.api_version}) could not be listed: {reason}"


def belongs_elsewhere(target: Target, owner: str) -> Checked:
    """Another ApplySet claims the object; two masters would fight over it."""
    return _failed(
        target,
        f"belongs to another inventory ({owner}); remove it there, or its label "
        "applyset.kubernetes.io/part-of, before this federation takes it",
    )


def not_adopted(target: Target, *, made_anew: bool) -> Checked:
    """It exists, is not ours (any more), and the rules forbid to adopt."""
    again = " (it is not the one that this federation made)" * made_anew
    return _failed(target, f"exists already{again} and spec.adoption.policy is Never")


def _creation(target: Target) -> Change:
    return Change(
        Action.CREATE,
        target.key,
        target.kind.api_version,
        fields=leaf_fields(target.body),
        reason="not in the cluster",
        origin=str(target.desired.position),
        request=target.body,
        ignored=target.desired.ignore,
    )


def try_as_new(member: Member, resource: Resource, body: Object, namespace: str) -> Object:
    """Dry-run creating the object under a name that nothing has, as long as its own.

    Raises ApiError.
    """
    metadata = {k: v for k, v in body["metadata"].items() if k != "name"}
    metadata["generateName"] = _prefix(body["metadata"]["name"])
    if namespace:
        metadata["namespace"] = namespace
    new = {**body, "metadata": metadata}
    return member.create(resource, new, namespace=namespace, dry_run=True)


def _prefix(name: str) -> str:
    """To it the server adds five characters, and it keeps 58 of what it is given."""
    return name[: min(max(len(name) - 6, 1), 57)].rstrip(".") + "-"


def _may_force(
    conflict: Conflict,
    target: Target,
    previous: Record | None,
    comparison: Comparison,
    terms: Terms,
    adopting: bool,
) -> str:
    """Why the fields in conflict may be taken, or an empty string.

    A field that our last apply owned and somebody else now holds has drifted: repairing that is
    what this tool is for. A field that was never ours is its owner's until a person says otherwise.
    """
    owners = conflicting_managers(conflict)
    if not owners:
        return ""
    if terms.force_conflicts or target.desired.force_conflicts:
        return f"taken by force from {', '.join(owners)}"
    if adopting:
        patterns = terms.adoption.take_over
        known = all(any(fnmatch.fnmatchcase(o, p) for p in patterns) for o in owners)
        return f"adopted; taken over from {', '.join(owners)}" if known else ""
    if previous is None or not previous.confirmed:
        return ""
    drifted = previous.request == comparison.record.request
    if not drifted:
        fields = terms.recorded(previous.entry)
        taken = {str(cause.get("field", "")) for cause in conflict.causes}
        # Nothing keeps it: an autoscaler that is gone, or a person's ``kubectl scale``.
        taken -= {f".{REPLICAS_FIELD}"} if target.takes_count else set()
        drifted = not taken or (fields is not None and taken <= owned_paths(fields))
    return f"drift: changed by {', '.join(owners)}" if drifted else ""


def conflicting_managers(conflict: Conflict) -> list[str]:
    """The managers that a 409 names; empty when it is about something else than fields."""
    found = {
        match.group(1)
        for cause in conflict.causes
        if cause.get("reason") == "FieldManagerConflict"
        and (match := _OWNER.search(str(cause.get("message", ""))))
    }
    return sorted(found)


def _conflicting(target: Target, conflict: Conflict, adopting: bool) -> Checked:
    owners = conflicting_managers(conflict)
    if not owners:
        return _failed(target, _words(target, conflict, target.body))
    fields = refused_fields(conflict, target.desired.hidden, target.body)
    return _failed(
        target,
        f"conflict: {fields} is owned by {', '.join(owners)}; take it with "
        + ("spec.adoption.takeOver, " if adopting else "")
        + "--force-conflicts or "
        'the annotation federation.reconciler.dev/force-conflicts: "true", or leave it out in Git',
    )


def _refused(
    member: Member, target: Target, body: Object, live: Object, error: Invalid, terms: Terms
) -> Checked:
    if not is_immutable(error):
        text = _words(target, error, body, live)
        try:
            fresh = try_as_new(member, _resource(target), body, target.key.namespace)
        except ApiError:
            return _failed(target, text, invalid=True)
        # The manifest is fine; it is refused for what the object has besides.
        beyond = ", ".join(field.path for field in claims.beyond_git(live, fresh)[:6])
        text += f"; it has what Git does not say: {beyond}" if beyond else ""
        hint = "; take the object over whole by spec.adoption.takeOver, or take these fields out"
        return _failed(target, text + hint * bool(beyond))
    fields = refused_fields(error, target.desired.hidden, body, live)
    deletion = terms.recreation(target, live)
    forbidden = deletion if isinstance(deletion, str) else ""
    if not forbidden:
        try:
            try_as_new(member, _resource(target), body, target.key.namespace)
        except ApiError as second:
            forbidden = f"the new one would be refused too: {_words(target, second, body, live)}"
    if forbidden or isinstance(deletion, str):
        return _failed(
            target,
            f"needs recreate: {fields or _words(target, error, body, live)} cannot be changed in "
            f"place; {forbidden}",
        )
    first, replicas = with_running_replicas(body, live)
    change = Change(
        Action.RECREATE,
        target.key,
        target.kind.api_version,
        fields=changed_fields(live, first),
        reason=f"needs recreate: {fields or 'a field'} is immutable",
        origin=str(target.desired.position),
        request=body,
        uid=str(live["metadata"].get("uid", "")),
        resource_version=str(live["metadata"].get("resourceVersion", "")),
        propagation=deletion.propagation,
        replicas=replicas,
        live=live,
        retained=target.desired.retain,
        ignored=target.desired.ignore,
    )
    return Checked(target, change)


def _reason(question: Question, fields: tuple[FieldChange, ...], adopting: bool) -> str:
    if adopting:
        return "exists and nobody's inventory claims it: adopted"
    if question in (Question.DRIFTED, Question.TAKEN, Question.SAMPLED):
        managers = sorted({name for field in fields for name in field.managers})
        by = f": changed by {', '.join(managers)}" if managers else ""
        if question is Question.TAKEN and not fields:
            return "drift: ownership of fields was taken or dropped"
        return f"drift{by}"
    if question is Question.UNKNOWN:
        return "differs from Git"
    if question is Question.EDITED and [field.path for field in fields] == [REPLICAS_FIELD]:
        return "its share of the replicas changes"
    return str(question) if fields else ""


def _ownership(before: Footprint | None, after: Footprint | None) -> str:
    """What an apply that changes no field does: fields are stated, or no longer stated, in Git."""
    old = owned_paths(before.fields) if before else set()
    new = owned_paths(after.fields) if after else set()
    parts = [
        f"{words}: {', '.join(leaves)}"
        for words, leaves in (
            ("no longer in Git, and stays as it is", _leaves(old - new)),
            ("in Git now, and is so already", _leaves(new - old)),
        )
        if leaves
    ]
    return "; ".join(parts)


def _leaves(paths: Collection[str]) -> list[str]:
    """Sorted, without those that others continue."""
    return sorted(
        path.lstrip(".")
        for path in paths
        if not any(other.startswith((f"{path}.", f"{path}[")) for other in paths)
    )


def _failed(target: Target, error: str, *, invalid: bool = False) -> Checked:
    change = Change(
        Action.FAILED,
        target.key,
        target.kind.api_version,
        error=error,
        origin=str(target.desired.position),
    )
    return Checked(target, change, invalid=invalid)


def _words(target: Target, error: ApiError, *bodies: Object | None) -> str:
    return refusal_words(error, target.desired.hidden, *bodies)


def _resource(target: Target) -> Resource:
    if target.resource is None:
        raise ValueError(f"{target.key} is not served")
    return target.resource
