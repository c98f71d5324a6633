"""``--every 60s``: run after run in one process, as a Deployment, for quicker failover.

Each run stands for itself: it reads the repository, takes the lock, plans, applies, and gives the
lock back. Whatever one fails of, the next begins anew. A webhook (``--webhook-secret``) makes it
begin sooner, and so does a change in a member, which is watched (``--no-watch``: it is not). Where
nothing changed, a round makes no run.
"""

from __future__ import annotations

import gc
import random
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

from reconciler.api.errors import LeaseLost, ReconcileError
from reconciler.cli.error_messages import report_defect, report_failure
from reconciler.cli.exit_codes import Exit
from reconciler.cli.run import members_of, run_once
from reconciler.cli.settings import CommandSettings
from reconciler.cli.stop import Stop
from reconciler.serve.journal import Journal, OutcomeName

if TYPE_CHECKING:
    from reconciler.cli.run_reporting import RunListeners
    from reconciler.cli.watching import Watching
    from reconciler.serve.endpoints import Metrics
    from reconciler.serve.live_page import LivePage
    from reconciler.serve.webhooks import Webhooks

JITTER = 0.1
"""The share by which pauses differ, so that many such processes do not ask in step."""
STUCK_SECONDS = 900.0
"""How long a run without --deadline may take before the process counts as stuck."""
PAUSE_SECONDS = 1.0
"""Between two runs at least, however many webhooks come."""
MOST_GROWTH = 1.05
"""By how much what is kept may grow until garbage is looked for in all of it."""
LOCKED_SECONDS = 5.0
"""Until another try where a webhook asked for a run and another process is at one, which may have
read the repository before the push."""


def keep_running(settings: CommandSettings, *, every: float) -> Exit:
    """Runs every so many seconds until a signal ends it.

    OK when SIGTERM came between two runs, as then nothing was left undone. Raises UsageError when
    nobody can listen there.
    """
    options = settings.options
    journal = Journal(options.deadline + every if options.deadline else STUCK_SECONDS)
    try:
        with Stop(settings.console, options.grace) as stop, ExitStack() as stack:
            settings = settings.with_options(time_left=stop.time_left)
            settings = stack.enter_context(members_of(settings))
            wanted = threading.Event()
            watching = None if options.no_watch else _watching(stack, settings, wanted)
            garbage = Garbage()
            latest = _serve(stack, settings, stop, journal, wanted, watching)
            while True:
                began = time.monotonic()
                woken = wanted.is_set()
                # What asks from here on may have been pushed after this run reads Git.
                wanted.clear()
                code = _one_run(settings, stop, journal, latest, watching)
                if stop.code is not None:
                    return Exit.OK if code is Exit.OK else stop.code
                garbage.collect()
                stop.at_once()
                if watching is not None:
                    if woken and journal.process_health.last == "locked":
                        stop.wait(min(every, LOCKED_SECONDS))
                        wanted.set()
                    watching.wait(settings.options, stop, lambda: every * _spread())
                    if stop.code is not None:
                        return Exit.OK
                    continue
                pause = min(every, PAUSE_SECONDS)
                if woken and journal.process_health.last == "locked":
                    wanted.set()
                    pause = min(every, LOCKED_SECONDS)
                stop.wait(pause)
                if stop.code is not None:
                    return Exit.OK
                # A signal raises from here.
                if wanted.wait(max(began + every * _spread() - time.monotonic(), 0)):
                    settings.console.note("A webhook asked for this run.")
    except (KeyboardInterrupt, Exception) as error:
        if not isinstance(error, KeyboardInterrupt | click.Abort) and not stop.hides_behind(error):
            raise
        if stop.code is not Exit.TERMINATED:
            raise KeyboardInterrupt from error
        return Exit.OK if journal.process_health.running_since is None else Exit.TERMINATED


class Garbage:
    """Collects after each run, as nothing else does: see ``cli.main``.

    To look through all that a process keeps costs as much as a run. So what has survived is only
    looked through again once that has grown: cycles in what was kept and is no longer, such as a
    former state of Git, are found then.
    """

    def __init__(self) -> None:
        self._most = 0.0

    def collect(self) -> None:
        """What is new, or everything."""
        gc.collect()
        gc.freeze()
        if gc.get_freeze_count() > self._most:
            gc.unfreeze()
            gc.collect()
            gc.freeze()
            self._most = gc.get_freeze_count() * MOST_GROWTH


