"""How far a commit has come, and how far it may go in this run. Pure.

A cluster gets a commit only once the clusters of every wave before have had it, and were well with
it for as long as the rules say. Clusters that are down are left out of that; but somebody must have
proved it: where all that a commit changes so far are down, it waits for one of them or for a
person. What runs remember decides; where that is lost, the clusters' own inventories tell which
commit each has, and nothing goes on before a person says so.

| the newest commit is | and the candidate | then |
|---|---|---|
| the stable one | is on its way | it ends: the branch was set back |
| new | there is none | it becomes the candidate, unless a person refused it |
| new | has not left its first wave (queue Latest), or has failed | it takes its place |
| new | else | it waits |

A commit that takes another's place begins with the first wave; clusters keep what they have until
it is their turn.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence

from msgspec import Struct, field
from msgspec.structs import replace

from reconciler.api.durations import duration_words
from reconciler.api.objects import first_few
from reconciler.federation.model import Gate, RolloutRules
from reconciler.rollout.model import (
    ClusterStep,
    RolloutCluster,
    RolloutEvent,
    RolloutView,
    RolloutWave,
)
from reconciler.rollout.waves import in_its_wave
from reconciler.rollout.words import aborted, short_commit, time_left, to_come_back
from reconciler.state.memory import RolloutMemory, RolloutPhase

RESUME = "reconcile rollout resume"
PROMOTE = "reconcile rollout promote"


class Wellness(Struct, frozen=True):
    """How a cluster is with the candidate: ``why`` says what is not well yet, empty: it is well.
    ``failed``: it will not become well by itself, as kstatus has it. ``closed``: what is missing
    must not be written now, which is nobody's failure."""

    why: str = ""
    failed: bool = False
    closed: bool = False


class Recorded(Struct, frozen=True):
    """What a cluster's own inventory says: the commit it got last (empty: it has none yet), and
    which was stable then (empty: no run that knew of rollouts wrote it)."""

    commit: str
    stable: str = ""


class WaveTerms(Struct, frozen=True):
    """A wave as it holds for one candidate. ``clusters`` in the order in which they begin;
    ``limit`` is how many may be on their way at once; ``soak`` in seconds."""

    name: str
    clusters: tuple[str, ...]
    limit: int
    soak: float = 0.0
    manual: bool = False
    gates: tuple[Gate, ...] = ()


class Facts(Struct, frozen=True):
    """What a run knows. ``now`` is Unix time in seconds.

    newest    the newest commit that may be applied
    applied   the commit that runs without rollouts applied last; empty: none
    waves     of a candidate and the stable commit: its waves in order, with every cluster in one
              of them
    changes   whether a commit changes anything in a cluster, beside what another one asks for there
    wellness  of a cluster that is on the candidate
    recorded  of clusters that could be looked at
    down      clusters that count as down: those of their wave that are there speak for them
    closed    cluster -> why nothing may be written there now
    gates     why the gates of a candidate's wave do not hold; empty: they do. Asked only where
              that decides
    unserved  which kind of a candidate, as it is not in the stable commit, some cluster would not
              serve, in whatever wave; empty: none
    contains  whether a commit is another one, or comes after it
    has_left  whether an earlier commit is known to be in the history of a later one no more
    """

    newest: str
    now: float
    rules: RolloutRules
    waves: Callable[[str, str], Sequence[WaveTerms]]
    changes: Callable[[str, str, str], bool]
    wellness: Callable[[str, str], Wellness] = lambda _cluster, _candidate: Wellness()
    applied: str = ""
    recorded: Mapping[str, Recorded] = field(default_factory=dict)
    down: Collection[str] = ()
    closed: Mapping[str, str] = field(default_factory=dict)
    gates: Callable[[str, int], str] = lambda _candidate, _wave: ""
    unserved: Callable[[str, str], str] = lambda _candidate, _stable: ""
    contains: Callable[[str, str], bool] = lambda commit, earlier: commit == earlier
    has_left: Callable[[str, str], bool] = lambda _commit, _earlier: False

    def has(self, cluster: str, commit: str) -> bool:
        """Whether all of a commit that changes something there was written: where a part of it was
        refused, or must not be written now, that comes later."""
        found = self.recorded.get(cluster)
        return found is not None and found.commit == commit


class Advanced(Struct, frozen=True):
    """What to remember, what to tell, and what the wave waits for (empty: nothing); ``closed``: for
    what must not be written now, so that it stands no longer than it must."""

    memory: RolloutMemory
    events: tuple[tuple[RolloutEvent, str], ...] = ()
    waits: str = ""
    closed: bool = False


