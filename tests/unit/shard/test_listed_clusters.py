"""Pods that share a run of a fleet that the host lists."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from kubesim.fleet import Sandbox
from reconciler.run.pipeline import Prepared
from tests.controlplane.process import eventually
from tests.scenarios.cluster_profiles import FLEET, definition, profile
from tests.unit.shard.conftest import HOST, NAMES, ShardedWorld
from tests.unit.shard.test_shared_runs import WEB

FEDERATION = """
apiVersion: federation.reconciler.dev/v1alpha1
kind: Federation
metadata: {name: shop}
spec:
  inventory: {clusterProfiles: {namespace: fleet}}
  defaults: {placement: {clusterSelector: {}}}
"""


def test_all_pods_take_the_list_that_the_deciding_one_read(
    simulated: ShardedWorld, simulated_fleet: Sandbox
) -> None:
    host = simulated_fleet.cluster(HOST)
    host.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": FLEET}})
    host.apply(definition("ClusterProfile"))
    listed = ("get", "clusterprofiles", "-A")
    eventually(
        lambda: "No resources" in simulated.kubectl(*listed, cluster=HOST, check=False),
        "the kind is served",
    )
    for name in NAMES:
        host.apply(profile(name))
    simulated.commit("federation.yaml", FEDERATION)
    simulated.commit("web.yaml", WEB)
    job, unlisted = simulated.job(), threading.Event()

    def unlist(prepared: Prepared) -> None:
        if prepared.round and prepared.round.shard.decides:
            command = ("delete", "clusterprofile", NAMES[0], "-n", FLEET)
            simulated.kubectl(*command, cluster=HOST)
            unlisted.set()

    job.before_write = unlist
    with ThreadPoolExecutor(3) as pool:
        first = job.start(pool, 0)
        assert unlisted.wait(60)
        others = [job.start(pool, index) for index in (1, 2)]
        results = [one.result() for one in (first, *others)]
    assert all(result.ok for result in results)
    assert simulated.replicas() == dict.fromkeys(NAMES, 2)
    inventory = simulated.memory().inventory
    assert inventory is not None
    assert [one.name for one in inventory.profiles] == sorted(NAMES)
    # The next run is of the list as it is by now.
    simulated.run()
    assert [simulated.replicas_at(name) for name in NAMES] == [2, 3, 3]
