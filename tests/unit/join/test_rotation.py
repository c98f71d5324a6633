"""Tokens are renewed by themselves, in time, with no more than the host's Secret."""

from __future__ import annotations

import json
import time

import pytest
import yaml

from reconciler.api.errors import Forbidden
from reconciler.cluster.connect import Connector
from reconciler.join.credentials import Rotation, parse_time, rotate_tokens
from tests.controlplane.fixtures import Kubectl

from .conftest import Desk

EXPIRES = "federation.reconciler.dev/token-expires"
NAMESPACE = "federation-system"


def rotate(desk: Desk, after: float = 0, user: str = "admin") -> tuple[Rotation, ...]:
    """A run's rotation ``after`` so many seconds, by a kubeconfig that has only the host."""
    config = desk.host.kubeconfig(user, context="host")
    connector = Connector.from_file(str(config), NAMESPACE, host_context="host")
    return rotate_tokens(connector, "shop", NAMESPACE, now=time.time() + after)


def expiry(desk: Desk) -> float:
    return parse_time(desk.secret()["metadata"]["annotations"][EXPIRES])


def test_a_young_token_is_left_alone(desk: Desk) -> None:
    desk.join("--token-lifetime", "1h")
    before = desk.secret()
    (rotation,) = rotate(desk, after=29 * 60)
    assert (rotation.cluster, rotation.renewed, rotation.problem) == ("aws-eu", False, "")
    assert desk.secret() == before


def test_past_half_of_its_life_it_is_renewed_by_itself(desk: Desk) -> None:
    desk.join("--token-lifetime", "1h")
    before = desk.secret()
    (rotation,) = rotate(desk, after=31 * 60)
    assert rotation.renewed, rotation
    after = desk.secret()
    assert after["data"] != before["data"]
    assert expiry(desk) == pytest.approx(rotation.expires, abs=1)
    assert desk.as_joined("auth", "can-i", "create", "configmaps").stdout.strip() == "yes"
    assert "nothing was to be done" in desk.join("--token-lifetime", "1h").stderr


def test_renewing_needs_three_verbs_on_secrets_in_the_host(desk: Desk, kubectl: Kubectl) -> None:
    desk.join("--token-lifetime", "1h")
    with pytest.raises(Forbidden):
        rotate(desk, after=31 * 60, user="reconciler")
    kubectl(
        desk.host,
        "create",
        "role",
        "rotate",
        "-n",
        NAMESPACE,
        "--verb=get,list,patch",
        "--resource=secrets",
    )
    kubectl(
        desk.host,
        "create",
        "rolebinding",
        "rotate",
        "-n",
        NAMESPACE,
        "--role=rotate",
        "--user=reconciler",
    )
    (rotation,) = rotate(desk, after=31 * 60, user="reconciler")
    assert rotation.renewed, rotation


def test_a_member_that_does_not_answer_is_told_and_keeps_its_token(desk: Desk) -> None:
    desk.join("--token-lifetime", "1h")
    before = desk.secret()
    desk.member.stop()
    (rotation,) = rotate(desk, after=31 * 60)
    assert not rotation.renewed
    assert "refused" in rotation.problem
    assert desk.secret() == before


def test_a_revoked_account_ends_every_token(desk: Desk) -> None:
    desk.join()
    account = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/aws-eu-host"
    desk.member.call("DELETE", account)
    (rotation,) = rotate(desk, after=400 * 3600)
    assert not rotation.renewed
    assert rotation.problem
    # Joining again makes a new account; the token of the old one is not taken for a good one.
    desk.join()
    assert desk.as_joined("auth", "can-i", "create", "configmaps").stdout.strip() == "yes"


def test_neither_token_nor_kubeconfig_is_ever_printed(desk: Desk) -> None:
    said = [desk.join("-o", "json"), desk.join("--verbose"), desk.unjoin("--orphan", "-v")]
    text = "".join(done.stdout + done.stderr for done in said)
    assert "eyJ" not in text  # how every JSON Web Token begins
    (rotation,) = (Rotation("x"),)
    assert "token" not in repr(rotation)


def test_the_kubeconfig_has_one_context_and_the_members_own_authority(desk: Desk) -> None:
    desk.join()
    config = yaml.safe_load(desk.credential().read_text())
    assert [context["name"] for context in config["contexts"]] == ["aws-eu"]
    assert config["clusters"][0]["cluster"]["server"] == desk.member.url
    assert "certificate-authority-data" in config["clusters"][0]["cluster"]
    assert list(config["users"][0]["user"]) == ["token"]
    assert json.dumps(desk.secret()["metadata"]["labels"]).count("aws-eu") == 1


def test_the_command_renews_what_is_due_or_all(desk: Desk) -> None:
    desk.join("--token-lifetime", "1h")
    before = desk.secret()["data"]
    said = desk.run("rotate", "--host-context", "host").stdout
    assert said.splitlines()[1].split() == ["aws-eu", "kept", "59m"]
    assert desk.secret()["data"] == before
    said = desk.run("rotate", "--host-context", "host", "--all").stdout
    assert said.splitlines()[1].split()[:2] == ["aws-eu", "renewed"]
    assert desk.secret()["data"] != before
    desk.member.stop()
    said = desk.run("rotate", "--host-context", "host", "--all", code=1).stdout
    assert "not renewed" in said


def test_a_federation_without_tokens_has_nothing_to_renew(desk: Desk) -> None:
    desk.join("--auth", "exec", "--user", "reconciler")
    assert "No member" in desk.run("rotate", "--host-context", "host").stderr
