"""A limit to how long one zone is waited for: a provider that hangs must not hold up a failover."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from reconciler.errors import DnsError

T = TypeVar("T")

LONGEST = 60.0
"""Seconds for reading a zone, and again for writing it."""
POLL_SECONDS = 1.0
"""How often it is asked whether there is time left: SIGTERM may have come."""


def within(patience: Callable[[], float], zone: str, work: Callable[[Callable[[], bool]], T]) -> T:
    """What ``work`` gives or raises. Raises DnsError when it takes longer than ``patience()`` says
    now, or it says that nothing is left.

    The libraries' own timeouts are per request and cannot all be set; what hangs is left behind in
    a thread that does not keep the process alive. ``work`` is given a function that tells whether
    it was left behind, and must not begin to write then.
    """
    left_behind = threading.Event()
    answers: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            answers.put((work(left_behind.is_set), None))
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            answers.put((None, error))

    threading.Thread(target=run, name=f"dns {zone}", daemon=True).start()
    began = time.monotonic()
    ends = began + patience()
    while True:
        left = min(ends - time.monotonic(), patience())
        try:
            answer, error = answers.get(timeout=min(max(left, 0.0), POLL_SECONDS))
            break
        except queue.Empty:
            if left > POLL_SECONDS:
                continue
            left_behind.set()
            seconds = time.monotonic() - began
            raise DnsError(zone, f"no answer within {seconds:.3g} s") from None
    if error is not None:
        raise error
    return answer  # type: ignore[return-value]
