"""Members and seats are read in a thread each: what reads their answers is made before, by one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
FIRST_USE = """
import sys, threading
sys.setswitchinterval(1e-6)
%s
barrier = threading.Barrier(8)
threads = [threading.Thread(target=lambda: (barrier.wait(), use())) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""
COPIES = """
from reconciler.seats.document import copy_of, data_of
from reconciler.seats.protocol import Ballot, Copy
found = {"data": data_of(Copy(Ballot(1, "a")), "")}
use = lambda: copy_of(found)
"""
DISCOVERY = """
from reconciler.cluster.discovery import parse_aggregated
use = lambda: parse_aggregated({"items": []})
"""


@pytest.mark.parametrize("first", [COPIES, DISCOVERY], ids=["copies", "discovery"])
def test_the_first_use_by_eight_threads_at_once_does_not_crash(first: str) -> None:
    for _ in range(12):
        done = subprocess.run([sys.executable, "-c", FIRST_USE % first], cwd=ROOT, check=False)
        assert done.returncode == 0
