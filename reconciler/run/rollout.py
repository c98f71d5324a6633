"""Which cluster gets which commit in this run: Git, memory and members -> ``rollout.advance``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

from msgspec.structs import replace

from reconciler.api.errors import BadInput, ClusterError, Position, SourceError, UsageError
from reconciler.api.kinds import REPLICATED
from reconciler.api.notices import Notice, NoticeCause, notice
from reconciler.api.objects import Object, ObjectKey, first_few
from reconciler.api.options import RunOptions
from reconciler.cluster.discovery import GroupVersionKind
from reconciler.cluster.kstatus import Status, object_status, wanted_replicas
from reconciler.cluster.responses import reading_answers
from reconciler.federation.maintenance import Maintenance, closed
from reconciler.federation.model import DesiredState, RolloutRules, StricterRollout, Workload
from reconciler.git.read import ReadSource
from reconciler.inventory.observe import observe
from reconciler.plan.live_state import MemberState
from reconciler.plan.member_plan import MemberWork
from reconciler.plan.model import ClusterPlan
from reconciler.plan.requests import crds_wanted
from reconciler.render.render import DesiredObject, render
from reconciler.rollout.advance import (
    Facts,
    Recorded,
    WaveTerms,
    Wellness,
    advance,
    rollout_view,
)
from reconciler.rollout.model import RolloutView
from reconciler.rollout.waves import gates_of, is_manual, limit, soak_of, waves_of
from reconciler.rollout.words import UNCOMMITTED, short_commit
from reconciler.run.decide import LookedAt
from reconciler.run.repository import Repository, read_other_commit
from reconciler.scheduler.capacity import needs_room, replicas_due
from reconciler.scheduler.commits import version_in, with_commits
from reconciler.scheduler.keep_until_ready import is_current
from reconciler.scheduler.model import Assignment
from reconciler.scheduler.schedule import schedule
from reconciler.state.memory import RolloutMemory, WorkloadMemory

Objects = Mapping[ObjectKey, DesiredObject]
_NOWHERE = Position("", 1, 1)


class FleetCommits:
    """The commits that clusters are on, each read from Git when it is first needed.

    ``unreadable``: commit -> why nobody can tell what it says.
    """

    def __init__(self, repository: Repository, options: RunOptions) -> None:
        self.newest = repository.commit() or UNCOMMITTED
        if self.newest == UNCOMMITTED and not options.plan_only:
            raise UsageError(
                f"{repository.source.where.name} has changes that are in no commit, and "
                "spec.rollout brings commits to clusters",
                hint="commit them; to see what they would change: reconcile --plan",
            )
        self._options, self._newest = options, repository
        self._sources: dict[str, ReadSource] = {}
        self._states: dict[str, DesiredState] = {self.newest: repository.state}
        self._objects: dict[str, Mapping[str, Objects]] = {}
        self.unreadable: dict[str, str] = {}

    def note_other(self, same: Callable[[], bool]) -> None:
        """See ``Watcher.note_other``."""
        if self._options.kept is not None:
            self._options.kept.note_other(same)

    def sources(self, memory: RolloutMemory) -> dict[str, ReadSource]:
        """Slot -> the stable and the candidate commit, as they were read, beside the newest."""
        slots = {"stable": memory.stable, "candidate": memory.candidate}
        return {
            slot: self._sources[commit]
            for slot, commit in slots.items()
            if commit != self.newest and commit in self._sources
        }

    @property
    def rules(self) -> RolloutRules:
        rules = self._states[self.newest].federation.rollout
        return rules if rules is not None else RolloutRules(())

    def state(self, commit: str) -> DesiredState | None:
        """What a commit asks for, by the newest one's rules and clusters; None: unreadable."""
        if commit not in self._states and commit not in self.unreadable:
            try:
                read = read_other_commit(self._options, commit, self._newest)
            except (SourceError, BadInput) as error:
                self.unreadable[commit] = str(error)
                # Nobody tells when it can be read.
                self.note_other(lambda: False)
            else:
                newest, found = self._states[self.newest], read.state
                self._sources[commit] = read.source
                self._states[commit] = replace(
                    found,
                    federation=newest.federation,
                    clusters=newest.clusters,
                    witnesses=newest.witnesses,
                )
        return self._states.get(commit)

    def fleet_state(self, memory: RolloutMemory) -> DesiredState:
        """What all clusters should run, each by its own commit."""
        newest = self._states[self.newest]
        of_cluster = {c.name: memory.commits.get(c.name, memory.stable) for c in newest.clusters}
        return self.state_of(memory.stable, of_cluster, memory.candidate)

    def state_of(
        self, stable: str, of_cluster: Mapping[str, str], candidate: str = ""
    ) -> DesiredState:
        """The same of given commits; the newest one's where none of them can be read."""
        newest = self._states[self.newest]
        used = {stable, *of_cluster.values()}
        order = [stable, *sorted(used - {stable, candidate}), candidate]
        states = {c: state for c in order if c in used and (state := self.state(c)) is not None}
        if not states or set(states) == {self.newest}:
            return newest
        last = next(reversed(states))
        # What an unreadable commit's clusters run is not written to (see ``left_alone``).
        known = {name: c if c in states else last for name, c in of_cluster.items()}
        return with_commits(newest, stable if stable in states else last, known, states)

    def left_alone(self, memory: RolloutMemory) -> dict[str, tuple[str, str]]:
        """Clusters whose commit cannot be read, with it and the reason: they stay as they are."""
        newest = self._states[self.newest]
        found = {}
        for cluster in newest.clusters:
            commit = memory.commits.get(cluster.name, memory.stable)
            if commit in self.unreadable:
                found[cluster.name] = commit, self.unreadable[commit]
        return found

    def contains(self, commit: str, earlier: str) -> bool:
        """Whether a commit is another one, or comes after it. False where nobody can tell."""
        return self._comes_after(commit, earlier) is True

    def has_left(self, commit: str, earlier: str) -> bool:
        """Whether an earlier commit is in the history of a later one no more, as a branch was
        rewritten. False where nobody can tell."""
        return self._comes_after(commit, earlier) is False

    def _comes_after(self, commit: str, earlier: str) -> bool | None:
        from reconciler.git.descent import NoDescendant, check_descent
        from reconciler.git.signatures import in_repository

        if not commit or commit == earlier:
            return commit == earlier
        if UNCOMMITTED in (commit, earlier):
            return None
        where = self._newest.source.where
        try:
            in_repository(where, lambda folder: check_descent(where, folder, earlier, commit))
        except NoDescendant:
            return False
        except SourceError:
            return None
        return True

    def objects(self, commit: str, cluster: str) -> Objects:
        """What a cluster has of a commit if all is well."""
        if commit not in self._objects:
            state = self.state(commit)
            rendering = render(state, schedule(state)).objects if state is not None else {}
            self._objects[commit] = {
                name: {one.key: one for one in found} for name, found in rendering.items()
            }
        return self._objects[commit].get(cluster, {})

    def changed(self, commit: str, cluster: str, other: str) -> frozenset[ObjectKey]:
        """What two commits ask for differently in a cluster; all, where one cannot be read."""
        here, there = self.objects(commit, cluster), self.objects(other, cluster)
        return frozenset(
            key
            for key in here.keys() | there.keys()
            if _compared(here.get(key)) != _compared(there.get(key))
        )

    def waves(self, commit: str, stable: str) -> tuple[WaveTerms, ...]:
        """The waves of a candidate, as strict as the Placements of what it changes."""
        newest = self._states[self.newest]
        stricter = self._stricter(commit, stable) if commit else {}
        found = []
        for wave, names in waves_of(self.rules, newest.clusters):
            changed = (
                {key for name in names for key in self.changed(commit, name, stable)}
                if stricter
                else set()
            )
            also = [rule for key, rule in sorted(stricter.items()) if key in changed]
            found.append(
                WaveTerms(
                    wave.name,
                    names,
                    limit(wave, len(names), also),
                    soak_of(wave, also),
                    is_manual(wave, also),
                    gates_of(wave, also),
                )
            )
        return tuple(found)

    def _stricter(self, commit: str, stable: str) -> dict[ObjectKey, StricterRollout]:
        """What Placements ask of a candidate's changes; of what it deletes, as it was placed."""
        state = self.state(commit) or self._states[self.newest]
        before = self.state(stable) if stable else None
        last = {w.key: w for w in before.workloads} if before else {}
        every = last | {w.key: w for w in state.workloads}
        return {key: w.rules.rollout for key, w in every.items() if w.rules.rollout is not None}


