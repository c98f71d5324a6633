"""Reading manifests: kubectl's scalars, positions, hostile files; never a traceback."""

from __future__ import annotations

import tempfile
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any
from zlib import crc32

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.api.errors import Position
from reconciler.api.files import SourceFile
from reconciler.api.manifest import Manifest
from reconciler.git.work_tree import blob_id
from reconciler.manifests.cache import ParseCache
from reconciler.manifests.document import Document
from reconciler.manifests.load import load
from reconciler.manifests.yaml_scalars import NotJson, resolve_plain
from tests.strategies import FILE_CONTENTS, MANIFESTS_OF_ODD_FIELDS

CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"


def problems(content: str | bytes, path: str = "a.yaml") -> list[str]:
    data = content.encode() if isinstance(content, str) else content
    return [str(problem) for problem in load([SourceFile(path, data)]).problems]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *[(word, True) for word in ("y", "yes", "On", "TRUE")],
        *[(word, False) for word in ("n", "No", "off", "False")],
        *[(word, None) for word in ("", "~", "null", "NULL")],
        ("010", 8), ("0o10", 8), ("0x1F", 31), ("0b11", 3), ("1_000", 1000), ("-0x1f", -31),
        ("+1", 1), ("1e3", 1000), (".5", 0.5), ("5.", 5), ("1.25", 1.25), ("089", 89),
        ("1:30", "1:30"), ("2026-01-01", "2026-01-01"), ("1.2.3", "1.2.3"), ("1Gi", "1Gi"),
        ("yEs", "yEs"), ("=", "="),
    ],
)  # fmt: skip
def test_plain_scalars_are_read_as_kubectl_reads_them(text: str, value: object) -> None:
    found = resolve_plain(text)
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize("text", [".inf", "-.Inf", ".nan", "1e999"])
def test_numbers_that_json_does_not_have_are_refused(text: str) -> None:
    with pytest.raises(NotJson):
        resolve_plain(text)


