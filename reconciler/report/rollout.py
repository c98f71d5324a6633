"""How far a commit has come, in the words that every report uses. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from msgspec import Struct

from reconciler.report.grouping import few_names
from reconciler.report.wording import PAST, plural
from reconciler.rollout.model import (
    ClusterStep,
    RolloutCluster,
    RolloutEvent,
    RolloutView,
    RolloutWave,
)
from reconciler.rollout.words import A_PERSON, duration, short_commit, wave_name

FAILED, HELD, STEADY = "Failed", "Held", "Steady"
TROUBLE = frozenset({RolloutEvent.FAILED, RolloutEvent.RETURNED})
"""What somebody should look at."""

_STEPS = {
    ClusterStep.WELL: "well",
    ClusterStep.BEGUN: "not well yet",
    ClusterStep.WAITS: "waits",
    ClusterStep.DOWN: "down, does not count",
}
_NEXT = {
    HELD: "Next: reconcile rollout resume, if what it is held for no longer holds",
    FAILED: "Next: commit a fix or a git revert; or reconcile rollout resume | promote | abort",
}


class WaveLines(Struct, frozen=True):
    """A wave for people. ``lines`` are (clusters, what is said of all of them)."""

    title: str
    state: str
    status: str
    lines: tuple[tuple[str, str], ...]


def headline(view: RolloutView) -> str:
    """``Rollout of 3f2c1ab (stable 9be01d2): wave 2 of 3 "eu", waits for soak (12 min left)``."""
    if not view.candidate:
        if view.phase == HELD:
            return f"Rollouts are held: {view.reason}"
        if not view.stable:
            return "Nothing is remembered of rollouts: the next run finds each cluster's commit"
        stable = short_commit(view.stable)
        why = f"; {view.reason}" if view.reason else ""
        return f"No rollout is on its way; every cluster is on {stable}, or about to be{why}"
    name = f"Rollout of {short_commit(view.candidate)} (stable {short_commit(view.stable)})"
    found = current_wave(view)
    where = wave_name(found[0], len(view.waves), found[1].name) if found else "at its end"
    why = f": {view.reason}" if view.reason else ""
    if view.phase == HELD:
        return f"{name} is held in {where}{why}"
    if view.phase == FAILED:
        # Its reason begins with the wave.
        return f"{name} has failed in {view.reason or where}"
    if view.complete:
        return f"{name}: {road_length(view)}"
    if view.at_once:
        return f"{name}: reaches all clusters at once, as a person let it"
    waits = waits_text(found[1]) if found else ""
    return f"{name}: {where}" + (f", {waits}" if waits else "")


def waits_text(wave: RolloutWave) -> str:
    """``waits for soak (12 min left)``; empty where it waits for nothing."""
    if not wave.waits:
        return ""
    return f"waits {wave.waits}" if wave.waits.startswith("to ") else f"waits for {wave.waits}"


def current_wave(view: RolloutView) -> tuple[int, RolloutWave] | None:
    """(its index, the wave) that the candidate is in; None where it is in none."""
    for index, wave in enumerate(view.waves):
        if wave.state == "current":
            return index, wave
    return None


def cluster_waves(view: RolloutView | None) -> dict[str, tuple[RolloutWave, RolloutCluster]]:
    """Cluster -> its wave, and how it is there."""
    if view is None:
        return {}
    return {one.name: (wave, one) for wave in view.waves for one in wave.clusters}


def stages(view: RolloutView, *, every_name: bool = False) -> Iterator[WaveLines]:
    """The waves in order; clusters of which the same is to be said are told together."""
    for index, wave in enumerate(view.waves):
        title = f"{index + 1} {wave.name}"
        yield WaveLines(title, wave.state, stage_status(view, wave), _lines(wave, every_name))


def stage_status(view: RolloutView, wave: RolloutWave) -> str:
    """``done``, ``held``, ``failed``, ``now, takes at least 10 min``, ``to come, gates errors``."""
    if not view.candidate:
        return ""
    if wave.state == "done":
        return "done"
    if wave.state == "current" and view.phase in (HELD, FAILED):
        return view.phase.lower()
    return ", ".join(["now" if wave.state == "current" else "to come", *_conditions(wave)])


def _conditions(wave: RolloutWave) -> Iterator[str]:
    if wave.least:
        yield f"takes at least {duration(wave.least)}"
    if wave.gates:
        yield f"gates {', '.join(wave.gates)}"
    if wave.manual:
        yield "a person promotes it"


def _lines(wave: RolloutWave, every_name: bool) -> tuple[tuple[str, str], ...]:
    pairs = sorted(
        (list(_STEPS).index(one.step), cluster_text(one), one.name) for one in wave.clusters
    )
    return tuple(
        (_names([name for *_, name in same], every_name), text)
        for (_, text), same in groupby(pairs, key=lambda one: one[:2])
    )


def _names(names: Sequence[str], every_name: bool) -> str:
    return ", ".join(names) if every_name else few_names(names)


def cluster_text(one: RolloutCluster) -> str:
    """``on 3f2c1ab, not well yet: Deployment shop/web: 1 of 3 ready; 3 to create``."""
    how, why = _STEPS[one.step], one.why
    # What is closed "waits until ..." itself.
    said = why if why.startswith(how) else f"{how}: {why}" if why else how
    text = f"on {short_commit(one.commit)}, {said}"
    changes = changes_text(one)
    return f"{text}; {changes}" if changes else text


def changes_text(one: RolloutCluster) -> str:
    """``3 to create, 1 to update, 1 refused``: what the candidate would change there."""
    order = [str(action) for action in PAST]
    known = [f"{one.changes[a]} to {a}" for a in order if one.changes.get(a)]
    others = [f"{n} {a}" for a, n in sorted(one.changes.items()) if n and a not in order]
    return ", ".join([*known, *others])


def road_length(view: RolloutView) -> str:
    """``at least 42 min until every cluster has it, and 1 wave waits for a person``."""
    left = [wave for wave in view.waves if wave.state != "done"]
    least = sum(wave.least for wave in left)
    text = f"at least {duration(least)} until every cluster has it" if least else ""
    asked = sum(wave.manual for wave in left)
    gated = sum(bool(wave.gates) for wave in left)
    rest = [
        f"{plural(asked, 'wave')} {'wait' if asked > 1 else 'waits'} for a person" * bool(asked),
        f"{plural(gated, 'wave')} {'have' if gated > 1 else 'has'} gates" * bool(gated),
    ]
    return ", ".join(filter(None, [text, *rest])) or f"{plural(len(left), 'wave')} to go"


def road_end(view: RolloutView) -> Iterator[str]:
    """What is to be known below the waves: how long at least, what waits, the next command."""
    if view.candidate and view.phase not in (HELD, FAILED) and not view.complete:
        yield f"{_sentence(road_length(view))}."
    if view.waiting:
        waiting = few_names([short_commit(one) for one in view.waiting])
        yield f"Newer commits that wait until it ends: {waiting}."
    if following := _NEXT.get(view.phase):
        yield following
    elif (found := current_wave(view)) and A_PERSON in found[1].waits:
        yield "Next: reconcile rollout promote"


def is_told(view: RolloutView | None) -> bool:
    """Whether there is more to say of it than that every cluster is on one commit."""
    return view is not None and bool(
        view.candidate or view.events or view.reason or view.phase == HELD
    )


def happenings(view: RolloutView) -> list[str]:
    """What this run brings, in sentences; of the end of the road nothing."""
    return [] if view.complete else [f"This run: {text}" for _, text in view.events]


def warnings_of(view: RolloutView) -> Iterator[tuple[str, bool]]:
    """(what must be known before the rest is read, whether it is grave)."""
    if view.at_once:
        proven = (ClusterStep.WELL, ClusterStep.DOWN)
        count = sum(one.step not in proven for _, one in cluster_waves(view).values())
        text = f"a person lets {short_commit(view.candidate)} reach all clusters at once"
        yield text + (f", {count} of them before it is proven" if count else ""), True
    elif view.phase in (HELD, FAILED):
        yield headline(view), view.phase == FAILED


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
