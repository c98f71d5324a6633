#!/usr/bin/env bash
# PyYAML 6.0.4 from PyPI; js-yaml 4.3.2 and 5.5.0 from npm; go.yaml.in/yaml/v3 v3.0.6 and github.com/goccy/go-yaml
# v1.19.2 as Go modules.
#
# A good guess: who knows the merge key `<<` at all merges by the rule that is written down for it: a key of the map
# itself wins, wherever it stands, and of a list of maps the first one that has the key; and a later major version of
# a library merges as the one before did.
#
# Instead goccy/go-yaml lets whatever comes last win: a key that is set before the `<<` is overwritten by what is
# merged, and of a list the last map counts. And js-yaml 5 does not merge any more, without an error: `<<` is a key
# like others, which travels on in the result, and the merged keys are absent. A file with a `<<` below
# the keys that it must not touch has three readings.
#
# Seen, after "base: &base {c: base, d: base}" (PyYAML, js-yaml 4 and Go v3 : goccy : js-yaml 5):
#   {<<: *base, c: own}            c=own d=base  : c=own d=base  : <<=... c=own
#   {c: own, <<: *base}            c=own d=base  : c=base d=base : <<=... c=own
#   {<<: [{c: first}, {c: last}]}  c=first       : c=last        : <<=...
set -euo pipefail

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check PyYAML==6.0.4
mkdir "$work/npm"
npm --prefix "$work/npm" --silent --no-audit --no-fund --ignore-scripts \
    install four@npm:js-yaml@4.3.2 five@npm:js-yaml@5.5.0

cat >"$work/npm/load.cjs" <<'JS'
const yaml = require(process.argv[2]);
const text = require("node:fs").readFileSync(0, "utf8");
process.stdout.write(JSON.stringify(yaml.load(text)));
JS

mkdir "$work/go"
cat >"$work/go/go.mod" <<'MOD'
module example.com/finding

go 1.24

require (
	github.com/goccy/go-yaml v1.19.2
	go.yaml.in/yaml/v3 v3.0.6
)
MOD
cat >"$work/go/main.go" <<'GO'
package main

import (
	"encoding/json"
	"io"
	"os"

	"github.com/goccy/go-yaml"
	v3 "go.yaml.in/yaml/v3"
)

func main() {
	text, err := io.ReadAll(os.Stdin)
	if err != nil {
		panic(err)
	}
	var value any
	if os.Args[1] == "goccy" {
		err = yaml.Unmarshal(text, &value)
	} else {
		err = v3.Unmarshal(text, &value)
	}
	if err != nil {
		panic(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(value); err != nil {
		panic(err)
	}
}
GO
export GOMODCACHE="$work/modules" GOFLAGS="-modcacherw -trimpath -mod=mod"
(cd "$work/go" && go build -o "$work/load" . 2>"$work/go.log") || {
    cat "$work/go.log" >&2
    exit 1
}

"$work/venv/bin/python" - "$work" <<'PY'
import json
import subprocess
import sys

import yaml

WORK = sys.argv[1]
BASE = {"c": "base", "d": "base"}
OWN, LIST = {"c": "own", "d": "base"}, [{"c": "first"}, {"c": "last"}]
# (by the rule, goccy, js-yaml 5)
EXPECTED = {
    "{<<: *base, c: own}": (OWN, OWN, {"<<": BASE, "c": "own"}),
    "{c: own, <<: *base}": (OWN, BASE, {"<<": BASE, "c": "own"}),
    "{<<: [{c: first}, {c: last}]}": (LIST[0], LIST[1], {"<<": LIST}),
}
# Reader: (its command, which of the three it is expected to be)
COMMANDS = {
    "js-yaml 4": (["node", f"{WORK}/npm/load.cjs", "four"], 0),
    "Go v3": ([f"{WORK}/load", "v3"], 0),
    "goccy": ([f"{WORK}/load", "goccy"], 1),
    "js-yaml 5": (["node", f"{WORK}/npm/load.cjs", "five"], 2),
}

changed = False
for written, expected in EXPECTED.items():
    text = f"base: &base {{c: base, d: base}}\nit: {written}\n"
    seen = {"PyYAML": (yaml.safe_load(text)["it"], 0)}
    for reader, (command, which) in COMMANDS.items():
        answer = subprocess.run(command, input=text, capture_output=True, check=True, text=True)
        seen[reader] = (json.loads(answer.stdout)["it"], which)
    for reader, (value, which) in seen.items():
        if value != expected[which]:
            changed = True
            print(f"changed: {reader}, {written}: was {expected[which]}, is {value}", file=sys.stderr)
if changed:
    sys.exit(1)
print("holds: goccy/go-yaml merges over the map's own keys, and js-yaml 5 does not merge at all")
PY
