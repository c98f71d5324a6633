"""The house rules that a test can hold: who imports whom, what a start loads, how long files get.

The rules are explained in CONTRIBUTING.md.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "reconciler"

# A manifest's way through the program: each may import what stands before it, and itself.
PIPELINE = (
    "api",
    "manifests",
    "git",
    "federation",
    "cluster",
    "watch",
    "inventory",
    "seats",
    "state",
    "scheduler",
    "render",
    "failover",
    "rollout",
    "plan",
    "apply",
    "join",
    "dns",
    "shard",
    "lock",
    "report",
    "status",
    "run",
    "saved_plans",
    "serve",
    "cli",
)
# A package of its own beside it, which the command line only knows of.
SIMULATOR = "kubesim"

# Doors to the member clusters. Others may talk HTTP to somebody else, for the reason given.
CLIENTS_OF_MEMBERS = {
    "pycurl",
    "urllib3",
    "kubernetes",
    "http.client",
    "requests",
    "aiohttp",
    "httpx",
}
MAY_USE_THEM = {
    "cluster": "the one door to a member's API",
    "report": "tells webhooks and a Pushgateway; members only through the cluster package",
    "dns": "keeps the providers' libraries from following redirects",
}

# What takes tens of milliseconds to import, and is therefore imported where it is needed.
HEAVY = (
    "boto3",
    "cronsim",
    "deepdiff",
    "git",
    "google",
    "jinja2",
    "jsonschema",
    "jsonschema_rs",
    "kubernetes",
    "octodns",
    "prometheus_client",
    "requests",
    "rich",
    "urllib3",
    "yaml",
    "zoneinfo",
)

# Public names with two homes: the simulator's is the test double of the other.
ONE_NAME_TWICE = {
    "ObjectKey": ["kubesim/objects.py", "reconciler/api/objects.py"],
    "Response": ["kubesim/messages.py", "reconciler/cluster/curl.py"],
    "difference": ["kubesim/fieldsets.py", "reconciler/inventory/managed_fields.py"],
    "main": ["kubesim/__main__.py", "reconciler/cli/__init__.py"],
    "selects": ["kubesim/selectors.py", "reconciler/federation/selectors.py"],
    "union": ["kubesim/fieldsets.py", "reconciler/inventory/managed_fields.py"],
}

# How many modules of our own one may import, and who needs more.
MOST_IMPORTS = 30
NEEDS_MORE = {
    "plan.member_plan": "all that is decided of one member, strung together",
    "run.pipeline": "the steps strung together",
    "run.repository": "files, members, the host's list and charts meet in what Git comes to",
    "run.rollout": "Git, members and rules meet in how far a commit may go",
}

LONGEST = 800
LONGER_FOR_A_REASON: dict[str, str] = {}


@dataclass(frozen=True)
class Import:
    importer: Path
    line: int
    module: str

    @property
    def source(self) -> str:
        """The part of the package that it stands in: ``plan``, ``git``, ``""``."""
        return _part(self.importer.relative_to(PACKAGE).with_suffix("").parts)

    @property
    def target(self) -> str | None:
        """The part of the package that is imported; None for a module from elsewhere."""
        names = tuple(self.module.split("."))
        return _part(names[1:]) if names[0] == "reconciler" else None

    def __str__(self) -> str:
        return f"{self.importer.relative_to(ROOT)}:{self.line} imports {self.module}"


def _part(names: tuple[str, ...]) -> str:
    return names[0] if names and names[0] not in {"__init__", "__version__"} else ""


@cache
def imports() -> tuple[Import, ...]:
    found: list[Import] = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
            line = getattr(node, "lineno", 0)
            found += [Import(path, line, name) for name in _imported(node, path)]
    assert found
    return tuple(found)


def _imported(node: ast.AST, path: Path) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            folder = path.relative_to(ROOT).parent.parts
            above = folder[: len(folder) - node.level + 1]
            base = ".".join([*above, *filter(None, [node.module])])
        for alias in node.names:
            # `from reconciler import sandbox` names a part; `from x.y import z` need not.
            yield f"{base}.{alias.name}" if base == "reconciler" else base


def test_every_part_of_the_package_has_its_place_in_the_pipeline() -> None:
    parts = {
        _part(path.relative_to(PACKAGE).with_suffix("").parts) for path in PACKAGE.rglob("*.py")
    }
    unknown = parts - {*PIPELINE, "", "__main__"}
    assert not unknown, f"add {sorted(unknown)} to PIPELINE, at the place where they belong"


def test_imports_point_up_the_pipeline() -> None:
    rank = {name: number for number, name in enumerate(PIPELINE)}
    wrong = [
        str(found)
        for found in imports()
        if found.source in rank and found.target in rank and rank[found.source] < rank[found.target]
    ]
    assert not wrong, "\n".join(wrong)


def test_the_simulator_and_the_reconciler_stand_alone() -> None:
    wrong = [f for f in imports() if f.module.startswith(SIMULATOR) and f.source != "cli"]
    files = sorted((ROOT / SIMULATOR).rglob("*.py"))
    assert files
    inside = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for name in _imported(node, path)
        if name.split(".")[0] == PACKAGE.name
    ]
    assert not wrong + inside


def test_no_module_imports_itself_by_way_of_others() -> None:
    graph = {name: set(found) for name, found in module_imports().items()}
    # What imports nothing that is left is in no cycle.
    while free := [name for name, found in graph.items() if not found & graph.keys()]:
        for name in free:
            del graph[name]
    assert not graph, sorted(graph)


def module_imports() -> dict[str, set[str]]:
    """Module -> the modules of our own that it imports, wherever in it."""
    paths = [path for package in (PACKAGE, ROOT / SIMULATOR) for path in package.rglob("*.py")]
    names = {path: ".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths}
    modules = {path: name.removesuffix(".__init__") for path, name in names.items()}
    known = set(modules.values())
    graph: dict[str, set[str]] = {}
    for path, module in modules.items():
        found = graph.setdefault(module, set())
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                for alias in node.names:
                    inner = f"{node.module}.{alias.name}"
                    found |= {inner if inner in known else node.module} & known
            elif isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names} & known
        # A package's own text is loaded with any of its modules, and is no part of a way.
        found.discard(module)
    return graph


def test_no_module_needs_too_many_others() -> None:
    many = {
        name.removeprefix("reconciler.")
        for name, found in module_imports().items()
        if len(found) > MOST_IMPORTS
    }
    assert many == NEEDS_MORE.keys()


def test_a_public_name_has_one_meaning() -> None:
    homes: dict[str, set[str]] = {}
    for path in [*(ROOT / SIMULATOR).rglob("*.py"), *PACKAGE.rglob("*.py")]:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                homes.setdefault(node.name, set()).add(str(path.relative_to(ROOT)))
    doubled = {name: sorted(files) for name, files in homes.items() if len(files) > 1}
    assert doubled == ONE_NAME_TWICE


def test_only_the_cluster_package_can_talk_to_a_member_cluster() -> None:
    wrong = [
        str(found)
        for found in imports()
        if found.source not in MAY_USE_THEM
        and any(
            found.module == client or found.module.startswith(client + ".")
            for client in CLIENTS_OF_MEMBERS
        )
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param("import reconciler.cli", id="importing the command"),
        pytest.param(
            "import sys; sys.argv = ['reconcile', '--version']\n"
            "from reconciler.cli import main\n"
            "try: main()\n"
            "except SystemExit: pass",
            id="reconcile --version",
        ),
    ],
)
def test_a_start_loads_nothing_heavy(statement: str) -> None:
    script = f"import sys\n{statement}\nprint('\\nloaded:', *sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    loaded = done.stdout.rpartition("loaded:")[2].split()
    assert "reconciler.cli" in loaded
    assert not [name for name in loaded if name in HEAVY]


ONLY_WHERE_ASKED_FOR = {
    "cronsim": "windows",
    "zoneinfo": "windows",
    "reconciler.federation.maintenance": "windows",
    "reconciler.plan.waiting": "windows",
    "reconciler.federation.rollout_rules": "waves",
    "reconciler.report.rollout": "waves",
    "reconciler.rollout.model": "waves",
    "reconciler.run.rollout": "waves",
    "reconciler.shard.published": "shards",
    "reconciler.shard.round": "shards",
}
"""Modules that a run pays for only where its rules, or its command line, ask for what they do."""
FLEET = """\
apiVersion: federation.reconciler.dev/v1alpha1
kind: Federation
metadata: {name: shop}
spec: {RULES}
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: aws-eu}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: default}
"""
WINDOWS = "maintenance: [{kind: Deny, schedule: 0 0 1 1 *, duration: 1m}]"
WAVES = "rollout: {waves: [{name: canary, clusters: [aws-eu]}]}"


@pytest.mark.parametrize(
    ("rules", "asked_for"),
    [("", set()), (WINDOWS, {"windows"}), (f"{WAVES}, {WINDOWS}", {"waves", "windows"})],
)
def test_a_run_loads_what_its_rules_ask_for(
    rules: str, asked_for: set[str], tmp_path: Path
) -> None:
    placement = "defaults: {placement: {clusterSelector: {}}}"
    body = f"{{{placement}{', ' * bool(rules)}{rules}}}"
    repository = tmp_path / "fleet"
    repository.mkdir()
    (repository / "fleet.yaml").write_text(FLEET.replace("{RULES}", body), encoding="utf-8")
    git = ["git", "-C", str(repository), "-c", "user.name=x", "-c", "user.email=x@localhost"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run([*git, *words], check=True)
    state = {"XDG_STATE_HOME": str(tmp_path / "state"), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    command = [sys.executable, "-X", "importtime", "-c", "from reconciler.cli import main; main()"]
    done = subprocess.run(
        [*command, "--yes", "--sandbox", "--repo", str(repository)],
        cwd=ROOT,
        env={**os.environ, **state},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, "Done: 1 created." in done.stdout) == (0, True), done.stdout
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "reconciler.run.pipeline" in imported
    expected = {name for name, what in ONLY_WHERE_ASKED_FOR.items() if what in asked_for}
    assert ONLY_WHERE_ASKED_FOR.keys() & imported == expected


@cache
def tracked_files() -> tuple[str, ...]:
    """Paths of everything in Git; where there is no Git, of everything that would be."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a Git work tree")
    return tuple(name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file())


