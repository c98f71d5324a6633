"""``--plan --base``: what a branch changes, and not what its base would do anyway."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.scenarios.conftest import CLUSTERS, FEDERATION
from tests.scenarios.desk import BLUE, Desk, desk, simulated_desk
from tests.scenarios.manifests import SERVICE, SETTINGS, SHOP
from tests.unit.git.repositories import git

__all__ = ["desk", "simulated_desk"]

SCHEMA = json.loads((Path(__file__).parents[2] / "schemas" / "plan.json").read_text())
SECOND_IMAGE = SHOP.replace("web:1.0", "web:2.0")


def branch(desk: Desk, **files: str) -> None:
    """A branch ``feature`` of ``main`` with a commit of its own, checked out."""
    git(desk.world.repository, "checkout", "-q", "-b", "feature")
    desk.commit(**files)


def against_main(desk: Desk, *arguments: str, code: int = 0) -> str:
    done = desk.reconcile("--plan", "--base", "main", *arguments)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def as_json(desk: Desk, *arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(against_main(desk, "--output", "json", *arguments))
    jsonschema.Draft202012Validator(SCHEMA).validate(found)
    return found


def changed(plan: dict[str, Any]) -> dict[str, list[str]]:
    return {c["name"]: [one["name"] for one in c["changes"]] for c in plan["clusters"]}


def test_drift_and_a_backlog_are_counted_and_the_branch_s_own_change_is_shown(desk: Desk) -> None:
    desk.commit(shop=BLUE)
    desk.world.kubectl("-n", "shop", "scale", "deploy/web", "--replicas=5", cluster="gcp")
    branch(desk, extra=SETTINGS.replace("settings", "extra"))

    told = against_main(desk)
    commit = git(desk.world.repository, "rev-parse", "main")
    assert f"Compared with main ({commit[:12]}): 3 changes that it has as well are left" in told
    assert "+ shop/extra" in told
    assert "shop/web" not in told
    assert "Against main: 2 to create over 2 clusters" in told
    plan = as_json(desk)
    assert changed(plan) == {"aws": ["extra"], "gcp": ["extra"]}
    assert plan["base"]["leftOut"]["changes"] == 3
    against_main(desk, "--detailed-exitcode", code=2)


def test_a_branch_that_changes_nothing_has_no_changes_however_much_waits(
    simulated_desk: Desk,
) -> None:
    desk = simulated_desk
    desk.commit(shop=BLUE)
    branch(desk, readme="# nothing but words\n")
    assert "Against main: no changes over 2 clusters" in against_main(desk, "--detailed-exitcode")


def test_of_an_object_that_both_change_only_the_branch_s_fields_are_shown(
    simulated_desk: Desk,
) -> None:
    desk = simulated_desk
    desk.commit(shop=SECOND_IMAGE)
    branch(desk, shop=SECOND_IMAGE.replace("replicas: 2", "replicas: 3"))
    (change,) = as_json(desk)["clusters"][0]["changes"]
    assert [field["path"] for field in change["fields"]] == ["spec.replicas"]
    assert change["reason"] == "changed in Git (1 more as main)"


def test_what_the_base_would_do_and_the_branch_no_longer_does_is_told(
    simulated_desk: Desk,
) -> None:
    desk = simulated_desk
    desk.commit(extra=SETTINGS.replace("settings", "extra"))
    git(desk.world.repository, "checkout", "-q", "-b", "feature")
    (desk.world.repository / "extra.yaml").unlink()
    desk.commit()
    told = against_main(desk, "--detailed-exitcode", code=2)
    assert "No longer, as main would" in told
    assert "+ ConfigMap shop/extra in aws, gcp: keys colour, size" in told
    for report in ("markdown", "html"):
        assert "No longer, as main would" in against_main(desk, "--output", report)
    assert [one["cluster"] for one in as_json(desk)["base"]["avoided"]] == ["aws", "gcp"]


def test_values_of_secrets_differ_without_being_shown(simulated_desk: Desk) -> None:
    desk = simulated_desk
    secret = "\napiVersion: v1\nkind: Secret\nmetadata: {name: key, namespace: shop}\n"
    desk.commit(secret=secret + "stringData: {password: canary-one}\n")
    assert desk.reconcile("--yes").returncode == 0
    desk.commit(secret=secret + "stringData: {password: canary-two}\n")
    branch(desk, secret=secret + "stringData: {password: canary-three}\n")
    plan = as_json(desk)
    assert changed(plan) == {"aws": ["key"], "gcp": ["key"]}
    (field,) = plan["clusters"][0]["changes"][0]["fields"]
    assert field == {
        "path": "data.password",
        "from": "*** (before)",
        "to": "*** (after)",
        "reason": "changed in Git",
    }


# -- limits ----------------------------------------------------------------------------------

LIMITED = FEDERATION + "  guards: {maxDeletions: 0}\n"
WITHOUT_SETTINGS = SHOP.replace(SETTINGS, "\n# gone\n")


def test_a_limit_that_the_base_passes_alike_is_no_fault_of_the_branch(
    simulated_desk: Desk,
) -> None:
    desk = simulated_desk
    desk.commit(federation=LIMITED, shop=WITHOUT_SETTINGS)
    branch(desk, extra=SETTINGS.replace("settings", "extra"))
    told = against_main(desk)
    assert "Warning: main passes a limit as well: aws: 1 deletions" in told
    assert "Stopped by a guard" not in told

    desk.commit(shop=WITHOUT_SETTINGS.replace(SERVICE, "\n# gone\n"))
    told = against_main(desk, code=1)
    assert "Stopped by a guard: aws: " in told


def test_a_limit_that_the_branch_lowers_is_its_fault(simulated_desk: Desk) -> None:
    desk = simulated_desk
    desk.commit(shop=WITHOUT_SETTINGS)
    branch(desk, federation=LIMITED)
    assert "Stopped by a guard: aws: 1 deletions" in against_main(desk, code=1)


# -- bases that cannot be compared with -------------------------------------------------------


def test_a_base_that_is_not_valid_is_told_and_everything_is_shown(simulated_desk: Desk) -> None:
    desk = simulated_desk
    desk.commit(shop=BLUE, broken="kind: [unclosed\n")
    git(desk.world.repository, "checkout", "-q", "-b", "feature")
    (desk.world.repository / "broken.yaml").unlink()
    desk.commit()
    told = against_main(desk, "--output", "markdown")
    assert "Compared with main: everything is shown, as it is not valid: 1 problem" in told
    assert "broken.yaml:2:1" in told
    assert "~ ConfigMap shop/settings" in told


def test_a_base_that_is_not_there_is_an_error(simulated_desk: Desk) -> None:
    done = simulated_desk.reconcile("--plan", "--base", "mian")
    assert done.returncode == 1
    assert "the base 'mian' cannot be read: . has no ref 'mian'" in done.stderr
    assert "branches: main" in done.stderr


def test_a_base_without_the_chosen_folder_is_told_and_everything_is_shown(
    simulated_desk: Desk,
) -> None:
    desk = simulated_desk
    git(desk.world.repository, "checkout", "-q", "-b", "feature")
    (desk.world.repository / "fleet").mkdir()
    for name in ("federation.yaml", "clusters.yaml", "shop.yaml"):
        git(desk.world.repository, "mv", name, f"fleet/{name}")
    desk.commit()
    # Manifests that move to another folder are another inventory's until somebody says otherwise.
    told = against_main(desk, "--path", "fleet", "--take-over")
    assert "everything is shown, as . has no folder 'fleet' at main" in told


def test_a_cluster_that_the_branch_brings_is_shown_whole(simulated_desk: Desk) -> None:
    desk = simulated_desk
    only_aws = CLUSTERS.split("---")[0]
    desk.commit(clusters=only_aws)
    desk.world.kubectl("delete", "namespace", "shop", cluster="gcp")
    branch(desk, clusters=CLUSTERS)
    assert changed(as_json(desk)) == {"aws": [], "gcp": ["settings", "shop", "web", "web"]}
    told = against_main(desk, "--cluster", "gcp")
    assert "everything is shown, as it has none of the clusters" in told
    against_main(desk, "--cluster", "gcp", "--cluster", "aws")


def test_branches_of_a_server_are_compared_by_name(simulated_desk: Desk, tmp_path: Path) -> None:
    desk = simulated_desk
    desk.commit(shop=BLUE)
    branch(desk, extra=SETTINGS.replace("settings", "extra"))
    url = desk.world.repository.as_uri()
    plan = as_json(desk, "--repo", url, "--ref", "feature", "--state", str(tmp_path / "memory"))
    assert changed(plan) == {"aws": ["extra"], "gcp": ["extra"]}
    assert plan["base"]["leftOut"]["changes"] == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--base", "main"), "--base goes with --plan"),
        (("--plan", "--base", "main", "--out", "plan.json"), "leave out --base"),
        (("--plan", "--base", "main", "--every", "60s"), "leave out --every"),
    ],
)
def test_what_does_not_go_with_a_base_is_a_usage_error(
    simulated_desk: Desk, arguments: tuple[str, ...], words: str
) -> None:
    done = simulated_desk.reconcile(*arguments)
    assert done.returncode == 64
    assert words in done.stderr
