"""The register on three real API servers: what it costs, and seats that lost or aged their copy."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from msgspec.structs import replace

from reconciler.api.errors import NoMajority, ReconcileError
from reconciler.seats.document import RegisterDocument
from tests.controlplane.cluster import Cluster
from tests.e2e.seats.conftest import NAMES, NAMESPACE, Registers

COPY = f"/api/v1/namespaces/{NAMESPACE}/configmaps/federation-shop-seat"


def remember(word: str) -> RegisterDocument:
    return RegisterDocument(memory={"word": word})


def with_word(word: str):  # type: ignore[no-untyped-def]
    return lambda document: replace(document, memory={"word": word})


def test_what_one_process_writes_another_reads(registers: Registers) -> None:
    registers().initialise(NAMES, remember("first"))

    registers().change(with_word("second"))
    reading = registers().read()

    assert reading.settled
    assert reading.document is not None
    assert reading.document.memory == {"word": "second"}
    assert {one.state for one in reading.seats.values()} == {"counts"}


def test_taking_a_lock_and_giving_it_back_costs_four_requests_for_each_seat(
    registers: Registers, clusters: Mapping[str, Cluster]
) -> None:
    registers().initialise(NAMES)
    run = registers("aws-eu")
    run.look("all well")

    with ExitStack() as stack:
        logs = {name: stack.enter_context(one.recorded()) for name, one in clusters.items()}
        run.read()
        run.change(lambda document: replace(document, lock={"holder": "me"}))
        run.change(lambda document: replace(document, lock={}))

    for requests in logs.values():
        assert [request.verb for request in requests] == ["get", "update", "update", "update"]
    assert clusters["aws-eu"].call("GET", COPY)["data"]["look"] == "all well"


def test_renewing_costs_one_request_for_each_seat(
    registers: Registers, clusters: Mapping[str, Cluster]
) -> None:
    run = registers()
    run.initialise(NAMES)
    run.change(with_word("held"))

    with ExitStack() as stack:
        logs = {name: stack.enter_context(one.recorded()) for name, one in clusters.items()}
        run.change(with_word("renewed"))

    assert [len(requests) for requests in logs.values()] == [1, 1, 1]


def test_a_seat_whose_copy_was_deleted_counts_again_once_it_is_repaired(
    registers: Registers, clusters: Mapping[str, Cluster]
) -> None:
    registers().initialise(NAMES, remember("kept"))
    clusters["onprem"].call("DELETE", COPY)

    lost = registers().read()
    registers().repair_seat("onprem")
    mended = registers().read()

    assert (lost.majority, lost.seats["onprem"].state) == (True, "lost")
    assert mended.seats["onprem"].state == "counts"
    clusters["aws-eu"].stop()
    assert registers().change(lambda document: document).memory == {"word": "kept"}


def test_a_copy_made_anew_from_an_old_one_does_not_count(
    registers: Registers, clusters: Mapping[str, Cluster]
) -> None:
    registers().initialise(NAMES, remember("old"))
    old = clusters["onprem"].call("GET", COPY)
    registers().change(with_word("new"))
    clusters["onprem"].call("DELETE", COPY)
    metadata = {"name": old["metadata"]["name"], "namespace": NAMESPACE}
    clusters["onprem"].call("POST", COPY.rpartition("/")[0], {**old, "metadata": metadata})

    reading = registers().read()

    assert reading.seats["onprem"].state in ("lost", "aged")
    assert reading.document is not None
    assert reading.document.memory == {"word": "new"}


def test_a_seat_restored_from_a_backup_counts_again_once_it_is_repaired(
    registers: Registers, clusters: Mapping[str, Cluster]
) -> None:
    registers().initialise(NAMES, remember("old"))
    seat = clusters["onprem"]
    key = f"/{seat.name}/configmaps/{NAMESPACE}/federation-shop-seat"
    backup = seat.etcd.contents(key.rpartition("/")[0])[key]
    registers().change(with_word("new"))
    registers().change(with_word("newer"))
    seat.etcd.change(put={key: backup}, delete=())

    aged = registers().read()
    clusters["aws-eu"].stop()
    with pytest.raises(NoMajority, match="onprem is aged"):
        registers(patience=3.0).change(with_word("by two of which one is old"))
    clusters["aws-eu"].start()
    registers().repair_seat("onprem")
    clusters["aws-eu"].stop()
    mended = registers().settle()

    assert aged.seats["onprem"].state == "aged"
    assert aged.document is not None
    assert aged.document.memory == mended.memory == {"word": "newer"}


def test_a_seat_that_hangs_holds_nothing_up(
    registers: Registers, clusters: Mapping[str, Cluster]
) -> None:
    registers().initialise(NAMES)
    run = registers()
    clusters["onprem"].pause()

    began = time.monotonic()
    run.read()
    run.change(with_word("one"))
    run.change(with_word("two"))
    took = time.monotonic() - began
    clusters["onprem"].resume()

    assert took < 5
    deadline = time.monotonic() + 30
    while run.read().seats["onprem"].state != "counts" and time.monotonic() < deadline:
        time.sleep(0.5)
    run.change(with_word("three"))
    assert registers().read().seats["onprem"].behind == 0


def test_without_a_majority_nothing_is_changed_and_the_reading_says_why(
    registers: Registers, clusters: Mapping[str, Cluster]
) -> None:
    registers().initialise(NAMES, remember("kept"))
    clusters["aws-eu"].stop()
    clusters["gcp-eu"].stop()

    reading = registers().read()
    with pytest.raises(NoMajority) as refused:
        registers(patience=2.0).change(with_word("lost"))

    assert not reading.majority
    assert reading.document is not None
    assert refused.value.seats.keys() == {"aws-eu", "gcp-eu"}
    clusters["aws-eu"].start()
    assert registers().settle().memory == {"word": "kept"}


def test_what_several_processes_add_at_once_is_all_there(registers: Registers) -> None:
    registers().initialise(NAMES, RegisterDocument(memory={"words": []}))

    def add(number: int) -> None:
        register = registers(patience=60.0)
        for turn in range(5):
            word = f"{number}.{turn}"
            register.change(
                lambda document, word=word: replace(  # type: ignore[misc]
                    document, memory={"words": [*document.memory["words"], word]}
                )
            )

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, range(4)))

    words = registers().settle().memory["words"]
    assert sorted(words) == sorted(f"{n}.{t}" for n in range(4) for t in range(5))


def test_one_that_was_given_up_is_never_changed_again(registers: Registers) -> None:
    registers().initialise(NAMES, remember("kept"))

    registers().dissolve()

    with pytest.raises(ReconcileError, match="dissolved"):
        registers().change(with_word("new"))
    assert registers().read().document == registers().dissolve()
    assert registers().initialise(NAMES, remember("begun anew")).memory == {"word": "begun anew"}
