"""DNS as the pipeline calls it. Nothing of it is loaded before a repository asks for records."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from reconciler.api.errors import Problem
from reconciler.api.notices import Notice
from reconciler.api.objects import Object, ObjectKey
from reconciler.federation.model import Cluster, DesiredState, Federation
from reconciler.git.owner import Owner

if TYPE_CHECKING:
    from reconciler.cluster.client import Member
    from reconciler.cluster.connect import Connector
    from reconciler.dns.plan import DnsPlan
    from reconciler.plan.live_state import MemberState
    from reconciler.plan.model import Plan, RecordOutcome
    from reconciler.scheduler.model import Assignment


def asks_for_records(state: DesiredState) -> bool:
    """Whether there is anything to do at all. Pure."""
    return bool(state.federation.dns or state.dns_manifests)


def faults_of_rules(federation: Federation | None) -> tuple[Problem, ...]:
    """Everything that is wrong with ``spec.dns``, beyond what its schema can say. Pure."""
    if federation is None or not federation.dns:
        return ()
    from reconciler.dns.rules import parse_dns

    return parse_dns(federation)[1]


def faults_of_names(state: DesiredState | None) -> tuple[Problem, ...]:
    """Names that Git asks for and that cannot be. Pure."""
    if state is None or not state.federation.dns:
        return ()
    from reconciler.dns.names import annotation_faults
    from reconciler.dns.rules import parse_dns

    return annotation_faults(state, parse_dns(state.federation)[0])


def notices_of_names(state: DesiredState) -> tuple[Notice, ...]:
    """What a plan would note, as far as Git alone tells: names without a zone, and the like."""
    if not asks_for_records(state):
        return ()
    from reconciler.dns.names import wanted_names
    from reconciler.dns.rules import parse_dns

    return tuple(wanted_names(state, parse_dns(state.federation)[0]).notices)


def returning_records(
    state: DesiredState,
    usual: Sequence[Assignment],
    live: Mapping[ObjectKey, Mapping[str, Object]],
    returning: Collection[str],
) -> Mapping[str, frozenset[ObjectKey]]:
    """Cluster -> objects whose names wait until it carries its share again. Pure."""
    if not returning or not asks_for_records(state):
        return {}
    from reconciler.dns.failback import returning_objects

    return returning_objects(state, usual, live, returning)


def plan_records(
    state: DesiredState,
    placed_in: Mapping[ObjectKey, frozenset[str]],
    seen: Sequence[MemberState],
    down: Mapping[str, str],
    not_yet_ready: Mapping[str, frozenset[ObjectKey]],
    connect: Callable[[Cluster], Member],
    connector: Connector,
    owners: Sequence[Owner],
    *,
    simulated: bool,
    take_over: bool = False,
) -> DnsPlan | None:
    """What would change; None where nothing asks for records. Raises nothing for a provider.

    placed_in  where each object is placed, while all is well or in this run: a name stays with what
               is down, and goes with what stands in for it
    seen       the members that were looked at
    down       the clusters that are declared down, or simulated to be, and why
    not_yet_ready  cluster -> objects whose addresses do not come back yet
    owners     what is recorded of the repository that all this is of, the record to keep first;
               what another one wrote is ``take_over``n only when asked for
    simulated  the clusters are: no provider is asked, only outages are simulated
    """
    if not asks_for_records(state):
        return None
    from reconciler.dns.dns_of_run import plan_dns_of_run, simulate_dns_of_run

    if simulated:
        return simulate_dns_of_run(state, placed_in, connect, down)
    ids = tuple(dict.fromkeys(owner.id for owner in owners if owner.id))
    return plan_dns_of_run(
        state, placed_in, seen, down, connector, not_yet_ready, ids, take_over=take_over
    )


def with_records(plan: Plan, dns: DnsPlan | None) -> Plan:
    """The plan with its records, and with what could not be planned. Pure."""
    if dns is None:
        return plan
    return replace(
        plan,
        dns=dns.changes,
        dns_failures=dns.failures,
        notices=(*plan.notices, *dns.notices),
    )


def withdrawals(dns: DnsPlan | None) -> DnsPlan | None:
    """Of a plan only what follows an outage: records leave the clusters that are down."""
    if dns is None:
        return None
    from reconciler.dns.plan import DnsPlan

    writes = tuple(write.failover_part for write in dns.writes if write.failover_part)
    return DnsPlan(tuple(c for w in writes for c in w.changes), writes=writes)


def waiting_records(dns: DnsPlan | None, why: str) -> DnsPlan | None:
    """A plan of which only what follows an outage is written; the rest waits, and tells ``why``."""
    if dns is None or not why:
        return dns
    from reconciler.dns.plan import DnsPlan

    parts = [write.failover_part for write in dns.writes if write.failover_part]
    going = [change for part in parts for change in part.changes]
    return DnsPlan(
        tuple(one if one in going else {**one, "waits": why} for one in dns.changes),
        dns.notices,
        dns.failures,
        tuple(replace(part, failover_part=part) for part in parts),
    )


def write_records(
    dns: DnsPlan | None, connector: Connector | None, stopped: Callable[[], str], closed: str = ""
) -> tuple[RecordOutcome, ...]:
    """Carry a plan out. Raises nothing for a provider or zone.

    ``closed``: why only what follows an outage may be written by now.
    """
    if dns is None or connector is None:
        return ()
    from reconciler.dns.dns_of_run import apply_dns_of_run
    from reconciler.dns.plan import Write

    left = waiting_records(dns, closed) or dns
    late = [one for one in left.changes if one.get("waits") and one not in dns.changes]
    skipped = Write("", tuple(late), lambda _: ()).all("skipped", closed) if late else ()
    return (*apply_dns_of_run(left, connector, stopped), *skipped)
