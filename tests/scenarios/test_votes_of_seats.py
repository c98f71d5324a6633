"""Runs at three seats, one after another: what one seat cannot reach, and what nobody can."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from reconciler.api.options import RunOptions
from reconciler.cluster.connect import Connections, Connector
from reconciler.failover.cluster_health import ClusterHealth
from reconciler.failover.health_votes import HealthVotes, SeatVotes, decode_votes, encode_votes
from reconciler.run.decide import (
    FleetAssessment,
    RunInputs,
    decide_fleet,
    look_at_fleet,
    probe_clusters,
)
from reconciler.run.progress import NoProgress
from reconciler.run.repository import read_repository, render_repository
from reconciler.scheduler.schedule import schedule
from reconciler.state.memory import FleetMemory, Phase
from tests.scenarios.failover_world import CLUSTERS, FEDERATION, NAMES, FailoverWorld, simulated

__all__ = ["simulated"]

SEATS = "  seats: [aws-eu, gcp-eu, gcp-us]\n"


@dataclass
class Seats:
    """Each seat has a kubeconfig of its own, and keeps its last look as it was written. The memory
    is one for all, as the register makes it."""

    world: FailoverWorld
    memory: FleetMemory
    now: float
    looks: dict[str, str] = field(default_factory=dict)
    cut_off: dict[str, set[str]] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)

    def run(self, seat: str, outages: dict[str, str] | None = None) -> FleetAssessment:
        """A minute later, at this seat."""
        self.now += 60
        fleet, connector = self._prepared(seat)
        looks = {name: one for name, text in self.looks.items() if (one := decode_votes(text))}
        known = SeatVotes(seat, looks, frozenset(NAMES) - self.silent)
        connect = Connections(connector).member
        imagined = outages or {}
        looked = look_at_fleet(fleet, self.memory, imagined, connect, self.now, NoProgress(), known)
        found = decide_fleet(fleet, self.memory, imagined, connect, self.now, looked)
        assert found.memory is not None
        assert found.votes is not None
        self.memory = found.memory
        self.looks[seat] = encode_votes(found.votes)
        return found

    def wait(self, seat: str) -> HealthVotes:
        """A run at this seat that does not get the lock."""
        fleet, connector = self._prepared(seat)
        look = probe_clusters(Connections(connector).member, fleet.state, self.now, NoProgress())
        self.looks[seat] = encode_votes(look)
        return look

    def _prepared(self, seat: str) -> tuple[RunInputs, Connector]:
        options = RunOptions(repo=str(self.world.repository), kubeconfig=self._kubeconfig(seat))
        repository = read_repository(options)
        state = repository.state
        usual = schedule(state)
        rendering = render_repository(state, usual)
        fleet = RunInputs(state, usual, rendering, frozenset(NAMES), repository.claimant())
        return fleet, Connector.from_file(options.kubeconfig, state.federation.namespace)

    def _kubeconfig(self, seat: str) -> str:
        config = yaml.safe_load(self.world.kubeconfig.read_text())
        clusters = {c["name"]: c["context"]["cluster"] for c in config["contexts"]}
        gone = {clusters[name] for name in self.cut_off.get(seat, ())}
        for entry in config["clusters"]:
            if entry["name"] in gone:
                entry["cluster"]["server"] = f"https://127.0.0.1:{_closed_port()}"
        path = Path(self.world.repository.parent / f"{seat}.kubeconfig")
        path.write_text(yaml.safe_dump(config))
        return str(path)


def _closed_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture
def seats(simulated: FailoverWorld) -> Seats:
    """Everything runs, and each seat has looked once."""
    simulated.begin()
    simulated.write("federation.yaml", FEDERATION + SEATS)
    found = Seats(simulated, simulated.memory(), simulated.now)
    for name in NAMES:
        found.run(name)
    return found


def health(found: FleetAssessment, name: str = "gcp-us") -> ClusterHealth:
    return next(one for one in found.health if one.cluster == name)


def down(seats: Seats) -> set[str]:
    return {name for name, one in seats.memory.clusters.items() if one.phase is Phase.DOWN}


def test_what_one_seat_cannot_reach_is_told_as_that_and_moves_nothing(seats: Seats) -> None:
    seats.cut_off["aws-eu"] = {"gcp-us"}
    for _ in range(8):
        # Only this seat gets the lock; the others wait, and leave what they see.
        seats.wait("gcp-eu")
        seats.wait("gcp-us")
        found = seats.run("aws-eu")
        assert not down(seats)
        assert not found.decision.moves
    told = health(found)
    assert told.outlook == "not declared down: seen well from gcp-eu and gcp-us, not from aws-eu"
    assert "gcp-us" in found.decision.left_alone, "who is not reached is not written to"
    other = seats.run("gcp-eu")
    assert health(other).seen == "seen well from gcp-eu and gcp-us, not from aws-eu"
    assert "gcp-us" not in other.decision.left_alone


def test_a_seat_that_is_gone_is_declared_down_by_the_others(seats: Seats) -> None:
    seats.world.hosts["gcp-us"].stop()
    seats.silent = {"gcp-us"}
    for seat in ("aws-eu", "gcp-eu", "aws-eu"):
        seats.run(seat)
        assert not down(seats)
    found = seats.run("gcp-eu")
    assert down(seats) == {"gcp-us"}
    shares = next(a.replicas for a in found.decision.assignments if a.workload.kind == "Deployment")
    assert shares == {"aws-eu": 3, "gcp-eu": 3, "gcp-us": 0}


def test_a_cluster_that_two_of_three_seats_see_unwell_is_declared_down(seats: Seats) -> None:
    seats.cut_off = {"aws-eu": {"gcp-us"}, "gcp-eu": {"gcp-us"}}
    for _ in range(3):
        seats.run("aws-eu")
        seats.wait("gcp-eu")
        seats.wait("gcp-us")
    assert not down(seats)
    seats.run("aws-eu")
    assert down(seats) == {"gcp-us"}


def test_a_seat_whose_job_does_not_run_holds_up_and_is_named(seats: Seats) -> None:
    seats.world.hosts["gcp-us"].stop()
    seats.silent = {"gcp-us"}
    for _ in range(14):
        found = seats.run("aws-eu")
        assert not down(seats)
    assert health(found).outlook == (
        "not declared down: seen unhealthy from aws-eu; no recent vote from gcp-eu"
    )
    seats.wait("gcp-eu")
    seats.run("aws-eu")
    assert down(seats) == {"gcp-us"}


def test_an_imagined_outage_is_held_up_by_nobody_and_left_as_a_look_by_nobody(
    seats: Seats,
) -> None:
    before = seats.memory
    found = seats.run("aws-eu", {"gcp-us": "simulated"})
    assert found.decision.down == {"gcp-us": "simulated"}
    assert found.votes is not None
    assert "gcp-us" not in found.votes.clusters
    assert before.clusters["gcp-us"].phase is Phase.UP


def test_a_damaged_look_is_none_and_stops_nothing(seats: Seats) -> None:
    seats.looks["gcp-eu"] = '{"at": 1, "clus'
    assert "no recent vote from gcp-eu" not in health(seats.run("aws-eu")).outlook
    seats.cut_off["aws-eu"] = {"gcp-us"}
    for _ in range(6):
        found = seats.run("aws-eu")
    assert "no recent vote from gcp-eu" in health(found).outlook
    assert not down(seats)


def test_a_witness_is_neither_probed_nor_planned_nor_counted(seats: Seats) -> None:
    witness = CLUSTERS.split("---")[0].replace("aws-eu", "arbiter").replace("spec: {", "%s")
    witness %= "spec: {role: Witness, access: {context: nowhere}, "
    seats.world.write("arbiter.yaml", witness)
    seats.world.write("federation.yaml", FEDERATION + SEATS.replace("gcp-us", "arbiter"))
    found = seats.run("aws-eu")
    assert {one.cluster for one in found.health} == set(NAMES)
    assert {one.cluster.name for one in found.seen} == set(NAMES)
    assert set(found.votes.clusters if found.votes else ()) == set(NAMES)
    assert not any("arbiter" in str(one) for one in found.notices)
