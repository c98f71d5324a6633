"""What one pod decides for all pods of a round, as bytes. Pure."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import orjson
from msgspec import Struct, ValidationError, convert, to_builtins
from msgspec.structs import replace

from reconciler.api.errors import ReconcileError
from reconciler.api.moves import Move
from reconciler.api.objects import ObjectKey, read_in_threads
from reconciler.failover.cluster_health import Absence
from reconciler.scheduler.model import Assignment, Bounds
from reconciler.shard.decision import FleetDecision
from reconciler.state.memory import RolloutMemory

VERSION = 5
MAX_INFLATED = 64 * 1024 * 1024


def encode_decision(decision: FleetDecision, usual: Sequence[Assignment]) -> bytes:
    """Only what differs from ``usual``, which every pod can tell from Git alone."""
    same = {assignment.workload: assignment for assignment in usual}
    document = {
        "version": VERSION,
        "commit": decision.commit,
        "assignments": [
            [
                list(a.workload),
                dict(a.replicas),
                a.shortfall,
                sorted(a.leaving),
                sorted(a.as_stable),
                dict(a.bounds),
            ]
            for a in decision.assignments
            if _compared(a) != _compared(same[a.workload])
        ],
        "leftAlone": {n: [why.reason, why.down] for n, why in decision.left_alone.items()},
        "lost": sorted(decision.lost),
        "moves": to_builtins(decision.moves),
        "unconfirmed": sorted(decision.unconfirmed),
        "down": dict(decision.down),
        "tainted": {name: dict(ages) for name, ages in decision.tainted.items()},
        "rollout": to_builtins(decision.rollout),
    }
    return zlib.compress(orjson.dumps(document, option=orjson.OPT_SORT_KEYS))


class _Written(Struct, frozen=True, rename="camel"):
    """The document, decoded; of each assignment: workload, replicas, shortfall, leaving,
    as_stable, bounds."""

    commit: str
    assignments: tuple[
        tuple[
            ObjectKey,
            dict[str, int | None],
            int,
            frozenset[str],
            frozenset[str],
            dict[str, Bounds],
        ],
        ...,
    ]
    left_alone: dict[str, tuple[str, bool]]
    lost: frozenset[str]
    moves: tuple[Move, ...]
    unconfirmed: frozenset[str]
    tainted: dict[str, dict[str, float]]
    down: dict[str, str]
    rollout: RolloutMemory | None


# Pods are processes of their own, but for tests.
read_in_threads(_Written)


def told_rollout(data: bytes) -> RolloutMemory | None:
    """Which cluster is on which commit. Raises ReconcileError for what no pod writes."""
    return _written(data).rollout


def commit_of(data: bytes) -> str:
    """The commit that was decided upon. Raises ReconcileError for what no pod writes."""
    return _written(data).commit


def decode_decision(data: bytes, usual: Sequence[Assignment]) -> FleetDecision:
    """The inverse of ``encode_decision``, with the same ``usual``. Raises ReconcileError."""
    written = _written(data)
    changed = {workload: told for workload, *told in written.assignments}
    return FleetDecision(
        written.commit,
        tuple(
            replace(a, **dict(zip(_TOLD, changed[a.workload], strict=True)))
            if a.workload in changed
            else a
            for a in usual
        ),
        {name: Absence(reason, down) for name, (reason, down) in written.left_alone.items()},
        written.lost,
        written.moves,
        written.unconfirmed,
        written.tainted,
        written.down,
        written.rollout,
    )


_TOLD = ("replicas", "shortfall", "leaving", "as_stable", "bounds")


def _compared(assignment: Assignment) -> tuple[Any, ...]:
    return tuple(getattr(assignment, name) for name in _TOLD)


def _written(data: bytes) -> _Written:
    inflate = zlib.decompressobj()
    try:
        document = orjson.loads(inflate.decompress(data, MAX_INFLATED))
    except (zlib.error, orjson.JSONDecodeError) as error:
        raise _unreadable(f"not what a pod writes: {error}") from None
    if not isinstance(document, dict) or document.get("version") != VERSION:
        raise _unreadable("written by another version")
    try:
        return convert(document, _Written)
    except ValidationError as error:
        raise _unreadable(f"a part of it is not as it should be: {error}") from None


def _unreadable(why: str) -> ReconcileError:
    text = "what was decided in this round cannot be read"
    return ReconcileError(
        f"{text}: {why}", hint="all pods of a Job must run the same version", subject=text
    )
