"""Whether objects are in place in clusters that this run does not plan.

Such are those of other shards, and those left out by --cluster. An object that moved to one of
them is deleted where it was only once it is there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from reconciler.api.annotations import PART_OF
from reconciler.api.errors import ClusterError
from reconciler.api.objects import ObjectKey, key_of
from reconciler.cluster.client import Member
from reconciler.cluster.discovery import RESTMapping
from reconciler.cluster.parallel import in_parallel
from reconciler.federation.model import Cluster
from reconciler.inventory.applyset import is_member

CONCURRENT_CLUSTERS = 16


class OtherClusters:
    """Asks ``clusters`` by ``connect``, and only about what is to be deleted: one LIST a kind."""

    def __init__(self, clusters: Sequence[Cluster], connect: Callable[[Cluster], Member]) -> None:
        self._clusters = {cluster.name: cluster for cluster in clusters}
        self._connect = connect
        self._held: dict[tuple[str, RESTMapping], frozenset[ObjectKey]] = {}

    def missing(
        self, resource: RESTMapping, key: ObjectKey, applyset: str, names: Collection[str]
    ) -> set[str]:
        """Those of the clusters ``names`` that do not have the object, as ours and to stay.

        One that does not answer, or that nobody knows, does not have it.
        """
        unasked = [n for n in names if n in self._clusters and (n, resource) not in self._held]
        held = in_parallel(
            lambda name: self._held_by(name, resource, applyset), unasked, CONCURRENT_CLUSTERS
        )
        self._held.update(zip(((name, resource) for name in unasked), held, strict=True))
        return {name for name in names if key not in self._held.get((name, resource), ())}

    def _held_by(self, name: str, resource: RESTMapping, applyset: str) -> frozenset[ObjectKey]:
        try:
            found = self._connect(self._clusters[name]).list_objects(
                resource, label_selector=f"{PART_OF}={applyset}", metadata_only=True
            )
        except ClusterError:
            return frozenset()
        return frozenset(
            key_of(live)
            for live in found
            if is_member(live, applyset) and not live["metadata"].get("deletionTimestamp")
        )
