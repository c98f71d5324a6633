"""Histories of a register, and whether they are linearizable: some order of all that was asked,
each at one moment between its call and its return, explains every answer.

``porcupine`` decides. It is built once for each machine, beside the control planes of the tests.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.controlplane.build import Unavailable, _cache

SOURCES = Path(__file__).parent / "linearizable"
NEVER = 2**62


@dataclass(frozen=True)
class Operation:
    """A read, or a swap, which sets ``value``; ``saw`` is what was there. Times are nanoseconds."""

    process: int
    swap: bool
    value: str
    known: bool
    saw: str
    called: int
    returned: int


def checker() -> Path:
    """The program. Raises Unavailable without Go."""
    go = shutil.which("go")
    if go is None:
        raise Unavailable("there is no Go on the PATH, which builds the checker of histories")
    digest = hashlib.sha256()
    for name in ("go.mod", "go.sum", "main.go"):
        digest.update(b"\0" + (SOURCES / name).read_bytes())
    folder = _cache({}).parent / "linearizable" / digest.hexdigest()[:16]
    program = folder / "linearizable"
    if not program.exists():
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / f"partial-{id(folder)}"
        command = [go, "build", "-trimpath", "-mod=readonly", "-o", str(partial), "."]
        subprocess.run(command, cwd=SOURCES, check=True, capture_output=True, text=True)
        partial.replace(program)
    return program


def is_linearizable(history: Iterable[Operation]) -> bool:
    """Raises AssertionError when that could not be found out."""
    text = "".join(json.dumps(asdict(one)) + "\n" for one in _that_matter(list(history)))
    done = subprocess.run([checker()], input=text, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.returncode == 0


def _that_matter(history: list[Operation]) -> list[Operation]:
    """Without the swaps of unknown outcome whose value nobody saw: each fits behind everything, so
    it changes no answer, and a search that tries it in every other place takes minutes to say no.
    """
    seen = {one.saw for one in history if one.known}
    return [one for one in history if one.returned < NEVER or one.value in seen]


def of_lines(process: int, lines: Iterable[str]) -> list[Operation]:
    """What one process wrote: a line before each call, and one after each return that it lived to
    see. What has no return, or whose outcome is not known, may be carried out at any later time."""
    found: list[Operation] = []
    for line in lines:
        try:
            told = json.loads(line)
        except json.JSONDecodeError:
            # It was killed in mid-line.
            continue
        if "called" in told:
            swap = bool(told["value"])
            found.append(Operation(process, swap, told["value"], False, "", told["called"], NEVER))
        elif told["outcome"] != "unknown":
            last = found.pop()
            known, saw = told["outcome"] == "seen", told.get("saw", "")
            found.append(
                Operation(process, last.swap, last.value, known, saw, last.called, told["returned"])
            )
    # A read that nobody saw the answer of says nothing.
    return [one for one in found if one.swap or one.known]
