"""Observing and diffing one cluster inside a process, beside the bare LIST of the same objects.

``python -m bench.inside ADDRESS REPOSITORY KUBECONFIG ROUNDS`` prints JSON: seconds of each round.
Each round has new connections on both sides, and what a real run has: discovery from the inventory.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bench.floor import list_all, read_address
from reconciler.api.options import RunOptions
from reconciler.cluster.connect import Connector
from reconciler.federation.model import Cluster, DesiredState
from reconciler.inventory.observe import observe
from reconciler.inventory.store import read_inventory
from reconciler.plan.live_state import kinds_of
from reconciler.plan.member_plan import PlanSettings, plan_member
from reconciler.render.render import Rendering, render
from reconciler.run.repository import read_repository
from reconciler.scheduler.model import FleetView
from reconciler.scheduler.placement_warnings import Unplaced
from reconciler.scheduler.schedule import schedule


def main() -> None:
    """Alternates the two, after one round of each that does not count."""
    address, repository, kubeconfig, rounds = sys.argv[1:]
    options = RunOptions(repo=repository, path=".", kubeconfig=kubeconfig)
    state = read_repository(options).state
    rendering = render(state, schedule(state, FleetView()))
    connector = Connector.from_file(kubeconfig, state.federation.namespace)
    known = read_address(address)
    # As the command does: see cli.main.
    gc.set_threshold(1_000_000, 20, 20)

    def floor() -> None:
        list_all(known)

    def ours() -> None:
        unchanged = look_and_compare(connector, state, state.clusters[0], rendering)
        if unchanged != len(rendering.objects[state.clusters[0].name]):
            raise SystemExit(f"only {unchanged} objects are unchanged: nothing to compare here")

    timed(ours), timed(floor)
    pairs = [(timed(ours), timed(floor)) for _ in range(int(rounds))]
    print(json.dumps({"ours": [a for a, _ in pairs], "floor": [b for _, b in pairs]}))


def look_and_compare(
    connector: Connector, state: DesiredState, cluster: Cluster, rendering: Rendering
) -> int:
    """How many objects are as wanted."""
    member = connector.member(cluster)
    federation = state.federation
    inventory = read_inventory(member, federation.name, federation.namespace)
    observation = observe(member, inventory, kinds_of(rendering)[cluster.name])
    desired = rendering.objects[cluster.name]
    work = plan_member(
        member, cluster, observation, desired, Unplaced(), federation, PlanSettings()
    )
    member.close()
    return work.plan.unchanged


def timed(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    if not Path(sys.argv[1]).is_file():
        raise SystemExit(__doc__)
    main()
