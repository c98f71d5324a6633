"""The steps strung together: repository -> state -> members -> plan -> result.

Every step's own work is in its package; here is only the order, and what runs side by side.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from reconciler.cluster.answers import understanding
from reconciler.cluster.connecting import Connections, Connector
from reconciler.cluster.parallel import in_parallel
from reconciler.cluster.resources import VersionedKind
from reconciler.deciding import Connect, Decided, Fleet, decide, follow
from reconciler.dns.step import late_records, plan_records, with_records, write_records
from reconciler.errors import (
    ClusterError,
    GuardViolation,
    ReconcileError,
    StalePlan,
    UsageError,
)
from reconciler.federation.model import DesiredState, Federation
from reconciler.inventory.memory_store import MemoryStore, Remembered
from reconciler.inventory.observation import observe
from reconciler.locking import RunLock
from reconciler.objects import ObjectKey
from reconciler.options import NoProgress as NoProgress
from reconciler.options import Options as Options
from reconciler.options import Progress as Progress
from reconciler.planning.fleet_plan import assemble, unreachable_plan
from reconciler.planning.looking import CONCURRENT_MEMBERS, Seen, words_of
from reconciler.planning.member_plan import MemberWork, Settings, plan_member
from reconciler.planning.plan import Change, ClusterPlan, Plan, RunResult
from reconciler.planning.replicas import (
    replicas_in,
    replicas_now,
    replicas_to_be,
    workload_rows,
)
from reconciler.planning.requests import DEFAULT_NAMESPACE
from reconciler.reading import LastApplied, check_trust
from reconciler.recall import (
    Recall,
    in_host_cluster,
    open_store,
    recollect,
    remember,
    remember_commit,
)
from reconciler.rendering import Rendering
from reconciler.repository import Repository as Repository
from reconciler.repository import read as read
from reconciler.repository import rendered
from reconciler.repository import validate as validate
from reconciler.scheduling import schedule
from reconciler.scheduling.outages import simulated_outages
from reconciler.scheduling.unplaced import Unplaced, unplaced
from reconciler.sharding.decision import commit_of, decode, encode
from reconciler.sharding.round import PATIENCE_SECONDS, Round

if TYPE_CHECKING:
    from reconciler.dns.plan import DnsPlan


class Prepared(Struct, frozen=True):
    """A plan with the members it was made for, ready to be carried out.

    ``repository`` and ``connector`` are for telling others of the run, and for knowing the plan
    again; ``connect`` makes members of any cluster of ``state``. ``round`` is there where several
    pods share the run.
    """

    plan: Plan
    works: tuple[MemberWork, ...]
    placed: Mapping[ObjectKey, frozenset[str]]
    recall: Recall
    repository: Repository
    connector: Connector
    connect: Connect
    records: DnsPlan | None = None
    round: Round | None = None

    @property
    def state(self) -> DesiredState:
        return self.repository.state

    @property
    def federation(self) -> Federation:
        return self.state.federation


def make_plan(
    options: Options, progress: Progress | None = None, lock: RunLock | None = None
) -> Prepared:
    """Look at every member and say what a run would change. Writes to no member.

    ``lock`` is taken before anything is looked at: what is planned under it may be applied under
    it. Raises SourceError, BadInput, UsageError, LeaseLost; a member's own trouble is part of the
    plan.
    """
    progress = progress or NoProgress()
    repository, connector, published = _read_under(lock, options)
    state, now = repository.state, options.clock()
    _check_names(state, options.clusters)
    outages = simulated_outages(state, options.simulate_outages)
    usual = schedule(state)
    fleet = Fleet(
        state, usual, rendered(state, usual), _mine(options, state), repository.checkout.commit
    )
    connect = Connections(connector).member
    recall = recollect(options, connector, state.federation)
    distrust = check_trust(repository.source, LastApplied.of(recall.memory.commit))
    if published:
        decided = follow(fleet, decode(published, usual), connect, progress)
    else:
        decided = decide(fleet, recall.memory, outages, connect, now, progress)
    recall = replace(recall, memory=decided.memory or recall.memory)
    if lock and lock.round and not published:
        recall = _announce(lock.round, fleet, decided, recall)
    rendering = fleet.rendering
    if decided.decision.assignments != usual:
        rendering = rendered(state, decided.decision.assignments)
    placed = _placed(rendering)
    # One pod of many writes the names that all clusters answer to.
    records = None
    if not published:
        records = plan_records(
            state,
            _either(_placed(fleet.rendering), placed),
            decided.seen,
            # With action None an outage is only told of.
            {} if state.federation.failover.action == "None" else decided.unavailable,
            late_records(state, usual, decided.live, decided.returning),
            connect,
            connector,
            simulated=options.simulated,
        )
    absent = unplaced(state, decided.decision.assignments)
    works = _plan_all(fleet, decided, rendering, absent, options, now, progress)
    works = [_forgiving(work, _placed(fleet.rendering)) for work in works]
    plan = assemble(
        state,
        [w for w in works if isinstance(w, MemberWork)],
        [w for w in works if isinstance(w, ClusterPlan)],
        workload_rows(
            decided.decision.assignments,
            replicas_now(decided.live, replicas_in(fleet.rendering), decided.decision.lost),
            replicas_to_be(rendering, decided.live, decided.decision.lost),
            decided.answered | decided.decision.lost,
        ),
        commit=fleet.commit,
        warnings=[*distrust, *recall.warnings, *decided.warnings, *absent.warnings()],
        moves=decided.decision.moves,
        health=decided.health,
        simulated_outages=options.simulate_outages,
    )
    return Prepared(
        with_records(plan, records),
        tuple(w for w in works if isinstance(w, MemberWork)),
        placed,
        recall,
        repository,
        connector,
        connect,
        records,
        lock.round if lock else None,
    )


def _mine(options: Options, state: DesiredState) -> frozenset[str]:
    """The clusters that this run plans: all, unless --cluster or --shard says otherwise."""
    names = frozenset(cluster.name for cluster in state.clusters)
    mine = options.shard.clusters_of(names) if options.shard else names
    return mine & set(options.clusters) if options.clusters else mine


def _plan_all(
    fleet: Fleet,
    decided: Decided,
    rendering: Rendering,
    absent: Unplaced,
    options: Options,
    now: float,
    progress: Progress,
) -> list[MemberWork | ClusterPlan]:
    settings = Settings(
        force_conflicts=options.force_conflicts,
        max_deletions=options.max_deletions,
        now=now if options.sample_at is None else options.sample_at,
        checked=lambda count: progress.advance("compare", count),
    )
    seen = [one for one in decided.seen if one.cluster.name in fleet.mine]
    progress.phase("compare", sum(len(rendering.objects[s.cluster.name]) for s in seen))
    return in_parallel(
        lambda one: _plan_one(one, rendering, absent, fleet.state, settings),
        seen,
        CONCURRENT_MEMBERS,
    )


def _announce(shared: Round, fleet: Fleet, decided: Decided, recall: Recall) -> Recall:
    """Remember what was decided, and only then let the other pods act upon it."""
    errors, recall = remember(recall)
    shared.publish(encode(decided.decision, fleet.usual))
    return replace(recall, warnings=(*recall.warnings, *errors))


def open_memory(options: Options) -> tuple[MemoryStore, Remembered, tuple[str, ...]]:
    """The fleet's memory, its content, and the names of the clusters. Raises ReconcileError."""
    state = read(options).state
    store = open_store(options, _connector(options, state), state.federation)
    return store, store.read(), tuple(sorted(cluster.name for cluster in state.clusters))


