#!/usr/bin/env bash
# k8s.io/client-go v0.37.2 (util/jsonpath: the paths of kubectl's -o jsonpath, of `kubectl wait` and of a CRD's
# additionalPrinterColumns), a Go module; jsonpath-rfc9535 1.0.1 from PyPI.
#
# A good guess: where the two take the same path they find the same: kubectl's JSONPath is the usual one, in braces,
# and with no more than less of it (no && or ||).
#
# Instead it reads common parts otherwise. A slice that reaches past the end is an error, not the rest. A name in
# brackets and quotes is still split at its dot, so that ['a.b'] is b in a, where there is one. Several names in
# brackets give all values of the first, then all of the second, not item by item. A filter with != leaves out an
# item that lacks the member (and is an error unless missing keys are allowed), where in the RFC what is
# missing is unequal. And one item whose member has another type makes the whole filter fail.
#
# Seen (client-go, missing keys allowed; RFC 9535):
#   .n[1:9]                    error      1 2
#   ['a.b']                    nested     dotted
#   .l[*]['k','v']             a b x y    a x b y
#   .l[?(@.w!="x")].k          none       a b       (nobody has w)
#   .m[?(@.v==1)].k            error      a         (another v is "1")
#   .l[?(@.v=="y")].k          b          b         (the control)
set -euo pipefail

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check jsonpath-rfc9535==1.0.1

mkdir "$work/go"
cat >"$work/go/go.mod" <<'MOD'
module example.com/finding

go 1.26.0

require k8s.io/client-go v0.37.2
MOD
cat >"$work/go/main.go" <<'GO'
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"k8s.io/client-go/util/jsonpath"
)

// whole makes integers int64, as the decoder of Kubernetes does.
func whole(value any) any {
	switch value := value.(type) {
	case map[string]any:
		for key, member := range value {
			value[key] = whole(member)
		}
	case []any:
		for i, item := range value {
			value[i] = whole(item)
		}
	case float64:
		return int64(value)
	}
	return value
}

func main() {
	var object any
	if err := json.Unmarshal([]byte(os.Args[1]), &object); err != nil {
		panic(err)
	}
	object = whole(object)
	for _, path := range os.Args[2:] {
		parsed := jsonpath.New("path").AllowMissingKeys(true)
		if err := parsed.Parse("{" + path + "}"); err != nil {
			panic(err)
		}
		var found strings.Builder
		if parsed.Execute(&found, object) != nil {
			fmt.Println("error")
			continue
		}
		fmt.Println(found.String())
	}
}
GO
export GOMODCACHE="$work/modules" GOFLAGS="-modcacherw -trimpath -mod=mod"
(cd "$work/go" && go build -o "$work/find" . 2>"$work/go.log") || {
    cat "$work/go.log" >&2
    exit 1
}

"$work/venv/bin/python" - "$work/find" <<'PY'
import json
import subprocess
import sys

import jsonpath_rfc9535

OBJECT = {
    "n": [0, 1, 2],
    "a.b": "dotted",
    "a": {"b": "nested"},
    "l": [{"k": "a", "v": "x"}, {"k": "b", "v": "y"}],
    "m": [{"k": "a", "v": 1}, {"k": "b", "v": "1"}],
}
EXPECTED = {
    ".n[1:9]": ("error", "1 2"),
    "['a.b']": ("nested", "dotted"),
    ".l[*]['k','v']": ("a b x y", "a x b y"),
    '.l[?(@.w!="x")].k': ("", "a b"),
    ".m[?(@.v==1)].k": ("error", "a"),
    '.l[?(@.v=="y")].k': ("b", "b"),
}
answers = subprocess.run([sys.argv[1], json.dumps(OBJECT), *EXPECTED], text=True, capture_output=True, check=True)
changed = False
for (path, expected), go in zip(EXPECTED.items(), answers.stdout.split("\n")[:-1], strict=True):
    python = " ".join(str(node.value) for node in jsonpath_rfc9535.find("$" + path, OBJECT))
    if (go, python) != expected:
        changed = True
        print(f"changed: {path}: (client-go, RFC 9535) was {expected}, is {(go, python)}", file=sys.stderr)
if changed:
    sys.exit(1)
print("holds: Kubernetes' JSONPath and the RFC's find other things by the same path")
PY