def advance(before: RolloutMemory | None, facts: Facts) -> Advanced:
    """Go as far as the rules allow. Equal facts and memory give an equal answer."""
    run = _Run(facts, before if before is not None else _found(facts))
    run.read_unknown()
    run.without_down()
    run.follow_git()
    run.find_wave()
    run.see_left()
    while run.memory.candidate and run.memory.phase is RolloutPhase.PROGRESSING and run.step():
        if not run.memory.candidate:
            run.follow_git()
    return Advanced(run.memory, tuple(run.events), run.waits, run.closed)


def _found(facts: Facts) -> RolloutMemory:
    """What is known where nothing is remembered."""
    commits = {name: one.commit for name, one in facts.recorded.items() if one.commit}
    stables = Counter(one.stable for one in facts.recorded.values() if one.stable)
    if not stables:
        # No rollout has been here. What was applied last is what every cluster should have, unless
        # something newer was begun somewhere: nobody is to go back behind that.
        applied = facts.applied or _only(commits.values())
        if not all(facts.contains(applied, commit) for commit in set(commits.values())):
            applied = ""
        return RolloutMemory(stable=applied or facts.newest)
    members = {name for terms in facts.waves("", "") for name in terms.clusters}
    unknown = tuple(sorted(members - facts.recorded.keys()))
    only = _only(commits.values())
    if only and not unknown:
        stable = only
    else:
        # Those that do not answer may be on another commit: that all others are on one does not
        # mean that it was proved everywhere.
        stable = max(sorted(stables), key=lambda commit: stables[commit])
    elsewhere = {name: commit for name, commit in sorted(commits.items()) if commit != stable}
    if not elsewhere and facts.newest == stable:
        return RolloutMemory(stable=stable, unknown=unknown)
    candidate = facts.newest
    for terms in facts.waves("", ""):
        if found := [elsewhere[name] for name in terms.clusters if name in elsewhere]:
            candidate = found[0]
            break
    wave = _last_begun(facts, candidate, elsewhere)
    return RolloutMemory(
        stable=stable,
        candidate=candidate,
        commits=elsewhere,
        phase=RolloutPhase.HELD,
        reason="what runs remembered of it is lost; the clusters' inventories tell their commits",
        began=facts.now,
        wave=wave,
        wave_began=facts.now,
        passed=tuple(n for terms in facts.waves("", "")[:wave] for n in terms.clusters),
        progress=facts.now,
        unknown=unknown,
    )


def _last_begun(facts: Facts, candidate: str, commits: Mapping[str, str]) -> int:
    begun = [
        index
        for index, terms in enumerate(facts.waves("", ""))
        if any(commits.get(name) == candidate for name in terms.clusters)
    ]
    return max(begun, default=0)


def _only(commits: Collection[str]) -> str:
    return next(iter(commits)) if len(set(commits)) == 1 else ""