def _read_under(lock: RunLock | None, options: Options) -> tuple[Repository, Connector, bytes]:
    """The repository, read while the lock is held; a connector that heeds it; what was decided.

    Nothing was decided yet unless several pods share the run, and another one of them did.
    """
    if options.shard and not (lock is None or in_host_cluster(options)):
        raise UsageError(
            "--shard needs a memory that the pods share, in the host cluster",
            hint="--state configmap, or --host-context",
        )
    repository = read(options, ask_members=True)
    connector = _connector(options, repository.state)
    if lock is None:
        return repository, connector, b""
    if lock.take(connector, repository.state.federation):
        # The run that had it may have applied a newer commit than the one that was read.
        repository = _again(repository, options)
    connector = replace(connector, fence=lock.check)
    if lock.round is None:
        return repository, connector, b""
    if not repository.checkout.commit or repository.checkout.dirty:
        raise UsageError("--shard needs a commit, so that all pods read the same")
    published = _decision_of(lock.round, connector)
    if published and commit_of(published) != repository.checkout.commit:
        # The branch has moved on since.
        repository = _again(repository, replace(options, ref=commit_of(published)))
    return repository, connector, published


def _again(before: Repository, options: Options) -> Repository:
    repository = read(options, ask_members=True)
    old, new = before.state.federation, repository.state.federation
    if (new.name, new.namespace) != (old.name, old.namespace):
        raise StalePlan(["the Federation got another name while this run waited"])
    return repository


