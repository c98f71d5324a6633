"""Programs that these tests drive: from the distribution, or built once from Go modules."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

# Read once: tests point the variable elsewhere for what they run.
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "federation-reconciler"
SOPS = ("github.com/getsops/sops/v3/cmd/sops", "v3.13.3")
HELM = ("helm.sh/helm/v4/cmd/helm", "v4.3.2")
AGE_KEYGEN = ("filippo.io/age/cmd/age-keygen", "v1.3.2")


def needed(name: str, package: str) -> str:
    """Where a program is. Without it the test is skipped, or fails where every test must run."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        _give_up(f"{name} is missing: install {package}")
    assert found
    return found


def _give_up(reason: str) -> None:
    required = os.environ.get("RECONCILER_REQUIRE_INTEGRATION", "") not in {"", "0"}
    if required or os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@cache
def built(module: str, version: str) -> Path:
    """A program from a Go module, built at the first call on a machine."""
    name = module.rsplit("/", 1)[1]
    ready = shutil.which(name)
    if ready:
        return Path(ready)
    go = needed("go", "golang-go")
    folder = CACHE / "programs" / f"{name}-{version}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / name).exists():
            subprocess.run(
                [go, "install", f"{module}@{version}"],
                env={**os.environ, "GOBIN": str(folder)},
                check=True,
                capture_output=True,
                cwd=folder,
            )
    return folder / name
