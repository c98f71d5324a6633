"""No value of what is sensitive in whatever is told of additions, of fields left to others, of what
is taken over or stays, and of what can only go in place or be recreated."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.controlplane.process import eventually
from tests.scenarios.conftest import FEDERATION, World
from tests.scenarios.desk import Desk, simulated_desk
from tests.scenarios.manifests import NAMESPACE, SETTINGS
from tests.scenarios.test_adoption import by_hand
from tests.scenarios.test_secrecy import (
    CANARIES,
    command,
    no_canary_in,
    other,
    secret,
)
from tests.scenarios.test_warnings_of_servers import POLICY as WARNING
from tests.unit.git.repositories import git
from tests.unit.report.listener import listening

__all__ = ["simulated_desk"]

REMOVE = "  drift: {additions: Remove}\n"
SENSITIVE = "  sensitive: [{kind: Deployment.apps}]\n"
IGNORED = '  ignore: [{select: [{kind: Secret}], paths: [/data/plain, "/data/added*"]}]\n'
LAX = {"name": "key", "namespace": "shop", "labels": {"lax": "1"}}
TAKEN = '  adoption: {takeOver: ["*"]}\n'


def patched(world: World, kind: str, name: str, body: Any, manager: str = "kubectl-edit") -> None:
    for cluster in ("aws", "gcp"):
        how = ("--type=strategic", f"--field-manager={manager}", "-p", json.dumps(body))
        world.kubectl("-n", "shop", "patch", kind, name, *how, cluster=cluster)


@pytest.fixture
def shop(simulated_world: World) -> World:
    return opened(simulated_world)


def opened(world: World) -> World:
    for cluster in ("aws", "gcp"):
        by_hand(world, NAMESPACE, cluster=cluster)
    world.write("shop.yaml", NAMESPACE)
    return world


def outputs(world: World) -> str:
    """What a plan, a saved one and a run put out, in every form."""
    folder = world.repository.parent / "out"
    folder.mkdir(exist_ok=True)
    reports = [f"--report={folder / f'report.{end}'}" for end in ("json", "md", "html", "txt")]
    told = [command(world, "--plan", "-v", *reports, f"--out={folder / 'plan.json'}")]
    told += [file.read_text() for file in sorted(folder.iterdir())]
    told.append(command(world, "--yes", "-v", "--debug", *reports))
    told += [file.read_text() for file in sorted(folder.iterdir())]
    return "\n".join(told)


def web(*env: str, more: str = "", name: str = "c4nary-web") -> str:
    """A Deployment whose names and values are canaries."""
    said = ", ".join(f"{{name: c4nary_{one}, value: c4nary {one}}}" for one in env)
    return f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, namespace: shop, finalizers: [example.com/c4nary]}}
spec:
  selector: {{matchLabels: {{app: web}}}}
  {more}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      tolerations: [{{key: c4nary, operator: Exists}}]
      containers:
        - {{name: {name}, image: "registry.example/c4nary:1", env: [{said}]}}
"""


def test_a_key_of_a_secret_that_somebody_added_is_reported_and_removed(world: World) -> None:
    shop = opened(world)
    shop.write("secret.yaml", secret(stringData={"own": "c4nary"}))
    assert shop.apply().ok
    patched(shop, "secret", "key", {"stringData": CANARIES})
    told = outputs(shop)
    assert "data.plain: ***" in told
    no_canary_in(told)
    shop.write("federation.yaml", FEDERATION + REMOVE)
    told = outputs(shop)
    assert "drift: added by kubectl-edit" in told
    no_canary_in(told)
    assert list(shop.get("secret", "key")["data"]) == ["own"]


