"""The register's seats follow those in Git, one at a time, by the runs themselves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kubesim.fleet import Sandbox
from kubesim.server import ClusterSettings
from reconciler.api.errors import SourceError
from tests.scenarios.failover_world import CLUSTERS, NAMES
from tests.scenarios.seats_world import NAMESPACE, NAMESPACES, SEATS, SeatsWorld

ARBITERS = ("arbiter-1", "arbiter-2")
WITNESSES = "".join(
    f"""---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {{name: {name}}}
spec: {{role: Witness}}
"""
    for name in ARBITERS
)


@pytest.fixture
def world(repository: Path) -> Iterator[SeatsWorld]:
    names = [*NAMES, *ARBITERS]
    with Sandbox(names, settings=ClusterSettings(nodes=2)) as sandbox:
        hosts = {name: sandbox.cluster(name) for name in names}
        world = SeatsWorld(repository, sandbox.kubeconfig, hosts=hosts)
        world.begin()
        for name in ARBITERS:
            world.member(name).create(NAMESPACES, NAMESPACE)
        world.write("clusters.yaml", CLUSTERS + WITNESSES)
        yield world


def seats_of(world: SeatsWorld, *names: str) -> set[str]:
    document = world.register(*names).latest()
    assert not document.configuration.previous
    return {seat.name for seat in document.configuration.seats}


def name_seats(world: SeatsWorld, *names: str) -> None:
    world.write("federation.yaml", SEATS.replace(", ".join(NAMES), ", ".join(names)))


def test_a_seat_that_is_replaced_in_git_is_replaced_by_the_next_run(world: SeatsWorld) -> None:
    name_seats(world, "aws-eu", "gcp-eu", "arbiter-1")
    told = world.run(at="aws-eu").plan.warnings
    assert "seats: arbiter-1 became a seat and gcp-us is none any more, as Git says" in told
    assert seats_of(world, "aws-eu", "gcp-eu", "arbiter-1") == {"aws-eu", "gcp-eu", "arbiter-1"}
    # The new one votes: with it alone another seat goes on.
    world.hosts["aws-eu"].stop()
    assert world.run(at="gcp-eu").plan.warnings
    assert world.register("gcp-eu", "arbiter-1").latest()


def test_two_more_seats_come_one_with_each_run(world: SeatsWorld) -> None:
    name_seats(world, *NAMES, *ARBITERS)
    world.run(at="aws-eu")
    assert len(seats_of(world, *NAMES, *ARBITERS)) == 4
    world.run(at="gcp-eu")
    assert seats_of(world, *NAMES, *ARBITERS) == {*NAMES, *ARBITERS}


def test_a_commit_that_changes_more_at_once_is_refused(world: SeatsWorld) -> None:
    name_seats(world, "aws-eu", *ARBITERS)
    with pytest.raises(SourceError, match=r"changes .* at once") as refused:
        world.run(at="aws-eu")
    assert "one seat with each commit" in refused.value.hint
    assert seats_of(world, *NAMES) == set(NAMES)
