"""The sample repository is valid, and does what its README says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

SAMPLE = Path(__file__).resolve().parents[3] / "sample-repo"


def test_every_schema_header_points_at_a_schema() -> None:
    headers = [
        (path, match.group(1))
        for path in sorted(SAMPLE.rglob("*.yaml"))
        for match in re.finditer(
            r"^# yaml-language-server: \$schema=(\S+)$", path.read_text(encoding="utf-8"), re.M
        )
    ]
    assert len(headers) >= 8
    missing = [f"{path}: {name}" for path, name in headers if not (path.parent / name).is_file()]
    assert not missing


@pytest.mark.parametrize(
    "name", re.findall(r"^\| `(\S+?)/?` \|", (SAMPLE / "README.md").read_text(), re.M)
)
def test_what_the_readme_names_is_there(name: str) -> None:
    assert (SAMPLE / name).exists()
