"""Random histories of a fleet: what holds of decision and rescheduling together, run after run."""

from __future__ import annotations

import os
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.failover.probe import Signal
from reconciler.state.memory import Phase
from tests.strategies import fleet_events
from tests.unit.plan.failover_fleet import (
    CANNOT_TELL,
    LOOKS_DOWN,
    LOOKS_WELL,
    NAMES,
    PODS_GONE,
    Fleet,
    Run,
)

UNHEALTHY_AFTER, HEALTHY_AFTER = 180.0, 300.0
# More for whoever has changed something: RECONCILER_FUZZ_ROUNDS=400 takes some minutes.
EXAMPLES = 3 * int(os.environ.get("RECONCILER_FUZZ_ROUNDS", "25"))


class Event(NamedTuple):
    """What happens before a run; ``pause`` is what the clock says in between, in seconds."""

    cluster: str
    sign: str
    rebuilt: bool
    pause: float
    memory: str
    pods_start: bool
    repeat: int


EVENTS = fleet_events(Event, NAMES, [*LOOKS_DOWN, *LOOKS_WELL, *LOOKS_WELL, *CANNOT_TELL])


class Witness:
    """What somebody saw who stood beside the clusters all the time and never forgets."""

    def __init__(self, fleet: Fleet, limit: int, least: int) -> None:
        self.fleet, self.limit, self.least = fleet, limit, least
        self.since: dict[str, tuple[Signal, float, int]] = {}
        """Cluster -> its signal, for how many seconds it has been that, over how many runs."""

    def look(self, run: Run, pause: float, before: dict[str, dict]) -> None:
        self._time(run, pause)
        self.decided_by_the_rules(run)
        self.nothing_moved_without_a_reason(run, before)
        self.all_is_placed_that_fits(run)

    def _time(self, run: Run, pause: float) -> None:
        for probe in run.probes:
            signal, lasted, seen = self.since.get(probe.cluster, (None, 0.0, 0))
            if signal is probe.signal:
                self.since[probe.cluster] = (signal, lasted + max(0.0, pause), seen + 1)
            else:
                self.since[probe.cluster] = (probe.signal, 0.0, 1)

    def decided_by_the_rules(self, run: Run) -> None:
        """At most one change of phase for each cluster, each after its time, none beyond limits."""
        changed = [t.cluster for t in run.availability.transitions]
        assert len(changed) == len(set(changed)), "it flaps within a run"
        down = {n for n, phase in run.phases.items() if phase is Phase.DOWN}
        assert len(down) <= min(self.limit, len(NAMES) - 1)
        healthy = {p.cluster for p in run.probes if p.signal is Signal.HEALTHY} - down
        for change in run.availability.transitions:
            signal, lasted, seen = self.since[change.cluster]
            if change.after is Phase.DOWN:
                assert signal is Signal.UNHEALTHY
                assert lasted >= UNHEALTHY_AFTER, "declared down within its grace period"
                assert seen >= 3
                assert len(healthy) >= self.least
            else:
                assert (change.after, signal) == (Phase.RETURNING, Signal.HEALTHY)
                if change.before is Phase.DOWN:
                    assert lasted >= HEALTHY_AFTER, "back within its grace period"
                    assert seen >= 3

    def nothing_moved_without_a_reason(self, run: Run, before: dict[str, dict]) -> None:
        """Replicas grow somewhere only for a cluster that is down, or for the one that is back."""
        if set(run.phases.values()) != {Phase.UP}:
            return
        usual = {name: self.fleet.share_of(name) for name in NAMES}
        for name in run.answered:
            for key, asked in self.fleet.members[name].asked.items():
                most = max(usual[name].get(key, 0), before[name].get(key, 0))
                assert asked <= most, f"{name} grew to {asked} of {key.name}, and nobody is down"

    def all_is_placed_that_fits(self, run: Run) -> None:
        """What is short is short because nobody who may take it has room for one more."""
        out = run.availability.unavailable
        filled = dict.fromkeys(NAMES, 0)
        for assignment in run.placing.assignments:
            for name in assignment.replicas:
                filled[name] += self.fleet.count_of(assignment, name)
        for assignment in run.placing.assignments:
            workload = self.fleet.workloads[assignment.workload]
            if workload.rules.replicas.mode == "Duplicated":
                homes = set(assignment.replicas) - out.keys()
                assert (
                    homes
                    if workload.rules.target.spread
                    else set(assignment.replicas) == set(NAMES)
                )
                continue
            total = workload.rules.replicas.total or workload.template["spec"]["replicas"]
            placed = sum(n or 0 for name, n in assignment.replicas.items() if name not in out)
            assert placed + assignment.shortfall >= total, f"{assignment.workload.name} lost some"
            if not assignment.shortfall:
                continue
            for name in NAMES:
                if name in out or name in assignment.left_out:
                    continue
                if workload.rules.target.spread and not assignment.replicas[name]:
                    # It is there for what stands in, and of another region than the chosen one.
                    continue
                share = (
                    workload.rules.replicas.shares.get(name)
                    or workload.rules.replicas.default_share
                )
                full = share is None or (assignment.replicas.get(name) or 0) >= (
                    share.maximum if share.maximum is not None else 10**6
                )
                capacity = next(c.capacity for c in self.fleet.state.clusters if c.name == name)
                assert full or filled[name] >= (capacity or 0), (
                    f"{name} has room, and {assignment.shortfall} of {workload.key.name} are short"
                )


