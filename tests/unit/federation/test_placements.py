"""Which Placement a manifest obeys, and what is wrong with a Placement."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from reconciler.api.files import SourceFile
from reconciler.api.manifest import Manifest
from reconciler.api.objects import Object
from reconciler.federation.compile import Compiled, compile_documents
from reconciler.federation.model import PlacementTarget, ReplicaRule
from reconciler.federation.placements import Placement, choose
from reconciler.manifests.document import Document
from reconciler.manifests.load import load

WEB: Object = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web", "namespace": "shop", "labels": {"app": "web"}},
}


def placement(name: str, *select: Object, priority: int | None = None) -> Placement:
    spec: Object = {"select": list(select)}
    if priority is not None:
        spec["priority"] = priority
    body = {"metadata": {"name": name}, "spec": spec}
    document = Document("p.yaml", 0, 1, Manifest(body), SourceFile("p.yaml", b""))
    return Placement(document, PlacementTarget(), ReplicaRule())


def chosen(*placements: Placement, manifest: Object = WEB) -> list[str]:
    return [one.name for one in choose(list(placements), manifest)]


@pytest.mark.parametrize(
    ("entry", "selects"),
    [
        ({}, True),
        ({"name": "web"}, True),
        ({"name": "we*"}, True),
        ({"name": "w?b"}, True),
        ({"name": "WEB"}, False),
        ({"name": "we"}, False),
        ({"namespace": "shop"}, True),
        ({"namespace": "other"}, False),
        ({"kind": "Deployment"}, True),
        ({"kind": "StatefulSet"}, False),
        ({"apiVersion": "apps/v1"}, True),
        ({"apiVersion": "apps/*"}, True),
        ({"apiVersion": "v1"}, False),
        ({"labels": {"matchLabels": {"app": "web"}}}, True),
        ({"labels": {"matchLabels": {"app": "api"}}}, False),
        ({"name": "web", "namespace": "other"}, False),
        ({"name": "web", "labels": {"matchLabels": {"app": "api"}}}, False),
    ],
)
def test_a_selection_holds_when_all_of_it_does(entry: Object, selects: bool) -> None:
    assert chosen(placement("p", entry)) == (["p"] if selects else [])


def test_one_entry_of_several_is_enough_and_none_selects_nothing() -> None:
    assert chosen(placement("p", {"name": "api"}, {"name": "web"})) == ["p"]
    assert chosen(placement("p")) == []


def test_what_has_no_namespace_or_labels_is_matched_as_having_none() -> None:
    bare = {**WEB, "metadata": {"name": "web"}}
    assert chosen(placement("p", {"namespace": "shop"}), manifest=bare) == []
    assert chosen(placement("p", {"namespace": "*"}), manifest=bare) == ["p"]
    absent = {"labels": {"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}}
    assert chosen(placement("p", absent), manifest=bare) == ["p"]
    assert chosen(placement("p", absent)) == []


LADDER: list[tuple[str, Object]] = [
    ("name", {"name": "web"}),
    ("namespace-and-labels", {"namespace": "shop", "labels": {"matchLabels": {"app": "web"}}}),
    ("name-pattern", {"name": "w*"}),
    ("two-patterns", {"namespace": "s*", "kind": "D*"}),
    ("kind", {"kind": "Deployment"}),
    ("labels", {"labels": {"matchLabels": {"app": "web"}}}),
    ("version", {"apiVersion": "apps/v1"}),
    ("a-version-pattern", {"apiVersion": "apps/*"}),
    ("a-catch-all", {}),
]


def test_the_more_of_a_manifest_is_named_the_earlier_a_placement_counts() -> None:
    placements = [placement(name, entry) for name, entry in LADDER]
    names = [name for name, _ in LADDER]
    assert chosen(*placements) == names
    assert chosen(*reversed(placements)) == names


def test_priority_goes_before_all_that_is_named_and_the_name_comes_last() -> None:
    everything, named = placement("b", {}, priority=1), placement("a", {"name": "web"})
    assert chosen(named, everything) == ["b", "a"]
    assert chosen(placement("a", {}), placement("b", {}, priority=-1)) == ["a", "b"]
    assert chosen(placement("z", {}), placement("y", {})) == ["y", "z"]


def test_the_entry_that_names_most_counts() -> None:
    both = placement("both", {}, {"name": "web"})
    assert chosen(placement("a", {"namespace": "shop"}), both) == ["both", "a"]


def test_it_is_noted_which_entries_selected_anything() -> None:
    used: set[tuple[str, int]] = set()
    entries: list[Object] = [{"name": "api"}, {"name": "web"}, {}]
    choose([placement("p", *entries), placement("q", {"name": "api"})], WEB, used)
    assert used == {("p", 1), ("p", 2)}


# -- a Placement itself ----------------------------------------------------------------------------

FLEET = """
apiVersion: federation.reconciler.dev/v1alpha1
kind: Federation
metadata: {name: shop}
spec: {defaults: {placement: {clusterSelector: {}}}}
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: aws, labels: {cloud: aws}}
spec: {weight: 3}
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: gcp, labels: {cloud: gcp}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 6
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "web:1"}]}
---
"""


def compiled(**spec: Any) -> Compiled:
    where: Object = {} if "clusters" in spec else {"clusterSelector": {}}
    document = {
        "apiVersion": "federation.reconciler.dev/v1alpha1",
        "kind": "Placement",
        "metadata": {"name": "web"},
        "spec": {"select": [{"name": "web"}], **where, **spec},
    }
    manifests = load([SourceFile("all.yaml", (FLEET + yaml.safe_dump(document)).encode())])
    assert not manifests.problems, [str(problem) for problem in manifests.problems]
    return compile_documents(manifests.documents)


def replicas(**rule: Any) -> ReplicaRule:
    found = compiled(replicas=rule)
    assert found.state is not None, [str(problem) for problem in found.problems]
    (workload,) = found.state.workloads
    return workload.rules.replicas


def test_a_share_is_by_name_or_selector_the_first_that_fits() -> None:
    rule = replicas(
        mode="Divided",
        total=9,
        clusters=[
            {"name": "aws", "weight": 7, "min": 1, "max": 5},
            {"selector": {}, "weight": 2, "min": 1},
        ],
    )
    assert (rule.mode, rule.total) == ("Divided", 9)
    aws, gcp = rule.shares["aws"], rule.shares["gcp"]
    assert (aws.weight, aws.minimum, aws.maximum) == (7, 1, 5)
    assert (gcp.weight, gcp.minimum, gcp.maximum) == (2, 1, None)


def test_a_cluster_of_which_nothing_is_said_has_its_own_weight() -> None:
    shares = replicas(mode="Divided", total=9).shares
    assert {name: share.weight for name, share in shares.items()} == {"aws": 3, "gcp": 1}
    by_selector = [{"selector": {"matchLabels": {"cloud": "aws"}}, "min": 2}]
    share = replicas(mode="Divided", total=9, clusters=by_selector).shares["aws"]
    assert (share.weight, share.minimum) == (3, 2)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (
            {"replicas": {"mode": "Divided", "clusters": [{"name": "aws", "min": 3, "max": 2}]}},
            "min 3 is more than max 2",
        ),
        (
            {
                "replicas": {
                    "mode": "Divided",
                    "total": 5,
                    "clusters": [{"name": "aws", "min": 3}, {"name": "gcp", "min": 3}],
                }
            },
            "the minima add up to 6, more than the total 5",
        ),
        ({"replicas": {"mode": "Divided", "clusters": [{"name": "awx", "min": 1}]}}, "awx"),
        ({"clusters": ["awx"]}, "awx"),
        (
            {"spread": [{"by": "provider", "minGroups": 3, "maxGroups": 2}]},
            "minGroups is more than maxGroups",
        ),
    ],
)
def test_what_cannot_be_meant_is_a_problem(spec: Object, words: str) -> None:
    found = compiled(**spec)
    assert found.state is None
    assert any(words in str(problem) for problem in found.problems)


@pytest.mark.parametrize(
    "clusters",
    [[{"name": "aws", "min": 3}, {"name": "gcp", "min": 2}], [{"name": "aws", "min": 5}]],
)
def test_minima_that_just_fit_are_none(clusters: list[Object]) -> None:
    assert replicas(mode="Divided", total=5, clusters=clusters).total == 5


def test_minima_of_clusters_that_are_not_selected_do_not_count() -> None:
    rule: Object = {"mode": "Divided", "total": 5}
    rule["clusters"] = [{"name": "aws", "min": 3}, {"name": "gcp", "min": 3}]
    only_aws = {"matchLabels": {"cloud": "aws"}}
    assert compiled(replicas=rule, clusterSelector=only_aws).state is not None
