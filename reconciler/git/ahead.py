"""What a run asks Git of a work tree, begun before the rest of the program is loaded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from msgspec.structs import replace

from reconciler.api.errors import SourceError
from reconciler.api.options import RunOptions
from reconciler.git.local import AskedAhead
from reconciler.git.location import is_url
from reconciler.git.owner import ask_remotes
from reconciler.git.work_tree import ask_status, folder_of


@contextmanager
def git_asked_ahead(options: RunOptions) -> Iterator[RunOptions]:
    """The options of one run, with what Git was asked for it; what nobody wanted to know by the
    end of the block is given up. A process that stays reads Git only where something has moved."""
    ahead = ask_git_ahead(options) if options.kept is None else None
    try:
        yield replace(options, ahead=ahead)
    finally:
        if ahead is not None:
            ahead.forget()


def ask_git_ahead(options: RunOptions) -> AskedAhead | None:
    """None where the repository is no work tree that is read as it lies.

    The files are read after Git was asked. Where one changes in between, its id is none of the
    commit that Git named, and what was read is not taken for that commit.
    """
    if is_url(options.repo) or options.ref is not None or options.mirrors:
        return None
    if options.require_signature:
        # Then a commit is read, and not the files.
        return None
    try:
        folder = folder_of(options.repo, options.path)
    except (SourceError, OSError, RuntimeError):
        # It is told where the repository is read.
        return None
    ahead = AskedAhead()
    ask_status(folder, ahead)
    ask_remotes(folder, ahead)
    return ahead
