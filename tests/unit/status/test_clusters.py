"""`reconcile clusters`: how the members are, and how far they are from Git."""

from __future__ import annotations

import json
from typing import Any

import yaml

from .conftest import Fleet

CLUSTER_WITHOUT_ANSWER = """
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: gone}
spec: {provider: onprem, access: {context: nowhere}}
"""


def rows(fleet: Fleet, *arguments: str, code: int = 0) -> dict[str, Any]:
    said = fleet.run("clusters", "-o", "json", *arguments, code=code).stdout
    return {row["name"]: row for row in json.loads(said)["clusters"]}


def test_members_before_and_after_their_first_run(shop_fleet: Fleet) -> None:
    before = rows(shop_fleet)["aws"]
    assert (before["managed"], before["pending"], before["drift"]) == (0, 4, 0)
    assert (before["ready"], before["since"], before["commit"]) == (True, None, "")
    shop_fleet.run("--yes")
    after = rows(shop_fleet)["aws"]
    assert (after["managed"], after["pending"], after["drift"]) == (4, 0, 0)
    assert after["since"] is not None
    assert after["nodes"] == {"ready": 2, "total": 2}
    assert after["version"].startswith("v1.")
    assert (after["provider"], after["region"]) == ("aws", "eu-central-1")


def test_drift_is_what_somebody_did_and_pending_is_what_git_did(shop_fleet: Fleet) -> None:
    shop_fleet.run("--yes")
    shop_fleet.kubectl(
        "aws",
        "-n",
        "shop",
        "patch",
        "configmap",
        "settings",
        "--type=merge",
        "-p",
        '{"data": {"colour": "red"}}',
    )
    shop_fleet.kubectl("aws", "-n", "shop", "delete", "service", "web")
    text = (shop_fleet.repository / "shop.yaml").read_text()
    (shop_fleet.repository / "shop.yaml").write_text(text.replace("web:1.0", "web:2.0"))
    found = rows(shop_fleet)
    assert (found["aws"]["drift"], found["aws"]["pending"]) == (2, 1)
    assert (found["gcp"]["drift"], found["gcp"]["pending"]) == (0, 1)


def test_what_people_added_is_counted_by_field(shop_fleet: Fleet) -> None:
    shop_fleet.run("--yes")
    label = ("label", "configmap", "settings", "team=a", "tier=b")
    shop_fleet.kubectl("aws", "-n", "shop", *label)
    found = rows(shop_fleet)
    assert (found["aws"]["added"], found["aws"]["drift"], found["aws"]["pending"]) == (2, 0, 0)
    assert found["gcp"]["added"] == 0


def test_a_member_that_cannot_be_reached_is_told_and_ends_in_1(shop_fleet: Fleet) -> None:
    with (shop_fleet.repository / "clusters.yaml").open("a") as file:
        file.write(CLUSTER_WITHOUT_ANSWER)
    found = rows(shop_fleet, code=1)
    assert found["aws"]["ready"]
    assert not found["gone"]["ready"]
    assert found["gone"]["managed"] is None
    said = shop_fleet.run("clusters", code=1)
    assert "no context named 'nowhere'" in said.stderr
    shop_fleet.run("clusters", "--cluster", "aws", code=0)


def test_a_member_that_is_not_ready_ends_in_1(shop_fleet: Fleet) -> None:
    shop_fleet.sandbox.cluster("gcp").faults.error(500, path="readyz")
    found = rows(shop_fleet, code=1)
    assert not found["gcp"]["ready"]
    assert found["gcp"]["health"] == "Unhealthy"
    assert found["aws"]["ready"]


def test_the_table_has_a_line_for_each_member(shop_fleet: Fleet) -> None:
    shop_fleet.run("--yes")
    heading, *lines = shop_fleet.run("clusters").stdout.splitlines()
    assert heading.split()[:5] == ["NAME", "PROVIDER", "REGION", "VERSION", "READY"]
    assert [line.split()[0] for line in lines] == ["aws", "gcp"]
    assert [line.split()[4] for line in lines] == ["yes", "yes"]
    wide = shop_fleet.run("clusters", "-o", "wide").stdout
    assert "cloud=aws" in wide


def test_yaml_says_the_same_as_json(shop_fleet: Fleet) -> None:
    shop_fleet.run("--yes")
    one = json.loads(shop_fleet.run("clusters", "-o", "json").stdout)
    assert yaml.safe_load(shop_fleet.run("clusters", "-o", "yaml").stdout) == one


WITNESS = """
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: arbiter}
spec: {role: Witness, access: {context: %s}}
"""


def test_a_witness_is_shown_as_one_and_nothing_is_counted_of_it(shop_fleet: Fleet) -> None:
    assert rows(shop_fleet)["aws"]["role"] == "Member"
    assert "ROLE" not in shop_fleet.run("clusters").stdout
    with (shop_fleet.repository / "clusters.yaml").open("a") as file:
        # The witness answers where another one does: it is only looked at.
        file.write(WITNESS % "aws")
    found = rows(shop_fleet)["arbiter"]
    assert (found["role"], found["phase"], found["ready"]) == ("Witness", None, True)
    assert (found["managed"], found["pending"]) == (None, None)
    said = shop_fleet.run("clusters").stdout
    assert ["arbiter", "Witness"] in [line.split()[:2] for line in said.splitlines()]
    assert "over 2 clusters" in shop_fleet.run("--yes").stdout
    assert "arbiter" not in rows(shop_fleet, "--cluster", "aws")


def test_a_witness_without_an_answer_is_told_and_ends_in_1(shop_fleet: Fleet) -> None:
    with (shop_fleet.repository / "clusters.yaml").open("a") as file:
        file.write(WITNESS % "nowhere")
    assert not rows(shop_fleet, code=1)["arbiter"]["ready"]
