"""What ``spec.seats`` may say, and what a Witness is and is not: each fault with its place."""

from __future__ import annotations

import textwrap

import pytest

from reconciler.api.files import SourceFile
from reconciler.federation.compile import Compiled, compile_documents
from reconciler.federation.model import DesiredState
from reconciler.join.needed_kinds import with_joining_cluster
from reconciler.manifests.load import load
from reconciler.render.render import render
from reconciler.scheduler.schedule import schedule

FLEET = """\
apiVersion: federation.reconciler.dev/v1alpha1
kind: Federation
metadata: {name: shop}
spec:
  seats: %s
---
"""
CLUSTERS = """\
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: aws}
spec: {provider: aws, region: eu}
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: gcp}
spec: {provider: gcp, region: eu}
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: lab}
spec: {taints: [{key: moving, effect: NoExecute}]}
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: arbiter, labels: {tier: any}}
spec: {role: Witness, region: far}
---
"""
PLACEMENT = """\
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {name: web}
spec:
  select: [{kind: Deployment}]
  %s
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 6
  template: {spec: {containers: [{name: web, image: x}]}}
"""
SEATS = FLEET % "[aws, gcp, arbiter]"


def compiled(*texts: str) -> Compiled:
    files = [
        SourceFile(f"{number}.yaml", textwrap.dedent(text).encode())
        for number, text in enumerate(texts)
    ]
    manifests = load(files)
    assert not manifests.problems
    return compile_documents(manifests.documents)


def faults(*texts: str) -> list[str]:
    found = compiled(*texts)
    return [f"{p} | {p.expected} | {p.hint}" for p in found.problems]


def understood(*texts: str) -> DesiredState:
    found = compiled(*texts)
    assert found.state is not None, [str(p) for p in found.problems]
    return found.state


@pytest.mark.parametrize(
    ("seats", "place", "said"),
    [
        ("[]", "0.yaml:5:10", "no seats"),
        ("[aws]", "0.yaml:5:10", "1 seat: the loss of one would end the majority"),
        ("[aws, gcp]", "0.yaml:5:10", "2 seats: the loss of one"),
        ("[aws, gcp, gcp]", "0.yaml:5:21", "the seat 'gcp' twice"),
        ("[aws, gcp, arbiter, gpc]", "0.yaml:5:30", "no cluster 'gpc'"),
        ("[aws, gcp, arbiter, gpc]", "0.yaml:5:10", "4 seats, an even number"),
        ("[aws, gcp, lab]", "0.yaml:5:21", "'lab' is drained, by the taint moving=:NoExecute"),
    ],
)
def test_seats_that_cannot_vote_are_errors_with_their_place(
    seats: str, place: str, said: str
) -> None:
    found = faults(FLEET % seats, CLUSTERS)
    assert any(place in one and said in one for one in found), found


def test_seats_of_members_and_a_witness_are_understood() -> None:
    state = understood(SEATS, CLUSTERS)
    assert state.federation.seats == ("aws", "gcp", "arbiter")
    assert [one.name for one in state.clusters] == ["aws", "gcp", "lab"]
    assert [one.name for one in state.witnesses] == ["arbiter"]
    assert not [w for w in state.warnings if "arbiter" in w]


@pytest.mark.parametrize(
    ("rule", "place"),
    [
        ("clusters: [aws, arbiter]", "2.yaml:6:19"),
        ("overrides: [{clusters: [arbiter], replicas: 1}]", "2.yaml:6:27"),
        ("replicas: {clusters: [{name: arbiter, min: 1}]}", "2.yaml:6:32"),
    ],
)
def test_a_rule_that_names_a_witness_is_an_error_with_its_place(rule: str, place: str) -> None:
    (fault,) = faults(SEATS, CLUSTERS, PLACEMENT % rule)
    assert place in fault
    assert "cluster 'arbiter' is a Witness: it only votes, and nothing runs there" in fault
    assert "aws, gcp, lab" in fault


