"""What ``spec.rollout`` may say, of a Federation and of a Placement: each fault with its place."""

from __future__ import annotations

import textwrap

import pytest
from msgspec.structs import replace

from reconciler.api.files import SourceFile
from reconciler.federation.compile import Compiled, compile_documents
from reconciler.federation.model import (
    DesiredState,
    Gate,
    RolloutRules,
    Selector,
    StricterRollout,
    Wave,
)
from reconciler.manifests.load import load
from reconciler.manifests.problems import PossibleDefinitions
from reconciler.rollout.waves import waves_of

FLEET = """\
apiVersion: federation.reconciler.dev/v1alpha1
kind: Federation
metadata: {name: shop}
spec:
  rollout:
"""
CLUSTERS = """\
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: lab, labels: {tier: test}}
---
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
metadata: {name: arbiter, labels: {tier: vote}}
spec: {role: Witness}
"""
PLACEMENT = """\
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {name: web}
spec:
  select: [{kind: Deployment}]
  rollout: %s
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 6
  template: {spec: {containers: [{name: web, image: x}]}}
"""
WAVES = """
waves:
  - name: canary
    clusters: [lab]
    soak: 10m
    manual: true
    gates:
      - name: errors
        prometheus: {url: "https://prometheus.example.com/shop", query: sum(errors)}
        atMost: 0.01
  - name: eu
    clusterSelector: {matchLabels: {topology.kubernetes.io/region: eu}}
    maxConcurrent: 1
    soak: 1h30m
progressDeadline: 2h
onFailure: Return
queue: InOrder
"""
GATE = '{name: up, prometheus: {url: "%s", query: up}%s}'


def compiled(*texts: str) -> Compiled:
    files = [SourceFile(f"{n}.yaml", text.encode()) for n, text in enumerate(texts)]
    manifests = load(files)
    assert not manifests.problems, [str(problem) for problem in manifests.problems]
    return compile_documents(manifests.documents)


def fleet(rollout: str) -> str:
    return FLEET + textwrap.indent(textwrap.dedent(rollout).strip("\n"), "    ") + "\n"


def faults(rollout: str, *more: str) -> list[str]:
    found = compiled(fleet(rollout), CLUSTERS, *more)
    return [f"{p.position}: {p.message} | {p.expected} | {p.hint}" for p in found.problems]


def understood(rollout: str, *more: str) -> DesiredState:
    found = compiled(fleet(rollout), CLUSTERS, *more)
    assert found.state is not None, [str(p) for p in found.problems]
    return found.state


def test_all_of_it_is_understood() -> None:
    state = understood(WAVES)
    errors = Gate("errors", "https://prometheus.example.com/shop", "sum(errors)", at_most=0.01)
    region = Selector({"topology.kubernetes.io/region": "eu"})
    assert state.federation.rollout == RolloutRules(
        (
            Wave("canary", ("lab",), soak=600, manual=True, gates=(errors,)),
            Wave("eu", selector=region, max_concurrent=1, soak=5400),
        ),
        progress_deadline=7200,
        on_failure="Return",
        queue="InOrder",
    )
    assert not [w for w in state.warnings if "wave" in w]


def test_what_is_left_out_has_its_default() -> None:
    rules = understood("waves: [{name: canary, clusters: [lab]}]").federation.rollout
    assert rules == RolloutRules((Wave("canary", ("lab",)),))
    assert (rules.progress_deadline, rules.on_failure, rules.queue) == (1800, "Hold", "Latest")


def test_without_rules_there_are_no_waves() -> None:
    bare = compiled(FLEET.replace("spec:\n  rollout:\n", ""), CLUSTERS).state
    assert bare is not None
    assert bare.federation.rollout is None


def test_a_share_is_a_share_and_a_count_a_count() -> None:
    rules = understood(
        """
        waves:
          - {name: canary, clusters: [lab], maxConcurrent: "25%"}
          - {name: others, maxConcurrent: 2}
        """
    ).federation.rollout
    assert rules is not None
    assert [(w.max_concurrent, w.is_share) for w in rules.waves] == [(0.25, True), (2, False)]
    assert rules.waves[1].is_rest


def test_names_go_before_a_selector_which_is_told() -> None:
    state = understood("waves: [{name: canary, clusters: [lab], clusterSelector: {}}]")
    assert state.federation.rollout == RolloutRules((Wave("canary", ("lab",)),))
    (told,) = [w for w in state.warnings if "canary" in w]
    assert told.startswith("0.yaml:6:")
    assert "clusterSelector has no effect beside clusters" in told


