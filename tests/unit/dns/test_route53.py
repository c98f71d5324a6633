"""Route 53, as moto's server plays it: weighted answers with health checks, failover, pruning."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.request import Request, urlopen

import boto3
import pytest
from moto.core.responses import ActionResult
from moto.route53.models import ChangeList
from moto.route53.responses import Route53
from moto.server import ThreadedMotoServer

from tests.controlplane.process import free_port
from tests.unit.dns.fleets import (
    ADDRESSES,
    CLUSTERS,
    WEB,
    World,
    everywhere,
    lines,
    many,
    running,
    service,
)
from tests.unit.dns.fleets import understood as read

ZONE = "shop.example.com."
NAME = f"web.shop.{ZONE}"
CREDENTIALS = {"KEY_ID": "AKIAEXAMPLEEXAMPLE00", "KEY": "example-secret-access-key"}


def federation(extra: str = "") -> str:
    return f"""
apiVersion: federation.reconciler.dev/v1alpha1
kind: Federation
metadata: {{name: shop}}
spec:
  dns:
    providers:
      aws:
        class: octodns_route53.Route53Provider
        access_key_id: env/KEY_ID
        secret_access_key: env/KEY
    zones:
      - {{name: {ZONE}, provider: aws{extra}}}
---
"""


def _list_health_checks(responses: Route53) -> ActionResult:
    """As AWS answers: with IsTruncated and MaxItems, which its API requires and moto leaves out."""
    checks = responses.backend.list_health_checks()
    return ActionResult({"HealthChecks": checks, "IsTruncated": False, "MaxItems": 100})


@pytest.fixture
def route53(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(Route53, "list_health_checks", _list_health_checks)
    # For moto's journal, a record set that is made, deleted and made again exists already as soon
    # as there is any other behind it; AWS knows the record sets that there are.
    monkeypatch.setattr(ChangeList, "__contains__", lambda *_: False)
    port = free_port()
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    # What moto knows belongs to the process, not to the server.
    reset = Request(f"http://127.0.0.1:{port}/moto-api/reset", method="POST")
    urlopen(reset).close()
    monkeypatch.setenv("AWS_ENDPOINT_URL_ROUTE_53", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    client = boto3.client("route53", aws_access_key_id="witness", aws_secret_access_key="witness")
    client.create_hosted_zone(Name=ZONE, CallerReference="test")
    yield Witness(client)
    server.stop()


class Witness:
    """What AWS' own client sees."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.zone_id = client.list_hosted_zones()["HostedZones"][0]["Id"]

    def sets(self) -> list[dict[str, Any]]:
        answer = self.client.list_resource_record_sets(HostedZoneId=self.zone_id)
        return [s for s in answer["ResourceRecordSets"] if s["Type"] not in ("NS", "SOA")]

    def weights(self, name: str = NAME) -> dict[str, int]:
        """What the pool of a name answers with."""
        values = [s for s in self.sets() if s["Name"] == f"_octodns-fleet-value.{name}"]
        return {s["ResourceRecords"][0]["Value"]: s["Weight"] for s in values}

    def checks(self) -> dict[str, tuple[str, int]]:
        found = [c["HealthCheckConfig"] for c in self.client.list_health_checks()["HealthChecks"]]
        return {c["IPAddress"]: (c["Type"], c["Port"]) for c in found}

    def write(self, name: str, kind: str, value: str) -> None:
        record = {"Name": name, "Type": kind, "TTL": 300, "ResourceRecords": [{"Value": value}]}
        self.client.change_resource_record_sets(
            HostedZoneId=self.zone_id,
            ChangeBatch={"Changes": [{"Action": "CREATE", "ResourceRecordSet": record}]},
        )


@pytest.fixture
def world(route53: Witness) -> World:
    return World(read(federation(), CLUSTERS, WEB), everywhere(), CREDENTIALS)


def test_answers_are_weighted_and_checked_by_route_53_itself(
    world: World, route53: Witness
) -> None:
    plan, outcomes = world.run()
    assert lines(plan) == [
        f"create {NAME} A - -> 34.76.10.2 (weight 1),35.185.10.3 (weight 1),52.29.10.1 (weight 2)"
    ]
    assert [(o.status, o.message) for o in outcomes] == [("done", "")]
    # aws-eu's weight is 2.
    assert route53.weights() == {"52.29.10.1": 2, "34.76.10.2": 1, "35.185.10.3": 1}
    assert route53.checks() == dict.fromkeys(ADDRESSES.values(), ("TCP", 443))
    assert world.plan().changes == ()


