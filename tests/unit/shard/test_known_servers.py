"""Each pod remembers which API servers its own clusters are, and lets no other one take over."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import yaml

from kubesim.fleet import Sandbox
from kubesim.server import ClusterSettings
from reconciler.run.pipeline import apply_plan, make_plan
from tests.unit.shard.conftest import NAMES, ShardedWorld
from tests.unit.shard.test_shared_runs import FIRST, OTHERS, SETTINGS


@pytest.fixture
def spare() -> Iterator[Sandbox]:
    with Sandbox(["spare"], settings=ClusterSettings(nodes=1)) as sandbox:
        yield sandbox


def rebuild(world: ShardedWorld, spare: Sandbox, name: str) -> None:
    document = yaml.safe_load(world.kubeconfig.read_text())
    new = yaml.safe_load(spare.kubeconfig.read_text())
    for part in ("clusters", "users"):
        document[part] += new[part]
    (led,) = new["contexts"]
    others = [one for one in document["contexts"] if one["name"] != name]
    document["contexts"] = [*others, {"name": name, "context": led["context"]}]
    world.kubeconfig = world.repository.parent / "rebuilt"
    world.kubeconfig.write_text(yaml.safe_dump(document))


@pytest.mark.parametrize("name", [FIRST, OTHERS[-1]])
def test_another_server_is_refused_by_the_pod_that_plans_it_until_it_is_taken_over(
    simulated: ShardedWorld, spare: Sandbox, name: str
) -> None:
    world = simulated
    world.commit("settings.yaml", SETTINGS % ", ".join(NAMES))
    assert all(result.ok for result in world.run())
    assert world.memory().servers.keys() == set(NAMES)
    rebuild(world, spare, name)
    problems = {c.name: c.problem for r in world.run() for c in r.plan.clusters if c.problem}
    assert problems.keys() == {name}
    assert f"--take-over --cluster {name}" in problems[name]
    before = world.memory().servers
    taken = make_plan(world.given(take_over=True, clusters=(name,)))
    assert apply_plan(taken).ok
    assert world.memory().servers[name] != before[name]
    assert all(result.ok for result in world.run())
