"""``worlds``: a fleet that can come to harm, simulated or real."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from kubesim.fleet import Sandbox
from kubesim.server import ClusterSettings
from tests.chaos import tally
from tests.chaos.hosts import SimulatedHost, real_hosts
from tests.chaos.world import World
from tests.controlplane.cluster import Cluster
from tests.controlplane.fixtures import Fleet

Worlds = Callable[[str, Sequence[str]], World]


@pytest.fixture
def worlds(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Worlds]:
    """``worlds("real", names)``: a world of these clusters, in peace."""
    with ExitStack() as stack:

        def open_one(kind: str, names: Sequence[str]) -> World:
            folder = tmp_path / f"world-{next(numbers)}"
            folder.mkdir()
            if kind == "simulated":
                return stack.enter_context(_simulated(folder, names))
            fleet: Fleet = request.getfixturevalue("fleet")
            clusters = dict(zip(names, fleet(len(names)), strict=True))
            return stack.enter_context(_real(folder, clusters))

        numbers = itertools.count()
        yield open_one


@contextmanager
def _simulated(folder: Path, names: Sequence[str]) -> Iterator[World]:
    with Sandbox(names, settings=ClusterSettings(nodes=2)) as sandbox:
        for cluster in sandbox.clusters:
            # From here on a token is looked at.
            cluster.revoke()
            cluster.accept()
        hosts = {cluster.name: SimulatedHost(cluster) for cluster in sandbox.clusters}
        yield World(folder, hosts, sandbox.kubeconfig)


@contextmanager
def _real(folder: Path, clusters: dict[str, Cluster]) -> Iterator[World]:
    with real_hosts(clusters, folder) as (hosts, kubeconfig):
        try:
            yield World(folder, hosts, kubeconfig)
        finally:
            for host in hosts.values():
                host.revive()
                host.no_webhooks()


@pytest.fixture
def count(record_property: Callable[[str, object], None]) -> Callable[..., None]:
    """``count(faults=3, runs=5, unharmed=1)`` adds to what is said at the end."""
    return lambda **counted: record_property(tally.KEY, counted)
