"""Lock and memory at three seats: any one of them may be gone, and runs go on."""

# ruff: noqa: F401, F811  (fixtures)

from __future__ import annotations

import pytest
import yaml

from reconciler.api.errors import LeaseLost, NoMajority, ReconcileError, UsageError
from reconciler.lock.run_lock import RunLock
from reconciler.run.pipeline import apply_plan, make_plan
from reconciler.state.memory import Phase
from tests.scenarios.failover_world import CLUSTERS, SHARES
from tests.scenarios.seats_world import (
    SEATS,
    SeatsWorld,
    real,
    simulated,
    world,
)


def test_the_loss_of_a_seat_that_is_a_member_too_is_a_failover(world: SeatsWorld) -> None:
    assert world.counts() == SHARES
    world.hosts["aws-eu"].stop()
    for at in ("gcp-eu", "gcp-us", "gcp-eu", "gcp-us", "gcp-eu"):
        world.run(at=at)
    assert world.memory().clusters["aws-eu"].phase is Phase.DOWN
    assert sum(world.counts("gcp-eu", "gcp-us").values()) == 6


def test_what_one_seat_remembers_the_others_know(simulated: SeatsWorld) -> None:
    simulated.begin()
    simulated.hosts["gcp-us"].stop()
    simulated.run(at="aws-eu")
    first = simulated.memory().clusters["gcp-us"]
    simulated.run(at="gcp-eu")
    second = simulated.memory().clusters["gcp-us"]
    assert second.streak > first.streak


def test_without_a_majority_a_run_plans_and_writes_nothing(simulated: SeatsWorld) -> None:
    simulated.begin()
    simulated.write("more.yaml", MORE)
    for name in ("aws-eu", "gcp-us"):
        simulated.hosts[name].stop()
    given = simulated.given("gcp-eu")
    with RunLock(given) as lock:
        prepared = make_plan(given, lock=lock)
        assert any(change.key.name == "more" for _, change in prepared.plan.writes())
        assert any("no majority" in text for text in prepared.plan.warnings)
        with pytest.raises(NoMajority, match="aws-eu is unreachable"):
            apply_plan(prepared)
    assert not simulated.exists("configmap", "more", cluster="gcp-eu")
    for name in ("aws-eu", "gcp-us"):
        simulated.hosts[name].start()
    assert simulated.run(at="gcp-eu").ok
    assert simulated.exists("configmap", "more", cluster="gcp-eu")


def test_two_seats_never_write_at_the_same_time(simulated: SeatsWorld) -> None:
    simulated.begin()
    simulated.options["lease_duration"] = 30.0
    mine = simulated.given("aws-eu")
    with RunLock(mine) as lock:
        make_plan(mine, lock=lock)
        with (
            pytest.raises(LeaseLost, match="holds the lock"),
            RunLock(simulated.given("gcp-eu", deadline=8.0)) as other,
        ):
            make_plan(simulated.given("gcp-eu", deadline=8.0), lock=other)
        lock.check()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"seat": "elsewhere"}, "is none of the seats"),
        ({"shard": "0/2"}, "needs a commit"),
        ({"lock": "none"}, "seats, which keep the lock"),
        ({"lock": "file"}, "seats, which keep the lock"),
    ],
)
def test_what_does_not_fit_the_seats_is_told(
    simulated: SeatsWorld, options: dict[str, str], words: str
) -> None:
    simulated.begin()
    given = simulated.given("gcp-eu", round="r1", **options)
    with RunLock(given) as lock, pytest.raises(UsageError, match=words):
        make_plan(given, lock=lock)


def test_seats_without_a_register_are_told_the_command_that_makes_it(
    simulated: SeatsWorld,
) -> None:
    simulated.write("federation.yaml", SEATS)
    simulated.write("clusters.yaml", CLUSTERS)
    given = simulated.given("gcp-eu", plan_only=False)
    with RunLock(given) as lock, pytest.raises(ReconcileError) as told:
        make_plan(given, lock=lock)
    assert "reconcile seats init" in told.value.hint
    plan = make_plan(simulated.given("gcp-eu", plan_only=True)).plan
    assert any("reconcile seats init" in text for text in plan.warnings)
    assert not any("no majority" in text for text in plan.warnings)


def test_a_copy_that_was_deleted_is_written_anew_by_the_next_run(simulated: SeatsWorld) -> None:
    simulated.begin()
    simulated.kubectl(
        *("delete", "configmap", "-n", "federation-system", "federation-shop-seat"),
        cluster="aws-eu",
    )
    assert simulated.register().read().seats["aws-eu"].state == "lost"
    assert simulated.run(at="gcp-eu").ok
    assert {one.state for one in simulated.register().read().seats.values()} == {"counts"}


MORE = """
apiVersion: v1
kind: ConfigMap
metadata: {name: more, namespace: shop}
data: {a: b}
"""


def test_what_only_one_seat_cannot_reach_is_not_declared_down(simulated: SeatsWorld) -> None:
    simulated.begin()
    other = simulated.repository.parent / "cut.kubeconfig"
    config = yaml.safe_load(simulated.kubeconfig.read_text())
    context = next(c["context"] for c in config["contexts"] if c["name"] == "gcp-us")
    cluster = next(c["cluster"] for c in config["clusters"] if c["name"] == context["cluster"])
    # From aws-eu nothing listens where gcp-us should be.
    cluster["server"] = "https://127.0.0.1:1"
    other.write_text(yaml.safe_dump(config))
    for _ in range(5):
        result = simulated.run(at="aws-eu", kubeconfig=str(other))
    simulated.run(at="gcp-eu")
    simulated.run(at="gcp-us")
    for _ in range(5):
        result = simulated.run(at="aws-eu", kubeconfig=str(other))
    assert simulated.memory().clusters["gcp-us"].phase is Phase.UP
    (health,) = [one for one in result.plan.health if one.cluster == "gcp-us"]
    assert "seen well from gcp-eu, not from aws-eu" in health.seen
    assert simulated.counts() == SHARES


def test_a_run_that_cannot_have_the_lock_leaves_its_look(simulated: SeatsWorld) -> None:
    simulated.begin()
    own = simulated.given("aws-eu", lease_duration=30.0)
    with RunLock(own) as lock:
        make_plan(own, lock=lock)
        before = simulated.register().read().seats["gcp-eu"].look
        simulated.now += 60
        waiting = simulated.given("gcp-eu", lease_duration=30.0, deadline=8.0)
        with pytest.raises(LeaseLost), RunLock(waiting) as other:
            make_plan(waiting, lock=other)
        assert simulated.register().read().seats["gcp-eu"].look != before
