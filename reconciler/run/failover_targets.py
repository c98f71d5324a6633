"""Whether clusters would take what only an outage brings to them: dry runs, nothing written."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from reconciler.api.errors import ClusterError, with_hint
from reconciler.api.objects import ObjectKey
from reconciler.api.options import RunOptions
from reconciler.cluster.connect import Connections, Connector
from reconciler.cluster.parallel import in_parallel
from reconciler.cluster.responses import reading_answers
from reconciler.cluster.warnings import without_quoted_values
from reconciler.failover.survivability import FailoverTargets, Refused
from reconciler.federation.model import DesiredState, Workload
from reconciler.plan.desired import MemberContext, diff_all
from reconciler.plan.live_state import (
    CONCURRENT_MEMBERS,
    MemberState,
    kinds_of,
    observe_all,
)
from reconciler.plan.member_plan import apply_rules_of
from reconciler.plan.model import Action
from reconciler.plan.requests import crds_wanted, target_of
from reconciler.render.render import DesiredObject
from reconciler.run.repository import read_repository, render_repository
from reconciler.scheduler.capacity import own_count
from reconciler.scheduler.model import Assignment
from reconciler.scheduler.schedule import duplicated_count, schedule
from reconciler.state.run_memory import load_run_memory


def try_failover_targets(options: RunOptions) -> FailoverTargets:
    """Ask each cluster for what it might have to take over. Raises as ``read_repository`` does."""
    repository = read_repository(options, ask_members=True)
    state = repository.state
    usual = schedule(state)
    workloads = {workload.key: workload for workload in state.workloads}
    rendering = render_repository(state, [_everywhere(a, workloads[a.workload]) for a in usual])
    spare = {a.workload: frozenset(a.spare) for a in usual}
    connector = Connector.from_file(
        options.kubeconfig,
        state.federation.namespace,
        host_context=options.host_context,
        seconds_left=options.time_left,
        allow=options.allow_access,
        access_providers=options.access_providers,
    )
    claimant = repository.claimant()
    hosts = {name for names in spare.values() for name in names}
    seen = observe_all(
        Connections(connector).member,
        [cluster for cluster in state.clusters if cluster.name in hosts],
        state,
        kinds_of(rendering),
        {},
        (),
        claimant,
        load_run_memory(options, connector, state.federation, claimant).known_servers,
        lambda: None,
    )
    answers = in_parallel(
        lambda one: _try(one, rendering.objects[one.cluster.name], spare, state),
        seen,
        CONCURRENT_MEMBERS,
    )
    return FailoverTargets(
        tuple(sorted(refused for answer in answers for refused in answer.refused)),
        {name: why for answer in answers for name, why in answer.unanswered.items()},
        sum(answer.tried for answer in answers),
        {
            name: server_warnings
            for answer in answers
            for name, server_warnings in answer.server_warnings.items()
        },
    )


def _everywhere(assignment: Assignment, workload: Workload) -> Assignment:
    """With a count wherever it might go: all that it has, where replicas are shared out."""
    total = (
        workload.rules.replicas.total
        if workload.rules.replicas.total is not None
        else own_count(workload)
    )
    shared = workload.rules.replicas.mode != "Duplicated"
    more = {n: total if shared else duplicated_count(workload, n) for n in assignment.spare}
    return replace(assignment, replicas={**assignment.replicas, **more}, spare=())


def _try(
    one: MemberState,
    desired: tuple[DesiredObject, ...],
    spare: Mapping[ObjectKey, frozenset[str]],
    state: DesiredState,
) -> FailoverTargets:
    name, member, observation = one.cluster.name, one.member, one.observation
    if member is None or observation is None:
        return FailoverTargets(unanswered={name: str(one.absence)})
    crds = crds_wanted(desired)
    applyset = observation.inventory.applyset
    # With all that is there anyway, whose Namespaces and kinds they need.
    targets = [target_of(d, observation.discovery, crds, applyset) for d in desired]
    terms = apply_rules_of(member, observation.inventory, state.federation)
    shared = MemberContext(member, observation, crds, terms, lambda _key: False, frozenset)
    try:
        with reading_answers(name):
            checked = diff_all(shared, targets, lambda _count: None).checked
    except ClusterError as error:
        return FailoverTargets(unanswered={name: with_hint(error)})
    finally:
        member.rest()
    tried = [c for c in checked if name in spare.get(c.target.desired.key, ())]
    asked = {c.target.desired.key: bool(c.target.desired.rules.hidden) for c in tried}
    kinds = {key.group_kind for key in asked}
    server_warnings = frozenset(
        one for one in member.server_warnings if one[0] in asked or one[0] in kinds
    )
    refused = []
    for verdict in tried:
        change, key = verdict.change, verdict.target.desired.key
        if change is not None and change.action is Action.FAILED:
            refused.append(Refused(key, name, change.error))
        elif change is not None and not change.verified:
            refused.append(Refused(key, name, change.reason, certain=False))
    warnings = without_quoted_values(server_warnings, lambda key: asked[key])
    return FailoverTargets(tuple(refused), tried=len(tried), server_warnings={name: warnings})
