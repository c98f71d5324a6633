"""A plan beside that of another commit: what a branch changes."""

from __future__ import annotations

from msgspec.structs import replace

from reconciler.api.errors import BadInput, NoSuchFolder, SourceError, UsageError
from reconciler.api.options import COMPLETE, RunOptions
from reconciler.plan.compare_base import against_base
from reconciler.plan.model import AgainstBase, Plan
from reconciler.run.pipeline import Prepared, make_plan
from reconciler.run.progress import Progress
from reconciler.run.repository import read_repository


def make_plan_against(options: RunOptions, base: str, progress: Progress | None = None) -> Prepared:
    """The plan of ``options`` with only what that of the branch, tag or commit ``base`` has not.

    Both are made one after the other, by the same clock; the memory of the fleet is the same, as
    plans write none. A base that is not valid itself leaves nothing out. Raises what ``make_plan``
    does for the head, SourceError for a base that cannot be read.
    """
    now = options.clock()
    # What the whole fleet becomes is to be reviewed, and then in which order.
    options = replace(options, clock=lambda: now, rollout=COMPLETE)
    prepared = make_plan(options, progress)
    return replace(prepared, plan=_compared(prepared.plan, replace(options, ref=base), base))


def _compared(head: Plan, options: RunOptions, ref: str) -> Plan:
    try:
        if options.clusters:
            state = read_repository(options, ask_host=True).state
            known = {cluster.name for cluster in state.clusters}
            clusters = tuple(name for name in options.clusters if name in known)
            if not clusters:
                return replace(head, base=AgainstBase(ref, problem="it has none of the clusters"))
            options = replace(options, clusters=clusters)
        base = make_plan(options).plan
    except BadInput as error:
        first = error.problems[0]
        return replace(head, base=AgainstBase(ref, problem=f"it is not valid: {error}, {first}"))
    except (NoSuchFolder, UsageError) as error:
        return replace(head, base=AgainstBase(ref, problem=str(error)))
    except SourceError as error:
        raise SourceError(f"the base {ref!r} cannot be read: {error}", hint=error.hint) from error
    return against_base(head, base, ref)
