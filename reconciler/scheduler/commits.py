"""Clusters on different commits: what each is to run, so that nothing falls between two commits.

While a rollout is on its way, each cluster runs what *its* commit says. Two rules keep what one
commit moves from one cluster to another from being in neither of them:

- a cluster whose commit no longer places a workload there keeps it, as the stable commit has it,
  until every cluster where that commit wants it is on a commit that places it there;
- replicas that are shared out are never fewer, over the fleet, than the smallest of the totals that
  the commits ask for: clusters that have left the stable commit give up no more than others have
  taken over. (Each can go as high as its share by the stable commit, so that is always enough.)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec.structs import replace

from reconciler.api.objects import Object, ObjectKey, map_of
from reconciler.federation.model import ClusterCommits, DesiredState, Workload
from reconciler.scheduler.capacity import own_count
from reconciler.scheduler.model import Assignment


def with_commits(
    newest: DesiredState,
    stable: str,
    of_cluster: Mapping[str, str],
    states: Mapping[str, DesiredState],
) -> DesiredState:
    """The newest commit's rules and clusters, with the workloads of the clusters' own commits.

    ``of_cluster``: every member -> its commit; ``states``: those commits and ``stable``, the newer
    ones later.
    """
    used = {
        commit: replace(
            state,
            federation=newest.federation,
            clusters=newest.clusters,
            witnesses=newest.witnesses,
        )
        for commit, state in states.items()
        if commit in of_cluster.values() or commit == stable
    }
    workloads: dict[ObjectKey, Workload] = {}
    names: dict[tuple[object, ...], Object] = {}
    for state in used.values():
        workloads |= {w.key: w for w in state.workloads}
        names |= {_document_key(d): d for d in state.dns_manifests}
    return replace(
        newest,
        workloads=tuple(workloads[key] for key in sorted(workloads)),
        dns_manifests=tuple(names.values()),
        commits=ClusterCommits(stable, dict(of_cluster), used),
        unrendered={n: why for state in used.values() for n, why in state.unrendered.items()},
    )


def _document_key(document: Object) -> tuple[object, ...]:
    metadata = map_of(document["metadata"])
    return document["kind"], metadata.get("namespace"), metadata["name"]


def version_in(
    state: DesiredState, workload: Workload, assignment: Assignment, cluster: str
) -> Workload:
    """The workload as one cluster gets it: as its commit says, or as the stable one does where it
    only stays there."""
    commits = state.commits
    if commits is None:
        return workload
    own = () if cluster in assignment.as_stable else (commits.of_cluster[cluster],)
    for commit in (*own, commits.stable):
        if (found := commits.workloads[commit].get(workload.key)) is not None:
            return found
    return workload


def versions_of(
    state: DesiredState, workload: Workload
) -> list[tuple[Workload, frozenset[str] | None]]:
    """The workload as each commit has it, with that commit's clusters; None: all clusters.

    Where a cluster's commit has it not, it may stay there as the stable one has it.
    """
    commits = state.commits
    if commits is None:
        return [(workload, None)]
    found: dict[str, set[str]] = {}
    for cluster, commit in commits.of_cluster.items():
        own = commit if workload.key in commits.workloads[commit] else commits.stable
        found.setdefault(own, set()).add(cluster)
    return [
        (version, frozenset(clusters))
        for commit, clusters in found.items()
        if (version := commits.workloads[commit].get(workload.key)) is not None
    ]


def removed_in(state: DesiredState) -> dict[str, frozenset[ObjectKey]]:
    """Cluster -> what only commits of other clusters have; empty where all are on one commit."""
    if state.commits is None:
        return {}
    every = {w.key for w in state.workloads}
    gone = {
        commit: frozenset(every - workloads.keys())
        for commit, workloads in state.commits.workloads.items()
    }
    return {name: gone[commit] for name, commit in state.commits.of_cluster.items()}


def mixed(
    state: DesiredState, commits: ClusterCommits, by_commit: Mapping[str, Sequence[Assignment]]
) -> tuple[Assignment, ...]:
    """One assignment for each workload of ``state``, by the clusters' own commits.

    ``by_commit``: the assignments of each commit in ``commits.states``, as if all clusters were on
    it.
    """
    assigned = {commit: {a.workload: a for a in found} for commit, found in by_commit.items()}
    mixing = {w.key: _Mixing(w, commits, assigned) for w in state.workloads}
    keeping: dict[str, set[str]] = {}
    for one in mixing.values():
        for cluster, space in one.kept_spaces():
            keeping.setdefault(cluster, set()).add(space)
    for one in mixing.values():
        # What a workload needs stays with it: all of its namespace, and of the cluster.
        one.keep_together(keeping)
    return tuple(mixing[key].assignment() for key in sorted(mixing))


class _Mixing:
    """One workload: its ``counts`` by cluster, and where it only stays (``leaving``)."""

    def __init__(
        self,
        workload: Workload,
        commits: ClusterCommits,
        assigned: Mapping[str, Mapping[ObjectKey, Assignment]],
    ) -> None:
        self._workload, self._commits = workload, commits
        self._by_commit = {
            commit: found[workload.key]
            for commit, found in assigned.items()
            if workload.key in found
        }
        self._stable = self._by_commit.get(commits.stable)
        self.counts: dict[str, int | None] = {}
        self.leaving: set[str] = set()
        for cluster, commit in commits.of_cluster.items():
            own = self._by_commit.get(commit)
            if own is not None and cluster in own.replicas:
                self.counts[cluster] = own.replicas[cluster]
        self._keep_what_moves()
        versions = [w[workload.key] for w in commits.workloads.values() if workload.key in w]
        if any(version.rules.replicas.mode != "Duplicated" for version in versions):
            self._keep_the_total()

    def _left(self) -> Iterable[str]:
        """Clusters where the stable commit has it, and their own commit has not."""
        stable = self._stable.replicas if self._stable else {}
        return [n for n in stable if n in self._commits.of_cluster and n not in self.counts]

    def _keep_what_moves(self) -> None:
        placed = set(self.counts)
        for cluster in self._left():
            own = self._by_commit.get(self._commits.of_cluster[cluster])
            if own is not None and own.replicas.keys() - placed:
                self._keep(cluster)

    def _keep(self, cluster: str, count: int | None = None) -> None:
        stable = self._by_commit[self._commits.stable]
        self.counts[cluster] = stable.replicas[cluster] if count is None else count
        self.leaving.add(cluster)

    def _keep_the_total(self) -> None:
        if self._stable is None:
            return
        stable = self._commits.stable
        least = min(
            sum(self._count(commit, n) for n in self._by_commit[commit].replicas)
            if commit in self._by_commit
            else 0
            for commit in {stable, *self._commits.of_cluster.values()}
        )
        here = {
            n: self._count(stable if n in self.leaving else self._commits.of_cluster[n], n)
            for n in self.counts
        }
        lacking = least - sum(here.values())
        for cluster in sorted(self._stable.replicas.keys() & self._commits.of_cluster.keys()):
            more = min(self._count(stable, cluster) - here.get(cluster, 0), lacking)
            if more <= 0:
                continue
            lacking -= more
            if cluster in here:
                self.counts[cluster] = here[cluster] + more
            else:
                self._keep(cluster, more)

    def _count(self, commit: str, cluster: str) -> int:
        count = self._by_commit[commit].replicas.get(cluster, 0)
        if count is not None:
            return count
        return own_count(self._commits.workloads[commit][self._workload.key])

    def kept_spaces(self) -> list[tuple[str, str]]:
        """Cluster and namespace of what stays although the cluster's commit has it no more."""
        return [(cluster, _space(self._workload.key)) for cluster in self.leaving]

    def keep_together(self, keeping: Mapping[str, set[str]]) -> None:
        space = _space(self._workload.key)
        for cluster in self._left():
            spaces = keeping.get(cluster, ())
            if spaces and (not space or space in spaces):
                self._keep(cluster)

    def assignment(self) -> Assignment:
        commits = list(self._by_commit)
        base = self._by_commit[commits[-1]]
        own = {n: self._by_commit[c] for n, c in self._commits.of_cluster.items() if c in commits}
        spare = {n for n, one in own.items() if n in one.spare} - self.counts.keys()
        left_out = {
            n: one.left_out[n]
            for n, one in own.items()
            if n in one.left_out.keys() - self.counts.keys()
        }
        return replace(
            base,
            replicas=dict(sorted(self.counts.items())),
            left_out=dict(sorted(left_out.items())),
            spare=tuple(sorted(spare)),
            leaving=frozenset(self.leaving),
            as_stable=frozenset(self.leaving),
            nowhere=frozenset(n for n, one in own.items() if not (one.replicas or one.spare)),
        )


def _space(key: ObjectKey) -> str:
    """The namespace that an object belongs to; empty where it is the whole cluster's."""
    return key.name if key.kind == "Namespace" else key.namespace
