"""Plans that are saved, and applied later: exactly, or not at all."""

from __future__ import annotations

import json

import pytest

from tests.scenarios.conftest import FEDERATION
from tests.scenarios.desk import BLUE, Desk, desk, simulated_desk
from tests.scenarios.manifests import SETTINGS, SHOP

__all__ = ["desk", "simulated_desk"]


def test_a_saved_plan_is_applied_once_and_as_it_was_planned(desk: Desk) -> None:
    desk.commit(shop=BLUE)
    told = desk.save().stderr
    assert f"--apply-plan {desk.file}" in told
    assert desk.world.get("configmap", "settings")["data"]["colour"] == "green"

    done = desk.apply()
    assert done.returncode == 0, done.stderr
    assert "Done: 2 updated." in done.stdout
    for cluster in ("aws", "gcp"):
        assert desk.world.get("configmap", "settings", cluster)["data"]["colour"] == "blue"
    assert "none of its 2 changes is to be made any more" in desk.refused()


def test_a_plan_without_changes_can_be_applied(
    simulated_desk: Desk,
) -> None:
    desk = simulated_desk
    desk.save()
    done = desk.apply()
    assert (done.returncode, done.stderr) == (0, "")
    assert "No changes over 2 clusters" in done.stdout


def test_a_commit_since_then_is_named_with_all_that_it_changes(
    simulated_desk: Desk,
) -> None:
    desk = simulated_desk
    first = desk.commit(shop=BLUE)
    desk.save()
    second = desk.commit(shop=SHOP.replace("green", "red"))
    told = desk.refused()
    assert f"the commit: it was {first[:12]}, and is now {second[:12]}" in told
    assert "aws, gcp: ConfigMap shop/settings: something else would be sent" in told
    assert "data.colour is now green -> red, not green -> blue" in told


def test_a_file_that_was_edited_without_a_commit_is_named(
    simulated_desk: Desk,
) -> None:
    desk = simulated_desk
    desk.commit(shop=BLUE)
    desk.save()
    desk.world.write("shop.yaml", SHOP.replace("green", "red"))
    assert "files that are not as in the commit: none then, shop.yaml now" in desk.refused()


TOUCHED = {
    "another field of ours": (
        ("patch", "configmap/settings", "-p", '{"data": {"size": "4"}}'),
        "what an update rests on was changed in the cluster: data.size by kubectl-patch",
    ),
    "the same field": (
        ("patch", "configmap/settings", "-p", '{"data": {"colour": "red"}}'),
        "data.colour is now red -> blue, not green -> blue (owned by kubectl-patch)",
    ),
    "already so": (
        ("patch", "configmap/settings", "-p", '{"data": {"colour": "blue"}}'),
        "configmap",
    ),
    "gone": (("delete", "configmap/settings"), "now to create, not to update"),
}


@pytest.mark.parametrize("edit", TOUCHED.values(), ids=TOUCHED.keys())
def test_a_touched_object_that_somebody_wrote_to_is_named(
    desk: Desk, edit: tuple[tuple[str, ...], str]
) -> None:
    desk.commit(shop=BLUE)
    desk.save()
    arguments, words = edit
    desk.world.kubectl("-n", "shop", *arguments)
    told = desk.refused()
    assert "aws: ConfigMap shop/settings: " in told
    assert words.lower() in told.lower()
    assert "gcp" not in told


WRITTEN_BY_OTHERS = {
    "an annotation": ("annotate", "configmap/settings", "note=x"),
    "a label": ("label", "configmap/settings", "seen=often"),
    "a key that Git does not have": ("patch", "configmap/settings", "-p", '{"data": {"age": "1"}}'),
}


@pytest.mark.parametrize("edit", WRITTEN_BY_OTHERS.values(), ids=WRITTEN_BY_OTHERS.keys())
def test_an_update_does_not_rest_on_what_others_add(desk: Desk, edit: tuple[str, ...]) -> None:
    desk.commit(shop=BLUE)
    desk.save()
    desk.world.kubectl("-n", "shop", *edit)
    done = desk.apply()
    assert done.returncode == 0, done.stderr
    assert desk.world.get("configmap", "settings")["data"]["colour"] == "blue"


