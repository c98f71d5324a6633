#!/usr/bin/env bash
# cel-python 0.5.0 from PyPI; cel.dev/cel-go v0.33.2 (the name that github.com/google/cel-go has now) as a
# Go module. API servers evaluate CEL with the latter.
#
# A good guess: an expression that both compile and evaluate has one value: the language has a specification.
#
# Instead Python shows through. A boolean becomes the text "True", a list counts from its end for a
# negative index, a duration or a timestamp loses its fraction of a second on the way to text, a bare date
# is a timestamp, "1d" a duration; NaN equals NaN; and numbers of two types are not compared under dyn().
# A validation rule tried out with cel-python may be refused by a server, or say something else there.
#
# Seen (expression: Python, Go):
#   string(true)                                  True                  true
#   [1, 2, 3][-1]                                 3                     error
#   string(duration("1500ms"))                    1s                    1.5s
#   string(timestamp("2026-01-01T00:00:00.5Z"))   2026-01-01T00:00:00Z  2026-01-01T00:00:00.5Z
#   string(timestamp("2026-01-01"))               2026-01-01T00:00:00Z  error
#   string(duration("1d"))                        86400s                error
#   0.0 / 0.0 == 0.0 / 0.0 ? "same" : "other"     same                  other
#   dyn(1) == dyn(1.0) ? "same" : "other"         error                 same
#   string(duration("90m"))                       5400s                 5400s    (the control)
set -euo pipefail

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check cel-python==0.5.0

mkdir "$work/go"
cat >"$work/go/go.mod" <<'MOD'
module example.com/finding

go 1.24

require cel.dev/cel-go v0.33.2
MOD
cat >"$work/go/main.go" <<'GO'
package main

import (
	"bufio"
	"fmt"
	"os"

	"cel.dev/cel-go/cel"
)

func evaluate(env *cel.Env, expression string) string {
	ast, issues := env.Compile(expression)
	if issues.Err() != nil {
		return "does not compile"
	}
	program, err := env.Program(ast)
	if err != nil {
		return "no program"
	}
	value, _, err := program.Eval(map[string]any{})
	if err != nil {
		return "error"
	}
	return fmt.Sprint(value.Value())
}

func main() {
	env, err := cel.NewEnv()
	if err != nil {
		panic(err)
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		fmt.Println(evaluate(env, lines.Text()))
	}
}
GO
export GOMODCACHE="$work/modules" GOFLAGS="-modcacherw -trimpath -mod=mod"
(cd "$work/go" && go build -o "$work/evaluate" . 2>"$work/go.log") || {
    cat "$work/go.log" >&2
    exit 1
}

"$work/venv/bin/python" - "$work/evaluate" <<'PY'
import subprocess
import sys

import celpy

EXPECTED = {
    "string(true)": ("True", "true"),
    "[1, 2, 3][-1]": ("3", "error"),
    'string(duration("1500ms"))': ("1s", "1.5s"),
    'string(timestamp("2026-01-01T00:00:00.5Z"))': ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00.5Z"),
    'string(timestamp("2026-01-01"))': ("2026-01-01T00:00:00Z", "error"),
    'string(duration("1d"))': ("86400s", "error"),
    '0.0 / 0.0 == 0.0 / 0.0 ? "same" : "other"': ("same", "other"),
    'dyn(1) == dyn(1.0) ? "same" : "other"': ("error", "same"),
    'string(duration("90m"))': ("5400s", "5400s"),
}


def python(expression):
    environment = celpy.Environment()
    program = environment.program(environment.compile(expression))
    try:
        return str(program.evaluate({}))
    except celpy.CELEvalError:
        return "error"


answers = subprocess.run(sys.argv[1], input="\n".join(EXPECTED), text=True, capture_output=True, check=True)
changed = False
for (expression, expected), go in zip(EXPECTED.items(), answers.stdout.splitlines(), strict=True):
    seen = (python(expression), go)
    if seen != expected:
        changed = True
        print(f"changed: {expression}: (Python, Go) was {expected}, is {seen}", file=sys.stderr)
if changed:
    sys.exit(1)
print("holds: one CEL expression, other values in cel-python and in cel-go")
PY
