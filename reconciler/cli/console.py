"""What the terminal can do, and the few ways in which commands write to it.

Results go to stdout; progress, questions and errors to stderr, so that a pipe carries results only.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from typing import TextIO

import click
from msgspec import Struct

from reconciler.report.terminal import painted, shown, unpainted


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

    def out(self, line: str) -> None:
        """Writes a line of a result. What is not ``styled`` in it is escaped."""
        self.document(shown(line, colour=self.stdout_colour))

    def note(self, line: str) -> None:
        """Writes a line for the person, not for the pipe; escaped in the same way."""
        if self.json_lines:
            from reconciler.report.logs import note

            note(unpainted(line))
            return
        self.document(shown(line, colour=self.stderr_colour), to_person=True)

    def document(self, text: str, *, newline: bool = True, to_person: bool = False) -> None:
        """Writes what is finished: JSON, YAML, or a report, whose writer escapes it.

        JSON leaves DEL and the C1 controls as they are, of which terminals take orders as well.
        """
        text = _LEFT_BY_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
        click.echo(text, nl=newline, err=to_person, color=True)

    def confirmed(self, question: str) -> bool:
        """Asks on the terminal; anything but a plain yes is a no, and so is the end of input."""
        answer = click.prompt(
            shown(f"{question}? Only 'yes' is taken for a yes", colour=self.stderr_colour),
            default="no",
            show_default=False,
            err=True,
            prompt_suffix=": ",
        )
        return str(answer).strip().lower() == "yes"


_LEFT_BY_JSON = re.compile("[\x7f-\x9f]")
_FOREGROUND = {"red": "31", "green": "32", "yellow": "33", "magenta": "35", "cyan": "36"}


def styled(text: str, *, fg: str | None = None, bold: bool = False, dim: bool = False) -> str:
    """A part of a line, in a colour where the console has colours."""
    codes = [_FOREGROUND[fg]] if fg else []
    return painted(text, *codes, *["1"] * bold, *["2"] * dim)


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

    silence_libraries()
    return Console(
        stdout_colour=colourful(sys.stdout),
        stderr_colour=colourful(sys.stderr) and not json_lines,
        interactive=sys.stdin.isatty() and sys.stderr.isatty(),
        stderr_terminal=sys.stderr.isatty()
        and environment.get("TERM") != "dumb"
        and not json_lines,
        width=_width(environment),
        debug=debug,
        verbose=verbose,
        json_lines=json_lines,
    )


def _width(environment: Mapping[str, str]) -> int:
    if not (sys.stdout.isatty() or environment.get("COLUMNS")):
        return Console().width
    import shutil

    return max(60, min(shutil.get_terminal_size((Console().width, 24)).columns, 200))


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
