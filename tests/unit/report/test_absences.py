"""Clusters that are neither looked at nor written to: why, decided by values, said once."""

from __future__ import annotations

import pytest

from reconciler.failover.cluster_health import Absence, ClusterHealth
from reconciler.failover.probe import A_PAGE, Diagnosis, Finding, Nodes, Signal, text_diagnosis
from reconciler.plan.model import ClusterPlan, Plan, ZoneFailure
from reconciler.report.headlines import Health, fleet_health, headlines, unreachable_clusters
from reconciler.report.json_report import plan_document
from reconciler.state.memory import Phase

DOWN = ClusterPlan("gcp-us", reachable=False, absence=Absence("timed out", down=True))
FEW = Diagnosis(Finding.FEW_NODES, nodes=Nodes(1, 4))


def seen(cluster: ClusterPlan, phase: Phase, diagnosis: Diagnosis, **more: float) -> Plan:
    health = ClusterHealth(cluster.name, phase, Signal.UNHEALTHY, diagnosis, **more)
    return Plan("shop", (cluster,), health=(health,))


def test_a_cluster_that_fails_otherwise_than_when_it_was_declared_down_is_down_once() -> None:
    plan = seen(DOWN, Phase.DOWN, text_diagnosis("connection refused"))
    (told,) = [one for one in headlines(plan) if one.level == "down"]
    assert f"{told.word} {told.text}" == "Cluster gcp-us is down: timed out; connection refused"


def test_the_same_diagnosis_is_not_said_twice() -> None:
    plan = seen(DOWN, Phase.DOWN, text_diagnosis("timed out"))
    assert unreachable_clusters(plan) == [("down: timed out", ["gcp-us"])]


def test_the_documents_say_that_it_is_down_as_ever() -> None:
    (cluster,) = plan_document(seen(DOWN, Phase.DOWN, text_diagnosis("timed out")))["clusters"]
    assert cluster["problem"] == "down: timed out"
    assert str(Absence("no credential")) == "no credential"


def test_nodes_are_counted_once_whatever_else_speaks_of_them() -> None:
    up = ClusterPlan("gcp-us")
    counted = fleet_health(seen(up, Phase.UP, FEW, ready_nodes=1, nodes=4))["gcp-us"]
    assert counted == Health("degraded", "unhealthy", "1 of 4 nodes are ready")
    spoken = text_diagnosis("nodes.example.com refused the connection")
    both = fleet_health(seen(up, Phase.UP, spoken, ready_nodes=1, nodes=4))["gcp-us"]
    assert both.reason == "nodes.example.com refused the connection; 1 of 4 nodes ready"


def test_since_when_is_told_unless_the_outage_is_imagined() -> None:
    # Another's words begin like ours: they are no sign of a simulation.
    spoken = text_diagnosis("simulated outage, says a proxy")
    real = seen(DOWN, Phase.DOWN, spoken, since=1_772_366_400.0)
    assert "since 2026-03-01 12:00 UTC" in fleet_health(real)["gcp-us"].reason
    gone = ClusterPlan("gcp-us", reachable=False, simulated=True, absence=Absence("an outage"))
    simulated = seen(gone, Phase.DOWN, text_diagnosis("an outage"), since=1_772_366_400.0)
    assert fleet_health(simulated)["gcp-us"].reason == "an outage"


@pytest.mark.parametrize(
    ("diagnosis", "words"),
    [
        (Diagnosis(), ""),
        (text_diagnosis(""), ""),
        (text_diagnosis("timed out"), "timed out"),
        (Diagnosis(Finding.SLOW, tries=3), "answered only at try 3"),
        (FEW, "1 of 4 nodes are ready"),
        (Diagnosis(Finding.NOT_READY, "etcd", 500), "not ready (HTTP 500): etcd"),
        (Diagnosis(Finding.NOT_READY, status=503), "not ready (HTTP 503)"),
        (Diagnosis(Finding.REFUSED, status=401), "the credential was refused (401)"),
        (
            Diagnosis(Finding.FORBIDDEN, status=403),
            "its health may not be read (403): let it get the URL /readyz",
        ),
        (
            Diagnosis(Finding.UNDETERMINED, status=A_PAGE),
            "a web page answers instead of an API server; does a proxy want a login? (HTTP 200)",
        ),
        (
            Diagnosis(Finding.UNDETERMINED, "wait", 429),
            "the server is there, and too busy to say how it is (HTTP 429): wait",
        ),
    ],
)
def test_a_diagnosis_is_one_sentence(diagnosis: Diagnosis, words: str) -> None:
    assert str(diagnosis) == words


def test_dns_failures_name_dns_only_where_nothing_else_does() -> None:
    # A zone, or a message, may begin with the very word.
    failure = ZoneFailure("DNS.example.org.", "no answer", "mend it")
    plan = Plan("shop", (), dns_failures=(failure,))
    assert plan.dns_errors == ("DNS DNS.example.org.: no answer (mend it)",)
    assert [one.text for one in headlines(plan)] == ["DNS.example.org.: no answer (mend it)"]
    assert plan.has_failures
