"""What is wrong with the way to one member costs that member, and tells where it stands."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
import yaml

from reconciler.api.errors import BadInput
from reconciler.api.options import RunOptions
from reconciler.cluster.connect import Connector
from reconciler.run.repository import validate_repository
from tests.scenarios.conftest import World
from tests.scenarios.manifests import SHOP

KUBEFED = """
apiVersion: core.kubefed.io/v1beta1
kind: KubeFedCluster
metadata: {{name: old, namespace: kube-federation-system}}
spec:
  apiEndpoint: "https://10.0.0.1:6443"
  caBundle: {ca}
  secretRef: {{name: old}}
status: {status}
"""
PEM = base64.b64encode(b"-----BEGIN CERTIFICATE-----\nx\n").decode()


def problems(plan: Any) -> dict[str, str]:
    return {cluster.name: cluster.problem for cluster in plan.clusters}


@pytest.mark.parametrize(
    ("ca", "status", "said", "line"),
    [
        ("'%%%'", "{}", "the caBundle is no base64", 7),
        (base64.b64encode(b"\x30\x82\x01").decode(), "{}", "is a DER certificate", 7),
        (base64.b64encode(b"nothing").decode(), "{}", "holds no certificate", 7),
        (PEM, "lost", "the status is no map", 9),
        (PEM, "[]", "the status is no map", 9),
        (PEM, "{region: 5}", "the region is no text", 9),
        (PEM, "{zones: {a: b}}", "the zones are no list", 9),
        (PEM, "{zones: a}", "the zones are no list", 9),
        (PEM, "{zones: [null]}", "the zones are no list", 9),
    ],
)
def test_a_fault_in_a_kubefed_cluster_is_that_members(
    simulated_world: World, ca: str, status: str, said: str, line: int
) -> None:
    world = simulated_world
    world.write("shop.yaml", SHOP)
    world.write("old.yaml", KUBEFED.format(ca=ca, status=status))
    result = world.apply()
    assert {outcome.status for outcome in result.outcomes} == {"done"}
    assert said in problems(result.plan)["old"]
    assert f"old.yaml:{line}" in problems(result.plan)["old"]
    assert not problems(result.plan)["aws"]
    options = RunOptions(repo=str(world.repository))
    with pytest.raises(BadInput) as caught:
        validate_repository(options)
    (problem,) = caught.value.problems
    assert (problem.position.file, problem.position.line) == ("old.yaml", line)
    assert any(said in w for w in validate_repository(options, members=False).warnings)


def test_nothing_is_wrong_with_a_status_of_kubefeds(simulated_world: World) -> None:
    simulated_world.write(
        "old.yaml", KUBEFED.format(ca=PEM, status="{region: eu, zones: [eu-a, eu-b]}")
    )
    validate_repository(RunOptions(repo=str(simulated_world.repository)))


def change(world: World, section: str, entry: object) -> None:
    """The kubeconfig with another entry for what the context aws uses."""
    document = yaml.safe_load(world.kubeconfig.read_text())
    key = section.removesuffix("s")
    context = next(c for c in document["contexts"] if c["name"] == "aws")
    name = "aws" if section == "contexts" else context["context"][key]
    others = [one for one in document[section] if one["name"] != name]
    document[section] = [*others, {"name": name, key: entry}]
    path = world.repository.parent / "odd"
    path.write_text(yaml.safe_dump(document))
    world.options["kubeconfig"] = str(path)


PLUGIN = {"apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never"}


@pytest.mark.parametrize(
    ("section", "entry", "said"),
    [
        ("contexts", None, "it has no cluster"),
        ("contexts", {"cluster": ["a"]}, "cluster is no text"),
        ("contexts", {"cluster": "nowhere", "user": "nobody"}, "no cluster named 'nowhere'"),
        ("contexts", "aws", "not a map"),
        ("clusters", None, "it has no server"),
        ("clusters", {"server": None}, "it has no server"),
        ("clusters", {"server": 5}, "server is no text"),
        ("clusters", {"server": "10.0.0.1"}, "no https:// address"),
        ("clusters", {"server": "https://x", "certificate-authority-data": 5}, "is no text"),
        (
            "clusters",
            {"server": "https://x", "certificate-authority": "/nowhere"},
            "cannot be used",
        ),
        ("clusters", {"server": "https://x", "insecure-skip-tls-verify": "yes"}, "true or false"),
        ("users", {"token": 5}, "token is no text"),
        ("users", {"tokenFile": "/nowhere"}, "tokenFile /nowhere cannot be read"),
        ("users", {"token": "two\nlines"}, "a line break"),
        ("users", {"token": "caf\u00e9"}, "not plain ASCII"),
        ("users", {"client-certificate-data": "QQ=="}, "without client-key"),
        ("users", {"client-key-data": "QQ=="}, "without client-certificate"),
        ("users", {"exec": "aws"}, "exec is no map"),
        ("users", {"exec": {**PLUGIN, "command": "/nowhere"}}, "plugin"),
        ("users", {"exec": {**PLUGIN, "command": "echo", "args": ["c4nary"]}}, "plugin"),
        ("users", {"exec": {**PLUGIN, "command": "echo", "args": ["[]"]}}, "plugin"),
        ("users", {"exec": {**PLUGIN, "command": "echo", "args": ['{"status": 5}']}}, "plugin"),
        ("users", {"exec": {**PLUGIN, "command": "true"}}, "plugin"),
        ("users", {"exec": {}}, "plugin"),
    ],
)
def test_an_odd_kubeconfig_costs_the_member_that_uses_it(
    simulated_world: World,
    section: str,
    entry: object,
    said: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    world = simulated_world
    world.write("shop.yaml", SHOP)
    change(world, section, entry)
    result = world.apply()
    assert said in problems(result.plan)["aws"]
    assert {(o.cluster, o.status) for o in result.outcomes} == {("gcp", "done")}
    assert "c4nary" not in str(result.plan)
    assert "ERROR" not in capfd.readouterr().err


@pytest.mark.parametrize("text", ["contexts: {", "- a", "contexts: {a: b}", "\x00"])
def test_a_file_that_is_no_kubeconfig_costs_those_that_need_it(
    simulated_world: World, tmp_path: Path, text: str
) -> None:
    (tmp_path / "none").write_text(text)
    simulated_world.options["kubeconfig"] = str(tmp_path / "none")
    plan = simulated_world.plan()
    found = problems(plan)
    assert found
    assert all("not a kubeconfig" in problem for problem in found.values())


def test_an_unusable_authority_says_nothing_of_the_cluster(tmp_path: Path) -> None:
    """Or a broken caBundle would count as an outage."""
    from reconciler.cluster.curl import Exchange, HttpRequest, Limits, NoAnswer

    document = {
        "clusters": [
            {
                "name": "c",
                "cluster": {
                    "server": "https://127.0.0.1:1",
                    "certificate-authority-data": base64.b64encode(b"nonsense").decode(),
                },
            }
        ],
        "contexts": [{"name": "c", "context": {"cluster": "c"}}],
    }
    (tmp_path / "config").write_text(yaml.safe_dump(document))
    connector = Connector.from_file(str(tmp_path / "config"), "x")
    endpoint = connector.kubeconfig.endpoint("c", "c")
    with pytest.raises(NoAnswer) as caught:
        Exchange("c", endpoint).send(HttpRequest("GET", "/", None, {}, Limits(1, 1, 1)))
    assert caught.value.cause in ("certificate", "refused")