def test_a_last_wave_that_has_no_cluster_yet_is_told() -> None:
    state = understood("waves: [{name: first, clusters: [lab, aws, gcp]}, {name: later}]")
    assert [w for w in state.warnings if "later" in w] == [
        "0.yaml:6: wave later has no cluster yet: each is in a wave before it"
    ]


# Line 6 is the first one of what stands in a table.
@pytest.mark.parametrize(
    ("rollout", "place", "said"),
    [
        (
            "waves:\n- {name: a, clusters: [lab]}\n- {name: b, clusters: [aws, lab]}",
            "0.yaml:8:33",
            "lab: in the wave 'a' as well | each cluster in one wave | there at 0.yaml:7:28",
        ),
        (
            "waves:\n- {name: a, clusters: [lab]}\n- {name: b, clusterSelector: {}}",
            "0.yaml:8:34",
            "there at 0.yaml:7:28; a last wave without clusters and clusterSelector has those",
        ),
        (
            "waves:\n- {name: a, clusterSelector: {}}\n- {name: b, clusterSelector: {}}",
            "0.yaml:8:34",
            "aws, gcp, lab: in the wave 'a' as well | each cluster in one wave | there at 0.yaml:7",
        ),
        ("waves: [{name: a, clusters: []}]", "0.yaml:6:33", "the wave 'a' has no cluster"),
        (
            "waves: [{name: a, clusterSelector: {matchLabels: {tier: tset}}}]",
            "0.yaml:6:40",
            "the wave 'a' has no cluster | at least one; clusters in no wave form the last one | "
            "the clusters' labels are federation.reconciler.dev/provider=aws,",
        ),
        (
            "waves: [{name: a, clusterSelector: {matchLabels: {tier: vote}}}]",
            "0.yaml:6:40",
            "the wave 'a' has no cluster",
        ),
        (
            "waves: [{name: a, clusters: [lab, gpc]}]",
            "0.yaml:6:39",
            "there is no cluster 'gpc' | aws, gcp, lab | did you mean gcp?",
        ),
        (
            "waves: [{name: a, clusters: [lab, arbiter]}]",
            "0.yaml:6:39",
            "cluster 'arbiter' is a Witness: it only votes, and nothing runs there",
        ),
        ("waves: []", "0.yaml:6:12", "a rollout without waves"),
        (
            "waves: [{name: a, clusters: [lab]}, {name: a, clusters: [aws]}]",
            "0.yaml:6:48",
            "the wave 'a' twice | a name for each wave | the other one is at 0.yaml:6:20",
        ),
        (
            "waves: [{name: rest, clusters: [lab]}]",
            "0.yaml:6:20",
            "'rest' is the wave of the clusters that are in no other",
        ),
        (
            "waves: [{name: a}, {name: b, clusters: [lab]}]",
            "0.yaml:6:13",
            "the wave 'a' names and selects no clusters, and is not the last one",
        ),
        (
            "progressDeadline: 5m\nwaves: [{name: a, soak: 10m}]",
            "0.yaml:7:29",
            "10m is longer than progressDeadline (5m) | at most 5m, or a longer progressDeadline",
        ),
        (
            "waves: [{name: a, soak: 31m}]",
            "0.yaml:6:29",
            "31m is longer than progressDeadline (30m)",
        ),
        ("progressDeadline: 0s\nwaves: [{name: a}]", "0.yaml:6:23", "no time at all"),
        ("waves: [{name: a, maxConcurrent: 0}]", "0.yaml:6:38", "no cluster could ever begin"),
        ('waves: [{name: a, maxConcurrent: "0%"}]', "0.yaml:6:38", "no cluster could ever"),
        ('waves: [{name: a, maxConcurrent: "101%"}]', "0.yaml:6:38", "more than 100 %"),
        (
            "waves: [{name: a, gates: [%s]}]" % (GATE % ("https://p", "")),
            "0.yaml:6:31",
            "the gate 'up' has no threshold | atLeast or atMost",
        ),
        (
            "waves: [{name: a, gates: [%s]}]" % (GATE % ("https://p", ", atLeast: 0, atMost: 1")),
            "0.yaml:6:31",
            "the gate 'up' has two thresholds | atLeast or atMost | two gates, one with each",
        ),
        (
            "waves:\n- name: a\n  gates:" + 2 * ("\n  - " + GATE % ("https://p", ", atLeast: 1")),
            "0.yaml:10:16",
            "the gate 'up' twice",
        ),
        (
            "waves:\n- name: a\n  gates: [{name: b, prometheus: {url: http://p, query: ' '}, "
            "atMost: 1}]",
            "0.yaml:8:60",
            "no query | PromQL",
        ),
    ],
)
def test_rules_that_cannot_be_meant_are_errors_with_their_place(
    rollout: str, place: str, said: str
) -> None:
    found = faults(rollout)
    assert any(one.startswith(f"{place}:") and said in one for one in found), found


