"""Slices, labels and ownership of PlacementDecisions."""

from __future__ import annotations

from reconciler.api.objects import ObjectKey
from reconciler.plan.decisions import decided_clusters, decision_changes, decisions_of
from reconciler.plan.model import Action
from reconciler.scheduler.model import Assignment

API = "multicluster.x-k8s.io/v1alpha1"


def assignment(name: str, *clusters: str, by: str = "Placement web", **more: object) -> Assignment:
    key = ObjectKey("apps", "Deployment", "shop", name)
    return Assignment(key, dict.fromkeys(clusters), by, **more)  # type: ignore[arg-type]


def test_a_cluster_counts_while_anything_of_the_placement_runs_there() -> None:
    found = decided_clusters(
        [
            assignment("a", "aws", "gcp", leaving=frozenset({"gcp"})),
            assignment("b", "aws", by="Placement web (before other)"),
            assignment("c", "lab", by="spec.defaults.placement"),
        ]
    )
    assert found == {"web": {"aws": "Placement web", "gcp": "leaves once it is ready elsewhere"}}


def test_a_cluster_with_no_replica_is_not_decided_for() -> None:
    one = Assignment(
        ObjectKey("apps", "Deployment", "shop", "a"), {"aws": 2, "gcp": 0}, "Placement web"
    )
    assert decided_clusters([one]) == {"web": {"aws": "Placement web"}}


def test_more_than_a_hundred_clusters_are_slices_of_one_decision() -> None:
    names = [f"c{number:03}" for number in range(201)]
    decided = {"web": dict.fromkeys(names, "r")}
    found = decisions_of(decided, dict.fromkeys(names, "fleet"), "shop", "fleet", API)
    assert [len(one["decisions"]) for one in found] == [100, 100, 1]
    labels = [one["metadata"]["labels"] for one in found]
    assert {one["multicluster.x-k8s.io/decision-key"] for one in labels} == {"shop.web"}
    assert [one["multicluster.x-k8s.io/decision-index"] for one in labels] == ["0", "1", "2"]
    again = [c["clusterProfileRef"]["name"] for one in found for c in one["decisions"]]
    assert again == names


def test_slices_that_are_no_longer_needed_go() -> None:
    names = [f"c{number:03}" for number in range(101)]
    profiles = dict.fromkeys(names, "fleet")
    live = decisions_of({"web": dict.fromkeys(names, "r")}, profiles, "shop", "fleet", API)
    for one in live:
        one["metadata"] |= {"uid": "1", "resourceVersion": "2"}
    wanted = decisions_of({"web": {"c000": "r"}}, profiles, "shop", "fleet", API)
    changes, foreign = decision_changes(wanted, live, "shop")
    assert [(one.name, one.action) for one in changes] == [
        ("shop.web-0", Action.UPDATE),
        ("shop.web-1", Action.PRUNE),
    ]
    assert foreign == []


def test_a_placement_that_goes_nowhere_says_so() -> None:
    (one,) = decisions_of({"web": {}}, {}, "shop", "fleet", API)
    assert one["decisions"] == []


def test_long_names_fit_labels_and_stay_different() -> None:
    long = ["a" * 100 + end for end in ("x", "y")]
    found = decisions_of({name: {} for name in long}, {}, "shop", "fleet", API)
    labels = {one["metadata"]["labels"]["multicluster.x-k8s.io/decision-key"] for one in found}
    assert len(labels) == 2
    assert all(len(label) <= 63 for label in labels)


def test_another_federations_decisions_are_not_ours() -> None:
    live = decisions_of({"web": {}}, {}, "other", "fleet", API)
    assert decision_changes([], live, "shop") == ([], [])
