"""A run as others get to know of it: logs, metrics, Events and messages of one real process."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kubesim.fleet import Sandbox
from tests.unit.report.listener import Listener, listening

from .conftest import Command

FEDERATION = """
apiVersion: federation.reconciler.dev/v1alpha1
kind: Federation
metadata: {name: shop}
spec:
  defaults: {placement: {clusterSelector: {}}}
  notifications:
    - {type: Webhook, urlFrom: {env: HOOK_URL}}
    - {type: Slack, urlFrom: {secretRef: {name: slack}}, on: [failure]}
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: aws}
spec: {provider: aws, region: eu-central-1}
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: gcp}
spec: {provider: gcp, region: europe-west1}
"""
SHOP = """
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: default}
data: {colour: green}
---
apiVersion: v1
kind: Secret
metadata: {name: token, namespace: default}
stringData: {token: CANARY-in-a-secret}
"""


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(["host", "aws", "gcp"]) as sandbox:
        namespace = {"name": "federation-system"}
        sandbox.cluster("host").create(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": namespace}
        )
        yield sandbox


@pytest.fixture
def hook() -> Iterator[Listener]:
    with listening() as listener:
        yield listener


@pytest.fixture
def slack(sandbox: Sandbox) -> Iterator[Listener]:
    with listening() as listener:
        sandbox.cluster("host").create(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": "slack", "namespace": "federation-system"},
                "stringData": {"url": f"{listener.url}/T0K3N"},
            }
        )
        yield listener


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "federation.yaml").write_text(FEDERATION)
    (folder / "shop.yaml").write_text(SHOP)
    return folder


@pytest.fixture
def run(
    reconcile: Command, folder: Path, sandbox: Sandbox, hook: Listener, slack: Listener
) -> Callable[..., Any]:
    """One run with the host's context; gives the finished process."""

    def start(*arguments: object, code: int) -> Any:
        done = reconcile(
            *("--yes", "--repo", folder, "--kubeconfig", sandbox.kubeconfig),
            *("--host-context", "host", *arguments),
            env={"HOOK_URL": f"{hook.url}/H00K", "RECONCILE_ALLOW_ACCESS": "plain-http"},
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "CANARY" not in done.stdout + done.stderr
        assert "H00K" not in done.stdout + done.stderr
        assert "T0K3N" not in done.stdout + done.stderr
        return done

    return start


def titles(listener: Listener) -> list[str]:
    """What a webhook was told, or Slack."""
    told = []
    for request in listener.requests:
        document = request.json
        told += [one["title"] for one in document.get("tidings", [])] or [document["text"]]
    return told


def test_people_are_told_of_a_failure_once_and_of_its_end(
    run: Callable[..., Any], sandbox: Sandbox, hook: Listener, slack: Listener
) -> None:
    run(code=0)
    assert titles(hook) == titles(slack) == []
    sandbox.cluster("gcp").stop()
    run(code=1)
    run(code=1)
    assert titles(hook) == titles(slack) == ["Federation shop does not run as Git says"]
    sandbox.cluster("gcp").start()
    run(code=0)
    run(code=0)
    assert titles(hook)[1:] == ["Federation shop runs as Git says again"]
    # Who wants to know of failures only is not told that they are over.
    assert len(titles(slack)) == 1


def test_an_unreadable_repository_is_told_to_whom_the_last_readable_one_named(
    run: Callable[..., Any], folder: Path, hook: Listener
) -> None:
    run(code=0)
    (folder / "federation.yaml").write_text("kind: [")
    run(code=1)
    run(code=1)
    assert titles(hook) == ["Federation shop does not run as Git says"]
    (folder / "federation.yaml").write_text(FEDERATION)
    run(code=0)
    assert titles(hook)[1:] == ["Federation shop runs as Git says again"]


def test_a_receiver_that_does_not_answer_is_a_warning_and_is_told_later(
    run: Callable[..., Any], sandbox: Sandbox, hook: Listener
) -> None:
    sandbox.cluster("gcp").stop()
    hook.answers[:] = [(403, {})]
    done = run(code=1)
    assert (
        "no notification was sent by Webhook (variable HOOK_URL): it answers HTTP 403"
        in done.stderr
    )
    hook.answers[:] = [(200, {})]
    run(code=1)
    run(code=1)
    assert len(hook.requests) == 2


def test_a_plan_tells_nobody(
    reconcile: Command, folder: Path, sandbox: Sandbox, hook: Listener
) -> None:
    sandbox.cluster("gcp").stop()
    reconcile(
        *("--plan", "--repo", folder, "--kubeconfig", sandbox.kubeconfig),
        *("--host-context", "host", "--events", "host"),
        env={"HOOK_URL": hook.url},
    )
    assert hook.requests == []
    assert not [k for k in sandbox.cluster("host").objects if k.kind == "Event"]


def test_logs_are_json_with_the_runs_id_and_nothing_else(run: Callable[..., Any]) -> None:
    done = run("--log-format", "json", code=0)
    assert done.stdout == ""
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert len({line["run"] for line in lines}) == 1
    assert lines[-1]["event"] == "end"
    assert lines[-1]["summary"]["create"] == 4
    assert {line["phase"] for line in lines if line["event"] == "phase"} >= {"observe", "apply"}


def test_what_fails_is_in_the_log_of_a_run_that_ends_early(
    run: Callable[..., Any], folder: Path
) -> None:
    (folder / "shop.yaml").write_text("kind: [")
    done = run("--log-format", "json", code=1)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    failures = [line for line in lines if line["event"] == "failure"]
    assert failures[0]["kind"] == "input"
    assert "shop.yaml:2:1" in failures[0]["message"]
    assert len({line["run"] for line in lines}) == 1


def test_metrics_are_written_and_pushed(
    run: Callable[..., Any], tmp_path: Path, sandbox: Sandbox
) -> None:
    file = tmp_path / "reconcile.prom"
    with listening() as gateway:
        run("--metrics-file", file, "--metrics-push", gateway.url, code=0)
        sandbox.cluster("gcp").stop()
        run("--metrics-file", file, "--metrics-push", gateway.url, code=1)
    text = file.read_text()
    assert 'federation_reconciler_cluster_up{cluster="gcp",federation="shop"} 0.0' in text
    assert 'federation_reconciler_run_success{federation="shop"} 0.0' in text
    assert [request.method for request in gateway.requests] == ["PUT", "PUT"]
    assert "CANARY" not in text


def test_the_host_has_events_of_failures(run: Callable[..., Any], sandbox: Sandbox) -> None:
    sandbox.cluster("gcp").stop()
    run(code=1)
    run(code=1)
    events = [o for k, o in sandbox.cluster("host").objects.items() if k.kind == "Event"]
    assert [event["reason"] for event in events] == ["RunFailed"]
    assert events[0]["series"]["count"] == 2
    assert events[0]["regarding"]["name"] == "federation-shop-memory"
    assert not [k for k in sandbox.cluster("aws").objects if k.kind == "Event"]


def test_changed_objects_have_events_where_that_is_asked_for(
    run: Callable[..., Any], sandbox: Sandbox
) -> None:
    run("--events", "members", code=0)
    events = [o for k, o in sandbox.cluster("aws").objects.items() if k.kind == "Event"]
    assert {event["regarding"]["name"] for event in events} == {"settings", "token"}
    assert "CANARY" not in json.dumps(events)


def test_events_can_be_switched_off(run: Callable[..., Any], sandbox: Sandbox) -> None:
    sandbox.cluster("gcp").stop()
    run("--events", "none", code=1)
    assert sandbox.cluster("aws").find("ConfigMap", "settings", "default")
    assert not [k for k in sandbox.cluster("host").objects if k.kind == "Event"]
