"""The steps strung together: repository -> state -> members -> plan -> result.

Every step's own work is in its package; here is only the order, and what runs side by side.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from reconciler.api.errors import (
    BadInput,
    ClusterError,
    GuardViolation,
    NoMajority,
    ReconcileError,
    RunError,
    TextViolation,
    UsageError,
    Violation,
    with_hint,
)
from reconciler.api.notices import Notice
from reconciler.api.objects import ObjectKey
from reconciler.api.options import COMPLETE, RunOptions
from reconciler.cluster.connect import Connections, Connector
from reconciler.cluster.parallel import in_parallel
from reconciler.cluster.responses import reading_answers
from reconciler.dns.pipeline_step import (
    asks_for_records,
    plan_records,
    returning_records,
    waiting_records,
    with_records,
    withdrawals,
    write_records,
)
from reconciler.failover.availability import simulated_outages
from reconciler.failover.cluster_health import Absence
from reconciler.failover.probe import Probe
from reconciler.federation.model import DesiredState, Federation
from reconciler.git.owner import Claimant, Owner
from reconciler.git.read import ReadSource
from reconciler.git.trust import LastApplied, check_trust
from reconciler.inventory.observe import observe
from reconciler.inventory.ownership import Servers, identified
from reconciler.lock.run_lock import RunLock
from reconciler.plan.assemble import HINT, assemble, hold_prunes_of_moved, unreachable_plan
from reconciler.plan.guards import deletions_of
from reconciler.plan.live_state import CONCURRENT_MEMBERS, MemberState, kinds_of
from reconciler.plan.member_plan import MemberWork, PlanSettings, failover_part, plan_member
from reconciler.plan.model import (
    NOT_WRITTEN,
    Action,
    Change,
    ClusterPlan,
    Outcome,
    Plan,
    RecordOutcome,
    RunResult,
    Urgent,
    WithoutGit,
)
from reconciler.plan.replicas import (
    expected_counts,
    replicas_in,
    replicas_now,
    replicas_to_be,
    with_foreign_objects,
    workload_rows,
)
from reconciler.render.render import Rendering
from reconciler.run.decide import (
    Connect,
    FleetAssessment,
    LookedAt,
    RunInputs,
    decide_fleet,
    follow_decision,
    just_asked,
    look_at_fleet,
)
from reconciler.run.placed_objects import clusters_by_object, in_either, moved_to
from reconciler.run.progress import NoProgress, Progress
from reconciler.run.repository import Repository, render_repository
from reconciler.run.start import read_under_lock, waiting_seconds
from reconciler.scheduler.placement_warnings import Unplaced, why_unplaced
from reconciler.scheduler.schedule import schedule
from reconciler.shard.split import shard_of
from reconciler.state.kept_commit_store import keep_begun
from reconciler.state.memory import FleetMemory
from reconciler.state.run_memory import (
    RunMemory,
    load_run_memory,
    not_remembered,
    remember,
    remember_commit,
)

if TYPE_CHECKING:
    from reconciler.dns.plan import DnsPlan
    from reconciler.plan.fights import Fights
    from reconciler.plan.waiting import Waiting
    from reconciler.rollout.model import RolloutView
    from reconciler.run.publish import Publication
    from reconciler.run.rollout import Rollout
    from reconciler.shard.round import Round

T = TypeVar("T")


class Prepared(Struct, frozen=True):
    """A plan with the members it was made for, ready to be carried out.

    ``repository`` and ``connector`` are for telling others of the run, and for knowing the plan
    again; ``moving`` are the workloads of which a cluster is to run more than when all is well;
    ``connect`` makes members of any cluster of ``state``, ``identified`` those that are the API
    server that they were. ``round`` is there where several
    pods share the run. ``blocked`` is why nothing at all may be written: no majority of the seats.
    ``moves_on``: clusters get another commit than before, where those come in waves;
    ``other_sources`` are those that clusters are on beside the newest one. ``probes`` are what the
    clusters said of themselves, before doubts.
    """

    plan: Plan
    works: tuple[MemberWork, ...]
    placed: Mapping[ObjectKey, frozenset[str]]
    moving: Mapping[str, frozenset[ObjectKey]]
    run_memory: RunMemory
    repository: Repository
    connector: Connector
    connect: Connect
    identified: Connect
    records: DnsPlan | None = None
    publication: Publication | None = None
    round: Round | None = None
    blocked: NoMajority | None = None
    moves_on: bool = False
    other_sources: Mapping[str, ReadSource] = {}
    waiting: Waiting | None = None
    probes: tuple[Probe, ...] = ()

    @property
    def state(self) -> DesiredState:
        return self.repository.state

    @property
    def federation(self) -> Federation:
        return self.state.federation

    def why_closed(self, cluster: str, change: Change | None) -> str:
        """Why that, or anything (None), must not be written there by now; empty: it may."""
        return self.waiting.why(cluster, change) if self.waiting else ""


def make_plan(
    options: RunOptions, progress: Progress | None = None, lock: RunLock | None = None
) -> Prepared:
    """Look at every member and say what a run would change. Writes to no member.

    ``lock`` is taken before anything is looked at: what is planned under it may be applied under
    it. Raises SourceError, BadInput, UsageError, LeaseLost; a member's own trouble is part of the
    plan.
    """
    progress = progress or NoProgress()
    start = read_under_lock(lock, options)
    repository, connector, published = start.repository, start.connector, start.published
    if start.blocked:
        options = replace(options, plan_only=True)
    state, now = repository.state, options.clock()
    if start.seats or (lock and lock.round):
        # What several processes decide together is written down by each of them in each run.
        now = float(now)
    _check_names(state, options.clusters)
    outages = simulated_outages(state, options.simulate_outages)
    claimant = repository.claimant(take_over=options.take_over, clusters=options.clusters)
    run_memory = load_run_memory(options, connector, state.federation, claimant, start.store)
    servers = run_memory.known_servers if not options.sandbox else Servers()
    rollout = _rollout(repository, options, run_memory.memory, published, now)
    left_alone = rollout.left_alone if rollout else frozenset[str]()
    fleet = _inputs(
        rollout.state if rollout else state,
        options,
        claimant,
        repository.commit(),
        servers,
        left_alone,
    )
    connect = Connections(connector).member
    begun = run_memory.memory.begun
    distrust = check_trust(repository.source, LastApplied.of(run_memory.memory.commit), begun)
    without_git = without_git_of(repository.source, run_memory.memory, now)
    names = False
    view: RolloutView | None = None
    looked: LookedAt | None = None
    if published:
        from reconciler.shard.published import decode_decision

        # A repeated pod 0 writes the names that its forerunner may have left unwritten.
        names = bool(lock and lock.round and lock.round.shard.decides)
        decision = decode_decision(published, fleet.usual)
        decided = follow_decision(fleet, decision, connect, progress, names=names)
    else:
        looked = look_at_fleet(
            fleet,
            run_memory.memory,
            outages,
            connect,
            now,
            progress,
            start.seat_votes,
            rollout.to_judge if rollout else (),
            just_asked(options.kept, state) if not outages else None,
        )
        if rollout:
            view = rollout.advance(looked)
            if options.rollout == COMPLETE:
                view = replace(view, complete=True)
            planned_state = state if view.complete else rollout.state
            stays = frozenset[str]() if view.complete else rollout.left_alone
            if planned_state is not fleet.state or stays != left_alone:
                fleet = _inputs(planned_state, options, claimant, fleet.commit, servers, stays)
        decided = decide_fleet(fleet, run_memory.memory, outages, connect, now, looked)
        if start.seats:
            start.seats.set_votes(decided.votes)
    decided = replace(decided, health=_with_plain_numbers(decided.health, options))
    state, usual = fleet.state, fleet.usual
    publication, earlier = None, run_memory.memory.published_in
    if (state.federation.decisions_in or earlier) and not (
        published or options.clusters or options.sandbox
    ):
        from reconciler.run.publish import plan_publication

        assignments = decided.decision.assignments
        publication = plan_publication(connector, repository, assignments, earlier)
    memory = decided.memory or run_memory.memory
    moved_on = bool(rollout and rollout.moves_on)
    if not published:
        memory = replace(
            memory,
            rollout=rollout.memory if rollout else None,
            without_git_since=without_git.since if without_git else 0.0,
            inventory=repository.inventory,
            published_in=publication.namespaces if publication else memory.published_in,
        )
    if not (rollout or published):
        memory = replace(memory, rollout=run_memory.memory.rollout_without_rules(fleet.commit))
    memory = _with_plain_numbers(memory, options)
    run_memory = replace(run_memory, memory=memory, servers=decided.servers)
    unkept: list[Notice] = []
    if lock and lock.round and not published:
        run_memory, unkept = keep_begun(
            run_memory,
            repository.source,
            connector,
            state.federation,
            fleet.commit,
            seat=connector.seat,
            others=rollout.sources if rollout else {},
        )
        run_memory = _announce(lock.round, fleet, decided, run_memory, moves_on=moved_on)
    rendering = fleet.rendering
    if decided.decision.assignments != usual:
        try:
            rendering = render_repository(state, decided.decision.assignments)
        except BadInput:
            if lock:
                # Or no grace period would ever end while the fault is there.
                remember(run_memory)
            raise
    placed = clusters_by_object(rendering)
    moving = moved_to(usual, decided.decision.assignments)
    waiting = _waiting(state, moving, lambda: now, options.fights)
    if publication and waiting and not moving:
        publication = publication.until_open(waiting.why_fleet())
    # One pod of many writes the names that all clusters answer to.
    records = None
    if not published or names:
        records = plan_records(
            state,
            in_either(clusters_by_object(fleet.rendering), placed),
            decided.seen,
            # With action None an outage is only reported.
            {} if state.federation.failover.action == "None" else decided.decision.down,
            returning_records(state, usual, decided.live, run_memory.memory.returning),
            connect,
            connector,
            _owners(run_memory.owner, claimant, decided.seen),
            simulated=options.sandbox,
            take_over=options.take_over,
        )
        records = waiting_records(records, waiting.why_fleet() if waiting else "")
    absent = why_unplaced(state, decided.decision.assignments)
    planned = _plan_all(fleet, decided, rendering, absent, options, now, waiting, progress)
    if rollout:
        planned = rollout.with_own_commits(planned)
    if rollout and view and view.complete:
        view = _with_planned(view, planned)
    elif rollout and looked and view and view.candidate and options.plan_only:
        view = _road(view, rollout, fleet, looked, outages, connect, options, now)
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
        notices=[
            *([without_git.notice] if without_git else []),
            *distrust,
            *unkept,
            *start.notices,
            *run_memory.notices,
            *connector.remarks,
            *decided.notices,
            *_notices_of_fights(options, now),
            *absent.notices(),
            *(rollout.notices if rollout else ()),
            *(publication.notices if publication else ()),
        ],
        moves=decided.decision.moves,
        health=decided.health,
        simulated_outages=options.simulate_outages,
    )
    plan = replace(
        with_records(plan, records),
        without_git=_with_plain_numbers(without_git, options),
        rollout=_with_plain_numbers(view, options),
        decisions=publication.changes if publication else (),
    )
    if plan.violations:
        despite = _despite_guards(works, moving, withdrawals(records))
        plan = replace(plan, despite_guards=tuple(despite))
    return Prepared(
        plan,
        tuple(works),
        placed,
        moving,
        run_memory,
        replace(repository, state=state),
        connector,
        connect,
        identified(connect, claimant, servers),
        records,
        publication,
        lock.round if lock else None,
        start.blocked,
        moved_on,
        rollout.sources if rollout else {},
        waiting and waiting.by_clock(options.clock),
        looked.measured if looked else (),
    )


def _rollout(
    repository: Repository, options: RunOptions, memory: FleetMemory, published: bytes, now: float
) -> Rollout | None:
    """None where all clusters get the newest commit, and start-up pays for nothing else."""
    if repository.state.federation.rollout is None:
        return None
    from reconciler.run.rollout import FleetCommits, Rollout

    remembered = memory.rollout
    if published:
        from reconciler.shard.published import told_rollout

        remembered = told_rollout(published)
    commits = FleetCommits(repository, options)
    return Rollout(
        commits,
        remembered,
        memory.commit,
        now,
        options.time_left,
        only_planned=options.plan_only,
        whole=options.rollout == COMPLETE,
    )


def _inputs(
    state: DesiredState,
    options: RunOptions,
    claimant: Claimant,
    commit: str,
    servers: Servers,
    left_alone: Collection[str] = (),
) -> RunInputs:
    kept = options.kept
    if kept is not None and kept.rendered[0] is state:
        _, usual, rendering = kept.rendered
    else:
        usual = schedule(state)
        rendering = render_repository(state, usual)
        if kept is not None:
            kept.rendered = (state, usual, rendering)
    return RunInputs(
        state,
        usual,
        rendering,
        _clusters_in_scope(options, state).difference(left_alone),
        claimant,
        commit,
        servers,
    )


def _road(
    view: RolloutView,
    rollout: Rollout,
    fleet: RunInputs,
    looked: LookedAt,
    outages: Mapping[str, str],
    connect: Connect,
    options: RunOptions,
    now: float,
) -> RolloutView:
    """With what the candidate would change in each cluster that is yet to get it."""
    state = rollout.commits.state(view.candidate)
    if state is None:
        return view
    whole = _inputs(state, options, fleet.claimant, fleet.commit, fleet.servers)
    # Only where it goes matters; what is to be remembered is what this run does.
    decided = decide_fleet(whole, FleetMemory(), outages, connect, now, looked)
    assignments = decided.decision.assignments
    rendering = render_repository(state, assignments)
    absent = why_unplaced(state, assignments)
    waiting = _waiting(state, {}, lambda: now, options.fights)
    planned = _plan_all(whole, decided, rendering, absent, options, now, waiting, NoProgress())
    return _with_planned(view, planned)


def _with_planned(view: RolloutView, planned: Sequence[MemberWork | ClusterPlan]) -> RolloutView:
    from reconciler.rollout.model import with_planned

    plans = [one.plan if isinstance(one, MemberWork) else one for one in planned]
    counts = {
        one.name: dict(Counter(str(c.action) for c in one.changes if c.action not in NOT_WRITTEN))
        for one in plans
    }
    return with_planned(view, counts)


def _waiting(
    state: DesiredState,
    moving: Mapping[str, frozenset[ObjectKey]],
    clock: Callable[[], float],
    fights: Fights,
) -> Waiting | None:
    """None where nothing ever waits, and start-up pays for nothing else."""
    if not (state.has_maintenance or fights):
        return None
    from reconciler.plan.waiting import Waiting

    return Waiting(state, moving, clock, fights)


def _with_plain_numbers(value: T, options: RunOptions) -> T:
    """As ``api.moments.plain_numbers``; the clock of a run that ends gives plain numbers."""
    if options.kept is None:
        return value
    from reconciler.api.moments import plain_numbers

    return plain_numbers(value)


def _notices_of_fights(options: RunOptions, now: float) -> Sequence[Notice]:
    if not options.fights:
        return ()
    from reconciler.plan.fights import notices_of_fights

    return notices_of_fights(options.fights, now)


def without_git_of(source: ReadSource, memory: FleetMemory, now: float) -> WithoutGit | None:
    """That a run goes on from the kept commit, and since when runs do; None: Git answered."""
    if source.kept is None:
        return None
    return WithoutGit(source.checkout.commit, memory.without_git_since or now, source.unreachable)


def _owners(
    remembered: Owner | None, claimant: Claimant, seen: Sequence[MemberState]
) -> list[Owner]:
    """This repository as the memory and the members' inventories have it, or would now."""
    recorded = [one.observation.inventory.owner for one in seen if one.observation]
    return [owner for owner in (remembered, claimant.owner, *recorded) if owner is not None]