BROKEN = {
    "duplicate key": (CONFIG + "data: {a: b, a: c}\n", "a.yaml:4:14: the key 'a' is there twice"),
    "tag": (CONFIG + "data: !!python/object:os.system {}\n", "is not allowed"),
    "not UTF-8": (b"a: \xff\xfe\n", "a.yaml:1:4: not UTF-8"),
    "UTF-16": ("a: b".encode("utf-16"), "save the file as UTF-8"),
    "tab": ("a:\n\t- b\n", "never with tabs"),
    "template": ("a: {{ .Values.x }}\n", "render it first"),
    "no map": ("- a\n- b\n", "the document is not a map"),
    "no kind": ("apiVersion: v1\nmetadata: {name: a}\n", "kind is missing"),
    "no name": ("apiVersion: v1\nkind: ConfigMap\nmetadata: {}\n", "metadata.name is missing"),
    "generated name": (
        "apiVersion: v1\nkind: Job\nmetadata: {generateName: a-}\n",
        "give it a name",
    ),
    "bad name": ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: A_b}\n", "such as 'a-b'"),
    "a dot in a Service's name": (
        "apiVersion: v1\nkind: Service\nmetadata: {name: a.b}\n",
        "at most 63 lower case letters, digits and '-', with no '-' at either end (such as 'a-b')",
    ),
    "a long name": (CONFIG.replace("name: a", "name: " + 300 * "a"), "expected at most 253"),
    "a long key": (CONFIG.replace("a}", "a, labels: {%s: b}}" % (64 * "k")), "at most 63"),
    "number as name": ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: 12}\n", 'quote it: "12"'),
    "number as label": (
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, labels: {v: 1}}\n",
        'quote it: "1"',
    ),
    "boolean key": (CONFIG + "data: {on: x}\n", 'quote it: "on"'),
    "deep": ("a: " + "[" * 5000, "nested too deeply"),
    "deep list": ("- " * 5000 + "a\n", "nested too deeply"),
    "twice": (CONFIG + "---\n" + CONFIG, "ConfigMap a is defined twice"),
    "infinity": (CONFIG + "x: .inf\n", "finite number"),
    "NUL": (CONFIG + "data: {a: \x00}\n", "not valid YAML"),
    "unclosed": (CONFIG + "data: {a: b\n", "not valid YAML"),
    "wrong group": (
        "apiVersion: federation.reconciler.dev/v1\nkind: Cluster\nmetadata: {name: a}\n",
        "expected federation.reconciler.dev/v1alpha1",
    ),
    "wrong kind": (
        "apiVersion: federation.reconciler.dev/v1alpha1\nkind: Placment\nmetadata: {name: a}\n",
        "did you mean Placement?",
    ),
    "other letters": (
        "apiVersion: v1\nKind: ConfigMap\nmetadata: {name: a}\n",
        "a.yaml:2:1: $.Kind: kind is missing; expected such as Deployment (it is there as Kind)",
    ),
    "metadata in other letters": (
        "apiVersion: v1\nkind: ConfigMap\nMetadata: {name: a}\n",
        "it is there as Metadata",
    ),
    "no-break spaces": (
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n\xa0\xa0name: a\n",
        "never with no-break spaces",
    ),
    "boolean as name": (
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: n}\n",
        'n is a boolean in YAML 1.1; expected text (quote it: "n")',
    ),
    "a kind of another group": (
        "apiVersion: v1\nkind: Deployment\nmetadata: {name: a}\n",
        "Deployment does not belong to v1; expected apps/v1",
    ),
    "nearly a kind": (CONFIG.replace("ConfigMap", "ConfgMap"), "did you mean ConfigMap?"),
    "unknown key": (
        "apiVersion: federation.reconciler.dev/v1alpha1\nkind: Cluster\n"
        "metadata: {name: a}\nspec: {regoin: x}\n",
        "a.yaml:4:8: $.spec.regoin: unknown key 'regoin'",
    ),
    "unknown value": (
        "apiVersion: federation.reconciler.dev/v1alpha1\nkind: Federation\n"
        "metadata: {name: a}\nspec: {prune: {propagation: background}}\n",
        "did you mean Background?",
    ),
    "wrong type": (
        "apiVersion: federation.reconciler.dev/v1alpha1\nkind: Cluster\n"
        "metadata: {name: a}\nspec: {weight: heavy}\n",
        "expected a whole number",
    ),
    "no value": (
        "apiVersion: federation.reconciler.dev/v1alpha1\nkind: Placement\n"
        "metadata: {name: a}\nspec:\n  select:\n",
        "a.yaml:5:10: $.spec.select: there is no value; expected a list",
    ),
    "share": (
        "apiVersion: federation.reconciler.dev/v1alpha1\nkind: Federation\n"
        "metadata: {name: a}\nspec: {guards: {maxDeletionShare: 0.3}}\n",
        "expected text",
    ),
}


@pytest.mark.parametrize(("content", "said"), BROKEN.values(), ids=BROKEN.keys())
def test_what_is_wrong_is_said_with_its_place(content: str | bytes, said: str) -> None:
    found = problems(content)
    assert any(said in text for text in found), found
    assert all(text.startswith("a.yaml:") for text in found)


def test_anchors_that_explode_are_refused_quickly() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert any("unfolds into more than" in text for text in problems("\n".join(lines)))


def test_faults_of_all_files_are_told_at_once() -> None:
    files = [SourceFile(f"{n}.yaml", b"a: b\n") for n in range(3)]
    assert {p.position.file for p in load(files).problems} == {"0.yaml", "1.yaml", "2.yaml"}


def test_lists_unfold_and_keep_their_positions() -> None:
    text = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: ConfigMap\n"
    text += "  metadata: {name: a}\n- apiVersion: v1\n  kind: ConfigMap\n  metadata: {name: b}\n"
    documents = load([SourceFile("l.yaml", text.encode())]).documents
    assert [(d.body["metadata"]["name"], d.line) for d in documents] == [("a", 4), ("b", 7)]
    assert str(documents[1].position("metadata", "name")) == "l.yaml:9:20"