def test_failover_and_failback(world: World, route53: Witness) -> None:
    world.settle()
    world.down = {"aws-eu": "no answer"}
    world.settle()
    assert route53.weights() == {"34.76.10.2": 1, "35.185.10.3": 1}
    world.down = {"aws-eu": "no answer", "gcp-us": "no answer"}
    world.settle()
    # One target is a plain record: there is nothing to weigh.
    plain = [s for s in route53.sets() if s["Name"] == NAME]
    assert [s["ResourceRecords"] for s in plain] == [[{"Value": "34.76.10.2"}]]
    assert route53.weights() == {}
    world.down = dict.fromkeys(ADDRESSES, "no answer")
    plan, outcomes = world.run()
    assert (plan.changes, outcomes) == ((), ())
    assert any("stay as they are" in warning for warning in map(str, plan.notices))
    world.down = {}
    world.settle()
    assert route53.weights() == {"52.29.10.1": 2, "34.76.10.2": 1, "35.185.10.3": 1}


def test_what_all_clusters_being_down_keeps_is_not_written_anew(
    world: World, route53: Witness
) -> None:
    world.settle()
    before = route53.sets(), route53.checks()
    world.down = dict.fromkeys(ADDRESSES, "no answer")
    world.settle()
    assert (route53.sets(), route53.checks()) == before


def test_pruning_leaves_the_records_of_others(world: World, route53: Witness) -> None:
    route53.write(f"www.{ZONE}", "CNAME", "elsewhere.example.net.")
    world.settle()
    world.state = read(federation(), CLUSTERS)
    world.settle()
    assert [s["Name"] for s in route53.sets()] == [f"www.{ZONE}"]
    assert route53.checks() == {}


def test_several_load_balancers_with_host_names_are_weighted_cnames(
    world: World, route53: Witness
) -> None:
    world.seen = {
        "aws-eu": running(service("web", "a.elb.amazonaws.com")),
        "gcp-eu": running(service("web", "b.elb.amazonaws.com")),
        "gcp-us": running(),
    }
    world.settle()
    assert route53.weights() == {"a.elb.amazonaws.com.": 2, "b.elb.amazonaws.com.": 1}


def test_a_health_check_as_the_service_asks(world: World, route53: Witness) -> None:
    asked = '{federation.reconciler.dev/dns: "true", federation.reconciler.dev/dns-health-check: '
    web = WEB.replace('{federation.reconciler.dev/dns: "true"', f"{asked}'HTTPS:8443/ready'")
    world.state = read(federation(), CLUSTERS, web)
    world.settle()
    assert set(route53.checks().values()) == {("HTTPS", 8443)}


def test_private_addresses_are_weighted_but_not_checked(world: World, route53: Witness) -> None:
    world.seen = {
        "aws-eu": running(service("web", "10.1.0.1")),
        "gcp-eu": running(service("web", "10.2.0.1")),
    }
    world.down = {"gcp-us": "no answer"}
    world.settle()
    assert route53.weights() == {"10.1.0.1": 2, "10.2.0.1": 1}
    assert route53.checks() == {}


def test_a_zone_may_ask_for_plain_records(world: World, route53: Witness) -> None:
    world.state = read(federation(", weighted: false"), CLUSTERS, WEB)
    world.settle()
    [record] = [s for s in route53.sets() if s["Type"] == "A"]
    assert sorted(v["Value"] for v in record["ResourceRecords"]) == sorted(ADDRESSES.values())
    # And change its mind.
    world.state = read(federation(), CLUSTERS, WEB)
    world.settle()
    assert len(route53.weights()) == 3


def test_a_mark_of_many_clusters_is_longer_than_one_string(world: World, route53: Witness) -> None:
    clusters, world.seen = many()
    world.state = read(federation(), clusters, CLUSTERS, WEB)
    world.settle()
    [mark] = [s for s in route53.sets() if s["Type"] == "TXT"]
    assert '" "' in mark["ResourceRecords"][0]["Value"]


def test_a_zone_that_does_not_exist_is_not_made(route53: Witness) -> None:
    other = federation().replace(ZONE, "other.example.org.")
    plan, outcomes = World(read(other, CLUSTERS, WEB), everywhere(), CREDENTIALS).run()
    assert plan.errors == (
        "DNS other.example.org.: provider aws has no zone other.example.org. "
        "(create the zone; this tool writes records, not zones)",
    )
    assert outcomes == ()
    assert len(route53.client.list_hosted_zones()["HostedZones"]) == 1