def _clusters_in_scope(options: RunOptions, state: DesiredState) -> frozenset[str]:
    """The clusters that this run plans: all, unless --cluster or --shard says otherwise."""
    names = frozenset(cluster.name for cluster in state.clusters)
    shard = shard_of(options)
    in_scope = shard.clusters_of(names) if shard else names
    return in_scope & set(options.clusters) if options.clusters else in_scope


def _plan_all(
    fleet: RunInputs,
    decided: FleetAssessment,
    rendering: Rendering,
    absent: Unplaced,
    options: RunOptions,
    now: float,
    waiting: Waiting | None,
    progress: Progress,
) -> list[MemberWork | ClusterPlan]:
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


def _announce(
    shared: Round,
    fleet: RunInputs,
    decided: FleetAssessment,
    run_memory: RunMemory,
    *,
    moves_on: bool,
) -> RunMemory:
    """Remember what was decided, and only then let the other pods act upon it."""
    from reconciler.shard.published import encode_decision

    errors, run_memory = remember(run_memory)
    acts = bool(decided.decision.moves or decided.decision.down or moves_on)
    _stop_what_is_not_remembered(errors, acts)
    decision = replace(decided.decision, rollout=run_memory.memory.rollout)
    shared.publish(encode_decision(decision, fleet.usual))
    return replace(run_memory, notices=(*run_memory.notices, *not_remembered(errors)))