@pytest.mark.parametrize(
    ("wave", "said"),
    [
        (
            "{name: a, clusters: [lab, aws, lab]}",
            '6:44: $.spec.rollout.waves[0].clusters[2]: "lab" twice; expected each once',
        ),
        # A number that is quoted has no unit either.
        (
            "{name: a, soak: 10}",
            "6:29: $.spec.rollout.waves[0].soak: 10 is a whole number; expected text: How long all "
            "of its clusters must stay well before the next wave begins; not longer than "
            "progressDeadline. A duration such as 30s, 5m or 1h30m.",
        ),
    ],
)
def test_what_the_schema_refuses_is_told_by_place_and_with_help_that_helps(
    wave: str, said: str
) -> None:
    text = FLEET + f"    waves: [{wave}]\n"
    problems = load([SourceFile("f.yaml", text.encode())]).problems
    assert [str(one) for one in problems] == [f"f.yaml:{said}"]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://", "not an http or https URL with a host"),
        ("prometheus:9090", "not an http or https URL with a host"),
        ("ftp://p", "not an http or https URL with a host"),
        ("https://p:0", "not an http or https URL with a host"),
        ("https://p:99999", "not a URL"),
        ("https://[::1", "not a URL"),
        ("https://me:c4nary@p", "a name or password in an address"),
        ("https://c4nary@p", "a name or password in an address"),
        ("https://p/?x=c4nary", "an address with a query or a fragment"),
        ("https://p/?", "an address with a query or a fragment"),
        ("https://p/#c4nary", "an address with a query or a fragment"),
        ("https://p /c4nary", "an address with spaces"),
        ("https://p\\r\\nhost: c4nary", "an address with spaces, control characters"),
        ("https://pro\u043cetheus", "letters beyond ASCII"),
    ],
)
def test_an_address_that_cannot_be_asked_is_an_error_and_not_repeated(url: str, said: str) -> None:
    (fault,) = faults("waves: [{name: a, gates: [%s]}]" % (GATE % (url, ", atLeast: 1")))
    assert fault.startswith("0.yaml:6:")
    assert said in fault
    assert "c4nary" not in fault


@pytest.mark.parametrize(
    "url",
    [
        "https://prometheus.example.com",
        "http://prometheus.monitoring:9090",
        "https://p/api/prom/",
        "https://[2001:db8::1]:9090/x",
    ],
)
def test_addresses_with_a_port_or_a_path_are_taken(url: str) -> None:
    assert not faults("waves: [{name: a, gates: [%s]}]" % (GATE % (url, ", atLeast: 1")))


def test_all_faults_are_told_at_once() -> None:
    rollout = """
        progressDeadline: 5m
        waves:
          - {name: a, clusters: [lab, gpc], soak: 1h, maxConcurrent: 0}
          - {name: a, clusterSelector: {}, gates: [{name: g, prometheus: {url: p, query: up}}]}
          - {name: b, clusters: []}
        """
    assert len(faults(rollout, PLACEMENT % "{soak: 0s}")) == 9


def test_what_may_be_in_a_broken_document_is_no_fault_of_a_wave() -> None:
    possible_definitions = PossibleDefinitions(frozenset({("Cluster", "new")}))
    for rollout in (
        "waves: [{name: a, clusters: [new]}]",
        "waves: [{name: a, clusterSelector: {matchLabels: {tier: new}}}]",
    ):
        files = [SourceFile("0.yaml", fleet(rollout).encode())]
        found = compile_documents(load(files).documents, possible_definitions=possible_definitions)
        assert not found.problems, [str(problem) for problem in found.problems]


# -- Placements ------------------------------------------------------------------------------------


def test_a_placement_is_stricter_for_its_workloads() -> None:
    rule = "{soak: 1h, maxConcurrent: '50%%', manual: true, gates: [%s]}" % (
        GATE % ("https://p", ", atLeast: 1")
    )
    (workload,) = understood(WAVES, PLACEMENT % rule).workloads
    assert workload.rules.rollout == StricterRollout(
        3600, 0.5, True, True, (Gate("up", "https://p", "up", at_least=1),)
    )


def test_a_workload_of_another_placement_has_no_more_than_its_wave() -> None:
    (workload,) = understood(WAVES, PLACEMENT.replace("  rollout: %s\n", "")).workloads
    assert workload.rules.rollout is None


