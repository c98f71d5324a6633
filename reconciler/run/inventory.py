"""The clusters that a host lists as ClusterProfiles: read live, else as an earlier run knew them.

Never fewer than before because of a failure: a list that cannot be read, or not to its end, says
nothing of the fleet, and an empty one where there were some is doubted.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from reconciler.api.errors import ClusterError, NotFound, ReconcileError, SourceError
from reconciler.api.notices import Notice, NoticeCause, notice
from reconciler.api.objects import Object
from reconciler.api.options import RunOptions
from reconciler.cluster.client import Member
from reconciler.cluster.connect import Connector
from reconciler.cluster.discovery import RESTMapping
from reconciler.federation.inventory import (
    PROFILE_GROUP,
    hints_of,
    listed_clusters,
    profiles_of,
)
from reconciler.federation.model import (
    Cluster,
    Federation,
    InventoryRules,
    KnownInventory,
)
from reconciler.federation.rules import parse_federation
from reconciler.git.read import ReadSource
from reconciler.manifests.document import Document
from reconciler.manifests.problems import ProblemCollector
from reconciler.state.memory import FleetMemory

VERSIONS = ("v1alpha1", "v1alpha2")
"""The first one that is served is read: v1alpha1 has the older field of access providers, too."""


class FleetInventory(Struct, frozen=True):
    """What the host lists now, or listed before; ``known`` is to be remembered."""

    clusters: tuple[Cluster, ...]
    known: KnownInventory
    notices: tuple[Notice, ...] = ()


def list_profiles(host: Member, namespace: str = "") -> list[Object]:
    """Every ClusterProfile of the namespace; empty: of all. Raises ClusterError.

    All pages or none; NotFound where the host serves no ClusterProfile at all.
    """
    hint = "install its CRD, or name the cluster that has the inventory with --host-context"
    _, found = list_in_first_version(host, "ClusterProfile", (namespace,), hint)
    return found[namespace]


def list_in_first_version(
    host: Member, kind: str, namespaces: Sequence[str], hint: str
) -> tuple[RESTMapping, dict[str, list[Object]]]:
    """Namespace -> the objects of a kind of the inventory's API, in the first version that the host
    serves; an empty namespace: all. Raises ClusterError, with ``hint`` where it serves none."""
    for version in VERSIONS:
        api_version = f"{PROFILE_GROUP}/{version}"
        resource = RESTMapping(api_version, kind, f"{kind.lower()}s", namespaced=True)
        try:
            return resource, {n: host.list_objects(resource, namespace=n) for n in namespaces}
        except NotFound:
            continue
    raise ClusterError(host.name, f"it serves no {kind} of {PROFILE_GROUP}", hint=hint)


def read_listed_clusters(
    options: RunOptions, document: Document, source: ReadSource
) -> FleetInventory | None:
    """The clusters that the host lists by the rules of a Federation.

    Raises SourceError where the host cannot be asked and no earlier run knew it.
    """
    # What is wrong in it is reported when all is compiled.
    federation = parse_federation(document, ProblemCollector(), None)
    rules = federation.inventory
    if rules is None:
        return None
    connector = Connector.from_file(
        options.kubeconfig,
        federation.namespace,
        host_context=options.host_context,
        seconds_left=options.time_left,
        allow=options.allow_access,
        seat=options.seat,
        # So that a process that stays asks again in each round.
        kept=options.kept,
    )
    try:
        objects = list_profiles(connector.host(), rules.namespace)
    except ClusterError as error:
        return _known_before(options, connector, federation, rules, source, error)
    profiles, notices = profiles_of(objects, rules)
    known = KnownInventory(rules.text, profiles)
    if not profiles:
        before = _remembered(options, connector, federation, source)
        if before and before.rules == rules.text and before.profiles:
            known = before
            subject = f"namespace {rules.namespace} of the host"
            said = notice(NoticeCause.INVENTORY_EMPTY, subject=subject, count=len(before.profiles))
            notices.append(said)
    return _inventory(known, notices)


def remembered_inventory(memory: FleetMemory, federation: Federation) -> FleetInventory:
    """As the pod that decides for a round has kept it. Raises SourceError where it has not."""
    if memory.inventory is None:
        raise SourceError(
            f"the pod that decides did not keep the inventory of {federation.name!r}",
            hint="run all pods of a round with the same version",
        )
    return _inventory(memory.inventory, [])


def _inventory(known: KnownInventory, notices: Sequence[Notice]) -> FleetInventory:
    told = (*notices, *hints_of(known.profiles))
    return FleetInventory(listed_clusters(known.profiles), known, told)


def _known_before(
    options: RunOptions,
    connector: Connector,
    federation: Federation,
    rules: InventoryRules,
    source: ReadSource,
    error: ClusterError,
) -> FleetInventory:
    before = _remembered(options, connector, federation, source)
    if before is None:
        raise SourceError(
            f"the inventory cannot be read: {error} (ClusterProfiles in namespace "
            f"{rules.namespace}), and no earlier run is known to have read it",
            hint=error.hint or "name the cluster that has the inventory with --host-context",
            subject="the inventory cannot be read",
        ) from error
    told = notice(NoticeCause.INVENTORY_SILENT, count=len(before.profiles), error=error)
    return _inventory(before, [told])


def _remembered(
    options: RunOptions, connector: Connector, federation: Federation, source: ReadSource
) -> KnownInventory | None:
    """What earlier runs of this repository knew; None where that cannot be read either."""
    from reconciler.git.owner import claimant_of
    from reconciler.state.run_memory import check_owner, open_store

    claimant = claimant_of(source.where, source.checkout.commit, addresses=source.addresses)
    try:
        store = open_store(options, connector, federation)
        memory = store.read().memory
        check_owner(memory, store, claimant)
    except ReconcileError:
        return None
    return memory.inventory
