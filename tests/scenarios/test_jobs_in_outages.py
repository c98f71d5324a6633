"""A Job that is spread runs elsewhere in an outage only where it has not finished before."""

from __future__ import annotations

import pytest

from tests.scenarios.failover_world import WEB, FailoverWorld, simulated

__all__ = ["simulated"]

JOB = """
apiVersion: batch/v1
kind: Job
metadata: {name: migrate, namespace: shop}
spec:
  suspend: SUSPEND
  backoffLimit: 3
  ttlSecondsAfterFinished: 600
  template:
    spec:
      restartPolicy: Never
      containers: [{name: migrate, image: "registry.invalid/migrate:1"}]
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {name: migrate}
spec:
  select: [{kind: Job}]
  clusterSelector: {}
  spread: [{by: cluster, maxGroups: 1}]
"""


def homes(world: FailoverWorld) -> list[str]:
    return [name for name in world.hosts if world.exists("job", "migrate", cluster=name)]


def gone(world: FailoverWorld, name: str) -> list[str]:
    """An outage of that cluster until it counts as down; what is said of it."""
    world.hosts[name].stop()
    for _ in range(4):
        result = world.run()
    assert any(f"{name} counts as down" in warning for warning in result.plan.warnings)
    return [*result.plan.warnings, *map(str, result.plan.moves)]


@pytest.mark.parametrize("collected", [True, False])
def test_a_job_that_has_finished_is_not_run_elsewhere(
    simulated: FailoverWorld, collected: bool
) -> None:
    world = simulated
    world.begin(WEB + "---" + JOB.replace("SUSPEND", "false"))
    (home,) = homes(world)
    if collected:
        world.kubectl("-n", "shop", "delete", "job", "migrate", cluster=home)
    assert world.run().ok
    said = gone(world, home)
    others = [name for name in world.hosts if name != home]
    assert not any(world.exists("job", "migrate", cluster=name) for name in others)
    assert not any("DOWN" in text and "migrate" in text for text in said)


def test_a_job_that_had_not_finished_runs_elsewhere(simulated: FailoverWorld) -> None:
    world = simulated
    world.begin(WEB + "---" + JOB.replace("SUSPEND", "true"))
    (home,) = homes(world)
    assert world.run().ok
    gone(world, home)
    others = [name for name in world.hosts if name != home]
    assert sum(world.exists("job", "migrate", cluster=name) for name in others) == 1


def test_another_content_runs_elsewhere_in_an_outage(simulated: FailoverWorld) -> None:
    world = simulated
    world.begin(WEB + "---" + JOB.replace("SUSPEND", "false"))
    (home,) = homes(world)
    assert world.run().ok
    gone(world, home)
    text = JOB.replace("SUSPEND", "false").replace("migrate:1", "migrate:2")
    world.write("web.yaml", WEB + "---" + text)
    world.run()
    others = [name for name in world.hosts if name != home]
    assert sum(world.exists("job", "migrate", cluster=name) for name in others) == 1