def recover(fleet: Fleet) -> None:
    """Everybody is well again, until two runs in a row had nothing to do."""
    for name in NAMES:
        fleet.suffers(name, "+")
    quiet = 0
    for _ in range(60):
        fleet.start_pods()
        before = [dict(member.asked) for member in fleet.members.values()]
        up = {one.phase for one in fleet.memory.clusters.values()} == {Phase.UP}
        fleet.run()
        same = before == [member.asked for member in fleet.members.values()]
        quiet = quiet + 1 if up and same else 0
        if quiet == 2:
            return


def test_a_fleet_that_is_well_is_up_from_its_first_run_on() -> None:
    run = Fleet().run()
    assert not run.availability.transitions
    assert not run.availability.notices
    assert set(run.phases.values()) == {Phase.UP}


@settings(max_examples=EXAMPLES)
@given(
    events=st.lists(EVENTS, max_size=14),
    limit=st.integers(1, 3),
    least=st.integers(1, 2),
    moves=st.sampled_from([1, 3, 50]),
)
def test_whatever_happens_to_a_fleet(
    events: list[Event], limit: int, least: int, moves: int
) -> None:
    """Outages, recoveries, clock jumps, lost memories and partial probes, in any order."""
    fleet = Fleet(limit, least, moves)
    witness = Witness(fleet, limit, least)
    for event in events:
        if event.memory != "kept":
            fleet.forget(damaged=event.memory == "damaged")
        fleet.suffers(event.cluster, event.sign, rebuilt=event.rebuilt and event.sign in PODS_GONE)
        for turn in range(event.repeat):
            if event.pods_start:
                fleet.start_pods()
            before = {name: dict(m.asked) for name, m in fleet.members.items()}
            served = {key: fleet.serving(key) for key in fleet.workloads}
            pause = 60.0 if turn else event.pause
            witness.look(fleet.run(pause), pause, before)
            for key, workload in fleet.workloads.items():
                wanted = sum(fleet.share_of(n).get(key, 0) for n in NAMES)
                assert fleet.serving(key) >= min(served[key], wanted), (
                    f"{workload.key.name}: the run itself took {served[key]} serving replicas to "
                    f"{fleet.serving(key)} of {wanted}"
                )
    recover(fleet)
    assert {n: one.phase for n, one in fleet.memory.clusters.items()} == dict.fromkeys(
        NAMES, Phase.UP
    )
    for name in NAMES:
        assert fleet.members[name].asked == fleet.share_of(name), f"{name} after a full recovery"
