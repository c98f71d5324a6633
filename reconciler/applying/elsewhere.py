"""Whether objects are in place in clusters that this run does not plan.

Such are those of other shards, and those left out by --cluster. An object that moved to one of
them is deleted where it was only once it is there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from reconciler.cluster.member import Member
from reconciler.cluster.resources import Resource
from reconciler.errors import ClusterError
from reconciler.federation.model import Cluster
from reconciler.inventory.applyset import is_member
from reconciler.objects import ObjectKey


class Elsewhere:
    """Asks ``clusters`` by ``connect``, and only for what is to be deleted."""

    def __init__(self, clusters: Sequence[Cluster], connect: Callable[[Cluster], Member]) -> None:
        self._clusters = {cluster.name: cluster for cluster in clusters}
        self._connect = connect

    def holds(
        self, resource: Resource, key: ObjectKey, applyset: str, names: Collection[str]
    ) -> bool:
        """Whether one of the clusters ``names`` has the object, as ours and to stay.

        One that does not answer does not have it.
        """
        for name in sorted(self._clusters.keys() & set(names)):
            try:
                live = self._connect(self._clusters[name]).get(resource, key)
            except ClusterError:
                continue
            if live and is_member(live, applyset) and not live["metadata"].get("deletionTimestamp"):
                return True
        return False
