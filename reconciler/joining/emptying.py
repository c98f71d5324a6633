"""What a leaving member runs of ours: deleted, or left as it is without our marks.

The same decisions, waves and preconditions as in a run that prunes; what may not be deleted (a
protected kind, a Namespace with somebody else's objects) is left, and told.
"""

from __future__ import annotations

import dataclasses
import time
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from reconciler.applying.fleet_run import carry_out
from reconciler.cluster.member import Member
from reconciler.cluster.resources import VersionedKind
from reconciler.errors import ClusterError
from reconciler.federation.model import Cluster, Federation
from reconciler.inventory.belonging import Servers, as_ours, doubts_about_clusters
from reconciler.inventory.observation import Observation, observe
from reconciler.inventory.store import read_inventory
from reconciler.objects import Object, ObjectKey
from reconciler.planning import pruning
from reconciler.planning.checking import could_not_be_listed
from reconciler.planning.member_plan import MemberWork, deletion_rules
from reconciler.planning.plan import Action, Change, ClusterPlan, Plan
from reconciler.planning.pruning import DeletionRules
from reconciler.scheduling.unplaced import REMOVED
from reconciler.source.owner import Claimant

GONE_POLL_SECONDS = 0.25
REASON = "the cluster leaves the federation"

Fate = Literal["prune", "orphan"]


class Emptying(Struct, frozen=True):
    """What is to become of every managed object, and why some of them are not deleted."""

    work: MemberWork
    federation: str
    kept: tuple[str, ...] = ()

    @property
    def changes(self) -> tuple[Change, ...]:
        return self.work.plan.changes


def plan_emptying(
    member: Member,
    cluster: Cluster,
    federation: Federation,
    fate: Fate,
    claimant: Claimant,
    known: Servers,
) -> Emptying | None:
    """Decide on everything in the inventory; None where there is nothing.

    Raises ClusterError when not every kind could be listed, as nothing may be forgotten unseen, and
    when the inventory is another repository's or another cluster's.
    """
    inventory = read_inventory(member, federation.name, federation.namespace)
    inventory = as_ours(member, inventory, cluster.name, claimant)
    doubts = doubts_about_clusters({cluster.name: inventory}, claimant, known)
    if doubts:
        raise ClusterError(member.name, f"{cluster.name} is {doubts[cluster.name]}")
    observation = observe(member, inventory, ())
    if not observation.complete:
        failed = next(iter(sorted(observation.failed.items())))
        raise ClusterError(member.name, could_not_be_listed(*failed))
    if not inventory.rows and not observation.members:
        return None
    changes, kept = _decide(member, observation, federation, fate)
    plan = ClusterPlan(cluster.name, changes=tuple(sorted(changes, key=lambda c: c.key)))
    work = MemberWork(member, cluster, observation, plan, resources={}, rules=_rules(federation))
    return Emptying(work, federation.name, tuple(kept))


def _rules(federation: Federation) -> DeletionRules:
    """Somebody asks for it in so many words; what is protected stays protected."""
    rules = deletion_rules(federation)
    return replace(rules, prune=replace(rules.prune, enabled=True))


def _decide(
    member: Member, observation: Observation, federation: Federation, fate: Fate
) -> tuple[list[Change], list[str]]:
    questions = list(pruning.candidates(observation.members, (), lambda _key: REMOVED))
    if fate == "orphan":
        return [_release(question) for question in questions], []
    rules = _rules(federation)
    applyset = observation.inventory.applyset
    discovery = member.discover()
    changes: list[Change] = []
    kept: dict[ObjectKey, str] = {}
    # What holds other objects is decided last, when it is known which of those stay.
    for question in sorted(questions, key=lambda q: (q.key.group_kind in pruning.HOLDERS, q.key)):
        verdict = pruning.decide(question, rules)
        holds = question.key.group_kind in pruning.HOLDERS
        if holds and isinstance(verdict, Change) and verdict.action is Action.PRUNE:
            inside = pruning.staying_in(
                question.key, question.live, kept, ()
            ) or pruning.strangers_in(
                member, verdict, question.live, discovery, applyset, pruning.uids_going(changes)
            )
            verdict = f"it holds {inside}" if inside else verdict
        if isinstance(verdict, Change) and verdict.action is Action.ORPHAN:
            verdict = "it is marked to be orphaned"
        if isinstance(verdict, str):
            kept[question.key] = verdict
            changes.append(_release(question))
        else:
            changes.append(dataclasses.replace(verdict, reason=REASON))
    return changes, [f"{key} is left: {reason}" for key, reason in sorted(kept.items())]


def _release(question: pruning.PruneQuestion) -> Change:
    metadata = question.live["metadata"]
    return Change(
        Action.ORPHAN,
        question.key,
        question.kind.api_version,
        reason=REASON,
        uid=str(metadata.get("uid", "")),
        resource_version=str(metadata.get("resourceVersion", "")),
        live=question.live,
    )


def empty(emptying: Emptying, patience: float) -> tuple[str, ...]:
    """Carry it out, and wait so many seconds until what was deleted is gone; gives what is not.

    Raises ClusterError when something could not be deleted or released.
    """
    work = emptying.work
    result = carry_out(Plan(emptying.federation, (work.plan,)), [work], {})
    failed = [f"{o.key}: {o.message}" for o in result.outcomes if o.status != "done"]
    if failed or result.errors:
        words = "; ".join([*result.errors, *failed[:3]])
        more = f" and {len(failed) - 3} more" if len(failed) > 3 else ""
        raise ClusterError(
            work.member.name,
            f"not everything could be removed: {words}{more}",
            hint="run unjoin again, or leave the rest behind with --force",
        )
    return _still_there(work, patience)


def _still_there(work: MemberWork, patience: float) -> tuple[str, ...]:
    pending = {c.key: c for c in work.plan.changes if c.action is Action.PRUNE}
    discovery = work.member.discover()
    give_up = time.monotonic() + patience
    while pending:
        for key, change in list(pending.items()):
            resource = discovery.find(VersionedKind(change.api_version, key.kind))
            live: Object | None = work.member.get(resource, key) if resource else None
            if live is None or live["metadata"].get("uid") != change.uid:
                del pending[key]
        if not pending or time.monotonic() > give_up:
            break
        time.sleep(GONE_POLL_SECONDS)
    return tuple(f"{key} is still being deleted" for key in sorted(pending))