def test_an_export_from_a_live_cluster_is_stripped() -> None:
    text = CONFIG.replace(
        "name: a", "name: a, uid: x, resourceVersion: '1', creationTimestamp: null"
    )
    (document,) = load([SourceFile("a.yaml", text.encode())]).documents
    assert document.body["metadata"] == {"name": "a"}


def test_the_cache_gives_what_parsing_gave_and_never_holds_secrets(tmp_path: Path) -> None:
    secret = CONFIG.replace("ConfigMap", "Secret") + "stringData: {p: canary}\n"
    files = [
        SourceFile(name, text.encode(), blob_id(text.encode()))
        for name, text in (("a.yaml", CONFIG), ("s.yaml", secret))
    ]
    path = tmp_path / "cache.json"

    def loaded() -> list[object]:
        found = load(files, ParseCache(path)).documents
        return [(d.body, d.key, d.line, d.position()) for d in found]

    first = loaded()
    assert loaded() == first
    kept = path.read_bytes()
    assert b"canary" not in kept
    # What could still be read, but is not what was in Git.
    for damaged in (b"{damaged", b"", kept.replace(b"ConfigMap", b"ConfigMop"), kept[:-1]):
        path.write_bytes(damaged)
        assert loaded() == first


def test_known_files_are_kept_compressed_and_say_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reconciler.manifests.load.KEPT_AS_READ_BYTES", 0)
    content = f"# a\n{CONFIG}data:\n  a: '010'\n".encode()

    def read() -> tuple[SourceFile, Document]:
        file = SourceFile("a.yaml", content, blob_id(content))
        (document,) = load([file], ParseCache(tmp_path / "cache")).documents
        return file, document

    (as_read, first), (packed, again) = read(), read()
    assert vars(packed)["content"] != content == packed.content
    assert packed == as_read
    assert hash(packed) == hash(as_read)
    assert again.position("data", "a") == first.position("data", "a") == Position("a.yaml", 6, 6)
    assert again.written("data", "a") == "010"
    assert replace(packed, path="b.yaml") == SourceFile("b.yaml", content, blob_id(content))
    assert "ConfigMap" not in repr(packed)


@pytest.mark.parametrize("entry", [None, [], [0, 1, 1, []], ["x", 1, 1, [], {}]])
def test_a_cache_with_entries_of_another_form_is_left_aside(tmp_path: Path, entry: object) -> None:
    files = [SourceFile("a.yaml", CONFIG.encode(), blob_id(CONFIG.encode()))]
    path = tmp_path / "cache"
    (first,) = load(files, ParseCache(path)).documents
    content = msgspec.msgpack.decode(path.read_bytes()[4:])
    assert content["blobs"]
    content["blobs"] = {blob: [entry] for blob in content["blobs"]}
    text = msgspec.msgpack.encode(content)
    path.write_bytes(crc32(text).to_bytes(4) + text)
    (again,) = load(files, ParseCache(path)).documents
    assert (again.body, again.line) == (first.body, first.line)


