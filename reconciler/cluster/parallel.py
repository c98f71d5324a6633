"""Several requests at once, results in order."""

from __future__ import annotations

from collections import deque
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
    # One future for each thread and not for each item, which would wake this thread as often.
    left = deque(range(len(items)))
    results: dict[int, R] = {}
    errors: dict[int, BaseException] = {}

    def work_off() -> None:
        while True:
            try:
                number = left.popleft()
            except IndexError:
                return
            try:
                results[number] = work(items[number])
            except BaseException as error:  # noqa: BLE001  (it is raised below)
                errors[number] = error
                left.clear()

    pool = ThreadPoolExecutor(min(threads, len(items)))
    wait_for_all = True
    try:
        for future in [pool.submit(work_off) for _ in range(min(threads, len(items)))]:
            future.result()
    except KeyboardInterrupt:
        wait_for_all = False
        raise
    finally:
        left.clear()
        pool.shutdown(wait=wait_for_all, cancel_futures=True)
    if errors:
        raise errors[min(errors)]
    return [results[number] for number in range(len(items))]