def test_no_file_is_longer_than_a_reader_can_hold() -> None:
    lengths = {
        name: len((ROOT / name).read_text(encoding="utf-8").splitlines())
        for name in tracked_files()
        if name.endswith(".py")
    }
    long = {name: length for name, length in lengths.items() if length > LONGEST}
    assert long.keys() <= LONGER_FOR_A_REASON.keys(), f"split, or give a reason for: {long}"
    needless = LONGER_FOR_A_REASON.keys() - long.keys()
    assert not needless, f"no longer long: {sorted(needless)}"


TESTS = ROOT / "tests"


def _strategies_made(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and name of each strategy that a module defines: a composite one, or a variable's value.

    What stands in ``@given(...)`` is the test's own, as is what it draws.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            makes = [*node.decorator_list, *([node.returns] if node.returns else [])]
            if any("composite" in (t := ast.unparse(one)) or "Strategy" in t for one in makes):
                yield node.lineno, node.name
    for node in getattr(tree, "body", ()):
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value:
            names = {one.id for one in ast.walk(node.value) if isinstance(one, ast.Name)}
            if names & {"st", "strategies", "hypothesis"}:
                yield node.lineno, ast.unparse(getattr(node, "target", None) or node.targets[0])


def test_strategies_are_defined_in_one_place() -> None:
    made = {
        path: list(_strategies_made(ast.parse(path.read_text(encoding="utf-8"), str(path))))
        for path in sorted(TESTS.rglob("*.py"))
    }
    assert made.pop(TESTS / "strategies.py")
    elsewhere = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path, found in made.items()
        for line, name in found
    ]
    assert not elsewhere, "move to tests/strategies.py:\n" + "\n".join(elsewhere)


