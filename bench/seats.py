"""What it costs to keep lock and memory at three seats instead of in one host cluster."""

from __future__ import annotations

from pathlib import Path

from bench.commands import Commands
from bench.repositories import write_repository
from bench.rows import Row, longer
from bench.sizes import Sizes
from bench.timing import Command, in_turns, run, seconds
from reconciler.cluster.connect import Connector
from reconciler.seats.register import Register
from tests.controlplane.cluster import Cluster
from tests.controlplane.plane import ControlPlane

HOST = "member-1"
SEATS = ("seat-1", "seat-2", "seat-3")
SYSTEM = "federation-system"


def seats_beside_one_host(plane: ControlPlane, commands: Commands, sizes: Sizes) -> list[Row]:
    """Runs with nothing to do of one member, which is the host of one federation and a seat of
    another; the other two seats are Witnesses."""
    clusters = dict(zip((HOST, *SEATS), plane.clusters(1 + len(SEATS)), strict=True))
    for cluster in clusters.values():
        _make_namespace(cluster)
    kubeconfig = plane.kubeconfig(clusters)
    host = write_repository(commands.folder / "host", sizes.objects, [HOST])
    seated = write_repository(commands.folder / "seats", sizes.objects, SEATS[:1], seats=SEATS)
    members = {
        name: Connector.from_file(str(kubeconfig), SYSTEM, host_context=name).host()
        for name in SEATS
    }
    Register(members, SYSTEM, "bench").initialise(SEATS)

    def applying(repository: Path, *where: str) -> Command:
        return commands.reconcile("--yes", *where, repository=repository, kubeconfig=kubeconfig)

    one = applying(host, "--host-context", HOST)
    three = applying(seated, "--host-context", SEATS[0], "--seat", SEATS[0])
    for command in (one, three):
        run(command)
    found = in_turns(sizes.rounds, one=one, three=three)
    return [
        longer(
            f"nothing to do, 1 × {sizes.objects:,} objects, at three seats",
            seconds(found["three"]),
            seconds(found["one"]),
            "with one host",
            1.25,
            judged=sizes.judged,
        )
    ]


def _make_namespace(cluster: Cluster) -> None:
    cluster.clean()
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM}}
    cluster.call("POST", "/api/v1/namespaces", namespace)
