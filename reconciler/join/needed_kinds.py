"""A repository as it will be: with the cluster that joins, and with those that will join later.

A repository whose placements name three clusters is no mistake while the first of them joins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from reconciler.api.errors import BadInput
from reconciler.api.files import SourceFile
from reconciler.api.objects import GroupKind, Object
from reconciler.cluster.discovery import Discovery, RESTMapping
from reconciler.federation.compile import Compiled, compile_documents
from reconciler.federation.model import Cluster, DesiredState
from reconciler.manifests.document import Document
from reconciler.manifests.load import load

_PLACEHOLDER = """\
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: "%s"}
"""
_CLUSTER_KINDS = ("Cluster", "KubeFedCluster")


class RepositoryWithCluster(Struct, frozen=True):
    """``manifest`` is the cluster's own document, None where the repository has none yet;
    ``not_joined`` are clusters that are named somewhere and have no manifest."""

    state: DesiredState
    manifest: Document | None
    not_joined: tuple[str, ...] = ()

    def cluster(self, name: str) -> Cluster:
        """The cluster as the repository has it (or a bare one)."""
        return next(c for c in self.state.joined if c.name == name)


def with_joining_cluster(
    files: Sequence[SourceFile], name: str, discovered: Mapping[str, str] | None = None
) -> RepositoryWithCluster:
    """Read a repository as if cluster ``name`` had a manifest. Raises BadInput.

    ``discovered`` gives the apiVersion of kinds that the member serves.
    """
    manifests = load(files)
    manifest = _manifest_of(manifests.documents, name)
    added = [] if manifest else [name]
    found = _interpret(manifests.documents, added, discovered)
    later = sorted(found.unknown_clusters)
    if later:
        found = _interpret(manifests.documents, [*added, *later], discovered)
    problems = [*manifests.problems, *found.problems]
    if problems or found.state is None:
        raise BadInput(problems)
    return RepositoryWithCluster(found.state, manifest, tuple(later))


def _manifest_of(documents: Sequence[Document], name: str) -> Document | None:
    return next(
        (
            d
            for d in documents
            if d.body["kind"] in _CLUSTER_KINDS and d.body["metadata"]["name"] == name
        ),
        None,
    )


def _interpret(
    documents: Sequence[Document], names: Sequence[str], discovered: Mapping[str, str] | None
) -> Compiled:
    files = [SourceFile(f"{n}.yaml", (_PLACEHOLDER % n).encode()) for n in names]
    added = load(files)
    if added.problems:
        raise BadInput(added.problems)
    return compile_documents((*documents, *added.documents), discovered)


def needed_kinds_in(state: DesiredState) -> frozenset[GroupKind]:
    """The kinds of everything that the repository distributes."""
    return frozenset(workload.key.group_kind for workload in state.workloads)


def resources_of(
    kinds: frozenset[GroupKind], discovery: Discovery, templates: Sequence[Object]
) -> tuple[dict[GroupKind, RESTMapping], tuple[GroupKind, ...]]:
    """Each kind's resource, and the kinds that neither the member nor a CRD of the repository
    knows."""
    introduced = _introduced(templates)
    found: dict[GroupKind, RESTMapping] = {}
    for kind in kinds:
        resource = discovery.preferred(kind) or introduced.get(kind)
        if resource is not None:
            found[kind] = resource
    return found, tuple(sorted(kinds - found.keys()))


def _introduced(templates: Sequence[Object]) -> dict[GroupKind, RESTMapping]:
    from reconciler.plan.requests import crds_in

    return {kind.group_kind: r for kind, r in crds_in(list(templates)).items()}


def discovered_versions(discovery: Discovery) -> dict[str, str]:
    """Kind -> apiVersion; of several, the one that the member prefers."""
    return {kind.kind: kind.api_version for kind in reversed(list(discovery.resources))}
