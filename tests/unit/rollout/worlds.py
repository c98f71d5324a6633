"""A federation in three waves, and a rollout somewhere in it."""

from __future__ import annotations

from typing import Any

from reconciler.api.errors import Position
from reconciler.federation.model import Cluster, Gate, RolloutRules, Selector, Wave
from reconciler.rollout.model import RolloutView
from reconciler.rollout.remembered import remembered_view
from reconciler.rollout.steering import Waves
from reconciler.state.memory import ClusterMemory, FleetMemory, Phase, RolloutMemory

STABLE = "9be01d2" + "0" * 33
CANDIDATE = "3f2c1ab" + "0" * 33
NEWER = "77ce210" + "0" * 33
NOW = 1_800_000_000.0

CLUSTERS = tuple(
    Cluster(name, Position("clusters.yaml", 1, 1), labels={"tier": tier})
    for name, tier in (
        ("canary", "canary"),
        ("aws-eu", "eu"),
        ("gcp-eu", "eu"),
        ("aws-us", "us"),
        ("gcp-us", "us"),
    )
)
RULES = RolloutRules(
    (
        Wave("canary", clusters=("canary",), soak=600.0),
        Wave(
            "eu",
            selector=Selector(labels={"tier": "eu"}),
            max_concurrent=1,
            soak=900.0,
            gates=(Gate("errors", "http://prometheus.example", "up", at_most=0.01),),
        ),
        Wave("rest", manual=True),
    )
)
WAVES: Waves = (
    ("canary", ("canary",)),
    ("eu", ("aws-eu", "gcp-eu")),
    ("rest", ("aws-us", "gcp-us")),
)


def in_wave_two(*begun: str, **given: Any) -> FleetMemory:
    """The candidate has passed the first wave, and has begun in these clusters of the second."""
    commits = dict.fromkeys(("canary", *begun), CANDIDATE)
    rollout = RolloutMemory(
        stable=STABLE,
        candidate=CANDIDATE,
        commits=commits,
        began=NOW - 3600,
        wave=1,
        wave_began=NOW - 600,
        progress=NOW - 300,
    )
    fields = {name: getattr(rollout, name) for name in rollout.__struct_fields__}
    left = WAVES[: given.get("wave", 1)]
    passed = tuple(name for _, names in left for name in names)
    changed = {**fields, "passed": passed, **given}
    changed["arrived"] = (*passed, *changed["arrived"])
    return FleetMemory(rollout=RolloutMemory(**changed))


def down(memory: FleetMemory, name: str) -> FleetMemory:
    clusters = {**memory.clusters, name: ClusterMemory(Phase.DOWN, NOW - 60)}
    return FleetMemory(clusters, rollout=memory.rollout)


def view(memory: FleetMemory) -> RolloutView:
    return remembered_view(RULES, CLUSTERS, memory, NOW)
