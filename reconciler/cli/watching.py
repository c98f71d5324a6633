"""Between two runs of a process that watches: what wakes it, and what it need not do again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from reconciler.api.moments import TimeUse
from reconciler.cli.console import Console
from reconciler.cli.stop import Stop
from reconciler.failover.probe import Signal
from reconciler.git.mark import mark_of_source
from reconciler.plan.fights import Fights, fights_after, lasting
from reconciler.run.unchanged import LastRun, marks_of_files, probes_now, why_again
from reconciler.watch.watcher import Watcher

if TYPE_CHECKING:
    from reconciler.api.options import RunOptions
    from reconciler.run.pipeline import Prepared

GATHER_SECONDS = 0.05
"""For so long events are gathered: what comes together is looked at together."""
FIRST_PAUSE = 1.0
"""Until another look at what a run could not settle; it doubles, up to a whole period."""
PROBES_HOLD = 3.0
"""Seconds for which answers of clusters about their health are taken for what they are."""
BURST = 10
"""So many runs may follow one another at once; then each waits until there is room again."""
WHOLE = 0.8
"""The share of --resync after which a whole run is made."""
SHARE = 2.0
"""A run makes room for another after so many times the CPU time that it took: a storm has half a
CPU."""
LEAST_SECONDS = 0.5
"""At least so many seconds make room for a run."""


class Pace:
    """How soon a run may follow others. A bucket of tokens, one for each run."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._tokens = float(BURST)
        self._at = clock()
        self._each = LEAST_SECONDS

    def ran(self, seconds: float) -> None:
        """A run that took so many seconds of CPU has just ended."""
        self._fill()
        self._each = max(LEAST_SECONDS, SHARE * seconds)
        self._tokens = max(self._tokens - 1, -1.0)

    def wait(self) -> float:
        """Seconds until another may begin."""
        self._fill()
        return max(0.0, (1 - self._tokens) * self._each) if self._tokens < 1 else 0.0

    def _fill(self) -> None:
        now = self._clock()
        self._tokens = min(BURST, self._tokens + (now - self._at) / self._each)
        self._at = now