class _Run:
    def __init__(self, facts: Facts, memory: RolloutMemory) -> None:
        if memory.at_once and memory.promoted:
            # Asked for since the last run: all clusters are one wave, which is to become well.
            memory = replace(memory, wave=0, wave_began=facts.now, arrived=(), promoted=False)
        self.facts, self.memory = facts, memory
        self.events: list[tuple[RolloutEvent, str]] = []
        self.waits = ""
        self.closed = False

    def _tell(self, event: RolloutEvent, text: str) -> None:
        self.events.append((event, text))

    def read_unknown(self) -> None:
        """Clusters that did not answer when what was remembered was lost: as long as it is held for
        that, they keep the commit that they turn out to have."""
        memory, recorded = self.memory, self.facts.recorded
        if not any(name in recorded for name in memory.unknown):
            return
        found = {n: recorded[n].commit for n in memory.unknown if n in recorded}
        self._remember(unknown=tuple(n for n in memory.unknown if n not in recorded))
        if memory.phase is RolloutPhase.HELD:
            other = {n: c for n, c in found.items() if c and c != memory.stable}
            self._remember(commits={**memory.commits, **other})

    def without_down(self) -> None:
        """Clusters that are down, or are no members any more, get what is stable once they are
        back."""
        if not self.memory.commits:
            return
        known = {n for terms in self._waves(self.memory.candidate) for n in terms.clusters}
        gone = {n for n in self.memory.commits if n in self.facts.down or n not in known}
        if gone:
            self._remember(
                commits={n: c for n, c in self.memory.commits.items() if n not in gone},
                arrived=tuple(n for n in self.memory.arrived if n not in gone),
            )

    def _remember(self, **changes: object) -> None:
        self.memory = replace(self.memory, **changes)

    def _waves(self, candidate: str) -> Sequence[WaveTerms]:
        waves = self.facts.waves(candidate, self.memory.stable)
        if not self.memory.at_once:
            return waves
        every = tuple(name for terms in waves for name in terms.clusters)
        return (WaveTerms("all at once", every, len(every)),)

    def follow_git(self) -> None:
        memory, newest = self.memory, self.facts.newest
        if newest == memory.stable:
            if memory.candidate:
                ended, back = short_commit(memory.candidate), short_commit(newest)
                self._tell(
                    RolloutEvent.ABORTED,
                    f"{ended} ends: the branch is at {back} again, which all clusters had",
                )
            if memory.candidate or memory.waiting or memory.commits:
                self.memory = RolloutMemory(stable=newest)
        elif not memory.candidate:
            first, *rest = self._waiting()
            if first != memory.refused:
                self._begin(first, rest)
        elif newest == memory.candidate:
            if memory.waiting:
                self._remember(waiting=())
        elif self._is_replaced():
            self._begin(newest, [])
        elif (waiting := self._waiting()) != memory.waiting:
            self._remember(waiting=waiting)

    def _waiting(self) -> tuple[str, ...]:
        """What waits, oldest first, the newest commit last. What a rewritten branch has no more
        was taken out of it on purpose, and does not begin."""
        newest, waiting = self.facts.newest, self.memory.waiting
        if self.facts.rules.queue != "InOrder":
            return (newest,)
        if newest in waiting:
            return waiting[: waiting.index(newest) + 1]
        return (*(one for one in waiting if not self.facts.has_left(newest, one)), newest)

    def find_wave(self) -> None:
        waves = self._waves(self.memory.candidate) if self.memory.candidate else ()
        names = (terms.clusters for terms in waves)
        self.memory = in_its_wave(self.memory, names, self.facts.now)

    def see_left(self) -> None:
        """Clusters that were not well when a person promoted their wave may be so by now."""
        memory = self.memory
        unwell = [n for n in memory.passed if n not in memory.arrived]
        if well := [
            n
            for n in unwell
            if memory.commits.get(n) == memory.candidate and not self._wellness(n).why
        ]:
            self._remember(arrived=(*memory.arrived, *well))

    def _is_replaced(self) -> bool:
        memory = self.memory
        if memory.phase is RolloutPhase.FAILED:
            return True
        # Rules that changed may have put it in the first wave again. All at once is one wave.
        in_first = memory.wave == 0 and (memory.at_once or not memory.passed)
        on_its_way = memory.phase is RolloutPhase.PROGRESSING
        return on_its_way and in_first and self.facts.rules.queue == "Latest"

    def _begin(self, commit: str, waiting: Sequence[str]) -> None:
        instead = (
            f", in place of {short_commit(self.memory.candidate)}" if self.memory.candidate else ""
        )
        now = self.facts.now
        self.memory = RolloutMemory(
            stable=self.memory.stable,
            candidate=commit,
            commits=self.memory.commits,
            began=now,
            wave_began=now,
            progress=now,
            waiting=tuple(waiting),
        )
        self._tell(RolloutEvent.STARTED, f"{short_commit(commit)} begins{instead}")

    def step(self) -> bool:
        """One step of the wave; False: nothing more can be done in this run."""
        memory, facts = self.memory, self.facts
        waves = self._waves(memory.candidate)
        if memory.wave >= len(waves):
            return self._complete()
        terms = waves[memory.wave]
        if self._begins() and (why := facts.unserved(memory.candidate, memory.stable)):
            return self._fail(terms, why)
        present = [name for name in terms.clusters if name not in facts.down]
        on = [
            name for name in present if memory.commits.get(name, memory.stable) == memory.candidate
        ]
        how = {name: self._wellness(name) for name in on}
        failed = sorted(name for name in on if how[name].failed)
        well = [name for name in on if not how[name].why]
        if new := [name for name in well if name not in memory.arrived]:
            self._remember(arrived=(*memory.arrived, *new), progress=facts.now)
        if failed and not memory.promoted:
            return self._fail(terms, f"{failed[0]}: {how[failed[0]].why}")
        unwell = {name: how[name] for name in on if how[name].why}
        if len(on) < len(present):
            return self._begin_more(terms, present, on, unwell)
        if unwell and not memory.promoted:
            return self._wait_for_well(terms, unwell)
        return self._pass(terms, present)

    def _begins(self) -> bool:
        """Whether it is in no cluster yet, and no person said that it goes on all the same."""
        memory, changes = self.memory, self.facts.changes
        if memory.promoted or memory.at_once or memory.candidate in memory.commits.values():
            return False
        return not any(changes(memory.candidate, n, memory.stable) for n in memory.passed)

    def _wellness(self, cluster: str) -> Wellness:
        memory = self.memory
        if not self.facts.changes(memory.candidate, cluster, memory.stable):
            return Wellness()
        return self.facts.wellness(cluster, memory.candidate)

    def _begin_more(
        self,
        terms: WaveTerms,
        present: Sequence[str],
        on: Sequence[str],
        unwell: Mapping[str, Wellness],
    ) -> bool:
        memory, facts = self.memory, self.facts
        missing = [name for name in present if name not in on]
        # What a person promotes has that commit as soon as it opens, and holds up nothing.
        open_now = [name for name in missing if memory.promoted or name not in facts.closed]
        room = len(missing) if memory.promoted else max(0, terms.limit - len(unwell))
        begin = open_now[:room]
        # What changes nothing there needs no turn.
        begin += [n for n in open_now[room:] if self._changes_nothing(n)]
        if begin:
            commits = {**memory.commits, **dict.fromkeys(begin, memory.candidate)}
            at_once = all(self._changes_nothing(name) for name in begin)
            self._remember(commits=commits, progress=facts.now, well=0.0, rests=False)
            return at_once or (memory.promoted and len(begin) == len(missing))
        if unwell:
            return self._wait_for_well(terms, unwell)
        self._remember(well=0.0, rests=True)
        self.closed = True
        self.waits = f"{missing[0]}, which {facts.closed[missing[0]]}"
        return False

    def _wait_for_well(self, terms: WaveTerms, unwell: Mapping[str, Wellness]) -> bool:
        """Of those that the deadline is about, if there are such: nothing can be done for what is
        closed."""
        closed = {name for name, one in unwell.items() if one.closed or name in self.facts.closed}
        if due := [name for name in unwell if name not in closed]:
            return self._wait(terms, f"{due[0]}: {unwell[due[0]].why}")
        self._remember(well=0.0, rests=True)
        self.closed = True
        first = next(iter(unwell))
        self.waits = f"{first}: {unwell[first].why}"
        return False

    def _changes_nothing(self, cluster: str) -> bool:
        memory = self.memory
        own = memory.commits.get(cluster, memory.stable)
        if own not in (memory.stable, memory.candidate):
            # It has what an earlier candidate left.
            return False
        return not self.facts.changes(memory.candidate, cluster, memory.stable)

    def _wait(self, terms: WaveTerms, why: str) -> bool:
        """It is not well: it fails once nothing has got better for too long."""
        facts = self.facts
        self._remember(well=0.0)
        if self.memory.rests:
            self._remember(progress=facts.now, rests=False)
        self.waits = why
        if facts.now - self.memory.progress > facts.rules.progress_deadline:
            after = duration_words(facts.rules.progress_deadline)
            return self._fail(terms, f"no progress in {after}; {why}")
        return False

    def _pass(self, terms: WaveTerms, present: Sequence[str]) -> bool:
        """All its clusters are well with it, or a person says that it goes on."""
        memory, facts = self.memory, self.facts
        changed = [name for name in terms.clusters if not self._changes_nothing(name)]
        if memory.promoted or not changed:
            return self._leave(terms, "by a person" if memory.promoted else "")
        there = any(name in present for name in changed)
        if not (there or self._is_proven()):
            # No deadline runs, as nothing speaks against the commit; but it stands still.
            self._remember(well=0.0)
            self.waits = f"{to_come_back(changed)}: {PROMOTE}"
            return False
        if why := facts.gates(memory.candidate, memory.wave) if terms.gates else "":
            return self._wait(terms, why)
        if not memory.well:
            self._remember(well=facts.now)
        left = self.memory.well + terms.soak - facts.now if there else 0.0
        if left > 0:
            self.waits = f"soak ({time_left(left)})"
            return False
        if terms.manual:
            self._remember(rests=True)
            self.waits = f"a person: {PROMOTE}"
            return False
        return self._leave(terms, "well" if there else "all that it changes there is down")

    def _is_proven(self) -> bool:
        """Whether a cluster of an earlier wave has it, so that a wave without anybody may be left;
        the last one may be in any case, as nobody comes after it."""
        memory = self.memory
        on_it = [name for name, commit in memory.commits.items() if commit == memory.candidate]
        if not any(wave.clusters for wave in self._waves(memory.candidate)[memory.wave + 1 :]):
            return bool(on_it)
        changes = self.facts.changes
        return any(
            name in memory.passed and changes(memory.candidate, name, memory.stable)
            for name in on_it
        )

    def _leave(self, terms: WaveTerms, why: str) -> bool:
        """``why`` empty: nobody needs to know of it."""
        now = self.facts.now
        if why:
            self._tell(
                RolloutEvent.PROMOTED,
                f"{short_commit(self.memory.candidate)} leaves wave {self.memory.wave + 1}, "
                f"{terms.name} ({why})",
            )
        self._remember(
            wave=self.memory.wave + 1,
            wave_began=now,
            passed=(*self.memory.passed, *terms.clusters),
            progress=now,
            well=0.0,
            rests=False,
            promoted=False,
        )
        return True

    def _fail(self, terms: WaveTerms, why: str) -> bool:
        memory = self.memory
        reason = f"wave {memory.wave + 1}, {terms.name}: {why}"
        self._remember(phase=RolloutPhase.FAILED, reason=reason, well=0.0)
        self._tell(RolloutEvent.FAILED, f"{short_commit(memory.candidate)} has failed in {reason}")
        self.waits = why
        if self.facts.rules.on_failure == "Return":
            back = [n for n in terms.clusters if memory.commits.get(n) == memory.candidate]
            self._remember(
                commits={n: c for n, c in memory.commits.items() if n not in back},
                arrived=tuple(n for n in memory.arrived if n not in back),
            )
            if back:
                self._tell(
                    RolloutEvent.RETURNED,
                    f"{first_few(back)} {'goes' if len(back) == 1 else 'go'} back to "
                    f"{short_commit(memory.stable)}",
                )
        return False

    def _complete(self) -> bool:
        done, changes = self.memory.candidate, self.facts.changes
        every = [name for terms in self._waves(done) for name in terms.clusters]
        if self.memory.began == self.facts.now and not any(
            changes(done, name, self.memory.stable) for name in every
        ):
            # Nobody needs to know of a commit that changes no cluster.
            self.events = [one for one in self.events if one[0] is not RolloutEvent.STARTED]
        else:
            late = [
                name
                for name in every
                if name in self.facts.down
                or (changes(done, name, self.memory.stable) and not self.facts.has(name, done))
            ]
            but = f" but {first_few(late)}, which get{'s' * (len(late) == 1)} it later" * bool(late)
            self._tell(RolloutEvent.COMPLETED, f"{short_commit(done)} is in every cluster{but}")
        self.memory = RolloutMemory(stable=done, waiting=self.memory.waiting)
        self.waits = ""
        return True


