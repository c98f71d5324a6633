"""The two doors of this package: plan the records of a federation, and write them.

Neither raises for what a provider or a zone does: that becomes an error of the plan, or an outcome.
A run whose DNS fails still reconciles its clusters, and ends with exit code 1.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from reconciler.api.errors import DnsError, Problem, ReconcileError
from reconciler.api.notices import Notice
from reconciler.api.objects import Object, ObjectKey
from reconciler.cluster.client import Member
from reconciler.cluster.parallel import in_parallel
from reconciler.dns.external_dns import (
    WHERE,
    EndpointPlan,
    apply_endpoints,
    outage_part,
    plan_endpoints,
)
from reconciler.dns.healthy_targets import NameHealth, Resolve, ZoneContent, answering_targets
from reconciler.dns.names import PlacedIn, WantedNames, wanted_names
from reconciler.dns.providers import CredentialCheck, Opened, ReadSecret, accept_all, open_provider
from reconciler.dns.records import Abilities, ExistingRecord, NameEntry, Ownership, Place
from reconciler.dns.rules import DnsRules, SecretValue, ZoneRule, parse_dns
from reconciler.dns.targets import ExposedObjects, ServiceView, exposed_objects
from reconciler.dns.zones import LONGEST, ZonePlan, apply_zone, plan_zone, within
from reconciler.federation.model import DesiredState
from reconciler.plan.model import RecordOutcome, ZoneFailure

CONCURRENT_ZONES = 8


class Write(Struct, frozen=True):
    """What is to be written to one zone.

    ``carry_out`` raises nothing but DnsError, and begins no write once what it is given says so.
    ``failover_part`` is the part of it that only follows an outage: targets of clusters that are
    down leave records, and others may come.
    """

    zone: str
    changes: tuple[Object, ...]
    carry_out: Callable[[Callable[[], bool]], tuple[RecordOutcome, ...]]
    failover_part: Write | None = None

    def all(self, status: Literal["failed", "skipped"], why: str) -> tuple[RecordOutcome, ...]:
        """The outcome when nothing was done, or nobody knows what was."""
        return tuple(
            RecordOutcome(c["zone"], c["name"], c["type"], c["action"], status, why)
            for c in self.changes
        )


@dataclass(frozen=True, slots=True)
class DnsPlan:
    """``changes`` are Plan.dns; ``failures`` are zones about which nothing could be planned."""

    changes: tuple[Object, ...] = ()
    notices: tuple[Notice, ...] = ()
    failures: tuple[ZoneFailure, ...] = ()
    writes: tuple[Write, ...] = field(default=(), repr=False, compare=False)

    @property
    def errors(self) -> tuple[str, ...]:
        """The failures in words."""
        return tuple(map(str, self.failures))


def dns_rules_of(state: DesiredState) -> tuple[DnsRules, tuple[Problem, ...]]:
    """The rules of ``spec.dns``, and what is wrong with them. Pure."""
    return parse_dns(state.federation)


def dns_needs(state: DesiredState, placed_in: PlacedIn | None = None) -> dict[str, ExposedObjects]:
    """What each member must be asked for, by cluster; nothing without a zone. Pure."""
    rules, _ = dns_rules_of(state)
    if not rules.zones:
        return {}
    return exposed_objects(state, wanted_names(state, rules, placed_in).entries.values())


def plan_dns(
    state: DesiredState,
    seen: Mapping[str, ServiceView],
    down: Mapping[str, str],
    *,
    placed_in: PlacedIn | None = None,
    environ: Mapping[str, str] | None = None,
    read_secret: ReadSecret | None = None,
    check_credential: CredentialCheck = accept_all,
    host: Callable[[], Member] | None = None,
    resolve: Resolve | None = None,
    timeout: Callable[[], float] = lambda: LONGEST,
    not_yet_ready: Mapping[str, frozenset[ObjectKey]] | None = None,
    repositories: tuple[str, ...] = (),
    take_over: bool = False,
) -> DnsPlan:
    """Say which records a run would write. Reads every zone once; writes nothing.

    seen         the clusters that were looked at (``targets.look``)
    down         the clusters that are declared down, or simulated to be, and why
    placed_in    the clusters that each object is placed in, with or without outages; without it,
                 all
    environ      where ``env/NAME`` is looked up
    read_secret  reads ``secretRef`` in the host cluster
    check_credential  says whether a provider may be given its credentials
    host         connects to the host cluster, for the output DNSEndpoint
    timeout      for how many seconds one zone is waited for
    not_yet_ready  cluster -> objects whose addresses do not come back yet (``returning``)
    repositories the ids of the repository that the federation is of; records that another one
                 wrote under the same name are not ours, unless ``take_over``
    """
    rules, _ = dns_rules_of(state)
    wanted = wanted_names(state, rules, placed_in, down)
    if not rules.zones:
        return DnsPlan(notices=tuple(wanted.notices))
    fleet = NameHealth(
        seen, down, _weights(state, wanted), _unaffected(state, wanted), not_yet_ready or {}
    )
    planning = _Planning(
        rules=rules,
        owner=Ownership(rules.owner, () if rules.is_named else repositories, take_over),
        entries=wanted.entries,
        fleet=fleet,
        environ=os.environ if environ is None else environ,
        read_secret=read_secret or _no_secret,
        check_credential=check_credential,
        resolve=resolve or resolver(),
    )
    if rules.output == "DNSEndpoint":
        parts = [planning.endpoints(host, state.federation.namespace)]
    else:
        zones = sorted(rules.zones, key=lambda zone: zone.name)
        parts = in_parallel(lambda zone: planning.zone(zone, timeout), zones, CONCURRENT_ZONES)
    return DnsPlan(
        changes=tuple(change for part in parts for change in part.changes),
        notices=tuple(dict.fromkeys([*wanted.notices, *(n for p in parts for n in p.notices)])),
        failures=tuple(failure for part in parts for failure in part.failures),
        writes=tuple(write for part in parts for write in part.writes),
    )


def apply_dns(
    plan: DnsPlan,
    *,
    stopped: Callable[[], str] = lambda: "",
    fence: Callable[[], None] = lambda: None,
    timeout: Callable[[], float] = lambda: LONGEST,
) -> tuple[RecordOutcome, ...]:
    """Write the records. Never raises for a provider, a zone or a lost Lease.

    ``stopped`` and ``fence`` are asked before each zone; what they forbid is skipped. For each
    zone at most ``timeout()`` seconds are waited.
    """

    def write(one: Write) -> tuple[RecordOutcome, ...]:
        reason = stopped()
        try:
            fence()
        except ReconcileError as error:
            reason = str(error)
        if reason:
            return one.all("skipped", reason)
        try:
            return within(timeout, one.zone, one.carry_out)
        except DnsError as error:
            return one.all("failed", str(error))

    done = in_parallel(write, plan.writes, CONCURRENT_ZONES)
    return tuple(outcome for outcomes in done for outcome in outcomes)


class _Planning(Struct, frozen=True):
    rules: DnsRules
    owner: Ownership
    entries: Mapping[str, NameEntry]
    fleet: NameHealth
    environ: Mapping[str, str]
    read_secret: ReadSecret
    check_credential: CredentialCheck
    resolve: Resolve

    def decide(
        self,
        entries: Mapping[str, NameEntry],
        existing: Mapping[str, tuple[ExistingRecord, ...]],
        abilities: Abilities,
    ) -> ZoneContent:
        return answering_targets(entries, self.fleet, existing, abilities, self.resolve)

    def zone(self, zone: ZoneRule, timeout: Callable[[], float]) -> DnsPlan:
        rules = self.rules
        entries = {name: e for name, e in self.entries.items() if e.zone == zone.name}

        def opened() -> Opened:
            provider = rules.providers[zone.provider]
            return open_provider(
                provider, zone.name, self.environ, self.read_secret, self.check_credential
            )

        def plan(_: object) -> ZonePlan:
            return plan_zone(
                opened(),
                zone,
                self.owner,
                lambda existing, abilities: self.decide(entries, existing, abilities),
                rules.thresholds,
            )

        try:
            planned = within(timeout, zone.name, plan)
        except DnsError as error:
            return DnsPlan(failures=(ZoneFailure(zone.name, str(error), error.hint),))
        urgent = tuple(
            change
            for change in planned.changes
            if self.fleet.down
            and change["action"] == "update"
            and change["name"] in planned.decision.excused
        )
        names = {change["name"] for change in urgent}
        failover_part = Write(
            zone.name,
            urgent,
            lambda left_behind: apply_zone(opened(), planned, self.owner, left_behind, names),
        )
        write = Write(
            zone.name,
            planned.changes,
            lambda left_behind: apply_zone(opened(), planned, self.owner, left_behind),
            failover_part if urgent else None,
        )
        return DnsPlan(planned.changes, planned.notices, writes=(write,) if planned.changes else ())

    def endpoints(self, host: Callable[[], Member] | None, namespace: str) -> DnsPlan:
        try:
            if host is None:
                raise DnsError(WHERE, "there is no host cluster to write DNSEndpoints to")
            try:
                member = host()
            except DnsError:
                raise
            except ReconcileError as error:
                raise DnsError(WHERE, str(error), hint=error.hint) from None
            planned = plan_endpoints(
                member,
                namespace,
                self.rules.owner,
                lambda existing, abilities: self.decide(self.entries, existing, abilities),
                self.rules.thresholds,
            )
        except DnsError as error:
            return DnsPlan(failures=(ZoneFailure(WHERE, str(error), error.hint),))
        urgent = outage_part(planned) if self.fleet.down else None
        write = replace(
            _endpoint_write(member, planned),
            failover_part=_endpoint_write(member, urgent) if urgent else None,
        )
        return DnsPlan(planned.changes, planned.notices, writes=(write,) if planned.changes else ())


def _endpoint_write(member: Member, planned: EndpointPlan) -> Write:
    return Write(WHERE, planned.changes, lambda _: apply_endpoints(member, planned))


def _no_secret(reference: SecretValue) -> str:
    raise DnsError("", f"Secret {reference.name} cannot be read: no host cluster is connected")


def _weights(state: DesiredState, wanted: WantedNames) -> dict[Place, int]:
    """The share that the object's Placement gives each cluster, else the cluster's own weight."""
    shares = {
        w.key.with_namespace: w.rules.replicas
        for w in state.workloads
        if w.rules.replicas.mode == "Divided"
    }
    own = {cluster.name: cluster.weight for cluster in state.clusters}
    found = {}
    for place in {place for entry in wanted.entries.values() for place in entry.places}:
        rule = shares.get(place.key)
        share = rule.shares.get(place.cluster) if rule else None
        found[place] = share.weight if share else own.get(place.cluster, 1)
    return found


def _unaffected(state: DesiredState, wanted: WantedNames) -> frozenset[ObjectKey]:
    """Objects that an outage must not move: ``failover.action: None``."""
    narrowed = {w.key.with_namespace: w.rules.failover for w in state.workloads if w.rules.failover}
    keys = {place.key for entry in wanted.entries.values() for place in entry.places}
    usual = state.federation.failover
    return frozenset(key for key in keys if (narrowed.get(key) or usual).action == "None")


def resolver() -> Resolve:
    """Host names of load balancers -> addresses, by this machine's resolver; each is asked once.

    No answer is an empty one: the caller knows what that means.
    """

    @cache
    def resolve(host: str) -> tuple[str, ...]:
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except OSError:
            return ()
        return tuple(sorted({str(address[0]) for *_, address in found}))

    return resolve
