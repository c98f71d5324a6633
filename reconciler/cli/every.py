"""``--every 60s``: run after run in one process, as a Deployment, for quicker failover.

Each run stands for itself: it reads the repository, takes the lock, plans, applies, and gives the
lock back. Whatever one fails of, the next begins anew. A webhook (``--webhook-secret``) makes it
begin sooner; where none arrives, it begins in its time.
"""

from __future__ import annotations

import gc
import random
import threading
import time
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
    from reconciler.serve.live_page import LivePage
    from reconciler.serve.webhooks import Webhooks

JITTER = 0.1
"""The share by which pauses differ, so that many such processes do not ask in step."""
STUCK_SECONDS = 900.0
"""How long a run without --deadline may take before the process counts as stuck."""
PAUSE_SECONDS = 1.0
"""Between two runs at least, however many webhooks come."""
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
            latest = _serve(stack, settings, stop, journal, wanted)
            while True:
                began = time.monotonic()
                woken = wanted.is_set()
                # What asks from here on may have been pushed after this run reads Git.
                wanted.clear()
                code = _one_run(settings, stop, journal, latest)
                if stop.code is not None:
                    return Exit.OK if code is Exit.OK else stop.code
                # Nothing else collects here: see ``cli.main``.
                gc.collect()
                stop.at_once()
                pause = min(every, PAUSE_SECONDS)
                if woken and journal.process_health.last == "locked":
                    wanted.set()
                    pause = min(every, LOCKED_SECONDS)
                stop.wait(pause)
                if stop.code is not None:
                    return Exit.OK
                # A signal raises from here.
                spread = 1 + random.uniform(-JITTER, JITTER)  # noqa: S311  (no secret)
                if wanted.wait(max(began + every * spread - time.monotonic(), 0)):
                    settings.console.note("A webhook asked for this run.")
    except (KeyboardInterrupt, click.Abort):
        if stop.code is not Exit.TERMINATED:
            raise
        return Exit.OK if journal.process_health.running_since is None else Exit.TERMINATED


def _serve(
    stack: ExitStack,
    settings: CommandSettings,
    stop: Stop,
    journal: Journal,
    wanted: threading.Event,
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
        webhooks = _webhooks(settings, stop, wanted)
        served = serve_endpoints(options.listen, journal, [metrics], webhooks)
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


def _webhooks(settings: CommandSettings, stop: Stop, wanted: threading.Event) -> Webhooks | None:
    """What takes webhooks, where there is a secret. Raises ReconcileError."""
    from reconciler.serve.webhooks import Webhooks

    options = settings.options

    def look() -> bool:
        if stop.code in (Exit.TERMINATED, Exit.INTERRUPTED):
            return False
        wanted.set()
        return True

    if options.webhook_secret is None:
        return None
    return Webhooks(options.webhook_secret, options.ref, look, settings.console.note)


def _one_run(
    settings: CommandSettings, stop: Stop, journal: Journal, latest: RunListeners | None
) -> Exit:
    journal.begin()
    code = Exit.FAILED
    outcome: OutcomeName = "failed"
    problem = ""
    try:
        code = run_once(settings, stop, latest)
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
    except Exception as error:  # noqa: BLE001  (the next run may do better; this one is told)
        report_defect(error, settings.console)
        problem = type(error).__name__
    journal.end(outcome, problem)
    return code
