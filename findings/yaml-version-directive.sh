#!/usr/bin/env bash
# go.yaml.in/yaml/v3 v3.0.6 and v4 v4.0.0, sigs.k8s.io/yaml v1.6.0 and k8s.io/apimachinery v0.37.2 (the decoder with
# which kubectl reads a file), Go modules; PyYAML 6.0.4 and ruamel.yaml 0.19.1 from PyPI.
#
# A good guess: a file that begins with "%YAML 1.2" is the safest YAML there is: who knows 1.2 reads it by 1.2, where
# yes is a text, and who knows only 1.1 says so.
#
# Instead the Go libraries refuse 1.2, and take 1.1, to then read it by 1.2: yes is a text in v3 and v4.
# PyYAML takes 1.2 and reads it by 1.1, where yes is true. ruamel.yaml alone goes by what the line says; and writes
# "%YAML 1.2" again on top of what it read, for the others to refuse. Kubernetes' decoder refuses both lines, as it
# cuts the stream at "---" before any of it is parsed, which leaves the line as a document of its own; for the same
# reason it takes no document that begins on the line of its "---".
#
# Seen (value of a: Go v3 and v4, sigs.k8s.io/yaml, Kubernetes' decoder, PyYAML, ruamel.yaml):
#   %YAML 1.2, ---, a: yes    error   error   error   true   text
#   %YAML 1.1, ---, a: yes    text    true    error   true   true
#   --- {a: yes}              text    true    error   true   text
#   ---, a: yes               text    true    true    true   text    (the control)
set -euo pipefail

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check PyYAML==6.0.4 ruamel.yaml==0.19.1

mkdir "$work/go"
cat >"$work/go/go.mod" <<'MOD'
module example.com/finding

go 1.26.0

require (
	go.yaml.in/yaml/v3 v3.0.6
	go.yaml.in/yaml/v4 v4.0.0
	k8s.io/apimachinery v0.37.2
	sigs.k8s.io/yaml v1.6.0
)
MOD
cat >"$work/go/main.go" <<'GO'
package main

import (
	"bytes"
	"fmt"
	"io"
	"os"

	v3 "go.yaml.in/yaml/v3"
	v4 "go.yaml.in/yaml/v4"
	stream "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

func member(load func([]byte, any) error, text []byte) string {
	var object map[string]any
	if load(text, &object) != nil {
		return "error"
	}
	if object["a"] == "yes" {
		return "text"
	}
	return fmt.Sprint(object["a"])
}

func main() {
	text, err := io.ReadAll(os.Stdin)
	if err != nil {
		panic(err)
	}
	fmt.Println(
		member(v3.Unmarshal, text),
		member(func(text []byte, into any) error { return v4.Unmarshal(text, into) }, text),
		member(func(text []byte, into any) error { return yaml.Unmarshal(text, into) }, text),
		member(func(text []byte, into any) error {
			return stream.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096).Decode(into)
		}, text),
	)
}
GO
export GOMODCACHE="$work/modules" GOFLAGS="-modcacherw -trimpath -mod=mod"
(cd "$work/go" && go build -o "$work/member" . 2>"$work/go.log") || {
    cat "$work/go.log" >&2
    exit 1
}

"$work/venv/bin/python" - "$work/member" <<'PY'
import io
import subprocess
import sys

import yaml
from ruamel.yaml import YAML

EXPECTED = {
    "%YAML 1.2\n---\na: yes\n": "error error error error true text",
    "%YAML 1.1\n---\na: yes\n": "text text true error true true",
    "--- {a: yes}\n": "text text true error true text",
    "---\na: yes\n": "text text true true true text",
}


def told(value):
    return {"yes": "text", True: "true"}.get(value, repr(value))


changed = False
for text, expected in EXPECTED.items():
    answer = subprocess.run(sys.argv[1], input=text, text=True, capture_output=True, check=True)
    seen = [answer.stdout.strip(), told(yaml.safe_load(text)["a"]), told(YAML().load(text)["a"])]
    if " ".join(seen) != expected:
        changed = True
        print(f"changed: {text!r}: was {expected}, is {' '.join(seen)}", file=sys.stderr)
first, written = next(iter(EXPECTED)), io.StringIO()
both_ways = YAML()
both_ways.dump(both_ways.load(first), written)
if written.getvalue() != first:
    changed = True
    print(f"changed: ruamel.yaml writes {written.getvalue()!r}", file=sys.stderr)
if changed:
    sys.exit(1)
print("holds: Go refuses %YAML 1.2 and reads 1.1 as 1.2, PyYAML reads 1.2 as 1.1, kubectl's decoder refuses both")
PY
