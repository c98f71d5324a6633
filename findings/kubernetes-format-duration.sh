#!/usr/bin/env bash
# k8s.io/apiserver v0.37.2 with k8s.io/apimachinery v0.37.2 and the k8s.io/kube-openapi that they are released with,
# Go modules: what API servers check `format: duration` of a custom resource with, and what their CEL rules see.
#
# A good guess: what a CRD's `format: duration` lets in is a duration that metav1.Duration, in the controller, reads
# as the same time; what is not one is refused when it is applied, and a rule such as `self <= duration('2h')` sees
# the value that a person reads.
#
# Instead any text is valid in which some digits are followed by a known unit; the rest of it is skipped: a sign, the
# digits before a decimal point (unless all of it is Go's own form), words, what has no unit. "1.5 days" is five
# days, "-1 day" one day forward, P1M one minute, and P1DT12H, by its ISO 8601 name a day and a half, twelve hours.
# These are also the values that CEL compares, so a limit in the CRD holds for another time than the one written.
# The controller's type then refuses all of them, so that it fails on an object that the server was content with.
#
# Seen (text: valid?, value in CEL, metav1.Duration):
#   1h30m           yes  1h30m     1h30m    (the control)
#   -1h             yes  -1h       -1h      (Go's own form)
#   1.5 days        yes  120h      error
#   -1 day          yes  24h       error
#   1 day ago       yes  24h       error
#   P1M             yes  1m        error
#   P1DT12H         yes  12h       error
#   1h, 30 at most  yes  1h        error
#   2 months        no   error     error
#   3600            no   error     error
set -euo pipefail

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

mkdir "$work/go"
cat >"$work/go/go.mod" <<'MOD'
module example.com/finding

go 1.26.0

require (
	k8s.io/apimachinery v0.37.2
	k8s.io/apiserver v0.37.2
	k8s.io/kube-openapi v0.0.0-20260721132016-d427ff9ee9ad
)
MOD
cat >"$work/go/main.go" <<'GO'
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/cel/common"
	"k8s.io/apiserver/pkg/cel/openapi"
	"k8s.io/kube-openapi/pkg/validation/spec"
	"k8s.io/kube-openapi/pkg/validation/strfmt"
)

func seen(text string) string {
	schema := &openapi.Schema{Schema: spec.StringProperty()}
	schema.Schema.Format = "duration"
	rule := "error"
	if value, ok := common.UnstructuredToVal(text, schema).Value().(time.Duration); ok {
		rule = value.String()
	}

	document, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	var read metav1.Duration
	controller := "error"
	if json.Unmarshal(document, &read) == nil {
		controller = read.Duration.String()
	}
	return fmt.Sprintf("%t %s %s", strfmt.Default.Validates("duration", text), rule, controller)
}

func main() {
	failed := false
	for _, c := range []struct{ text, expected string }{
		{"1h30m", "true 1h30m0s 1h30m0s"},
		{"-1h", "true -1h0m0s -1h0m0s"},
		{"1.5 days", "true 120h0m0s error"},
		{"-1 day", "true 24h0m0s error"},
		{"1 day ago", "true 24h0m0s error"},
		{"P1M", "true 1m0s error"},
		{"P1DT12H", "true 12h0m0s error"},
		{"1h, 30 at most", "true 1h0m0s error"},
		{"2 months", "false error error"},
		{"3600", "false error error"},
	} {
		if got := seen(c.text); got != c.expected {
			failed = true
			fmt.Fprintf(os.Stderr, "changed: %q: was %s, is %s\n", c.text, c.expected, got)
		}
	}
	if failed {
		os.Exit(1)
	}
	fmt.Println("holds: `format: duration` lets in texts with a duration somewhere, and CEL sees another time")
}
GO
export GOMODCACHE="$work/modules" GOFLAGS="-modcacherw -trimpath -mod=mod"
(cd "$work/go" && go build -o "$work/durations" . 2>"$work/go.log") || {
    cat "$work/go.log" >&2
    exit 1
}
"$work/durations"
