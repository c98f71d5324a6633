"""Whatever a repository holds, it is understood or refused with places: no traceback, no hang.

Real manifests are broken at random, as values and as text; files are made to explode in every way
that YAML offers.
"""

from __future__ import annotations

import os
import resource
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings

from reconciler.api.errors import Problem
from reconciler.api.files import SourceFile
from reconciler.dns.pipeline_step import faults_of_rules
from reconciler.federation.compile import compile_documents
from reconciler.manifests.load import load
from reconciler.render.render import render
from reconciler.scheduler.schedule import schedule
from tests.command import start_command, user_environment
from tests.strategies import broken_documents, broken_texts

ROOT = Path(__file__).resolve().parents[2]
SEEDS = [
    Path(__file__).with_name("every-kind.yaml"),
    *sorted((ROOT / "sample-repo").rglob("*.yaml")),
]
EXAMPLES = 8 * int(os.environ.get("RECONCILER_FUZZ_ROUNDS", "25"))
SECONDS = 20
"""Of processor time, for one file; a manifest takes milliseconds."""
MEGABYTES = 700
CANARY = "canary-in-the-mine"

fuzzed = settings(
    max_examples=EXAMPLES,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def understood(*texts: str) -> tuple[Problem, ...]:
    """All that `reconcile validate` finds wrong with files of these texts."""
    files = [SourceFile(f"{n}.yaml", t.encode("utf-8", "replace")) for n, t in enumerate(texts)]
    manifests = load(files)
    found = compile_documents(manifests.documents)
    problems = (*manifests.problems, *found.problems, *faults_of_rules(found.federation))
    if problems or found.state is None:
        return problems
    return render(found.state, schedule(found.state)).problems


def has_places(problems: tuple[Problem, ...], text: str) -> bool:
    lines = len(text.splitlines()) + 2
    return all(
        problem.position.file.endswith(".yaml") and 1 <= problem.position.line <= lines
        for problem in problems
    )


DOCUMENTS: list[Any] = [
    document
    for path in SEEDS
    for document in yaml.load_all(path.read_text(encoding="utf-8"), yaml.CSafeLoader)
    if document
]
CLUSTERS = [d for d in DOCUMENTS if d["kind"] in ("Cluster", "KubeFedCluster")]
VALUES: list[Any] = [
    None, True, False, 0, -1, 2**63, 2**70, 10**30, 1.5, "", "x", "²", "a/b", "../x", "\x1b[31m",
    "\u202e", "é" * 300, "0", "-", "*", "~1", "/", "//", "y" * 5000, [], {}, [[]], [{}], [None],
    ["x"], {"x": None}, {"name": 1}, {"a": {"b": [1]}}, {"name": "x", "": ""},
]  # fmt: skip
NAMES = ["x", "name", "spec", "metadata", "kind", "²", "", "on", "<<", "1"]
BROKEN_DOCUMENTS = broken_documents(DOCUMENTS, VALUES, NAMES)


@fuzzed
@given(BROKEN_DOCUMENTS)
def test_a_broken_manifest_is_refused_with_its_place_or_understood(document: Any) -> None:
    others = [d for d in CLUSTERS if d["metadata"].get("name") != document.get("metadata")]
    text = yaml.dump_all([*others, document], Dumper=yaml.CSafeDumper, allow_unicode=True)
    problems = understood(text)
    assert has_places(problems, text)
    assert not any(CANARY in str(problem) for problem in problems)


@fuzzed
@given(BROKEN_DOCUMENTS, BROKEN_DOCUMENTS)
def test_two_broken_manifests_in_a_whole_repository(one: Any, other: Any) -> None:
    whole = SEEDS[0].read_text(encoding="utf-8")
    text = yaml.dump_all([one, other], Dumper=yaml.CSafeDumper, allow_unicode=True)
    assert has_places(understood(whole, text), whole + text)


TOKENS = [
    "\n", "\n---\n", "\t", " ", "  ", "- ", ": ", "? ", "{", "}", "[", "]", "&a ", "*a", "<<: *a",
    "!t ", "!!binary ", "|", ">", "'", '"', "#", "%", "@", "`", "\x00", "\x1b", "\ufeff", "\u2028",
    "\ud7ff", "kind: List\n", "items:\n", "0x", "1" * 5000, "null", "on", ".inf", "1e999",
    "apiVersion: v1\n", '"\\ud800"', "\\", "{{ x }}", "--- !t\n", "...\n", "%YAML 1.1\n",
]  # fmt: skip
TEXTS = [path.read_text(encoding="utf-8") for path in SEEDS]


@fuzzed
@given(broken_texts(TEXTS, TOKENS))
def test_a_broken_file_is_refused_with_its_place_or_understood(text: str) -> None:
    problems = understood(text)
    assert has_places(problems, text)
    assert not any(CANARY in str(problem) for problem in problems)


HEAD = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"
OWN = "apiVersion: federation.reconciler.dev/v1alpha1\nkind: Cluster\nmetadata: {name: a}\n"


def laughs(depth: int, width: int) -> str:
    lines = [f"a0: &a0 [{', '.join('x' * width)}]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * width)}]" for n in range(1, depth)]
    return HEAD + "\n".join(lines)


def many(count: int, of: str) -> str:
    return ", ".join(of.format(number) for number in range(count))


BOMBS = {
    "a billion laughs": lambda: laughs(9, 10),
    "laughs by merging": lambda: (
        HEAD
        + "a0: &a0 {x: 1}\n"
        + "".join(
            f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}], k{n}: 1}}\n"
            for n in range(1, 12)
        )
    ),
    "an anchor inside itself": lambda: HEAD + "a: &a [*a, *a, *a]\n",
    "one long text a hundred thousand times": lambda: (
        HEAD + f"x: &x {'y' * 200_000}\ndata: {{{many(100_000, 'k{}: *x')}}}\n"
    ),
    "a label that is a list of long texts": lambda: HEAD.replace(
        "{name: a}", f"{{name: a, x: &x {'y' * 200_000}, labels: {{a: [{'*x, ' * 50_000}]}}}}"
    ),
    "a million empty lists": lambda: HEAD + "x: [" + "[]," * 1_000_000 + "]\n",
    "three megabytes of nesting": lambda: "x: " + "[" * 3_000_000,
    "four thousand nested keys": lambda: "".join(" " * n + "a:\n" for n in range(4_000)),
    "three megabytes in one line": lambda: HEAD + "x: " + "y" * 3_000_000 + "\n",
    "three megabytes of one word": lambda: "y" * 3_000_000,
    "a number of many digits": lambda: HEAD + f"x: {'1' * 300_000}\n",
    "a number of many octal digits": lambda: HEAD + f"x: 0{'7' * 300_000}\n",
    "a fraction of many digits": lambda: HEAD + f"x: 1.{'1' * 300_000}\n",
    "an exponent of many digits": lambda: HEAD + f"x: 1e{'1' * 300_000}\n",
    "unknown keys": lambda: OWN + f"spec: {{{many(50_000, 'k{}: 1')}}}\n",
    "labels that are numbers": lambda: HEAD.replace(
        "{name: a}", f"{{name: a, labels: {{{many(50_000, 'k{}: 1')}}}}}"
    ),
    "the same key again and again": lambda: HEAD + f"data: {{{many(50_000, 'k: x{}')}}}\n",
    "wrong names": lambda: "---\n".join(HEAD.replace("a}", f"A{n}}}") for n in range(3_000)),
    "the same object again and again": lambda: "---\n".join([HEAD] * 3_000),
    "documents without end": lambda: "---\n".join([HEAD] * 11_000),
    "a list of lists of objects": lambda: (
        "apiVersion: v1\nkind: List\nitems: ["
        + many(20_000, "{{kind: List, items: [{{kind: X{}}}]}}")
        + "]\n"
    ),
    "clusters that nobody knows": lambda: (
        "---\n".join(OWN.replace("a}", f"c{n}}}") for n in range(300))
        + "---\napiVersion: federation.reconciler.dev/v1alpha1\nkind: Placement\n"
        + f"metadata: {{name: p}}\nspec: {{clusters: [{many(100_000, 'x{}')}]}}\n"
    ),
    "words for a regular expression": lambda: HEAD.replace(
        "{name: a}", f"{{name: a, annotations: {{? {'a-' * 400_000}!/x\n : y}}}}"
    ),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_file_that_explodes_costs_seconds_and_megabytes(
    bomb: str, tmp_path: Path, limited: Any
) -> None:
    (tmp_path / "repository").mkdir()
    (tmp_path / "repository" / "bomb.yaml").write_text(BOMBS[bomb](), encoding="utf-8")
    code, out, seconds, megabytes = limited("validate", "--repo", tmp_path / "repository")
    assert "Traceback" not in out
    assert "defect" not in out
    assert code in (0, 1), out[-2000:]
    assert code == 0 or "bomb.yaml:" in out
    assert len(out) < 2_000_000
    assert seconds < SECONDS
    assert megabytes < MEGABYTES


