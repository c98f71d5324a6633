"""No value of a Secret, nor of anything else that is sensitive, in whatever a run puts out.

Canaries of every form go through every output, in plans and runs that succeed, are refused by the
server, by a webhook or a policy, or end before there is a plan.
"""

from __future__ import annotations

import base64
import json
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubesim.fleet import Sandbox
from kubesim.server import ClusterSettings
from tests.command import run_command, user_environment
from tests.scenarios.conftest import FEDERATION, NAMES, World
from tests.scenarios.manifests import NAMESPACE
from tests.unit.git.repositories import git

SYSTEM = "federation-system"
CANARIES = {
    "plain": "c4nary-passw0rd",
    "quotes": "c4nary\"with'quotes",
    "lines": "c4nary-one\nc4nary-two\n\ttabbed",
    "backslash": "c4nary\\n\\x41",
    "unicode": "¶çänåry☃",
    "short": "¶§",
    "long": "c4nary" + "0123456789" * 3000,
    "yaml": "c4nary: {a: 1}",
    "markup": "<b>c4nary</b>|`c4nary`",
    "like-a-path": ".data.c4nary:",
    "like-a-field": "spec.c4nary[0]",
}


META = {"name": "key", "namespace": "shop", "finalizers": ["c4nary c4nary"]}


def secret(name: str = "key", *, kind: str = "Opaque", **more: object) -> str:
    """Every canary in one Secret; ``more`` is added or put in its place."""
    values = {"stringData": CANARIES, **more}
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "shop"}}
    return json.dumps({**body, "type": kind, **values}, ensure_ascii=False)


def other(text: str) -> str:
    """The same with other values."""
    return text.replace("c4nary", "kanari3").replace("¶", "¤")


def forms(value: str) -> set[str]:
    """How a value could be written: as it is, escaped, encoded, and in parts."""
    whole = {
        value,
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        repr(value)[1:-1],
        base64.b64encode(value.encode()).decode().rstrip("="),
    }
    return {form[:200] for form in whole} | {"c4nary", "kanari3", "¶", "¤", "YzRuYXJ5", "a2FuYXJpM"}


def no_canary_in(text: str) -> None:
    for value in CANARIES.values():
        for form in {*forms(value), *forms(other(value))}:
            at = text.find(form)
            assert at < 0, f"{form[:60]!r} in ...{text[max(0, at - 300) : at + 100]}..."


def command(world: World, *arguments: str) -> str:
    environment = user_environment(world.repository.parent, KUBECONFIG=str(world.kubeconfig))
    done = run_command(*arguments, cwd=world.repository, env=environment)
    assert "Traceback" not in done.stderr, done.stderr[-3000:]
    assert "a defect" not in done.stderr, done.stderr[-3000:]
    return f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"


def outputs(world: World) -> str:
    """All that plans, a run, and whoever looks afterwards put out."""
    folder = world.repository.parent / "out"
    folder.mkdir(exist_ok=True)
    if not (world.repository / ".git").exists():
        git(world.repository, "init", "-q", "-b", "main")
    git(world.repository, "add", "-A")
    git(world.repository, "commit", "-q", "--allow-empty", "-m", "change")
    system = folder.with_name("system.yaml")
    system.write_text(NAMESPACE.replace("shop", SYSTEM))
    world.kubectl("apply", "--server-side", "-f", str(system))
    reports = [f"--report={folder / f'report.{end}'}" for end in ("json", "md", "html", "txt")]
    reports.append(f"--metrics-file={folder / 'run.prom'}")
    host = ("--host-context", "aws", "--state", "configmap")
    told = [command(world, "validate")]
    told.append(command(world, "--plan", "-v", *reports, f"--out={folder / 'plan.json'}"))
    told += [file.read_text() for file in sorted(folder.iterdir())]
    run = ("--yes", "-v", "--debug", "--events", "members", *reports, *host)
    told.append(command(world, *run, "--log-format", "json", "-o", "markdown"))
    told += [file.read_text() for file in sorted(folder.iterdir())]
    told.append(command(world, "status", *host))
    told.append(world.kubectl("get", "events", "-A", "-o", "json"))
    told.append(world.kubectl("get", "cm,leases", "-n", SYSTEM, "-o", "json"))
    return "\n".join(told)


