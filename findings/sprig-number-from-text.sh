#!/usr/bin/env bash
# github.com/Masterminds/sprig/v3 v3.3.0 with github.com/spf13/cast v1.7.0, Go modules: the template functions of Helm
# 3.22.0 and 4.3.2, which name these two versions.
#
# A good guess: `int` makes of a text the number that it says, cut to a whole one, and fails on one that is none;
# `int` and `atoi` differ at most in that; and a number is a number to all functions of arithmetic.
#
# Instead `int` reads a text as Go source: with a leading zero it is octal, so that "010" is 8 and "08", which is no
# octal, is 0. What it cannot read is 0 as well, without an error: "1.9", "1e3", "5Mi". Of the number 1.9 it makes 1.
# The same holds for `add` and `mul`, so that a minute "08" times 60 is 0; `atoi` gives 8, `float64` 8. And toDecimal,
# which is for octal texts, takes the number 777 for one too.
#
# Seen:
#   int "7"      7       int "08"       0      mul "08" 60    0
#   int "010"    8       int 1.9        1      add "1" "010"  9
#   atoi "010"   10      int "1.9"      0      toDecimal 777  511
#   atoi "08"    8       int "1e3"      0      int "5Mi"      0
#   float64 "08" 8       float64 "1e3"  1000
set -euo pipefail

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

mkdir "$work/go"
cat >"$work/go/go.mod" <<'MOD'
module example.com/finding

go 1.24

require (
	github.com/Masterminds/sprig/v3 v3.3.0
	github.com/spf13/cast v1.7.0
)
MOD
cat >"$work/go/main.go" <<'GO'
package main

import (
	"fmt"
	"os"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig/v3"
)

func rendered(call string) string {
	parsed, err := template.New("call").Funcs(sprig.TxtFuncMap()).Parse("{{ " + call + " }}")
	if err != nil {
		panic(err)
	}
	var text strings.Builder
	if parsed.Execute(&text, nil) != nil {
		return "error"
	}
	return text.String()
}

func main() {
	failed := false
	for _, c := range []struct{ call, expected string }{
		{`int "7"`, "7"},
		{`int "010"`, "8"},
		{`atoi "010"`, "10"},
		{`int "08"`, "0"},
		{`atoi "08"`, "8"},
		{`float64 "08"`, "8"},
		{`int 1.9`, "1"},
		{`int "1.9"`, "0"},
		{`int "1e3"`, "0"},
		{`float64 "1e3"`, "1000"},
		{`int "5Mi"`, "0"},
		{`mul "08" 60`, "0"},
		{`add "1" "010"`, "9"},
		{`toDecimal 777`, "511"},
	} {
		if seen := rendered(c.call); seen != c.expected {
			failed = true
			fmt.Fprintf(os.Stderr, "changed: %s: was %s, is %s\n", c.call, c.expected, seen)
		}
	}
	if failed {
		os.Exit(1)
	}
	fmt.Println("holds: in templates, int reads a text with a leading zero as octal, and what it cannot read as 0")
}
GO
export GOMODCACHE="$work/modules" GOFLAGS="-modcacherw -trimpath -mod=mod"
(cd "$work/go" && go build -o "$work/call" . 2>"$work/go.log") || {
    cat "$work/go.log" >&2
    exit 1
}
"$work/call"
