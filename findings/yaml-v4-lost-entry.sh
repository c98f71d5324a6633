#!/usr/bin/env bash
# go.yaml.in/yaml/v4 v4.0.0 (released in November 2026) and go.yaml.in/yaml/v3 v3.0.6, Go modules.
#
# A good guess: `<<` is special as a key only; as a value or as an item of a list it is two characters, as it was
# in v3. And whatever a loader makes of a scalar, it does not leave the entry out without an error.
#
# Instead v4 leaves it out where it loads into `any`: the list is one shorter, the map lacks the key, and the error
# is nil. Into []string or map[string]string the same document keeps it, so a program that checks a document with a
# type and passes on the untyped one has seen something else. Presets (WithV2Defaults to WithV4Defaults) make no
# difference. Quoted, or with !!str, it stays; v4 writes it quoted. Next to it: -0 was the int 0 in v3 and is a
# float64 in v4, which JSON writes as -0.
#
# Seen (document: v3 into any, v4 into any, v4 into the type):
#   [cat, <<, EOF]       [cat << EOF]     [cat EOF]    [cat << EOF]
#   {op: <<, by: two}    by:two, op:<<    by:two       by:two, op:<<
#   [cat, "<<", EOF]     [cat << EOF]     [cat << EOF] [cat << EOF]    (the control)
#   -0                   int 0            float64 -0   int 0
set -euo pipefail

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

mkdir "$work/go"
cat >"$work/go/go.mod" <<'MOD'
module example.com/finding

go 1.24

require (
	go.yaml.in/yaml/v3 v3.0.6
	go.yaml.in/yaml/v4 v4.0.0
)
MOD
cat >"$work/go/main.go" <<'GO'
package main

import (
	"fmt"
	"os"

	v3 "go.yaml.in/yaml/v3"
	v4 "go.yaml.in/yaml/v4"
)

const (
	list   = "[cat, <<, EOF]"
	pairs  = "{op: <<, by: two}"
	quoted = `[cat, "<<", EOF]`
	zero   = "-0"
)

// loaded is the document as T, printed; fmt prints the keys of a map sorted.
func loaded[T any](load func([]byte, any) error, document string) string {
	var value T
	if err := load([]byte(document), &value); err != nil {
		return "error: " + err.Error()
	}
	return fmt.Sprint(value)
}

func kind(load func([]byte, any) error, document string) string {
	var value any
	if err := load([]byte(document), &value); err != nil {
		return "error: " + err.Error()
	}
	return fmt.Sprintf("%T %v", value, value)
}

func three(document string) string { return loaded[any](v3.Unmarshal, document) }

func four(document string) string { return loaded[any](v4.Unmarshal, document) }

func with(option v4.Option) func([]byte, any) error {
	return func(document []byte, into any) error { return v4.Load(document, into, option) }
}

func main() {
	written, err := v4.Marshal("<<")
	if err != nil {
		panic(err)
	}
	failed := false
	for _, c := range []struct{ name, expected, seen string }{
		{"list, v3", "[cat << EOF]", three(list)},
		{"list, v4", "[cat EOF]", four(list)},
		{"list, v4, typed", "[cat << EOF]", loaded[[]string](v4.Unmarshal, list)},
		{"list, v4 as v2", "[cat EOF]", loaded[any](with(v4.WithV2Defaults()), list)},
		{"list, v4 as v3", "[cat EOF]", loaded[any](with(v4.WithV3Defaults()), list)},
		{"list, v4 as v4", "[cat EOF]", loaded[any](with(v4.WithV4Defaults()), list)},
		{"map, v3", "map[by:two op:<<]", three(pairs)},
		{"map, v4", "map[by:two]", four(pairs)},
		{"map, v4, typed", "map[by:two op:<<]", loaded[map[string]string](v4.Unmarshal, pairs)},
		{"quoted, v3", "[cat << EOF]", three(quoted)},
		{"quoted, v4", "[cat << EOF]", four(quoted)},
		{"written by v4", "\"<<\"\n", string(written)},
		{"-0, v3", "int 0", kind(v3.Unmarshal, zero)},
		{"-0, v4", "float64 -0", kind(v4.Unmarshal, zero)},
		{"-0, v4, typed", "0", loaded[int](v4.Unmarshal, zero)},
	} {
		if c.seen != c.expected {
			failed = true
			fmt.Fprintf(os.Stderr, "changed: %s: was %q, is %q\n", c.name, c.expected, c.seen)
		}
	}
	if failed {
		os.Exit(1)
	}
	fmt.Println("holds: yaml v4 leaves out an entry whose value is a plain <<, unless it loads into a type")
}
GO
export GOMODCACHE="$work/modules" GOFLAGS="-modcacherw -trimpath -mod=mod"
(cd "$work/go" && go build -o "$work/load" . 2>"$work/go.log") || {
    cat "$work/go.log" >&2
    exit 1
}
"$work/load"
