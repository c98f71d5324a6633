"""What is odd in where things go: told by ``validate`` and in the plan, in the same words. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from reconciler.api.kinds import RUN_PODS, scale_target, scaled_as
from reconciler.api.objects import ObjectKey, first_few
from reconciler.api.reasons import Cause, Reason
from reconciler.federation.model import DesiredState, Workload
from reconciler.federation.references import needs
from reconciler.scheduler.model import Assignment


def placement_warnings(state: DesiredState, assignments: Sequence[Assignment]) -> list[str]:
    """Counts and spreads that cannot be as they are asked for, with file and line."""
    workloads = {workload.key: workload for workload in state.workloads}
    found = []
    for one in assignments:
        said = list(one.warnings)
        if one.shortfall:
            said.append(f"{one.workload}: {one.shortfall} replicas fit nowhere")
        found += [_at(workloads[one.workload], text) for text in said]
    return found


def separations(state: DesiredState, usual: Sequence[Assignment]) -> list[str]:
    """What does not go everywhere where it is needed, if everything is well: autoscalers and what
    they scale, Namespaces and what lies in them, what Pods need and the workloads that name it."""
    placed_in = {a.workload: {n for n in a.replicas if n not in a.leaving} for a in usual}
    return [
        *_of_autoscalers(state, placed_in),
        *_of_namespaces(state, placed_in),
        *unmet_needs(state, usual),
    ]


def _of_autoscalers(state: DesiredState, placed_in: Mapping[ObjectKey, set[str]]) -> Iterator[str]:
    scaled = {scaled_as(w.key): w for w in state.workloads}
    for scaler in state.workloads:
        target = scale_target(scaler.template)
        workload = scaled.get(target) if target else None
        if workload is None:
            continue
        here, there = placed_in[scaler.key], placed_in[workload.key]
        if alone := sorted(there - here):
            yield _at(
                scaler,
                f"{scaler.key} does not go to {first_few(alone)}, where nothing else scales "
                f"{workload.key}",
            )
        if alone := sorted(here - there):
            yield _at(
                scaler,
                f"{scaler.key} has nothing to scale in {first_few(alone)}: {workload.key} does "
                "not go there",
            )


def _of_namespaces(state: DesiredState, placed_in: Mapping[ObjectKey, set[str]]) -> Iterator[str]:
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
                f"Namespace {namespace} does not go to {name}, where {first_few(keys)} "
                f"{'goes' if len(keys) == 1 else 'go'}",
            )


def unmet_needs(state: DesiredState, usual: Sequence[Assignment]) -> Iterator[str]:
    """Workloads that may go where something of Git that they need does not, with their line."""
    placed_in = {a.workload: {n for n in a.replicas if n not in a.leaving} for a in usual}
    may_go = {a.workload: {*placed_in[a.workload], *a.spare} for a in usual}
    workloads = {w.key: w for w in state.workloads}
    for key, needed in sorted(needs_in(state).items()):
        lacking: dict[str, list[str]] = defaultdict(list)
        for one in sorted(needed):
            # Of homes without the Namespace, ``_of_namespaces`` tells.
            named = placed_in[key] if one.kind == "Namespace" else set()
            for name in may_go[key] - may_go[one] - named:
                lacking[name].append(str(one))
        by_needs: dict[str, list[str]] = defaultdict(list)
        for name, missing in sorted(lacking.items()):
            verb = "does" if len(missing) == 1 else "do"
            by_needs[f"{first_few(missing)} {verb} not go, which it needs"].append(name)
        for what, names in by_needs.items():
            yield _at(workloads[key], f"{key} may go to {first_few(names)}, where {what}")


def needs_in(state: DesiredState) -> dict[ObjectKey, frozenset[ObjectKey]]:
    """Workload -> the objects of Git without which its Pods do not run. What is not in Git may be
    anywhere."""
    keys = {w.key for w in state.workloads}
    return {
        w.key: found
        for w in state.workloads
        if w.key.kind in RUN_PODS
        and (found := needs(w.template.get("spec"), w.key.namespace) & keys)
    }


def _at(workload: Workload, text: str) -> str:
    return f"{workload.position.file}:{workload.position.line}: {text}"


# -- why something is not placed -------------------------------------------------------------------


class Unplaced(Struct, frozen=True):
    """``nowhere``: what may go to no cluster at all although nobody said so, with the reason."""

    placed: Mapping[ObjectKey, tuple[Workload, Assignment]] = {}
    nowhere: Mapping[ObjectKey, str] = {}

    def reason(self, key: ObjectKey, cluster: str) -> Reason:
        """Why ``cluster`` is not to have the object, which it has."""
        if key not in self.placed:
            return Reason(Cause.REMOVED)
        workload, assignment = self.placed[key]
        why = assignment.left_out.get(cluster) or _why_not(workload, cluster)
        if assignment.replicas or assignment.spare:
            return Reason(Cause.PLACED_ELSEWHERE, detail=why)
        return Reason(Cause.PLACED_NOWHERE, detail=why)

    def warnings(self) -> list[str]:
        """What goes nowhere, once for each rule that says so."""
        found: dict[str, list[str]] = {}
        for key, why in sorted(self.nowhere.items()):
            workload, _ = self.placed[key]
            if workload.target is not None and workload.key == key:  # Else it was told of already.
                found.setdefault(why, []).append(str(key))
        return [f"{why}: {first_few(keys)} goes nowhere" for why, keys in found.items()]


def why_unplaced(state: DesiredState, assignments: Sequence[Assignment]) -> Unplaced:
    """Of all that Git has, also by the keys that clusters know it by."""
    workloads = {workload.key: workload for workload in state.workloads}
    placed: dict[ObjectKey, tuple[Workload, Assignment]] = {}
    nowhere: dict[ObjectKey, str] = {}
    for assignment in assignments:
        key = assignment.workload
        workload = workloads[key]
        meant = workload.target is not None and workload.target.clusters == ()
        # Whether a kind is namespaced, only a cluster can tell.
        for one in dict.fromkeys((key, key.with_namespace)):
            placed[one] = (workload, assignment)
            # What only stays for want of another place has none.
            home = set(assignment.replicas) - assignment.leaving or assignment.spare
            if not (home or meant):
                nowhere[one] = _why_nowhere(workload, assignment)
    return Unplaced(placed, nowhere)


def _why_not(workload: Workload, cluster: str) -> str:
    if workload.target is None:
        return "no Placement selects it"
    return f"{workload.target.placed_by or 'its placement'} does not choose {cluster}"


def _why_nowhere(workload: Workload, assignment: Assignment) -> str:
    if workload.target is None:
        return "no Placement selects it"
    if workload.follows:
        return "nothing in it goes anywhere"
    rule = workload.target.placed_by or "its placement"
    if assignment.left_out:
        left_out = [f"{name}: {why}" for name, why in sorted(assignment.left_out.items())]
        return f"{rule} leaves out every cluster ({first_few(left_out)})"
    return f"{rule} matches no cluster"
