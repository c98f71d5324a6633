#!/usr/bin/env bash
# sigs.k8s.io/structured-merge-diff/v6 v6.4.2 (the merging in server-side apply), a Go module.
#
# A good guess: who applies {m: {}} has an empty map m in the result, and applying the same once more changes
# nothing: that is what apply is for.
#
# Instead it depends on what m was before. Where m is new, it is {}. Where the same applier had m: {k: x}, the
# item goes, and m is left as null, which nobody wrote; the second, identical apply makes {} of it. The same
# null is left when somebody else holds the empty m and the applier lets go of it altogether. A
# client that compares what it applied with what came back sees a difference that it cannot account for.
#
# This is the library alone, with a schema of one granular map. Seen:
#   A applies {m: {}}                          {"m":{}}
#   A applies {m: {k: x}}, then {m: {}}        {"m":null}
#   the same, {m: {}} once more                {"m":{}}
#   A {m: {k: x}}, B {m: {}}, then A {}        {"m":null}
#   A {m: {k: x}, s: v}, then {s: v}           {"s":"v"}     (the control: nobody holds m)
set -euo pipefail

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

mkdir "$work/go"
cat >"$work/go/go.mod" <<'MOD'
module example.com/finding

go 1.24

require sigs.k8s.io/structured-merge-diff/v6 v6.4.2
MOD
cat >"$work/go/main.go" <<'GO'
package main

import (
	"fmt"
	"os"

	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/merge"
	"sigs.k8s.io/structured-merge-diff/v6/typed"
	"sigs.k8s.io/structured-merge-diff/v6/value"
)

const schema = `types:
- name: object
  map:
    fields:
    - name: m
      type: {map: {elementType: {scalar: string}}}
    - name: s
      type: {scalar: string}
`

// There is one version only.
type unconverted struct{}

func (unconverted) Convert(object *typed.TypedValue, _ fieldpath.APIVersion) (*typed.TypedValue, error) {
	return object, nil
}

func (unconverted) IsMissingVersionError(error) bool { return false }

func must[T any](result T, err error) T {
	if err != nil {
		panic(err)
	}
	return result
}

type step struct{ applier, object string }

func applied(steps ...step) string {
	object := must(typed.NewParser(schema)).Type("object")
	updater := (&merge.UpdaterBuilder{Converter: unconverted{}}).BuildUpdater()
	live, managers := must(object.FromYAML("{}")), fieldpath.ManagedFields{}
	for _, s := range steps {
		wanted := must(object.FromYAML(typed.YAMLObject(s.object)))
		merged, owned, err := updater.Apply(live, wanted, "v1", managers, s.applier, false)
		if err != nil {
			panic(err)
		}
		if merged != nil { // nil: nothing to change
			live = merged
		}
		managers = owned
	}
	return string(must(value.ToJSON(live.AsValue())))
}

func main() {
	full, empty := step{"A", "{m: {k: x}}"}, step{"A", "{m: {}}"}
	failed := false
	for _, c := range []struct{ name, expected, seen string }{
		{"an empty map, new", `{"m":{}}`, applied(empty)},
		{"a map emptied by its applier", `{"m":null}`, applied(full, empty)},
		{"the same apply once more", `{"m":{}}`, applied(full, empty, empty)},
		{"a map that somebody else holds empty", `{"m":null}`, applied(full, step{"B", "{m: {}}"}, step{"A", "{}"})},
		{"a map that nobody holds", `{"s":"v"}`, applied(step{"A", "{m: {k: x}, s: v}"}, step{"A", "{s: v}"})},
	} {
		if c.seen != c.expected {
			failed = true
			fmt.Fprintf(os.Stderr, "changed: %s: was %s, is %s\n", c.name, c.expected, c.seen)
		}
	}
	if failed {
		os.Exit(1)
	}
	fmt.Println("holds: a map that its applier empties is left as null, and as {} by the same apply once more")
}
GO
export GOMODCACHE="$work/modules" GOFLAGS="-modcacherw -trimpath -mod=mod"
(cd "$work/go" && go build -o "$work/apply" . 2>"$work/go.log") || {
    cat "$work/go.log" >&2
    exit 1
}
"$work/apply"
