"""What a run would change: clusters as they were looked at, beside what each should have -> Plan.

Loaded while the clusters are being listed: see ``pipeline.make_plan``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from reconciler.api.errors import ClusterError, with_hint
from reconciler.api.notices import Notice
from reconciler.api.objects import ObjectKey
from reconciler.api.options import RunOptions
from reconciler.cluster.parallel import in_parallel
from reconciler.cluster.responses import reading_answers
from reconciler.failover.cluster_health import Absence
from reconciler.federation.model import DesiredState
from reconciler.inventory.observe import observe
from reconciler.plan.assemble import assemble, hold_prunes_of_moved, unreachable_plan
from reconciler.plan.live_state import CONCURRENT_MEMBERS, MemberState, kinds_of
from reconciler.plan.member_plan import MemberWork, PlanSettings, failover_part, plan_member
from reconciler.plan.model import NOT_WRITTEN, Action, Change, ClusterPlan, Plan, Urgent
from reconciler.plan.replicas import (
    expected_counts,
    replicas_in,
    replicas_now,
    replicas_to_be,
    with_foreign_objects,
    workload_rows,
)
from reconciler.render.render import Rendering
from reconciler.run.decide import FleetAssessment, RunInputs
from reconciler.run.placed_objects import clusters_by_object
from reconciler.run.progress import Progress
from reconciler.scheduler.placement_warnings import Unplaced

if TYPE_CHECKING:
    from reconciler.dns.plan import DnsPlan
    from reconciler.plan.waiting import Waiting
    from reconciler.rollout.model import RolloutView


def plan_clusters(
    fleet: RunInputs,
    decided: FleetAssessment,
    rendering: Rendering,
    absent: Unplaced,
    options: RunOptions,
    now: float,
    waiting: Waiting | None,
    progress: Progress,
) -> list[MemberWork | ClusterPlan]:
    """What each cluster in scope would be changed to, side by side; or why it cannot be planned."""
    settings = PlanSettings(
        force_conflicts=options.force_conflicts,
        max_deletions=options.max_deletions,
        now=now if options.sample_at is None else options.sample_at,
        take_over=options.take_over,
        waiting=waiting,
        checked=lambda count: progress.advance("compare", count),
    )
    seen = [one for one in decided.seen if one.cluster.name in fleet.in_scope]
    progress.phase("compare", sum(len(rendering.objects[s.cluster.name]) for s in seen))
    return in_parallel(
        lambda one: _plan_one(one, rendering, absent, fleet.state, settings),
        seen,
        CONCURRENT_MEMBERS,
    )


def _plan_one(
    one: MemberState,
    rendering: Rendering,
    absent: Unplaced,
    state: DesiredState,
    settings: PlanSettings,
) -> MemberWork | ClusterPlan:
    if one.member is None or one.observation is None:
        return unreachable_plan(one.cluster, one.absence)
    desired = rendering.objects[one.cluster.name]
    observation = one.observation
    wanted = kinds_of(rendering)[one.cluster.name]
    try:
        with reading_answers(one.cluster.name):
            if not wanted <= {*observation.live, *observation.unserved, *observation.failed}:
                # Rescheduling brought a kind here that the first look did not expect.
                observation = observe(one.member, observation.inventory, wanted)
            from_charts = any(target.rules.chart for target in desired)
            if from_charts:
                from reconciler.plan.helm_releases import records_that_stay, records_to_remove
                from reconciler.plan.random_objects import of_two_renderings

                more = records_to_remove(one.member, observation.discovery, desired)
                desired = (*desired, *more)
            work = plan_member(
                one.member, one.cluster, observation, desired, absent, state.federation, settings
            )
            if from_charts:
                told = (*records_that_stay(work, desired), *of_two_renderings(work, desired))
                work = replace(work, notices=(*work.notices, *told))
    except ClusterError as error:
        return unreachable_plan(one.cluster, Absence(with_hint(error)))
    finally:
        one.member.rest()
    return replace(work, plan=replace(work.plan, requests=one.member.requests))


def _tolerate_failover_refusals(
    work: MemberWork, usual: Mapping[ObjectKey, frozenset[str]]
) -> MemberWork:
    """What a cluster refuses of objects that only a failover placed there does not stop the run."""

    def usually_here(changes: Sequence[Change]) -> tuple[Change, ...]:
        return tuple(c for c in changes if work.cluster.name in usual.get(c.key, ()))

    return replace(
        work, invalid=usually_here(work.invalid), unservable=usually_here(work.unservable)
    )


def put_together(
    state: DesiredState,
    fleet: RunInputs,
    decided: FleetAssessment,
    planned: Sequence[MemberWork | ClusterPlan],
    rendering: Rendering,
    placed: Mapping[ObjectKey, frozenset[str]],
    *,
    notices: Sequence[Notice],
    simulated_outages: Sequence[str],
) -> tuple[Plan, tuple[MemberWork, ...]]:
    """All clusters' changes as one plan, judged by the guards, and the work that carries it out."""
    unreachable = [w for w in planned if isinstance(w, ClusterPlan)]
    usually = clusters_by_object(fleet.rendering)
    found = [
        _tolerate_failover_refusals(work, usually)
        for work in planned
        if isinstance(work, MemberWork)
    ]
    works = hold_prunes_of_moved(found, unreachable, placed)
    live = with_foreign_objects(decided.live, {w.cluster.name: w.foreign_objects for w in works})
    lost = decided.decision.lost
    before = replicas_now(live, replicas_in(fleet.rendering), lost)
    after = replicas_to_be(
        rendering, live, lost, {w.cluster.name: w.left_to_autoscalers for w in works}
    )
    plan = assemble(
        state,
        works,
        unreachable,
        workload_rows(
            decided.decision.assignments,
            before,
            expected_counts(after, before, [work.plan for work in works]),
            decided.answered | lost,
        ),
        placed,
        commit=fleet.commit,
        notices=notices,
        moves=decided.decision.moves,
        health=decided.health,
        simulated_outages=simulated_outages,
    )
    return plan, tuple(works)


def despite_guards(
    works: Sequence[MemberWork],
    moving: Mapping[str, frozenset[ObjectKey]],
    names: DnsPlan | None,
) -> list[Urgent]:
    """What ``pipeline.apply_plan`` would do, and then which moves wait for the guard."""
    found: list[Urgent] = []
    for work in works:
        in_failover_part = {change.key for change in failover_part(work, moving).plan.changes}
        for change in work.plan.changes:
            if (
                change.key in moving.get(work.cluster.name, ())
                and change.action is not Action.FAILED
            ):
                what, waits = f"{change.action} {change.key}", change.key not in in_failover_part
                found.append(Urgent(what, work.cluster.name, waits))
    found += [Urgent(f"DNS {one['name']} {one['type']}") for one in names.changes] if names else []
    return sorted(found, key=lambda one: one.waits)


def with_planned_changes(
    view: RolloutView, planned: Sequence[MemberWork | ClusterPlan]
) -> RolloutView:
    """With how many changes of each sort are planned in each cluster."""
    from reconciler.rollout.model import with_planned

    plans = [one.plan if isinstance(one, MemberWork) else one for one in planned]
    counts = {
        one.name: dict(Counter(str(c.action) for c in one.changes if c.action not in NOT_WRITTEN))
        for one in plans
    }
    return with_planned(view, counts)
