"""Seats that reach one another by what join made alone: no context of an administrator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from reconciler.cli.seats import revoke_command
from tests.controlplane.fixtures import Fleet, Kubectl
from tests.controlplane.plane import ControlPlane
from tests.unit.join.conftest import FEDERATION, SHOP, Desk, desk_of

NAMES = ("aws-eu", "gcp-eu", "onprem")
HOSTS = [word for name in NAMES for word in ("--host-context", name)]
SEATED = FEDERATION.replace("spec: {", f"spec: {{seats: [{', '.join(NAMES)}], ")


class Joined:
    """A desk at which three members join three seats, of which the last is a Witness."""

    def __init__(self, desk: Desk, clusters: dict[str, Any]) -> None:
        self.desk, self.clusters = desk, clusters

    def alone(self, seat: str) -> str:
        """A kubeconfig that has the seat's own context, under another name, and no other."""
        config = yaml.safe_load(Path(self.desk.environment["KUBECONFIG"]).read_text())
        (one,) = [c for c in config["contexts"] if c["name"] == seat]
        config["contexts"] = [{**one, "name": "here"}]
        config["current-context"] = "here"
        path = self.desk.home / f"{seat}-alone.kubeconfig"
        path.write_text(yaml.safe_dump(config))
        return str(path)

    def run_at(self, seat: str, *arguments: str, code: int | None = 0) -> str:
        here = ("--kubeconfig", self.alone(seat), "--host-context", "here", "--seat", seat)
        done = self.desk.run(*here, *arguments, code=code)
        return done.stdout + done.stderr


@pytest.fixture
def joined(fleet: Fleet, control_plane: ControlPlane, tmp_path: Path) -> Joined:
    clusters = dict(zip(NAMES, fleet(3), strict=True))
    desk = desk_of(control_plane, tmp_path, clusters["aws-eu"], clusters["gcp-eu"])
    desk.environment["KUBECONFIG"] = str(control_plane.kubeconfig(clusters))
    for name in NAMES:
        witness = ["--witness"] if name == "onprem" else []
        desk.run("join", name, *HOSTS, *witness)
    desk.write("federation.yaml", SEATED)
    desk.run("seats", "init")
    return Joined(desk, clusters)


def test_runs_take_turns_by_the_credentials_that_join_made(joined: Joined) -> None:
    assert "Done: 6 created." in joined.run_at("aws-eu", "--yes")
    joined.desk.write("shop.yaml", SHOP.replace("colour: green", "colour: blue"))
    joined.run_at("gcp-eu", "--yes")
    for name in ("aws-eu", "gcp-eu"):
        path = "/api/v1/namespaces/shop/configmaps/settings"
        assert joined.clusters[name].call("GET", path)["data"] == {"colour": "blue"}
    # A Witness runs nothing else.
    found = joined.clusters["onprem"].call("GET", "/api/v1/namespaces")["items"]
    assert "shop" not in {one["metadata"]["name"] for one in found}
    assert "3 of 3 seats count" in joined.run_at("gcp-eu", "seats", code=None)


def test_a_seat_goes_on_by_what_it_keeps_itself_when_another_is_gone(joined: Joined) -> None:
    joined.run_at("aws-eu", "--yes")
    joined.clusters["aws-eu"].stop()
    joined.desk.write("shop.yaml", SHOP.replace("colour: green", "colour: blue"))
    said = joined.run_at("gcp-eu", "--yes", code=1)
    assert "aws-eu" in said
    path = "/api/v1/namespaces/shop/configmaps/settings"
    assert joined.clusters["gcp-eu"].call("GET", path)["data"] == {"colour": "blue"}
    assert "2 of 3 seats count" in joined.run_at("gcp-eu", "seats", code=1)


def test_a_seat_that_is_shut_out_of_the_others_has_no_majority(
    joined: Joined, kubectl: Kubectl
) -> None:
    joined.run_at("aws-eu", "--yes")
    for name in ("gcp-eu", "onprem"):
        _, *command = revoke_command("shop", "aws-eu").split()
        kubectl(joined.clusters[name], *command)
    joined.desk.write("shop.yaml", SHOP.replace("colour: green", "colour: red"))
    said = joined.run_at("aws-eu", "--yes", code=1)
    assert "no majority of the seats" in said
    path = "/api/v1/namespaces/shop/configmaps/settings"
    assert joined.clusters["aws-eu"].call("GET", path)["data"] == {"colour": "green"}
    joined.run_at("gcp-eu", "--yes")
