#!/usr/bin/env bash
# sigs.k8s.io/kustomize/api v0.21.2 (what `kustomize build` and `kubectl apply -k` run; kubectl 1.37.2 has v0.21.1,
# which does the same) and sigs.k8s.io/yaml v1.6.0 (what `kubectl apply -f` reads with), Go modules.
#
# A good guess: a kustomization that only lists a manifest hands it on as it is: `kubectl apply -k` and
# `kubectl apply -f` send an API server the same object.
#
# Instead plain scalars change on the way, by where they stand and in which style. A day in the data of a ConfigMap
# becomes a moment, text with a time of day that nobody wrote; in an annotation it stays. A null in an annotation
# becomes the text "null", and ~ the text "~". Nothing after a colon is null in block style, but an empty text in
# flow style: `{name: v, emptyDir: }` comes out with emptyDir: "", a text where an API server wants an object.
# With an unrelated patch of the same object, the same `emptyDir: ` is left out instead.
#
# Seen (at the place: apply -f, apply -k):
#   data: day: 2026-01-01              "2026-01-01"   "2026-01-01T00:00:00Z"
#   annotations: day: 2026-01-01       "2026-01-01"   "2026-01-01"
#   annotations: none: null            null           "null"
#   annotations: tilde: ~              null           "~"
#   emptyDir: in block style           null           null    (the control)
#   emptyDir: in flow style            null           ""
#   the same, with a patch             (null)         absent
set -euo pipefail

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

mkdir "$work/go"
cat >"$work/go/go.mod" <<'MOD'
module example.com/finding

go 1.26.0

require (
	sigs.k8s.io/kustomize/api v0.21.2
	sigs.k8s.io/kustomize/kyaml v0.21.2
	sigs.k8s.io/yaml v1.6.0
)
MOD
cat >"$work/go/main.go" <<'GO'
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

const configMap = `apiVersion: v1
kind: ConfigMap
metadata:
  name: it
  annotations:
    day: 2026-01-01
    none: null
    tilde: ~
data:
  day: 2026-01-01
`

const pod = `apiVersion: v1
kind: Pod
metadata:
  name: it
spec:
  volumes:
  - name: block
    emptyDir:
  - {name: flow, emptyDir: }
`

const plain = "resources: [it.yaml]\n"

const patched = plain + `patches:
- patch: |-
    apiVersion: v1
    kind: Pod
    metadata: {name: it, labels: {some: label}}
`

func built(kustomization, manifest string) []byte {
	files := filesys.MakeFsInMemory()
	for name, text := range map[string]string{"kustomization.yaml": kustomization, "it.yaml": manifest} {
		if err := files.WriteFile(name, []byte(text)); err != nil {
			panic(err)
		}
	}
	objects, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(files, ".")
	if err != nil {
		panic(err)
	}
	text, err := objects.AsYaml()
	if err != nil {
		panic(err)
	}
	return text
}

// at is the JSON of the value at the path, both parts read as kubectl does.
func at(manifest []byte, path ...any) string {
	var value any
	if err := yaml.Unmarshal(manifest, &value); err != nil {
		panic(err)
	}
	for _, step := range path {
		switch step := step.(type) {
		case int:
			value = value.([]any)[step]
		case string:
			member, there := value.(map[string]any)[step]
			if !there {
				return "absent"
			}
			value = member
		}
	}
	text, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func main() {
	failed := false
	for _, c := range []struct {
		kustomization, manifest string
		path                    []any
		file, kustomize         string
	}{
		{plain, configMap, []any{"data", "day"}, `"2026-01-01"`, `"2026-01-01T00:00:00Z"`},
		{plain, configMap, []any{"metadata", "annotations", "day"}, `"2026-01-01"`, `"2026-01-01"`},
		{plain, configMap, []any{"metadata", "annotations", "none"}, "null", `"null"`},
		{plain, configMap, []any{"metadata", "annotations", "tilde"}, "null", `"~"`},
		{plain, pod, []any{"spec", "volumes", 0, "emptyDir"}, "null", "null"},
		{plain, pod, []any{"spec", "volumes", 1, "emptyDir"}, "null", `""`},
		{patched, pod, []any{"spec", "volumes", 1, "emptyDir"}, "null", "absent"},
	} {
		file, kustomize := at([]byte(c.manifest), c.path...), at(built(c.kustomization, c.manifest), c.path...)
		if file != c.file || kustomize != c.kustomize {
			failed = true
			fmt.Fprintf(os.Stderr, "changed: %v: (file, kustomize) was %s, %s, is %s, %s\n",
				c.path, c.file, c.kustomize, file, kustomize)
		}
	}
	if failed {
		os.Exit(1)
	}
	fmt.Println("holds: kustomize hands on days, nulls and empty values as other ones than kubectl reads")
}
GO
export GOMODCACHE="$work/modules" GOFLAGS="-modcacherw -trimpath -mod=mod"
(cd "$work/go" && go build -o "$work/scalars" . 2>"$work/go.log") || {
    cat "$work/go.log" >&2
    exit 1
}
"$work/scalars"
