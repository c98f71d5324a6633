"""Saved plans, and what they were made of: commits, Secrets, plain folders, branches of servers."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.scenarios.conftest import CLUSTERS, FEDERATION, World
from tests.scenarios.desk import BLUE, Desk, desk, simulated_desk
from tests.scenarios.manifests import SHOP
from tests.unit.git.repositories import git

__all__ = ["desk", "simulated_desk"]

CANARY = "c4nary-value"
SECRET = f"""
apiVersion: v1
kind: Secret
metadata: {{name: key, namespace: shop}}
stringData: {{password: {CANARY}}}
"""


# -- Secrets ---------------------------------------------------------------------------------


def test_no_value_of_a_secret_is_in_the_file_in_any_form(desk: Desk) -> None:
    desk.commit(secret=SECRET)
    desk.save()
    assert desk.apply().returncode == 0
    desk.commit(secret=SECRET.replace(CANARY, f"{CANARY}-2"), shop=BLUE)
    told = desk.save()
    assert desk.document["plan"]["summary"]["update"] == 4
    sealed = desk.document["touched"]["aws"]["Secret shop/key"]
    assert sealed.keys() == {"uid", "writer", "ours"}
    for text in (desk.file.read_text(), told.stdout, told.stderr):
        assert CANARY not in text
        assert base64.b64encode(CANARY.encode()).decode().rstrip("=")[:12] not in text
    assert desk.file.stat().st_mode & 0o777 == 0o600
    assert desk.apply().returncode == 0
    value = desk.world.get("secret", "key")["data"]["password"]
    assert base64.b64decode(value).decode() == f"{CANARY}-2"


def test_a_secret_that_somebody_wrote_to_is_named_without_its_value(desk: Desk) -> None:
    desk.commit(secret=SECRET)
    assert desk.reconcile("--yes").returncode == 0
    desk.commit(secret=SECRET.replace(CANARY, f"{CANARY}-2"))
    desk.save()
    patch = json.dumps({"stringData": {"password": f"{CANARY}-3"}})
    desk.world.kubectl("-n", "shop", "patch", "secret/key", "-p", patch)
    told = desk.refused()
    assert (
        "shop/key: what an update rests on was changed in the cluster, last by kubectl-patch"
        in told
    )
    assert CANARY not in told


HIDDEN: dict[str, Callable[[Desk], object]] = {
    "not in the commit": lambda desk: desk.world.write("secret.yaml", SECRET),
    "ignored": lambda desk: (
        desk.world.write(".gitignore", "secret.yaml"),
        desk.commit(),
        desk.world.write("secret.yaml", SECRET),
    ),
    "taken as unchanged": lambda desk: (
        desk.commit(secret=SECRET.replace(CANARY, "committed")),
        git(desk.world.repository, "update-index", "--assume-unchanged", "secret.yaml"),
        desk.world.write("secret.yaml", SECRET),
    ),
    "a link to what is ignored": lambda desk: (
        desk.world.write(".gitignore", "hidden.txt"),
        (desk.world.repository / "secret.yaml").symlink_to("hidden.txt"),
        desk.commit(),
        desk.world.write("hidden.txt", SECRET),
    ),
}


@pytest.mark.parametrize("hide", HIDDEN.values(), ids=HIDDEN.keys())
def test_a_secret_that_no_commit_contains_is_not_saved(
    simulated_desk: Desk, hide: Callable[[Desk], object]
) -> None:
    desk = simulated_desk
    hide(desk)
    done = desk.reconcile("--plan", "--out", str(desk.file))
    assert done.returncode == 1
    assert "the plan was not saved: only its values tell whether Secret shop/key" in done.stderr
    assert "no commit contains secret.yaml" in done.stderr
    assert "--ref HEAD" in done.stderr
    assert not desk.file.exists()


def test_a_secret_beside_committed_links_and_reports_is_saved(simulated_desk: Desk) -> None:
    desk = simulated_desk
    (desk.world.repository / "linked.yaml").symlink_to("secret.txt")
    desk.world.write("secret.txt", SECRET)
    desk.commit()
    desk.file = desk.world.repository / "plan.json"
    desk.save("--report", "report.json", "--report", "report.md")
    done = desk.apply("--report", "report.json")
    assert done.returncode == 0, done.stderr
    assert desk.world.exists("secret", "key")
    # What the tool wrote beside the manifests is none of them.
    assert desk.reconcile("validate").returncode == 0


def test_a_secret_whose_file_is_edited_after_the_commit_is_not_applied(
    simulated_desk: Desk,
) -> None:
    desk = simulated_desk
    desk.commit(secret=SECRET)
    desk.save()
    desk.world.write("secret.yaml", SECRET.replace(CANARY, f"{CANARY}-2"))
    told = desk.refused()
    assert "files that are not as in the commit: none then, secret.yaml now" in told
    assert CANARY not in told


# -- without a commit ------------------------------------------------------------------------


@pytest.fixture
def folder(simulated_world: World, tmp_path: Path) -> Desk:
    """A directory that is no Git work tree."""
    desk = Desk(simulated_world, tmp_path / "plan.json")
    desk.world.write("shop.yaml", SHOP)
    return desk


def test_a_plan_of_a_plain_folder_is_applied(folder: Desk) -> None:
    folder.save()
    assert folder.document["source"]["commit"] == ""
    assert folder.apply().returncode == 0
    assert folder.world.exists("deployment", "web")


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        (
            "federation.yaml",
            FEDERATION + "  guards: {maxDeletions: 99}\n",
            "the rules: Federation shop was edited",
        ),
        (
            "clusters.yaml",
            CLUSTERS.replace("europe-west1", "europe-west4"),
            "the rules: Cluster gcp was edited",
        ),
        (
            "placement.yaml",
            """
            apiVersion: federation.reconciler.dev/v1alpha1
            kind: Placement
            metadata: {name: web}
            spec: {select: [{kind: Deployment}], clusters: [aws, gcp]}
            """,
            "the rules: Placement web is new",
        ),
        (
            "shop.yaml",
            SHOP.replace("web:1.0", "web:2.0"),
            "aws, gcp: Deployment.apps shop/web: something else would be sent",
        ),
    ],
    ids=["guards", "cluster", "placement", "manifest"],
)
def test_without_a_commit_every_edited_rule_and_manifest_is_named(
    folder: Desk, file: str, text: str, words: str
) -> None:
    folder.save()
    folder.world.write(file, text)
    assert words in folder.refused()


# -- Git URLs --------------------------------------------------------------------------------


@pytest.fixture
def remote(simulated_desk: Desk, tmp_path: Path) -> tuple[Desk, tuple[str, ...]]:
    """A branch on a server, which is read by its URL."""
    simulated_desk.commit(shop=BLUE)
    url = simulated_desk.world.repository.as_uri()
    arguments = ("--repo", url, "--ref", "main", "--state", str(tmp_path / "memory.json"))
    return simulated_desk, arguments


def test_a_branch_that_moved_on_is_named(remote: tuple[Desk, tuple[str, ...]]) -> None:
    desk, where = remote
    first = desk.document["source"]["commit"] if desk.save(*where) and desk.file.exists() else ""
    second = desk.commit(more=SECRET)
    told = desk.refused(*where)
    assert f"the commit: it was {first[:12]}, and is now {second[:12]} (main)" in told
    assert "aws, gcp: Secret shop/key: now to create, which was not planned" in told


def test_a_branch_that_lost_the_commit_is_named(remote: tuple[Desk, tuple[str, ...]]) -> None:
    desk, where = remote
    desk.save(*where)
    git(desk.world.repository, "reset", "-q", "--hard", "HEAD~1")
    assert "the commit: it was " in desk.refused(*where)


def test_a_commit_by_its_id_stays_whatever_the_branch_does(
    remote: tuple[Desk, tuple[str, ...]],
) -> None:
    desk, where = remote
    planned = git(desk.world.repository, "rev-parse", "HEAD")
    by_id = tuple(planned if word == "main" else word for word in where)
    desk.save(*by_id)
    desk.commit(shop=SHOP.replace("green", "red"))
    assert desk.apply(*by_id).returncode == 0
    assert desk.world.get("configmap", "settings")["data"]["colour"] == "blue"


def test_the_repository_of_the_plan_must_be_named_again(
    remote: tuple[Desk, tuple[str, ...]],
) -> None:
    desk, where = remote
    desk.save(*where)
    done = desk.apply()
    assert done.returncode == 64
    assert f"--repo {where[1]}, here ." in done.stderr
    assert f"reconcile --repo {where[1]} --ref main --apply-plan" in done.stderr
