"""The sandbox stands apart: it knows the core's value types, and the core does not know it."""

from __future__ import annotations

import re
from pathlib import Path

import reconciler

PACKAGE = Path(reconciler.__file__).parent


def imports(path: Path) -> set[str]:
    return set(re.findall(r"^\s*(?:from|import)\s+(reconciler[\w.]*)", path.read_text(), re.M))


def test_the_sandbox_imports_nothing_but_identities() -> None:
    for path in (PACKAGE / "sandbox").glob("*.py"):
        foreign = {name for name in imports(path) if not name.startswith("kubesim")}
        assert foreign <= {"reconciler.api.objects"}, path