@settings(max_examples=60, deadline=None)
@given(st.lists(MANIFESTS_OF_ODD_FIELDS, max_size=200), st.data())
def test_what_the_cache_gives_is_what_it_was_given(
    objects: list[dict[str, Any]], data: st.DataObject
) -> None:
    """Over several runs, in which files come, stay and go; in blocks of several manifests."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cache"
        files = [
            SourceFile(f"{number}.yaml", blob=f"{number}")
            for number in range(data.draw(st.integers(1, 5)))
        ]
        held: dict[str, list[dict[str, Any]]] = {}
        for number, obj in enumerate(objects):
            held.setdefault(files[number % len(files)].path, []).append(obj)
        wanted = {
            file.blob: [
                Document(file.path, n, n + 1, Manifest(obj), file, ("items", n), 2)
                for n, obj in enumerate(held.get(file.path, []))
            ]
            for file in files
        }
        for _ in range(3):
            present = data.draw(st.lists(st.sampled_from(files), min_size=1, unique=True))
            for once_more in (False, True):
                cache = ParseCache(path)
                for file in present:
                    documents = wanted[file.blob]
                    found = cache.documents(file)
                    if found is None:
                        assert not once_more or any("Secret" in d.kind for d in documents)
                        cache.remember(file, documents)
                        continue
                    assert found == documents
                    for one, other in zip(found, documents, strict=True):
                        assert one.manifest == other.manifest
                        assert one.manifest.facts == other.manifest.facts
                cache.save()


@settings(max_examples=300)
@given(FILE_CONTENTS)
def test_no_content_whatever_raises(content: str | bytes) -> None:
    data = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    lines = data.count(b"\n") + data.count(b"\r") + 2
    for problem in load([SourceFile("a.yaml", data)]).problems:
        assert 1 <= problem.position.line <= lines + 1


def test_on_is_a_word_in_our_own_kinds_and_a_question_elsewhere() -> None:
    ours = """
    apiVersion: federation.reconciler.dev/v1alpha1
    kind: Federation
    metadata: {name: shop}
    spec:
      notifications:
        - {type: Slack, urlFrom: {env: SLACK}, on: [failure]}
    """
    theirs = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {on: x}\n"
    found = load([SourceFile("f.yaml", textwrap.dedent(ours).encode())])
    assert found.problems == ()
    (document,) = found.documents
    assert document.body["spec"]["notifications"][0]["on"] == ["failure"]
    both = textwrap.dedent(ours) + "---\n" + theirs
    (problem,) = load([SourceFile("f.yaml", both.encode())]).problems
    assert str(problem).startswith("f.yaml:12:8: the key on is read as true")


PODS = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {version: 1}, annotations: {federation.reconciler.dev/protct: "true"}}
spec: {replicas: "2"}
"""
PLACEMENT = """\
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {name: Web, labels: {"example.com/a": 1}}
spec: {selekt: []}
"""


def test_all_faults_of_one_document_are_told_at_once() -> None:
    told = problems(PODS)
    assert [text.split(": ")[0] for text in told] == ["a.yaml:3:41", "a.yaml:3:59", "a.yaml:4:18"]
    generated = problems(
        "apiVersion: v1\nkind: Secret\nmetadata: {generateName: a-}\ndata: {a: 1}\n"
    )
    assert [text.split(": ")[0] for text in generated] == ["a.yaml:3:26", "a.yaml:4:11"]


def test_a_fault_that_two_checks_find_is_told_once() -> None:
    told = [text.split(": ")[0] for text in problems(PLACEMENT)]
    assert sorted(set(told)) == sorted(told)
    assert {"a.yaml:3:18", "a.yaml:4:8"} <= set(told)