def apply_plan(
    prepared: Prepared,
    progress: Progress | None = None,
    stopped: Callable[[], str] = lambda: "",
    *,
    unattended: bool = True,
) -> RunResult:
    """Carry a plan out.

    Raises GuardViolation when it passes a limit, after what no limit may hold up: what was seen is
    remembered, or no grace period would ever end; and where nobody is there to be asked
    (``unattended``), names leave the clusters that are down and replicas move from there.
    """
    from reconciler.apply.fleet import OtherClusters, apply_to_fleet

    progress = progress or NoProgress()
    plan = prepared.plan
    if prepared.blocked:
        raise prepared.blocked
    if plan.simulated_outages:
        raise UsageError("a simulated outage can only be planned", hint="add --plan")
    # What was decided is remembered before it is acted upon: a run that dies has not forgotten.
    errors, run_memory = remember(prepared.run_memory)
    failover_writes = prepared.records and any(
        write.failover_part for write in prepared.records.writes
    )
    acts = bool(plan.moves or prepared.moving or failover_writes or prepared.moves_on)
    _stop_what_is_not_remembered(errors, acts)
    violations = (*plan.violations, *_guards_of_others(prepared))
    if violations:
        done, undone = _apply_failover_part(prepared, stopped) if unattended else ([], [])
        forgotten = [TextViolation(text=str(one), about=one.subject) for one in errors]
        raise GuardViolation(
            (*violations, *forgotten, *undone), done=done, hint=plan.violation_hint or HINT
        )
    unkept: list[Notice] = []
    if prepared.round is None:
        run_memory, unkept = keep_begun(
            run_memory,
            prepared.repository.source,
            prepared.connector,
            prepared.federation,
            plan.commit,
            seat=prepared.connector.seat,
            others=prepared.other_sources,
        )
    # A name leaves what is down, or about to be pruned, before anything else is done.
    fleet_closed = prepared.waiting.why_fleet() if prepared.waiting else ""
    records = write_records(prepared.records, prepared.connector, stopped, fleet_closed)
    names = _names_of(prepared, records)
    progress.phase("apply", sum(len(cluster.changes) for cluster in plan.clusters))
    planned = {cluster.name for cluster in plan.clusters}
    result = apply_to_fleet(
        plan,
        prepared.works,
        prepared.placed,
        other_clusters=OtherClusters(
            [c for c in prepared.state.clusters if c.name not in planned],
            prepared.identified,
        ),
        names=names,
        stopped=stopped,
        written=lambda: progress.advance("apply"),
        closed=prepared.why_closed,
    )
    result = replace(result, records=records, notices=(*result.notices, *unkept))
    if prepared.publication:
        told, untold = prepared.publication.write(stopped)
        result, errors = replace(result, published=told), [*errors, *untold]
    well = result.ok and not errors
    if prepared.round:
        well, trouble = _ended(prepared.round, well=well)
        errors += trouble
    if well:
        errors += remember_commit(run_memory, plan.commit, time.time())
    return replace(result, errors=(*result.errors, *errors)) if errors else result


