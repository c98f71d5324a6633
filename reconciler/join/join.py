"""What joining a cluster takes: a survey of member, host and repository -> Steps. Writes nothing.

Every object is compared by a dry run where it exists, so that a second join shows what is left to
do, and the roles are shown to the member's server beforehand: an administrator who may not grant
them learns it before anything is written.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from msgspec import Struct, field
from msgspec.structs import replace

from reconciler.api.errors import ClusterError, Forbidden, ReconcileError
from reconciler.api.objects import GroupKind, Object, ObjectKey, key_of
from reconciler.cluster.client import Member
from reconciler.cluster.connect import INSECURE_TLS, PROXY
from reconciler.cluster.discovery import Discovery
from reconciler.cluster.endpoint import Endpoint
from reconciler.federation.model import Federation
from reconciler.inventory.store import read_inventory
from reconciler.join import cluster_manifest, rbac
from reconciler.join.credentials import (
    ACCOUNT,
    LIFETIME,
    Identity,
    Token,
    account_uid,
    credentials_secret,
    held_config,
    is_due,
    kubeconfig,
    token_in,
    token_request,
    without_token,
)
from reconciler.join.member_objects import (
    NAMESPACE,
    NODE,
    RESOURCES,
    SECRET,
    SERVICE_ACCOUNT,
    Membership,
    Subject,
    account_name,
    member_objects,
    namespace_object,
    token_secret,
)
from reconciler.join.needed_kinds import RepositoryWithCluster, needed_kinds_in, resources_of
from reconciler.join.steps import (
    FEDERATION_LABEL,
    SEAT_LABEL,
    Effect,
    Place,
    Step,
    Verb,
    explained,
    is_made_by_join,
    marks,
    selector,
    title,
)
from reconciler.join.topology import NOWHERE, Topology, topology_of
from reconciler.plan.fields import changed_fields
from reconciler.scheduler.capacity import needs_room


class JoinRequest(Struct, frozen=True):
    """What join was asked for. ``token_lifetime`` in seconds, None for a token without an end;
    ``subject`` and ``context`` are for ``auth`` "exec", where no credential is stored.

    ``register``: the ConfigMap that the cluster keeps as a seat; empty: it is none. ``witness``: it
    keeps that and nothing else.
    """

    name: str
    host_name: str = ""
    auth: Literal["token", "exec"] = "token"
    subject: Subject | None = None
    context: str = ""
    token_lifetime: float | None = 30 * 24 * 3600.0
    labels: Mapping[str, str] = field(default_factory=dict)
    place: Topology = NOWHERE
    full_access: bool = False
    see_everything: bool = False
    register: str = ""
    witness: bool = False
    force_conflicts: bool = False
    overwrite: bool = False


class Clusters(Struct, frozen=True):
    """The two ends. ``endpoint`` is where the member is found by whoever reconciles; ``hosts`` keep
    a credential: each seat by its name, or the one host by an empty one."""

    member: Member
    endpoint: Endpoint
    discovery: Discovery
    hosts: Mapping[str, Member]


class Credentials(Struct, frozen=True):
    """What a host's Secret is made of, but for the token. ``readable``: the path of something in
    the member that the account may get."""

    identity: Identity
    labels: Mapping[str, str]
    endpoint: Endpoint
    host_namespace: str
    readable: str = "/api/v1/nodes"

    def secret(self, token: Token) -> Object:
        config = kubeconfig(
            self.endpoint, self.identity.cluster, self.identity.account, token.value
        )
        return credentials_secret(
            self.identity, dict(self.labels), self.host_namespace, config, token
        )


class JoinPlan(Struct, frozen=True):
    """``manifest`` is the text of the Cluster manifest, for repositories that are not on disk.

    ``credentials`` has those of each host; ``behind`` the seats that cannot be given one now.
    """

    steps: tuple[Step, ...]
    credentials: Mapping[str, Credentials]
    manifest: str
    warnings: tuple[str, ...] = ()
    behind: Mapping[str, ClusterError] = {}


def plan_join(
    request: JoinRequest,
    known: RepositoryWithCluster,
    clusters: Clusters,
    folder: Path | None,
    *,
    now: float,
) -> JoinPlan:
    """The steps in their order. ``folder`` is where the repository's manifests lie, None for one
    that cannot be written to; ``now`` is Unix time. Raises ClusterError, ReconcileError."""
    federation = known.state.federation
    labels = marks(request.name, federation.name)
    warnings = [
        f"no Cluster manifest yet for {name}, which some placement names"
        for name in known.not_joined
    ]
    if not federation.position.file:
        warnings.append(
            f"the repository has no Federation: the cluster joins one named {federation.name!r}, "
            "and has to join again when it gets another name"
        )
    survey = _Survey(request, federation, clusters, labels)
    accounts = survey.accounts()
    needs, unknown = survey.needs(known)
    warnings += [
        f"nothing is granted for {kind}: the member does not serve it; join again when it does"
        for kind in unknown
    ]
    warnings += rbac.privileged_roles(needs.templates) if not needs.full_access else ()
    steps = [survey.namespace_step(clusters.member, "member")]
    credentials: dict[str, Credentials] = {}
    behind: dict[str, ClusterError] = {}
    access: Object = {"context": request.context}
    if request.auth == "token":
        for seat, host in clusters.hosts.items():
            try:
                part, credentials[seat] = survey.host_steps(seat, host, accounts, needs, now)
                accounts[credentials[seat].identity.account] = seat
            except ClusterError as error:
                behind[seat] = error
                if behind.keys() == clusters.hosts.keys():
                    raise next(iter(behind.values())) from error
            else:
                steps += part
        warnings += _other_accounts(accounts, credentials, federation, clusters.hosts)
        access = {"secretRef": {"name": request.name}}
        warnings += _address_warnings(clusters.endpoint)
    else:
        account = _account_of("", accounts) or account_name(request.name, request.host_name)
        steps += survey.member_steps(survey.membership("", account, needs))
    place = _place(request, clusters.member)
    if len(place.zones) > 1:
        warnings.append(f"its nodes are in several zones: {', '.join(place.zones)}")
    values = cluster_manifest.ManifestValues(
        request.name, request.labels, place, access, request.witness
    )
    manifest, text = cluster_manifest.manifest_step(
        values, known.manifest, folder, overwrite=request.overwrite
    )
    return JoinPlan((*steps, manifest), credentials, text, tuple(warnings), behind)


class _Survey(Struct, frozen=True):
    request: JoinRequest
    federation: Federation
    clusters: Clusters
    labels: dict[str, str]

    def accounts(self) -> dict[str, str]:
        """Earlier joins' accounts, whatever the hosts were called then: name -> seat."""
        found = self.clusters.member.list_objects(
            SERVICE_ACCOUNT,
            namespace=self.federation.namespace,
            label_selector=selector(self.request.name, self.federation.name),
        )
        each = {str(obj["metadata"]["name"]): obj["metadata"]["labels"] for obj in found}
        return {name: str(each[name].get(SEAT_LABEL, "")) for name in sorted(each)}

    def host_steps(
        self, seat: str, host: Member, accounts: Mapping[str, str], needs: rbac.Needs, now: float
    ) -> tuple[list[Step], Credentials]:
        """What one host takes: an account of its own, and the Secret that keeps its token.
        ``seat`` is empty for the only one."""
        request, federation = self.request, self.federation
        usual = account_name(request.name, seat or request.host_name)
        account = _account_of(seat, accounts)
        if seat and not account:
            # What this host had as the only one becomes that of its seat.
            held = host.get(SECRET, ObjectKey("", "Secret", federation.namespace, request.name))
            annotations = (held or {"metadata": {}})["metadata"].get("annotations") or {}
            before = str(annotations.get(ACCOUNT, "")).partition("/")[2]
            seats = {account_name(request.name, other) for other in self.clusters.hosts}
            account = before if accounts.get(before) == "" and before not in seats else usual
        membership = self.membership(seat, account or usual, needs)
        steps = self.member_steps(membership)
        identity = Identity(
            request.name, federation.namespace, membership.account, request.token_lifetime
        )
        credentials = Credentials(
            identity, membership.labels, self.clusters.endpoint, federation.namespace
        )
        if request.witness:
            path = f"/api/v1/namespaces/{federation.namespace}/configmaps/{request.register}"
            credentials = replace(credentials, readable=path)
        steps += self.credential_steps(host, membership, credentials, now)
        return [replace(step, seat=seat) for step in steps], credentials

    def membership(self, seat: str, account: str, needs: rbac.Needs) -> Membership:
        request, namespace = self.request, self.federation.namespace
        token_of = "" if request.subject else account
        return Membership(
            namespace,
            {**self.labels, SEAT_LABEL: seat} if seat else self.labels,
            account,
            request.subject or Subject("ServiceAccount", account),
            () if request.witness else rbac.workload_rules(needs, namespace),
            () if request.witness else rbac.health_rules(),
            rbac.witness_rules(token_of, request.register)
            if request.witness
            else rbac.inventory_rules(token_of, request.register),
        )

    def needs(self, known: RepositoryWithCluster) -> tuple[rbac.Needs, tuple[GroupKind, ...]]:
        """What the repository and the inventory ask for, and the kinds that nobody serves."""
        inventory = read_inventory(
            self.clusters.member, self.federation.name, self.federation.namespace
        )
        # What left the repository must still be pruned.
        owned = inventory.group_kinds | {key.group_kind for key in inventory.rows}
        templates = tuple(workload.template for workload in known.state.workloads)
        wanted = needed_kinds_in(known.state)
        found, unknown = resources_of(wanted | owned, self.clusters.discovery, templates)
        needs = rbac.Needs(
            tuple(found[kind] for kind in sorted(found)),
            templates,
            dns=bool(known.state.dns_manifests or self.federation.dns),
            room=any(map(needs_room, known.state.workloads)),
            see_everything=self.request.see_everything,
            full_access=self.request.full_access,
        )
        return needs, tuple(kind for kind in unknown if kind in wanted)

    def member_steps(self, membership: Membership) -> list[Step]:
        member = self.clusters.member
        return [self.object_step(member, "member", body) for body in member_objects(membership)]

    def credential_steps(
        self, host: Member, membership: Membership, credentials: Credentials, now: float
    ) -> list[Step]:
        """The token and the Secret that keeps it; unchanged while the one that is there is good."""
        steps = [self.namespace_step(host, "host")]
        shown = credentials.secret(Token("", now, None))
        held = host.get(SECRET, key_of(shown))
        if held is not None and not is_made_by_join(held, self.labels):
            self._refuse("host", held)
        good = held is not None and self._is_good(held, credentials, now)
        steps += self._token_steps(membership, credentials, good)
        effect = Effect.UNCHANGED if good else Effect.CHANGE if held else Effect.CREATE
        steps.append(
            Step("the kubeconfig with it", "host", Verb.CREDENTIALS, effect, shown, SECRET)
        )
        if not good:
            steps.append(
                Step(
                    "look whether the new credential is let in",
                    "member",
                    Verb.CHECK,
                    Effect.CREATE,
                )
            )
        return steps

    def _token_steps(
        self, membership: Membership, credentials: Credentials, good: bool
    ) -> list[Step]:
        if credentials.identity.lifetime is None:
            secret = self.object_step(
                self.clusters.member, "member", token_secret(membership), "a token without an end"
            )
            return [secret if good else replace(secret, verb=Verb.AWAIT_TOKEN)]
        hours = credentials.identity.lifetime / 3600
        text = f"a token for {hours:g} hours"
        effect = Effect.UNCHANGED if good else Effect.CREATE
        request = token_request(credentials.identity)
        return [Step(text, "member", Verb.TOKEN, effect, request)]

    def _is_good(self, held: Object, credentials: Credentials, now: float) -> bool:
        """Whether the Secret's token may live on: same account, same server, half its life left.

        The account must be the very one: of a token whose account was recreated, servers believe
        for a while that it is good.
        """
        identity = credentials.identity
        key = ObjectKey("", "ServiceAccount", identity.namespace, identity.account)
        account = self.clusters.member.get(SERVICE_ACCOUNT, key)
        if account is None or account["metadata"]["uid"] != account_uid(token_in(held)):
            return False
        wanted = credentials.secret(Token("x", now, None))
        asked = wanted["metadata"]["annotations"]
        annotations = held["metadata"].get("annotations") or {}
        return (
            is_made_by_join(held, credentials.labels)
            and without_token(held_config(held)) == without_token(held_config(wanted))
            and all(annotations.get(name) == asked.get(name) for name in (ACCOUNT, LIFETIME))
            and not is_due(held, now)
            and answer_to(credentials, token_in(held)) == "let in"
        )

    def namespace_step(self, cluster: Member, where: Place) -> Step:
        """The namespace; one that is there already stays as it is, and stays when we leave."""
        body = namespace_object(self.federation.namespace)
        live = cluster.get(NAMESPACE, key_of(body))
        if live is None:
            return Step("", where, Verb.APPLY, Effect.CREATE, body, NAMESPACE)
        if live["metadata"].get("deletionTimestamp"):
            raise ClusterError(
                cluster.name,
                f"Namespace {self.federation.namespace} is being deleted",
                hint="join again when it is gone",
            )
        return Step("", where, Verb.NOTHING, Effect.UNCHANGED, body, NAMESPACE)

    def object_step(
        self, cluster: Member, where: Place, body: Object, description: str = ""
    ) -> Step:
        """Compare one object with what is there. Raises ClusterError with a way out."""
        resource, key = RESOURCES[body["kind"]], key_of(body)
        live = cluster.get(resource, key)
        step = Step(description, where, Verb.APPLY, Effect.CREATE, body, resource)
        if live is None:
            if key.kind == "ClusterRole":
                self._rehearse(cluster, step)
            return step
        seats = {(one["metadata"].get("labels") or {}).get(SEAT_LABEL, "") for one in (live, body)}
        if not is_made_by_join(live, self.labels) or len(seats - {""}) > 1:
            self._refuse(where, live)
        after = self._rehearse(cluster, step)
        paths = tuple(change.path for change in changed_fields(live, after))
        effect = Effect.CHANGE if paths else Effect.UNCHANGED
        return replace(step, effect=effect, details=paths)

    def _refuse(self, where: Place, live: Object) -> None:
        """Stop before somebody else's object is overwritten, unless that is asked for."""
        if self.request.force_conflicts:
            return
        labels = live["metadata"].get("labels") or {}
        other = labels.get(FEDERATION_LABEL)
        whose = f"of the federation {other!r}" if other else "that join did not make"
        if is_made_by_join(live, self.labels):
            whose = f"of the seat {labels[SEAT_LABEL]!r}"
        raise ReconcileError(
            f"the {where} has a {title(live)} {whose}",
            hint="give the cluster another name; or --force-conflicts takes it over, and unjoin "
            "will delete it",
        )

    def _rehearse(self, cluster: Member, step: Step) -> Object:
        assert step.resource is not None  # noqa: S101  (object steps have one)
        key = key_of(step.object)
        try:
            return cluster.apply(
                step.resource, key, step.object, force=self.request.force_conflicts, dry_run=True
            )
        except ClusterError as error:
            raise explained(error, step.object) from error


