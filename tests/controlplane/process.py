"""Child processes that never outlive the tests, with logs that are shown when a start fails."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

_TAIL = 3000  # characters of a log that go into an error message

# Below the range from which kernels take the ports of outgoing connections: otherwise a client's
# socket could sit on the port of a server that a test has stopped and wants to start again.
_PORTS = range(18_000, 32_000)

# Reads "+pid" and "-pid" lines; when its input ends, however the tests ended, it kills the rest.
# A death signal (prctl) would not do: it fires when the *thread* that started a child ends.
_REAPER = """
import os, signal, sys
alive = set()
for line in sys.stdin:
    (alive.add if line[0] == "+" else alive.discard)(int(line[1:]))
for pid in alive:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
"""


class StartFailed(Exception):
    """A program ended or did not become ready; the message ends with the tail of its log."""


class _Reaper:
    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def tell(self, line: str) -> None:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-S", "-c", _REAPER],
                stdin=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        pipe: IO[str] | None = self._process.stdin
        assert pipe is not None
        pipe.write(line + "\n")
        pipe.flush()


_reaper = _Reaper()


class Server:
    """One program that runs until it is stopped, in a session of its own (Ctrl-C spares it)."""

    def __init__(self, command: Sequence[str | Path], log: Path) -> None:
        self.log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [str(part) for part in command],
                cwd=log.parent,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        _reaper.tell(f"+{self.pid}")

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        if self.running:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL, also for a paused process; nothing is flushed, nobody is told."""
        self.signal(signal.SIGKILL)
        self._process.wait()
        _reaper.tell(f"-{self.pid}")

    def tail(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")[-_TAIL:]

    def wait_until(self, ready: Callable[[], bool], what: str, timeout: float) -> None:
        """Polls ``ready``; raises StartFailed with the log when the process ends or time is up."""
        deadline = time.monotonic() + timeout
        while not ready():
            if not self.running:
                raise StartFailed(f"{what} ended; {self.log}:\n{self.tail()}")
            if time.monotonic() > deadline:
                raise StartFailed(
                    f"{what}: not ready in {timeout:.0f} s; {self.log}:\n{self.tail()}"
                )
            time.sleep(0.05)


def eventually(probe: Callable[[], bool], what: str, timeout: float = 30) -> None:
    """Waits until ``probe`` is true; AssertionError naming ``what`` after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while not probe():
        assert time.monotonic() < deadline, f"not within {timeout:.0f} s: {what}"
        time.sleep(0.05)


def free_port() -> int:
    """A port of 127.0.0.1 on which nobody listens now. Another process may be quicker: retry."""
    while True:
        port = random.choice(_PORTS)
        with socket.socket() as candidate:
            try:
                candidate.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def port_taken(error: StartFailed) -> bool:
    return "address already in use" in str(error)
