"""Whatever breaks in one cluster while the command runs: nothing is lost, harmed or hidden.

The table of ``table.py`` times that of ``scenarios.py``. The other clusters are whole, and one of
them has the lock and the memory.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator

import pytest

from reconciler.api.annotations import PART_OF
from reconciler.api.objects import Object
from tests.chaos.conftest import Worlds
from tests.chaos.invariants import (
    it_told_the_truth,
    no_stranger_was_touched,
    no_value_is_told,
    nothing_was_pruned_blindly,
    only_its_own_was_written,
    strangers,
)
from tests.chaos.scenarios import SCENARIOS, VICTIM, Scenario, clusters, foreign
from tests.chaos.table import BREAKAGES, Breakage
from tests.chaos.world import HOST, Run, World

ALL = os.environ.get("RECONCILER_FAULTS", "") == "all"
"""Else every breakage meets real servers once, and simulated ones in two of the scenarios."""
USUAL = "change and prune"


def cases() -> Iterator[object]:
    for number, breakage in enumerate(BREAKAGES):
        possible = [s for s in SCENARIOS if breakage.happens_in(s.name)]
        first = next((s for s in possible if s.name == USUAL), possible[0])
        second = possible[number % len(possible)]
        for scenario in possible:
            name = f"{breakage.name}, {scenario.name}"
            if ALL or scenario in (first, second):
                yield pytest.param("simulated", breakage, scenario, id=f"simulated: {name}")
            if ALL or (breakage.core and scenario is first):
                marks = pytest.mark.integration
                yield pytest.param("real", breakage, scenario, id=f"real: {name}", marks=marks)


def create_defaults(world: World, scenario: Scenario) -> None:
    """The world before the change; and somebody else, who is in all places as well."""
    for host in world.hosts.values():
        for obj in foreign("by-standers", "default"):
            host.create(obj)
    metadata = {"name": "federation-system"}
    world.hosts[HOST].create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    world.write({"clusters.yaml": clusters(world.hosts), **scenario.before})
    run = world.apply()
    assert run.code == 0, run.out + run.err
    for host in world.hosts.values():
        mine = [o for o in host.objects() if o["metadata"].get("namespace") == "shop"]
        # A controller may copy the labels of what is ours to what it makes.
        like = next((labels for o in mine if PART_OF in (labels := labels_of(o))), {})
        for obj in foreign("neighbours", "shop", like) if mine else ():
            host.create(obj)
    scenario.prepare(world)


def labels_of(obj: Object) -> dict[str, str]:
    return obj["metadata"].get("labels") or {}


def until_settled(world: World, scenario: Scenario) -> Run:
    """In peace, so many runs as it may take; the plan after them."""
    for _ in range(scenario.patience):
        run = world.apply()
        nothing_was_pruned_blindly(run)
        only_its_own_was_written(run, scenario.objects)
        assert bool(run.code) is bool(scenario.away or run.going), run.out + run.err
        assert run.told == scenario.away
        plan = world.plan()
        if not plan.changed and scenario.decided(world):
            break
        time.sleep(scenario.pause)
    assert not plan.changed, plan.out
    assert plan.code == (1 if scenario.away or plan.going else 0), plan.out + plan.err
    return plan


@pytest.mark.parametrize(("kind", "breakage", "scenario"), list(cases()))
def test_whatever_breaks(
    kind: str,
    breakage: Breakage,
    scenario: Scenario,
    worlds: Worlds,
    count: Callable[..., None],
) -> None:
    world = worlds(kind, scenario.names)
    try:
        faults, unharmed = survive(world, breakage, scenario)
        assert faults, "nothing was injected: this case tests nothing"
        count(faults=faults, unharmed=int(unharmed))
    finally:
        count(runs=world.runs)


def survive(
    world: World, breakage: Breakage, scenario: Scenario, victim: str = VICTIM
) -> tuple[int, bool]:
    """How many faults there were, and whether the disturbed run did all that it was to do."""
    create_defaults(world, scenario)
    up = [name for name in world.hosts if name not in scenario.away]
    before = {name: strangers(world.hosts[name]) for name in up}
    world.write(scenario.change)
    deadline = ("--deadline", breakage.deadline) if breakage.deadline else ()
    with breakage.strike(world.hosts[victim]) as injected:
        run = world.apply("--log-format", "json", "--output", "text", *deadline)
        faults = injected()
    nothing_was_pruned_blindly(run)
    only_its_own_was_written(run, scenario.objects)
    if not scenario.away:
        it_told_the_truth(run, world.plan())
    until_settled(world, scenario)
    scenario.holds(world)
    no_stranger_was_touched(before, world.hosts)
    for name in scenario.away:
        world.hosts[name].revive()
    no_value_is_told(world)
    return faults, run.told <= scenario.away


# The lock is waited for longer than a run may take: it is given back when its deadline has passed.
QUICK = [breakage for breakage in BREAKAGES if not breakage.deadline]


@pytest.mark.parametrize("breakage", BREAKAGES if ALL else QUICK[::3], ids=str)
def test_whatever_breaks_where_lock_and_memory_are(
    breakage: Breakage, worlds: Worlds, count: Callable[..., None]
) -> None:
    scenario = next(s for s in SCENARIOS if s.name == (breakage.only or (USUAL,))[0])
    world = worlds("simulated", scenario.names)
    try:
        faults, unharmed = survive(world, breakage, scenario, HOST)
        count(faults=faults, unharmed=int(unharmed))
    finally:
        count(runs=world.runs)
