"""A rollout as it is remembered: what people see of it between two runs. Pure.

Only a run looks at clusters; why one of them is not well yet, and whether a gate holds, is in its
plan. The rest is in the memory, by the rules and the clusters of the newest commit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from reconciler.federation.model import Cluster, RolloutRules, Wave
from reconciler.rollout.model import ClusterStep, RolloutCluster, RolloutView, RolloutWave
from reconciler.rollout.waves import in_its_wave, waves_of
from reconciler.rollout.words import A_PERSON, aborted, time_left, to_come_back
from reconciler.state.memory import FleetMemory, Phase, RolloutMemory, RolloutPhase

STEADY = "Steady"


def remembered_view(
    rules: RolloutRules,
    clusters: Sequence[Cluster],
    memory: FleetMemory,
    now: float,
    closed: Mapping[str, str] | None = None,
) -> RolloutView:
    """The rollout as the last run left it, at Unix time ``now``. ``closed``: cluster -> why nothing
    is written to it then."""
    rollout = memory.rollout or RolloutMemory()
    down = {name for name, one in memory.clusters.items() if one.phase is Phase.DOWN}
    found = list(waves_of(rules, clusters))
    if rollout.at_once and not rollout.promoted:
        # A run has made one wave of all of them.
        found = [(Wave("all at once"), tuple(sorted(n for _, names in found for n in names)))]
    rollout = in_its_wave(rollout, (names for _, names in found), now)
    waves = tuple(
        _wave(index, wave, names, rollout, down, closed or {}, now)
        for index, (wave, names) in enumerate(found)
    )
    # A lost memory is held without any candidate.
    idle = not rollout.candidate and rollout.phase is RolloutPhase.PROGRESSING
    return RolloutView(
        rollout.stable,
        rollout.candidate,
        STEADY if idle else str(rollout.phase),
        rollout.reason or ("" if rollout.candidate else aborted(rollout.refused)),
        rollout.began,
        rollout.wave_began,
        waves,
        rollout.waiting,
        at_once=rollout.at_once,
        progress=rollout.progress,
    )


def _wave(
    index: int,
    wave: Wave,
    names: Sequence[str],
    rollout: RolloutMemory,
    down: set[str],
    closed: Mapping[str, str],
    now: float,
) -> RolloutWave:
    state = "coming"
    if not rollout.candidate or index < rollout.wave:
        state = "done"
    elif index == rollout.wave:
        state = "current"
    found = tuple(_cluster(name, rollout, down, closed) for name in names)
    soaked = now - rollout.well if state == "current" and rollout.well else 0.0
    least = 0.0 if state == "done" else max(0.0, wave.soak - soaked)
    waits = ""
    if state == "current" and rollout.phase is RolloutPhase.PROGRESSING:
        waits = ", ".join(_waits(wave, found, rollout, least))
    gates = tuple(gate.name for gate in wave.gates)
    return RolloutWave(wave.name, state, found, wave.soak, least, waits, wave.manual, gates)


def _cluster(
    name: str, rollout: RolloutMemory, down: set[str], closed: Mapping[str, str]
) -> RolloutCluster:
    commit = rollout.commits.get(name, rollout.stable)
    here = not rollout.candidate or commit == rollout.candidate
    step = ClusterStep.WAITS
    if name in down:
        step = ClusterStep.DOWN
    elif here and (not rollout.candidate or name in rollout.arrived):
        step = ClusterStep.WELL
    elif here:
        step = ClusterStep.BEGUN
    going = step in (ClusterStep.WAITS, ClusterStep.BEGUN)
    return RolloutCluster(name, commit, step, closed.get(name, "") if going else "")


def _waits(
    wave: Wave, clusters: Sequence[RolloutCluster], rollout: RolloutMemory, least: float
) -> Iterator[str]:
    if rollout.promoted:
        yield "the next run, which promotes it"
        return
    if clusters and all(one.step is ClusterStep.DOWN for one in clusters):
        yield to_come_back([one.name for one in clusters])
        return
    on_their_way = [one.name for one in clusters if one.step is ClusterStep.BEGUN]
    not_begun = [one for one in clusters if one.step is ClusterStep.WAITS]
    if on_their_way:
        yield f"{', '.join(on_their_way)} to become well"
    if not_begun:
        shut = next((one for one in not_begun if one.why), None)
        is_open = [one.name for one in not_begun if not one.why]
        if is_open:
            yield f"{', '.join(is_open)} to begin"
        elif shut and not on_their_way:
            yield f"{shut.name}, which {shut.why}"
    if on_their_way or not_begun:
        return
    if least:
        yield f"soak ({time_left(least)})"
    if wave.gates:
        yield f"its gates ({', '.join(gate.name for gate in wave.gates)})"
    if wave.manual:
        yield A_PERSON
