"""A region is lost with the Git server in it: what it ran runs elsewhere, and comes back."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.scenarios.failover_world import CLUSTERS, FEDERATION, SHARES, WEB, FailoverWorld
from tests.scenarios.failover_world import real as real
from tests.scenarios.failover_world import simulated as simulated
from tests.unit.git.repositories import commit, git
from tests.unit.git.servers import http_server

NAMESPACE = '{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "federation-system"}}'


@pytest.fixture(params=["simulated", pytest.param("real", marks=pytest.mark.integration)])
def world(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> FailoverWorld:
    """Applied from a Git server, which is gone since; at home in gcp-us."""
    world: FailoverWorld = request.getfixturevalue(request.param)
    # Not before: the real servers' programs are cached there as well.
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "namespace.json").write_text(NAMESPACE)
    file = str(tmp_path / "namespace.json")
    world.kubectl("apply", "--server-side", "-f", file, cluster="gcp-us")
    git(world.repository, "init", "-q", "-b", "main")
    rule = FEDERATION + "  source: {whenUnreachable: Continue}\n"
    commit(world.repository, {"federation.yaml": rule, "clusters.yaml": CLUSTERS, "web.yaml": WEB})
    with ExitStack() as stack:
        server = stack.enter_context(http_server(tmp_path))
        world.options |= {
            "repo": server.url("repository"),
            "host_context": "gcp-us",
            "clock": lambda: world.now,
            "plan_only": False,
        }
        world.wait_for_pods = world.until_ready
        for _ in range(2):
            assert world.run().ok
    return world


def test_replicas_move_and_come_back_without_git(world: FailoverWorld) -> None:
    assert world.counts() == SHARES
    world.hosts["aws-eu"].stop()
    for _ in range(5):
        result = world.run()
        assert result.plan.without_git
    assert world.counts("gcp-eu", "gcp-us") == {"gcp-eu": 3, "gcp-us": 3}
    world.hosts["aws-eu"].start()
    for _ in range(10):
        result = world.run()
    assert result.ok
    assert result.plan.without_git
    assert world.counts() == SHARES
