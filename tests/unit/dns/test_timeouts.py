"""A provider that hangs is left behind when its time, or the run's, is over."""

from __future__ import annotations

import threading
import time

import pytest

from reconciler.api.errors import DnsError
from reconciler.dns.zones import LONGEST, within


def test_the_wait_for_a_zone_ends_when_the_run_is_told_to_stop() -> None:
    stopped, hanging = threading.Event(), threading.Event()
    found: list[bool] = []

    def work(left_behind: object) -> None:
        hanging.wait(30)
        assert callable(left_behind)
        found.append(left_behind())

    threading.Timer(0.5, stopped.set).start()
    began = time.monotonic()
    with pytest.raises(DnsError, match="no answer within"):
        within(lambda: 0.0 if stopped.is_set() else LONGEST, "example.com.", work)
    assert time.monotonic() - began < 10
    hanging.set()
    while not found:
        time.sleep(0.01)
    assert found == [True]


def test_a_zone_is_waited_for_as_long_as_was_said_first() -> None:
    began = time.monotonic()
    with pytest.raises(DnsError):
        within(lambda: 0.2, "example.com.", lambda _: time.sleep(5))
    assert time.monotonic() - began < 3
