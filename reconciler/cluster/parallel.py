"""Several requests at once, results in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def in_parallel(work: Callable[[T], R], items: Sequence[T], threads: int) -> list[R]:
    """``work`` of every item, in the order of the items.

    The first item's error is raised once all that had begun have ended; the rest is not begun.
    KeyboardInterrupt is raised at once: nobody who presses Ctrl-C waits for a timeout.
    """
    if len(items) <= 1 or threads <= 1:
        return [work(item) for item in items]
    pool = ThreadPoolExecutor(min(threads, len(items)))
    wait_for_all = True
    try:
        return [future.result() for future in [pool.submit(work, item) for item in items]]
    except KeyboardInterrupt:
        wait_for_all = False
        raise
    finally:
        pool.shutdown(wait=wait_for_all, cancel_futures=True)
