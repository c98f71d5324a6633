"""The command, killed by SIGKILL after each of its writes; then it is run again.

What it had not yet told anybody is lost with it, so the moment is the same as right before the next
write. The lock is a file, which the kernel unlocks; a killed run's Lease is waited for in
``tests/unit/apply``.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator

import pytest

from tests.chaos.conftest import Worlds
from tests.chaos.invariants import (
    no_stranger_was_touched,
    no_value_is_told,
    nothing_was_pruned_blindly,
    only_its_own_was_written,
    strangers,
)
from tests.chaos.scenarios import SCENARIOS, VICTIM, Scenario
from tests.chaos.test_breakages import ALL, USUAL, create_defaults, until_settled
from tests.chaos.world import World
from tests.controlplane.process import eventually

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
SHARES = 2
"""Into so many tests are the writes of a scenario divided, so that processes can share them."""


def cases() -> Iterator[object]:
    for kind, names in (("simulated", ("first apply", USUAL)), ("real", (USUAL,))):
        for name in (*names, "deletion of a placement") if ALL else names:
            for share in range(SHARES):
                marks = [pytest.mark.integration] if kind == "real" else []
                label = f"{kind}: {name}, {share + 1} of {SHARES}"
                yield pytest.param(kind, BY_NAME[name], share, marks=marks, id=label)


def killed_at(world: World, scenario: Scenario, number: int) -> bool:
    """Whether there was a write of this number in the victim; then the run was killed there.

    The request is lost with the run that sent it, or its answer is: in turns.
    """
    held = world.hosts[VICTIM].faults.hold_write(number, when="after" if number % 2 else "before")
    seen = world.seen()
    process = world.start("--yes", "--log-format", "json", "--output", "text")
    eventually(lambda: held.reached.is_set() or process.poll() is not None, "it writes or ends")
    reached = held.reached.is_set()
    if reached:
        process.kill()
    run = world.ended(process, seen)
    world.hosts[VICTIM].faults.clear()
    assert run.code == (-signal.SIGKILL if reached else 0), run.out + run.err
    nothing_was_pruned_blindly(run)
    only_its_own_was_written(run, scenario.objects)
    return reached


@pytest.mark.parametrize(("kind", "scenario", "share"), list(cases()))
def test_a_run_that_is_killed_at_any_write(
    kind: str, scenario: Scenario, share: int, worlds: Worlds, count: Callable[..., None]
) -> None:
    number = share + 1
    while True:
        world = worlds(kind, scenario.names)
        world.lock, world.events = "file", "none"
        create_defaults(world, scenario)
        before = {name: strangers(host) for name, host in world.hosts.items()}
        world.write(scenario.change)
        killed = killed_at(world, scenario, number)
        until_settled(world, scenario)
        scenario.holds(world)
        no_stranger_was_touched(before, world.hosts)
        no_value_is_told(world)
        count(faults=int(killed), runs=world.runs)
        if not killed:
            # There is no such write: all of them have been tried, in this test and its sisters.
            break
        number += SHARES
    assert number > SHARES, "nobody was killed"
