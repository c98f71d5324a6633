"""An inventory knows whose it is: two repositories never prune each other's objects."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.api.errors import SourceError
from reconciler.api.options import RunOptions
from reconciler.plan.model import Action, Plan
from reconciler.run.pipeline import make_plan
from tests.command import run_command, user_environment
from tests.scenarios.conftest import CLUSTERS, FEDERATION, World
from tests.scenarios.desk import Desk
from tests.scenarios.manifests import NAMESPACE, SETTINGS, SHOP
from tests.unit.git.repositories import commit, git

OTHERS = "---".join(
    [
        NAMESPACE.replace("name: shop", "name: blog"),
        SETTINGS.replace("namespace: shop", "namespace: blog"),
    ]
)

FEDERATED = """
apiVersion: types.kubefed.io/v1beta1
kind: FederatedConfigMap
metadata: {name: settings, namespace: default}
spec:
  template: {data: {colour: green}}
  placement: {clusterSelector: {}}
"""


def beside(world: World, name: str, manifests: str = OTHERS) -> World:
    """Another repository for the same clusters, with a Federation of the same name."""
    folder = world.repository.parent / name
    folder.mkdir()
    other = World(folder, world.kubeconfig)
    other.write("federation.yaml", FEDERATION)
    other.write("clusters.yaml", CLUSTERS)
    other.write("blog.yaml", manifests)
    return other


def published(world: World) -> str:
    """Commits everything; the id."""
    if not (world.repository / ".git").exists():
        git(world.repository, "init", "-q", "-b", "main")
    return commit(world.repository, {})


def prunes(plan: Plan) -> list[str]:
    return [str(c.key) for cl in plan.clusters for c in cl.changes if c.action is Action.PRUNE]


def refused(plan: Plan) -> bool:
    return plan.has_failures and not any(cluster.reachable for cluster in plan.clusters)


def test_another_repository_with_the_same_federation_is_refused_by_both_names(
    world: World,
) -> None:
    world.write("shop.yaml", SHOP)
    assert world.apply().ok
    other = beside(world, "blog")
    plan = other.plan()
    assert refused(plan)
    assert not prunes(plan)
    for cluster in plan.clusters:
        assert f"belongs to another repository: {world.repository}" in cluster.problem
        assert f"this is {other.repository}" in cluster.problem
        assert "--take-over" in cluster.problem
    assert not other.apply().ok
    assert not other.apply(allow_rollback=True).ok
    assert world.exists("deployment", "web")
    assert not world.exists("configmap", "settings", namespace="blog")
    assert not world.plan().has_changes


def test_another_path_of_the_same_repository_is_refused(world: World) -> None:
    for team in ("shop", "blog"):
        world.write(f"{team}/federation.yaml", FEDERATION)
        world.write(f"{team}/clusters.yaml", CLUSTERS)
    world.write("shop/shop.yaml", SHOP)
    world.write("blog/blog.yaml", OTHERS)
    published(world)
    assert world.apply(path="shop").ok
    plan = world.plan(path="blog")
    assert refused(plan)
    assert "path shop" in plan.clusters[0].problem
    assert "path blog" in plan.clusters[0].problem
    assert not world.plan(path="shop").has_changes


def test_repositories_without_a_federation_are_told_apart(world: World) -> None:
    """As every KubeFed repository is that is taken as it is."""
    world.remove("federation.yaml")
    world.write("settings.yaml", FEDERATED)
    assert world.apply().ok
    other = beside(world, "blog", FEDERATED.replace("name: settings", "name: others"))
    other.remove("federation.yaml")
    assert refused(other.plan())
    assert not other.apply().ok
    assert world.exists("configmap", "settings", namespace="default")


def test_a_member_of_ones_own_is_reconciled_beside_one_that_is_anothers(world: World) -> None:
    world.write("shop.yaml", SHOP)
    assert world.apply(clusters=("aws",)).ok
    other = beside(world, "blog")
    result = other.apply()
    assert not result.ok
    assert not other.exists("configmap", "settings", cluster="aws", namespace="blog")
    assert other.exists("configmap", "settings", cluster="gcp", namespace="blog")
    assert world.exists("deployment", "web")


def test_taking_over_is_asked_for_and_shown(world: World) -> None:
    world.write("shop.yaml", SHOP)
    world.apply()
    other = beside(world, "blog")
    plan = other.plan(take_over=True, max_deletions=9)
    assert prunes(plan)
    assert any(f"taken over from {world.repository}" in warning for warning in plan.warnings)
    assert other.apply(take_over=True, max_deletions=9).ok
    assert not other.plan().has_changes
    assert refused(world.plan())


def test_a_clone_is_the_repository_that_it_was_cloned_from(world: World, tmp_path: Path) -> None:
    world.write("shop.yaml", SHOP)
    published(world)
    assert world.apply().ok
    clone = tmp_path / "laptop"
    git(tmp_path, "clone", "-q", str(world.repository), str(clone))
    assert not World(clone, world.kubeconfig).plan().has_failures


def test_the_url_of_a_repository_and_a_clone_of_it_are_one(world: World, tmp_path: Path) -> None:
    world.write("shop.yaml", SHOP)
    published(world)
    server = tmp_path / "server.git"
    git(tmp_path, "clone", "-q", "--bare", str(world.repository), str(server))
    assert world.apply(repo=server.as_uri()).ok
    clone = tmp_path / "laptop"
    git(tmp_path, "clone", "-q", "--depth", "1", server.as_uri(), str(clone))
    assert not World(clone, world.kubeconfig).plan().has_failures


def test_a_mirror_and_a_new_address_are_known_by_the_last_applied_commit(
    world: World, tmp_path: Path
) -> None:
    world.write("shop.yaml", SHOP)
    published(world)
    old, new = tmp_path / "old.git", tmp_path / "new.git"
    git(tmp_path, "clone", "-q", "--bare", str(world.repository), str(old))
    assert world.apply(repo=old.as_uri()).ok
    world.write("more.yaml", SETTINGS.replace("name: settings", "name: more"))
    published(world)
    git(tmp_path, "clone", "-q", "--bare", str(world.repository), str(new))
    clone = tmp_path / "laptop"
    git(tmp_path, "clone", "-q", new.as_uri(), str(clone))
    assert not World(clone, world.kubeconfig).plan().has_failures
    assert world.apply(repo=new.as_uri()).ok
    # What is frozen now no longer has a say.
    world.write("last.yaml", SETTINGS.replace("name: settings", "name: last"))
    published(world)
    assert "belongs to another repository" in world.plan(repo=old.as_uri()).clusters[0].problem


def test_a_repository_that_shares_only_its_beginning_is_another(
    world: World, tmp_path: Path
) -> None:
    """Two fleets that were made of one template."""
    published(world)
    fork = tmp_path / "fork"
    git(tmp_path, "clone", "-q", str(world.repository), str(fork))
    git(fork, "remote", "remove", "origin")
    world.write("shop.yaml", SHOP)
    published(world)
    assert world.apply().ok
    other = World(fork, world.kubeconfig)
    other.write("blog.yaml", OTHERS)
    published(other)
    assert refused(other.plan())


def test_an_inventory_without_an_owner_gets_one_and_says_so(world: World) -> None:
    world.write("shop.yaml", SHOP)
    world.apply()
    forget(world)
    plan = world.plan()
    assert not plan.has_changes
    assert any("does not say yet whose it is" in warning for warning in plan.warnings)
    assert world.apply().ok
    assert not [w for w in world.plan().warnings if "whose it is" in w]
    assert refused(beside(world, "blog").plan())


def test_a_memory_is_not_shared_by_two_repositories(world: World, tmp_path: Path) -> None:
    memory = str(tmp_path / "memory.json")
    world.write("shop.yaml", SHOP)
    published(world)
    assert world.apply(state=memory).ok
    before = Path(memory).read_text()
    other = beside(world, "blog")
    published(other)
    for allow_rollback in (False, True):
        given = {"repo": str(other.repository), "kubeconfig": str(world.kubeconfig)}
        with pytest.raises(SourceError, match="the memory of another repository") as caught:
            make_plan(
                RunOptions(**given, plan_only=False, state=memory, allow_rollback=allow_rollback)
            )
        assert "--take-over" in caught.value.hint
        assert "rollback" not in f"{caught.value} {caught.value.hint}"
    assert any("memory of another" in w for w in other.plan(state=memory).warnings)
    assert Path(memory).read_text() == before


def forget(world: World) -> None:
    """The inventories as an earlier version wrote them."""
    import base64
    import json

    for cluster in ("aws", "gcp"):
        secret = world.get("secret", "federation-shop", cluster, "federation-system")
        meta = json.loads(base64.b64decode(secret["data"]["meta"]))
        for name in ("owner", "cluster", "clusterUid"):
            meta.pop(name, None)
        data = base64.b64encode(json.dumps(meta).encode()).decode()
        patch = json.dumps({"data": {"meta": data}})
        world.kubectl(
            *("patch", "secret", "federation-shop", "-n", "federation-system"),
            *("--type=merge", "-p", patch),
            cluster=cluster,
        )


def test_a_cluster_does_not_leave_with_what_another_repository_applied(
    world: World, tmp_path: Path
) -> None:
    world.write("shop.yaml", SHOP)
    world.apply()
    other = beside(world, "blog")
    done = Desk(other, tmp_path / "plan.json").reconcile("unjoin", "aws", "--prune", "--yes")
    assert done.returncode == 1
    assert "belongs to another repository" in done.stderr
    assert world.exists("deployment", "web")


def test_taking_over_is_never_left_to_the_environment(
    simulated_world: World, tmp_path: Path
) -> None:
    desk = Desk(simulated_world, tmp_path / "plan.json")
    assert desk.reconcile("--take-over", "--every", "60s").returncode == 64
    done = run_command(
        "--plan",
        cwd=simulated_world.repository,
        env=user_environment(tmp_path, RECONCILE_TAKE_OVER="true"),
    )
    assert done.returncode == 64
    assert "RECONCILE_TAKE_OVER sets no option" in done.stderr
