"""How much is measured: the sizes that the targets are about, or small ones for a look."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sizes:
    """``rounds`` is how often each command runs, in turn with what it is compared with.

    ``growth_objects`` are numbers of objects on one real cluster, ``kubectl_up_to`` the most that
    kubectl is given; ``growth_clusters`` are numbers of simulated clusters.
    """

    rounds: int = 7
    slow_rounds: int = 3
    objects: int = 1000
    clusters: int = 4
    manifests: int = 10_000
    fleet: int = 1000
    fleet_objects: int = 50
    fleet_dead: int = 100
    pushes: int = 20
    repaired: int = 10_000
    repairs: int = 200
    storm_seconds: float = 60.0
    growth_objects: tuple[int, ...] = (100, 1000, 10_000, 100_000)
    kubectl_up_to: int = 10_000
    growth_clusters: tuple[int, ...] = (1, 10, 100, 1000)
    judged: bool = True
    """Whether the targets hold for these sizes."""


FULL = Sizes()
QUICK = Sizes(
    rounds=2,
    slow_rounds=1,
    objects=100,
    clusters=2,
    manifests=1000,
    fleet=20,
    fleet_objects=20,
    fleet_dead=2,
    pushes=3,
    repaired=200,
    repairs=5,
    storm_seconds=8.0,
    growth_objects=(100, 400),
    kubectl_up_to=100,
    growth_clusters=(1, 10, 20),
    judged=False,
)
