"""What ends a run early, Ctrl-C, SIGTERM, SIGHUP or its deadline: at once, or when what is in
flight ended.

As long as nothing is written there is nothing to finish, and a run that hangs on a dead member must
not keep a pod from going. While it writes, it stops between objects, gives requests that are on
their way the rest of the grace period, gives its lock back, and tells what was left undone.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf
from types import FrameType, TracebackType
from typing import Any, Self

import click

from reconciler.api.errors import DeadlinePassed, ReconcileError
from reconciler.api.options import GRACE_SECONDS
from reconciler.cli.console import Console
from reconciler.cli.exit_codes import Exit
from reconciler.cli.settings import CommandSettings

CTRL_C = "Ctrl-C was pressed"
TERMINATED = "SIGTERM was received"
HUNG_UP = "SIGHUP was received"
"""As from a terminal that is closed."""
DEADLINE_REACHED = "the deadline has passed"
_FOR_REQUESTS = 0.8
"""The share of the grace period for requests; reporting and giving the lock back have the rest."""
OVERTIME_SECONDS, OVERTIME = 2.0, 0.05
"""How long after its deadline, at least and as a share of it, a run may tell what it knows.

Requests end with the deadline by themselves; this is for what knows of no deadline: a question that
nobody answers, a program that hangs."""


@contextmanager
def until_signal(settings: CommandSettings) -> Iterator[Stop]:
    """The signals of what has nothing to finish; the process ends with 143 after SIGTERM and
    SIGHUP."""
    with Stop(settings.console, settings.options.grace) as stop:
        try:
            yield stop
        except (KeyboardInterrupt, click.Abort):
            if stop.code is Exit.TERMINATED:
                sys.exit(Exit.TERMINATED)
            raise


@contextmanager
def limited(
    settings: CommandSettings, *, writes: bool = False, more: float = 0.0
) -> Iterator[CommandSettings]:
    """The same with its deadline; ``writes``: it may have written by then, and doing it again is
    safe. ``more`` seconds are added to the usual ones."""
    with until_signal(settings) as stop:
        settings, seconds = settings.until_deadline(plan_only=not writes, more=more)
        with stop.within(seconds, writes=writes):
            yield settings


class Stop:
    """``with Stop(console) as stop:`` - from then on the signals are this object's.

    ``grace`` is in seconds, from SIGTERM or SIGHUP to the end of the process.
    """

    def __init__(
        self,
        console: Console,
        grace: float = GRACE_SECONDS,
        *,
        end: Callable[[int], Any] = os._exit,
    ) -> None:
        self._console = console
        self._grace = grace
        self._end = end
        self._in_order = False
        self._reasons: list[str] = []
        self._stopped = threading.Event()
        self._terminated_at = inf
        self._last_resort: threading.Timer | None = None
        self._clock: threading.Timer | None = None
        self._overdue = self._cut = self._raised = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        handlers = {signal.SIGTERM: self._terminate, signal.SIGINT: self._interrupt}
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # As under nohup.
            handlers[signal.SIGHUP] = self._terminate
        self._before = {
            number: signal.signal(number, handler) for number, handler in handlers.items()
        }
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._still()
        if self._last_resort is not None:
            self._last_resort.cancel()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @property
    def reason(self) -> str:
        """Why no further object may be begun, or an empty string."""
        return self._reasons[0] if self._reasons else ""

    @property
    def code(self) -> Exit | None:
        """The exit code of a run that was stopped; None for one that was not."""
        if self._is_terminated:
            return Exit.TERMINATED
        if CTRL_C in self._reasons:
            return Exit.INTERRUPTED
        return Exit.FAILED if self._reasons else None

    def time_left(self) -> float:
        """Seconds that requests still have; no end before SIGTERM or SIGHUP."""
        return self._terminated_at + self._grace * _FOR_REQUESTS - time.monotonic()

    def hides_behind(self, error: BaseException) -> bool:
        """Whether that is what a signal came to that was to end the run: an import that is cut off
        may fail by something else, in C code above all."""
        ours = isinstance(error, ReconcileError | click.ClickException | click.Abort)
        return self._raised and isinstance(error, Exception) and not ours

    def wait(self, seconds: float) -> None:
        """Sleep, unless and until there is a reason to stop."""
        self._stopped.wait(seconds)

    @contextmanager
    def within(self, seconds: float, *, writes: bool = False) -> Iterator[None]:
        """A run that must end in this time. Raises DeadlinePassed where it could be cut off: as
        long as nothing is written, or what was written (``writes``) can be written again."""
        self._overdue = self._cut = self._raised = False
        self._clock = threading.Timer(
            seconds + max(OVERTIME_SECONDS, OVERTIME * seconds), self._stop_overdue
        )
        self._clock.daemon = True
        self._clock.start()
        try:
            yield
        except (KeyboardInterrupt, Exception) as error:
            ours = isinstance(error, ReconcileError | click.ClickException)
            if self._cut and self._reasons == [DEADLINE_REACHED] and not ours:
                raise DeadlinePassed(seconds, writes=writes) from None
            if self.hides_behind(error):
                raise KeyboardInterrupt from error
            hidden = isinstance(error, RuntimeError) and not isinstance(error, click.Abort)
            if hidden and isinstance(error.__cause__, KeyboardInterrupt):
                # Python 3.11 makes a RuntimeError of what a signal raises while a class is made, as
                # imports do: of whatever ``__set_name__`` raises. click's Abort is one by itself.
                raise KeyboardInterrupt from error
            raise
        finally:
            self._still()
            if DEADLINE_REACHED in self._reasons:
                # The next run has a deadline of its own.
                self._reasons.remove(DEADLINE_REACHED)
                if not self._reasons:
                    self._stopped.clear()

    def in_order(self) -> None:
        """From now on the first signal only sets ``reason``; a second Ctrl-C does not wait."""
        self._in_order = True

    def at_once(self) -> None:
        """From now on, as at first, a signal raises KeyboardInterrupt."""
        self._in_order = False

    def _terminate(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self._is_terminated:
            return
        self._terminated_at = time.monotonic()
        self._last_resort = threading.Timer(self._grace, self._give_up)
        self._last_resort.daemon = True
        self._last_resort.start()
        self._stop(HUNG_UP if number == signal.SIGHUP else TERMINATED)

    @property
    def _is_terminated(self) -> bool:
        return TERMINATED in self._reasons or HUNG_UP in self._reasons

    def _stop_overdue(self) -> None:
        """Only a signal wakes a main thread that waits in the kernel."""
        self._overdue = True
        if self._in_order:
            # What is being written ends with its requests; a provider or a receiver may hang.
            self._clock = threading.Timer(self._grace, self._give_up)
            self._clock.daemon = True
            self._clock.start()
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    def _still(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        if self._overdue:
            self._overdue = False
            if self._clock is None:
                return  # What it was about has just ended.
            self._cut = not self._in_order
            self._stop(DEADLINE_REACHED)
            return
        again = CTRL_C in self._reasons
        self._reasons.append(CTRL_C)
        self._stopped.set()
        if again or not self._in_order:
            self._raised = True
            raise KeyboardInterrupt
        self._console.note("Finishing what is in flight; Ctrl-C again stops at once.")

    def _stop(self, reason: str) -> None:
        self._reasons.append(reason)
        self._stopped.set()
        if not self._in_order:
            self._raised = True
            raise KeyboardInterrupt

    def _give_up(self) -> None:
        """Somebody still waits for an answer, and whoever sent SIGTERM is about to send SIGKILL."""
        what = self.reason.partition(" ")[0] if self._is_terminated else "the deadline"
        self._console.note(
            f"Error: {self._grace:.0f} s after {what} some requests have no answer; ending "
            "without them. The lock is not released, and expires by itself."
        )
        sys.stderr.flush()
        self._end(self.code or Exit.FAILED)
        return