def rollout_view(advanced: Advanced, facts: Facts) -> RolloutView:
    """A rollout as plans and reports show it."""
    memory = advanced.memory
    if not memory.candidate:
        refused = memory.refused if memory.refused == facts.newest else ""
        return RolloutView(
            memory.stable,
            reason=aborted(refused),
            waiting=memory.waiting,
            events=advanced.events,
        )
    waves = facts.waves(memory.candidate, memory.stable)
    if memory.at_once:
        every = tuple(name for terms in waves for name in terms.clusters)
        waves = (WaveTerms("all at once", every, len(every)),)
    return RolloutView(
        memory.stable,
        memory.candidate,
        str(memory.phase),
        memory.reason,
        memory.began,
        memory.wave_began,
        tuple(
            _wave_view(index, terms, memory, facts, advanced.waits)
            for index, terms in enumerate(waves)
        ),
        memory.waiting,
        advanced.events,
        at_once=memory.at_once,
        progress=facts.now if advanced.closed else memory.progress,
    )


def _wave_view(
    index: int, terms: WaveTerms, memory: RolloutMemory, facts: Facts, waits: str
) -> RolloutWave:
    state = "done" if index < memory.wave else "current" if index == memory.wave else "coming"
    least = terms.soak if state == "coming" else 0.0
    if state == "current":
        least = max(0.0, memory.well + terms.soak - facts.now) if memory.well else terms.soak
    clusters = []
    for name in terms.clusters:
        commit = memory.commits.get(name, memory.stable)
        step, why = ClusterStep.WAITS, facts.closed.get(name, "")
        if name in facts.down:
            step = ClusterStep.DOWN
        elif commit == memory.candidate:
            unwell = ""
            if state == "current" or name not in memory.arrived:
                changes = facts.changes(memory.candidate, name, memory.stable)
                unwell = facts.wellness(name, memory.candidate).why if changes else ""
            step = ClusterStep.BEGUN if unwell else ClusterStep.WELL
            why = why if unwell and why and state != "current" else unwell
        clusters.append(RolloutCluster(name, commit, step, why))
    return RolloutWave(
        terms.name,
        state,
        tuple(clusters),
        terms.soak,
        least,
        waits if state == "current" else "",
        terms.manual,
        tuple(gate.name for gate in terms.gates),
    )
