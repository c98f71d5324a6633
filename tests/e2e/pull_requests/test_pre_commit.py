"""The hook that pre-commit finds at the root of this project."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from tests.e2e.pull_requests.conftest import FEDERATION, ROOT, SHOP


def hook() -> dict[str, Any]:
    (found,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    return dict(found)


def test_the_hook_passes_what_is_valid_and_refuses_what_is_not(tmp_path: Path) -> None:
    (tmp_path / "federation.yaml").write_text(FEDERATION)
    manifest = tmp_path / "shop.yaml"
    program, *arguments = shlex.split(hook()["entry"])
    for text, code in ((SHOP, 0), (SHOP.replace("clusterSelector", "clusterSelectr"), 1)):
        manifest.write_text(text)
        done = subprocess.run(
            [Path(sys.executable).with_name(program), *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
    assert done.stdout.startswith("shop.yaml:20:3: ")


def test_it_runs_once_for_whatever_manifest_is_committed() -> None:
    found = hook()
    assert found["language"] == "python"
    assert found["pass_filenames"] is False
    for name in ("a.yaml", "b/c.yml", "d.json", "e/kustomization"):
        assert re.search(found["files"], name, re.IGNORECASE)
    assert not re.search(found["files"], "README.md")
