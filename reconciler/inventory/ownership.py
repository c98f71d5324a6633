"""Whose an inventory is, and of which cluster: looked at before anything in it is believed.

Two repositories whose Federations have one name would prune each other's objects, and two Clusters
that are one API server would take turns at it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from msgspec import Struct, field
from msgspec.structs import replace

from reconciler.api.errors import ApiError, ClusterError
from reconciler.api.notices import Notice, NoticeCause, notice
from reconciler.api.objects import ObjectKey
from reconciler.cluster.client import Member
from reconciler.federation.model import Cluster
from reconciler.git.owner import Claimant
from reconciler.inventory.store import NAMESPACE, SECRETS, Inventory, read_inventory

PARENTS = "applyset.kubernetes.io/id"
KUBE_SYSTEM = ObjectKey("", "Namespace", "", "kube-system")
TAKE_OVER = "--take-over"


class Servers(Struct, frozen=True):
    """Which API server each cluster was, by the UID of its kube-system, as ``where`` remembers."""

    uids: Mapping[str, str] = field(default_factory=dict)
    where: str = ""


def as_ours(member: Member, inventory: Inventory, cluster: str, claimant: Claimant) -> Inventory:
    """The inventory as this run would write it. What is not known yet is asked for: one request
    at first contact, none later. Raises ClusterError when it is another repository's."""
    owner = inventory.owner
    if not claimant.takes_over(cluster) and not claimant.is_of(owner, inventory.commit):
        raise ClusterError(
            member.name,
            f"the inventory {inventory.namespace}/{inventory.parent_name} belongs to another "
            f"repository: {owner}; this is {claimant.owner}",
            hint=how_to_take_over(f"--cluster {cluster}"),
        )
    uid = inventory.cluster_uid or uid_of_kube_system(member)
    return replace(
        inventory, owner=claimant.recorded_over(owner, inventory.commit), cluster_uid=uid
    )


def former_inventory(member: Member, ours: Inventory, applyset: str) -> str:
    """The inventory with that ID, ``namespace/name``, if it is this repository's own from before:
    its Federation, or ``spec.namespace``, was renamed since. Empty: it is not, or nobody may look.
    """
    try:
        parents = member.list_objects(SECRETS, label_selector=f"{PARENTS}={applyset}")
        for parent in parents:
            name, namespace = parent["metadata"]["name"], parent["metadata"]["namespace"]
            federation = str(name).removeprefix("federation-")
            former = read_inventory(member, federation, str(namespace))
            if former.exists and former.applyset == applyset and former.owner and ours.owner:
                then, now = former.owner, ours.owner
                same = (then.source, then.path) == (now.source, now.path)
                return f"{namespace}/{name}" if same else ""
    except ClusterError:
        return ""
    return ""


def how_to_take_over(*options: str) -> str:
    """The hint for what is another's."""
    words = " ".join(("reconcile --plan", TAKE_OVER, *options))
    return (
        "name the Federation otherwise; a clone of that repository needs it as a remote; to take "
        f"over all that is there, once: {words}, and without --plan"
    )


