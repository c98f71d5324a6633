"""The fleet's memory in the register of the seats, how it moves there from one host, and back."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import orjson
from msgspec.structs import replace

from reconciler.api.errors import MemoryChanged
from reconciler.seats.document import RegisterDocument
from reconciler.seats.register import Register
from reconciler.state.memory import DamagedMemory, FleetMemory, decode_memory, encode_memory
from reconciler.state.stores import ConfigMapStore, Remembered

HolderCheck = Callable[[RegisterDocument], bool]
"""Whether the lock of a document is still this run's."""


class RegisterStore:
    """A ``MemoryStore``. With ``held`` nothing is written once the lock is another run's."""

    def __init__(self, register: Register, held: HolderCheck | None = None) -> None:
        self._register = register
        self._held = held

    @property
    def where(self) -> str:
        return self._register.where

    def read(self) -> Remembered:
        # While this run holds the lock nobody else changes it, and a change is refused below.
        return remembered_in(self._register.chosen or self._register.latest(), self.where)

    def write(self, memory: FleetMemory, version: str) -> str:
        encoded = orjson.loads(encode_memory(memory))

        def changed(document: RegisterDocument) -> RegisterDocument:
            if document.memory == encoded:
                return document
            if _digest(document) != version:
                raise MemoryChanged(f"{self.where} was changed by another run")
            if self._held is not None and not self._held(document):
                raise MemoryChanged(f"another run took the lock over ({self.where})")
            return replace(document, memory=encoded)

        return _digest(self._register.change(changed))

    def namesakes(self) -> tuple[str, ...]:
        """None: a Federation of another name finds no register, and the run ends."""
        return ()


def remembered_in(document: RegisterDocument, where: str) -> Remembered:
    """The memory that a document holds; a damaged one counts as empty."""
    if not document.memory:
        return Remembered(FleetMemory())
    try:
        return Remembered(decode_memory(orjson.dumps(document.memory)), _digest(document))
    except DamagedMemory as error:
        return Remembered(FleetMemory(), _digest(document), f"{where} is damaged: {error}")


def _digest(document: RegisterDocument) -> str:
    """Stands for the memory alone: renewals of the lock do not change it."""
    if not document.memory:
        return ""
    text = orjson.dumps(document.memory, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(text).hexdigest()


# -- from one host to seats, and back --------------------------------------------------------------


def take_over_memory(
    store: ConfigMapStore, register: Register, seats: tuple[str, ...]
) -> RegisterDocument:
    """Make the register with what the ConfigMap remembers; call it while its Lease is held.

    The ConfigMap is marked first: no run changes it any more, whenever this ends half way. Safe to
    repeat. Raises ReconcileError.
    """
    memory = store.move_to(seats)
    first = RegisterDocument(memory=orjson.loads(encode_memory(memory)) if memory else {})
    return register.initialise(seats, first)


def give_back_memory(register: Register, store: ConfigMapStore) -> RegisterDocument:
    """Dissolve the register and let the ConfigMap have its memory; call it while the register's
    lock is held, or it is dissolved. Safe to repeat. Raises ReconcileError."""
    reading = register.read()
    document = reading.document
    if document is None or not document.dissolved or not reading.settled:
        document = register.dissolve()
    store.move_back(remembered_in(document, register.where).memory)
    return document
