"""What is odd in where things go: told by ``validate`` and in the plan, in the same words. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from reconciler.api.kinds import RUN_PODS, scaled_as
from reconciler.api.notices import Notice, NoticeCause, notice
from reconciler.api.objects import ObjectKey, first_few
from reconciler.api.reasons import Cause, Reason
from reconciler.api.remembered import remembered
from reconciler.federation.model import DesiredState, Workload
from reconciler.federation.references import needs
from reconciler.scheduler.commits import removed_in, version_in
from reconciler.scheduler.model import Assignment, assignments_by_workload


@remembered
def placement_warnings(state: DesiredState, assignments: Sequence[Assignment]) -> list[Notice]:
    """Counts and spreads that cannot be as they are asked for, with file and line."""
    odd = [one for one in assignments if one.notices or one.shortfall]
    if not odd:
        return []
    workloads = state.by_key
    found = []
    for one in odd:
        notices = list(one.notices)
        if one.shortfall:
            notices.append(notice(NoticeCause.SHORTFALL, subject=one.workload, count=one.shortfall))
        found += [_at(workloads[one.workload], each) for each in notices]
    return found


@remembered
def separations(state: DesiredState, usual: Sequence[Assignment]) -> list[Notice]:
    """What does not go everywhere where it is needed, if everything is well: autoscalers and what
    they scale, Namespaces and what lies in them, what Pods need and the workloads that name it."""
    if _all_together(usual):
        return []
    placed_in = _places(usual)
    return [
        *_of_autoscalers(state, placed_in),
        *_of_namespaces(state, placed_in),
        *_unmet_needs(state, usual, placed_in),
    ]


def _all_together(usual: Sequence[Assignment]) -> bool:
    """Whether all go to the very same clusters and to no others: then nothing is apart, whatever
    needs what, and no manifest has to be parsed to find that out."""
    first = usual[0].replicas if usual else {}
    return not any(
        one.leaving
        or one.spare
        or (one.replicas is not first and one.replicas.keys() != first.keys())
        for one in usual
    )


_Places = Mapping[ObjectKey, frozenset[str]]


def _places(usual: Sequence[Assignment]) -> _Places:
    """Where each workload goes, to stay; most go to the same clusters, and share them."""
    # By the numbers of mappings that the assignments hold.
    known: dict[int, frozenset[str]] = {}
    found = {}
    for one in usual:
        if one.leaving:
            found[one.workload] = frozenset(n for n in one.replicas if n not in one.leaving)
            continue
        names = known.get(id(one.replicas))
        if names is None:
            names = known[id(one.replicas)] = frozenset(one.replicas)
        found[one.workload] = names
    return found


def _of_autoscalers(state: DesiredState, placed_in: _Places) -> Iterator[Notice]:
    scaled = {scaled_as(w.key): w for w in state.workloads}
    for scaler in state.workloads:
        target = scaler.manifest.scale_target
        workload = scaled.get(target) if target else None
        if workload is None:
            continue
        here, there = placed_in[scaler.key], placed_in[workload.key]
        for cause, alone in (
            (NoticeCause.SCALER_ELSEWHERE, sorted(there - here)),
            (NoticeCause.SCALES_NOTHING_THERE, sorted(here - there)),
        ):
            if alone:
                clusters = first_few(alone)
                named = _with_line(workload)
                found = notice(cause, subject=scaler.key, clusters=clusters, target=named)
                yield _at(scaler, found)


def _of_namespaces(state: DesiredState, placed_in: _Places) -> Iterator[Notice]:
    spaces = {w.key.name: w for w in state.workloads if w.key.group_kind == ("", "Namespace")}
    outside: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for workload in state.workloads:
        space = spaces.get(workload.key.namespace)
        for name in placed_in[workload.key] - placed_in[space.key] if space else ():
            outside[workload.key.namespace][name].append(str(workload.key))
    for namespace, clusters in sorted(outside.items()):
        for name, keys in sorted(clusters.items()):
            yield _at(
                spaces[namespace],
                notice(
                    NoticeCause.NAMESPACE_ELSEWHERE,
                    name,
                    f"Namespace {namespace}",
                    objects=first_few(keys),
                    go="goes" if len(keys) == 1 else "go",
                ),
            )


def unmet_needs(state: DesiredState, usual: Sequence[Assignment]) -> Iterator[Notice]:
    """Workloads that may go where something of Git that they need does not, with their line."""
    if not _all_together(usual):
        yield from _unmet_needs(state, usual, _places(usual))


def _unmet_needs(
    state: DesiredState, usual: Sequence[Assignment], placed_in: _Places
) -> Iterator[Notice]:
    found_needs = needs_in(state)
    if not found_needs:
        return
    may_go = {
        a.workload: placed_in[a.workload].union(a.spare) if a.spare else placed_in[a.workload]
        for a in usual
    }
    workloads = state.by_key
    for key, needed in sorted(found_needs.items()):
        if workloads[key].rules.dependencies == "Ignore":
            continue
        lacking: dict[str, list[str]] = defaultdict(list)
        for one in sorted(needed):
            # Of homes without the Namespace, ``_of_namespaces`` tells.
            named = placed_in[key] if one.kind == "Namespace" else frozenset()
            for name in may_go[key] - may_go[one] - named:
                lacking[name].append(_with_line(workloads[one]))
        by_needs: dict[tuple[str, ...], list[str]] = defaultdict(list)
        for name, missing in sorted(lacking.items()):
            by_needs[tuple(missing)].append(name)
        for objects, names in by_needs.items():
            found = notice(
                NoticeCause.NEED_ELSEWHERE,
                subject=key,
                clusters=first_few(names),
                objects=first_few(objects),
                do="does" if len(objects) == 1 else "do",
            )
            yield _at(workloads[key], found)


def needs_in(state: DesiredState) -> dict[ObjectKey, frozenset[ObjectKey]]:
    """Workload -> the objects of Git without which its Pods do not run. What is not in Git may be
    anywhere."""
    keys = {w.key for w in state.workloads}
    return {
        w.key: found
        for w in state.workloads
        if w.key.kind in RUN_PODS and (found := needs(w.manifest, w.key.namespace) & keys)
    }


def _with_line(workload: Workload) -> str:
    position = workload.position
    return f"{workload.key} ({position.file}:{position.line})"


def _at(workload: Workload, found: Notice) -> Notice:
    return replace(found, place=f"{workload.position.file}:{workload.position.line}")


# -- why something is not placed -------------------------------------------------------------------


class Unplaced(Struct, frozen=True):
    """``workloads`` and ``assignments`` are those of Git by its keys, ``others`` further keys by
    which clusters may know them, with Git's.

    ``nowhere``: what may go to no cluster at all although nobody said so, with the reason; where
    clusters are on several commits, by those of the clusters in ``only_in``. ``removed``: cluster
    -> what its commit does not have, and another cluster's has.
    """

    workloads: Mapping[ObjectKey, Workload] = {}
    assignments: Mapping[ObjectKey, Assignment] = {}
    others: Mapping[ObjectKey, ObjectKey] = {}
    nowhere: Mapping[ObjectKey, str] = {}
    removed: Mapping[str, frozenset[ObjectKey]] = {}
    only_in: Mapping[ObjectKey, frozenset[str]] = {}

    def is_nowhere(self, key: ObjectKey, cluster: str) -> bool:
        """Whether it may go to no cluster at all by what ``cluster`` is to have."""
        return key in self.nowhere and cluster in self.only_in.get(key, (cluster,))

    def reason(self, key: ObjectKey, cluster: str) -> Reason:
        """Why ``cluster`` is not to have the object, which it has."""
        own = key if key in self.assignments else self.others.get(key)
        if own is None or key in self.removed.get(cluster, ()):
            return Reason(Cause.REMOVED)
        workload, assignment = self.workloads[own], self.assignments[own]
        why = assignment.left_out.get(cluster) or _why_not(workload, cluster)
        elsewhere = assignment.replicas or assignment.spare
        if elsewhere and cluster not in assignment.nowhere:
            return Reason(Cause.PLACED_ELSEWHERE, detail=why)
        return Reason(Cause.PLACED_NOWHERE, detail=why)

    def notices(self) -> list[Notice]:
        """What goes nowhere, once for each rule that says so."""
        found: dict[str, list[str]] = {}
        for key, why in sorted(self.nowhere.items()):
            workload = self.workloads.get(key)  # By another key it was told of already.
            if workload is not None and workload.rules.target is not None:
                found.setdefault(why, []).append(str(key))
        return [
            notice(NoticeCause.PLACED_NOWHERE, rule=why, objects=first_few(keys))
            for why, keys in found.items()
        ]


@remembered
def why_unplaced(state: DesiredState, assignments: Sequence[Assignment]) -> Unplaced:
    """Of all that Git has, also by the keys that clusters know it by."""
    workloads = state.by_key
    others: dict[ObjectKey, ObjectKey] = {}
    nowhere: dict[ObjectKey, str] = {}
    only_in: dict[ObjectKey, frozenset[str]] = {}
    for assignment in assignments:
        key = assignment.workload
        workload = workloads[key]
        homeless = _homeless(state, workload, assignment)
        # Whether a kind is namespaced, only a cluster can tell.
        if not key.namespace:
            others[key.with_namespace] = key
        for one in dict.fromkeys((key, key.with_namespace)) if homeless else ():
            nowhere[one] = _why_nowhere(
                version_in(state, workload, assignment, min(homeless)), assignment
            )
            only_in[one] = homeless
    removed = {
        name: frozenset({*keys, *(key.with_namespace for key in keys)})
        for name, keys in removed_in(state).items()
    }
    return Unplaced(
        workloads, assignments_by_workload(assignments), others, nowhere, removed, only_in
    )


def _homeless(state: DesiredState, workload: Workload, assignment: Assignment) -> frozenset[str]:
    """The clusters by whose commits it may go to no cluster, although nobody said so."""
    if state.commits is None:
        # What only stays for want of another place has none.
        home = set(assignment.replicas) - assignment.leaving or assignment.spare
        nowhere = frozenset() if home else frozenset(one.name for one in state.clusters)
    else:
        nowhere = assignment.nowhere
    versions = {name: version_in(state, workload, assignment, name) for name in nowhere}
    return frozenset(
        name
        for name, one in versions.items()
        if one.rules.target is None or one.rules.target.clusters != ()
    )


def _why_not(workload: Workload, cluster: str) -> str:
    if workload.rules.target is None:
        return "no Placement selects it"
    return f"{workload.rules.target.placed_by or 'its placement'} does not choose {cluster}"


def _why_nowhere(workload: Workload, assignment: Assignment) -> str:
    if workload.rules.target is None:
        return "no Placement selects it"
    if workload.rules.follows:
        what = "that needs it" if workload.rules.leaders else "in it"
        return f"nothing {what} goes anywhere"
    rule = workload.rules.target.placed_by or "its placement"
    if assignment.left_out:
        left_out = [f"{name}: {why}" for name, why in sorted(assignment.left_out.items())]
        return f"{rule} leaves out every cluster ({first_few(left_out)})"
    return f"{rule} matches no cluster"
