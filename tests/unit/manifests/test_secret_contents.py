"""What Secrets and ConfigMaps may hold, and faults of files that say where and never what."""

from __future__ import annotations

import pytest

from reconciler.api.errors import Problem
from reconciler.api.files import SourceFile
from reconciler.manifests.load import load

HEAD = "apiVersion: v1\nkind: Secret\nmetadata: {name: key, namespace: shop}\n"


def problems(text: str, *, decrypted: bool = False) -> tuple[Problem, ...]:
    file = SourceFile("key.yaml", text.encode(), decrypted=decrypted)
    return load([file]).problems


@pytest.mark.parametrize(
    "text",
    [
        "  p: *Canary\n",
        "  p: &Canary x\n  q: &Canary y\n",
        "  p: !Canary\n",
        "  p: !!Canary x\n",
        "  p: !<Canary> x\n",
        "  p: !e!Canary x\n",
        "  p: @Canary\n",
        "  p: 'Canary\n",
        '  p: "Canary\\q"\n',
        "  p: [Canary\n",
        "  p: Canary: x\n",
        "  p: |Canary\n   x\n",
        "  p: Can\x07ary\n",
        "  p: 1e48151623\n",
        "  p: -.inf\n  q: 48151623\n",
        "  ? {Canary: a}\n  : x\n",
        "  <<: Canary\n",
        "  Canary\n",
        "  p: [Canary, Canary]\n",
        "  p: 48151623\n",
        "  p: {Canary: Canary}\n",
        "  p: true\n  q: 4815.1623\n",
    ],
)
@pytest.mark.parametrize("part", ["stringData", "data"])
def test_no_fault_of_a_file_quotes_it(text: str, part: str) -> None:
    found = problems(f"{HEAD}{part}:\n{text}")
    assert found
    for one in found:
        said = f"{one.message} {one.expected} {one.hint}"
        assert "Canary" not in said
        assert "1623" not in said
        assert one.position.line >= 5 or "\x07" in text


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("stringData:\n  pin: 48151623\n", (5, 8), "the value is a whole number"),
        ("stringData:\n  pin: 1.5\n", (5, 8), "the value is a number"),
        ("stringData:\n  pin: yes\n", (5, 8), "the value is a boolean"),
        ("stringData:\n  pin:\n", (5, 7), "the value is nothing"),
        ("stringData:\n  pin: {a: b}\n", (5, 8), "the value is a map"),
        ("stringData: [a]\n", (4, 13), "stringData is a list"),
        ("data:\n  pin: 48151623\n", (5, 8), "the value is a whole number"),
        ("data:\n  pin: pass word\n", (5, 8), "the value is not base64"),
        ("data:\n  pin: YQ\n", (5, 8), "the value is not base64"),
        ("immutable: 'true'\n", (4, 12), "immutable is text"),
        ("type: 5\n", (4, 7), "type is a whole number"),
    ],
)
def test_what_no_server_takes_is_a_problem_with_its_place(
    text: str, place: tuple[int, int], message: str
) -> None:
    (found,) = problems(HEAD + text)
    assert (found.position.line, found.position.column) == place
    assert found.message == message


@pytest.mark.parametrize(
    "text",
    [
        "stringData: {pin: '48151623', empty: ''}\n",
        "data: {pin: NDgxNTE2MjM=, empty: ''}\n",
        "data:\n  folded: |\n    NDgx\n    NTE2MjM=\n",
        "data:\nstringData: null\n",
        "type: Opaque\nimmutable: true\n",
        "data: {name: 'prefix-${cluster.name}'}\n",
    ],
)
def test_what_servers_take_is_none(text: str) -> None:
    assert problems(HEAD + text) == ()


def test_a_list_and_a_template_of_kubefed_are_looked_into() -> None:
    inner = "{apiVersion: v1, kind: Secret, metadata: {name: a}, stringData: {pin: 48151623}}"
    (found,) = problems(f"apiVersion: v1\nkind: List\nitems:\n  - {inner}\n")
    assert (found.position.line, found.path) == (4, "$.stringData.pin")
    text = "apiVersion: types.kubefed.io/v1beta1\nkind: Federated{}\n"
    text += "metadata: {{name: a, namespace: b}}\nspec:\n  template: {{data: {{pin: 48151623}}}}\n"
    for kind in ("Secret", "ConfigMap"):
        (found,) = problems(text.format(kind))
        assert (found.position.line, found.path) == (5, "$.spec.template.data.pin")


def test_a_config_map_holds_text_and_base64() -> None:
    head = HEAD.replace("Secret", "ConfigMap")
    (found,) = problems(head + "data: {port: 8080}\n")
    assert (found.path, found.message) == ("$.data.port", "8080 is a whole number")
    (found,) = problems(head + "binaryData: {logo: no base64}\n")
    assert (found.path, found.hint) == ("$.binaryData.logo", "plain text belongs into data")


def test_of_what_was_encrypted_no_value_is_quoted() -> None:
    plain = "apiVersion: v1\nkind: Service\nmetadata: {name: a, labels: {pin: 48151623}}\n"
    assert "48151623" in str(problems(plain)[0])
    assert "48151623" not in str(problems(plain, decrypted=True)[0])
    placement = "apiVersion: federation.reconciler.dev/v1alpha1\nkind: Placement\n"
    placement += "metadata: {name: a}\nspec: {priority: 4815x1623}\n"
    assert "4815x1623" in str(problems(placement)[0])
    assert "4815x1623" not in str(problems(placement, decrypted=True)[0])