@pytest.fixture
def shop(world: World) -> World:
    world.write("shop.yaml", NAMESPACE)
    return world


def test_no_value_is_in_any_output(shop: World) -> None:
    shop.write("secret.yaml", secret())
    told = outputs(shop)
    assert "data.short" in told
    no_canary_in(told)
    assert len(shop.get("secret", "key")["data"]) == len(CANARIES)
    shop.write("secret.yaml", other(secret()))
    told = outputs(shop)
    assert "*** (before) -> *** (after)" in told
    no_canary_in(told)
    drift = json.dumps({"stringData": CANARIES})
    shop.kubectl("patch", "secret", "key", "-n", "shop", "--patch", drift)
    no_canary_in(outputs(shop))
    shop.remove("secret.yaml")
    told = outputs(shop)
    assert "Secret shop/key" in told
    no_canary_in(told)


def test_what_kubectl_wrote_beside_the_values_is_in_no_output(shop: World) -> None:
    shop.write("secret.yaml", other(secret()))
    assert shop.apply().ok
    shop.remove("secret.yaml")
    assert shop.apply().ok
    manifest = shop.repository.parent / "by-hand.json"
    manifest.write_text(secret())
    shop.kubectl("apply", "-f", str(manifest))
    shop.write("secret.yaml", other(secret()))
    told = outputs(shop)
    assert "adopted" in told
    no_canary_in(told)


REFUSED = {
    "a type without its keys": (
        secret(kind="kubernetes.io/tls"),
        "data[tls.crt] is required, data[tls.key] is required",
    ),
    "a value that is no JSON": (
        secret(
            kind="kubernetes.io/dockerconfigjson",
            stringData={".dockerconfigjson": "c4nary{", **CANARIES},
        ),
        "data[.dockerconfigjson] is not valid",
    ),
    "too large": (
        secret(stringData={"a": "c4nary" * 200_000, **CANARIES}),
        "data is too long",
    ),
    "a key that is none": (
        secret(stringData={"not/a key": "c4nary", **CANARIES}),
        "data.not/a key is not valid",
    ),
    "a field that is not known": (
        secret(unknown={"pin": 48151623, "password": "c4nary"}),
        "a field is unknown or has the wrong type",
    ),
    "a finalizer that is none": (secret(metadata=META), "metadata.finalizers"),
}
"""What validate lets through, what servers say of it, and what of that is told."""


@pytest.mark.integration
@pytest.mark.parametrize("case", REFUSED)
def test_what_refuses_a_secret_is_not_quoted(
    repository: Path, real_kubeconfig: Path, case: str
) -> None:
    text, words = REFUSED[case]
    world = World(repository, real_kubeconfig)
    world.write("shop.yaml", NAMESPACE)
    assert world.apply().ok
    world.write("secret.yaml", text)
    told = outputs(world)
    no_canary_in(told)
    assert "48151623" not in told
    assert words in told


def test_an_immutable_secret_that_changes_is_not_quoted(shop: World) -> None:
    shop.write("secret.yaml", secret(immutable=True))
    assert shop.apply().ok
    shop.write("secret.yaml", other(secret(immutable=True)))
    told = outputs(shop)
    no_canary_in(told)
    assert "needs recreate: data cannot be changed" in told
    # Where it may be recreated, the second refusal quotes, too.
    body = json.loads(other(secret(immutable=True, kind="kubernetes.io/tls")))
    body["metadata"]["annotations"] = {"federation.reconciler.dev/recreate": "true"}
    shop.write("secret.yaml", json.dumps(body, ensure_ascii=False))
    no_canary_in(outputs(shop))