@pytest.fixture
def limited(tmp_path: Path) -> Any:
    """Runs the command; its exit code, its words, its processor seconds, its peak in megabytes."""

    def run(*arguments: object) -> tuple[int, str, float, float]:
        process = start_command(
            *arguments,
            env=user_environment(tmp_path),
            stdout=(tmp_path / "out").open("wb"),
            stderr=subprocess.STDOUT,
            preexec_fn=_limit,
        )
        _, status, usage = os.wait4(process.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        out = (tmp_path / "out").read_text(encoding="utf-8", errors="replace")
        return code, out, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024

    return run


def _limit() -> None:
    """One that takes far too much is killed before the machine suffers."""
    resource.setrlimit(resource.RLIMIT_CPU, (120, 120))
    resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))


def test_what_a_file_says_does_not_act_on_a_terminal(tmp_path: Path, limited: Any) -> None:
    (tmp_path / "a.yaml").write_text(OWN + 'spec: {"\\e[31m\\u202e": 1, provider: [1]}\n')
    (tmp_path / "b.yaml").write_text(HEAD + "x: !<%1b%5b31m> y\n")
    for output in ("text", "github", "json"):
        code, out, _, _ = limited("validate", "--repo", tmp_path, "--output", output)
        assert code == 1
        assert "\x1b" not in out
        assert "\u202e" not in out or output == "json"
