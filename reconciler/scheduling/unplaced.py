"""Why something that Git has is not, or no longer, wanted in a cluster. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from reconciler.federation.model import DesiredState, Workload
from reconciler.objects import ObjectKey, first_few
from reconciler.scheduling.assignment import Assignment

REMOVED = "removed from Git"


class Unplaced(Struct, frozen=True):
    """``nowhere``: what may go to no cluster at all although nobody said so, with the reason."""

    placed: Mapping[ObjectKey, tuple[Workload, Assignment]] = {}
    nowhere: Mapping[ObjectKey, str] = {}

    def reason(self, key: ObjectKey, cluster: str) -> str:
        """Why ``cluster`` is not to have the object, which it has."""
        if key not in self.placed:
            return REMOVED
        workload, assignment = self.placed[key]
        why = assignment.left_out.get(cluster) or _why_not(workload, cluster)
        if assignment.replicas or assignment.spare:
            return f"no longer placed here ({why})"
        return f"no longer placed anywhere ({why})"

    def warnings(self) -> list[str]:
        """What goes nowhere, once for each rule that says so."""
        found: dict[str, list[str]] = {}
        for key, why in sorted(self.nowhere.items()):
            workload, _ = self.placed[key]
            if workload.target is not None and workload.key == key:  # Else it was told of already.
                found.setdefault(why, []).append(str(key))
        return [f"{why}: {first_few(keys)} goes nowhere" for why, keys in found.items()]


def unplaced(state: DesiredState, assignments: Sequence[Assignment]) -> Unplaced:
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
