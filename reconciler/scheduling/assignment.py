"""The scheduler's answer: which cluster runs what, and how much of it."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from reconciler.objects import ObjectKey


class Assignment(Struct, frozen=True):
    """Where one workload goes.

    ``replicas`` maps each chosen cluster (in name order) to its replica count, or to None where
    the template's own count stands. A chosen cluster may have 0. ``left_out`` says why clusters
    that could have been chosen were not (``cluster -> reason``). ``shortfall`` counts replicas
    that fit nowhere. ``spare`` are clusters that may run it and have no part in it now. ``leaving``
    are those of ``replicas`` that it is to leave once it is ready elsewhere.
    """

    workload: ObjectKey
    replicas: Mapping[str, int | None]
    placed_by: str = ""
    left_out: Mapping[str, str] = field(default_factory=dict)
    shortfall: int = 0
    spare: tuple[str, ...] = ()
    leaving: frozenset[str] = frozenset()
    warnings: tuple[str, ...] = ()
