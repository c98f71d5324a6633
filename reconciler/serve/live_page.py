"""The page of the fleet between two runs: what the last ones found, drawn in a thread of its own.

A run hands over what it found while it holds the lock, which takes little; drawing is done while
the loop waits.
"""

from __future__ import annotations

import gzip
import queue
import secrets
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from reconciler.serve.fleet_snapshot import FleetFindings, FleetSnapshot, snapshot_of
from reconciler.serve.live_fragments import Fragments, PageContent, cluster_page
from reconciler.serve.live_survivability import MatrixView, survivability_view
from reconciler.serve.live_view import LiveView, cluster_detail, live_view
from reconciler.serve.run_history import COMPRESSION, RunHistory

if TYPE_CHECKING:
    from reconciler.federation.model import DesiredState
    from reconciler.report.finished_run import FinishedRun
    from reconciler.run.pipeline import Prepared

MOST_UNDRAWN = 4
"""Runs that ended and are not drawn yet; the loop waits beyond that, which keeps memory bounded."""


class LivePage:
    """Told by the loop (``update``), read by the server's threads.

    ``tell`` writes a line for people: a defect of the page fails no run.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.epoch = secrets.token_hex(8)
        self.history = RunHistory()
        self._tell = tell
        self._started = time.time()
        self._queue: queue.Queue[FleetSnapshot | None] = queue.Queue(MOST_UNDRAWN)
        self._news = threading.Condition()
        self._fragments = Fragments(PageContent(None, started=self._started))
        self._drawn: tuple[int, bytes] = (0, b"")
        self._found: FleetFindings | None = None
        self._view: LiveView | None = None
        self._state: DesiredState | None = None
        self._matrix: MatrixView | None = None
        self.closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="page", daemon=True)
        self._thread.start()

    def update(self, run: FinishedRun, prepared: Prepared | None) -> None:
        """A run ended. Waits only where several are not drawn yet; raises nothing."""
        try:
            snapshot = snapshot_of(run, prepared)
        except Exception as error:  # noqa: BLE001  (told; a run does not fail of its page)
            self._defect(error)
        else:
            self.show(snapshot)

    def show(self, snapshot: FleetSnapshot) -> None:
        """What a run found is drawn, in the order in which runs ended."""
        if not self.closing.is_set():
            self._queue.put(snapshot)

    def close(self) -> None:
        """The process ends: who waits for news is let go."""
        self.closing.set()
        with self._news:
            self._news.notify_all()

    def flush(self) -> None:
        """Waits until every run is drawn that was handed over so far."""
        self._queue.join()

    # -- for the server ----------------------------------------------------------------------------

    @property
    def fragments(self) -> Fragments:
        """The newest version."""
        return self._fragments

    def wait(self, version: int, seconds: float) -> Fragments:
        """The newest version, as soon as that is above ``version``, the page closes, or the seconds
        have passed."""
        with self._news:
            self._news.wait_for(
                lambda: self._fragments.version > version or self.closing.is_set(), seconds
            )
            return self._fragments

    def page(self) -> tuple[int, bytes]:
        """(version, the page as gzipped HTML); drawn once for each version."""
        fragments = self._fragments
        version, body = self._drawn
        if version != fragments.version:
            text = fragments.page(self.epoch).encode()
            version, body = fragments.version, gzip.compress(text, COMPRESSION, mtime=0)
            self._drawn = (version, body)
        return version, body

    def cluster(self, name: str) -> str | None:
        """The page of a cluster; None where there is none of that name."""
        view, found = self._view, self._found
        one = next((c for c in view.clusters if c.name == name), None) if view else None
        return cluster_page(cluster_detail(one, found)) if one and found else None

    # -- the thread that draws ---------------------------------------------------------------------

    def _work(self) -> None:
        while not self.closing.is_set():
            snapshot = self._queue.get()
            try:
                if snapshot is not None:
                    self._draw(snapshot)
            except Exception as error:  # noqa: BLE001  (told; the next run may be drawn)
                self._defect(error)
            finally:
                self._queue.task_done()

    def _defect(self, error: Exception) -> None:
        # Its words may quote anything.
        self._tell(f"The page was not renewed: a defect, {type(error).__name__}")

    def _draw(self, snapshot: FleetSnapshot) -> None:
        if snapshot.findings:
            self._found = snapshot.findings
        found = self._found
        self.history.add(snapshot)
        self._view = live_view(snapshot, found) if found else None
        self._publish(snapshot)
        if found and found.state != self._state:
            # It takes seconds for a large fleet, and the rest need not wait for it.
            self._state = found.state
            self._matrix = survivability_view(found.state)
            self._publish(snapshot)

    def _publish(self, snapshot: FleetSnapshot) -> None:
        problem = "" if self._found else "; ".join(map(str, snapshot.run.failures[:3]))
        content = PageContent(
            self._view,
            self.history.rows,
            self.history.entries,
            self._matrix,
            snapshot.run.finished,
            self._started,
            problem,
        )
        fragments = Fragments(content, self._fragments)
        with self._news:
            self._fragments = fragments
            self._news.notify_all()
