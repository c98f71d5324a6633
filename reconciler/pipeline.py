"""The steps strung together: repository -> state -> members -> plan -> result.

Every step's own work is in its package; here is only the order, and what runs side by side.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import TYPE_CHECKING

from reconciler.cluster.connecting import Connections, Connector
from reconciler.cluster.member import Member
from reconciler.cluster.parallel import in_parallel
from reconciler.cluster.probing import probe_all
from reconciler.cluster.resources import VersionedKind
from reconciler.dns.step import check_rules, plan_records, with_records, write_records
from reconciler.errors import BadInput, ClusterError, GuardViolation, StalePlan, UsageError
from reconciler.federation import interpret
from reconciler.federation.model import Access, Cluster, DesiredState, Federation
from reconciler.health.probe import Probe, Signal
from reconciler.inventory.memory_store import MemoryStore, Remembered
from reconciler.inventory.observation import observe
from reconciler.locking import RunLock
from reconciler.manifests import load
from reconciler.manifests.cache import ParseCache
from reconciler.objects import ObjectKey
from reconciler.options import NoProgress as NoProgress
from reconciler.options import Options as Options
from reconciler.options import Progress as Progress
from reconciler.planning.availability import assess
from reconciler.planning.fleet_plan import assemble, unreachable_plan
from reconciler.planning.looking import (
    CONCURRENT_MEMBERS,
    Seen,
    kinds_in,
    live_workloads,
    look_at_all,
    words_of,
)
from reconciler.planning.member_plan import MemberWork, Settings, plan_member
from reconciler.planning.placing import place
from reconciler.planning.plan import ClusterPlan, Plan, RunResult
from reconciler.planning.replicas import (
    replicas_in,
    replicas_now,
    replicas_to_be,
    workload_rows,
)
from reconciler.planning.requests import DEFAULT_NAMESPACE
from reconciler.reading import (
    LastApplied,
    ReadSource,
    check_same_rules,
    check_trust,
    read_source,
    request_of,
    source_warnings,
)
from reconciler.recall import Recall, open_store, recollect, remember, remember_commit
from reconciler.rendering import Rendering, render
from reconciler.scheduling import Assignment, FleetView, schedule
from reconciler.scheduling.outages import simulated_outages
from reconciler.source import Checkout, default_cache

if TYPE_CHECKING:
    from reconciler.dns.plan import DnsPlan


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository that was read and understood."""

    checkout: Checkout
    state: DesiredState
    source: ReadSource

    @property
    def warnings(self) -> tuple[str, ...]:
        return self.state.warnings


@dataclass(frozen=True)
class Prepared:
    """A plan with the members it was made for, ready to be carried out.

    ``federation`` and ``connector`` are for telling others of the run, ``repository`` for knowing
    the plan again.
    """

    plan: Plan
    works: tuple[MemberWork, ...]
    placed: Mapping[ObjectKey, frozenset[str]] = field(default_factory=dict)
    recall: Recall | None = None
    federation: Federation | None = None
    connector: Connector | None = None
    records: DnsPlan | None = None
    repository: Repository | None = None


def read(options: Options, *, ask_members: bool = False) -> Repository:
    """Read and understand. Raises SourceError, or BadInput with every problem there is.

    ``ask_members``: a federated kind that the repository does not define is looked up in the
    first member that answers.
    """
    source = read_source(request_of(options))
    name = hashlib.sha256(f"{options.repo}\0{options.path}".encode()).hexdigest()[:16]
    manifests = load(source.files, ParseCache(default_cache() / "parsed" / f"{name}.json"))
    found = interpret(manifests.documents)
    if found.unknown_kinds and ask_members:
        kinds = _discovered(options, _reached(found.clusters, options))
        found = interpret(manifests.documents, kinds)
    problems = [*manifests.problems, *found.problems]
    if problems or found.state is None:
        raise BadInput(problems)
    check_same_rules(source, found.state.federation.source, found.state.federation.position)
    state = replace(
        found.state,
        clusters=_reached(found.state.clusters, options),
        warnings=(*found.state.warnings, *source_warnings(source, manifests.documents)),
    )
    check_rules(state)
    return Repository(source.checkout, state, source)


def _reached(clusters: Sequence[Cluster], options: Options) -> tuple[Cluster, ...]:
    """The clusters with the access by which this run reaches them."""
    if not options.simulated:
        return tuple(clusters)
    return tuple(replace(cluster, access=Access(context=cluster.name)) for cluster in clusters)


def _discovered(options: Options, clusters: Sequence[Cluster]) -> dict[str, str]:
    connector = Connector.from_file(options.kubeconfig, "")
    for cluster in clusters:
        try:
            served = connector.member(cluster).discover().resources
        except ClusterError:
            continue
        # The preferred version of a kind comes first.
        return {kind.kind: kind.api_version for kind in reversed(list(served))}
    return {}