def test_the_command_is_started_in_one_place() -> None:
    """Its environment, its pipes and what it exits with are the same for all tests."""
    # A container and a shell's pipe name the module within a line of their own.
    starts = [
        str(path.relative_to(TESTS))
        for path in sorted(TESTS.rglob("*.py"))
        if re.search(r'"-m",\s+"reconciler\.cli"', path.read_text(encoding="utf-8"))
        and path != Path(__file__).resolve()
    ]
    assert starts == ["command.py"], "start_command() and run_command() of tests/command.py do it"


# Split in two, so that this file does not hold what it looks for.
_MACHINE = [
    "/ro" + r"ot/",
    "/wo" + r"rk/",
    "/ho" + r"me/(?!nonroot\b)[a-z]",
    "/Us" + r"ers/[a-z]",
]
_REGISTRIES = [
    "pypi" + r"\.org",
    "pythonhosted" + r"\.org",
    "npmjs" + r"\.(org|com)",
    "proxy" + r"\.golang\.org",
    "(extra-)?index" + r"-url",
]


@pytest.mark.parametrize(
    ("what", "patterns"),
    [("a path of somebody's machine", _MACHINE), ("a package registry", _REGISTRIES)],
)
def test_no_tracked_file_names(what: str, patterns: list[str]) -> None:
    forbidden = re.compile("|".join(patterns))
    found = []
    for name in tracked_files():
        text = (ROOT / name).read_text(encoding="utf-8", errors="replace")
        for number, line in enumerate(text.splitlines(), 1):
            if match := forbidden.search(line):
                found.append(f"{name}:{number}: {match.group()}")
    assert not found, f"{what}:\n" + "\n".join(found)


