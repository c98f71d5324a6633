"""Runs that are killed, stopped, fenced off, or meet clusters that do not answer."""

from __future__ import annotations

import threading

import pytest
from msgspec.structs import replace

from kubesim.fleet import Sandbox
from reconciler.api.errors import BadInput, LeaseLost
from reconciler.api.options import RunOptions
from reconciler.plan.model import Action
from reconciler.run.pipeline import apply_plan, make_plan
from tests.controlplane.process import eventually
from tests.definitions import definition, definition_text
from tests.scenarios.conftest import NAMES, World
from tests.scenarios.manifests import NAMESPACE, SERVICE, SETTINGS, SHOP

KEPT = SETTINGS.replace("shop}", "default}").replace("settings", "kept")


class Killed(BaseException):
    """Stands for SIGKILL: nobody catches it, nothing is cleaned up."""


def kill_after(prepared, writes: int) -> None:
    """Let so many writes through, over all members, and die at the next."""
    left = threading.Semaphore(writes)

    def fence() -> None:
        if not left.acquire(blocking=False):
            raise Killed

    for work in prepared.works:
        work.member.fence = fence


@pytest.mark.parametrize("writes", range(12))
def test_a_run_killed_at_any_write_orphans_nothing(simulated_world: World, writes: int) -> None:
    world = simulated_world
    world.write("kept.yaml", KEPT)
    world.apply()
    world.write("shop.yaml", SHOP)
    prepared = world.prepare()
    kill_after(prepared, writes)
    with pytest.raises(Killed):
        apply_plan(prepared)

    world.remove("shop.yaml")
    assert world.apply(max_deletions=10).ok
    for cluster in NAMES:
        for kind, name in (("configmap", "settings"), ("deployment", "web"), ("service", "web")):
            assert not world.exists(kind, name, cluster)


@pytest.mark.parametrize("writes", range(0, 14, 3))
def test_the_next_run_finishes_what_a_killed_one_began(world: World, writes: int) -> None:
    world.write("shop.yaml", SHOP)
    prepared = world.prepare()
    kill_after(prepared, writes)
    with pytest.raises(Killed):
        apply_plan(prepared)
    assert world.apply().ok
    assert not world.plan().has_changes


@pytest.mark.parametrize("writes", range(3, 9))
def test_the_next_run_finishes_an_adoption(world: World, writes: int) -> None:
    by_hand = world.repository.parent / "by-hand.yaml"
    by_hand.write_text(NAMESPACE + "---" + SETTINGS.replace("green", "red"))
    for cluster in NAMES:
        world.kubectl("apply", "--server-side", "-f", str(by_hand), cluster=cluster)
    world.write("shop.yaml", SHOP)
    prepared = world.prepare()
    kill_after(prepared, writes)
    with pytest.raises(Killed):
        apply_plan(prepared)
    assert world.apply().ok
    assert not world.plan().has_changes


def test_a_run_that_lost_the_lock_writes_nothing_more(world: World) -> None:
    world.write("shop.yaml", SHOP)
    prepared = world.prepare()

    def fence() -> None:
        raise LeaseLost("another run took over")

    for work in prepared.works:
        work.member.fence = fence
    result = apply_plan(prepared)
    assert result.stopped == "another run took over"
    assert {outcome.status for outcome in result.outcomes} == {"skipped"}
    assert not world.exists("namespace", "shop", namespace="default")


def test_a_stop_request_ends_the_run_and_tells_what_is_left(world: World) -> None:
    world.write("shop.yaml", SHOP)
    result = apply_plan(world.prepare(), stopped=lambda: "SIGTERM")
    assert not result.ok
    assert {o.status for o in result.outcomes} == {"skipped"}
    assert world.apply().ok


@pytest.fixture
def pair(repository):
    with Sandbox(list(NAMES)) as sandbox:
        options = RunOptions(repo=str(repository), kubeconfig=str(sandbox.kubeconfig))
        (repository / "shop.yaml").write_text(SHOP)
        yield sandbox, options


def test_one_cluster_that_is_down_does_not_stop_the_other(pair) -> None:
    sandbox, options = pair
    sandbox.cluster("aws").stop()
    prepared = make_plan(options)
    aws, gcp = prepared.plan.clusters
    assert not aws.reachable
    assert "connection refused" in aws.problem
    result = apply_plan(prepared)
    assert not result.ok
    assert sum(o.status == "done" for o in result.outcomes) == len(gcp.changes) == 4


def test_a_refused_credential_is_told_from_a_dead_cluster(pair) -> None:
    sandbox, options = pair
    sandbox.cluster("aws").revoke()
    aws, _ = make_plan(options).plan.clusters
    assert "the credential was refused" in aws.problem


@pytest.mark.parametrize("code", [403, 404])
def test_what_could_not_be_listed_is_not_forgotten(pair, repository, code: int) -> None:
    sandbox, options = pair
    apply_plan(make_plan(options))
    # The inventory is written in this run, without the only ConfigMap in Git.
    (repository / "shop.yaml").write_text("---".join([NAMESPACE, SERVICE.replace("8080", "9090")]))
    aws = sandbox.cluster("aws")
    aws.faults.error(code, path="/configmaps.*part-of", method="GET")
    prepared = make_plan(options)
    assert "could not be listed" in prepared.plan.clusters[0].prune_blocked
    assert not apply_plan(prepared).ok
    aws.faults.clear()
    assert apply_plan(make_plan(options)).ok
    assert aws.find("ConfigMap", "settings", "shop") is None


