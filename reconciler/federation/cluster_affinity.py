"""Karmada's ``clusterAffinity``, wherever a policy has one: read, and checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reconciler.api.notices import NoticeCause, notice
from reconciler.api.objects import Object
from reconciler.federation.model import Cluster, ClusterAffinity, Requirement
from reconciler.federation.selectors import affine, parse_selector
from reconciler.manifests.document import Document
from reconciler.manifests.problems import ProblemCollector


def parse_affinity(body: Object) -> ClusterAffinity:
    """One filter of clusters."""
    fields = (body.get("fieldSelector") or {}).get("matchExpressions") or ()
    return ClusterAffinity(
        name=body.get("affinityName", ""),
        names=tuple(body.get("clusterNames") or ()),
        exclude=tuple(body.get("exclude") or ()),
        selector=parse_selector(body["labelSelector"]) if body.get("labelSelector") else None,
        fields=tuple(Requirement(e["key"], e["operator"], tuple(e["values"])) for e in fields),
    )


def checked_affinity(
    document: Document,
    path: Sequence[str | int],
    clusters: Mapping[str, Cluster],
    body: Object,
    faults: ProblemCollector,
) -> ClusterAffinity:
    """The filter at ``path``. A name that no cluster has is a problem; that nothing passes, a
    notice."""
    found = parse_affinity(body)
    for index, name in enumerate(found.names):
        if name not in clusters:
            faults.unknown_cluster(document, (*path, "clusterNames", index), name, clusters)
    for index, name in enumerate(found.exclude):
        if name not in clusters:
            what = f"there is no cluster {name} to be left out"
            warning = notice(NoticeCause.WITHOUT_EFFECT, what=what)
            faults.warn(document, warning, (*path, "exclude", index))
    known = all(name in clusters for name in found.names)
    if clusters and known and not any(affine(found, one) for one in clusters.values()):
        warning = notice(NoticeCause.MATCHES_NO_CLUSTER, what="this affinity")
        faults.warn(document, warning, path)
    return found
