"""Other programs, run so that they end: each in a process group of its own, killed as a whole."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from reconciler.api.errors import SourceError
from reconciler.api.objects import RedactedRepr

_RUNNING: set[subprocess.Popen[bytes]] = set()
_PART = 64 * 1024
_MOST_ERRORS = 256 * 1024


class FinishedProgram(RedactedRepr, frozen=True):
    """How a program ended; ``timed_out``: it was killed, and ``code`` is negative. ``too_long``:
    the same, as it printed more than it may."""

    code: int
    stdout: bytes
    stderr: str
    timed_out: bool = False
    too_long: bool = False


def run_program(
    command: Sequence[str | Path],
    environment: Mapping[str, str],
    *,
    seconds: float,
    given: bytes = b"",
    folder: Path | None = None,
    most: int | None = None,
) -> FinishedProgram:
    """Run a program with exactly this environment; ``given`` is its standard input, ``most`` how
    many bytes it may print.

    Whatever it started (ssh, git's remote helpers, gpg) dies with it after ``seconds``.
    Raises SourceError when there is no such program.
    """
    process = _start(command, environment, subprocess.PIPE, folder)
    with _attended(process):
        if most is not None:
            return _bounded(process, given, seconds, most)
        return _finished(process, given, seconds)


class BegunProgram:
    """A program that runs beside this one, as ``run_program`` does; ``finish`` waits for it.

    Raises SourceError when there is no such program. ``seconds`` count from its start.
    """

    def __init__(
        self, command: Sequence[str | Path], environment: Mapping[str, str], *, seconds: float
    ) -> None:
        self._ends = time.monotonic() + seconds
        self._process = _start(command, environment, subprocess.DEVNULL, None)

    def finish(self) -> FinishedProgram:
        """What came of it, once."""
        with _attended(self._process):
            return _finished(self._process, b"", self._ends - time.monotonic())

    def end(self) -> None:
        """Nobody wants to know any more."""
        _kill_group(self._process)
        self.finish()


def _start(
    command: Sequence[str | Path], environment: Mapping[str, str], given: int, folder: Path | None
) -> subprocess.Popen[bytes]:
    try:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environment),
            cwd=folder,
            start_new_session=True,
        )
    except OSError as error:
        name = Path(command[0]).name
        raise SourceError(
            f"{name} cannot be run: {error.strerror}", hint=f"install {name}"
        ) from None
    _RUNNING.add(process)
    return process


@contextlib.contextmanager
def _attended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    with process:
        try:
            yield
        except BaseException:
            # Ctrl-C does not reach another session by itself.
            _kill_group(process)
            raise
        finally:
            _RUNNING.discard(process)


def _finished(process: subprocess.Popen[bytes], given: bytes, seconds: float) -> FinishedProgram:
    timed_out = False
    try:
        out, errors = process.communicate(given or None, timeout=max(seconds, 0.01))
    except subprocess.TimeoutExpired:
        _kill_group(process)
        out, errors = process.communicate()
        timed_out = True
    text = errors.decode(errors="replace")
    return FinishedProgram(process.returncode, out, text, timed_out=timed_out)


def run_for_output(
    command: Sequence[str], environment: Mapping[str, str], *, seconds: float, most: int
) -> FinishedProgram:
    """The same of a program that is asked nothing: its standard error is thrown away, and it is
    killed when it prints more than ``most`` bytes. Raises OSError when there is no such program."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=dict(environment),
        start_new_session=True,
    )
    _RUNNING.add(process)
    with process:
        try:
            return _bounded(process, b"", seconds, most)
        finally:
            # What it left running is of no use to anybody.
            _kill_group(process)
            _RUNNING.discard(process)


def _bounded(
    process: subprocess.Popen[bytes], given: bytes, seconds: float, most: int
) -> FinishedProgram:
    """``communicate`` keeps whatever is printed, however much it is."""
    prints: Any = process.stdout
    late, errors, out = threading.Event(), bytearray(), bytearray()

    def give(pipe: Any) -> None:
        with contextlib.suppress(BrokenPipeError), pipe:
            pipe.write(given)

    def end() -> None:
        late.set()
        _kill_group(process)

    def listen(pipe: Any) -> None:
        while part := pipe.read1(_PART):
            errors.extend(part[: max(0, _MOST_ERRORS - len(errors))])

    helpers = [
        threading.Thread(target=task, args=(pipe,), daemon=True)
        for task, pipe in ((give, process.stdin), (listen, process.stderr))
        if pipe is not None
    ]
    timer = threading.Timer(max(seconds, 0.01), end)
    for one in (timer, *helpers):
        one.start()
    try:
        while len(out) <= most and (part := prints.read1(_PART)):
            out += part
        too_long = len(out) > most
        if too_long:
            _kill_group(process)
        for one in helpers:
            one.join()
        code = process.wait()
    finally:
        timer.cancel()
    text = errors.decode(errors="replace")
    return FinishedProgram(code, bytes(out), text, timed_out=late.is_set(), too_long=too_long)


def end_all() -> None:
    """Kill what runs in other threads, which neither Ctrl-C nor a deadline interrupts."""
    for process in tuple(_RUNNING):
        _kill_group(process)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
