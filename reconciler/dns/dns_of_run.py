"""DNS as one step of a run: between what was seen of the members and what is applied to them."""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Callable, Mapping, Sequence
from math import inf

from reconciler.api.errors import ClusterError, DnsError
from reconciler.api.notices import Notice, NoticeCause, notice
from reconciler.api.objects import Object, ObjectKey, map_of
from reconciler.cluster.client import Member
from reconciler.cluster.connect import BOUND_TO, PLAIN_HTTP, Connector, dns_credential_warning
from reconciler.cluster.discovery import RESTMapping
from reconciler.cluster.http import SHARE
from reconciler.cluster.parallel import in_parallel
from reconciler.cluster.responses import reading_answers
from reconciler.dns.names import PlacedIn, wanted_names
from reconciler.dns.plan import DnsPlan, apply_dns, dns_needs, dns_rules_of, plan_dns
from reconciler.dns.providers import CredentialCheck
from reconciler.dns.rules import EnvironmentValue, ProviderRule, SecretValue, plaintext_setting
from reconciler.dns.simulate import simulate_dns, simulated_view
from reconciler.dns.targets import ExposedObjects, ServiceView, read_services
from reconciler.dns.zones import LONGEST
from reconciler.federation.model import Cluster, DesiredState
from reconciler.inventory.observe import Observation
from reconciler.plan.live_state import MemberState
from reconciler.plan.model import RecordOutcome

CONCURRENT_MEMBERS = 32
_SECRETS = RESTMapping("v1", "Secret", "secrets", namespaced=True)


def plan_dns_of_run(
    state: DesiredState,
    placed_in: PlacedIn,
    seen: Sequence[MemberState],
    down: Mapping[str, str],
    connector: Connector,
    not_yet_ready: Mapping[str, frozenset[ObjectKey]] | None = None,
    repositories: tuple[str, ...] = (),
    *,
    take_over: bool = False,
) -> DnsPlan:
    """Ask the members that were looked at for their addresses, and plan the records.

    ``placed_in``: where each object is placed, while all is well or in this run.
    Sends nothing at all where no zone is configured. A member that does not tell keeps its records.
    """
    needs = dns_needs(state, placed_in)
    looked_at = [(s.member, _live(s.observation)) for s in seen if s.member and s.observation]
    views, notices = _views(looked_at, needs)
    plan = plan_dns(
        state,
        views,
        down,
        placed_in=placed_in,
        read_secret=secrets_of(connector),
        check_credential=credential_check_of(connector),
        host=connector.host,
        # What is left is for the clusters, whose run must not fail for a provider's silence.
        timeout=_timeout(connector, SHARE),
        not_yet_ready=not_yet_ready,
        repositories=repositories,
        take_over=take_over,
    )
    return DnsPlan(plan.changes, (*notices, *plan.notices), plan.failures, plan.writes)


def apply_dns_of_run(
    plan: DnsPlan, connector: Connector, stopped: Callable[[], str] = lambda: ""
) -> tuple[RecordOutcome, ...]:
    """Write the records. Raises nothing for a provider or zone.

    The connector's fence and time limit hold here as well.
    """
    return apply_dns(
        plan,
        stopped=stopped,
        fence=connector.fence or (lambda: None),
        timeout=_timeout(connector),
    )


def _timeout(connector: Connector, share: float = 1.0) -> Callable[[], float]:
    """For how long a zone is waited for: at the most that share of what the run has left."""
    seconds_left: Callable[[], float] = dict(connector.settings).get("seconds_left", lambda: inf)
    return lambda: min(LONGEST, seconds_left() * share)


