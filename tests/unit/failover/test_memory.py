"""What is remembered survives writing and reading; damage is told and never acted upon."""

from __future__ import annotations

import json
from contextlib import suppress

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.state.memory import (
    MAX_BYTES,
    ClusterMemory,
    DamagedMemory,
    FleetMemory,
    NotifiedState,
    Phase,
    WorkloadMemory,
    decode_memory,
    encode_memory,
)
from tests.strategies import CLUSTER_MEMORIES, NOTIFIED, SHORT_NAMES, UNIX_TIMES, WORKLOAD_MEMORIES


@given(
    st.builds(
        FleetMemory,
        clusters=st.dictionaries(SHORT_NAMES, CLUSTER_MEMORIES, max_size=4),
        workloads=st.dictionaries(
            SHORT_NAMES,
            st.dictionaries(SHORT_NAMES, WORKLOAD_MEMORIES, min_size=1, max_size=3),
            max_size=3,
        ),
        ran=st.dictionaries(
            SHORT_NAMES,
            st.dictionaries(SHORT_NAMES, SHORT_NAMES, min_size=1, max_size=2),
            max_size=2,
        ),
        divided=st.dictionaries(
            SHORT_NAMES, st.dictionaries(SHORT_NAMES, st.integers(1, 9), max_size=2), max_size=2
        ),
        taints=st.dictionaries(
            SHORT_NAMES,
            st.dictionaries(SHORT_NAMES, UNIX_TIMES, min_size=1, max_size=2),
            max_size=2,
        ),
        commit=st.text("0123456789abcdef", max_size=40),
        applied_at=UNIX_TIMES,
        notified=NOTIFIED,
    )
)
def test_it_comes_back_as_it_was(memory: FleetMemory) -> None:
    assert decode_memory(encode_memory(memory)) == memory


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"version": 2}',
        b'{"version": 1, "clusters": []}',
        b'{"version": 1, "clusters": {"a": {"phase": "Sideways"}}}',
        b'{"version": 1, "clusters": {"a": {"since": "yesterday"}}}',
        b'{"version": 1, "clusters": {"a": {"since": -1}}}',
        b'{"version": 1, "clusters": {"a": {"surprise": 1}}}',
        b'{"version": 1, "workloads": {"a": 1}}',
        b'{"version": 1, "appliedAt": null}',
        b'{"version": 1, "told": []}',
        b'{"version": 1, "told": {"receivers": [1]}}',
        b'{"version": 1, "told": {"states": []}}',
        b'{"version": 1, "told": null}',
        b'{"version": 1, "clusters": {"a": null}}',
        b'{"version": 1, "workloads": {"a": {"b": {"away": -1}}}}',
        b'{"version": 1, "ran": {"a": ["b"]}}',
        b'{"version": 1, "taints": {"a": {"b": "c"}}}',
        b'{"version": 1, "servers": {"a": 1}}',
        b'{"version": 1, "owner": {"path": "."}}',
    ],
)
def test_damage_is_told(data: bytes) -> None:
    with pytest.raises(DamagedMemory):
        decode_memory(data)


def test_what_a_document_does_not_say_is_as_if_never_seen() -> None:
    data = b"""{"version": 1, "appliedAt": 7, "from a later version": {}, "clusters":
      {"a": {"phase": "Down", "since": 5}, "b": {}}, "told": {"states": {"r/x": "Down"}}}"""
    assert decode_memory(data) == FleetMemory(
        {"a": ClusterMemory(Phase.DOWN, 5.0), "b": ClusterMemory()},
        applied_at=7.0,
        notified=NotifiedState(states={"r/x": "Down"}),
    )


@given(st.binary(max_size=200), st.integers(0, 400))
def test_no_damage_ends_in_anything_else(noise: bytes, at: int) -> None:
    good = encode_memory(FleetMemory({"a": ClusterMemory(Phase.DOWN, 5.0, reason="timeout")}))
    data = good[:at] + noise + good[at + len(noise) :]
    with suppress(DamagedMemory):
        assert isinstance(decode_memory(data), FleetMemory)


def test_single_workloads_are_forgotten_before_a_config_map_is_too_small() -> None:
    many = {f"Deployment.apps shop/web-{n}": WorkloadMemory(1.0, 2.0) for n in range(20_000)}
    clusters = {"aws": ClusterMemory(Phase.DOWN, 7.0)}
    data = encode_memory(FleetMemory(clusters, {"aws": many}))
    assert len(data) < MAX_BYTES
    assert decode_memory(data).clusters == clusters
    assert orjson.loads(data)["workloads"] == {}


def test_a_memory_of_an_earlier_release_has_told_nothing() -> None:
    assert decode_memory(b'{"version": 1, "commit": "c0ffee"}').notified == NotifiedState()
    assert b"told" not in encode_memory(FleetMemory(commit="c0ffee"))


def test_what_was_stored_before_fields_were_renamed_is_read() -> None:
    stored = b'{"version": 1, "ahead": {"a": 5}, "told": {"federation": "f"}, "silentSince": 7.0}'
    memory = decode_memory(stored)
    assert (memory.clock_offsets, memory.notified.federation) == ({"a": 5}, "f")
    assert memory.without_git_since == 7.0
    assert {"ahead", "told", "silentSince"} <= set(json.loads(encode_memory(memory)))