def _account_of(seat: str, accounts: Mapping[str, str]) -> str:
    """The one that an earlier join made for the seat; empty: none."""
    return next((name for name, whose in accounts.items() if whose == seat), "")


def _other_accounts(
    accounts: Mapping[str, str],
    credentials: Mapping[str, Credentials],
    federation: Federation,
    known: Collection[str],
) -> list[str]:
    """Warnings of accounts that nobody needs any more, though who has them is still let in; and of
    seats that have none. ``known`` are the seats of this join."""
    namespace, seats = federation.namespace, {*federation.seats, *known} - {""}
    taken = {one.identity.account for one in credentials.values()}
    if not seats and not any(accounts.values()):
        return []
    extra = [
        f"ServiceAccount {namespace}/{name} is no seat's, and its token is still let in; once "
        f"nothing runs by it: kubectl -n {namespace} delete serviceaccount {name}"
        for name, seat in accounts.items()
        if name not in taken and (not seat or not federation.seats or seat not in seats)
    ]
    missing = sorted(seats - {*accounts.values(), *known})
    return extra + [
        f"seat {seat} has no credential of it yet: join again with --host-context {seat}"
        for seat in missing
    ]


def answer_to(credentials: Credentials, token: str) -> Literal["let in", "refused", "no answer"]:
    """What the member says to a token, at the address where the reconciler will look for it."""
    member = member_with(credentials, token)
    try:
        answer = member.get_raw(credentials.readable, timeout=10.0, query={"limit": "1"})
    except ClusterError:
        return "no answer"
    finally:
        member.close()
    return "let in" if answer.status in (200, 404) else "refused"


