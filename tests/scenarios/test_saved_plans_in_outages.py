"""Saved plans of a fleet in which clusters come and go."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.api.errors import StalePlan
from reconciler.api.options import RunOptions
from reconciler.plan.model import RunResult
from reconciler.run.pipeline import apply_plan
from reconciler.saved_plans.file import check_fresh, read_plan, save_plan
from tests.scenarios.failover_world import FEDERATION, WEB, FailoverWorld, real, simulated, world

__all__ = ["real", "simulated", "world"]

SECOND = WEB.replace("registry.invalid/web:1", "registry.invalid/web:2")


def options_of(world: FailoverWorld) -> RunOptions:
    given = {"repo": str(world.repository), "kubeconfig": str(world.kubeconfig)}
    return RunOptions(**{**given, **world.options})


def save(world: FailoverWorld) -> Path:
    file = world.repository.parent / "plan.json"
    save_plan(file, world.prepare(), options_of(world))
    return file


def applied(world: FailoverWorld, file: Path, minutes: float = 1.0) -> RunResult:
    world.now += 60 * minutes
    saved = read_plan(file)
    prepared = world.prepare(plan_only=False, sample_at=saved.seal.made_at)
    check_fresh(saved, prepared, options_of(world))
    return apply_plan(prepared)


def images(world: FailoverWorld, *names: str) -> set[str]:
    found = [world.get("deployment", "web", cluster=name) for name in names]
    return {one["spec"]["template"]["spec"]["containers"][0]["image"] for one in found}


def test_a_cluster_that_went_down_since_then_is_named(world: FailoverWorld) -> None:
    world.write("web.yaml", SECOND)
    file = save(world)
    world.hosts["aws-eu"].stop()
    with pytest.raises(StalePlan) as caught:
        applied(world, file)
    (difference,) = caught.value.differences
    assert difference.startswith("aws-eu: it cannot be looked at now: ")
    assert images(world, "gcp-eu", "gcp-us") == {"registry.invalid/web:1"}


def test_replicas_that_would_move_by_now_are_named(world: FailoverWorld) -> None:
    world.write("web.yaml", SECOND)
    world.hosts["aws-eu"].stop()
    for _ in range(3):
        world.run()
    world.write("web.yaml", WEB.replace("web:1", "web:3"))
    file = save(world)
    with pytest.raises(StalePlan) as caught:
        applied(world, file)
    told = "; ".join(caught.value.differences)
    assert "Deployment.apps shop/web" in told
    assert "spec.replicas changes now: 2 -> 3" in told


def test_a_cluster_that_was_down_and_is_down_waits_and_the_others_go_on(
    world: FailoverWorld,
) -> None:
    world.hosts["aws-eu"].stop()
    world.write("web.yaml", SECOND)
    file = save(world)
    result = applied(world, file, minutes=0.1)
    assert not result.ok
    assert {outcome.status for outcome in result.outcomes} == {"done"}
    assert images(world, "gcp-eu", "gcp-us") == {"registry.invalid/web:2"}


def test_a_cluster_that_is_back_was_not_planned_for(world: FailoverWorld) -> None:
    world.hosts["aws-eu"].stop()
    world.write("web.yaml", SECOND)
    file = save(world)
    world.hosts["aws-eu"].start()
    with pytest.raises(StalePlan, match="aws-eu: it could not be looked at when the plan"):
        applied(world, file)
    assert images(world, "aws-eu", "gcp-eu", "gcp-us") == {"registry.invalid/web:1"}


def test_the_sample_that_is_verified_is_that_of_the_plan(simulated: FailoverWorld) -> None:
    simulated.begin(federation=FEDERATION + "  verification: {share: 0.25}\n")
    many = "---".join(
        f"\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c{n}, namespace: shop}}\n"
        for n in range(40)
    )
    simulated.write("many.yaml", many)
    simulated.run()

    def requests(**options: object) -> list[int]:
        return [work.member.requests for work in simulated.prepare(**options).works]

    then = simulated.now
    by_turn = {tuple(requests(sample_at=then + 900.0 * turn)) for turn in range(4)}
    assert len(by_turn) > 1, "another turn verifies other objects"
    planned = requests(sample_at=then)
    for _ in range(4):
        simulated.now += 900
        assert requests(sample_at=then) == planned
