"""What each cluster should have: the template, with its replicas and overrides."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from reconciler.api.errors import Position
from reconciler.api.manifest import Manifest
from reconciler.api.objects import Object, key_of
from reconciler.federation.model import (
    Cluster,
    DesiredState,
    Federation,
    Override,
    PatchOperation,
    ReplicaRule,
    Selector,
    Workload,
    WorkloadRules,
)
from reconciler.render.render import DesiredObject, Rendering, place_of, render
from reconciler.scheduler.model import Assignment

HERE = Position("web.yaml", 3, 1)
THERE = Position("placements.yaml", 9, 5)
AWS = Cluster("aws", HERE, labels={"cloud": "aws"})
GCP = Cluster("gcp", HERE, labels={"cloud": "gcp"})
MARK = "federation.reconciler.dev/"


def web(**annotations: str) -> Object:
    metadata: Object = {"name": "web", "namespace": "shop"}
    if annotations:
        metadata["annotations"] = annotations
    spec = {"replicas": 6, "paused": False}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


def workload(template: Object | None = None, **more: Any) -> Workload:
    body = template or web()
    return Workload(key_of(body), Manifest(body), HERE, WorkloadRules(**more))


def rendered(*workloads: Workload, spare: tuple[str, ...] = (), **replicas: Any) -> Rendering:
    state = DesiredState(Federation("shop", HERE), (AWS, GCP), workloads)
    counts = replicas or {"aws": 6, "gcp": 6}
    return render(state, [Assignment(one.key, counts, spare=spare) for one in workloads])


def only(rendering: Rendering, cluster: str = "aws") -> DesiredObject:
    assert rendering.problems == ()
    (desired,) = rendering.objects[cluster]
    return desired


def override(op: Any, path: str, value: object = None, **where: Any) -> Override:
    return Override((PatchOperation(op, path, value, THERE),), **where)


def test_each_cluster_gets_its_count_and_the_template_stays_as_it_is() -> None:
    template = web()
    given = copy.deepcopy(template)
    found = rendered(workload(template), aws=2, gcp=4)
    assert only(found, "aws").body["spec"] == {"replicas": 2, "paused": False}
    assert only(found, "gcp").body["spec"] == {"replicas": 4, "paused": False}
    assert template == given


def test_what_has_no_count_is_as_it_is_written_and_shared_between_clusters() -> None:
    template = web()
    found = rendered(workload(template), aws=None, gcp=None)
    assert only(found, "aws").body == template
    assert only(found, "aws").body is only(found, "gcp").body


@pytest.mark.parametrize(
    ("more", "alike"),
    [
        ({}, True),
        ({"overrides": (override("replace", "/spec/paused", True),)}, True),
        ({"overrides": (override("replace", "/spec/paused", True, clusters=("gcp",)),)}, False),
        ({"forms": {"gcp": Manifest(web(a="b"))}}, False),
        ({"template": web(cloud="${cluster.name}"), "substitute_variables": True}, False),
    ],
    ids=["nothing", "an override of both", "an override of one", "a form of one", "variables"],
)
def test_clusters_share_what_is_the_same_in_them_and_nothing_else(
    more: dict[str, Any], *, alike: bool
) -> None:
    found = rendered(workload(more.pop("template", None), **more))
    assert (found.objects["aws"] is found.objects["gcp"]) is alike
    assert (only(found, "aws").body == only(found, "gcp").body) is alike


def test_clusters_with_other_counts_share_nothing_of_these() -> None:
    found = rendered(workload(), workload(web() | {"kind": "StatefulSet"}), aws=1, gcp=2)
    assert found.objects["aws"] != found.objects["gcp"]


def test_a_cluster_to_which_nothing_goes_gets_nothing() -> None:
    found = rendered(workload(), aws=6)
    assert found.objects["gcp"] == ()
    assert len(found.objects["aws"]) == 1


def test_what_steers_this_program_is_not_written_and_other_annotations_are() -> None:
    found = rendered(workload(web(**{MARK + "placement": "p", "team": "a"})))
    assert only(found).body["metadata"]["annotations"] == {"team": "a"}
    found = rendered(workload(web(**{MARK + "placement": "p"})))
    assert "annotations" not in only(found).body["metadata"]


@pytest.mark.parametrize(
    ("where", "clusters"),
    [
        ({}, {"aws", "gcp"}),
        ({"clusters": ("aws",)}, {"aws"}),
        ({"clusters": ()}, set()),
        ({"selector": Selector({"cloud": "gcp"})}, {"gcp"}),
        ({"clusters": ("aws",), "selector": Selector({"cloud": "gcp"})}, {"aws"}),
    ],
)
def test_an_override_holds_for_the_clusters_that_it_names_or_selects(
    where: Any, clusters: set[str]
) -> None:
    found = rendered(workload(overrides=(override("replace", "/spec/paused", True, **where),)))
    paused = {name for name in ("aws", "gcp") if only(found, name).body["spec"]["paused"]}
    assert paused == clusters


def test_overrides_are_done_one_after_the_other() -> None:
    first, second = override("add", "/spec/a", {"b": 1}), override("replace", "/spec/a/b", 2)
    assert only(rendered(workload(overrides=(first, second)))).body["spec"]["a"] == {"b": 2}
    found = rendered(workload(overrides=(second, first)))
    assert [str(one.position) for one in found.problems] == [str(THERE)]


def test_a_count_of_its_own_may_be_overridden_and_a_share_of_the_sum_may_not() -> None:
    more = (override("replace", "/spec/replicas", 9),)
    assert only(rendered(workload(overrides=more), aws=3)).body["spec"]["replicas"] == 9
    divided = workload(overrides=more, replicas=ReplicaRule(mode="Divided", total=6))
    assert only(rendered(divided, aws=3)).body["spec"]["replicas"] == 3


def test_an_override_that_fits_nowhere_yet_is_told_for_clusters_that_stand_in() -> None:
    wrong = (override("remove", "/spec/nothing", clusters=("gcp",)),)
    assert rendered(workload(overrides=wrong), aws=6).problems == ()
    found = rendered(workload(overrides=wrong), spare=("gcp",), aws=6)
    (problem,) = found.problems
    assert "the override path /spec/nothing does not exist" in str(problem)
    assert found.objects["gcp"] == ()


def test_a_problem_of_two_clusters_is_told_once() -> None:
    wrong = (override("remove", "/spec/nothing"),)
    assert len(rendered(workload(overrides=wrong)).problems) == 1


def test_the_objects_own_annotations_count_beside_its_placement() -> None:
    asked = {
        MARK + "force-conflicts": "true",
        MARK + "recreate": "true",
        MARK + "protect": "true",
        MARK + "orphan": "true",
        MARK + "prune-propagation": "Orphan",
        MARK + "additions": "Ignore",
    }
    found = only(rendered(workload(web(**asked), prune_propagation="Foreground")))
    assert (found.rules.force_conflicts, found.rules.recreate) == (True, True)
    assert (found.rules.protect, found.rules.orphan) == (True, True)
    assert (found.rules.prune_propagation, found.rules.additions) == ("Orphan", "Ignore")
    refused = dict.fromkeys(list(asked)[:4], "false")
    found = only(rendered(workload(web(**refused), protect=True, prune_propagation="Foreground")))
    assert (found.rules.force_conflicts, found.rules.recreate, found.rules.orphan) == (
        False,
        False,
        False,
    )
    assert found.rules.protect, "no object takes back what its Placement protects"
    assert (found.rules.prune_propagation, found.rules.additions) == ("Foreground", None)


def test_an_override_may_set_what_the_object_says() -> None:
    protect = override("add", f"/metadata/annotations/{MARK.replace('/', '~1')}protect", "true")
    assert only(rendered(workload(overrides=(protect,)))).rules.protect


def test_a_retained_field_is_one_that_no_override_and_no_share_sets() -> None:
    retain = ("/spec/paused", "/spec/replicas")
    assert only(rendered(workload(retain=retain))).rules.retain == retain
    more = (override("replace", "/spec/paused", True, clusters=("aws",)),)
    found = rendered(workload(retain=retain, overrides=more))
    assert only(found, "aws").rules.retain == ("/spec/replicas",)
    assert only(found, "gcp").rules.retain == retain
    divided = workload(retain=retain, replicas=ReplicaRule(mode="Divided", total=6))
    assert only(rendered(divided, aws=6)).rules.retain == ("/spec/paused",)


def test_objects_are_in_order_whatever_the_order_of_the_workloads() -> None:
    other = web()
    other["metadata"]["name"] = "api"
    one = rendered(workload(), workload(other))
    two = rendered(workload(other), workload())
    assert [d.key.name for d in one.objects["aws"]] == ["api", "web"]
    assert [d.key for d in one.objects["aws"]] == [d.key for d in two.objects["aws"]]


def test_a_value_comes_from_its_last_override_in_that_cluster_or_from_the_manifest() -> None:
    first = override("add", "/spec/a", {"b": 1})
    later = Override(
        (PatchOperation("replace", "/spec/a/b", 2, Position("later.yaml", 1, 1)),), ("gcp",)
    )
    one = workload(overrides=(first, later))
    assert place_of(one, AWS, "/spec/a/b") == THERE
    assert place_of(one, GCP, "/spec/a/b").file == "later.yaml"
    assert place_of(one, GCP, "/spec/a") == THERE
    assert place_of(one, AWS, "/spec/ab") == HERE
    appended = workload(overrides=(override("add", "/spec/list/-", 1),))
    assert place_of(appended, AWS, "/spec/list/3") == THERE