class Watching:
    """What a process knows between its runs. ``wanted`` wakes it: a webhook, a change, a loss."""

    def __init__(self, options: RunOptions, console: Console, wanted: threading.Event) -> None:
        self.watcher = Watcher(self._changed, console.note, resync=options.resync)
        self.quiet_rounds = 0
        self.why = ""
        self._wanted = wanted
        self._asked = False
        self._plan_only = options.plan_only
        self._console = console
        self._pace = Pace()
        self._pause = FIRST_PAUSE
        self._last: LastRun | None = None
        self._whole_at = 0.0
        self._tracked = True
        self._federation = ""
        self._fights: Fights = {}
        self._marks = ("", "")
        self._cpu = 0.0
        self._time = TimeUse(0.0)
        self._prepared: Prepared | None = None

    def _changed(self, what: str) -> None:
        self.why = what
        self._wanted.set()

    def asked(self) -> None:
        """Somebody asks for a run."""
        self._asked = True
        self._wanted.set()

    # -- around a run ----------------------------------------------------------------------

    def begin(self, options: RunOptions) -> dict[str, object]:
        """A run begins; the options that it has besides."""
        self._cpu = time.process_time()
        self._asked = False
        self._last = self._prepared = None
        self._marks = (mark_of_source(options), self._files(options))
        self._trace = self.watcher.begin(self._marks[0])
        changed: dict[str, object] = {"kept": self.watcher, "fights": self._fights}
        if self._tracked:
            self._time = TimeUse(options.clock())
            changed["clock"] = lambda: self._time.moment(options.clock())
        return changed

    def planned(self, prepared: Prepared) -> None:
        """The run carried this plan out, or had nothing to do."""
        self._prepared = prepared
        if not self._plan_only:
            self._fights = fights_after(self._fights, prepared.plan, time.time())

    def end(self, options: RunOptions, *, well: bool, defect: bool) -> None:
        """It has ended."""
        self.watcher.end()
        now = time.monotonic()
        self._pace.ran(time.process_time() - self._cpu)
        if defect:
            # Whatever it was, it may be in how time is followed.
            self._tracked = False
        prepared = self._prepared
        if not (well and prepared and self._tracked):
            self._slow_down(options)
            return
        first = self._federation != prepared.federation.name
        self._federation = prepared.federation.name
        self._last = LastRun(prepared, self._trace, self._time, *self._marks)
        # A little before figures of a run count as old (``cronjob/observability``).
        self._whole_at = now + options.resync * WHOLE
        unsettled = first or not self._last.is_settled or self._files(options) != self._marks[1]
        if unsettled:
            self._slow_down(options)
        else:
            self._pause = FIRST_PAUSE

    def _slow_down(self, options: RunOptions) -> None:
        self._soon = time.monotonic() + self._pause
        self._pause = min(self._pause * 2, options.every or self._pause)

    def _files(self, options: RunOptions) -> str:
        return marks_of_files(options, self._federation)

    # -- between two -----------------------------------------------------------------------

    def wait(self, options: RunOptions, stop: Stop, due: Callable[[], float]) -> str:
        """Until another run is needed: why. ``due`` gives the seconds until a round is due again.

        Returns at once where a signal came, and raises KeyboardInterrupt where one comes.
        """
        soon, self._soon = self._soon, float("inf")
        self._probed = False
        tick = time.monotonic() + due()
        while stop.code is None:
            moment = self._next_moment(options)
            now = time.monotonic()
            early = moment - self._probe_seconds() if not self._probed else moment
            until = min(tick, soon, early, self._whole_at if self._last else tick)
            if self._wanted.wait(max(0.0, until - now)):
                return self._woken(stop)
            now = time.monotonic()
            if early <= now < moment and now < soon:
                self._probe()
                continue
            if now >= min(soon, moment):
                return "a time has come" if now >= moment else "to see whether it is settled"
            if self._last is None or now >= self._whole_at:
                return "a whole round is due"
            if now >= tick:
                if why := why_again(self._last, options):
                    return why
                self.quiet_rounds += 1
                tick = time.monotonic() + due()
        return ""

    def _woken(self, stop: Stop) -> str:
        stop.wait(max(GATHER_SECONDS, self._pace.wait()))
        why, self.why = self.why, ""
        if self._asked:
            self._console.note("A webhook asked for this run.")
        return why or "somebody asked"

    def _next_moment(self, options: RunOptions) -> float:
        """When time alone makes another plan, be it of a run that failed; by ``time.monotonic``. A
        little later, as a moment must have passed."""
        use = self._time
        if not self._tracked or use.until <= use.began:
            return float("inf")
        return time.monotonic() + max(0.0, use.until - options.clock()) + 0.001

    def _probe_seconds(self) -> float:
        """How long before a moment the clusters are asked how they are, so that nobody waits for
        those that do not answer once it has come; 0: they are not."""
        prepared = self._prepared
        if prepared is None or all(p.signal is Signal.HEALTHY for p in prepared.probes):
            return 0.0
        rules = prepared.federation.failover.probe
        return min(rules.attempts * rules.timeout, PROBES_HOLD) + rules.interval * rules.attempts

    def _probe(self) -> None:
        self._probed = True
        if self._prepared is not None:
            self.watcher.probed = (probes_now(self._prepared), time.monotonic() + PROBES_HOLD)

    _soon = float("inf")
    _probed = False

    # -- for metrics -----------------------------------------------------------------------

    def render(self) -> bytes:
        """In Prometheus' text format; see ``endpoints.Metrics``."""
        name = "federation_reconciler_loop_quiet_rounds_total"
        lines = (
            f"# HELP {name} Rounds in which nothing had changed, and no run was made.",
            f"# TYPE {name} counter",
            f"{name} {self.quiet_rounds}",
            "# HELP federation_reconciler_fights Objects that others change whenever put back.",
            "# TYPE federation_reconciler_fights gauge",
            f"federation_reconciler_fights {len(list(lasting(self._fights)))}",
        )
        return ("\n".join(lines) + "\n").encode() + self.watcher.render()

    def close(self) -> None:
        """Nothing is watched any more."""
        self.watcher.close()
