"""Placement decisions in the host cluster: what would be written there, and writing it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from reconciler.api.errors import ClusterError, ReconcileError, RunError, with_hint
from reconciler.api.notices import Notice, NoticeCause, notice
from reconciler.api.objects import ObjectKey, RedactedRepr
from reconciler.cluster.client import Member
from reconciler.cluster.connect import Connector
from reconciler.cluster.discovery import RESTMapping
from reconciler.federation.inventory import PROFILE_GROUP
from reconciler.plan.decisions import (
    decided_clusters,
    decision_changes,
    decisions_of,
    without_profile,
)
from reconciler.plan.model import Action, DecisionChange
from reconciler.run.inventory import list_in_first_version
from reconciler.run.repository import Repository
from reconciler.scheduler.model import Assignment


class _Place(Struct, frozen=True):
    """A namespace of the host, and how decisions are reached there."""

    host: Member
    resource: RESTMapping


class Publication(RedactedRepr, frozen=True):
    """What a run publishes. ``namespaces`` are those to be looked at by the next run as well;
    ``problem`` is why nothing can be published."""

    changes: tuple[DecisionChange, ...] = ()
    namespaces: tuple[str, ...] = ()
    notices: tuple[Notice, ...] = ()
    problem: str = ""
    place: _Place | None = None

    def until_open(self, closed: str) -> Publication:
        """Nothing of it now, for the reason why the fleet is ``closed``; all of it where open."""
        if not (closed and self.changes):
            return self
        told = notice(NoticeCause.DECISIONS_WAIT, reason=closed)
        return replace(self, changes=(), notices=(*self.notices, told))

    def write(self, stopped: Callable[[], str]) -> tuple[int, list[RunError]]:
        """Writes and deletes as planned, under the lock that the host's connection heeds; how many
        that were, and what could not be done. A deletion is of the very object that was seen."""
        about = "placement decisions"
        if self.problem:
            text = f"placement decisions are not published: {self.problem}"
            return 0, [RunError(text, about=about)]
        errors: list[RunError] = []
        place = self.place
        for change in self.changes if place else ():
            why = stopped()
            try:
                if place and not why:
                    _write(place, change)
                    continue
            except ReconcileError as error:
                why = with_hint(error)
            text = f"PlacementDecision {change.namespace}/{change.name} is not published: {why}"
            errors.append(RunError(text, about=f"PlacementDecision {change.name}"))
        return len(self.changes) - len(errors), errors


def plan_publication(
    connector: Connector,
    repository: Repository,
    assignments: Sequence[Assignment],
    published_in: Iterable[str],
) -> Publication:
    """What is to be written so that the host says what was decided.

    ``published_in``: namespaces in which earlier runs published; what is there and no longer wanted
    goes. Reads one list for each namespace.
    """
    federation, inventory = repository.state.federation, repository.inventory
    wanted_in = federation.decisions_in
    namespaces = sorted({wanted_in, *published_in} - {""})
    decided = decided_clusters(assignments) if wanted_in else {}
    profiles = {one.name: one.namespace for one in inventory.profiles} if inventory else {}
    notices = [
        notice(NoticeCause.DECISION_WITHOUT_PROFILE, name)
        for name in without_profile(decided, profiles)
    ]
    changes: list[DecisionChange] = []
    kept = {wanted_in} if wanted_in else set()
    try:
        host = connector.host()
        hint = "install its CRD, or remove spec.publish"
        resource, live = list_in_first_version(host, "PlacementDecision", namespaces, hint)
        for namespace in namespaces:
            wanted = (
                decisions_of(decided, profiles, federation.name, namespace, resource.api_version)
                if namespace == wanted_in
                else []
            )
            found, foreign = decision_changes(wanted, live[namespace], federation.name)
            changes += found
            if found:
                kept.add(namespace)
            notices += [
                notice(NoticeCause.DECISION_OF_OTHERS, subject=f"{namespace}/{name}")
                for name in foreign
            ]
    except ClusterError as error:
        problem = with_hint(error)
        told = notice(NoticeCause.DECISIONS_UNREADABLE, error=problem)
        return Publication((), tuple(namespaces), (*notices, told), problem)
    return Publication(
        tuple(changes), tuple(sorted(kept)), tuple(notices), "", _Place(host, resource)
    )


def _write(place: _Place, change: DecisionChange) -> None:
    host, resource = place.host, place.resource
    key = ObjectKey(PROFILE_GROUP, "PlacementDecision", change.namespace, change.name)
    if change.request is None:
        host.delete(resource, key, uid=change.uid, resource_version=change.resource_version)
    elif change.action is Action.CREATE:
        # What somebody else made of this name meanwhile has another owner, and is refused.
        host.apply(resource, key, change.request)
    else:
        # With the UID, what was deleted meanwhile is not made again as another's.
        metadata = {**change.request["metadata"], "uid": change.uid}
        host.apply(resource, key, {**change.request, "metadata": metadata}, force=True)