def test_an_update_of_a_secret_does_not_rest_on_what_others_add(desk: Desk) -> None:
    key = "apiVersion: v1\nkind: Secret\nmetadata: {name: key, namespace: shop}\n"
    desk.commit(key=key + "stringData: {pin: canary-1, other: canary-2}\n")
    assert desk.reconcile("--yes").returncode == 0
    desk.commit(key=key + "stringData: {pin: canary-3, other: canary-2}\n")
    desk.save()
    desk.world.kubectl("-n", "shop", "annotate", "secret/key", "note=x", cluster="aws")
    taken = ("patch", "secret/key", "-p", '{"stringData": {"other": "canary-4"}}')
    desk.world.kubectl("-n", "shop", *taken, cluster="gcp")
    told = desk.refused()
    assert "gcp: Secret shop/key: " in told
    assert "kubectl-patch" in told
    assert "aws" not in told
    assert "canary" not in told + desk.file.read_text()


def test_who_takes_part_in_a_field_since_then_is_named(desk: Desk) -> None:
    desk.commit(shop=BLUE)
    desk.save()
    other = desk.file.with_name("other.yaml")
    other.write_text(SETTINGS)
    desk.world.kubectl("apply", "--server-side", "--field-manager=alice", "-f", str(other))
    told = desk.refused()
    assert "data.colour has other owners than then (owned by alice)" in told


def test_an_object_that_was_made_again_is_another_one(desk: Desk) -> None:
    desk.commit(shop=BLUE)
    live = desk.world.get("configmap", "settings")
    desk.save()
    del live["metadata"]["resourceVersion"], live["metadata"]["uid"]
    copy = desk.file.with_name("copy.json")
    copy.write_text(json.dumps(live))
    desk.world.kubectl("replace", "--force", "-f", str(copy))
    told = desk.refused()
    assert "aws: ConfigMap shop/settings: now to adopt, not to update: it was deleted" in told


def test_drift_elsewhere_is_a_change_that_was_not_planned(
    simulated_desk: Desk,
) -> None:
    desk = simulated_desk
    desk.commit(shop=BLUE)
    desk.save()
    desk.world.kubectl("-n", "shop", "scale", "deploy/web", "--replicas=5", cluster="gcp")
    told = desk.refused()
    assert "gcp: Deployment.apps shop/web: now to update, which was not planned: drift" in told


AUTOSCALER = """
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web, namespace: shop}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  maxReplicas: 9
"""


def test_what_moves_by_itself_does_not_matter(desk: Desk) -> None:
    desk.world.write("autoscaler.yaml", AUTOSCALER)
    desk.commit()
    assert desk.reconcile("--yes").returncode == 0
    desk.world.kubectl("-n", "shop", "scale", "deploy/web", "--replicas=3")
    desk.commit(shop=SHOP.replace("web:1.0", "web:2.0"))
    desk.save()
    for arguments in (
        ("scale", "deploy/web", "--replicas=7"),
        ("patch", "deploy/web", "--subresource=status", "-p", '{"status": {"replicas": 4}}'),
        ("annotate", "deploy/web", "deployment.kubernetes.io/revision=12", "--overwrite"),
    ):
        desk.world.kubectl("-n", "shop", *arguments)
    done = desk.apply()
    assert done.returncode == 0, done.stderr
    live = desk.world.get("deployment", "web")["spec"]
    assert live["replicas"] == 7
    assert live["template"]["spec"]["containers"][0]["image"] == "registry.example/web:2.0"


def test_a_count_that_is_only_handed_over_does_not_matter(simulated_desk: Desk) -> None:
    desk = simulated_desk
    desk.world.write("autoscaler.yaml", AUTOSCALER)
    desk.commit()
    assert desk.reconcile("--yes").returncode == 0
    desk.commit(shop=SHOP.replace("web:1.0", "web:2.0"))
    desk.save()
    desk.world.kubectl("-n", "shop", "scale", "deploy/web", "--replicas=7")
    done = desk.apply()
    assert done.returncode == 0, done.stderr
    assert desk.world.get("deployment", "web")["spec"]["replicas"] == 7