@pytest.fixture
def servers_of(repository: Path) -> Iterator[tuple[World, Sandbox]]:
    with Sandbox(list(NAMES), settings=ClusterSettings(nodes=1)) as sandbox:
        world = World(repository, sandbox.kubeconfig)
        world.write("shop.yaml", NAMESPACE)
        assert world.apply().ok
        yield world, sandbox


@pytest.mark.parametrize("code", [400, 403, 422, 500])
def test_a_webhook_that_quotes_a_value_is_not_repeated(
    servers_of: tuple[World, Sandbox], code: int
) -> None:
    world, servers = servers_of
    world.write("secret.yaml", secret())
    faults = servers.cluster("aws").faults
    for value in CANARIES.values():
        encoded = base64.b64encode(value.encode())
        words = f"no {value!r}, no {json.dumps(value)}, no {value}, no {encoded!r}"
        faults.clear()
        faults.deny(words, code=code, path="/namespaces/shop/secrets/")
        (change,) = world.changes()
        assert f"refused with HTTP {code}: the webhook policy.example.com denied" in change.error
        no_canary_in(str(change))
    no_canary_in(outputs(world))


def test_the_second_refusal_of_a_recreation_is_not_quoted(
    servers_of: tuple[World, Sandbox],
) -> None:
    world, servers = servers_of
    mark = {"federation.reconciler.dev/recreate": "true"}
    metadata = {"name": "key", "namespace": "shop", "annotations": mark}
    world.write("secret.yaml", secret(immutable=True, metadata=metadata))
    assert world.apply().ok
    world.write("secret.yaml", other(secret(immutable=True, metadata=metadata)))
    for name in NAMES:
        servers.cluster(name).faults.deny("no c4nary, no kanari3", path="/secrets/k-")
    told = outputs(world)
    assert "the new one would be refused too: refused with HTTP 403: the webhook" in told
    no_canary_in(told)


def test_a_webhook_that_refuses_the_write_alone_or_the_prune_is_not_repeated(
    servers_of: tuple[World, Sandbox],
) -> None:
    world, servers = servers_of
    faults = servers.cluster("aws").faults
    world.write("secret.yaml", secret())
    refusal = faults.error(403, message="no c4nary", path="/shop/secrets/", writes_only=True)
    no_canary_in(outputs(world))
    faults.remove(refusal)
    assert world.apply().ok
    world.remove("secret.yaml")
    faults.error(403, message="no c4nary", method="DELETE", path="/shop/secrets/")
    told = outputs(world)
    no_canary_in(told)
    assert "refused with HTTP 403" in told


def test_a_webhook_that_quotes_our_own_inventory_is_not_repeated(
    servers_of: tuple[World, Sandbox],
) -> None:
    world, servers = servers_of
    for name in NAMES:
        path = f"/namespaces/{SYSTEM}/secrets"
        servers.cluster(name).faults.error(403, message="no c4nary", path=path, writes_only=True)
    world.write("secret.yaml", secret())
    told = outputs(world)
    assert "the inventory could not be written: refused with HTTP 403" in told
    no_canary_in(told)


POLICY = """
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: quoting}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
      - {apiGroups: [""], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [RESOURCE]}
  matchConditions:
    - {name: ours, expression: "object.metadata.name == 'key'"}
  validations:
    - expression: "false"
      messageExpression: "'no ' + VALUE"
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: quoting}
spec: {policyName: quoting, validationActions: [Deny]}
"""


def forbid(world: World, resource: str, value: str) -> None:
    """A policy that quotes what it refuses; in force when this returns."""
    policy = world.repository.parent / "policy.yaml"
    policy.write_text(POLICY.replace("RESOURCE", resource).replace("VALUE", value))
    probe = world.repository.parent / "probe.json"
    body = {"apiVersion": "v1", "metadata": {"name": "key", "namespace": "default"}}
    body |= {"kind": "Secret" if resource == "secrets" else "ConfigMap"}
    probe.write_text(json.dumps(body | {"data": {"plain": "eDE="}}))
    for name in NAMES:
        world.kubectl("apply", "-f", str(policy), cluster=name)
        for _ in range(100):
            asked = ("apply", "--server-side", "--dry-run=server", "-f", str(probe))
            if "denied request" in world.kubectl(*asked, cluster=name, check=False):
                break
            time.sleep(0.1)
        else:
            raise AssertionError("the policy is not in force")


