"""Several at once: order, errors, and what is not begun any more."""

from __future__ import annotations

import signal
import threading
from types import FrameType

import pytest

from reconciler.cluster.parallel import in_parallel


def test_results_are_in_the_order_of_the_items() -> None:
    turn = threading.Barrier(4)

    def work(number: int) -> int:
        # All four of a round are at work at once, or nobody gets on.
        turn.wait(timeout=30)
        return number * number

    assert in_parallel(work, range(12), 4) == [number * number for number in range(12)]


@pytest.mark.parametrize("threads", [1, 8])
def test_one_item_needs_no_thread(threads: int) -> None:
    assert in_parallel(lambda _: threading.current_thread(), ["a"], threads) == [
        threading.current_thread()
    ]
    assert in_parallel(lambda item: item, [], threads) == []


def test_the_first_items_error_is_raised_after_all_that_had_begun() -> None:
    begun: list[int] = []
    ended: list[int] = []
    both = threading.Barrier(2)

    def work(number: int) -> None:
        begun.append(number)
        if number < 2:
            # The second one is the first to fail.
            both.wait(timeout=30)
            if number == 0:
                second_failed.wait(timeout=30)
            else:
                second_failed.set()
        ended.append(number)
        raise ValueError(f"item {number}")

    second_failed = threading.Event()
    with pytest.raises(ValueError, match="item 0"):
        in_parallel(work, range(100), 2)
    assert sorted(begun) == sorted(ended)


def test_ctrl_c_ends_the_waiting_and_nothing_more_is_begun() -> None:
    def hear(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    begun: list[int] = []
    released = threading.Event()

    def work(number: int) -> None:
        begun.append(number)
        released.wait(timeout=60)

    here = set(threading.enumerate())
    before = signal.signal(signal.SIGALRM, hear)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(KeyboardInterrupt):
            in_parallel(work, range(100), 2)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    crew = set(threading.enumerate()) - here
    released.set()
    for thread in crew:
        thread.join(timeout=30)
    assert sorted(begun) == [0, 1]
