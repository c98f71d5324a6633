"""Google Cloud DNS, as a stand-in of its documented API plays it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from google.cloud.dns._http import Connection

from reconciler.dns.rules import SecretValue
from tests.unit.dns.cloud_dns import PROJECT, CloudDns
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
FEDERATION = f"""
apiVersion: federation.reconciler.dev/v1alpha1
kind: Federation
metadata: {{name: shop}}
spec:
  dns:
    providers:
      google:
        class: octodns_googlecloud.GoogleCloudProvider
        project: {PROJECT}
        credentials_file: {{secretRef: {{name: cloud-dns, key: key.json}}}}
    zones: [{{name: {ZONE}, provider: google}}]
---
"""


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch) -> Iterator[CloudDns]:
    server = CloudDns(ZONE)
    monkeypatch.setattr(Connection, "API_URL_TEMPLATE", server.url + "/dns/{api_version}{path}")
    yield server
    server.stop()


@pytest.fixture
def world(google: CloudDns) -> World:
    key = google.credentials()

    def read_secret(reference: SecretValue) -> str:
        assert (reference.name, reference.key) == ("cloud-dns", "key.json")
        return key

    options = {"read_secret": read_secret}
    return World(read(FEDERATION, CLUSTERS, WEB), everywhere(), {}, options=options)


def test_create_failover_failback_and_prune(world: World, google: CloudDns) -> None:
    google.sets[(f"www.{ZONE}", "A")] = (300, ["192.0.2.80"])
    before = dict(google.sets)
    world.settle()
    assert google.values(NAME, "A") == sorted(ADDRESSES.values())
    world.down = {"gcp-eu": "no answer"}
    world.settle()
    assert google.values(NAME, "A") == ["35.185.10.3", "52.29.10.1"]
    world.down = {}
    world.settle()
    assert google.values(NAME, "A") == sorted(ADDRESSES.values())
    world.state = read(FEDERATION, CLUSTERS)
    world.settle()
    assert google.sets == before
    # One request a run: a change set is carried out as a whole.
    assert len(google.changes) == 4


def test_records_of_others_are_never_touched(world: World, google: CloudDns) -> None:
    google.sets[(NAME, "A")] = (300, ["192.0.2.66"])
    before = dict(google.sets)
    plan, _ = world.run()
    assert tuple(map(str, plan.notices)) == (
        f"{NAME} A: not written: there is a record (A) that is not ours",
    )
    assert google.sets == before


def test_a_host_name_at_the_apex_is_an_alias(world: World, google: CloudDns) -> None:
    apex = WEB.replace('dns: "true"', 'dns: "@"')
    world.state = read(FEDERATION, CLUSTERS, apex)
    world.seen = {"aws-eu": running(service("web", "lb.example.net"))}
    world.down = {"gcp-eu": "no answer", "gcp-us": "no answer"}
    world.settle()
    assert google.values(ZONE, "ALIAS") == ["lb.example.net."]


def test_a_mark_of_many_clusters_is_longer_than_one_string(world: World, google: CloudDns) -> None:
    clusters, world.seen = many()
    world.state = read(FEDERATION, clusters, CLUSTERS, WEB)
    world.settle()
    [mark] = google.values(f"_owner.a.{NAME}", "TXT")
    assert len(mark) > 255
    assert '" "' in mark


def test_a_refused_change_leaves_the_zone_whole(world: World, google: CloudDns) -> None:
    google.refuse = 403
    before = dict(google.sets)
    plan, outcomes = world.run()
    assert plan.errors == ()
    assert [(o.name, o.status) for o in outcomes] == [(NAME, "failed")]
    assert "may not do that" in outcomes[0].message
    assert google.sets == before
    google.refuse = 0
    world.settle()


def test_a_credential_from_a_secret_is_gone_after_the_run(
    world: World, google: CloudDns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    plan, _ = world.run()
    assert lines(plan) == [f"create {NAME} A - -> {','.join(sorted(ADDRESSES.values()))}"]
    assert list(tmp_path.iterdir()) == []
    assert "PRIVATE KEY" not in repr(plan)