def test_what_is_left_to_others_of_a_secret(shop: World) -> None:
    shop.write("secret.yaml", secret())
    assert shop.apply().ok
    shop.write("federation.yaml", FEDERATION + IGNORED)
    told = outputs(shop)
    assert "left to others" in told
    no_canary_in(told)
    patched(shop, "secret", "key", {"stringData": {"plain": "kanari3", "added": "c4nary"}})
    shop.write("secret.yaml", other(secret(immutable=True)))
    no_canary_in(outputs(shop))
    shop.write("secret.yaml", secret())
    told = outputs(shop)
    assert "needs recreate" in told
    no_canary_in(told)


@pytest.mark.parametrize("rules", ["", TAKEN, TAKEN + REMOVE])
def test_a_secret_that_is_adopted(shop: World, rules: str) -> None:
    for cluster in ("aws", "gcp"):
        theirs = secret(stringData={**CANARIES, "theirs": "c4nary theirs"})
        by_hand(shop, theirs, cluster=cluster)
    shop.write("federation.yaml", FEDERATION + rules)
    shop.write("secret.yaml", other(secret()))
    told = outputs(shop)
    assert "data.theirs" in told
    no_canary_in(told)


def test_items_of_a_sensitive_kind_that_somebody_added(shop: World) -> None:
    shop.write("federation.yaml", FEDERATION + SENSITIVE)
    shop.write("web.yaml", web("one"))
    assert shop.apply().ok
    env = [{"name": "c4nary_added", "value": "c4nary added"}]
    containers = [{"name": "c4nary-web", "env": env}, {"name": "c4nary-two", "image": "c4nary"}]
    patched(shop, "deployment", "web", {"spec": {"template": {"spec": {"containers": containers}}}})
    told = outputs(shop)
    assert "containers[name=***].env[name=***].value: ***" in told
    no_canary_in(told)
    shop.write("federation.yaml", FEDERATION + SENSITIVE + REMOVE)
    told = outputs(shop)
    assert "drift: added by kubectl-edit" in told
    no_canary_in(told)


def test_items_of_a_sensitive_kind_that_change_hands(shop: World) -> None:
    shop.write("federation.yaml", FEDERATION + SENSITIVE)
    shop.write("web.yaml", web("one", "two"))
    assert shop.apply().ok
    by_hand(shop, web("two"), "--server-side", "--force-conflicts")
    shop.write("web.yaml", web("one"))
    told = outputs(shop)
    assert "no longer in Git" in told
    no_canary_in(told)
    patched(
        shop,
        "deployment",
        "web",
        {
            "spec": {
                "template": {"spec": {"containers": [{"name": "c4nary-web", "image": "c4nary:2"}]}}
            }
        },
    )
    shop.write("web.yaml", web("one", "two"))
    no_canary_in(outputs(shop))


@pytest.mark.parametrize("rules", ["", REMOVE, TAKEN])
def test_items_of_a_sensitive_kind_that_git_does_not_go_with(shop: World, rules: str) -> None:
    theirs = web("one", "two", more="strategy: {rollingUpdate: {maxSurge: 3}}")
    for cluster in ("aws", "gcp"):
        by_hand(shop, theirs, "--server-side", cluster=cluster)
    shop.write("federation.yaml", FEDERATION + SENSITIVE + rules)
    shop.write("web.yaml", web("one", more="strategy: {type: Recreate}", name="c4nary-other"))
    told = outputs(shop)
    no_canary_in(told)
    assert "Deployment shop/web" in told


def test_items_of_a_sensitive_kind_in_conflict(shop: World) -> None:
    by_hand(
        shop,
        web("one", "two").replace("c4nary two", "c4nary too"),
        "--server-side",
        "--field-manager=helm",
    )
    shop.write("federation.yaml", FEDERATION + SENSITIVE)
    shop.write("web.yaml", web("one", "two"))
    told = outputs(shop)
    assert "conflict: " in told
    assert "helm" in told
    no_canary_in(told)