@pytest.mark.integration
def test_a_policy_that_quotes_a_value_is_not_repeated(
    repository: Path, real_kubeconfig: Path
) -> None:
    world = World(repository, real_kubeconfig)
    world.write("shop.yaml", NAMESPACE)
    world.write("secret.yaml", secret())
    forbid(world, "secrets", "string(object.data.plain)")
    told = outputs(world)
    assert "the ValidatingAdmissionPolicy quoting denied it" in told
    no_canary_in(told)


FAULTS = {
    "a number": ("stringData:\n  pin: 48151623", "secret.yaml:6:8"),
    "a number in data": ("data:\n  pin: 48151623", "secret.yaml:6:8"),
    "a map": ("stringData:\n  conf: {pass: c4nary}", "secret.yaml:6:9"),
    "a list": ("stringData:\n  conf:\n    - c4nary", "secret.yaml:7:5"),
    "a date": ("stringData:\n  day: 2026-11-28\n  time: 4815.1623", "secret.yaml:7:9"),
    "no base64": ("data:\n  password: c4nary", "secret.yaml:6:13"),
    "no map": ("stringData: c4nary", "secret.yaml:5:13"),
    "a tag": ("stringData:\n  password: !c4nary", "secret.yaml:6:13"),
    "an alias": ("stringData:\n  password: *c4nary", "secret.yaml:6:13"),
    "an anchor": ("stringData:\n  a: &c4nary x\n  b: &c4nary y", "secret.yaml:7:6"),
    "no YAML": ("stringData:\n  password: c4nary: c4nary", "secret.yaml:6:19"),
    "no end": ('stringData:\n  password: "c4nary', "secret.yaml:7:1"),
    "a type": ("type: 48151623", "secret.yaml:5:7"),
    "an annotation": ("  annotations: {pin: 48151623}", "secret.yaml:5:22"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_a_fault_in_a_secret_has_its_place_and_not_its_value(
    simulated_world: World, case: str
) -> None:
    text, place = FAULTS[case]
    head = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: key\n"
    simulated_world.write("secret.yaml", head + text + "\n")
    for arguments in (("validate",), ("validate", "-o", "json"), ("--plan", "--debug", "-v")):
        told = command(simulated_world, *arguments)
        assert told.startswith("exit 1")
        assert place in told or '"line"' in told
        for canary in ("48151623", "1623", "c4nary", "2026-11-28"):
            assert canary not in told.replace("2026-11-28T", "")


SENSITIVE = FEDERATION + (
    "  sensitive:\n    - {kind: ConfigMap, fields: [/data]}\n    - kind: Deployment.apps\n"
)


@pytest.mark.integration
def test_a_policy_that_quotes_another_sensitive_kind_is_not_repeated(
    repository: Path, real_kubeconfig: Path
) -> None:
    world = World(repository, real_kubeconfig)
    world.write("federation.yaml", SENSITIVE)
    world.write("shop.yaml", NAMESPACE)
    world.write("settings.yaml", config_map())
    forbid(world, "configmaps", "object.data.plain")
    told = outputs(world)
    assert "the ValidatingAdmissionPolicy quoting denied it" in told
    no_canary_in(told)


def config_map(**metadata: object) -> str:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "data": CANARIES}
    metadata = {"name": "key", "namespace": "shop", **metadata}
    return json.dumps({**body, "metadata": metadata}, ensure_ascii=False)


def test_other_kinds_are_hidden_where_the_federation_says_so(shop: World) -> None:
    shop.write("federation.yaml", SENSITIVE)
    shop.write("settings.yaml", config_map(labels={"app": "visible"}))
    told = outputs(shop)
    assert "data.plain" in told
    assert "visible" in told
    no_canary_in(told)
    shop.write("settings.yaml", other(config_map()))
    told = outputs(shop)
    assert "*** (before) -> *** (after)" in told
    no_canary_in(told)
    shop.remove("settings.yaml")
    no_canary_in(outputs(shop))


def test_an_object_that_says_so_itself_is_hidden_as_a_whole(shop: World) -> None:
    mark = {"federation.reconciler.dev/sensitive": "true"}
    labels = {"app": "c4nary"}
    shop.write("settings.yaml", config_map(annotations=mark, labels=labels))
    no_canary_in(outputs(shop))
    # What it was stays hidden where Git no longer says so.
    shop.write("settings.yaml", config_map().replace("c4nary", "public").replace("¶", "public"))
    told = outputs(shop)
    assert "ConfigMap shop/key" in told
    no_canary_in(told)


def test_a_federated_secret_and_its_overrides_are_not_quoted(simulated_world: World) -> None:
    federated = textwrap.dedent("""
    apiVersion: types.kubefed.io/v1beta1
    kind: FederatedSecret
    metadata: {name: key, namespace: shop}
    spec:
      template:
        stringData: {password: PASSWORD}
      placement: {clusterSelector: {}}
      overrides:
        - clusterName: gcp
          clusterOverrides:
            - {op: OP, path: /stringData/password, value: VALUE}
    """)

    def told(password: str, op: str, value: str) -> str:
        text = federated.replace("PASSWORD", password).replace("OP", op).replace("VALUE", value)
        simulated_world.write("secret.yaml", text)
        return command(simulated_world, "validate")

    assert told("fine", "replace", "fine").startswith("exit 0")
    for found, place in (
        (told("48151623", "replace", "fine"), "secret.yaml:7:28"),
        (told("{c4nary: c4nary}", "replace", "fine"), "secret.yaml:7:28"),
        (told("fine", "replace", "48151623"), "secret.yaml:12:11"),
        (told("fine", "replace", "{a: c4nary}"), "secret.yaml:12:11"),
        (told("fine", "c4nary", "c4nary"), "secret.yaml:12:16"),
    ):
        assert found.startswith("exit 1")
        assert place in found, found
        assert "48151623" not in found
        assert found.count("c4nary") == found.count('unknown value "c4nary"')


def test_a_placement_that_spoils_a_secret_is_told_with_its_line(simulated_world: World) -> None:
    placement = textwrap.dedent("""
    apiVersion: federation.reconciler.dev/v1alpha1
    kind: Placement
    metadata: {name: key}
    spec:
      select: [{kind: Secret}]
      overrides:
        - clusters: [gcp]
          patch:
            - {op: add, path: /data, value: {pin: 48151623, other: c4nary}}
            - {op: add, path: /stringData/x, value: [c4nary]}
    """)
    simulated_world.write("placement.yaml", placement)
    simulated_world.write("secret.yaml", secret(stringData={"a": "b"}))
    told = command(simulated_world, "validate")
    assert "placement.yaml:10:11: /data/pin of Secret shop/key in gcp" in told
    assert "placement.yaml:10:11: /data/other of Secret shop/key in gcp" in told
    assert "placement.yaml:11:11: /stringData/x of Secret shop/key in gcp" in told
    assert "48151623" not in told
    assert "c4nary" not in told


def test_words_that_are_also_values_stay_readable(servers_of: tuple[World, Sandbox]) -> None:
    world, servers = servers_of
    words = {"a": "data", "b": "Secret", "c": "refused", "d": "HTTP", "e": "shop", "f": "e"}
    world.write("secret.yaml", secret(stringData=words))
    servers.cluster("aws").faults.deny("no", path="/namespaces/shop/secrets/")
    (change,) = world.changes()
    assert change.error.startswith(
        "refused with HTTP 403: the webhook policy.example.com denied it (the server's own words"
    )
