"""The ``reconcile`` command: parse, call, print. One file for each command.

Nothing is imported before it is known what to do, so that ``--version`` and completion are
instant. Exit codes are in ``exit_codes``, words for errors in ``failures``.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import NoReturn

MANY_FILES = 65_536


def main() -> None:
    """The entry point. Always ends in SystemExit, with a code of ``cli.exit_codes``."""
    if sys.argv[1:] == ["--version"]:
        from reconciler import __version__

        print(f"reconcile {__version__}")  # noqa: T201  (this is the command's output)
        sys.exit(0)
    import gc

    # One short process that builds many small dicts and has few in circles: to look for these among
    # 40,000 objects takes a tenth of a run, and finds nothing.
    gc.disable()
    from reconciler.cli.reconcile import reconcile

    _allow_many_files()
    try:
        reconcile.main(prog_name="reconcile")
    except SystemExit as end:
        _leave(end.code)


def _allow_many_files() -> None:
    """As many as the system grants when asked, as programs in Go do: often four times as many as it
    gives unasked. A thousand members have a connection each, which takes some files."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MANY_FILES if hard == resource.RLIM_INFINITY else min(hard, MANY_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _leave(code: str | int | None) -> NoReturn:
    """End the process at once. Taking a large heap of plain dicts apart piece by piece would take
    a tenth of a whole run, and everything that must be closed has been closed by now."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))