def validate(options: Options) -> Repository:
    """All that can be checked without a cluster. Raises SourceError or BadInput."""
    repository = read(options)
    _render(repository.state, FleetView())
    return repository


def _render(state: DesiredState, view: FleetView) -> tuple[tuple[Assignment, ...], Rendering]:
    assignments = schedule(state, view)
    return assignments, _rendered(state, assignments)


def _rendered(state: DesiredState, assignments: Sequence[Assignment]) -> Rendering:
    rendering = render(state, assignments)
    if rendering.problems:
        raise BadInput(rendering.problems)
    return rendering


def make_plan(
    options: Options, progress: Progress | None = None, lock: RunLock | None = None
) -> Prepared:
    """Look at every member and say what a run would change. Writes nothing.

    ``lock`` is taken before anything is looked at: what is planned under it may be applied under
    it. Raises SourceError, BadInput, UsageError, LeaseLost; a member's own trouble is part of the
    plan.
    """
    progress = progress or NoProgress()
    repository, connector = _read_under(lock, options)
    state, now = repository.state, options.clock()
    _check_names(state, options.clusters)
    outages = simulated_outages(state, options.simulate_outages)
    usual, usual_rendering = _render(state, FleetView())
    connect = Connections(connector).member
    recall = recollect(options, connector, state.federation)
    distrust = check_trust(repository.source, LastApplied.of(recall.memory.commit))
    probes = _probe(connect, state, outages, progress)
    availability = assess(state, recall.memory, probes, outages, now)
    chosen = [c for c in state.clusters if not options.clusters or c.name in options.clusters]
    # Replicas are shared out over all clusters, so all must be looked at, whichever are planned.
    shared = any(w.replicas.mode != "Duplicated" for w in state.workloads)
    looked_at = state.clusters if shared else chosen
    progress.phase("observe", len(looked_at))
    seen = look_at_all(
        connect,
        looked_at,
        state,
        kinds_in(usual_rendering),
        availability.left_alone,
        lambda: progress.advance("observe"),
    )
    live = live_workloads(state, usual, seen)
    answered = {one.cluster.name for one in seen if one.observation is not None}
    placing = place(state, availability, usual, live, answered, now)
    rendering = usual_rendering
    if placing.assignments != usual:
        rendering = _rendered(state, placing.assignments)
    placed = _placed(rendering)
    records = plan_records(
        state,
        _placed(usual_rendering),
        seen,
        # With action None an outage is only told of.
        {} if state.federation.failover.action == "None" else availability.unavailable,
        connect,
        connector,
        simulated=options.simulated,
    )
    settings = Settings(
        force_conflicts=options.force_conflicts,
        max_deletions=options.max_deletions,
        now=now if options.sample_at is None else options.sample_at,
        checked=lambda count: progress.advance("compare", count),
    )
    seen = [one for one in seen if one.cluster in chosen]
    progress.phase("compare", sum(len(rendering.objects[s.cluster.name]) for s in seen))
    works = in_parallel(
        lambda one: _plan_one(one, rendering, placed, state, settings), seen, CONCURRENT_MEMBERS
    )
    plan = assemble(
        state,
        [w for w in works if isinstance(w, MemberWork)],
        [w for w in works if isinstance(w, ClusterPlan)],
        workload_rows(
            placing.assignments,
            replicas_now(live, replicas_in(usual_rendering), availability.lost),
            replicas_to_be(rendering, live, availability.lost),
            answered | availability.lost,
        ),
        commit=repository.checkout.commit,
        warnings=[
            *distrust,
            *recall.warnings,
            *availability.warnings,
            *placing.warnings,
            *(text for a in placing.assignments for text in _remarks(a)),
        ],
        moves=placing.moves,
        health=availability.health,
        simulated_outages=options.simulate_outages,
    )
    return Prepared(
        with_records(plan, records),
        tuple(w for w in works if isinstance(w, MemberWork)),
        placed,
        replace(recall, memory=placing.memory),
        state.federation,
        connector,
        records,
        repository,
    )


def open_memory(options: Options) -> tuple[MemoryStore, Remembered, tuple[str, ...]]:
    """The fleet's memory, its content, and the names of the clusters. Raises ReconcileError."""
    state = read(options).state
    store = open_store(options, _connector(options, state), state.federation)
    return store, store.read(), tuple(sorted(cluster.name for cluster in state.clusters))