def member_with(credentials: Credentials, token: str) -> Member:
    """The member as the joined account sees it."""
    from reconciler.cluster.endpoint import bearer
    from reconciler.cluster.http import Transport

    endpoint = replace(
        credentials.endpoint,
        headers=bearer(token),
        client_certificate_pem="",
        client_key_pem="",
    )
    name = credentials.identity.cluster
    return Member(name, Transport(name, endpoint))


def _place(request: JoinRequest, member: Member) -> Topology:
    given = request.place
    try:
        found = topology_of(member.list_objects(NODE))
    except Forbidden:
        found = Topology()
    return replace(
        found,
        provider=given.provider or found.provider,
        region=given.region or found.region,
        zone=given.zone or found.zone,
        zones=() if given.zone else found.zones,
    )


def _address_warnings(endpoint: Endpoint) -> list[str]:
    warnings = []
    address = urlsplit(endpoint.server)
    host = address.hostname or ""
    if host in ("localhost", "::1") or host.startswith("127."):
        warnings.append(
            f"its address {endpoint.server} is this machine's own: a pod in the host cluster "
            "cannot reach it; --api-endpoint gives another"
        )
    if address.scheme != "https":
        warnings.append(f"runs send no credential to {endpoint.server}, which is no https:// one")
    if endpoint.proxy_url:
        warnings.append(f"it is reached through a proxy: runs need --allow-access {PROXY}")
    if not endpoint.verify:
        warnings.append(f"its certificate is not verified: runs need --allow-access {INSECURE_TLS}")
    return warnings
