"""A seat that dies at any write of its run, with its API server; then another seat goes on.

The seat's own cluster is a member as well, so its writes are those of the lock, the memory, the
inventory and the objects.
"""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest

from reconciler.lock.run_lock import RunLock
from reconciler.plan.model import RunResult
from reconciler.run.pipeline import apply_plan, make_plan
from tests.command import start_command, user_environment
from tests.controlplane.process import eventually
from tests.scenarios.failover_world import NAMES, WEB
from tests.scenarios.seats_world import SeatsWorld, simulated

__all__ = ["simulated"]
DURATION = 6
"""Seconds for which others wait before they take the lock over from who was killed."""
SHARES = 3
FEDERATION = f"""
apiVersion: federation.reconciler.dev/v1alpha1
kind: Federation
metadata: {{name: shop}}
spec:
  seats: [{", ".join(NAMES)}]
  defaults: {{placement: {{clusterSelector: {{}}}}}}
"""
CONFIG = """---
apiVersion: v1
kind: ConfigMap
metadata: {name: %s, namespace: shop}
data: {colour: %s}
"""
BEFORE = CONFIG % ("settings", "green") + CONFIG % ("old", "grey")
AFTER = CONFIG % ("settings", "blue") + CONFIG % ("new", "white")


def furnish(world: SeatsWorld) -> None:
    world.now = time.time() - 600
    world.write("config.yaml", BEFORE)
    world.begin(WEB, FEDERATION)
    world.options |= {"clock": time.time, "lease_duration": float(DURATION)}
    world.write("config.yaml", AFTER)


def run(world: SeatsWorld, at: str) -> RunResult:
    given = world.given(at)
    with RunLock(given) as lock:
        return apply_plan(make_plan(given, lock=lock))


def start(
    world: SeatsWorld, at: str, *arguments: str, kubeconfig: Path | None = None
) -> subprocess.Popen[bytes]:
    """The command at this seat, in a process of its own."""
    home = world.repository.parent / "home"
    home.mkdir(exist_ok=True)
    where = ("--repo", world.repository, "--kubeconfig", kubeconfig or world.kubeconfig)
    return start_command(
        *("--yes", *where, "--host-context", at, "--seat", at),
        *("--lease-duration", f"{DURATION}s", *arguments),
        cwd=home,
        env=user_environment(home, XDG_STATE_HOME=str(home)),
        stderr=subprocess.STDOUT,
        text=False,
    )


def killed_at(world: SeatsWorld, seat: str, number: int) -> bool:
    """Whether there was a write of this number in the seat's cluster; then both are dead."""
    cluster = world.hosts[seat]
    held = cluster.faults.hold_write(number, when="after" if number % 2 else "before")
    process = start(world, seat)
    eventually(lambda: held.reached.is_set() or process.poll() is not None, "it writes or ends")
    reached = held.reached.is_set()
    if reached:
        process.kill()
        cluster.stop()
    said, _ = process.communicate(timeout=60)
    cluster.faults.clear()
    assert process.returncode == (-signal.SIGKILL if reached else 0), said.decode()
    return reached


def config_maps(world: SeatsWorld, cluster: str) -> dict[str, str]:
    found = world.hosts[cluster].objects.values()
    return {
        o["metadata"]["name"]: o["data"]["colour"]
        for o in found
        if o["kind"] == "ConfigMap" and "colour" in o.get("data", {})
    }


@pytest.mark.parametrize("share", range(SHARES))
def test_another_seat_goes_on_from_any_write_of_one_that_died(
    share: int, simulated: SeatsWorld
) -> None:
    furnish(simulated)
    number = share + 1
    while True:
        seat = NAMES[number // SHARES % len(NAMES)]
        second, third = (name for name in NAMES if name != seat)
        died = killed_at(simulated, seat, number)
        if died:
            run(simulated, at=second)
            for name in (second, third):
                assert config_maps(simulated, name) == {"settings": "blue", "new": "white"}
            simulated.hosts[seat].start()
            assert run(simulated, at=third).ok
        for name in NAMES:
            assert config_maps(simulated, name) == {"settings": "blue", "new": "white"}
            assert simulated.exists("deployment", "web", cluster=name)
        given = simulated.given(third, plan_only=True)
        assert not make_plan(given).plan.has_changes
        assert {one.state for one in simulated.register().read().seats.values()} == {"counts"}
        if not died:
            # There is no such write: all of them have been tried, in this test and its sisters.
            break
        simulated.write("config.yaml", BEFORE)
        assert run(simulated, at=seat).ok
        simulated.write("config.yaml", AFTER)
        number += SHARES
    # Three for the lock and the memory, and those of the inventory and the objects.
    assert number > 3 + SHARES
