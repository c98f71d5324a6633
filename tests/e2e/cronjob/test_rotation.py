"""The CronJob that renews tokens: the only one that writes Secrets, and harmless in trouble."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from reconciler.join.credentials import format_time, parse_time
from tests.controlplane.fixtures import Kubectl
from tests.controlplane.plane import KubectlFailed

from .conftest import KUBECTL, Host

SECRET = "/api/v1/namespaces/federation-system/secrets/aws-eu"
ISSUED = "federation.reconciler.dev/token-issued"
EXPIRES = "federation.reconciler.dev/token-expires"
ROTATE = "reconcile-rotate"


def grow_old(host: Host, *, minutes_left: int) -> None:
    """The Secret says what it would have said of a token that was made much earlier."""
    expires = time.time() + minutes_left * 60
    days = 30 * 24 * 3600
    times = {ISSUED: format_time(expires - days), EXPIRES: format_time(expires)}
    host.cluster.patch(SECRET, {"metadata": {"annotations": times}})


def opens_the_member(kubeconfig: Path) -> bool:
    """Whether the member still takes the credential in a file."""
    done = subprocess.run(
        [KUBECTL, "--kubeconfig", kubeconfig, "auth", "can-i", "create", "configmaps"],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() == "yes"


def test_a_token_near_its_end_is_renewed_and_the_old_one_stays_good(federation: Host) -> None:
    host = federation
    before = host.desk.credential().rename(host.folder / "old.kubeconfig")
    grow_old(host, minutes_left=5)
    old = host.desk.secret()
    with host.cluster.recorded() as requests:
        ended = host.pod("rotate", ROTATE).run()
    assert ended.code == 0, ended.said
    assert "renewed" in ended.said
    ours = [request for request in requests if request.user == host.account(ROTATE)]
    assert sorted((r.verb, r.resource) for r in ours) == [
        ("get", "secrets"),
        ("list", "secrets"),
        ("patch", "secrets"),
    ]
    now = host.desk.secret()
    assert now["data"] != old["data"]
    assert parse_time(now["metadata"]["annotations"][EXPIRES]) > time.time() + 29 * 24 * 3600
    assert opens_the_member(before)
    assert opens_the_member(host.desk.credential())
    run = host.pod("after").run()
    assert run.code == 0, run.said


def test_a_young_token_is_left_alone(federation: Host) -> None:
    before = federation.desk.secret()
    ended = federation.pod("rotate", ROTATE).run()
    assert ended.code == 0, ended.said
    assert "kept" in ended.said
    assert federation.desk.secret() == before


def test_a_member_that_does_not_answer_is_told_and_nothing_is_lost(federation: Host) -> None:
    host = federation
    grow_old(host, minutes_left=240)
    before = host.desk.secret()
    host.desk.member.stop()
    for name in ("rotate-1", "rotate-2"):
        ended = host.pod(name, ROTATE).run()
        assert ended.code == 1, ended.said
        assert "not renewed" in ended.said
        assert "Warning" not in ended.said
    assert host.desk.secret() == before
    (event,) = host.events("TokenNotRenewed")
    assert "the token of aws-eu ends in 3h and was not renewed" in event["note"]
    assert event["regarding"]["name"] == "aws-eu"
    assert event["series"]["count"] == 2
    host.desk.member.start()
    assert host.pod("after").run().code == 0
    assert host.pod("rotate-3", ROTATE).run().code == 0
    assert host.desk.secret()["data"] != before["data"]


def test_it_may_write_secrets_in_its_namespace_and_nothing_else(
    federation: Host, kubectl: Kubectl
) -> None:
    def can(account: str, verb: str, what: str, namespace: str = "federation-system") -> bool:
        user = federation.account(account)
        command = ("auth", "can-i", verb, what, "-n", namespace, "--as", user)
        try:
            return kubectl(federation.cluster, *command).strip() == "yes"
        except KubectlFailed:
            return False

    assert can(ROTATE, "patch", "secrets")
    for verb, what in (("create", "secrets"), ("delete", "secrets"), ("get", "configmaps")):
        assert not can(ROTATE, verb, what)
    assert not can(ROTATE, "list", "secrets", "kube-system")
    assert can("reconcile", "get", "secrets")
    for verb in ("list", "watch", "create", "update", "patch", "delete"):
        assert not can("reconcile", verb, "secrets")
    assert not can("reconcile", "get", "secrets", "kube-system")
