"""The register over simulated API servers: what is written where, and what is told."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from msgspec.structs import replace

from kubesim.faults import InjectedFault
from kubesim.fleet import Sandbox
from reconciler.api.errors import LeaseLost, NoMajority, ReconcileError
from reconciler.cluster.connect import Connector
from reconciler.seats.document import RegisterDocument, decode_document, encode_document
from reconciler.seats.register import CONFIG_MAPS, Register

NAMESPACE = "federation-system"
NAMES = ("a", "b", "c", "d", "e")
Registers = Callable[..., Register]


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    with Sandbox(NAMES) as sandbox:
        for cluster in sandbox.clusters:
            cluster.create(namespace)
        yield sandbox


@pytest.fixture
def registers(sandbox: Sandbox) -> Registers:
    def make(me: str = "", **settings: float) -> Register:
        file = str(sandbox.kubeconfig)
        seats = {
            name: Connector.from_file(file, NAMESPACE, host_context=name).host() for name in NAMES
        }
        return Register(seats, NAMESPACE, "shop", me, patience=settings.get("patience", 5.0))

    return make


def described_for(*words: str) -> Callable[[RegisterDocument], RegisterDocument]:
    return lambda document: replace(document, memory={"words": [*words]})


def adding(word: str) -> Callable[[RegisterDocument], RegisterDocument]:
    return lambda document: replace(
        document, memory={"words": [*document.memory.get("words", ()), word]}
    )


def test_a_document_is_read_as_it_was_written() -> None:
    document = RegisterDocument(3, lock={"holder": "me"}, memory={"a": [1]}, changes=("x",))

    assert decode_document(encode_document(document)) == document


def test_without_a_register_the_error_names_the_command_that_makes_it(
    registers: Registers,
) -> None:
    with pytest.raises(ReconcileError, match="there is no register") as refused:
        registers(patience=0.5).change(described_for("x"))

    assert "reconcile seats init" in refused.value.hint


def test_it_is_not_made_while_a_seat_is_silent(registers: Registers, sandbox: Sandbox) -> None:
    sandbox.cluster("c").stop()

    with pytest.raises(NoMajority, match="all seats must answer"):
        registers().initialise(["a", "b", "c"])

    assert registers().read().document is None
    sandbox.cluster("c").start()
    assert registers().initialise(["a", "b", "c"]).version == 1


def test_making_it_again_changes_nothing(registers: Registers) -> None:
    made = registers().initialise(["a", "b", "c"], RegisterDocument(memory={"words": ["kept"]}))

    assert registers().initialise(["a", "b", "c"]) == made
    with pytest.raises(ReconcileError, match="there already, of the seats a, b, c"):
        registers().initialise(["a", "b", "d"])


def test_a_change_whose_answers_are_lost_is_carried_out_once(
    registers: Registers, sandbox: Sandbox
) -> None:
    registers().initialise(["a", "b", "c"])
    for name in ("a", "b"):
        # The promise is answered, what comes after it is not.
        sandbox.cluster(name).faults.reset(when="after", skip=1, count=1, writes_only=True)

    document = registers().change(adding("once"))

    assert document.memory == {"words": ["once"]}
    assert registers().settle().memory == {"words": ["once"]}


def test_a_function_that_refuses_changes_nothing(registers: Registers) -> None:
    registers().initialise(["a", "b", "c"], RegisterDocument(memory={"words": ["kept"]}))

    def refuse(document: RegisterDocument) -> RegisterDocument:
        raise LeaseLost("it is another's")

    with pytest.raises(LeaseLost):
        registers().change(refuse)

    assert registers().settle().memory == {"words": ["kept"]}


def test_seats_come_and_go_one_at_a_time(registers: Registers, sandbox: Sandbox) -> None:
    registers().initialise(["a", "b", "c"], RegisterDocument(memory={"words": ["kept"]}))
    sandbox.cluster("c").stop()

    registers().replace_seat("c", "d")
    registers().add_seat("e")
    sandbox.cluster("c").start()
    registers().add_seat("c")
    document = registers().remove_seat("a")

    assert [seat.name for seat in document.configuration.seats] == ["b", "c", "d", "e"]
    assert document.configuration.previous == ()
    for name in ("a", "b"):
        sandbox.cluster(name).stop()
    assert registers().change(adding("more")).memory == {"words": ["kept", "more"]}
    assert registers().read().seats["a"].state == "no seat"


def test_a_seat_that_is_gone_for_good_is_not_repaired_without_a_majority(
    registers: Registers, sandbox: Sandbox
) -> None:
    registers().initialise(["a", "b", "c"])
    sandbox.cluster("b").stop()
    sandbox.cluster("c").stop()

    with pytest.raises(NoMajority):
        registers(patience=1.0).replace_seat("c", "d")


def test_a_copy_that_a_person_edited_does_not_count(registers: Registers, sandbox: Sandbox) -> None:
    registers().initialise(["a", "b", "c"], RegisterDocument(memory={"words": ["kept"]}))
    register = registers()
    file = str(sandbox.kubeconfig)
    member = Connector.from_file(file, NAMESPACE, host_context="c").host()
    found = member.get(CONFIG_MAPS, register.key)
    assert found is not None
    found["data"]["document"] = found["data"]["document"].replace("kept", "forged")
    member.replace(CONFIG_MAPS, register.key, found)

    reading = registers().read()
    registers().repair_seat("c")

    assert (reading.seats["c"].state, reading.majority) == ("lost", True)
    assert "changed by somebody else" in reading.seats["c"].why
    assert registers().read().seats["c"].state == "counts"


def test_the_look_of_a_seat_stays_through_the_writes_of_others(registers: Registers) -> None:
    registers().initialise(["a", "b", "c"])
    waiting = registers("b")
    waiting.look("aws-eu is well")

    assert waiting.write_votes() == ""
    registers("a").change(adding("x"))

    assert registers().read().seats["b"].look == "aws-eu is well"


def test_an_answer_to_an_earlier_reading_is_none_to_the_next(
    registers: Registers, sandbox: Sandbox
) -> None:
    registers().initialise(["a", "b", "c"], RegisterDocument(memory={"words": ["old"]}))
    reader = registers(patience=0.3)
    held = [
        sandbox.cluster(name).faults.add(InjectedFault("hold-after", "GET", count=1))
        for name in ("a", "b", "c")
    ]
    assert not reader.read().majority
    registers().change(adding("new"))
    for rule in held:
        assert rule.reached.is_set()
        rule.released.set()
    time.sleep(0.5)  # What was answered before the change has arrived.

    assert reader.settle().memory == {"words": ["old", "new"]}


def test_a_change_that_changes_nothing_is_one_of_what_is_there_now(registers: Registers) -> None:
    registers().initialise(["a", "b", "c"], RegisterDocument(memory={"words": ["mine"]}))
    first = registers()
    assert first.change(adding("first")).memory == {"words": ["mine", "first"]}
    registers().change(adding("second"))

    unchanged = first.change(lambda document: document)

    assert unchanged.memory == {"words": ["mine", "first", "second"]}
