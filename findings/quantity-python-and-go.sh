#!/usr/bin/env bash
# kubernetes 37.0.2 (the Python client) from PyPI; k8s.io/apimachinery v0.37.2 (what API servers read
# quantities with) as a Go module.
#
# A good guess: kubernetes.utils.quantity.parse_quantity and resource.ParseQuantity read one language, the
# one that the function's text links to: what one takes the other takes, as the same number.
#
# Instead the Python one hands the digits to decimal.Decimal, which knows more forms: spaces, underscores,
# NaN, and an exponent together with a suffix. No server takes these. The other way round, a suffix alone
# is 0 to Go and an error to Python. Where both agree that a text is valid, Go rounds up to a whole
# nano and stops at 2^63-1 for a binary suffix, Python keeps the number; so "fits within" can differ.
#
# Seen:
#   text      Python                Go
#   "512 Mi"  536870912             error
#   "1_000"   1000                  error
#   "1e3Ki"   1024000               error
#   "NaN"     NaN                   error
#   "Ki"      error                 0
#   "0.1n"    0.0000000001          0.000000001
#   "10Ei"    11529215046068469760  9223372036854775807
#   "1.5Gi"   1610612736            1610612736     (the control)
set -euo pipefail

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check kubernetes==37.0.2

mkdir "$work/go"
cat >"$work/go/go.mod" <<'MOD'
module example.com/finding

go 1.26.0

require k8s.io/apimachinery v0.37.2
MOD
cat >"$work/go/main.go" <<'GO'
package main

import (
	"bufio"
	"fmt"
	"os"

	"k8s.io/apimachinery/pkg/api/resource"
)

func main() {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		quantity, err := resource.ParseQuantity(lines.Text())
		if err != nil {
			fmt.Println("error")
			continue
		}
		fmt.Println(quantity.AsDec())
	}
}
GO
export GOMODCACHE="$work/modules" GOFLAGS="-modcacherw -trimpath -mod=mod"
(cd "$work/go" && go build -o "$work/parse" . 2>"$work/go.log") || {
    cat "$work/go.log" >&2
    exit 1
}

"$work/venv/bin/python" - "$work/parse" <<'PY'
import subprocess
import sys
from decimal import Decimal

from kubernetes.utils.quantity import parse_quantity

EXPECTED = {
    "512 Mi": ("536870912", "error"),
    "1_000": ("1000", "error"),
    "1e3Ki": ("1024000", "error"),
    "NaN": ("NaN", "error"),
    "Ki": ("error", "0"),
    "0.1n": ("1E-10", "1E-9"),
    "10Ei": ("11529215046068469760", "9223372036854775807"),
    "1.5Gi": ("1610612736", "1610612736"),
}


def python(text):
    try:
        return parse_quantity(text)
    except ValueError:
        return "error"


def same(seen, expected):
    if "error" in (seen, expected):
        return seen == expected
    seen, expected = Decimal(seen), Decimal(expected)
    return seen == expected or (seen.is_nan() and expected.is_nan())


answers = subprocess.run(sys.argv[1], input="\n".join(EXPECTED), text=True, capture_output=True, check=True)
changed = False
for (text, expected), go in zip(EXPECTED.items(), answers.stdout.splitlines(), strict=True):
    seen = (python(text), go)
    if not all(map(same, seen, expected)):
        changed = True
        print(f"changed: {text!r}: (Python, Go) was {expected}, is {tuple(map(str, seen))}", file=sys.stderr)
if changed:
    sys.exit(1)
print("holds: parse_quantity takes texts that no API server takes, refuses one that it takes, "
      "and gives other numbers at the edges")
PY
