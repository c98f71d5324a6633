"""How a zone's changes are divided into requests: nothing of one name is torn apart."""

from __future__ import annotations

from random import Random
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from octodns.record import Create, Delete, Record
from octodns.zone import Zone

from reconciler.dns.octodns_records import name_of
from reconciler.dns.records import marker_name
from reconciler.dns.zones import change_batches
from tests.strategies import TYPES_BY_NAME

ZONE = Zone("example.com.", [])


def changes(name: str, kinds: list[str]) -> list:
    """A name's records and their marks, some made and some deleted."""
    found = []
    for kind in kinds:
        data = {"A": {"value": "192.0.2.1"}, "AAAA": {"value": "2001:db8::1"}}[kind]
        record = Record.new(ZONE, name, {"type": kind, "ttl": 60, **data})
        host = ZONE.hostname_from_fqdn(marker_name(record.fqdn, kind))
        mark = Record.new(ZONE, host, {"type": "TXT", "ttl": 60, "value": "x"})
        make = Create if kind == "A" else Delete
        found += [make(record), make(mark)]
    return found


@given(TYPES_BY_NAME, st.integers(1, 20), st.randoms())
def test_steps_hold_all_changes_once_and_whole_names(
    wanted: dict[str, list[str]], limit: int, random: Random
) -> None:
    every = [change for name, its in wanted.items() for change in changes(name, its)]
    random.shuffle(every)
    steps = list(change_batches(every, SimpleNamespace(update_batch_size=limit)))
    assert sorted(id(c) for step in steps for c in step) == sorted(id(c) for c in every)
    held = [{name_of(change.record) for change in step} for step in steps]
    assert sum(len(names) for names in held) == len({name for names in held for name in names})
    # A step is larger than the limit only when one name is.
    assert all(
        len(step) <= limit or len(names) == 1 for step, names in zip(steps, held, strict=True)
    )


@pytest.mark.parametrize(
    ("provider", "expected"),
    [
        (SimpleNamespace(), [100, 100, 40]),
        (SimpleNamespace(batch_size=1000), [240]),
        (SimpleNamespace(update_batch_size=200), [200, 40]),
    ],
)
def test_the_size_of_a_step_is_the_providers(
    provider: SimpleNamespace, expected: list[int]
) -> None:
    every = [c for number in range(120) for c in changes(f"web-{number}", ["A"])]
    assert [len(step) for step in change_batches(every, provider)] == expected
