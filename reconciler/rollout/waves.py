"""The waves of a rollout: which clusters are in which, and how they go through it."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence

from msgspec.structs import replace

from reconciler.federation.model import Cluster, Gate, RolloutRules, StricterRollout, Wave
from reconciler.federation.rollout_rules import REST, named_or_selected
from reconciler.state.memory import RolloutMemory

_DIGITS = 9
"""Of a share times a count: 7% of 100 are 7, whatever binary fractions say."""


def waves_of(
    rules: RolloutRules, clusters: Sequence[Cluster]
) -> tuple[tuple[Wave, tuple[str, ...]], ...]:
    """Every wave in order, with the sorted names of its clusters: each cluster in just one.

    Those in no wave form the last one; it is there where the rules have it, or it has clusters.
    A wave of the rules is there in any case, so that its index stays while clusters come and go;
    one without clusters has nothing to wait for.
    """
    left = {cluster.name: cluster for cluster in clusters}
    found = []
    for wave in rules.waves:
        names = left if wave.is_rest else named_or_selected(wave, tuple(left.values()))
        found.append((wave, tuple(sorted(names))))
        left = {name: one for name, one in left.items() if name not in names}
    if left:
        found.append((REST, tuple(sorted(left))))
    return tuple(found)


def in_its_wave(
    memory: RolloutMemory, waves: Iterable[Collection[str]], now: float
) -> RolloutMemory:
    """The rules, or who is in which wave, may have changed since: a candidate is in the first wave
    of which it has not left all clusters, whatever that wave's index was.

    What a person promoted was the wave that it was in then, and none that came in front of it.
    """
    if not memory.candidate:
        return memory
    passed, every = frozenset(memory.passed), list(waves)
    wave = next((n for n, names in enumerate(every) if not passed.issuperset(names)), len(every))
    if wave == memory.wave:
        return memory
    promoted = memory.promoted and memory.at_once
    return replace(memory, wave=wave, wave_began=now, well=0.0, promoted=promoted)


def limit(wave: Wave, count: int, stricter: Iterable[StricterRollout] = ()) -> int:
    """How many of the ``count`` clusters of a wave may be on their way at once; 1 at least.

    ``stricter`` are the Placements' of what changes there. A share is rounded up.
    """
    return max(1, min(count, *(_most(rule, count) for rule in _with(wave, stricter))))


def soak_of(wave: Wave, stricter: Iterable[StricterRollout] = ()) -> float:
    """For how many seconds all clusters of a wave must stay well."""
    return max(rule.soak for rule in _with(wave, stricter))


def is_manual(wave: Wave, stricter: Iterable[StricterRollout] = ()) -> bool:
    """Whether a wave waits for a person."""
    return any(rule.manual for rule in _with(wave, stricter))


def gates_of(wave: Wave, stricter: Iterable[StricterRollout] = ()) -> tuple[Gate, ...]:
    """What must be answered well before a wave is left, each gate once."""
    return tuple(dict.fromkeys(gate for rule in _with(wave, stricter) for gate in rule.gates))


def _with(wave: Wave, stricter: Iterable[StricterRollout]) -> tuple[Wave | StricterRollout, ...]:
    return (wave, *stricter)


def _most(rule: Wave | StricterRollout, count: int) -> int:
    if rule.max_concurrent is None:
        return count
    if rule.is_share:
        return math.ceil(round(rule.max_concurrent * count, _DIGITS))
    return int(rule.max_concurrent)
