"""Commits in waves on real API servers, with controllers, and audit logs as witnesses."""

from __future__ import annotations

from tests.scenarios.failover_world import NAMES
from tests.scenarios.rollout_world import BROKEN, FIRST, LAST, SECOND, web

from .conftest import RolloutOnServers


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