def _decision_of(shared: Round, connector: Connector) -> bytes:
    """What another pod decided; nothing where that is up to this one."""
    if shared.shard.decides:
        # A pod that is repeated stays with what its forerunner decided.
        return shared.decision()
    seconds_left: Callable[[], float] = dict(connector.settings)["seconds_left"]
    return shared.await_decision(min(PATIENCE_SECONDS, seconds_left()))


def apply_plan(
    prepared: Prepared,
    progress: Progress | None = None,
    stopped: Callable[[], str] = lambda: "",
) -> RunResult:
    """Carry a plan out. Raises GuardViolation before the first write when it passes a limit."""
    from reconciler.applying.elsewhere import Elsewhere
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
    planned = {cluster.name for cluster in plan.clusters}
    result = carry_out(
        plan,
        prepared.works,
        prepared.placed,
        elsewhere=Elsewhere(
            [c for c in prepared.state.clusters if c.name not in planned], prepared.connect
        ),
        stopped=stopped,
        written=lambda: progress.advance("apply"),
    )
    result = replace(result, records=records)
    well = result.ok and not errors
    if prepared.round:
        well, trouble = _ended(prepared.round, well=well)
        errors += trouble
    if well:
        errors += remember_commit(recall, plan.commit, time.time())
    return replace(result, errors=(*result.errors, *errors)) if errors else result


def _ended(shared: Round, *, well: bool) -> tuple[bool, list[str]]:
    """Whether all pods have ended well, as far as this one can tell; what hinders it."""
    try:
        return shared.end(well=well).all_well, []
    except ReconcileError as error:
        return False, [f"the other shards could not be told that this one has ended: {error}"]


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


def _plan_one(
    one: Seen,
    rendering: Rendering,
    absent: Unplaced,
    state: DesiredState,
    settings: Settings,
) -> MemberWork | ClusterPlan:
    if one.member is None or one.observation is None:
        return unreachable_plan(one.cluster, one.problem)
    desired = rendering.objects[one.cluster.name]
    observation = one.observation
    wanted = {VersionedKind.of(d.body) for d in desired}
    try:
        with understanding(one.cluster.name):
            if not wanted <= {*observation.live, *observation.unserved, *observation.failed}:
                # Rescheduling brought a kind here that the first look did not expect.
                observation = observe(one.member, observation.inventory, wanted)
            work = plan_member(
                one.member, one.cluster, observation, desired, absent, state.federation, settings
            )
    except ClusterError as error:
        return unreachable_plan(one.cluster, words_of(error))
    finally:
        one.member.rest()
    return replace(work, plan=replace(work.plan, requests=one.member.requests))


def _forgiving(
    work: MemberWork | ClusterPlan, usual: Mapping[ObjectKey, frozenset[str]]
) -> MemberWork | ClusterPlan:
    """What a cluster refuses of that which it only stands in for fails there, and stops nobody."""
    if isinstance(work, ClusterPlan):
        return work

    def at_home(changes: Sequence[Change]) -> tuple[Change, ...]:
        return tuple(c for c in changes if work.cluster.name in usual.get(c.key, ()))

    return replace(work, invalid=at_home(work.invalid), homeless=at_home(work.homeless))


def _either(
    one: Mapping[ObjectKey, frozenset[str]], other: Mapping[ObjectKey, frozenset[str]]
) -> dict[ObjectKey, frozenset[str]]:
    return {
        key: one.get(key, frozenset()) | other.get(key, frozenset())
        for key in one.keys() | other.keys()
    }