def simulate_dns_of_run(
    state: DesiredState,
    placed_in: PlacedIn,
    connect: Callable[[Cluster], Member],
    down: Mapping[str, str],
) -> DnsPlan:
    """For simulated clusters: what the outages would change. Asks no provider, writes nothing."""
    rules, _ = dns_rules_of(state)
    wanted = wanted_names(state, rules, placed_in, down)
    if not rules.zones or not down:
        return DnsPlan(notices=tuple(wanted.notices))
    needs = dns_needs(state, placed_in)
    views, notices = _views([(connect(cluster), {}) for cluster in state.clusters], needs)
    # Where nothing was applied yet, what would have an address gets one.
    closed = {
        w.key.with_namespace
        for w in state.workloads
        if w.key.kind == "Service" and map_of(w.template.get("spec")).get("type") != "LoadBalancer"
    }
    views = {
        name: {**simulated_view(name, needs[name].objects - closed), **view}
        if name in needs
        else view
        for name, view in views.items()
    }
    changes, more = simulate_dns(wanted.entries, views, down)
    return DnsPlan(changes, (*wanted.notices, *notices, *more))


def _views(
    members: Sequence[tuple[Member, Mapping[ObjectKey, Object]]],
    needs: Mapping[str, ExposedObjects],
) -> tuple[dict[str, ServiceView], tuple[Notice, ...]]:
    """Each member with what was read of it already -> its view, or a notice."""
    if not needs:
        return {}, ()

    def ask(one: tuple[Member, Mapping[ObjectKey, Object]]) -> ServiceView | ClusterError:
        try:
            with reading_answers(one[0].name):
                return read_services(one[0], needs.get(one[0].name, ExposedObjects()), one[1])
        except ClusterError as error:
            return error

    answers = in_parallel(ask, members, CONCURRENT_MEMBERS)
    views: dict[str, ServiceView] = {}
    notices = []
    for (member, _), answer in zip(members, answers, strict=True):
        if isinstance(answer, ClusterError):
            cause = NoticeCause.ADDRESSES_UNREADABLE
            notices.append(notice(cause, member.name, error=answer))
        else:
            views[member.name] = answer
    return views, tuple(notices)


def _live(observation: Observation) -> dict[ObjectKey, Object]:
    return {key.with_namespace: obj for key, (_, obj) in observation.members.items()}


def secrets_of(connector: Connector) -> Callable[[SecretValue], str]:
    """Reads a key of a Secret in the host cluster, which is connected to when first needed, and
    only for the provider and server that it is bound to."""
    hosts: list[Member] = []

    def read(reference: SecretValue) -> str:
        if not hosts:
            hosts.append(connector.host())
        where = connector.namespace_of("DNS", reference.namespace, reference.name)
        key = ObjectKey("", "Secret", where, reference.name)
        secret = hosts[0].get(_SECRETS, key)
        name = f"Secret {where}/{reference.name}"
        if secret is None:
            raise DnsError("", f"{name} does not exist")
        value = map_of(secret.get("data")).get(reference.key)
        if value is None:
            raise DnsError("", f"{name} has no key {reference.key!r}")
        try:
            text = base64.b64decode(value, validate=True).decode().strip()
        except (binascii.Error, UnicodeDecodeError, TypeError):
            raise DnsError("", f"{name} is damaged at {reference.key!r}") from None
        bound_to = str(map_of(secret["metadata"].get("annotations")).get(BOUND_TO, ""))
        doubt = dns_credential_warning(secret, text)
        what = "the credential in"
        connector.check_binding(
            "DNS", hosts[0], key, reference.goes_to, bound_to=bound_to, doubt=doubt, what=what
        )
        return text

    return read


def credential_check_of(connector: Connector) -> CredentialCheck:
    """Whether a provider may be given its credentials, as this run is allowed to."""

    def check_credential(rule: ProviderRule, variable: EnvironmentValue | None) -> None:
        if variable is not None:
            bound_to = os.environ.get(f"{variable.name}_BOUND_TO", "")
            connector.check_variable("DNS", variable.name, variable.goes_to, bound_to)
        elif (setting := plaintext_setting(rule)) and PLAIN_HTTP not in connector.allow:
            raise DnsError(
                "",
                f"its setting {setting} is plain http, and nothing was sent",
                hint=f"use https, or run with --allow-access {PLAIN_HTTP}",
            )

    return check_credential