def _read_under(lock: RunLock | None, options: Options) -> tuple[Repository, Connector]:
    """The repository, read while the lock is held, and a connector that heeds it."""
    repository = read(options, ask_members=True)
    connector = _connector(options, repository.state)
    if lock is None:
        return repository, connector
    federation = repository.state.federation
    if lock.take(connector, federation):
        # The run that had it may have applied a newer commit than the one that was read.
        repository = read(options, ask_members=True)
        now = repository.state.federation
        if (now.name, now.namespace) != (federation.name, federation.namespace):
            raise StalePlan(["the Federation got another name while this run waited for the lock"])
    return repository, replace(connector, fence=lock.check)


def _probe(
    connect: Callable[[Cluster], Member],
    state: DesiredState,
    simulated: Mapping[str, str],
    progress: Progress,
) -> tuple[Probe, ...]:
    """One probe per cluster where failover is enabled; simulated outages are not asked."""
    rules = state.federation.failover
    if not rules.enabled:
        return ()
    asked = [cluster for cluster in state.clusters if cluster.name not in simulated]
    progress.phase("probe", len(asked))
    found = probe_all(connect, asked, rules, done=lambda: progress.advance("probe"))
    return (*found, *(Probe(name, Signal.UNHEALTHY, why) for name, why in simulated.items()))


def apply_plan(
    prepared: Prepared,
    progress: Progress | None = None,
    stopped: Callable[[], str] = lambda: "",
) -> RunResult:
    """Carry a plan out. Raises GuardViolation before the first write when it passes a limit."""
    from reconciler.applying.fleet_run import carry_out

    progress = progress or NoProgress()
    plan = prepared.plan
    if plan.simulated_outages:
        raise UsageError("a simulated outage can only be planned", hint="add --plan")
    if plan.violations:
        raise GuardViolation(plan.violations, hint=plan.violation_hint)
    # What was decided is remembered before it is acted upon: a run that dies has not forgotten.
    errors, recall = remember(prepared.recall)
    # A name leaves what is down, or about to be pruned, before anything else is done.
    records = write_records(prepared.records, prepared.connector, stopped)
    progress.phase("apply", sum(len(cluster.changes) for cluster in plan.clusters))
    result = carry_out(
        plan,
        prepared.works,
        prepared.placed,
        stopped=stopped,
        written=lambda: progress.advance("apply"),
    )
    result = replace(result, records=records)
    if result.ok and not errors:
        errors += remember_commit(recall, plan.commit, time.time())
    return replace(result, errors=(*result.errors, *errors)) if errors else result


def _check_names(state: DesiredState, names: Sequence[str]) -> None:
    from reconciler.federation.faults import near

    known = {cluster.name for cluster in state.clusters}
    for name in names:
        if name not in known:
            hint = near(name, known) or f"there are: {', '.join(sorted(known))}"
            raise UsageError(f"--cluster {name}: the repository has no such cluster", hint=hint)


def _connector(options: Options, state: DesiredState) -> Connector:
    began = time.monotonic()
    deadline = options.deadline

    def seconds_left() -> float:
        until_deadline = inf if deadline is None else deadline - (time.monotonic() - began)
        return min(until_deadline, options.time_left())

    return Connector.from_file(
        options.kubeconfig,
        state.federation.namespace,
        host_context=options.host_context,
        seconds_left=seconds_left,
    )


def _placed(rendering: Rendering) -> dict[ObjectKey, frozenset[str]]:
    homes: dict[ObjectKey, set[str]] = {}
    for name, objects in rendering.objects.items():
        for desired in objects:
            homes.setdefault(desired.key, set()).add(name)
            if not desired.key.namespace:
                # The member's discovery tells whether it is namespaced; here both are remembered.
                at_home = desired.key._replace(namespace=DEFAULT_NAMESPACE)
                homes.setdefault(at_home, set()).add(name)
    return {key: frozenset(names) for key, names in homes.items()}


def _remarks(assignment: Assignment) -> list[str]:
    remarks = list(assignment.warnings)
    if assignment.shortfall:
        remarks.append(f"{assignment.workload}: {assignment.shortfall} replicas fit nowhere")
    return remarks


def _plan_one(
    one: Seen,
    rendering: Rendering,
    placed: Mapping[ObjectKey, frozenset[str]],
    state: DesiredState,
    settings: Settings,
) -> MemberWork | ClusterPlan:
    if one.member is None or one.observation is None:
        return unreachable_plan(one.cluster, one.problem)
    desired = rendering.objects[one.cluster.name]
    try:
        observation = one.observation
        wanted = {VersionedKind.of(d.body) for d in desired}
        if not wanted <= {*observation.live, *observation.unserved, *observation.failed}:
            # Rescheduling brought a kind here that the first look did not expect.
            observation = observe(one.member, observation.inventory, wanted)
        work = plan_member(
            one.member, one.cluster, observation, desired, placed, state.federation, settings
        )
    except ClusterError as error:
        return unreachable_plan(one.cluster, words_of(error))
    return replace(work, plan=replace(work.plan, requests=one.member.requests))
