"""A process that reads and changes a register by chance, and writes down what it saw.

python -m tests.e2e.seats.taking_turns <kubeconfig> <number> <file of its history>
"""

from __future__ import annotations

import json
import random
import sys
import time
from itertools import count
from pathlib import Path

from msgspec.structs import replace

from reconciler.api.errors import ReconcileError
from reconciler.cluster.connect import Connector
from reconciler.seats.document import RegisterDocument
from reconciler.seats.register import Register

NAMESPACE = "federation-system"


def main() -> None:
    kubeconfig, number, path = sys.argv[1:]
    chance = random.Random()
    contexts = Connector.from_file(kubeconfig, NAMESPACE).kubeconfig.contexts
    with Path(path).open("a", encoding="utf-8") as file:
        for turn in count():
            # A new one now and then, as a new run would have; it begins with what it reads.
            if turn % 8 == 0:
                seats = {
                    name: Connector.from_file(kubeconfig, NAMESPACE, host_context=name).host()
                    for name in contexts
                }
                register = Register(seats, NAMESPACE, "shop", request_seconds=2.0, patience=4.0)
            value = f"{number}-{time.monotonic_ns()}" if chance.random() < 0.6 else ""
            print(
                json.dumps({"called": time.monotonic_ns(), "value": value}), file=file, flush=True
            )
            told = turn_of(register, value)
            print(json.dumps({"returned": time.monotonic_ns(), **told}), file=file, flush=True)
            time.sleep(chance.uniform(0.0, 0.1))


def turn_of(register: Register, value: str) -> dict[str, str]:
    """One swap, or one read where there is no value; what came of it."""

    def swapped(document: RegisterDocument) -> RegisterDocument:
        before = document.memory.get("value", "")
        return replace(document, memory={"value": value, "before": before})

    try:
        document = register.change(swapped) if value else register.settle()
    except ReconcileError:
        return {"outcome": "unknown"}
    if not value:
        return {"outcome": "seen", "saw": document.memory.get("value", "")}
    if document.memory.get("value") != value:
        # It was carried out by somebody who found it half done, and others came since.
        return {"outcome": "done"}
    return {"outcome": "seen", "saw": document.memory["before"]}


if __name__ == "__main__":
    main()
