"""The command `reconcile` in a process of its own, as a shell starts it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

COMMAND = (sys.executable, "-m", "reconciler.cli")

_started: list[subprocess.Popen[str]] = []
"""Commands of ``start_command`` that may still run."""

_OF_WHOEVER_TESTS = ("RECONCILE_", "KUBECONFIG", "NO_COLOR", "FORCE_COLOR", "XDG_CACHE_HOME")


def user_environment(home: Path, **more: str) -> dict[str, str]:
    """The environment of a user who lives in ``home`` and has set nothing of ours.

    What runs remember lies where it does for the tests' own process, unless ``more`` says else.
    """
    kept = {n: value for n, value in os.environ.items() if not n.startswith(_OF_WHOEVER_TESTS)}
    return {**kept, "HOME": str(home), "PYTHONPATH": str(ROOT), **more}


def start_command(
    *arguments: object, cwd: Path = ROOT, env: Mapping[str, str] | None = None, **options: Any
) -> subprocess.Popen[str]:
    """Start the command with nothing to read and a pipe for each thing that it writes.

    ``options`` are further ones of Popen, or others than these.
    """
    ours: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "text": True}
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        cwd=cwd,
        env=env,
        **{**ours, "stderr": subprocess.PIPE, **options},
    )
    _started.append(process)
    return process


@contextmanager
def no_command_left() -> Iterator[None]:
    """Kills what was started within and still runs at the end, because a test failed half way: a
    run that waits for a lock would write to the servers of the tests that follow."""
    before = list(_started)
    yield
    for process in _started[len(before) :]:
        if process.poll() is None:
            process.kill()
            process.wait()
    _started[:] = [one for one in before if one.poll() is None]


def run_command(
    *arguments: object,
    cwd: Path = ROOT,
    env: Mapping[str, str] | None = None,
    code: int | None = None,
    timeout: float = 180,
) -> subprocess.CompletedProcess[str]:
    """Run the command to its end, of ``timeout`` seconds at most; it exits with ``code`` if any."""
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)],
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert code in (None, done.returncode), done.stdout + done.stderr
    return done
