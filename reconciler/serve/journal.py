"""What the runs of a process that stays came to, and what that says of its health. No I/O."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Literal

from msgspec import Struct, field
from msgspec.structs import replace

OutcomeName = Literal["ok", "failed", "locked"]
"""failed: an object, a cluster or the run itself; locked: another run was at work."""


class ProcessHealth(Struct, frozen=True):
    """How the process stands. Times are seconds of a clock that only goes forward.

    ``running_since`` None: it waits for the next run. ``came_through``: some run could be made, be
    it with failures, so that the repository, the lock and the host cluster are in reach.
    """

    counts: Mapping[OutcomeName, int] = field(default_factory=dict)
    last: OutcomeName | None = None
    last_ended: float = 0.0
    last_seconds: float = 0.0
    running_since: float | None = None
    came_through: bool = False
    problem: str = ""


class Journal:
    """Written by the loop, read by the HTTP server's threads.

    ``stuck_after``: seconds of one run after which the process counts as stuck.
    """

    def __init__(self, stuck_after: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.stuck_after = stuck_after
        self._clock = clock
        self._lock = threading.Lock()
        self._health = ProcessHealth()

    @property
    def process_health(self) -> ProcessHealth:
        return self._health

    def begin(self) -> None:
        """A run begins."""
        with self._lock:
            self._health = replace(self._health, running_since=self._clock())

    def end(self, outcome: OutcomeName, problem: str = "") -> None:
        """It ended; ``problem`` is why there was no result at all, or empty."""
        with self._lock:
            was, now = self._health, self._clock()
            began = was.running_since if was.running_since is not None else now
            self._health = ProcessHealth(
                {**was.counts, outcome: was.counts.get(outcome, 0) + 1},
                outcome,
                now,
                now - began,
                None,
                was.came_through or not problem or outcome == "locked",
                problem,
            )

    def alive(self) -> tuple[bool, str]:
        """Whether a restart would not help, and a line that says why."""
        process_health = self._health
        if process_health.running_since is not None:
            seconds = self._clock() - process_health.running_since
            if seconds > self.stuck_after:
                return False, f"a run has not ended for {seconds:.0f} s"
        return True, self._describe(process_health)

    def ready(self) -> tuple[bool, str]:
        """Whether runs can be made at all, and a line that says why not."""
        process_health = self._health
        if not process_health.came_through:
            return False, process_health.problem or "no run has ended so far"
        return True, self._describe(process_health)

    def _describe(self, process_health: ProcessHealth) -> str:
        if process_health.last is None:
            return "the first run is on its way"
        ago = self._clock() - process_health.last_ended
        return f"the last run ended {ago:.0f} s ago: {process_health.last}" + (
            f" ({process_health.problem})" if process_health.problem else ""
        )

    def render(self) -> bytes:
        """The loop's own figures in Prometheus' text format; see ``endpoints.Metrics``."""
        process_health = self._health
        lines = [
            "# HELP federation_reconciler_loop_runs_total Runs of this process, by how they ended.",
            "# TYPE federation_reconciler_loop_runs_total counter",
        ]
        names: tuple[OutcomeName, ...] = ("failed", "locked", "ok")
        lines += [
            f'federation_reconciler_loop_runs_total{{outcome="{name}"}} '
            f"{process_health.counts.get(name, 0)}"
            for name in names
        ]
        if process_health.last is not None:
            lines += [
                "# HELP federation_reconciler_loop_seconds_since_run Seconds since the last run.",
                "# TYPE federation_reconciler_loop_seconds_since_run gauge",
                "federation_reconciler_loop_seconds_since_run "
                f"{self._clock() - process_health.last_ended:.3f}",
            ]
        return ("\n".join(lines) + "\n").encode()
