"""What the documentation points to is there, and what it shows holds."""

from __future__ import annotations

import ast
import json
import re
import textwrap
from pathlib import Path
from typing import Any

import pytest

from reconciler.api.files import SourceFile
from reconciler.dns.pipeline_step import faults_of_rules
from reconciler.federation.compile import compile_documents
from reconciler.manifests.load import load

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(
    path
    for path in (*ROOT.glob("*.md"), *ROOT.glob("*/**/*.md"))
    if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
)
SECURITY = ROOT / "docs" / "security.md"
NAMED_TEST = re.compile(r"`([\w/]+\.py)(?:::(\w+))?`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    local = [target.partition("#")[0] for target in targets if "://" not in target]
    missing = [target for target in local if target and not (page.parent / target).exists()]
    assert not missing


def test_every_threat_is_held_by_tests_that_there_are() -> None:
    rows = [
        line
        for line in SECURITY.read_text(encoding="utf-8").splitlines()
        if line.startswith("| ") and "held by" not in line
    ]
    assert rows
    for row in rows:
        named = NAMED_TEST.findall(row)
        assert named, row
        for file, name in named:
            tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
            functions = {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)}
            assert not name or name in functions, f"{file}::{name}"


def _rows(page: str) -> dict[str, str]:
    """First column -> last column of a page's tables, without backquotes."""
    lines = [line for line in (ROOT / page).read_text().splitlines() if line.startswith("| `")]
    cells = [[cell.strip().strip("`") for cell in line.strip("|").split(" | ")] for line in lines]
    return {row[0]: row[-1] for row in cells}


def _defaults(schema: dict[str, Any], path: str = "") -> dict[str, str]:
    """Each field of a schema, with its default as a user would write it."""
    found: dict[str, str] = {}
    for name, field in schema["properties"].items():
        if "properties" in field:
            found |= _defaults(field, f"{path}{name}.")
        else:
            default = field.get("default", "")
            found[path + name] = str(default).lower() if isinstance(default, bool) else str(default)
    return found


def test_the_mutation_run_names_modules_and_tests_that_there_are() -> None:
    script = (ROOT / "scripts" / "mutation.sh").read_text(encoding="utf-8")
    modules = re.search(r"set -- ((?:[\w/]+[ \\\n]+)+)", script)
    assert modules is not None
    names = [name for name in modules[1].split() if "/" in name]
    tests = [f"tests/unit/apply/test_{name[6:]}.py" for name in names if name.startswith("apply/")]
    named = [*re.findall(r"tests/[\w/]+\.py", script), *tests]
    assert len(names) == 10
    assert len(named) > 10
    files = [*(f"reconciler/{name}.py" for name in names), *named]
    assert [file for file in files if not (ROOT / file).is_file()] == []


def test_every_field_of_failover_is_told_with_its_default() -> None:
    schema = json.loads((ROOT / "schemas" / "federation.json").read_text())
    rules = schema["properties"]["spec"]["properties"]["failover"]
    told = _rows("docs/failover.md")
    defaults = _defaults(rules)
    assert defaults
    for field, default in defaults.items():
        assert field in told
        assert told[field] == (default or told[field]), field


def test_every_field_of_rollout_is_told_with_its_default() -> None:
    schema = json.loads((ROOT / "schemas" / "federation.json").read_text())
    rules = schema["properties"]["spec"]["properties"]["rollout"]
    waves = rules["properties"]["waves"]["items"]
    defaults = _defaults({"properties": rules["properties"]}, "rollout.")
    # A selector's own fields are those of every other one.
    del waves["properties"]["clusterSelector"]["properties"]
    defaults |= _defaults(waves, "rollout.waves[].")
    told = _rows("docs/formats.md")
    assert len(defaults) == 11
    for field, default in defaults.items():
        assert told[field] == (default or told[field]), field


@pytest.mark.parametrize(
    "file",
    ["karmada-propagation-policy.json", "karmada-override-policy.json", "karmada-cluster.json"],
)
def test_every_field_of_karmadas_is_told(file: str) -> None:
    page = (ROOT / "docs" / "karmada.md").read_text(encoding="utf-8")
    words = set(re.findall(r"[A-Za-z]+", page))
    spec = json.loads((ROOT / "schemas" / file).read_text())["properties"]["spec"]["properties"]
    top = set(spec)
    placement = set(spec.get("placement", {}).get("properties", {}))
    affinity = set(
        spec.get("placement", {"properties": {"clusterAffinity": {"properties": {}}}})[
            "properties"
        ]["clusterAffinity"]["properties"]
    )
    overriders = set(spec.get("overriders", {}).get("properties", {}))
    failover = set(spec.get("failover", {}).get("properties", {}))
    fields = top | placement | affinity | overriders | failover
    assert fields
    assert not fields - words


def test_the_example_of_karmadas_policies_is_valid() -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/karmada.md").read_text(), re.DOTALL)
    place = "apiVersion: cluster.karmada.io/v1alpha1\nkind: Cluster\nmetadata: {name: %s}\n"
    clusters = "".join(
        f"{place % name}spec: {{provider: {provider}}}\n---\n"
        for name, provider in (("onprem", "own"), ("eu", "aws"), ("us", "gcp"))
    )
    web = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec: {template: {spec: {containers: [{name: web, image: web}]}}}
---
"""
    manifests = load(
        [SourceFile("example.yaml", f"{FEDERATION}---\n{clusters}{web}{block}".encode())]
    )
    found = compile_documents(manifests.documents)
    assert not [str(problem) for problem in (*manifests.problems, *found.problems)]
    assert found.state is not None
    assert not [str(notice) for notice in found.state.notices]


EXAMPLES = [
    "README.md",
    *(
        f"docs/{name}.md"
        for name in (
            *("charts", "cluster-profiles", "dns", "drift", "failover", "formats", "git"),
            *("kubefed", "observing", "rollouts"),
        )
    ),
]


@pytest.mark.parametrize("page", EXAMPLES)
def test_examples_are_valid(page: str) -> None:
    """Fragments are put where they belong: below a Federation, its rules, or a Placement."""
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    assert blocks
    for block in map(textwrap.dedent, blocks):
        given = "" if "\nkind: Cluster\n" in block else OTHERS
        if block.startswith("providers:"):
            block = f"{FEDERATION}spec:\n  dns:\n{textwrap.indent(block, '    ')}"
        elif block.startswith("rollout:"):
            block = f"{FEDERATION}spec:\n{textwrap.indent(block, '  ')}"
        elif block.startswith("spec:") and re.search(
            "^  (select|tolerations):", block, re.MULTILINE
        ):
            block = f"{PLACEMENT}{block}"
        elif block.startswith("spec:"):
            block = FEDERATION + block
        if "kind: Federation\n" not in block:
            block = f"{FEDERATION}spec: {{failover: {{enabled: true}}}}\n---\n{block}"
        manifests = load([SourceFile("fleet/example.yaml", f"{given}{block}".encode())])
        found = compile_documents(manifests.documents)
        problems = [*manifests.problems, *found.problems, *faults_of_rules(found.federation)]
        assert not problems, [str(problem) for problem in problems]


CLUSTER = """\
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: %s}
---
"""
OTHERS = (
    "".join(CLUSTER % name for name in ("gcp-eu", "gcp-us", "lab"))
    + """\
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: aws-eu}
spec: {region: eu-central-1}
---
"""
)
FEDERATION = """\
apiVersion: federation.reconciler.dev/v1alpha1
kind: Federation
metadata: {name: shop}
"""
PLACEMENT = """\
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {name: web}
"""