def test_kubefed_rules_and_defaults_that_name_a_witness_are_errors_as_well() -> None:
    federated = """\
    apiVersion: types.kubefed.io/v1beta1
    kind: FederatedConfigMap
    metadata: {name: a, namespace: shop}
    spec:
      template: {data: {}}
      placement: {clusters: [{name: arbiter}]}
      overrides: [{clusterName: arbiter, clusterOverrides: [{path: /data/a, value: b}]}]
    """
    assert sum("is a Witness" in one for one in faults(SEATS, CLUSTERS, federated)) == 2
    default = SEATS.replace("---", "  defaults: {placement: {clusters: [arbiter]}}\n---")
    assert sum("is a Witness" in one for one in faults(default, CLUSTERS)) == 1


@pytest.mark.parametrize(
    "rule",
    [
        "clusterSelector: {}",
        "clusterSelector: {matchExpressions: [{key: tier, operator: DoesNotExist}]}",
        "spread: [{by: region, minGroups: 2}]",
        "replicas: {mode: Divided}",
    ],
)
def test_nothing_is_placed_on_a_witness(rule: str) -> None:
    with_witness = understood(SEATS, CLUSTERS, PLACEMENT % rule)
    objects = render(with_witness, schedule(with_witness)).objects
    assert "arbiter" not in objects
    alone = understood(CLUSTERS.split("---\n")[0], PLACEMENT % "clusterSelector: {}")
    assert "arbiter" not in render(alone, schedule(alone)).objects


def test_a_selector_that_only_a_witness_matches_is_told_to_match_nothing() -> None:
    rule = PLACEMENT % "clusterSelector: {matchLabels: {tier: any}}"

    def rendered(clusters: str) -> dict[str, int]:
        state = understood(SEATS, clusters, rule)
        return {name: len(its) for name, its in render(state, schedule(state)).objects.items()}

    nowhere = {"aws": 0, "gcp": 0, "lab": 0}
    assert rendered(CLUSTERS) == nowhere
    of_gcp = CLUSTERS.replace("name: gcp}", "name: gcp, labels: {tier: any}}")
    assert rendered(of_gcp) == {**nowhere, "gcp": 1}


def test_a_witness_that_is_no_seat_is_told_with_its_place_and_stops_nothing() -> None:
    # It joins before Git names it as a seat, and leaves after.
    (told,) = understood(FLEET.split("spec")[0] + "---\n", CLUSTERS).warnings
    assert told.startswith("1.yaml:19: Cluster arbiter is a Witness and no seat")
    assert "reconcile unjoin arbiter" in told


def test_what_has_no_effect_on_a_witness_is_told() -> None:
    idle = CLUSTERS.replace("region: far", "weight: 2, capacity: {replicas: 4}")
    told = understood(SEATS, idle).warnings
    assert [w.split(": ", 1)[1].split(" has")[0] for w in told if "no effect" in w] == [
        "Cluster arbiter: capacity",
        "Cluster arbiter: weight",
    ]


def test_a_witness_joins_and_leaves_as_a_cluster_that_the_repository_has() -> None:
    files = [SourceFile("a.yaml", SEATS.encode()), SourceFile("b.yaml", CLUSTERS.encode())]
    assert with_joining_cluster(files, "arbiter").cluster("arbiter").role == "Witness"


def test_seats_may_be_named_before_all_of_them_have_joined() -> None:
    only = CLUSTERS.split("---\n")[0]
    files = [SourceFile("a.yaml", SEATS.encode()), SourceFile("b.yaml", only.encode())]
    assert with_joining_cluster(files, "gcp").not_joined == ("arbiter",)


def test_a_witness_may_be_the_first_to_join() -> None:
    witness = "\n".join(CLUSTERS.split("---\n")[3:])
    state = understood(witness, PLACEMENT % "clusterSelector: {}")
    assert not render(state, schedule(state)).objects
