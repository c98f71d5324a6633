"""Carrying out a plan over all members: apply everywhere, then prune, then remember.

One member's failure never stops another's; only a lost lock or a stop request stops all.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial

from msgspec.structs import replace

from reconciler.api.annotations import PART_OF
from reconciler.api.errors import ClusterError, LeaseLost, ReconcileError, RunError, defect_words
from reconciler.api.objects import ObjectKey, key_of
from reconciler.apply.cluster import MemberRun
from reconciler.cluster.client import Member
from reconciler.cluster.discovery import RESTMapping
from reconciler.cluster.parallel import in_parallel
from reconciler.cluster.responses import reading_answers
from reconciler.cluster.warnings import server_warnings
from reconciler.federation.model import Cluster
from reconciler.inventory.applyset import is_member
from reconciler.plan.member_plan import MemberWork, open_part, server_warnings_since_plan
from reconciler.plan.model import NOT_WRITTEN, Action, Change, ClusterPlan, Outcome, Plan, RunResult
from reconciler.plan.replicas import rows_after_run

CONCURRENT_MEMBERS = 32
CONCURRENT_CLUSTERS = 16


def apply_to_fleet(
    plan: Plan,
    works: Sequence[MemberWork],
    placed: Mapping[ObjectKey, frozenset[str]],
    *,
    other_clusters: OtherClusters | None = None,
    names: Callable[[], str] = lambda: "",
    stopped: Callable[[], str] = lambda: "",
    written: Callable[[], None] = lambda: None,
    closed: Callable[[str, Change | None], str] = lambda _cluster, _change: "",
) -> RunResult:
    """Write what the plan says. ``placed`` tells in which clusters each object is wanted, and
    ``other_clusters`` knows those of them that are no part of this run.

    ``names`` tells why DNS records may still lead to what is to go; it is asked, and may wait, only
    where a Service or an Ingress is to go, or something beside one is to run fewer replicas.
    ``stopped`` gives the reason why no further object may be begun, or an empty string; ``closed``
    why this very change, or any, must not be made in a cluster by now.

    A defect of this program in one member ends that member's part, and the result has it, with all
    that was done: who reports the result raises it afterwards.
    """
    runs = [
        MemberRun(open_part(work), plan.commit, stopped, written, partial(closed, work.plan.name))
        for work in works
    ]
    lease_lost: list[str] = []

    def phase(step: Callable[[MemberRun], None]) -> None:
        def guarded(run: MemberRun) -> None:
            if lease_lost:
                return
            try:
                with reading_answers(run.work.cluster.name):
                    step(run)
            except LeaseLost as error:
                lease_lost.append(str(error))
            except ClusterError as error:
                run.lost = run.lost or str(error)
            except Exception as defect:  # noqa: BLE001  (raised once all that was done is reported)
                run.end_by(defect)
            finally:
                run.work.member.rest()

        in_parallel(guarded, runs, CONCURRENT_MEMBERS)

    def phases() -> None:
        scale_downs = {run.work.cluster.name: run.exposed_scale_downs() for run in runs}
        phase(lambda run: run.apply(scale_downs[run.work.cluster.name]))
        exposed = _exposed(runs)
        why = names() if exposed or any(scale_downs.values()) else ""
        phase(lambda run: run.scale_down(scale_downs[run.work.cluster.name], why))
        waiting = _not_in_place(runs, placed, other_clusters)
        waiting |= dict.fromkeys(exposed, f"pruning waits: {why}") if why else {}
        phase(lambda run: run.prune(waiting))

    defect: Exception | None = None
    try:
        phases()
    except ReconcileError:
        raise
    except Exception as error:  # noqa: BLE001  (raised once all that was done is reported)
        defect = error
    phase(MemberRun.finish)
    # Where nothing was written there is no inventory to write either, which would have told.
    lease_lost += [run.lease_lost for run in runs if run.lease_lost]
    errors = [RunError(run.lost, run.work.cluster.name) for run in runs if run.lost]
    errors += [RunError(defect_words(defect))] if defect else []
    outcomes = [outcome for run in runs for outcome in _complete(run)]
    unfinished = any(outcome.status == "skipped" for outcome in outcomes)
    checked = {run.work.cluster.name: run.checked for run in runs}
    return RunResult(
        _as_checked(replace(plan, workloads=rows_after_run(plan.workloads, outcomes)), checked),
        outcomes=tuple(sorted(outcomes, key=lambda o: (o.cluster, o.key, o.action))),
        errors=tuple(sorted(errors, key=str)),
        notices=tuple(
            sorted(
                server_warnings({w.cluster.name: server_warnings_since_plan(w) for w in works}),
                key=str,
            )
        ),
        stopped=lease_lost[0] if lease_lost else stopped() if unfinished else "",
        requests={run.work.cluster.name: run.work.member.requests for run in runs},
        checked=tuple((name, found[key]) for name, found in checked.items() for key in found),
        defect=next((run.defect for run in runs if run.defect), defect),
    )


def _as_checked(plan: Plan, checked: Mapping[str, Mapping[ObjectKey, Change]]) -> Plan:
    """The plan with what was found when its unchecked changes were checked."""

    def of(cluster: ClusterPlan) -> ClusterPlan:
        found = checked.get(cluster.name, {})
        return replace(cluster, changes=tuple(found.get(c.key, c) for c in cluster.changes))

    return replace(plan, clusters=tuple(map(of, plan.clusters))) if any(checked.values()) else plan


def _not_in_place(
    runs: Sequence[MemberRun],
    placed: Mapping[ObjectKey, frozenset[str]],
    other_clusters: OtherClusters | None,
) -> dict[ObjectKey, str]:
    """Objects to be pruned in one member that are wanted in others but not in place in them all.

    In place is what a run knows to be there: not what it failed to look at, or never came to.
    """
    if not any(c.action is Action.PRUNE for run in runs for c in run.work.plan.changes):
        return {}
    looked_at = {run.work.cluster.name: run.in_place() for run in runs}
    waiting: dict[ObjectKey, str] = {}
    for run in runs:
        for change in run.work.plan.changes:
            placed_in = placed.get(change.key, frozenset())
            if change.action is not Action.PRUNE or not placed_in or change.key in waiting:
                continue
            missing: Collection[str] = [
                name for name in placed_in & looked_at.keys() if change.key not in looked_at[name]
            ]
            if not missing:
                missing = _missing_elsewhere(
                    run, change, placed_in - looked_at.keys(), other_clusters
                )
            if missing:
                names = ", ".join(sorted(missing))
                waiting[change.key] = (
                    f"pruning waits: it is wanted in {names} and is not in place there"
                )
    return waiting


def _exposed(runs: Sequence[MemberRun]) -> set[ObjectKey]:
    """What is to go of namespaces of which a Service or an Ingress is to go: a DNS name may still
    lead there."""
    found: set[ObjectKey] = set()
    for run in runs:
        going = [c.key for c in run.work.plan.changes if c.action is Action.PRUNE]
        spaces = {key.namespace for key in going if key.kind in ("Service", "Ingress")}
        found |= {key for key in going if key.namespace in spaces}
    return found


def _missing_elsewhere(
    run: MemberRun, change: Change, placed_in: frozenset[str], other_clusters: OtherClusters | None
) -> Collection[str]:
    resource = run.resource_of(change)
    if not placed_in or other_clusters is None or resource is None:
        return placed_in
    applyset = run.work.observation.inventory.applyset
    return other_clusters.missing(resource, change.key, applyset, placed_in)


def _complete(run: MemberRun) -> list[Outcome]:
    """The run's outcomes, and a "skipped" for each change that was never reached."""
    done = {(outcome.key, outcome.action) for outcome in run.outcomes}
    missed = [
        Outcome(run.work.cluster.name, c.action, c.key, "skipped", run.lost or "not reached")
        for c in run.work.plan.changes
        if c.action not in NOT_WRITTEN and (c.key, c.action) not in done
    ]
    return run.outcomes + missed


