"""One kind that cannot be listed costs that kind, not the cluster; and it is named."""

from __future__ import annotations

import time

import pytest

from kubesim.fleet import Sandbox
from reconciler.api.options import RunOptions
from reconciler.plan.model import Action
from reconciler.run.pipeline import apply_plan, make_plan
from tests.scenarios.conftest import NAMES, World
from tests.scenarios.desk import Desk
from tests.scenarios.manifests import NAMESPACE, SERVICE, SETTINGS, SHOP, WEB

FAILED_LIST = "ConfigMap (v1) could not be listed"
TARGETS = "/configmaps"


@pytest.fixture
def pair(repository):
    with Sandbox(list(NAMES)) as sandbox:
        options = RunOptions(repo=str(repository), kubeconfig=str(sandbox.kubeconfig))
        (repository / "shop.yaml").write_text(SHOP)
        yield sandbox, options


@pytest.mark.parametrize("code", [403, 500, 503])
@pytest.mark.parametrize("first", [True, False])
def test_the_rest_of_the_cluster_is_reconciled(pair, repository, code: int, first: bool) -> None:
    sandbox, options = pair
    if not first:
        apply_plan(make_plan(options))
        (repository / "shop.yaml").write_text(SHOP.replace("8080", "9090"))
    aws = sandbox.cluster("aws")
    aws.faults.error(code, path=TARGETS, method="GET")
    plan = make_plan(options).plan.clusters[0]
    assert plan.reachable
    assert FAILED_LIST in plan.prune_blocked
    (change,) = [c for c in plan.changes if c.key.kind == "ConfigMap"]
    assert change.action is Action.FAILED
    assert FAILED_LIST in change.error
    assert not apply_plan(make_plan(options)).ok
    assert aws.get("Service", "web", "shop")["spec"]["ports"][0]["targetPort"] == (
        8080 if first else 9090
    )
    aws.faults.clear()
    assert apply_plan(make_plan(options)).ok
    assert not make_plan(options).plan.has_changes


def test_prunes_of_that_kind_and_of_what_it_may_use_wait(pair, repository) -> None:
    sandbox, options = pair
    apply_plan(make_plan(options))
    (repository / "shop.yaml").write_text(
        "---".join([NAMESPACE, SETTINGS, WEB]).replace("web", "new")
    )
    aws = sandbox.cluster("aws")
    aws.faults.error(500, path="/deployments.*part-of", method="GET")
    prepared = make_plan(options)
    plan = prepared.plan.clusters[0]
    # Git wants a Deployment, and nobody knows whether it is there.
    assert not [c for c in plan.changes if c.action is Action.PRUNE]
    (repository / "shop.yaml").write_text("---".join([NAMESPACE, SETTINGS]))
    plan = make_plan(options).plan.clusters[0]
    assert [str(c.key) for c in plan.changes] == ["Service shop/web"]
    (repository / "shop.yaml").write_text(SERVICE.replace("namespace: shop", "namespace: default"))
    plan = make_plan(RunOptions(**{**_given(options), "max_deletions": 9})).plan.clusters[0]
    pruned = [str(c.key) for c in plan.changes if c.action is Action.PRUNE]
    assert pruned == ["Service shop/web"]
    assert "what it may use waits" in plan.prune_blocked


def test_a_server_that_puts_everybody_off_is_given_up_on_soon(pair) -> None:
    sandbox, options = pair
    apply_plan(make_plan(options))
    sandbox.cluster("aws").faults.error(429, method="GET", retry_after=20)
    began = time.monotonic()
    aws, gcp = make_plan(options).plan.clusters
    assert time.monotonic() - began < 45
    assert not aws.reachable
    assert "429" in aws.problem or "Too Many Requests" in aws.problem
    assert gcp.reachable


def _given(options: RunOptions) -> dict[str, str]:
    return {"repo": options.repo, "kubeconfig": options.kubeconfig or ""}


def test_status_and_clusters_name_the_list_that_failed(pair, repository, tmp_path) -> None:
    sandbox, options = pair
    apply_plan(make_plan(options))
    sandbox.cluster("aws").faults.error(403, path=TARGETS, method="GET")
    desk = Desk(World(repository, sandbox.kubeconfig), tmp_path / "plan.json")
    for command in (["--plan"], ["status"], ["clusters"]):
        done = desk.reconcile(*command)
        assert FAILED_LIST in done.stdout + done.stderr, command
        assert done.returncode == 1, command
