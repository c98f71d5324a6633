#!/usr/bin/env bash
# helm.sh/helm/v4 v4.3.2 (November 2026) and helm.sh/helm/v3 v3.22.0, Go modules: the two calls with which both make
# the values of an install or a template. The first run compiles Kubernetes' API types, some minutes of one core.
#
# A good guess: a null in a chart's values.yaml takes a default of its subchart away, as it has for long; whether it
# does is not up to the values given at installation, as long as they do not name that default.
#
# Instead, in Helm 4, the null counts only if the given values have an entry for the subchart: without one,
# the default is back; with any key in it, or with an empty map, it is gone. `--set sub.debug=true` thus also removes
# what has nothing to do with it. In Helm 3 it is gone in every case. A null for one of the chart's own values goes the
# other way: Helm 3 leaves a null (`hasKey` is true), in Helm 4 the key is absent.
#
# Seen for a subchart with {limit: 5, keep: 1} and a chart with {sub: {limit: null}, own: null} (given values: what
# the templates have; Helm 3, Helm 4):
#   {}                    sub: keep, own: null    sub: limit and keep
#   {other: 1}            sub: keep, own: null    sub: limit and keep
#   {sub: {}}             sub: keep, own: null    sub: keep
#   {sub: {debug: true}}  sub: keep, own: null    sub: keep
#   {sub: {limit: null}}  sub: keep, own: null    sub: keep    (the control)
set -euo pipefail

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

mkdir "$work/go"
cat >"$work/go/go.mod" <<'MOD'
module example.com/finding

go 1.26.0

require (
	helm.sh/helm/v3 v3.22.0
	helm.sh/helm/v4 v4.3.2
)
MOD
cat >"$work/go/main.go" <<'GO'
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	chart4 "helm.sh/helm/v4/pkg/chart/v2"
	chartutil4 "helm.sh/helm/v4/pkg/chart/v2/util"
)

const (
	inSubchart = `{"limit":5,"keep":1}`
	inChart    = `{"sub":{"limit":null},"own":null}`
)

func values(text string) map[string]any {
	var read map[string]any
	if err := json.Unmarshal([]byte(text), &read); err != nil {
		panic(err)
	}
	return read
}

func byThree(given map[string]any) any {
	sub := &chart.Chart{Metadata: &chart.Metadata{Name: "sub", Version: "1.0.0"}, Values: values(inSubchart)}
	whole := &chart.Chart{
		Metadata: &chart.Metadata{
			Name: "whole", Version: "1.0.0", Dependencies: []*chart.Dependency{{Name: "sub", Version: "1.0.0"}},
		},
		Values: values(inChart),
	}
	whole.AddDependency(sub)
	if err := chartutil.ProcessDependenciesWithMerge(whole, given); err != nil {
		panic(err)
	}
	all, err := chartutil.ToRenderValues(whole, given, chartutil.ReleaseOptions{}, nil)
	if err != nil {
		panic(err)
	}
	return all["Values"]
}

func byFour(given map[string]any) any {
	sub := &chart4.Chart{Metadata: &chart4.Metadata{Name: "sub", Version: "1.0.0"}, Values: values(inSubchart)}
	whole := &chart4.Chart{
		Metadata: &chart4.Metadata{
			Name: "whole", Version: "1.0.0", Dependencies: []*chart4.Dependency{{Name: "sub", Version: "1.0.0"}},
		},
		Values: values(inChart),
	}
	whole.AddDependency(sub)
	if err := chartutil4.ProcessDependencies(whole, given); err != nil {
		panic(err)
	}
	all, err := util.ToRenderValues(whole, given, common.ReleaseOptions{}, nil)
	if err != nil {
		panic(err)
	}
	return all["Values"]
}

func main() {
	failed := false
	for _, c := range []struct{ given, three, four string }{
		{
			`{}`,
			`{"own":null,"sub":{"global":{},"keep":1}}`,
			`{"sub":{"global":{},"keep":1,"limit":5}}`,
		},
		{
			`{"other":1}`,
			`{"other":1,"own":null,"sub":{"global":{},"keep":1}}`,
			`{"other":1,"sub":{"global":{},"keep":1,"limit":5}}`,
		},
		{
			`{"sub":{}}`,
			`{"own":null,"sub":{"global":{},"keep":1}}`,
			`{"sub":{"global":{},"keep":1}}`,
		},
		{
			`{"sub":{"debug":true}}`,
			`{"own":null,"sub":{"debug":true,"global":{},"keep":1}}`,
			`{"sub":{"debug":true,"global":{},"keep":1}}`,
		},
		{
			`{"sub":{"limit":null}}`,
			`{"own":null,"sub":{"global":{},"keep":1}}`,
			`{"sub":{"global":{},"keep":1}}`,
		},
	} {
		for _, of := range []struct {
			name, expected string
			seen           any
		}{
			{"Helm 3", c.three, byThree(values(c.given))},
			{"Helm 4", c.four, byFour(values(c.given))},
		} {
			seen, err := json.Marshal(of.seen)
			if err != nil {
				panic(err)
			}
			if string(seen) != of.expected {
				failed = true
				fmt.Fprintf(os.Stderr, "changed: %s, %s: was %s, is %s\n", of.name, c.given, of.expected, seen)
			}
		}
	}
	if failed {
		os.Exit(1)
	}
	fmt.Println("holds: in Helm 4 a chart's null for a subchart counts only where values for the subchart are given")
}
GO
export GOMODCACHE="$work/modules" GOFLAGS="-modcacherw -trimpath -mod=mod"
(cd "$work/go" && go build -o "$work/values" . 2>"$work/go.log") || {
    cat "$work/go.log" >&2
    exit 1
}
"$work/values"
