"""The CronJob's pod at one of three seats: its own Role, what join made of the others, no more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.controlplane.cluster import Cluster
from tests.controlplane.fixtures import Fleet
from tests.controlplane.plane import ControlPlane
from tests.unit.join.conftest import FEDERATION, desk_of

from .conftest import Host, publish_authority, serving
from .test_unattended import refused

NAMES = ("host", "aws-eu", "gcp-eu")
HOSTS = [word for name in NAMES for word in ("--host-context", name)]
SEATED = FEDERATION.replace("spec: {", f"spec: {{seats: [{', '.join(NAMES)}], ")
OWN_NAME = "  - {name: reconcile-options, behavior: merge, literals: [RECONCILE_SEAT=host]}"


@pytest.fixture
def seated(
    fleet: Fleet, control_plane: ControlPlane, tmp_path: Path
) -> Iterator[tuple[Host, dict[str, Cluster]]]:
    """Three members joined three seats, and the overlay is applied at ``host``."""
    clusters = dict(zip(NAMES, fleet(3), strict=True))
    desk = desk_of(control_plane, tmp_path, clusters["host"], clusters["aws-eu"])
    desk.environment["KUBECONFIG"] = str(control_plane.kubeconfig(clusters))
    with serving(desk, tmp_path) as host:
        publish_authority(host.cluster)
        for name in NAMES:
            desk.run("join", name, *HOSTS)
        desk.write("federation.yaml", SEATED)
        desk.run("seats", "init")
        host.commit()
        host.apply("overlays/seats/seat-1", OWN_NAME)
        yield host, clusters


def test_a_run_at_a_seat_is_refused_nothing_and_keeps_the_commit(
    seated: tuple[Host, dict[str, Cluster]],
) -> None:
    host, clusters = seated
    with (
        host.cluster.recorded() as at_home,
        clusters["aws-eu"].recorded() as there,
        clusters["gcp-eu"].recorded() as elsewhere,
    ):
        ended = host.pod("first").run()
        assert ended.code == 0, ended.said
        assert "Done: 9 created." in ended.said
    assert not refused([*at_home, *there, *elsewhere])
    account = "system:serviceaccount:federation-system:aws-eu-host"
    assert {request.user for request in there} == {account}
    path = "/api/v1/namespaces/federation-system/secrets"
    names = [one["metadata"]["name"] for one in host.cluster.call("GET", path)["items"]]
    assert [name for name in names if name.startswith("federation-commit-")]


def test_the_pod_of_a_seat_goes_on_without_git_and_without_another_seat(
    seated: tuple[Host, dict[str, Cluster]],
) -> None:
    host, clusters = seated
    assert host.pod("first").run().code == 0
    clusters["gcp-eu"].stop()
    host.server.faults += ["500"] * 20
    path = "/api/v1/namespaces/shop/configmaps/settings"
    clusters["aws-eu"].call("DELETE", path)
    ended = host.pod("second").run()
    assert ended.code == 1, ended.said
    assert "gcp-eu" in ended.said
    assert clusters["aws-eu"].call("GET", path)["data"] == {"colour": "green"}


def test_its_rotation_renews_what_this_seat_keeps(
    seated: tuple[Host, dict[str, Cluster]],
) -> None:
    host, clusters = seated
    path = "/api/v1/namespaces/federation-system/secrets/aws-eu"
    others = clusters["gcp-eu"].call("GET", path)["data"]
    ended = host.pod("rotate", "reconcile-rotate").run()
    assert ended.code == 0, ended.said
    assert "SEAT" not in ended.said
    assert clusters["gcp-eu"].call("GET", path)["data"] == others