def test_a_prune_is_refused_for_an_object_that_holds_something_new(desk: Desk) -> None:
    desk.commit(shop=SHOP.replace(SETTINGS, "\n# gone\n"))
    desk.save()
    assert desk.document["plan"]["summary"]["prune"] == 2
    desk.world.kubectl("-n", "shop", "patch", "configmap/settings", "-p", '{"data": {"new": "1"}}')
    told = desk.refused()
    assert "shop/settings: it was changed in the cluster: data.new by kubectl-patch" in told
    assert desk.world.exists("configmap", "settings")


def test_other_options_are_named_with_the_command_that_has_them(
    simulated_desk: Desk,
) -> None:
    desk = simulated_desk
    desk.commit(shop=BLUE)
    desk.save("--cluster", "gcp", "--max-deletions", "3", "--force-conflicts")
    for arguments, said in {
        (): "--cluster gcp, here not given; --force-conflicts given, here not given; "
        "--max-deletions 3, here not given",
        ("--cluster", "gcp", "--force-conflicts", "--max-deletions", "4"): (
            "--max-deletions 3, here 4"
        ),
    }.items():
        done = desk.apply(*arguments)
        assert done.returncode == 64
        assert said in done.stderr
        assert (
            "reconcile --cluster gcp --force-conflicts --max-deletions 3 --apply-p" in done.stderr
        )
    right = ("--cluster", "gcp", "--force-conflicts", "--max-deletions", "3")
    assert desk.apply(*right).returncode == 0
    assert desk.world.get("configmap", "settings", "gcp")["data"]["colour"] == "blue"
    assert desk.world.get("configmap", "settings", "aws")["data"]["colour"] == "green"


# -- plans that cannot be applied ------------------------------------------------------------


def test_a_plan_that_passes_a_limit_is_saved_and_not_applied(
    simulated_desk: Desk,
) -> None:
    desk = simulated_desk
    desk.world.write("federation.yaml", FEDERATION + "  guards: {maxDeletions: 0}\n")
    desk.commit(shop=SHOP.replace(SETTINGS, "\n# gone\n"))
    done = desk.reconcile("--plan", "--out", str(desk.file))
    assert done.returncode == 1
    assert "it passes a limit, and cannot be applied" in done.stderr
    done = desk.apply()
    assert done.returncode == 1
    assert "spec.guards.maxDeletions is 0" in done.stderr
    assert desk.world.exists("configmap", "settings")


def test_a_plan_of_an_outage_is_neither_saved_nor_applied(simulated_desk: Desk) -> None:
    desk = simulated_desk
    outage = ("--simulate-outage", "cluster=gcp")
    done = desk.reconcile("--plan", "--out", str(desk.file), *outage)
    assert done.returncode == 64
    assert "an outage is not" in done.stderr
    desk.save()
    document = desk.document
    document["plan"]["simulatedOutages"] = ["cluster=gcp"]
    desk.file.write_text(json.dumps(document))
    done = desk.apply()
    assert done.returncode == 64
    assert "assumes an outage" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--out", "plan.json"), "--out goes with --plan"),
        (("--plan", "--apply-plan", "plan.json"), "leave out --plan"),
        (("--apply-plan", "plan.json", "--every", "60s"), "leave out --every"),
        (("--plan", "--out", "nowhere/plan.json"), "there is no such directory"),
    ],
)
def test_what_does_not_go_together_is_a_usage_error(
    simulated_desk: Desk, arguments: tuple[str, ...], words: str
) -> None:
    done = simulated_desk.reconcile(*arguments)
    assert done.returncode == 64
    assert words in done.stderr


def test_a_plan_of_simulated_clusters_is_not_for_real_ones(simulated_desk: Desk) -> None:
    desk = simulated_desk
    sandbox = Desk(desk.world, desk.file, sandbox=True)
    sandbox.save()
    done = desk.apply()
    assert done.returncode == 64
    assert "--sandbox given, here not given" in done.stderr
    assert sandbox.apply("--output", "json").returncode == 0
