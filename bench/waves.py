"""What a run with nothing to do costs once a commit has gone through the fleet in waves."""

from __future__ import annotations

import json

from bench.commands import Commands
from bench.repositories import paint, write_repository
from bench.rows import Row, longer
from bench.sizes import Sizes
from bench.timing import CommandFailed, in_turns, run, seconds
from tests.controlplane.plane import ControlPlane


def rollout_beside_none(plane: ControlPlane, commands: Commands, sizes: Sizes) -> list[Row]:
    """The same objects in two clusters, each a federation of its own: one without ``spec.rollout``,
    and one in which a rollout has ended."""
    clusters = dict(zip(("plain", "waves"), plane.clusters(2), strict=True))
    for cluster in clusters.values():
        cluster.clean()
    kubeconfig = plane.kubeconfig(clusters)
    made = {}
    for name in clusters:
        waves = [[name]] if name == "waves" else []
        repository = write_repository(commands.folder / name, sizes.objects, [name], waves=waves)
        made[name] = commands.reconcile("--yes", repository=repository, kubeconfig=kubeconfig)
        run(made[name])
        paint(repository, "blue")
        # The first run gives the cluster the commit, the next one finds it well there.
        for _ in range(2):
            run(made[name])
    told = commands.reconcile(
        "rollout", "--output=json", repository=commands.folder / "waves", kubeconfig=kubeconfig
    )
    if json.loads(run(told).output)["rollout"]["phase"] != "Steady":
        raise CommandFailed("the rollout has not ended: there is nothing to compare")
    found = in_turns(sizes.rounds, **made)
    return [
        longer(
            f"nothing to do, 1 × {sizes.objects:,} objects, after a rollout",
            seconds(found["waves"]),
            seconds(found["plain"]),
            "without rollouts",
            1.1,
            judged=sizes.judged,
        )
    ]
