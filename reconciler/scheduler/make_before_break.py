"""From what runs to what should, without a dip: nobody gives up what nobody else carries yet.

Whatever moves replicas (a weight, a taint, a placement, a cluster that is back after an outage):
one grows first, and the others shrink only by what is ready beyond the total that is wanted. Of a
cluster that is back, the rules say by how many replicas a run. The same rule makes a lost memory
harmless: what replaces a dead cluster stays.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from reconciler.api.moves import ReplicasKept, StartsWith
from reconciler.api.objects import ObjectKey
from reconciler.scheduler.model import Assignment


class Running(Struct, frozen=True):
    """Replicas of one workload by cluster, of clusters that could be looked at.

    The others count for nothing: a share that Git gives them now cannot have been told to them.

    asked     ``spec.replicas`` of the live objects
    ready     those that serve
    unconfirmed  clusters that may not serve, although they say so
    scaled    an autoscaler sets the counts: where some are to run, its count is what is wanted
    """

    asked: Mapping[str, int]
    ready: Mapping[str, int]
    unconfirmed: Collection[str] = ()
    scaled: bool = False


def hold_replicas(
    assignment: Assignment, running: Running
) -> tuple[Assignment, list[ReplicasKept]]:
    """The assignment with counts kept up where they may not fall yet, and which.

    What is not ready serves nobody and may go at once; of what is ready only the excess over the
    total that is wanted. A cluster outside the assignment is to be left, and gives up its own
    first; what is not ready there may still become so, and goes only once all are served.
    """
    wanted = dict.fromkeys([*running.asked, *assignment.spare], 0)
    wanted |= {name: count or 0 for name, count in assignment.replicas.items()}
    if running.scaled:
        wanted |= {n: running.asked[n] for n, w in wanted.items() if w and running.asked.get(n)}
    leaving = running.asked.keys() - assignment.replicas.keys() - set(assignment.spare)
    serving = sum(
        min(running.ready.get(c, 0), n)
        for c, n in running.asked.items()
        if c not in running.unconfirmed
    )
    excess = serving - sum(wanted.values()) - assignment.shortfall
    lacking, excess = excess < 0, max(0, excess)
    kept: dict[str, int] = {}
    for name in sorted(running.asked, key=lambda name: (name not in leaving, name)):
        asked = running.asked[name]
        if asked <= wanted[name]:
            continue
        drop = asked - wanted[name]
        idle = min(drop, max(0, asked - running.ready.get(name, 0)))
        if lacking and name in leaving:
            idle = 0
        given = min(drop - idle, excess)
        excess -= given
        if asked - idle - given > wanted[name]:
            kept[name] = asked - idle - given
    if not kept:
        return assignment, []
    waits = [_kept(assignment, name, count, wanted[name]) for name, count in sorted(kept.items())]
    more = sum(n - wanted[name] for name, n in kept.items() if name not in leaving)
    return replace(
        assignment,
        replicas=dict(sorted({**assignment.replicas, **kept}.items())),
        spare=tuple(name for name in assignment.spare if name not in kept),
        shortfall=max(0, assignment.shortfall - more),
        leaving=frozenset(leaving & kept.keys()),
    ), waits


def starting(
    assignment: Assignment,
    asked: Mapping[str, int],
    scaled_in: Collection[str],
    own: int,
    *,
    shared: bool,
) -> tuple[Assignment, list[StartsWith]]:
    """The assignment of what others scale, with as many replicas to start with in a new cluster as
    it has where it leaves; and where.

    ``asked``: ``spec.replicas`` of the live objects. ``scaled_in``: where others will scale it.
    ``own``: the template's count. ``shared``: the clusters have one count between them, and not
    each its own.
    """
    counts = assignment.replicas
    leaving = {n: c for n, c in asked.items() if c and n not in counts}
    new = [n for n, c in counts.items() if n in scaled_in and n not in asked and c != 0]
    if not (leaving and new):
        return assignment, []
    most = -(-sum(leaving.values()) // len(new)) if shared else max(leaving.values())
    grown = {name: most for name in new if most > (counts[name] or own)}
    starts = [StartsWith(name, assignment.workload, most, tuple(sorted(leaving))) for name in grown]
    return replace(assignment, replicas={**counts, **grown}), starts


def _kept(assignment: Assignment, name: str, count: int, wanted: int) -> ReplicasKept:
    stays = name in assignment.replicas or name in assignment.spare
    why = "" if stays else leave_reason(assignment, name)
    return ReplicasKept(name, assignment.workload, count, count - wanted, why, assignment.shortfall)


def leave_reason(assignment: Assignment, cluster: str) -> str:
    """Why a workload is to leave a cluster that is not in its assignment."""
    return assignment.left_out.get(cluster) or "its placement does not name or select the cluster"


def return_limits(
    assignments: Sequence[Assignment],
    asked: Mapping[ObjectKey, Mapping[str, int]],
    ready: Mapping[ObjectKey, Mapping[str, int]],
    returning: Collection[str],
    moves: int | None,
) -> dict[ObjectKey, dict[str, int]]:
    """Workload -> cluster -> the most that a returning cluster takes in this run.

    ``asked``: what its live objects ask for now; clusters without an entry there at all could not
    be looked at and are not limited. ``moves``: how many replicas may return in one run, or None.
    Only replicas that serve in other clusters count: what serves nowhere need not wait.
    """
    limits: dict[ObjectKey, dict[str, int]] = {}
    if moves is None:
        return limits
    left = moves
    for assignment in assignments:
        here = asked.get(assignment.workload, {})
        serving = ready.get(assignment.workload, {})
        extra = sum(
            max(0, min(count, serving.get(c, 0)) - (assignment.replicas.get(c) or 0))
            for c, count in here.items()
        )
        for name in sorted(set(returning) & assignment.replicas.keys()):
            wanted = assignment.replicas[name]
            now = here.get(name, 0)
            if wanted is None or wanted <= now:
                continue
            moved = min(wanted - now, extra)
            extra -= moved
            granted = wanted - now - max(0, moved - left)
            left -= min(moved, left)
            if now + granted < wanted:
                limits.setdefault(assignment.workload, {})[name] = now + granted
    return limits