ERRORS = 'prometheus: {url: "https://prometheus.example.com/shop", query: sum(errors)}'
BOTH = "waves:\n- {name: a, clusters: [lab], %s}\n- {name: b, %s}"


@pytest.mark.parametrize(
    ("rollout", "rule", "place", "said"),
    [
        (
            WAVES,
            "{soak: 5m}",
            "2.yaml:6:19",
            "5m has no effect: every wave soaks for 600 s or longer | more than 600 s: a Placement "
            "can only be stricter | wave canary: 0.yaml:9:15",
        ),
        (WAVES, "{soak: 10m}", "2.yaml:6:19", "10m has no effect"),
        (WAVES, "{soak: 3h}", "2.yaml:6:19", "3h is longer than progressDeadline (2h)"),
        (WAVES, "{maxConcurrent: 0}", "2.yaml:6:28", "no cluster could ever begin"),
        (
            BOTH % ("maxConcurrent: 1", "maxConcurrent: 2"),
            "{maxConcurrent: 2}",
            "2.yaml:6:28",
            "2 has no effect: no wave lets more begin at once | less: a Placement can only be "
            "stricter | wave b: 0.yaml:8:32",
        ),
        (
            BOTH % ("maxConcurrent: '10%'", "maxConcurrent: '25%'"),
            "{maxConcurrent: '30%'}",
            "2.yaml:6:28",
            "30% has no effect",
        ),
        (
            WAVES,
            "{manual: false}",
            "2.yaml:6:21",
            "the wave 'canary' waits for a person all the same | true, or no manual: a Placement "
            "can only be stricter | wave canary: 0.yaml:10:17",
        ),
        (
            BOTH % ("manual: true", "manual: true"),
            "{manual: true}",
            "2.yaml:6:21",
            "no effect: every wave waits for a person",
        ),
        (
            BOTH
            % (
                f"gates: [{{name: x, {ERRORS}, atMost: 0.01}}]",
                f"gates: [{{name: w, {ERRORS}, atMost: 0.02}}]",
            ),
            f"{{gates: [{{name: z, {ERRORS}, atMost: 0.02}}]}}",
            "2.yaml:6:21",
            "the gate 'z' has no effect: every wave asks the same, and wants as much or more",
        ),
        (WAVES, "{gates: [%s]}" % (GATE % ("https://p", "")), "2.yaml:6:21", "no threshold"),
    ],
)
def test_what_is_looser_than_every_wave_is_an_error_that_names_one(
    rollout: str, rule: str, place: str, said: str
) -> None:
    found = faults(rollout, PLACEMENT % rule)
    assert any(one.startswith(f"{place}:") and said in one for one in found), found


@pytest.mark.parametrize(
    ("rollout", "rule"),
    [
        (WAVES, "{soak: 11m}"),
        # A count beside a share depends on how many clusters there are.
        (WAVES, "{maxConcurrent: '100%'}"),
        # Beside a wave that lets all begin, any number is stricter.
        (WAVES, "{maxConcurrent: 5}"),
        # lab alone is in a wave; the others form one that soaks for no time.
        ("waves: [{name: canary, clusters: [lab], soak: 10m}]", "{soak: 1s}"),
        ("waves: [{name: canary, clusters: [lab], manual: true}]", "{manual: true}"),
        ("waves: [{name: canary, clusters: [lab]}]", "{manual: false}"),
        (
            BOTH % (f"gates: [{{name: x, {ERRORS}, atMost: 0.01}}]", "soak: 1m"),
            f"{{gates: [{{name: z, {ERRORS}, atMost: 0.02}}]}}",
        ),
    ],
)
def test_what_is_stricter_than_some_wave_is_taken(rollout: str, rule: str) -> None:
    assert not faults(rollout, PLACEMENT % rule)


def test_a_placement_cannot_be_stricter_than_no_rules() -> None:
    bare = FLEET.replace("spec:\n  rollout:\n", "")
    (problem,) = compiled(bare, CLUSTERS, PLACEMENT % "{soak: 1m}").problems
    assert str(problem).startswith("2.yaml:6:12: ")
    assert "the Federation has no rollout" in str(problem)


def test_waves_of_a_checked_repository_hold_each_cluster_once() -> None:
    state = understood(WAVES)
    assert state.federation.rollout is not None
    found = waves_of(state.federation.rollout, state.clusters)
    assert [(wave.name, names) for wave, names in found] == [
        ("canary", ("lab",)),
        ("eu", ("aws", "gcp")),
    ]
    shrunk = replace(state, clusters=state.clusters[:1])
    assert waves_of(state.federation.rollout, shrunk.clusters)[1][1] in ((), ("aws",), ("gcp",))
