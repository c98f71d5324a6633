"""What the terminal can do, and the few ways in which commands write to it.

Results go to stdout; progress, questions and errors to stderr, so that a pipe carries results only.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import TextIO

import click
from msgspec import Struct


class Console(Struct, frozen=True):
    """``stdout_colour``/``stderr_colour``: whether escape codes may be written there.

    ``interactive``: somebody sits there and can be asked. ``debug``: show tracebacks.
    ``json_lines``: what goes to stderr is a log for machines.
    """

    stdout_colour: bool = False
    stderr_colour: bool = False
    interactive: bool = False
    stderr_terminal: bool = False
    width: int = 100
    debug: bool = False
    verbose: bool = False
    json_lines: bool = False

    def out(self, text: str, *, newline: bool = True) -> None:
        """Writes a result."""
        click.echo(text, nl=newline, color=self.stdout_colour)

    def note(self, text: str) -> None:
        """Writes what is for the person, not for the pipe."""
        if self.json_lines:
            from reconciler.report.logs import note

            note(click.unstyle(text))
            return
        click.echo(text, err=True, color=self.stderr_colour)


def open_console(
    *,
    no_color: bool = False,
    debug: bool = False,
    verbose: bool = False,
    json_lines: bool = False,
    environment: Mapping[str, str] = os.environ,
) -> Console:
    """Looks at the terminal, NO_COLOR (no-color.org), FORCE_COLOR and TERM."""

    def colourful(stream: TextIO) -> bool:
        if no_color or environment.get("NO_COLOR"):
            return False
        if environment.get("FORCE_COLOR"):
            return True
        return stream.isatty() and environment.get("TERM") != "dumb"

    import shutil

    silence_libraries()
    return Console(
        stdout_colour=colourful(sys.stdout),
        stderr_colour=colourful(sys.stderr) and not json_lines,
        interactive=sys.stdin.isatty() and sys.stderr.isatty(),
        stderr_terminal=sys.stderr.isatty()
        and environment.get("TERM") != "dumb"
        and not json_lines,
        width=max(60, min(shutil.get_terminal_size((100, 24)).columns, 200)),
        debug=debug,
        verbose=verbose,
        json_lines=json_lines,
    )


def silence_libraries() -> None:
    """Keep what libraries log, and Python's warnings, from the terminal: a handler that drops it,
    instead of none, which would print it. What matters to users comes as an exception."""
    import logging
    import warnings

    root = logging.getLogger()
    if not root.handlers:
        root.addHandler(logging.NullHandler())
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
