"""What a pull request shows where commits reach the fleet in waves: the change, then the order."""

from __future__ import annotations

import re

from reconciler.api.options import RunOptions
from reconciler.plan.model import Plan
from reconciler.report.markdown import render_plan_markdown
from reconciler.run.compare_commits import make_plan_against
from tests.scenarios.failover_world import NAMES
from tests.scenarios.rollout_world import (
    FIRST,
    RolloutWorld,
    config_map,
    rules,
    simulated,
    web,
)
from tests.unit.git.repositories import git

__all__ = ["simulated"]


def against_main(world: RolloutWorld) -> Plan:
    given = {"repo": str(world.repository), "kubeconfig": str(world.kubeconfig), **world.options}
    return make_plan_against(RunOptions(**{**given, "plan_only": True}), "main").plan


def changed(plan: Plan) -> dict[str, list[str]]:
    return {one.name: [change.key.name for change in one.changes] for one in plan.clusters}


def test_a_branch_shows_the_change_of_the_whole_fleet_and_then_the_order(
    simulated: RolloutWorld,
) -> None:
    world = simulated
    world.begin(federation=rules(wave="soak: 5m"))
    git(world.repository, "checkout", "-q", "-b", "feature")
    world.commit({"extra.yaml": config_map("extra", colour="green")})
    with world.writes() as writes:
        plan = against_main(world)
    assert changed(plan) == {name: ["extra"] for name in NAMES}
    assert not any(writes.values())
    text = render_plan_markdown(plan)
    fleet, road = text.index(f"| {NAMES[-1]} | ✅ healthy | 1 |"), text.index("Rollout of")
    assert fleet < road
    assert "+ ConfigMap shop/extra" in text
    assert re.findall(r"\d (canary|next|others)", text[road:]) == ["canary", "next", "others"]
    assert "at least 15 min until every cluster has it" in text[road:]


def test_what_is_on_its_way_already_is_no_part_of_a_branch(simulated: RolloutWorld) -> None:
    """Main's own commit has reached one cluster of three."""
    world = simulated
    world.begin()
    world.commit(web=web("2"))
    world.run()
    assert world.versions(FIRST) == {FIRST: "2"}
    git(world.repository, "checkout", "-q", "-b", "feature")
    world.commit({"extra.yaml": config_map("extra", colour="green")})
    plan = against_main(world)
    assert changed(plan) == {name: ["extra"] for name in NAMES}
    assert plan.base is not None
    assert plan.base.left_out.changes == 2, "the two that are yet to get it"


def test_the_order_says_which_commit_each_cluster_has(simulated: RolloutWorld) -> None:
    world = simulated
    world.begin()
    stable, main = world.head, world.commit(web=web("2"))
    for _ in range(2):
        world.run()
    git(world.repository, "checkout", "-q", "-b", "feature")
    branch = world.commit({"extra.yaml": config_map("extra", colour="green")})
    view = against_main(world).rollout
    assert view is not None
    commits = [cluster.commit for wave in view.waves for cluster in wave.clusters]
    assert commits == [branch, main, stable]
