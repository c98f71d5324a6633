"""Nobody gives up replicas for a cluster that cannot be looked at, whatever the reason."""

from __future__ import annotations

import pytest

from tests.scenarios.failover_world import (
    CLUSTER,
    CLUSTERS,
    FEDERATION,
    NAMES,
    WEB,
    FailoverWorld,
    real,
    simulated,
)

__all__ = ["real", "simulated"]

WITHOUT_FAILOVER = FEDERATION[: FEDERATION.index("  failover:")]
GCP_US = CLUSTER % ("gcp-us", "gcp", "us-central1")
HEAVIER = CLUSTERS.replace("region: us-central1}", "region: us-central1, weight: 4}")


@pytest.fixture(params=["simulated", pytest.param("real", marks=pytest.mark.integration)])
def world(request: pytest.FixtureRequest) -> FailoverWorld:
    world: FailoverWorld = request.getfixturevalue(request.param)
    return world


@pytest.mark.parametrize("federation", [FEDERATION, WITHOUT_FAILOVER])
def test_a_new_cluster_that_never_answered(world: FailoverWorld, federation: str) -> None:
    world.write("federation.yaml", federation)
    world.write("clusters.yaml", CLUSTERS.removesuffix(GCP_US))
    world.write("web.yaml", WEB)
    world.options |= {"clock": lambda: world.now, "state": str(world.state)}
    world.wait_for_pods = world.until_ready
    for _ in range(2):
        assert world.run().ok
    world.hosts["gcp-us"].stop()
    world.write("clusters.yaml", CLUSTERS)
    world.run()
    assert world.counts("aws-eu", "gcp-eu") == {"aws-eu": 3, "gcp-eu": 3}
    world.hosts["gcp-us"].start()
    for _ in range(8):
        world.run()
        assert world.ready("aws-eu", "gcp-eu") >= 4
    assert world.counts() == dict.fromkeys(NAMES, 2), "and it takes its share once it answers"


@pytest.mark.parametrize("federation", [FEDERATION, WITHOUT_FAILOVER])
@pytest.mark.parametrize("trouble", ["stopped", "refused"])
def test_a_known_cluster_whose_share_grew(
    world: FailoverWorld, federation: str, trouble: str
) -> None:
    world.begin(federation=federation)
    if trouble == "stopped":
        world.hosts["gcp-us"].stop()
    else:
        world.refuse_credential("gcp-us")
    world.write("clusters.yaml", HEAVIER)
    result = world.run()
    assert world.counts("aws-eu", "gcp-eu") == {"aws-eu": 2, "gcp-eu": 2}
    assert any("until as many are ready elsewhere" in str(move) for move in result.plan.moves)
