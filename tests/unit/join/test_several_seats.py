"""Each of several seats keeps a credential of its own of each member."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.controlplane.cluster import Cluster
from tests.controlplane.fixtures import Fleet, Kubectl
from tests.controlplane.plane import ControlPlane

from .conftest import FEDERATION, Desk, desk_of, objects_of

NAMESPACE = "/api/v1/namespaces/federation-system"
SEAT = "federation.reconciler.dev/seat"
HOSTS = ("--host-context", "host", "--host-context", "aws-eu", "--host-context", "gcp-eu")

WITH_SEATS = FEDERATION.replace("spec: {", "spec: {seats: [aws-eu, gcp-eu, host], ")
CLUSTER = """\
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: %s}
"""


class Seats:
    """A desk with three clusters; ``aws-eu`` is the member that joins, and a seat as well."""

    def __init__(self, desk: Desk, other: Cluster) -> None:
        self.desk = desk
        self.clusters = {"host": desk.host, "aws-eu": desk.member, "gcp-eu": other}

    def join(self, *arguments: str, code: int = 0, hosts: tuple[str, ...] = HOSTS) -> str:
        done = self.desk.join(*hosts, *arguments, code=code)
        return done.stdout + done.stderr

    def secret(self, seat: str) -> Any:
        return self.clusters[seat].call("GET", f"{NAMESPACE}/secrets/aws-eu")

    def accounts(self) -> dict[str, str]:
        """ServiceAccount of the member -> the seat that it is for."""
        found = self.desk.member.call("GET", f"{NAMESPACE}/serviceaccounts")["items"]
        labels = {one["metadata"]["name"]: one["metadata"].get("labels") or {} for one in found}
        return {name: of.get(SEAT, "") for name, of in labels.items() if name != "default"}

    def may(self, seat: str, verb: str, kind: str, *more: str) -> bool:
        """Whether the member allows that to the credential which a seat keeps."""
        path = self.desk.home / f"{seat}.kubeconfig"
        path.write_bytes(base64.b64decode(self.secret(seat)["data"]["kubeconfig"]))
        self.desk.credential = lambda: path  # type: ignore[method-assign]
        answer = self.desk.as_joined("auth", "can-i", verb, kind, *more)
        return answer.stdout.strip() == "yes"


@pytest.fixture
def seats(fleet: Fleet, control_plane: ControlPlane, tmp_path: Path) -> Seats:
    host, member, other = fleet(3)
    desk = desk_of(control_plane, tmp_path, host, member)
    config = control_plane.kubeconfig({"host": host, "aws-eu": member, "gcp-eu": other})
    desk.environment["KUBECONFIG"] = str(config)
    return Seats(desk, other)


def test_every_seat_gets_an_account_and_a_token_of_its_own(seats: Seats) -> None:
    said = seats.join()
    assert "seat gcp-eu create     Secret federation-system/aws-eu" in said
    assert seats.accounts() == {
        "aws-eu-host": "host",
        "aws-eu-aws-eu": "aws-eu",
        "aws-eu-gcp-eu": "gcp-eu",
    }
    for seat in seats.clusters:
        metadata = seats.secret(seat)["metadata"]
        assert metadata["labels"][SEAT] == seat
        assert seats.may(seat, "create", "configmaps", "-n", "shop")
    assert "nothing was to be done" in seats.join()


def test_one_seat_can_be_shut_out_alone(seats: Seats, kubectl: Kubectl) -> None:
    seats.join()
    kinds = "clusterrolebinding,rolebinding,serviceaccount"
    kubectl(seats.desk.member, "delete", kinds, "-n", "federation-system", "-l", f"{SEAT}=gcp-eu")
    give_up = time.monotonic() + 60
    while seats.may("gcp-eu", "create", "configmaps", "-n", "shop"):
        assert time.monotonic() < give_up
        time.sleep(0.2)
    assert seats.may("host", "create", "configmaps", "-n", "shop")


def test_a_dry_run_over_several_seats_writes_nothing(seats: Seats) -> None:
    before = objects_of(*seats.clusters.values())
    assert "Secret federation-system/aws-eu" in seats.join("--dry-run")
    assert objects_of(*seats.clusters.values()) == before


def test_a_seat_that_does_not_answer_is_told_and_done_later(seats: Seats) -> None:
    seats.clusters["gcp-eu"].stop()
    said = seats.join(code=1)
    assert "seat gcp-eu has no good credential of it" in said
    assert "reconcile join aws-eu --host-context gcp-eu=gcp-eu" in said
    assert set(seats.accounts().values()) == {"host", "aws-eu"}
    assert seats.desk.manifest()["spec"]["access"] == {"secretRef": {"name": "aws-eu"}}
    seats.clusters["gcp-eu"].start()
    token = seats.secret("host")["data"]
    seats.join()
    assert set(seats.accounts().values()) == {"host", "aws-eu", "gcp-eu"}
    assert seats.secret("host")["data"] == token


def test_what_the_only_host_had_becomes_that_of_its_seat(seats: Seats) -> None:
    desk = seats.desk
    desk.join("--host-context", "host", "--host-cluster-name", "main")
    assert seats.accounts() == {"aws-eu-main": ""}
    token = seats.secret("host")["data"]
    seats.join()
    assert seats.accounts() == {
        "aws-eu-main": "host",
        "aws-eu-aws-eu": "aws-eu",
        "aws-eu-gcp-eu": "gcp-eu",
    }
    # The Secret had no seat's label: it is rewritten, and good either way.
    assert seats.secret("host")["data"] != token
    assert seats.may("host", "create", "configmaps", "-n", "shop")
    assert "nothing was to be done" in seats.join()


def test_an_account_of_no_seat_is_told_with_the_way_to_end_it(seats: Seats) -> None:
    seats.desk.join("--host-context", "host", "--host-cluster-name", "main")
    others = ("--host-context", "aws-eu", "--host-context", "gcp-eu")
    said = seats.join(hosts=others)
    assert "kubectl -n federation-system delete serviceaccount aws-eu-main" in said


def test_the_copy_of_the_register_is_all_that_a_seat_opens_more_than_others(seats: Seats) -> None:
    seats.join()
    rights = seats.desk.member.call(
        "GET",
        "/apis/rbac.authorization.k8s.io/v1/namespaces/federation-system/roles/"
        "federation-reconciler:aws-eu-gcp-eu",
    )["rules"]
    of_maps = [rule for rule in rights if rule["resources"] == ["configmaps"]]
    assert of_maps == [
        {
            "apiGroups": [""],
            "resources": ["configmaps"],
            "verbs": ["get", "update"],
            "resourceNames": ["federation-shop-seat"],
        },
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create"]},
    ]
    # A member that is no seat has nothing of it.
    others = ("--host-context", "host", "--host-context", "b=gcp-eu")
    said = seats.desk.join(*others, "--dry-run", "-o", "yaml").stdout
    roles = [one for one in yaml.safe_load_all(said) if one and one["kind"] == "Role"]
    assert roles
    assert not [r for role in roles for r in role["rules"] if r["resources"] == ["configmaps"]]


def test_a_witness_opens_its_copy_of_the_register_and_nothing_else(seats: Seats) -> None:
    seats.join("--witness")
    assert seats.desk.manifest()["spec"]["role"] == "Witness"
    name, here = "configmap/federation-shop-seat", ("-n", "federation-system")
    assert seats.may("gcp-eu", "update", name, *here)
    assert seats.may("gcp-eu", "create", "configmaps", *here)
    for verb, kind in [("list", "configmaps"), ("get", "secrets"), ("get", "configmap/other")]:
        assert not seats.may("gcp-eu", verb, kind, *here), (verb, kind)
    assert not seats.may("gcp-eu", "list", "nodes")
    seats.desk.run("rotate", *HOSTS, "--all")
    assert "nothing was to be done" in seats.join("--witness")


def test_rotate_renews_in_all_seats_that_answer_and_says_which_are_behind(seats: Seats) -> None:
    seats.join()
    before = {seat: seats.secret(seat)["data"] for seat in seats.clusters}
    done = seats.desk.run("rotate", *HOSTS, "--all")
    rows = [line.split()[:3] for line in done.stdout.splitlines()[1:]]
    assert rows == [[seat, "aws-eu", "renewed"] for seat in ("host", "aws-eu", "gcp-eu")]
    assert all(seats.secret(seat)["data"] != data for seat, data in before.items())
    seats.clusters["gcp-eu"].stop()
    seats.clusters["aws-eu"].call("DELETE", f"{NAMESPACE}/secrets/aws-eu")
    said = seats.desk.run("rotate", *HOSTS, "--all", code=1).stdout
    assert "host     aws-eu   renewed" in said
    assert "gcp-eu" in said
    assert "not renewed" in said
    assert "it has none: reconcile join aws-eu --host-context aws-eu=aws-eu" in said


def test_the_renewed_token_stays_the_seats_own(seats: Seats) -> None:
    seats.join()
    seats.desk.run("rotate", *HOSTS, "--all")
    assert seats.secret("gcp-eu")["metadata"]["labels"][SEAT] == "gcp-eu"
    assert "nothing was to be done" in seats.join()


def test_unjoin_cleans_every_seat_that_answers_and_the_rest_later(seats: Seats) -> None:
    seats.join()
    seats.clusters["gcp-eu"].stop()
    said = seats.desk.unjoin(*HOSTS, "--orphan", code=1)
    text = said.stdout + said.stderr
    assert "seat gcp-eu may still keep the credential of aws-eu" in text
    assert "reconcile unjoin aws-eu --host-context gcp-eu=gcp-eu" in text
    assert not seats.accounts()
    assert not desk_secrets(seats.desk.host)
    seats.clusters["gcp-eu"].start()
    assert desk_secrets(seats.clusters["gcp-eu"]) == ["aws-eu"]
    seats.desk.unjoin("--host-context", "gcp-eu=gcp-eu", "--host-context", "host", "--orphan")
    assert not desk_secrets(seats.clusters["gcp-eu"])


def desk_secrets(cluster: Cluster) -> list[str]:
    found = cluster.call("GET", f"{NAMESPACE}/secrets")["items"]
    return [one["metadata"]["name"] for one in found]


def test_the_seats_in_git_are_the_default(seats: Seats) -> None:
    seats.desk.write("federation.yaml", WITH_SEATS)
    for name in ("host", "gcp-eu"):
        seats.desk.write(f"clusters/{name}.yaml", CLUSTER % name)
    seats.join(hosts=())
    assert set(seats.accounts().values()) == set(seats.clusters)
    done = seats.desk.run("rotate", "--all")
    assert len(done.stdout.splitlines()) == 4
    refused = seats.desk.unjoin("--orphan", code=64)
    assert "aws-eu is one of the seats at federation.yaml:1:1" in refused.stderr
    assert "is no seat; the Federation's are" in seats.join(
        hosts=("--host-context", "other"), code=64
    )


def test_a_seat_that_is_left_out_or_was_one_before_is_told(seats: Seats) -> None:
    seats.join()
    seats.desk.write("federation.yaml", WITH_SEATS.replace("gcp-eu", "onprem"))
    for name in ("host", "onprem"):
        seats.desk.write(f"clusters/{name}.yaml", CLUSTER % name)
    said = seats.join(hosts=("--host-context", "host"))
    assert "ServiceAccount federation-system/aws-eu-gcp-eu is no seat's" in said
    assert "seat onprem has no credential of it yet" in said


@pytest.mark.parametrize(
    ("hosts", "words"),
    [
        (("--host-context", "arn:aws:eks/x", "--host-context", "b"), "SEAT=CONTEXT"),
        (("--host-context", "a", "--host-context", "a"), "twice"),
        (("--host-context", "a=x", "--host-context", "b=x"), "twice"),
    ],
)
def test_seats_are_named_and_different(seats: Seats, hosts: tuple[str, ...], words: str) -> None:
    done = seats.desk.run("join", "aws-eu", *hosts, code=64)
    assert words in " ".join(done.stderr.split())


def test_the_steps_as_data_say_which_seat(seats: Seats) -> None:
    said = seats.desk.join(*HOSTS, "--dry-run", "-o", "json").stdout
    steps = json.loads(said)["steps"]
    assert {step.get("seat") for step in steps} == {None, "host", "aws-eu", "gcp-eu"}