def test_an_object_that_its_kinds_list_leaves_out_is_not_forgotten(pair, repository) -> None:
    sandbox, options = pair
    apply_plan(make_plan(options))
    (repository / "shop.yaml").write_text("---".join([NAMESPACE, SERVICE.replace("8080", "9090")]))
    aws = sandbox.cluster("aws")
    empty = {"kind": "ConfigMapList", "apiVersion": "v1", "metadata": {}, "items": []}
    aws.faults.answer(empty, path="/configmaps.*part-of", method="GET")
    prepared = make_plan(options)
    assert "was not in the list of its kind" in prepared.plan.clusters[0].prune_blocked
    assert not apply_plan(prepared).ok
    aws.faults.clear()
    assert apply_plan(make_plan(options)).ok
    assert aws.find("ConfigMap", "settings", "shop") is None


@pytest.mark.parametrize("down", ["a list", "a group"])
def test_a_namespace_that_nobody_can_look_into_is_not_pruned_and_not_called_done(
    pair, repository, down: str
) -> None:
    sandbox, options = pair
    apply_plan(make_plan(options))
    (repository / "shop.yaml").write_text(KEPT)
    aws = sandbox.cluster("aws")
    if down == "a list":
        aws.faults.error(410, path="/namespaces/shop/endpoints|/namespaces/shop/pods", method="GET")
    else:
        aws.faults.fail_group()
    prepared = make_plan(replace(options, max_deletions=10))
    (namespace,) = [c for c in prepared.plan.clusters[0].changes if c.key.kind == "Namespace"]
    assert namespace.action is Action.FAILED
    assert ("cannot be listed" if down == "a list" else "that are down") in namespace.error
    assert not apply_plan(prepared).ok
    assert aws.find("Namespace", "shop") is not None
    assert aws.find("Service", "web", "shop") is None
    aws.faults.clear()
    prepared = make_plan(replace(options, max_deletions=10))
    assert apply_plan(prepared).ok
    eventually(lambda: aws.find("Namespace", "shop") is None, "it is gone")


def test_a_definition_is_pruned_while_another_api_group_is_down(pair, repository) -> None:
    sandbox, options = pair
    aws = sandbox.cluster("aws")
    (repository / "shop.yaml").write_text("---\n".join([KEPT, definition_text("Widget")]))
    assert apply_plan(make_plan(options)).ok
    (repository / "shop.yaml").write_text(KEPT)
    aws.faults.fail_group()
    assert apply_plan(make_plan(options)).ok
    name = "widgets.example.com"
    eventually(lambda: aws.find("CustomResourceDefinition", name) is None, "it is gone")


def test_throttled_and_broken_answers_are_tried_again(pair) -> None:
    sandbox, options = pair
    faults = sandbox.cluster("aws").faults
    faults.throttle(count=2)
    faults.error(503, count=1, method="PATCH")
    assert apply_plan(make_plan(options)).ok
    assert not make_plan(options).plan.has_changes


def test_a_webhook_that_denies_fails_its_object_only(pair) -> None:
    sandbox, options = pair
    sandbox.cluster("aws").faults.deny("not on my watch", path="/services")
    plan = make_plan(options).plan
    assert not plan.violations, (
        "its namespace is yet to come, and the webhook may let it pass there"
    )
    assert not apply_plan(make_plan(options)).ok
    plan = make_plan(options).plan
    failed = [c for c in plan.clusters[0].changes if c.action is Action.FAILED]
    assert [c.key.kind for c in failed] == ["Service"]
    assert "not on my watch" in failed[0].error


def test_a_federated_kind_is_looked_up_in_the_members(pair, repository) -> None:
    sandbox, options = pair
    for name in NAMES:
        sandbox.cluster(name).create(definition("Widget"))
    (repository / "shop.yaml").write_text(
        """
apiVersion: types.kubefed.io/v1beta1
kind: FederatedWidget
metadata: {name: one, namespace: default}
spec: {template: {spec: {size: 1}}, placement: {clusterSelector: {}}}
"""
    )

    def is_known() -> bool:
        try:
            return make_plan(options).plan.has_changes
        except BadInput:
            return False

    eventually(is_known, "the API servers serve the new kind")
    assert apply_plan(make_plan(options)).ok
    assert sandbox.cluster("gcp").get("Widget", "one", "default")["spec"] == {"size": 1}


DIVIDED = """
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {name: web}
spec: {select: [{kind: Deployment}], replicas: {mode: Divided, total: 7}}
---
"""


@pytest.mark.parametrize("chosen", [(), ("gcp",)])
def test_replicas_do_not_move_because_a_cluster_did_not_answer(pair, repository, chosen) -> None:
    sandbox, options = pair
    (repository / "shop.yaml").write_text(DIVIDED + SHOP)
    assert apply_plan(make_plan(options)).ok
    sandbox.cluster("aws").stop()
    plan = make_plan(replace(options, clusters=chosen)).plan
    assert not next(c for c in plan.clusters if c.name == "gcp").changes


def test_planning_one_cluster_gives_what_planning_all_gives_for_it(pair, repository) -> None:
    _, options = pair
    (repository / "shop.yaml").write_text(DIVIDED + SHOP)
    whole = make_plan(options).plan.clusters[1]
    (alone,) = make_plan(replace(options, clusters=("gcp",))).plan.clusters
    assert alone.changes == whole.changes
