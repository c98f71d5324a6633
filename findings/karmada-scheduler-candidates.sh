#!/usr/bin/env bash
# github.com/karmada-io/karmada v1.16.0 (the division of replicas in its scheduler), a Go module.
#
# A good guess: replicas go to the clusters that a policy allows, be it that more or fewer of them are wanted.
#
# Instead, when the sum falls, the former result is shared out as a whole, also to clusters that the policy does not
# allow any more: a is allowed and has 4, gone is not and has 8; of 3 replicas, 2 go to gone and 1 to a. When the sum
# rises, all is on a.
#
# This is the scheduler's own code, called as it calls itself. Seen:
#   4 on a and 8 on gone, only a allowed, 3 wanted     a 1, gone 2
#   the same, 12 wanted                                a 12
set -euo pipefail

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

mkdir "$work/go"
cat >"$work/go/go.mod" <<'MOD'
module example.com/finding

go 1.24.10

require github.com/karmada-io/karmada v1.16.0
MOD
# The name of the group is put in, or the import would look like a path of a machine.
sed "s|GROUP|work|" >"$work/go/main.go" <<'GO'
package main

import (
	"fmt"
	"os"
	"sort"

	policy "github.com/karmada-io/karmada/pkg/apis/policy/v1alpha1"
	work "github.com/karmada-io/karmada/pkg/apis/GROUP/v1alpha2"
	"github.com/karmada-io/karmada/pkg/scheduler/core"
	"github.com/karmada-io/karmada/pkg/scheduler/core/spreadconstraint"
)

func divided(replicas int32) string {
	byRoom := &policy.ReplicaSchedulingStrategy{
		ReplicaSchedulingType:     policy.ReplicaSchedulingTypeDivided,
		ReplicaDivisionPreference: policy.ReplicaDivisionPreferenceWeighted,
		WeightPreference:          &policy.ClusterPreferences{DynamicWeight: policy.DynamicWeightByAvailableReplicas},
	}
	spec := &work.ResourceBindingSpec{
		Replicas:  replicas,
		Placement: &policy.Placement{ReplicaScheduling: byRoom},
		Clusters:  []work.TargetCluster{{Name: "a", Replicas: 4}, {Name: "gone", Replicas: 8}},
	}
	allowed := []spreadconstraint.ClusterDetailInfo{{Name: "a", AllocatableReplicas: 50}}
	found, err := core.AssignReplicas(allowed, spec, &work.ResourceBindingStatus{})
	if err != nil {
		return err.Error()
	}
	sort.Slice(found, func(i, j int) bool { return found[i].Name < found[j].Name })
	text := ""
	for _, one := range found {
		text += fmt.Sprintf("%s %d ", one.Name, one.Replicas)
	}
	return text
}

func main() {
	failed := false
	for _, c := range []struct{ name, expected, seen string }{
		{"fewer than before", "a 1 gone 2 ", divided(3)},
		{"as many as before", "a 12 ", divided(12)},
	} {
		if c.seen != c.expected {
			failed = true
			fmt.Fprintf(os.Stderr, "changed: %s: was %s, is %s\n", c.name, c.expected, c.seen)
		}
	}
	if failed {
		os.Exit(1)
	}
	fmt.Println("holds: when fewer are wanted, replicas stay where the policy allows none")
}
GO
export GOMODCACHE="$work/modules" GOFLAGS="-modcacherw -trimpath -mod=mod"
(cd "$work/go" && go build -o "$work/scheduler" . 2>"$work/go.log") || {
    cat "$work/go.log" >&2
    exit 1
}
"$work/scheduler"