def _guards_of_others(prepared: Prepared) -> list[Violation]:
    """Which limits the plans of other pods pass: what one run would not delete, no pod does.

    A pod that deletes nothing waits for nobody, and one that passes a limit itself stops by that.
    """
    shared, plan = prepared.round, prepared.plan
    if shared is None:
        return []
    shared.publish_violations([str(one) for one in plan.violations])
    if plan.violations or not deletions_of([change for _, change in plan.writes()]):
        return []
    return [*shared.await_guards(waiting_seconds(prepared.connector))]


def _despite_guards(
    works: Sequence[MemberWork],
    moving: Mapping[str, frozenset[ObjectKey]],
    names: DnsPlan | None,
) -> list[Urgent]:
    """What ``_apply_failover_part`` would do, and then which moves wait for the guard."""
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


def _stop_what_is_not_remembered(errors: Sequence[RunError], acts: bool) -> None:
    """Raises ReconcileError where a run ``acts`` on an outage, or on its end, that it could not
    remember: the next one would begin the same grace period anew, and take it back."""
    if errors and acts:
        raise ReconcileError(
            f"{'; '.join(map(str, errors))}; this run would move workloads, DNS names or a rollout "
            "by it, so nothing was written",
            hint="make the memory writable, or keep it elsewhere, with --state",
            subject="; ".join(one.subject for one in errors),
        )


