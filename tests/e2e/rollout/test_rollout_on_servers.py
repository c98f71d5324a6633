"""Commits in waves on real API servers, with controllers, and audit logs as witnesses."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from reconciler.state.memory import RolloutPhase
from tests.chaos.proxy import FaultProxy, fault_proxy
from tests.command import start_command, user_environment
from tests.controlplane.plane import ControlPlane
from tests.controlplane.process import eventually
from tests.scenarios.failover_world import NAMES, SHARES
from tests.scenarios.rollout_world import BROKEN, FIRST, LAST, SECOND, config_map, rules, web
from tests.scenarios.seats_world import SYSTEM

from .conftest import Proxied, RolloutOnServers, Servers

NewWorld = Callable[..., RolloutOnServers]


def all_on(tag: str) -> dict[str, str]:
    return dict.fromkeys(NAMES, tag)


def test_a_bad_commit_stops_in_its_first_wave_and_is_fixed_forward(
    world: RolloutOnServers,
) -> None:
    stable = world.head
    with world.writes() as writes:
        bad = world.fail()
    assert world.beside_the_memory(writes[FIRST])
    assert not writes[SECOND], "not one write"
    assert not world.beside_the_memory(writes[LAST])
    assert world.versions() == {FIRST: BROKEN, SECOND: "1", LAST: "1"}
    assert world.commits() == {FIRST: bad, SECOND: stable, LAST: stable}
    assert "no progress in 10m" in world.rollout.reason
    # What ran before the bad version goes on, as its Deployment keeps it.
    assert world.ready() == 6

    good = world.commit(web=web("3"))
    with world.writes() as writes:
        world.run()
    assert not writes[SECOND]
    assert not world.beside_the_memory(writes[LAST])
    assert world.versions() == {FIRST: "3", SECOND: "1", LAST: "1"}
    world.run_until_stable()
    assert world.versions() == all_on("3")
    assert world.commits() == dict.fromkeys(NAMES, good)


def test_a_bad_commit_is_reverted(world: RolloutOnServers) -> None:
    world.fail()
    back = world.revert()
    with world.writes() as writes:
        world.run_until_stable()
    assert world.versions() == all_on("1")
    assert world.ready() == 6
    assert world.commits() == dict.fromkeys(NAMES, back)
    for name in (SECOND, LAST):
        assert not [line for line in writes[name] if world.space + "/" in line.split(SYSTEM)[0]]


def test_a_failed_wave_returns_by_itself(new_world: NewWorld) -> None:
    world = new_world(federation=rules(onFailure="Return"))
    stable = world.head
    bad = world.fail()
    world.run()
    assert world.versions() == all_on("1")
    assert world.ready() == 6
    assert world.commits() == dict.fromkeys(NAMES, stable)
    assert world.rollout.candidate == bad
    with world.writes() as writes:
        world.run()
        world.run(20)
    assert not [line for name in NAMES for line in world.beside_the_memory(writes[name])]


def test_a_newer_commit_replaces_one_in_its_first_wave_and_waits_for_one_that_has_left_it(
    world: RolloutOnServers,
) -> None:
    world.commit(web=web(BROKEN))
    world.run()
    newer = world.commit(web=web("2"))
    world.run()
    assert world.rollout.candidate == newer
    assert world.versions() == {FIRST: "2", SECOND: "1", LAST: "1"}
    world.run()
    assert world.versions() == {FIRST: "2", SECOND: "2", LAST: "1"}
    waiting = world.commit(web=web("3"))
    seen = []
    for _ in range(6):
        world.run()
        seen.append(world.versions())
    assert {FIRST: "3", SECOND: "2", LAST: "2"} in seen
    assert seen[-1] == all_on("3")
    assert world.commits() == dict.fromkeys(NAMES, waiting)


def test_in_order_no_commit_is_left_out(new_world: NewWorld) -> None:
    world = new_world(federation=rules(queue="InOrder"))
    for tag in ("2", "3"):
        world.commit(web=web(tag))
        world.run()
    seen = [world.versions()]
    for _ in range(8):
        world.run()
        seen.append(world.versions())
    assert all_on("2") in seen or {FIRST: "3", SECOND: "2", LAST: "2"} in seen, seen
    assert seen[-1] == all_on("3")


def test_a_cluster_lost_in_its_wave_gets_what_is_stable_when_it_returns(
    world: RolloutOnServers,
) -> None:
    world.commit(web=web("2"))
    world.run()
    world.lose(SECOND)
    for _ in range(7):
        world.run()
    assert world.versions(FIRST, LAST) == {FIRST: "2", LAST: "2"}
    assert world.ready(FIRST, LAST) == 6
    assert not world.rollout.candidate
    world.bring_back(SECOND)
    for _ in range(9):
        world.run()
        assert world.ready() >= 6
    assert world.versions() == all_on("2")
    assert world.shares() == SHARES


def test_failover_goes_on_while_a_rollout_stands(world: RolloutOnServers) -> None:
    world.fail(total=9)
    assert sum(world.shares().values()) >= 6
    world.lose(SECOND)
    for _ in range(5):
        world.run()
    assert world.versions(FIRST, LAST) == {FIRST: BROKEN, LAST: "1"}
    assert sum(world.shares(FIRST, LAST).values()) >= 6
    world.bring_back(SECOND)
    for _ in range(9):
        world.run()
        assert sum(world.shares().values()) >= 6
    assert world.versions() == {FIRST: BROKEN, SECOND: "1", LAST: "1"}
    assert world.rollout.phase is RolloutPhase.FAILED
    world.commit(web=web("3"))
    for _ in range(6):
        world.run()
        assert world.ready() >= 6
    assert world.versions() == all_on("3")


def test_a_lost_memory_starts_nothing_and_every_cluster_keeps_its_commit(
    world: RolloutOnServers,
) -> None:
    stable = world.head
    new = world.commit(web=web("2"))
    world.run()
    memory = f"/api/v1/namespaces/{SYSTEM}/configmaps/federation-{world.space}-memory"
    world.hosts[LAST].call("DELETE", memory)
    world.commit(web=web("3"))
    with world.writes() as writes:
        for _ in range(3):
            world.run()
    assert not [line for name in NAMES for line in world.beside_the_memory(writes[name])]
    assert world.rollout.phase is RolloutPhase.HELD
    assert world.commits() == {FIRST: new, SECOND: stable, LAST: stable}
    world.steer(phase=RolloutPhase.PROGRESSING, reason="", progress=world.now)
    for _ in range(7):
        world.run()
    assert world.versions() == all_on("3")


# -- killed ----------------------------------------------------------------------------------------


def kill_at(world: RolloutOnServers, proxies: FaultProxy, number: int) -> bool:
    """Whether the command had a write of this number in the first cluster, where its memory is,
    too; then it was killed there. The request is lost with it, or its answer is: in turns."""
    held = proxies.faults.hold_write(number, when="after" if number % 2 else "before")
    home = world.repository.parent / "home"
    home.mkdir(exist_ok=True)
    process = start_command(
        *("--yes", "--lock", "file", "--events", "none"),
        *("--repo", world.repository, "--kubeconfig", world.kubeconfig),
        *("--host-context", FIRST, "--state", "configmap"),
        cwd=home,
        env=user_environment(home, XDG_STATE_HOME=str(home)),
        stderr=subprocess.STDOUT,
    )
    eventually(lambda: held.reached.is_set() or process.poll() is not None, "it writes or ends", 60)
    reached = held.reached.is_set()
    if reached:
        process.kill()
    said, _ = process.communicate(timeout=60)
    proxies.faults.clear()
    assert process.returncode == (-signal.SIGKILL if reached else 0), said
    return reached


STEP = 1 if os.environ.get("RECONCILER_FAULTS", "") == "all" else 3
"""``make faults`` tries each write of a run, the others every third."""


def test_a_command_killed_at_any_write_of_the_first_wave_is_gone_on_from(
    new_world: NewWorld, servers: Servers, control_plane: ControlPlane, tmp_path: Path
) -> None:
    first = servers[FIRST]
    with fault_proxy(first.url, first.certificate, tmp_path / "proxy.pem") as proxy:
        world = new_world(host=FIRST, now=time.time() - 600)
        trusted = tmp_path / "proxy-ca.pem"
        trusted.write_text(proxy.certificate)
        behind = {**servers, FIRST: Proxied(proxy.url, trusted, first.tokens)}
        world.kubeconfig = control_plane.kubeconfig(behind)
        world.options["clock"] = time.time
        number, version = 1, 1
        while True:
            version += 1
            before = str(version - 1)
            files = {"more.yaml": config_map("more", version=f'"{version}"')}
            new = world.commit(files, web=web(str(version)))
            killed = kill_at(world, proxy, number)
            world.settle()
            for name in (SECOND, LAST):
                assert world.versions(name) == {name: before}, "it is not beyond its wave"
            assert world.versions(FIRST)[FIRST] in (before, str(version))
            for _ in range(6):
                world.run()
                assert world.ready() >= 6
            assert world.versions() == all_on(str(version))
            assert world.commits() == dict.fromkeys(NAMES, new)
            for name in NAMES:
                found = world.find(name, "ConfigMap", "more")
                assert found["data"] == {"version": str(version)}
            if not killed:
                break
            number += STEP
        assert number > 4, "memory, inventory, objects"


# -- shared runs -----------------------------------------------------------------------------------


def test_pods_that_share_a_run_stop_a_bad_commit(new_world: NewWorld) -> None:
    world = new_world()
    world.options["repo"] = world.repository.as_uri()
    world.commit(web=web("2"))
    for expected in ({FIRST: "2", SECOND: "1", LAST: "1"}, {FIRST: "2", SECOND: "2", LAST: "1"}):
        assert all(one.ok for one in world.job())
        assert world.versions() == expected
    for _ in range(3):
        world.job()
    assert world.versions() == all_on("2")
    bad = world.commit(web=web(BROKEN))
    with world.writes() as writes:
        for minutes in (1, 1, 5, 5):
            world.job(minutes)
    assert world.rollout.phase is RolloutPhase.FAILED
    assert world.commits()[FIRST] == bad
    assert world.versions() == {FIRST: BROKEN, SECOND: "2", LAST: "2"}
    assert not writes[SECOND]
    assert not world.beside_the_memory(writes[LAST])
    world.commit(web=web("3"))
    for _ in range(6):
        world.job()
    assert world.versions() == all_on("3")


def test_seats_take_turns_in_the_middle_of_a_rollout(new_world: NewWorld) -> None:
    world = new_world(seats=True)
    world.commit(web=web("2"))
    world.run(at=FIRST)
    assert world.versions() == {FIRST: "2", SECOND: "1", LAST: "1"}
    world.run(at=SECOND)
    assert world.versions() == {FIRST: "2", SECOND: "2", LAST: "1"}
    world.lose(SECOND)
    for at in (LAST, FIRST) * 4:
        world.run(at=at)
    assert world.versions(FIRST, LAST) == {FIRST: "2", LAST: "2"}
    assert world.ready(FIRST, LAST) == 6
    world.bring_back(SECOND)
    for at in NAMES * 4:
        world.run(at=at)
    assert world.versions() == all_on("2")
    assert world.shares() == SHARES
    assert not world.rollout.candidate