def _compared(desired: DesiredObject | None) -> DesiredObject | None:
    """Without what does not matter to a cluster: where in Git it stands."""
    return None if desired is None else replace(desired, position=_NOWHERE)


class Rollout:
    """A rollout in one run: what was remembered, and how far it goes now."""

    def __init__(
        self,
        commits: FleetCommits,
        remembered: RolloutMemory | None,
        applied: str,
        now: float,
        seconds_left: Callable[[], float],
        *,
        only_planned: bool = False,
        whole: bool = False,
    ) -> None:
        """``whole``: the end of the road is planned, as if the newest commit began now."""
        self._only_planned = only_planned
        if whole and remembered is not None and remembered.candidate != commits.newest:
            remembered = RolloutMemory(stable=remembered.stable, commits=remembered.commits)
        self.commits, self._now, self._seconds_left = commits, now, seconds_left
        self._remembered, self._applied = remembered, applied
        self._workloads: Mapping[str, Mapping[str, WorkloadMemory]] = {}
        self.memory = remembered or RolloutMemory(stable=applied or commits.newest)
        self.state = commits.fleet_state(self.memory)

    @property
    def to_judge(self) -> frozenset[str]:
        """The clusters of which it must be known whether they are well."""
        memory = self.memory
        return frozenset(n for n, c in memory.commits.items() if c == memory.candidate)

    def advance(self, looked: LookedAt) -> RolloutView:
        """Go as far as the rules allow; ``memory`` and ``state`` are then those of this run."""
        seen = {one.cluster.name: one for one in looked.seen}
        self._workloads = looked.availability.memory.workloads
        facts = self._facts(seen, looked)
        advanced = advance(self._remembered, facts)
        self.memory = advanced.memory
        self.state = self.commits.fleet_state(self.memory)
        return rollout_view(advanced, facts)

    @property
    def sources(self) -> dict[str, ReadSource]:
        """What to keep for times without Git, beside the newest commit."""
        return self.commits.sources(self.memory)

    @property
    def moves_on(self) -> bool:
        """Whether clusters are to get another commit than before."""
        before = self._remembered
        after = (self.memory.stable, self.memory.commits)
        return before is None or (before.stable, before.commits) != after

    @property
    def left_alone(self) -> frozenset[str]:
        """Clusters whose commit cannot be read: they stay as they are."""
        return frozenset(self.commits.left_alone(self.memory))

    @property
    def notices(self) -> list[Notice]:
        """What people should know of commits that cannot be read."""
        return [
            notice(NoticeCause.COMMIT_UNREADABLE, name, commit=short_commit(commit), reason=why)
            for name, (commit, why) in sorted(self.commits.left_alone(self.memory).items())
        ]

    def with_own_commits(
        self, planned: Sequence[MemberWork | ClusterPlan]
    ) -> list[MemberWork | ClusterPlan]:
        """Each member's work with the commit that is its own, to be recorded there."""
        return [self._on_its_way(one) if isinstance(one, MemberWork) else one for one in planned]

    def _on_its_way(self, work: MemberWork) -> MemberWork:
        name, stable = work.cluster.name, self.memory.stable
        own = self.memory.commits.get(name, stable)
        keys = self.commits.changed(own, name, stable) if own != stable else frozenset()
        return replace(
            work,
            own_commit=own,
            stable_commit=stable,
            of_commit=keys | {key.with_namespace for key in keys},
        )

    def _facts(self, seen: Mapping[str, MemberState], looked: LookedAt) -> Facts:
        commits = self.commits
        inventories = {n: o.observation.inventory for n, o in seen.items() if o.observation}
        return Facts(
            newest=commits.newest,
            now=self._now,
            rules=commits.rules,
            waves=commits.waves,
            changes=lambda commit, cluster, other: bool(commits.changed(commit, cluster, other)),
            wellness=lambda cluster, candidate: self._wellness(
                seen.get(cluster), cluster, candidate
            ),
            applied=self._applied,
            recorded={
                name: Recorded(one.done or one.commit, one.stable)
                for name, one in inventories.items()
            },
            down=frozenset(looked.availability.unavailable),
            closed={name: str(why) for name, why in closed(self.state, self._now).items()},
            gates=self._gates,
            unserved=lambda candidate, stable: self._unserved(candidate, stable, seen),
            contains=commits.contains,
            has_left=commits.has_left,
        )

    def _gates(self, candidate: str, wave: int) -> str:
        """Why the gates of a wave do not hold; empty: they do.

        A plan asks those alone that a run would: a branch that is not applied yet could name any
        server.
        """
        if self._only_planned and self.commits.newest not in (candidate, self.memory.stable):
            return "a plan of a commit that waits does not ask the gates"
        from reconciler.rollout.gates import ask_gates

        gates = self.commits.waves(candidate, self.memory.stable)[wave].gates
        answers = ask_gates(gates, self._seconds_left)

        def same() -> bool:
            return all(one.holds == answers[gate].holds for gate, one in ask_gates(gates).items())

        self.commits.note_other(same)
        return "; ".join(
            f"gate {one.gate.name}: {one.why}" for one in answers.values() if not one.holds
        )

    @cached_property
    def _usual(self) -> Mapping[ObjectKey, Assignment]:
        return {a.workload: a for a in schedule(self.state)}

    def _wellness(self, one: MemberState | None, cluster: str, candidate: str) -> Wellness:
        """By what was seen before this run wrote anything."""
        if one is None or one.observation is None:
            return Wellness(f"it cannot be looked at: {one.absence if one else 'unknown'}")
        if one.observation.inventory.done != candidate:
            missing = f"{short_commit(candidate)} is not applied there yet"
            shut = self._closed_part(cluster, candidate)
            return Wellness(f"{missing}; {shut}" if shut else missing, closed=bool(shut))
        unwell = []
        workloads = {w.key: w for w in self.state.workloads}
        for key in sorted(self.commits.changed(candidate, cluster, self.memory.stable)):
            assignment = self._usual.get(key)
            if assignment is None or cluster not in assignment.replicas:
                continue
            _, live = one.observation.members.get(_known(one, key), (None, None))
            if live is None and _known(one, key) in one.observation.inventory.ran:
                # A Job that has run, and was cleaned up since.
                continue
            due = 0
            if key.kind in REPLICATED:
                workload = version_in(self.state, workloads[key], assignment, cluster)
                due = self._due(workload, cluster, assignment.replicas[cluster], live)
            if object_status(live).status is Status.FAILED:
                return Wellness(f"{key}: {is_current(live)}", failed=True)
            if why := is_current(live, due):
                unwell.append(f"{key}: {why}")
        return Wellness(first_few(unwell, 3)) if unwell else Wellness()

    def _due(self, workload: Workload, cluster: str, count: int | None, live: Object | None) -> int:
        """How many replicas must be ready there. Where a division builds on what runs, or on what
        is free, Git alone does not tell how it came out; the live object does, unless the workload
        was moved away because it does not run."""
        by_what_runs = needs_room(workload) or not workload.rules.replicas.rebalance
        if by_what_runs and live is not None:
            remembered = self._workloads.get(cluster, {}).get(str(workload.key))
            if remembered is None or not remembered.away:
                return wanted_replicas(live)
        return replicas_due(workload, count, live)

    def _closed_part(self, cluster: str, candidate: str) -> str:
        """Which object of the candidate must not be written there now, and why; empty: none."""
        rules = Maintenance(self.state)
        changed = self.commits.changed(candidate, cluster, self.memory.stable)
        if changed - self.commits.objects(candidate, cluster).keys():
            # Deletions wait for whatever waits there.
            changed |= self.commits.objects(candidate, cluster).keys()
        for key in sorted(changed) if rules.any else ():
            if why := rules.closed(cluster, self._now, key):
                return f"{key} {why}"
        return ""

    def _unserved(self, candidate: str, stable: str, seen: Mapping[str, MemberState]) -> str:
        """Which kind of the candidate some cluster would not know, with or without the candidate's
        own CustomResourceDefinitions; empty: none."""
        for name, one in sorted(seen.items()):
            if one.member is None or one.observation is None:
                continue
            objects, found = self.commits.objects(candidate, name), one.observation
            changed = self.commits.changed(candidate, name, stable)
            wanted = {
                GroupVersionKind.of_manifest(objects[key].manifest)
                for key in changed & objects.keys()
            } - crds_wanted(objects.values()).keys()
            unknown = wanted - {*found.live, *found.unserved, *found.failed}
            try:
                with reading_answers(name):
                    lacking = wanted & found.unserved
                    if unknown:
                        asked = observe(one.member, found.inventory, unknown, whole=False)
                        lacking |= unknown & asked.unserved
            except ClusterError:
                continue
            finally:
                one.member.rest()
            if lacking:
                kind = min(lacking)
                return f"{name} does not serve {kind.kind} in {kind.api_version}"
        return ""


def _known(one: MemberState, key: ObjectKey) -> ObjectKey:
    """The key by which the cluster knows it: only a member tells whether a kind is namespaced."""
    members = one.observation.members if one.observation else {}
    return key if key in members else key.with_namespace
