"""`reconcile seats` on simulated clusters: what it shows, and what it mends."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kubesim.cluster import SimulatedCluster
from kubesim.fleet import Sandbox
from reconciler.cluster.connect import Connector
from reconciler.seats.register import Register
from reconciler.state.memory import FleetMemory, encode_memory

from .conftest import Command

SEATS = ("aws-eu", "gcp-eu", "onprem")
REGISTER = "federation-shop-seat"
NAMESPACE = "federation-system"
FEDERATION = """\
apiVersion: federation.reconciler.dev/v1alpha1
kind: Federation
metadata: {name: shop}
spec:
  seats: [aws-eu, gcp-eu, onprem]
"""
CLUSTER = """\
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: %s}
"""


class Fleet:
    """Four simulated clusters, of which three are seats, and the command."""

    def __init__(self, sandbox: Sandbox, command: Command, repository: Path) -> None:
        self.sandbox = sandbox
        self._command, self._repository = command, repository
        repository.mkdir()
        names = (*SEATS, "azure-eu")
        text = FEDERATION + "".join(CLUSTER % name for name in names)
        (repository / "federation.yaml").write_text(text)
        for name in names:
            self.cluster(name).apply(
                {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
            )

    def cluster(self, name: str) -> SimulatedCluster:
        return self.sandbox.cluster(name)

    def register(self, me: str = "") -> Register:
        connector = Connector.from_file(str(self.sandbox.kubeconfig), NAMESPACE)
        from msgspec.structs import replace

        members = {name: replace(connector, host_context=name).host(name) for name in SEATS}
        return Register(members, NAMESPACE, "shop", me)

    def begin(self) -> None:
        """The register is made, and a run at each seat has looked."""
        self.register().initialise(SEATS)
        look = {"at": time.time(), "clusters": dict.fromkeys(SEATS, "healthy")}
        for name in SEATS:
            register = self.register(name)
            register.look(json.dumps(look))
            assert not register.write_votes()

    def seats(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = self._command(
            "seats",
            *arguments,
            cwd=self._repository,
            env={"KUBECONFIG": str(self.sandbox.kubeconfig)},
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def document(self, code: int = 0) -> Any:
        return json.loads(self.seats("-o", "json", code=code).stdout)

    def remember(self, name: str) -> None:
        """What the runs of one host remember, kept in a cluster."""
        memory = encode_memory(FleetMemory(commit="c0ffee"))
        body = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "federation-shop-memory", "namespace": NAMESPACE},
            "data": {"memory.json": memory.decode()},
        }
        self.cluster(name).apply(body)

    def memory(self, name: str) -> Any:
        found = self.cluster(name).get("ConfigMap", "federation-shop-memory", NAMESPACE)
        return json.loads(found["data"]["memory.json"])

    def states(self, code: int = 0) -> dict[str, str]:
        return {one["name"]: one["state"] for one in self.document(code)["seats"]}


@pytest.fixture
def fleet(reconcile: Command, tmp_path: Path) -> Iterator[Fleet]:
    with Sandbox([*SEATS, "azure-eu"]) as sandbox:
        yield Fleet(sandbox, reconcile, tmp_path / "repository")


def test_before_there_is_a_register_it_names_the_command_that_makes_it(fleet: Fleet) -> None:
    said = fleet.seats(code=1)
    assert "there is no register" in said.stderr
    assert "reconcile seats init" in said.stderr


def test_all_is_well_in_one_table(fleet: Fleet) -> None:
    fleet.begin()
    said = fleet.seats()
    assert "3 of 3 seats count" in said.stdout
    assert "Lock: free" in said.stdout
    lines = said.stdout.splitlines()
    heading = next(line for line in lines if line.startswith("SEAT"))
    assert heading.split() == ["SEAT", "STATE", "VERSION", "LAG", "WRITTEN", "LOOKED"]
    assert "FROM onprem" in said.stdout
    assert not said.stderr.strip()


def test_the_json_has_the_same(fleet: Fleet) -> None:
    fleet.begin()
    document = fleet.document()
    assert document["majority"] is True
    assert [one["lag"] for one in document["seats"]] == [0, 0, 0]
    assert document["seats"][0]["look"]["clusters"]["onprem"] == "healthy"
    assert document["problems"] == []


def test_one_dead_seat_is_told_with_the_way_out_and_in_seconds(fleet: Fleet) -> None:
    fleet.begin()
    fleet.cluster("onprem").stop()
    began = time.monotonic()
    said = fleet.seats(code=1)
    assert time.monotonic() - began < 30
    assert "2 of 3 seats count" in said.stdout
    assert "onprem: no answer" in said.stderr
    assert "reconcile seats replace onprem NEW" in said.stderr


def test_without_a_majority_it_still_tells_what_it_sees(fleet: Fleet) -> None:
    fleet.begin()
    fleet.cluster("onprem").stop()
    fleet.cluster("gcp-eu").stop()
    said = fleet.seats(code=1)
    assert "no majority of the seats" in said.stderr
    refused = fleet.seats("replace", "onprem", "azure-eu", code=1)
    assert "no majority" in refused.stderr


def test_a_seat_that_was_emptied_is_repaired(fleet: Fleet) -> None:
    fleet.begin()
    fleet.cluster("gcp-eu").delete("ConfigMap", REGISTER, namespace=NAMESPACE)
    assert fleet.states(code=1)["gcp-eu"] == "lost"
    assert "reconcile seats repair gcp-eu" in fleet.seats(code=1).stderr
    assert "Nothing was written" in fleet.seats("repair", "--dry-run").stderr
    assert fleet.states(code=1)["gcp-eu"] == "lost"
    assert "gcp-eu counts again" in fleet.seats("repair").stdout
    assert fleet.states(code=1)["gcp-eu"] == "counts"
    assert "nothing was to be done" in fleet.seats("repair", "gcp-eu").stdout


def test_a_dead_seat_is_replaced_once(fleet: Fleet) -> None:
    fleet.begin()
    fleet.cluster("onprem").stop()
    assert "Nothing was written" in fleet.seats("replace", "onprem", "azure-eu", "--dry-run").stderr
    assert fleet.states(code=1)["onprem"] == "unreachable"
    said = fleet.seats("replace", "onprem", "azure-eu")
    assert "azure-eu votes instead of onprem" in said.stdout
    assert "spec.seats: [aws-eu, azure-eu, gcp-eu]" in said.stderr
    assert "federation.reconciler.dev/seat=onprem" in said.stderr
    assert "nothing was to be done" in fleet.seats("replace", "onprem", "azure-eu").stdout
    told = fleet.seats(code=1)
    assert "if the register is right: put azure-eu into spec.seats" in told.stderr


def test_init_takes_over_what_one_host_remembers_and_dissolve_gives_it_back(fleet: Fleet) -> None:
    fleet.remember("azure-eu")
    host = ("--host-context", "azure-eu")
    assert "Nothing was written" in fleet.seats("init", *host, "--dry-run").stderr
    assert "there is no register" in fleet.seats(code=1).stderr
    assert "keep the register" in fleet.seats("init", *host).stdout
    assert fleet.register().read().document.memory["commit"] == "c0ffee"
    # Again, and again by somebody who names no host.
    fleet.seats("init", *host)
    assert "nothing was to be done" in fleet.seats("init").stdout
    assert "Nothing was written" in fleet.seats("dissolve", *host, "--dry-run").stderr
    assert "The register is dissolved" in fleet.seats("dissolve", *host, "--yes").stdout
    assert fleet.memory("azure-eu")["commit"] == "c0ffee"
    fleet.seats("dissolve", *host, "--yes")
    assert "dissolved" in fleet.seats(code=1).stderr


def test_a_memory_that_would_be_left_stops_a_register_without_it(fleet: Fleet) -> None:
    fleet.remember("gcp-eu")
    said = fleet.seats("init", code=64).stderr
    assert "runs remember in gcp-eu" in said
    fleet.seats("init", "--host-context", "gcp-eu")
    assert set(fleet.states(code=1).values()) == {"counts"}


def test_a_register_is_made_when_all_seats_answer_or_not_at_all(fleet: Fleet) -> None:
    fleet.cluster("onprem").stop()
    said = fleet.seats("init", code=1).stderr
    assert "all seats must answer" in said
    fleet.cluster("onprem").start()
    fleet.seats("init")
    assert set(fleet.states(code=1).values()) == {"counts"}


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("dissolve",), 64, "--host-context names the cluster"),
        (("replace", "onprem", "onprem"), 64, "the same"),
        (("replace", "other", "azure-eu"), 64, "other has no seat"),
        (("replace", "onprem", "unheard"), 1, "unheard cannot be reached"),
        (("repair", "azure-eu"), 64, "azure-eu has no seat"),
        (("--seat-context", "aws-eu"), 64, "is not SEAT=CONTEXT"),
    ],
)
def test_what_cannot_be_is_told(
    fleet: Fleet, arguments: tuple[str, ...], code: int, words: str
) -> None:
    fleet.begin()
    assert words in " ".join(fleet.seats(*arguments, code=code).stderr.split())