def _spread() -> float:
    return 1 + random.uniform(-JITTER, JITTER)  # noqa: S311  (no secret)


def _watching(stack: ExitStack, settings: CommandSettings, wanted: threading.Event) -> Watching:
    """What is kept up between runs, until the stack ends."""
    from reconciler.cli.watching import Watching

    watching = Watching(settings.options, settings.console, wanted)
    stack.callback(watching.close)
    return watching


def _serve(
    stack: ExitStack,
    settings: CommandSettings,
    stop: Stop,
    journal: Journal,
    wanted: threading.Event,
    watching: Watching | None,
) -> RunListeners | None:
    """Until the stack ends; a webhook sets ``wanted``. Raises UsageError, ReconcileError."""
    from reconciler.cli.run_reporting import RunListeners

    options = settings.options
    if not options.listen and not options.page:
        return None
    metrics = None
    if options.listen:
        from reconciler.report.metrics import LatestMetrics
        from reconciler.serve.endpoints import serve_endpoints

        metrics = LatestMetrics()
        webhooks = _webhooks(settings, stop, watching.asked if watching else wanted.set)
        figures: list[Metrics] = [metrics, watching] if watching else [metrics]
        served = serve_endpoints(options.listen, journal, figures, webhooks)
        port = stack.enter_context(served)
        paths = "/healthz /readyz /metrics" + (" /webhook" if webhooks else "")
        settings.console.note(f"Listening on port {port}: {paths}")
    return RunListeners(metrics, _page(stack, settings, journal) if options.page else None)


def _page(stack: ExitStack, settings: CommandSettings, journal: Journal) -> LivePage:
    """The page of the fleet, served until the stack ends. Raises UsageError."""
    from reconciler.serve.live_page import LivePage
    from reconciler.serve.page_server import is_loopback, page_address, serve_page

    options = settings.options
    page = LivePage(settings.console.note)
    port = stack.enter_context(serve_page(options.page, page, journal, options.page_hosts))
    host, _ = page_address(options.page)
    settings.console.note(
        f"The fleet is shown at http://{f'[{host}]' if ':' in host else host}:{port}/"
    )
    if not is_loopback(host):
        settings.console.note(
            "It asks nobody who they are: whoever reaches that address reads the plans. Let an "
            "authenticating proxy stand before it."
        )
    return page


def _webhooks(settings: CommandSettings, stop: Stop, ask: Callable[[], None]) -> Webhooks | None:
    """What takes webhooks, where there is a secret. Raises ReconcileError."""
    from reconciler.serve.webhooks import Webhooks

    options = settings.options

    def look() -> bool:
        if stop.code in (Exit.TERMINATED, Exit.INTERRUPTED):
            return False
        ask()
        return True

    if options.webhook_secret is None:
        return None
    return Webhooks(options.webhook_secret, options.ref, look, settings.console.note)


def _one_run(
    settings: CommandSettings,
    stop: Stop,
    journal: Journal,
    latest: RunListeners | None,
    watching: Watching | None,
) -> Exit:
    journal.begin()
    code = Exit.FAILED
    outcome: OutcomeName = "failed"
    problem = ""
    defect = False
    try:
        if watching is None:
            code = run_once(settings, stop, latest)
        else:
            kept = settings.with_options(**watching.begin(settings.options))
            code = run_once(kept, stop, latest, watching.planned)
        outcome = "failed" if code is Exit.FAILED else "ok"
    except LeaseLost as error:
        report_failure(error, settings.console)
        outcome, problem = "locked", str(error)
    except ReconcileError as error:
        report_failure(error, settings.console)
        problem = str(error)
    except OSError as error:
        report_failure(ReconcileError(str(error)), settings.console)
        problem = str(error)
    except Exception as error:
        if stop.hides_behind(error):
            raise KeyboardInterrupt from error
        # The next run may do better; this one is told.
        report_defect(error, settings.console)
        problem, defect = type(error).__name__, True
    finally:
        if watching is not None:
            watching.end(settings.options, well=code is Exit.OK, defect=defect)
    journal.end(outcome, problem)
    return code
