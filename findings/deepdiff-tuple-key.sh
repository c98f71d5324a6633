#!/usr/bin/env bash
# deepdiff 9.1.0, from PyPI.
#
# A good guess: t1 + Delta(DeepDiff(t1, t2)) is t2; and where a path cannot be followed, the Delta says so.
#
# Instead the path of a tuple key is written as if each of its parts were a key of its own: the value at
# (1, 2) and the value at 1, then at 2, are both root[1][2]. Where only the tuple is there, the delta does
# nothing (a line in the log, no exception unless raise_errors=True). Where both are there, it changes the
# other one: the result is neither t1 nor t2, with nothing logged, and raise_errors does not help.
# bidirectional=True notices, because it compares the old value first.
#
# Seen, for t1 = {(1, 2): "old", 1: {2: "bystander"}} and t2 with "new" in place of "old":
#   path     root[1][2]
#   t1 + d   {(1, 2): 'old', 1: {2: 'new'}}
set -euo pipefail

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check deepdiff==9.1.0

"$work/venv/bin/python" - <<'PY'
import logging
import sys

from deepdiff import DeepDiff, Delta
from deepdiff.delta import DeltaError

logging.disable()
changed = False


def check(what, seen, expected):
    global changed
    if seen != expected:
        changed = True
        print(f"changed: {what}: was {expected!r}, is {seen!r}", file=sys.stderr)


def applied(before, after, **options):
    try:
        return before + Delta(DeepDiff(before, after), **options)
    except DeltaError:
        return "DeltaError"


before = {(1, 2): "old", 1: {2: "bystander"}}
after = {(1, 2): "new", 1: {2: "bystander"}}
wrong = {(1, 2): "old", 1: {2: "new"}}
check("the path", list(DeepDiff(before, after)["values_changed"]), ["root[1][2]"])
check("both keys", applied(before, after), wrong)
check("both keys, raise_errors", applied(before, after, raise_errors=True), wrong)
check("both keys, bidirectional", applied(before, after, raise_errors=True, bidirectional=True), "DeltaError")
check("the tuple alone", applied({(1, 2): "old"}, {(1, 2): "new"}), {(1, 2): "old"})
check("the tuple alone, raise_errors", applied({(1, 2): "old"}, {(1, 2): "new"}, raise_errors=True), "DeltaError")
check("a text as key (control)", applied({"1, 2": "old"}, {"1, 2": "new"}), {"1, 2": "new"})
if changed:
    sys.exit(1)
print("holds: a Delta for the value of a tuple key changes a nested value that has the same path")
PY
