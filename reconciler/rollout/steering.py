"""What a person may tell a rollout: promote, hold, resume, abort. Pure.

Each gives the memory that the next run finds, and says what that run will do. Nothing is written
into a cluster before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from reconciler.api.errors import ReconcileError
from reconciler.api.objects import first_few
from reconciler.rollout.waves import in_its_wave
from reconciler.rollout.words import short_commit, wave_name
from reconciler.state.memory import FleetMemory, Phase, RolloutMemory, RolloutPhase

Waves = Sequence[tuple[str, Sequence[str]]]
"""(name, its clusters) of each wave in order."""

SEE = "reconcile rollout shows where it is"
_SHOWN = 6


class Steered(Struct, frozen=True):
    """``memory`` is what to remember, ``says`` what the next run will do."""

    memory: FleetMemory
    says: str


class CannotSteer(ReconcileError):
    """What was asked for makes no sense for the rollout as it is."""


def hold(memory: FleetMemory, waves: Waves, reason: str, now: float) -> Steered:
    """No further cluster begins until somebody resumes. Raises CannotSteer."""
    rollout = _on_its_way(memory, "hold", waves, now)
    if rollout.phase is RolloutPhase.FAILED:
        raise CannotSteer(
            f"{_name(rollout)} has failed, and does not go on by itself: {rollout.reason}",
            hint="reconcile rollout resume tries again, promote leaves the wave, abort goes back",
        )
    held = replace(
        rollout,
        phase=RolloutPhase.HELD,
        reason=reason or "a person holds it",
        promoted=False,
        at_once=False,
        progress=now,
    )
    on_it = sorted(name for name, commit in rollout.commits.items() if commit == rollout.candidate)
    keep = f"{_list(on_it)} {'keeps' if len(on_it) == 1 else 'keep'} it" if on_it else "none has it"
    where = _wave(rollout, waves)
    return _steered(
        memory,
        held,
        f"{_name(rollout)} is held in {where}. The next run begins it in no further cluster; "
        f"{keep}. It goes on with `reconcile rollout resume`.",
    )


def resume(memory: FleetMemory, waves: Waves, now: float) -> Steered:
    """What is held or has failed goes on in its wave, with a new deadline. Raises CannotSteer."""
    rollout = memory.rollout
    if rollout is None or rollout.candidate or rollout.phase is not RolloutPhase.HELD:
        rollout = _on_its_way(memory, "resume", waves, now)
    if rollout.phase is RolloutPhase.PROGRESSING:
        raise CannotSteer(f"{_name(rollout)} is not held: it goes on by itself", hint=SEE)
    resumed = replace(rollout, phase=RolloutPhase.PROGRESSING, reason="", progress=now)
    if not rollout.candidate:
        says = "Rollouts go on: the next run begins the newest commit in the first wave."
    else:
        says = (
            f"{_name(rollout)} goes on: the next run tries {_wave(rollout, waves)} again, and its "
            "progress deadline begins anew."
        )
    return _steered(memory, resumed, says)


def promote(
    memory: FleetMemory,
    waves: Waves,
    now: float,
    *,
    at_once: bool = False,
    closed: Mapping[str, str] | None = None,
) -> Steered:
    """The next run leaves the wave without waiting; ``at_once``: and all the others with it.

    Also out of a failure; not while it is held, as whoever holds it has a reason. ``closed``:
    cluster -> why nothing is written to it now. Raises CannotSteer.
    """
    rollout = _on_its_way(memory, "promote", waves, now)
    if rollout.phase is RolloutPhase.HELD:
        raise CannotSteer(
            f"{_name(rollout)} is held: {rollout.reason}",
            hint="if that no longer holds: reconcile rollout resume, then promote",
        )
    if rollout.at_once and not at_once:
        raise CannotSteer(
            f"{_name(rollout)} reaches all clusters at once: there is no wave to leave",
            hint="commit a fix or a git revert; or reconcile rollout abort",
        )
    promoted = replace(
        rollout,
        phase=RolloutPhase.PROGRESSING,
        reason="",
        progress=now,
        promoted=True,
        at_once=at_once,
    )
    left = remaining(memory, waves)
    here = waves[rollout.wave][1] if rollout.wave < len(waves) else ()
    # What is closed in the wave that is left has the commit as soon as it opens.
    late = [name for name in here if name in left]
    if at_once:
        what = f"{_list(left)} at once" if left else "no further cluster, as all have it"
        says = f"{_name(rollout)} reaches all clusters: the next run gives it to {what}."
        says += _later(left, memory, closed or {})
    elif rollout.wave + 1 < len(waves):
        name, clusters = waves[rollout.wave + 1]
        begins = wave_name(rollout.wave + 1, len(waves), name)
        says = (
            f"{_name(rollout)} is promoted: the next run leaves {_wave(rollout, waves)} without "
            f"waiting for soak, gates or what is not well there, and begins {begins} "
            f"({_list(clusters) if clusters else 'no cluster'})."
        )
        says += _later([*late, *clusters], memory, closed or {})
    else:
        says = (
            f"{_name(rollout)} is promoted: the next run leaves the last wave without waiting, "
            f"and {short_commit(rollout.candidate)} becomes the stable commit."
        )
        says += _later(late, memory, closed or {})
    return _steered(memory, promoted, says)


def abort(memory: FleetMemory, *, closed: Mapping[str, str] | None = None) -> Steered:
    """Every cluster goes back to the stable commit; the candidate never begins by itself again.

    ``closed`` as for ``promote``. Raises CannotSteer.
    """
    rollout = _on_its_way(memory, "abort")
    if not rollout.stable:
        raise CannotSteer(
            f"{_name(rollout)} cannot be aborted: no stable commit is known to go back to",
            hint="commit a fix or a git revert, which replaces it; or reconcile rollout hold",
        )
    back = sorted(name for name, commit in rollout.commits.items() if commit != rollout.stable)
    stable = short_commit(rollout.stable)
    aborted = RolloutMemory(
        stable=rollout.stable, refused=rollout.candidate, waiting=rollout.waiting
    )
    says = f"{_name(rollout)} is aborted: " + (
        f"the next run brings {_list(back)} back to {stable}."
        if back
        else f"no cluster had it yet, and all stay on {stable}."
    )
    says += _later(back, memory, closed or {})
    if rollout.waiting:
        says += f" {short_commit(rollout.waiting[-1])}, which waits, may begin in the next run."
    else:
        says += " It does not begin again; the next commit does."
    return _steered(memory, aborted, says)


def remaining(memory: FleetMemory, waves: Waves) -> tuple[str, ...]:
    """The clusters that are not on the candidate yet, by name."""
    rollout = memory.rollout or RolloutMemory()
    names = {name for _, clusters in waves for name in clusters}
    return tuple(
        sorted(n for n in names if rollout.commits.get(n, rollout.stable) != rollout.candidate)
    )


def _on_its_way(
    memory: FleetMemory, verb: str, waves: Waves = (), now: float = 0.0
) -> RolloutMemory:
    rollout = memory.rollout
    if rollout is not None and rollout.candidate:
        return in_its_wave(rollout, (names for _, names in waves), now) if waves else rollout
    stable = rollout.stable if rollout else ""
    on = f": every cluster is on {short_commit(stable)}" if stable else ""
    raise CannotSteer(f"there is no rollout to {verb}{on}", hint=SEE)


def _steered(memory: FleetMemory, rollout: RolloutMemory, says: str) -> Steered:
    return Steered(replace(memory, rollout=rollout), says[0].upper() + says[1:])


def _name(rollout: RolloutMemory) -> str:
    candidate = rollout.candidate
    return f"the rollout of {short_commit(candidate)}" if candidate else "the rollout"


def _wave(rollout: RolloutMemory, waves: Waves) -> str:
    if rollout.wave >= len(waves):
        return f"wave {rollout.wave + 1}"
    return wave_name(rollout.wave, len(waves), waves[rollout.wave][0])


def _later(clusters: Sequence[str], memory: FleetMemory, closed: Mapping[str, str]) -> str:
    """Which of these clusters the next run cannot bring to another commit, and why."""
    down = {name for name, one in memory.clusters.items() if one.phase is Phase.DOWN}
    by_reason: dict[str, list[str]] = {}
    for name in clusters:
        if why := "is down" if name in down else closed.get(name, ""):
            by_reason.setdefault(why, []).append(name)
    reasons = "; ".join(
        f"{names[0]} {why}" if len(names) == 1 else f"{_list(names)}: {why}"
        for why, names in by_reason.items()
    )
    return f" Later there: {reasons}." if reasons else ""


def _list(names: Sequence[str]) -> str:
    return first_few(names, _SHOWN)
