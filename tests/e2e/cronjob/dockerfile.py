"""A Dockerfile as values: its stages, their instructions, what variables come to in them."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
DOCKERFILE = ROOT / "cronjob" / "Dockerfile"
# What the base image of Python sets.
PYTHON_PATH = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class Instruction:
    """``RUN``, ``COPY``, ...; ``line`` is where it begins."""

    name: str
    text: str
    line: int


@dataclass
class Stage:
    """From one FROM to the next. ``environment`` is what processes of the finished stage see."""

    name: str
    base: str
    instructions: list[Instruction] = field(default_factory=list)

    def of(self, name: str) -> list[Instruction]:
        return [one for one in self.instructions if one.name == name]

    def environment(self, given: dict[str, str] | None = None) -> dict[str, str]:
        """ENV after ENV; ``given`` is the base's."""
        found = dict(given or {"PATH": PYTHON_PATH})
        for instruction in self.of("ENV"):
            for pair in shlex.split(instruction.text):
                name, _, value = pair.partition("=")
                found[name] = expanded(value, found)
        return found

    def only(self, name: str) -> str:
        """The text of an instruction that stands there once."""
        (found,) = self.of(name)
        return found.text


def expanded(text: str, values: dict[str, str]) -> str:
    """``$NAME`` and ``${NAME}`` replaced; what is not set is an error, not an empty text."""
    return re.sub(r"\$\{?(\w+)\}?", lambda match: values[match[1]], text)


def stages(path: Path = DOCKERFILE) -> dict[str, Stage]:
    """By name, in the order of the file; one without a name has its number."""
    found: dict[str, Stage] = {}
    arguments: dict[str, str] = {}
    current: Stage | None = None
    for instruction in instructions(path.read_text(encoding="utf-8")):
        if instruction.name == "FROM":
            base, _, name = instruction.text.partition(" AS ")
            current = Stage(name or str(len(found)), expanded(base, arguments))
            found[current.name] = current
        elif current is None:
            assert instruction.name == "ARG", instruction
            name, _, value = instruction.text.partition("=")
            arguments[name] = value
        else:
            current.instructions.append(instruction)
    return found


def instructions(text: str) -> list[Instruction]:
    """Lines that end in a backslash are joined; comments between them are left out."""
    found: list[Instruction] = []
    parts: list[str] = []
    began = 0
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        began = began if parts else number
        parts.append(line.strip().removesuffix("\\").strip())
        if not line.rstrip().endswith("\\"):
            name, _, rest = " ".join(parts).partition(" ")
            found.append(Instruction(name, rest.strip(), began))
            parts = []
    return found