def test_json_may_have_characters_of_two_escapes() -> None:
    text = (
        r'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"%s":"%s","x":1}}'
    )
    pair, other = r"\ud83d\uDE00", r"\\ud83d \/ \u00e9"
    whole = (text % (pair, pair + other + pair)).replace('"x":1', '"x":"y"')
    (document,) = load([SourceFile("a.json", whole.encode())]).documents
    assert document.body["data"] == {"\U0001f600": "\U0001f600\\ud83d / é\U0001f600", "x": "y"}
    (told,) = problems(text % (pair, pair), "a.json")
    assert told.startswith(f"a.json:1:{(text % (pair, pair)).index(':1}}') + 2}: ")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        (CONFIG + "data:\n  a: @b\n", "quote a value that begins with @"),
        (CONFIG + 'data:\n  a: "b\n', "is not closed"),
        (CONFIG + "data: {é: b\x1a}\n", "a.yaml:4:12: not valid YAML"),
        (CONFIG + "data: {é: b\x1a}\n", "take it out, or write it as"),
        (CONFIG + "data:\n  a: b: c\n", "quote a value with a colon"),
        (CONFIG + "data:\n  a: *b\n", "quote a value that begins with *"),
        (CONFIG + "data:\n  a: b\n a: c\n", "look at the indentation"),
        ("<<<<<<< HEAD\n" + CONFIG + "=======\n>>>>>>> x\n", "marks of a merge"),
    ],
)
def test_what_is_no_yaml_has_a_hint(text: str, hint: str) -> None:
    (told,) = problems(text)
    assert hint in told


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        (CONFIG + 'data: {a: "\\ud83d"}\n', "write the character itself"),
        ('{\n\t"a": "\\ud83d"\n}', "write the character itself"),
        ('{"a": "b"}\n{"a": "b"}\n', "put a line with --- between"),
    ],
)
def test_faults_of_json_have_a_hint_of_their_own(text: str, hint: str) -> None:
    (*_, told) = problems(text)
    assert hint in told
    assert "tabs" not in told


ENDS = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: |
    web
  labels: {"a\\n": x, app: "web\\n"}
"""


def test_names_do_not_end_with_a_line_break() -> None:
    told = problems(ENDS)
    assert [text.split(": ")[0] for text in told] == ["a.yaml:4:9", "a.yaml:6:12", "a.yaml:6:27"]
    assert "without | or >" in told[0]


def test_a_label_may_be_filled_in() -> None:
    text = CONFIG.replace("{name: a}", '{name: a, labels: {c: "${cluster.name}"}%s}')
    assert "not a valid label value" in problems(text % "")[0]
    asked = ", annotations: {federation.reconciler.dev/substitute: 'true'}"
    assert problems(text % asked) == []
    odd = text.replace("${cluster.name}", "of ${cluster.name}")
    assert "not a valid label value" in problems(odd % asked)[0]


def test_capitals_in_the_domain_of_an_annotation_are_as_good_as_others() -> None:
    assert problems(CONFIG.replace("a}", "a, annotations: {Example.com/a: b}}")) == []
    assert "not a valid key" in problems(CONFIG.replace("a}", "a, labels: {Example.com/a: b}}"))[0]


def test_a_list_without_items_is_told_unless_it_says_so() -> None:
    head = "apiVersion: v1\nkind: List\n"
    assert problems(head + "items: []\n") == problems(head + "items:\n") == []
    assert problems(head + "item: []\n")[0].startswith("a.yaml:1:1: $: a List without items")
    assert problems(head + "items: {}\n")[0].startswith("a.yaml:3:8: $: a List without items")


def test_what_is_merged_is_told_where_it_is_written() -> None:
    text = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: ConfigMap\n"
    text += "  metadata: {name: a}\n  data: &d {a: b, p: 1}\n"
    text += "- apiVersion: v1\n  kind: ConfigMap\n  metadata: {name: b}\n"
    text += "  data: {<<: [{z: y}, *d], q: 2}\n"
    told = problems(text)
    places = [one.split(": ")[0] for one in told]
    assert places == ["a.yaml:7:22", "a.yaml:11:19", "a.yaml:11:31"]
    assert any('quote it: "y"' in one for one in told)


def test_a_map_that_merges_itself_is_no_end_of_work() -> None:
    text = CONFIG + "data: &a {<<: [*a, *a, *a], b: 1}\n"
    assert any("levels deep" in one or "undefined alias" in one for one in problems(text))


def test_files_that_windows_programs_wrote_may_be_put_together() -> None:
    one = "\ufeff" + CONFIG
    both = one + "---\n" + one.replace("name: a", "name: b")
    read = load([SourceFile("a.yaml", both.replace("\n", "\r\n").encode())])
    assert [document.key.name for document in read.documents] == ["a", "b"]
    assert "byte order mark" in problems(CONFIG + one)[0]
