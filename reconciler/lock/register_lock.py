"""The lock's record in the register of the seats: held by whom a majority of them says."""

from __future__ import annotations

from msgspec import convert, to_builtins
from msgspec.structs import replace

from reconciler.api.errors import ReconcileError
from reconciler.api.objects import read_in_threads
from reconciler.lock.lease import LeaseRecord
from reconciler.seats.document import RegisterDocument
from reconciler.seats.register import Register

read_in_threads(LeaseRecord)


class _Changed(Exception):
    """The record is another one by now."""


class RegisterRecords:
    """The records of a ``Lease`` in a register."""

    def __init__(self, register: Register) -> None:
        self._register = register

    @property
    def where(self) -> str:
        return self._register.where

    def read(self) -> LeaseRecord | None:
        return lock_record(self._register.latest())

    def write(self, before: LeaseRecord | None, after: LeaseRecord) -> bool:
        def swapped(document: RegisterDocument) -> RegisterDocument:
            found = lock_record(document)
            if found == after:
                return document
            if found != before:
                raise _Changed
            return replace(document, lock=to_builtins(after))

        try:
            self._register.change(swapped)
        except _Changed:
            return False
        return True

    def advice(self, error: ReconcileError) -> str:
        return error.hint


def lock_record(document: RegisterDocument) -> LeaseRecord | None:
    """Who holds the lock by this document; None: nobody has ever held it."""
    return convert(document.lock, LeaseRecord) if document.lock else None
