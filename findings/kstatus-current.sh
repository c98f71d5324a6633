#!/usr/bin/env bash
# sigs.k8s.io/cli-utils v0.37.2 (its pkg/kstatus, which tells when an object has become what was asked), a Go module.
#
# A good guess: "Current" means that the object is as its spec asks, in its latest generation, and did not fail; what
# is known to have failed is "Failed".
#
# Instead Current is also what is over, and what kstatus has no rule for. A Pod that ended with phase Failed is
# Current, and so is a Job whose five Pods failed and which has the condition FailureTarget, until Failed joins it. Of
# generations it reads status.observedGeneration only: where conditions carry their own, as those of the Gateway API
# do, a Ready of the generation before counts for this one. A Gateway that is not accepted, a PersistentVolume in
# phase Failed, and a HorizontalPodAutoscaler that cannot scale are Current. But a Job that is created suspended, as
# asked, is InProgress for as long as it is.
#
# Seen:
#   Pod, phase Failed                             Current
#   Job, 5 failed, FailureTarget                  Current
#   Job, the same and Failed                      Failed         (the control)
#   Job, suspend: true, Suspended                 InProgress
#   custom resource, Ready of generation 1 of 2   Current
#   the same in status.observedGeneration         InProgress     (the control)
#   Gateway, Accepted and Programmed False        Current
#   PersistentVolume, phase Failed                Current
#   HorizontalPodAutoscaler, ScalingActive False  Current
set -euo pipefail

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

mkdir "$work/go"
cat >"$work/go/go.mod" <<'MOD'
module example.com/finding

go 1.26.0

require (
	k8s.io/apimachinery v0.37.2
	sigs.k8s.io/cli-utils v0.37.2
)
MOD
cat >"$work/go/main.go" <<'GO'
package main

import (
	"fmt"
	"os"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

type fields = map[string]any

func conditions(all ...string) []any {
	var list []any
	for _, one := range all {
		kind, value, _ := strings.Cut(one, "=")
		list = append(list, fields{"type": kind, "status": value})
	}
	return list
}

func computed(apiVersion, kind string, spec, state fields) string {
	object := fields{
		"apiVersion": apiVersion,
		"kind":       kind,
		"metadata":   fields{"name": "it", "namespace": "default", "generation": int64(2)},
		"spec":       spec,
		"status":     state,
	}
	result, err := status.Compute(&unstructured.Unstructured{Object: object})
	if err != nil {
		return "error"
	}
	return result.Status.String()
}

func main() {
	started := "2026-01-01T00:00:00Z"
	older := []any{fields{"type": "Ready", "status": "True", "observedGeneration": int64(1)}}
	failed := false
	for _, c := range []struct{ name, expected, seen string }{
		{"Pod", "Current", computed("v1", "Pod", fields{}, fields{"phase": "Failed"})},
		{"Job that failed", "Current", computed("batch/v1", "Job", fields{}, fields{
			"startTime": started, "failed": int64(5), "conditions": conditions("FailureTarget=True"),
		})},
		{"Job with Failed", "Failed", computed("batch/v1", "Job", fields{}, fields{
			"startTime": started, "failed": int64(5), "conditions": conditions("FailureTarget=True", "Failed=True"),
		})},
		{"suspended Job", "InProgress", computed("batch/v1", "Job", fields{"suspend": true}, fields{
			"conditions": conditions("Suspended=True"),
		})},
		{"older Ready", "Current", computed("example.com/v1", "Thing", fields{}, fields{"conditions": older})},
		{"older status", "InProgress", computed("example.com/v1", "Thing", fields{}, fields{
			"conditions": older, "observedGeneration": int64(1),
		})},
		{"Gateway", "Current", computed("gateway.networking.k8s.io/v1", "Gateway", fields{}, fields{
			"conditions": conditions("Accepted=False", "Programmed=False"),
		})},
		{"PersistentVolume", "Current", computed("v1", "PersistentVolume", fields{}, fields{"phase": "Failed"})},
		{"HorizontalPodAutoscaler", "Current", computed("autoscaling/v2", "HorizontalPodAutoscaler", fields{}, fields{
			"conditions": conditions("AbleToScale=True", "ScalingActive=False"),
		})},
	} {
		if c.seen != c.expected {
			failed = true
			fmt.Fprintf(os.Stderr, "changed: %s: was %s, is %s\n", c.name, c.expected, c.seen)
		}
	}
	if failed {
		os.Exit(1)
	}
	fmt.Println("holds: kstatus has failures and older generations as Current, and a suspended Job as InProgress")
}
GO
export GOMODCACHE="$work/modules" GOFLAGS="-modcacherw -trimpath -mod=mod"
(cd "$work/go" && go build -o "$work/status" . 2>"$work/go.log") || {
    cat "$work/go.log" >&2
    exit 1
}
"$work/status"