def cluster_identity_problems(
    inventories: Mapping[str, Inventory], claimant: Claimant, known: Servers
) -> dict[str, str]:
    """Cluster -> why it cannot be the one that Git means: the end of a sentence that begins with
    its name and "is".

    Two names of one API server show the same inventory, or where there is none the same
    kube-system; of a restored copy, the inventory's name tells it from the original. ``known``
    tells a cluster from another one under its name, be that empty.
    """
    found: dict[str, str] = {}
    servers: dict[tuple[str, str], list[str]] = {}
    for name, inventory in sorted(inventories.items()):
        server = inventory.parent_uid or inventory.cluster_uid
        if server:
            servers.setdefault((server, inventory.cluster), []).append(name)
        if doubt := changed_servers(name, inventory.cluster_uid, claimant, known):
            found[name] = doubt
    for (_, recorded), names in servers.items():
        for name in names if len(names) > 1 else ():
            others = ", ".join(sorted(set(names) - {name}))
            found[name] = (
                f"the same API server as {others} (the UID of kube-system is "
                f"{inventories[name].cluster_uid or 'not known'}), so nothing is written to it; "
                "correct the access of one of them, or take one Cluster out of Git; if one was "
                "restored from a copy of the other, delete its Secret "
                f"{inventories[name].namespace}/{inventories[name].parent_name}"
            )
        if len(names) == 1 and recorded not in ("", names[0]) and not claimant.takes_over(names[0]):
            found[names[0]] = (
                f"the API server of the cluster {recorded!r}, as its inventory says, so nothing "
                f"is written to it; correct the access of {names[0]}; if the Cluster was renamed "
                f"on purpose: {_once(names[0])}"
            )
    return found


def changed_servers(name: str, uid: str, claimant: Claimant, known: Servers) -> str:
    """Why an API server is not the one that this cluster was before; empty: it is, or nobody knows,
    or it is to be taken for it from now on. ``uid`` is its kube-system's, empty where not told."""
    before = known.uids.get(name, uid)
    if before == uid or claimant.takes_over(name):
        return ""
    now = f"now it is {uid}" if uid else "now it cannot be read"
    return (
        f"not known to be the API server that it was (the UID of kube-system was {before}, as "
        f"{known.where} remembers, {now}), so nothing is written to it; correct the access of "
        f"{name}; if the cluster was rebuilt, or moved on purpose: {_once(name)}"
    )


def _once(name: str) -> str:
    return f"reconcile --plan {TAKE_OVER} --cluster {name}, and once without --plan"


def servers_now(
    known: Servers, inventories: Mapping[str, Inventory], claimant: Claimant
) -> tuple[dict[str, str], list[Notice]]:
    """Which API server each cluster is from now on, and what to tell of those that are taken over.
    ``inventories`` are those of clusters that nothing speaks against."""
    now = {name: one.cluster_uid for name, one in inventories.items()}
    notices = [
        notice(NoticeCause.ANOTHER_SERVER, name, before=known.uids[name], now=uid or "unknown")
        for name, uid in sorted(now.items())
        if known.uids.get(name, uid) != uid and claimant.takes_over(name)
    ]
    return {name: uid for name, uid in {**known.uids, **now}.items() if uid}, notices


def identified(
    connect: Callable[[Cluster], Member], claimant: Claimant, known: Servers
) -> Callable[[Cluster], Member]:
    """``connect`` for clusters of which no inventory is read: a request each, once. The result
    raises ClusterError for one that is another API server than it was."""
    checked: set[str] = set()

    def identify(cluster: Cluster) -> Member:
        member, name = connect(cluster), cluster.name
        if name in known.uids and name not in checked:
            if doubt := changed_servers(name, uid_of_kube_system(member), claimant, known):
                raise ClusterError(name, f"{name} is {doubt}")
            checked.add(name)
        return member

    return identify


def clusters_that_left(
    before: Mapping[str, str],
    names: Collection[str],
    federation: str,
    namespace: str,
    listed: Collection[str] = (),
) -> list[Notice]:
    """Of the clusters that runs remember, those that are no longer in Git, and what stays there:
    told until a run has been applied without them. ``listed`` were in the host's inventory."""
    return [
        notice(
            NoticeCause.CLUSTER_NOT_LISTED if name in listed else NoticeCause.CLUSTER_NOT_IN_GIT,
            name,
            inventory=f"Secret {namespace}/federation-{federation}",
        )
        for name in sorted(before.keys() - set(names))
    ]


def uid_of_kube_system(member: Member) -> str:
    """Empty where the member does not say."""
    try:
        found = member.get(NAMESPACE, KUBE_SYSTEM)
    except ApiError:
        return ""
    return str(found["metadata"].get("uid", "")) if found else ""
