#!/usr/bin/env bash
# cosmic-ray 8.4.3 from PyPI, the mutation tester.
#
# A good guess: its arithmetic operators change arithmetic, so that a module that computes nothing has no such
# mutants, and a mutant that is "killed" is one that a test noticed.
#
# Instead every star and bar counts as arithmetic. `{**one, **two}` is a power: its mutants are no Python any more,
# die of a SyntaxError in whatever the test command imports, and raise the share that is killed. The bare `*` of
# a signature is a multiplication: as a division, `/`, it is Python again, with the opposite meaning (parameters
# before it by position only, instead of those after it by name only), and tests that call as meant do not
# notice. `int | None` in an annotation is a bitwise or, changed into what nobody ever evaluates under
# `from __future__ import annotations`.
#
# Seen in a module without any arithmetic, with one test of each function:
#   {**one, **two}         22 mutants, all killed
#   def pair(a, *, b)      11 mutants, 10 killed; `*` as `/` survives
#   int | None             11 mutants, all survive
#   f(*items), f(**named)  no mutants
set -euo pipefail

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check cosmic-ray==8.4.3
cd "$work"

cat >stars.py <<'PY'
from __future__ import annotations


def merged(one, two):
    return {**one, **two}


def pair(a, *, b):
    return a, b


def same(value: int | None):
    return value


def passed_on(function, *items, **named):
    return function(*items, **named)
PY
cat >check.py <<'PY'
import stars

assert stars.merged({"a": "x"}, {"b": "y"}) == {"a": "x", "b": "y"}
assert stars.pair("x", b="y") == ("x", "y")
assert stars.same("x") == "x"
assert stars.passed_on(stars.pair, "x", b="y") == ("x", "y")
PY
cat >session.toml <<TOML
[cosmic-ray]
module-path = "stars.py"
timeout = 30.0
excluded-modules = []
test-command = "$work/venv/bin/python -B check.py"

[cosmic-ray.distributor]
name = "local"
TOML
venv/bin/python -B check.py
venv/bin/cosmic-ray init session.toml session.sqlite
venv/bin/cosmic-ray exec session.toml session.sqlite
venv/bin/cosmic-ray dump session.sqlite >mutants.jsonl

venv/bin/python - <<'PY'
import json
import sys
from collections import Counter

LINES = {5: "merged", 8: "pair", 12: "same", 16: "passed_on"}
EXPECTED = {
    ("merged", "killed"): 22,
    ("pair", "killed"): 10,
    ("pair", "survived"): 1,
    ("same", "survived"): 11,
}
seen, survivors = Counter(), []
with open("mutants.jsonl") as lines:
    for line in lines:
        job, result = json.loads(line)
        (mutation,) = job["mutations"]
        if not mutation["operator_name"].startswith("core/ReplaceBinaryOperator_"):
            continue
        where, outcome = LINES.get(mutation["start_pos"][0], "elsewhere"), result["test_outcome"]
        seen[where, outcome] += 1
        if (where, outcome) == ("pair", "survived"):
            survivors.append(mutation["operator_name"].removeprefix("core/ReplaceBinaryOperator_"))
if dict(seen) != EXPECTED or survivors != ["Mul_Div"]:
    sys.exit(f"changed: was {EXPECTED} with Mul_Div surviving, is {dict(seen)} with {survivors}")
print("holds: 44 arithmetic mutants of a module that computes nothing")
PY