def _apply_failover_part(
    prepared: Prepared, stopped: Callable[[], str]
) -> tuple[list[str], list[TextViolation]]:
    """Only what an outage asks for: DNS records leave what is down, and others take over what it
    ran. What was done and what was not, for people."""
    from reconciler.apply.fleet import apply_to_fleet

    records = write_records(withdrawals(prepared.records), prepared.connector, stopped)
    if prepared.round and prepared.round.shard.decides:
        prepared.round.publish_names("a guard stops shard 0")
    works = [failover_part(work, prepared.moving) for work in prepared.works]
    plan = replace(prepared.plan, clusters=tuple(work.plan for work in works), violations=())
    outcomes: tuple[Outcome, ...] = ()
    if any(cluster.changes for cluster in plan.clusters):
        outcomes = apply_to_fleet(
            plan, works, prepared.placed, stopped=stopped, closed=prepared.why_closed
        ).outcomes
    undone = [(f"DNS {r.name} {r.type}", r.message) for r in records if r.status != "done"]
    undone += [(f"{o.cluster}: {o.key}", o.message) for o in outcomes if o.status != "done"]
    did = [f"{r.name} {r.type}" for r in records if r.status == "done"]
    did += [f"{o.key} in {o.cluster}" for o in outcomes if o.status == "done"]
    return did, [
        TextViolation(text=f"not done for what is down: {what}: {why}", about=f"not done: {what}")
        for what, why in undone
    ]


