"""Whether a head continues what was applied last: no rollback by accident."""

from __future__ import annotations

from pathlib import Path

from reconciler.api.errors import SourceError
from reconciler.git.fetch import fetch
from reconciler.git.local import local_git
from reconciler.git.location import SourceLocation


class NoDescendant(SourceError):
    """All of the history is there, and the one commit is not in that of the other."""


# How much of the history is fetched, step by step, until the last applied commit is in it.
DEPTHS = (50, 1000, 0)


def check_descent(where: SourceLocation, folder: Path, last_applied: str, head: str) -> None:
    """Raises SourceError unless ``head`` is ``last_applied`` or a descendant of it; NoDescendant
    where that is known, and not only not to be seen.

    ``folder`` is the repository: the kept clone, which is deepened as far as needed, or a local
    one, which is left alone.
    """
    if head == last_applied or _is_ancestor(folder, last_applied, head):
        return
    if where.is_remote:
        for depth in DEPTHS:
            fetch(where, folder, depth=depth)
            if _is_ancestor(folder, last_applied, head):
                return
            if not (folder / "shallow").exists():
                break
    elif (folder / "shallow").exists():
        raise SourceError(
            f"{where.name} is a shallow clone, in which nobody can see whether {head[:12]} comes "
            f"after {last_applied[:12]}, which was applied last",
            hint="clone it whole, for example with fetch-depth: 0",
        )
    raise NoDescendant(
        f"commit {head[:12]} does not come after {last_applied[:12]}, which was applied last",
        hint="a force-push, or a mirror that is behind? If it is meant: --allow-rollback once, "
        "or spec.source.allowRollback",
    )


def _is_ancestor(folder: Path, last_applied: str, head: str) -> bool:
    return local_git(folder, "merge-base", "--is-ancestor", last_applied, head).code == 0
