"""The lock of one machine: between processes, between runs of one process, and after a death."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.api.errors import LeaseLost, ReconcileError
from reconciler.lock.file_lock import FileLock

HOLD = """
import sys, pathlib
from reconciler.lock.file_lock import FileLock
FileLock(pathlib.Path(sys.argv[1])).acquire()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "shop.lock"


@pytest.fixture
def other_process(path: Path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_free_lock_is_had_at_once_and_again(path: Path) -> None:
    lock = FileLock(path)
    with pytest.raises(LeaseLost):
        lock.check()
    assert lock.acquire() is False
    lock.check()
    lock.release()
    with pytest.raises(LeaseLost):
        lock.check()
    assert FileLock(path).acquire() is False


def test_another_process_keeps_us_out_and_is_named(path: Path, other_process) -> None:
    with pytest.raises(LeaseLost, match=f"_{other_process.pid}_.* since 20"):
        FileLock(path).acquire()


def test_a_process_that_is_killed_lets_go(path: Path, other_process) -> None:
    other_process.kill()
    other_process.wait()
    assert FileLock(path).acquire() is False


def test_it_is_waited_for_as_long_as_asked(path: Path, other_process) -> None:
    told: list[str] = []
    pauses = iter(range(100))

    def pause(_: float) -> None:
        if next(pauses) == 3:
            other_process.kill()
            other_process.wait()

    lock = FileLock(path, clock=lambda: 0.0, pause=pause, notify=told.append)
    assert lock.acquire(wait=60) is True
    assert len(told) == 1
    assert str(other_process.pid) in told[0]


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ReconcileError, match="lock file") as told:
        FileLock(tmp_path / "file" / "shop.lock").acquire()
    assert "--lock none" in told.value.hint
