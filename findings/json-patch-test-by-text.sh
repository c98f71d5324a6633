#!/usr/bin/env bash
# github.com/evanphx/json-patch v4.13.0 (what API servers apply JSON patches with) and its v5.9.11, Go
# modules; jsonpatch 1.48 from PyPI.
#
# A good guess: `test` compares values, as RFC 6902 says (numbers by what they amount to, strings by their
# characters), and fails when there is nothing at the path; so a patch guarded by a `test` comes to one
# result in every library.
#
# Instead both Go versions compare a number by how it is written: 1 is not 1.0, 10 is not 1e1. v4 does
# the same with strings, so that a letter is not its own \u escape, which v5 has mended. And in both, a
# member that is missing passes a `test` against null. Python's library goes by the RFC in all four. A
# client that tries its patch in Python foresees the wrong outcome either way.
#
# Seen (does the test pass: v4, v5, Python):
#   {"a":1}     a = 1.0        no   no   yes
#   {"a":10}    a = 1e1        no   no   yes
#   {"a":"k"}   a = "\u006b"   no   yes  yes
#   {"a":1}     b = null       yes  yes  no
#   {"a":null}  a = null       yes  yes  yes   (the control)
set -euo pipefail

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check jsonpatch==1.48

mkdir "$work/go"
cat >"$work/go/go.mod" <<'MOD'
module example.com/finding

go 1.24

require (
	github.com/evanphx/json-patch v4.13.0+incompatible
	github.com/evanphx/json-patch/v5 v5.9.11
)
MOD
cat >"$work/go/main.go" <<'GO'
package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	four "github.com/evanphx/json-patch"
	five "github.com/evanphx/json-patch/v5"
)

func verdict(err error) string {
	if err != nil {
		return "no"
	}
	return "yes"
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		document, patch, _ := strings.Cut(lines.Text(), "\t")
		p4, err := four.DecodePatch([]byte(patch))
		if err != nil {
			panic(err)
		}
		p5, err := five.DecodePatch([]byte(patch))
		if err != nil {
			panic(err)
		}
		_, err4 := p4.Apply([]byte(document))
		_, err5 := p5.Apply([]byte(document))
		fmt.Println(verdict(err4), verdict(err5))
	}
}
GO
export GOMODCACHE="$work/modules" GOFLAGS="-modcacherw -trimpath -mod=mod"
(cd "$work/go" && go build -o "$work/patch" . 2>"$work/go.log") || {
    cat "$work/go.log" >&2
    exit 1
}

"$work/venv/bin/python" - "$work/patch" <<'PY'
import json
import subprocess
import sys

import jsonpatch

EXPECTED = [
    ('{"a":1}', "/a", "1.0", "no no yes"),
    ('{"a":10}', "/a", "1e1", "no no yes"),
    ('{"a":"k"}', "/a", r'"\u006b"', "no yes yes"),
    ('{"a":1}', "/b", "null", "yes yes no"),
    ('{"a":null}', "/a", "null", "yes yes yes"),
]


def python(document, patch):
    try:
        jsonpatch.JsonPatch.from_string(patch).apply(json.loads(document))
    except jsonpatch.JsonPatchTestFailed:
        return "no"
    return "yes"


patches = [(d, f'[{{"op":"test","path":"{p}","value":{v}}}]') for d, p, v, _ in EXPECTED]
lines = "\n".join(map("\t".join, patches))
answers = subprocess.run(sys.argv[1], input=lines, text=True, capture_output=True, check=True).stdout
changed = False
for (document, patch), go, (*_, expected) in zip(patches, answers.splitlines(), EXPECTED, strict=True):
    seen = f"{go} {python(document, patch)}"
    if seen != expected:
        changed = True
        print(f"changed: {patch} on {document}: v4, v5, Python were {expected}, are {seen}", file=sys.stderr)
if changed:
    sys.exit(1)
print("holds: Go's `test` goes by how a number is written and takes a missing member for null; Python's does not")
PY