def test_what_a_branch_changes_and_what_a_plan_no_longer_fits(simulated_desk: Desk) -> None:
    desk, hidden = simulated_desk, ("example.com/c4nary", "example.com/other")
    rules = FEDERATION + SENSITIVE + REMOVE

    def manifests(*env: str) -> str:
        return web(*env).replace("name: web,", "name: hidden,").replace(*hidden)

    desk.commit(federation=rules, key=secret(), hidden=manifests("one"))
    assert desk.reconcile("--yes").returncode == 0
    desk.commit(key=other(secret()), hidden=manifests("two"))
    git(desk.world.repository, "checkout", "-q", "-b", "feature")
    desk.commit(key=secret(stringData={"plain": "c4nary too"}), hidden=manifests("one", "three"))
    containers = [{"name": "c4nary-web", "env": [{"name": "c4nary_own", "value": "c4nary own"}]}]
    pod = {"spec": {"template": {"spec": {"containers": containers}}}}
    patched(desk.world, "deployment", "hidden", pod)
    patched(desk.world, "secret", "key", {"stringData": {"added": "c4nary"}})
    told = []
    for form in ("text", "json", "markdown", "html"):
        done = desk.reconcile("--plan", "-v", "--base", "main", "--output", form)
        assert "shop/hidden" in done.stdout or '"hidden"' in done.stdout
        told += [done.stdout, done.stderr]
    desk.save()
    told.append(desk.file.read_text())
    patched(
        desk.world, "deployment", "hidden", {"spec": {"template": {"spec": {"containers": []}}}}
    )
    containers[0]["image"] = "registry.example/c4nary:3"
    patched(desk.world, "deployment", "hidden", pod)
    patched(desk.world, "secret", "key", {"stringData": {"plain": "kanari3", "added": "kanari3"}})
    told.append(desk.refused())
    no_canary_in("\n".join(told))


def test_what_receivers_of_notifications_are_told(
    shop: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.write("secret.yaml", secret(immutable=True))
    shop.write("web.yaml", web("one", "two"))
    hook = "  notifications: [{type: Webhook, urlFrom: {env: HOOK_URL}}]\n"
    shop.write("federation.yaml", FEDERATION + SENSITIVE + hook)
    shop.write("settings.yaml", SETTINGS)
    access = ("--allow-access", "plain-http")
    with listening() as listener:
        monkeypatch.setenv("HOOK_URL", listener.url)
        told = [command(shop, "--yes", "-v", "--state", "../state.json", *access)]
        by_hand(shop, web("two"), "--server-side", "--force-conflicts")
        shop.write("web.yaml", web("one", "three"))
        shop.write("secret.yaml", other(secret(immutable=True)))
        shop.write("settings.yaml", SETTINGS.replace("green", "blue"))
        told.append(command(shop, "--yes", "-v", "--state", "../state.json", *access))
        told += [request.body.decode() for request in listener.requests]
    assert listener.requests, told
    no_canary_in("\n".join(told))


@pytest.mark.integration
def test_what_servers_warn_of_where_rules_meet(repository: Path, real_kubeconfig: Path) -> None:
    world = opened(World(repository, real_kubeconfig))
    world.write(
        "secret.yaml", secret(stringData={"plain": "c4nary", "pin": "c4nary"}, metadata=LAX)
    )
    for cluster in ("aws", "gcp"):
        theirs = secret(stringData={"pin": "kanari3", "theirs": "c4nary"}, metadata=LAX)
        by_hand(world, theirs, cluster=cluster)
        path = world.repository.parent / "policy.yaml"
        path.write_text(WARNING.replace("KINDS", "secrets"))
        world.kubectl("apply", "-f", str(path), cluster=cluster)
    eventually(lambda: "not shown" in str(world.plan().warnings), "the policy is in force")
    world.write("federation.yaml", FEDERATION + TAKEN + REMOVE)
    told = outputs(world)
    assert "the API server warns: not shown" in told
    no_canary_in(told)
    patched(world, "secret", "key", {"stringData": {"added": "c4nary"}})
    told = outputs(world)
    assert "drift: added by kubectl-edit" in told
    no_canary_in(told)
    world.remove("secret.yaml")
    no_canary_in(outputs(world))
