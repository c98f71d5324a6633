"""Imports within functions, made by many threads at once, as a retry of sixteen writes makes them.

A package that is entered by one of its parts in one thread and by its top in another ends with
"deadlock detected by _ModuleLock" in one of them: the first holds the part and wants the package,
the second the other way round. So functions enter a library by its top.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "reconciler"

TOGETHER = """
import random, sys, threading, time
import reconciler.run.pipeline

class Slow:
    "A disk that answers late, so that threads meet in the middle of an import."
    def find_spec(self, name, path=None, target=None):
        time.sleep(random.random() / 250)

statements = 2 * sys.stdin.read().split("\\0")
random.shuffle(statements)
start = threading.Barrier(len(statements))
faults = []

def work(statement):
    start.wait()
    try:
        exec(statement, {})
    except ModuleNotFoundError:
        pass  # An extra that is not installed.
    except BaseException as error:
        faults.append(f"{statement}: {error!r}")

sys.meta_path.insert(0, Slow())
threads = [threading.Thread(target=work, args=(one,)) for one in statements]
for one in threads:
    one.start()
for one in threads:
    one.join()
print("\\n".join(faults) or "none")
"""


def imports_within(node: ast.AST, *, in_function: bool = False) -> Iterator[str]:
    """The import statements of functions; those that follow each other are one text."""
    together: list[str] = []
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom) and in_function:
            together.append(ast.unparse(child))
            continue
        is_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
        yield from imports_within(child, in_function=in_function or is_function)
    if together:
        yield "\n".join(together)


def statements() -> list[str]:
    """Those outside the command line, whose own functions run in one thread."""
    files = [f for f in sorted(PACKAGE.rglob("*.py")) if PACKAGE / "cli" not in f.parents]
    return sorted({one for file in files for one in imports_within(ast.parse(file.read_text()))})


@pytest.mark.parametrize("attempt", range(3))
def test_threads_may_import_at_the_same_time(attempt: int) -> None:
    found = statements()
    assert len(found) > 100
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", TOGETHER],
        input="\0".join(found),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout == "none\n", done.stdout + done.stderr
