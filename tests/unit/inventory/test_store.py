"""Records that are spread over several Secrets: only those with other rows are made anew."""

from __future__ import annotations

import base64
import random
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from kubesim.fleet import Sandbox
from reconciler.api.objects import ObjectKey
from reconciler.cluster.client import Member
from reconciler.cluster.connect import Connector
from reconciler.inventory import store
from reconciler.inventory.records import AppliedRecord, decode_rows, encode_rows
from reconciler.inventory.store import SECRETS, Inventory, read_inventory, write_inventory

NAMESPACE = "federation-system"
Rows = Mapping[ObjectKey, AppliedRecord]


class Interrupted(Exception):
    """The run was killed."""


@pytest.fixture
def member() -> Iterator[Member]:
    with Sandbox(["host"]) as sandbox:
        yield Connector.from_file(str(sandbox.kubeconfig), NAMESPACE).host()


@pytest.fixture(autouse=True)
def small_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "ROWS_PER_SECRET", 4)


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[Rows]:
    """What was made anew, Secret by Secret."""
    found: list[Rows] = []

    def encode(rows: Rows) -> bytes:
        found.append(rows)
        return encode_rows(rows)

    monkeypatch.setattr(store, "encode_rows", encode)
    return found


def rows_of(numbers: Mapping[int, int]) -> Rows:
    """An object for each number, with its other number as the digest of what was applied."""
    return {
        ObjectKey("", "ConfigMap", "shop", f"object-{name}"): AppliedRecord(str(digest), "E", "V")
        for name, digest in numbers.items()
    }


def read(member: Member) -> Inventory:
    return read_inventory(member, "shop", NAMESPACE)


def write(member: Member, inventory: Inventory, rows: Rows) -> Inventory:
    same: dict[str, Any] = {"ran": {}, "group_kinds": (), "resources": {}, "new_fields": {}}
    return write_inventory(member, inventory, rows=rows, **same, commit="")


def held_rows(inventory: Inventory) -> dict[str, Rows]:
    """The rows of each Secret."""
    return {
        name: decode_rows(base64.b64decode(secret["data"]["records"]))
        for name, secret in inventory.secrets.items()
    }


def assert_is_spread(inventory: Inventory, rows: Rows) -> None:
    """Each row is in one Secret, and in that where the next write looks for it."""
    held = held_rows(inventory)
    for name, part in held.items():
        index = 0 if name == inventory.parent_name else int(name.rpartition("-")[2])
        assert {store._shard(key, len(held)) for key in part} <= {index}
    assert {key: row for part in held.values() for key, row in part.items()} == rows


def test_one_changed_row_makes_one_secret_anew(member: Member, encoded: list[Rows]) -> None:
    numbers = dict.fromkeys(range(40), 1)
    inventory = write(member, read(member), rows_of(numbers))
    assert len(inventory.secrets) == 11
    for again in (False, True):
        known = read(member) if again else inventory
        encoded.clear()
        numbers[7] += 1
        changed = write(member, known, rows_of(numbers))
        (part,) = encoded
        assert ObjectKey("", "ConfigMap", "shop", "object-7") in part
        same = [n for n, secret in changed.secrets.items() if secret is known.secrets[n]]
        assert len(same) == 10
        assert_is_spread(read(member), rows_of(numbers))


@pytest.mark.parametrize("seed", range(8))
def test_whatever_is_written_and_wherever_a_run_was_killed_is_read_again(
    member: Member, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    chance = random.Random(seed)
    numbers: dict[int, int] = {}
    inventory, put, spread = read(member), store._put, set()
    for _ in range(25):
        change = chance.choice(["grow", "edit", "shrink"])
        if change == "grow":
            numbers |= {chance.randrange(60): 1 for _ in range(chance.randrange(12))}
        for name in chance.sample(sorted(numbers), len(numbers) // 4):
            if change == "edit":
                numbers[name] += 1
            elif change == "shrink":
                del numbers[name]
        left = chance.choice([1, 2, 3, 1000, 1000])

        def perhaps_killed(*given: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                raise Interrupted
            return put(*given)

        monkeypatch.setattr(store, "_put", perhaps_killed)
        try:
            inventory = write(member, inventory, rows_of(numbers))
        except Interrupted:
            monkeypatch.setattr(store, "_put", put)
            inventory = write(member, read(member), rows_of(numbers))
        if chance.random() < 0.3:
            inventory = read(member)
        assert_is_spread(read(member), rows_of(numbers))
        spread.add(len(inventory.secrets))
    assert len(spread) > 2


def test_a_secret_that_cannot_be_read_is_made_anew(member: Member, encoded: list[Rows]) -> None:
    rows = rows_of(dict.fromkeys(range(43), 1))
    inventory = write(member, read(member), rows)
    held = held_rows(inventory)
    name = min(held, key=lambda name: len(held[name]))
    lost = held[name]
    assert 0 < len(lost) <= 3
    key = ObjectKey("", "Secret", NAMESPACE, name)
    secret = inventory.secrets[name]
    member.replace(SECRETS, key, {**secret, "data": {**secret["data"], "records": "AAAA"}})
    damaged = read(member)
    assert damaged.damaged
    rest = {k: row for k, row in rows.items() if k not in lost}
    encoded.clear()
    assert_is_spread(write(member, damaged, rest), rest)
    assert len(encoded) == len(inventory.secrets) == len(held)
    assert not read(member).damaged


def test_secrets_of_an_older_version_are_made_anew_once(
    member: Member, encoded: list[Rows]
) -> None:
    rows = rows_of(dict.fromkeys(range(40), 1))
    for name, secret in write(member, read(member), rows).secrets.items():
        data = {k: v for k, v in secret["data"].items() if k != "shards"}
        member.replace(SECRETS, ObjectKey("", "Secret", NAMESPACE, name), {**secret, "data": data})
    encoded.clear()
    inventory = write(member, read(member), rows)
    assert len(encoded) == len(inventory.secrets)
    encoded.clear()
    write(member, inventory, rows)
    assert encoded == []
