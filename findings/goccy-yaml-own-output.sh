#!/usr/bin/env bash
# github.com/goccy/go-yaml v1.19.2 and, as a second reader, go.yaml.in/yaml/v3 v3.0.6, Go modules.
#
# A good guess: what a YAML library has written it reads again as the value that it was: it knows which texts need
# quotes, and which numbers its own parser takes.
#
# Instead some plain values come back as others, without an error. A tab inside a text is written bare, and skipped
# in reading, in keys as well: "a\tb" and "ab" become one. A float of eight digits is written as 1e+08, which its
# own parser takes for text. A text that looks like a marker of YAML ("---", ".nan") is written without quotes. And
# "? b" in a map is written as something that it refuses. The second reader gets the tab and the float right: the
# loss shows in one of two programs that share the file.
#
# Seen (value: as written; as read by goccy/go-yaml; by yaml v3):
#   {"k": "a\tb"}   k: a<TAB>b   {"k": "ab"}      {"k": "a\tb"}
#   {"a\tb": "v"}   a<TAB>b: v   {"ab": "v"}      {"a\tb": "v"}
#   {"k": 1e8}      k: 1e+08     {"k": "1e+08"}   {"k": 1e+08}
#   {"k": ".nan"}   k: .nan      {"k": NaN}       {"k": NaN}
#   "---"           ---          nil              nil
#   {"k": "? b"}    k: ? b       error            error
#   {"k": "- b"}    k: "- b"     {"k": "- b"}     {"k": "- b"}    (the control)
set -euo pipefail

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

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
	"fmt"
	"os"
	"strings"

	"github.com/goccy/go-yaml"
	v3 "go.yaml.in/yaml/v3"
)

func read(load func([]byte, any) error, text []byte) string {
	var value any
	if load(text, &value) != nil {
		return "error"
	}
	return strings.ReplaceAll(fmt.Sprintf("%#v", value), "map[string]interface {}", "")
}

func main() {
	load := func(text []byte, into any) error { return yaml.Unmarshal(text, into) }
	failed := false
	for _, c := range []struct {
		value                 any
		text, goccy, version3 string
	}{
		{map[string]any{"k": "a\tb"}, "k: a\tb\n", `{"k":"ab"}`, `{"k":"a\tb"}`},
		{map[string]any{"a\tb": "v"}, "a\tb: v\n", `{"ab":"v"}`, `{"a\tb":"v"}`},
		{map[string]any{"k": 1e8}, "k: 1e+08\n", `{"k":"1e+08"}`, `{"k":1e+08}`},
		{map[string]any{"k": ".nan"}, "k: .nan\n", `{"k":NaN}`, `{"k":NaN}`},
		{"---", "---\n", "<nil>", "<nil>"},
		{map[string]any{"k": "? b"}, "k: ? b\n", "error", "error"},
		{map[string]any{"k": "- b"}, "k: \"- b\"\n", `{"k":"- b"}`, `{"k":"- b"}`},
	} {
		text, err := yaml.Marshal(c.value)
		if err != nil {
			panic(err)
		}
		expected := []string{c.text, c.goccy, c.version3}
		seen := []string{string(text), read(load, text), read(v3.Unmarshal, text)}
		if fmt.Sprint(seen) != fmt.Sprint(expected) {
			failed = true
			fmt.Fprintf(os.Stderr, "changed: %#v: was %q, is %q\n", c.value, expected, seen)
		}
	}
	if failed {
		os.Exit(1)
	}
	fmt.Println("holds: goccy/go-yaml reads tabs, floats and markers that it wrote itself as something else")
}
GO
export GOMODCACHE="$work/modules" GOFLAGS="-modcacherw -trimpath -mod=mod"
(cd "$work/go" && go build -o "$work/again" . 2>"$work/go.log") || {
    cat "$work/go.log" >&2
    exit 1
}
"$work/again"
