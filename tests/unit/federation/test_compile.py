"""Documents become workloads, with the Placement that holds for each, or problems with a place."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from reconciler.api.files import SourceFile
from reconciler.api.objects import Object
from reconciler.federation.compile import Compiled, compile_documents
from reconciler.federation.model import Workload
from reconciler.manifests.load import load

OWN = "federation.reconciler.dev/v1alpha1"


def federation(**spec: Any) -> Object:
    return {"apiVersion": OWN, "kind": "Federation", "metadata": {"name": "shop"}, "spec": spec}


def cluster(name: str) -> Object:
    return {"apiVersion": OWN, "kind": "Cluster", "metadata": {"name": name}}


def placement(name: str, **spec: Any) -> Object:
    return {"apiVersion": OWN, "kind": "Placement", "metadata": {"name": name}, "spec": spec}


def settings(name: str = "settings", namespace: str = "shop", **annotations: str) -> Object:
    metadata: Object = {"name": name, "namespace": namespace}
    if annotations:
        marks = {f"federation.reconciler.dev/{key}": value for key, value in annotations.items()}
        metadata["annotations"] = marks
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "b"}}


NAMESPACE: Object = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}


def compiled(*documents: Object) -> Compiled:
    fleet = [cluster("aws"), cluster("gcp")]
    text = yaml.safe_dump_all([*fleet, *documents])
    manifests = load([SourceFile("all.yaml", text.encode())])
    assert not manifests.problems, [str(problem) for problem in manifests.problems]
    return compile_documents(manifests.documents)


def workloads(*documents: Object) -> dict[str, Workload]:
    found = compiled(*documents)
    assert found.state is not None, [str(problem) for problem in found.problems]
    return {workload.key.name: workload for workload in found.state.workloads}


def problem(*documents: Object) -> str:
    found = compiled(*documents)
    assert found.state is None
    (one,) = found.problems
    return str(one)


def warnings(*documents: Object) -> tuple[str, ...]:
    found = compiled(*documents)
    assert found.state is not None, [str(problem) for problem in found.problems]
    return found.state.warnings


EVERYWHERE = federation(defaults={"placement": {"clusterSelector": {}}})
NOWHERE_YET = federation()


def test_a_manifest_goes_where_the_federation_says_unless_a_placement_says_else() -> None:
    in_aws = placement("in-aws", select=[{"name": "mine"}], clusters=["aws"])
    found = workloads(EVERYWHERE, in_aws, settings("mine"), settings("other"))
    assert found["mine"].rules.target is not None
    assert found["mine"].rules.target.clusters == ("aws",)
    assert found["other"].rules.target is not None
    assert found["other"].rules.target.clusters is None
    assert found["other"].template["data"] == {"a": "b"}


def test_the_more_specific_placement_wins_and_the_beaten_are_named() -> None:
    one = placement("a-kind", select=[{"kind": "ConfigMap"}], clusters=["gcp"])
    two = placement("b-name", select=[{"name": "settings"}], clusters=["aws"])
    found = workloads(EVERYWHERE, one, two, settings())["settings"]
    assert found.rules.target is not None
    assert found.rules.target.clusters == ("aws",)
    assert found.rules.target.placed_by == "Placement b-name (before a-kind)"
    assert found.rules.other_placements == ("a-kind",)
    (text,) = [w for w in warnings(EVERYWHERE, one, two, settings()) if "wins over" in w]
    assert "Placement b-name wins over a-kind" in text
    by_priority = {**two, "spec": {**two["spec"], "priority": 1}}
    said = warnings(EVERYWHERE, one, by_priority, settings())
    assert not [w for w in said if "wins over" in w]


def test_an_annotation_names_the_placement_that_counts() -> None:
    one = placement("one", clusters=["aws"])
    two = placement("two", select=[{"kind": "ConfigMap"}], clusters=["gcp"])
    found = workloads(EVERYWHERE, one, two, settings(placement="one"), settings("other"))
    assert found["settings"].rules.target is not None
    assert found["settings"].rules.target.clusters == ("aws",)
    assert not [
        w for w in warnings(EVERYWHERE, one, settings(placement="one")) if "Placement one" in w
    ]
    text = problem(EVERYWHERE, one, settings(placement="onne"))
    assert "there is no Placement 'onne'; expected one" in text
    assert text.startswith("all.yaml:")


def test_what_a_placement_says_holds_for_its_manifests() -> None:
    rules = placement(
        "rules",
        select=[{"name": "settings"}],
        clusterSelector={},
        forceConflicts=True,
        recreate=True,
        prune={"protect": True, "propagation": "Orphan"},
        drift={"additions": "Remove"},
        ignore=["/data/a"],
    )
    found = workloads(EVERYWHERE, rules, settings(), settings("other"))
    mine, other = found["settings"], found["other"]
    assert (mine.rules.force_conflicts, mine.rules.recreate, mine.rules.protect) == (
        True,
        True,
        True,
    )
    assert (mine.rules.prune_propagation, mine.rules.additions) == ("Orphan", "Remove")
    assert mine.rules.ignore == ("/data/a",)
    assert (other.rules.force_conflicts, other.rules.recreate, other.rules.protect) == (
        False,
        False,
        False,
    )
    assert (other.rules.prune_propagation, other.rules.additions, other.rules.ignore) == (
        None,
        None,
        (),
    )


def test_variables_are_substituted_only_where_that_is_asked_for() -> None:
    found = workloads(EVERYWHERE, settings("a", substitute="true"), settings("b"))
    assert found["a"].rules.substitute_variables
    assert not found["b"].rules.substitute_variables


def test_replicas_are_divided_only_of_what_has_some() -> None:
    divide = placement(
        "d", select=[{"kind": "ConfigMap"}], clusterSelector={}, replicas={"mode": "Divided"}
    )
    assert "has no spec.replicas to divide" in problem(EVERYWHERE, divide, settings())


def test_a_namespace_that_nothing_places_follows_what_lies_in_it() -> None:
    in_aws = placement("in-aws", select=[{"kind": "ConfigMap"}], clusters=["aws"])
    found = workloads(NOWHERE_YET, in_aws, NAMESPACE, settings())
    assert found["shop"].rules.follows
    assert found["shop"].rules.target is not None
    assert found["shop"].rules.target.placed_by == "what lies in it"
    assert not found["settings"].rules.follows


def test_a_namespace_of_which_all_is_given_up_is_given_up_as_well() -> None:
    nowhere = placement("nowhere", select=[{"kind": "ConfigMap"}], clusters=[])
    found = workloads(NOWHERE_YET, nowhere, NAMESPACE, settings())
    assert found["shop"].is_given_up
    in_aws = placement("in-aws", select=[{"name": "kept"}], clusters=["aws"])
    found = workloads(NOWHERE_YET, nowhere, in_aws, NAMESPACE, settings(), settings("kept"))
    assert not found["shop"].is_given_up


def test_what_nothing_places_goes_nowhere_and_that_is_said() -> None:
    found = workloads(NOWHERE_YET, settings(), {**NAMESPACE, "metadata": {"name": "empty"}})
    assert {workload.rules.target for workload in found.values()} == {None}
    said = warnings(NOWHERE_YET, settings())
    (text,) = [w for w in said if "goes nowhere" in w]
    assert "ConfigMap shop/settings goes nowhere: no Placement selects it" in text


@pytest.mark.parametrize(
    ("select", "words"),
    [
        ([{"name": "nobody"}], "Placement p selects no manifest"),
        (None, "Placement p has no select, and no manifest asks for it"),
        ([{"name": "settings"}, {"name": "nobody"}], "Placement p: this selects no manifest"),
        ([{"name": "settings"}], ""),
    ],
)
def test_a_placement_that_no_manifest_follows_is_told_of(select: Any, words: str) -> None:
    spec = {"clusterSelector": {}} | ({"select": select} if select else {})
    said = [
        w for w in warnings(EVERYWHERE, placement("p", **spec), settings()) if "Placement p" in w
    ]
    assert bool(said) == bool(words)
    assert all(words in text for text in said)


def test_an_autoscaler_of_nothing_is_told_of() -> None:
    scaler = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {
            "maxReplicas": 3,
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
        },
    }
    said = warnings(EVERYWHERE, scaler)
    assert any("the repository has no Deployment shop/web to scale" in text for text in said)
    labels = {"app": "web"}
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "a", "image": "a"}]}}
    web = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"replicas": 4, "selector": {"matchLabels": labels}, "template": pod},
    }
    assert not [w for w in warnings(EVERYWHERE, scaler, web) if "to scale" in w]
    divide = placement(
        "d", select=[{"kind": "Deployment"}], clusterSelector={}, replicas={"mode": "Divided"}
    )
    said = warnings(EVERYWHERE, scaler, web, divide)
    assert any("its replicas are divided, and HorizontalPodAutoscaler web" in w for w in said)


def test_one_object_with_and_without_the_namespace_default_is_two_of_the_same() -> None:
    bare = settings()
    del bare["metadata"]["namespace"]
    text = problem(EVERYWHERE, bare, settings(namespace="default"))
    assert "ConfigMap default/settings is defined twice, in default; expected each object once" in (
        text
    )


def test_an_unknown_cluster_is_a_problem_at_its_place() -> None:
    given = federation(defaults={"placement": {"clusters": ["aws", "gpc"]}})
    text = problem(given, settings())
    assert "gpc" in text
    assert "gcp" in text