def _names_of(prepared: Prepared, records: Sequence[RecordOutcome]) -> Callable[[], str]:
    """Why what a DNS name points to must stay, for whoever is to delete it; nothing: it may go."""
    shared = prepared.round
    if not asks_for_records(prepared.state):
        return lambda: ""
    if shared and not shared.shard.decides:
        return lambda: shared.await_names(waiting_seconds(prepared.connector))
    undone = [f"DNS {r.name} {r.type}: {r.message}" for r in records if r.status != "done"]
    failed = "; ".join([*prepared.plan.dns_errors, *undone][:3])
    if shared:
        shared.publish_names(failed)
    return lambda: failed


def _ended(shared: Round, *, well: bool) -> tuple[bool, list[RunError]]:
    """Whether all pods have ended well, as far as this one can tell; what hinders it."""
    try:
        return shared.end(well=well).all_well, []
    except ReconcileError as error:
        text = "this shard could not tell the others that it has ended"
        return False, [RunError(f"{text}: {error}", about=text)]


def _check_names(state: DesiredState, names: Sequence[str]) -> None:
    from reconciler.manifests.problems import suggestion

    known = {cluster.name for cluster in state.clusters}
    for name in names:
        if name not in known:
            hint = suggestion(name, known) or f"there are: {', '.join(sorted(known))}"
            raise UsageError(f"--cluster {name}: the repository has no such cluster", hint=hint)


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