def _shown_fields(path: Path) -> Iterator[str]:
    """Fields with whole objects, bytes or credentials in values whose ``repr`` would show them."""
    secret = re.compile(r"token|password|_pem$|stdout|stderr")
    for node in ast.walk(ast.parse(path.read_text())):
        bases = {ast.unparse(base) for base in getattr(node, "bases", ())}
        decorated = "dataclass" in " ".join(map(ast.unparse, getattr(node, "decorator_list", ())))
        if not isinstance(node, ast.ClassDef) or not (decorated or "Struct" in bases):
            continue
        if any(isinstance(part, ast.FunctionDef) and part.name == "__repr__" for part in node.body):
            continue
        for part in node.body:
            if not isinstance(part, ast.AnnAssign) or not isinstance(part.target, ast.Name):
                continue
            names = {n.id for n in ast.walk(part.annotation) if isinstance(n, ast.Name)}
            holds = "Object" in names or "bytes" in names or secret.search(part.target.id)
            harmless = {"bool", "float", "Callable", "Token"} & names
            if holds and not harmless and "repr=False" not in ast.unparse(part):
                yield f"{path.stem}.{node.name}.{part.target.id}"


def test_what_holds_objects_or_credentials_does_not_show_them() -> None:
    """An error that nobody foresaw may have the ``repr`` of anything in its words."""
    # What is public: names and addresses in DNS, the rules of a repository, what reports show.
    public = {
        *("EndpointPlan", "Write", "DnsPlan", "ZonePlan", "AgainstBase", "Plan", "DesiredState"),
        *("Federation", "ManifestValues", "Seal", "RoundState"),
    }
    shown = [
        field
        for file in sorted(PACKAGE.rglob("*.py"))
        for field in _shown_fields(file)
        if field.split(".")[1] not in public
    ]
    assert not shown, "make it a RedactedRepr, or its field one with repr=False"