class OtherClusters:
    """Whether objects are in place in clusters that this run does not plan: those of other shards,
    and those left out by --cluster. An object that moved to one of them is deleted where it was
    only once it is there.

    Asks ``clusters`` by ``connect``, and only about what is to be deleted: one LIST a kind.
    """

    def __init__(self, clusters: Sequence[Cluster], connect: Callable[[Cluster], Member]) -> None:
        self._clusters = {cluster.name: cluster for cluster in clusters}
        self._connect = connect
        self._held: dict[tuple[str, RESTMapping], frozenset[ObjectKey]] = {}

    def missing(
        self, resource: RESTMapping, key: ObjectKey, applyset: str, names: Collection[str]
    ) -> set[str]:
        """Those of the clusters ``names`` that do not have the object, as ours and to stay.

        One that does not answer, or that nobody knows, does not have it.
        """
        unasked = [n for n in names if n in self._clusters and (n, resource) not in self._held]
        held = in_parallel(
            lambda name: self._held_by(name, resource, applyset), unasked, CONCURRENT_CLUSTERS
        )
        self._held.update(zip(((name, resource) for name in unasked), held, strict=True))
        return {name for name in names if key not in self._held.get((name, resource), ())}

    def _held_by(self, name: str, resource: RESTMapping, applyset: str) -> frozenset[ObjectKey]:
        try:
            found = self._connect(self._clusters[name]).list_objects(
                resource, label_selector=f"{PART_OF}={applyset}", metadata_only=True
            )
        except ClusterError:
            return frozenset()
        return frozenset(
            key_of(live)
            for live in found
            if is_member(live, applyset) and not live["metadata"].get("deletionTimestamp")
        )
