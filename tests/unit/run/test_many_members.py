"""A fleet of many clusters: what stays of each once it was looked at."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from bench.repositories import write_repository
from kubesim.fleet import Sandbox
from reconciler.api.options import RunOptions
from reconciler.plan.live_state import FEW_MEMBERS
from reconciler.run.pipeline import make_plan


@pytest.mark.parametrize(
    ("count", "open_connections"), [(FEW_MEMBERS, 1), (FEW_MEMBERS + 1, 0)], ids=["few", "many"]
)
def test_of_many_clusters_no_connection_stays_open(
    count: int, open_connections: int, tmp_path: Path
) -> None:
    names = [f"cluster-{number}" for number in range(count)]
    repository = write_repository(tmp_path / "fleet", 0, names)
    with Sandbox(names) as sandbox:
        options = RunOptions(
            repo=str(repository),
            kubeconfig=str(sandbox.kubeconfig),
            state=str(tmp_path / "memory"),
            plan_only=True,
        )
        prepared = make_plan(options)
        assert all(cluster.reachable for cluster in prepared.plan.clusters)
        assert len(prepared.works) == count
        # A server hears of an end a moment later.
        until = time.monotonic() + 10
        while (found := {len(one.connections) for one in sandbox.clusters}) != {open_connections}:
            assert time.monotonic() < until, found
            time.sleep(0.01)
