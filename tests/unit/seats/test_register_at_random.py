"""Many proposers at one register whose seats answer late, or too late: what each sees is in order.

The seats are in memory, so some thousand operations fit into seconds. Each document has a version:
whoever asks after another was answered must see that version or a later one.
"""

from __future__ import annotations

import copy
import itertools
import random
import threading
import time
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from msgspec.structs import replace

from reconciler.api.errors import ClusterUnreachable, Conflict, ReconcileError
from reconciler.cluster.client import Member
from reconciler.seats.document import RegisterDocument
from reconciler.seats.register import Register

NAMES = ("a", "b", "c")
SECONDS = 4.0
PATIENCE = 0.04


@dataclass
class SeatInMemory:
    """One object that compares and swaps at once, and answers later: mostly soon, sometimes so late
    that the proposer no longer waits for a majority."""

    chance: random.Random
    quiet: bool = True
    stored: dict[str, Any] | None = None
    versions: Any = field(default_factory=lambda: itertools.count(1))
    lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, *_: object, timeout: float) -> dict[str, Any] | None:
        self._travel(timeout)
        with self.lock:
            found = copy.deepcopy(self.stored)
        self._travel(timeout)
        return found

    def create(
        self, _: object, body: dict[str, Any], *, namespace: str, timeout: float
    ) -> dict[str, Any]:
        del namespace, timeout
        with self.lock:
            return self._store(body, uid="1")

    def replace(
        self, _: object, __: object, body: dict[str, Any], *, timeout: float
    ) -> dict[str, Any]:
        self._travel(timeout)
        with self.lock:
            assert self.stored is not None
            now, wanted = self.stored["metadata"], body["metadata"]
            if now["resourceVersion"] != wanted.get("resourceVersion", now["resourceVersion"]):
                raise Conflict("seat", "somebody was quicker", code=409)
            stored = self._store(body, uid=now["uid"])
        self._travel(timeout)
        return stored

    def _store(self, body: dict[str, Any], uid: str) -> dict[str, Any]:
        metadata = {**body["metadata"], "uid": uid, "resourceVersion": str(next(self.versions))}
        self.stored = {**copy.deepcopy(body), "metadata": metadata}
        return copy.deepcopy(self.stored)

    def _travel(self, timeout: float) -> None:
        if self.quiet:
            return
        slow = self.chance.random() < 0.04
        time.sleep(min(timeout, self.chance.uniform(0.03, 0.15) if slow else 0.0005))
        if self.chance.random() < 0.005:
            raise ClusterUnreachable("seat", "no answer", cause="timeout")


@dataclass(frozen=True)
class Seen:
    called: float
    returned: float
    version: int
    changed: bool


@pytest.mark.parametrize("seed", range(2))
def test_nobody_sees_less_than_others_have_seen_before(seed: int) -> None:
    seats = {name: SeatInMemory(random.Random(f"{seed} {name}")) for name in NAMES}
    members = cast("dict[str, Member]", seats)
    Register(members, "system", "shop").initialise(NAMES, RegisterDocument(memory={"n": 0}))
    for seat in seats.values():
        seat.quiet = False
    seen: list[Seen] = []
    unknown = itertools.count()
    ends = time.monotonic() + SECONDS

    def work(number: int) -> None:
        chance = random.Random(f"{seed} {number}")
        register = Register(members, "system", "shop", patience=PATIENCE, request_seconds=0.3)
        while time.monotonic() < ends:
            time.sleep(chance.uniform(0.0, 0.02))
            changes = chance.random() < 0.5
            called = time.monotonic()
            try:
                if changes:
                    document = register.change(
                        lambda d: replace(d, memory={"n": d.memory["n"] + 1, "by": number})
                    )
                elif chance.random() < 0.5:
                    document = register.settle()
                else:
                    document = register.change(lambda d: d)
            except ReconcileError:
                next(unknown)
                continue
            seen.append(Seen(called, time.monotonic(), document.version, changes))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(seen) > 100
    assert next(unknown) > 10
    by_return = sorted(seen, key=lambda one: one.returned)
    for one in seen:
        before = [other for other in by_return if other.returned < one.called]
        floor = max((other.version for other in before), default=0)
        assert one.version >= floor, f"{one} began after version {floor} was seen"
        if one.changed:
            assert one.version > floor
