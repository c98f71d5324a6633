#!/usr/bin/env bash
# sigs.k8s.io/kustomize/api v0.21.2 (`kustomize build`, `kubectl apply -k`) and k8s.io/apimachinery v0.37.2 with
# k8s.io/api v0.37.2 (strategicpatch: what an API server does with `kubectl patch`), Go modules. The first run compiles
# for a minute or two of one core.
#
# A good guess: a strategic merge patch has one outcome, whether kustomize merges it or an API server; and a patch whose
# target is found changes something or is an error.
#
# Instead, where some of the ports of a container name a protocol, kustomize lets go of a port in the patch that
# it cannot match on the protocol as well: it neither changes the port nor adds one, and says nothing. The server goes
# by the number alone, and so turns the first 53, of TCP, into the 53/UDP that the patch speaks of: two of UDP remain.
# A topologySpreadConstraint without whenUnsatisfiable is lost in kustomize alike. What is patched moves to the front
# in kustomize, so that an environment variable comes before those that it refers to as $(NAME); and $retainKeys, which
# the server obeys, is left in the object.
#
# Seen for ports 53/TCP tcp, 53/UDP udp, 80; variables A, B; a volume v that is an emptyDir (kustomize; server):
#   port 80: name x              80 x                     80 x    (the control)
#   port 80, TCP: name x         unchanged                80/TCP x
#   port 53: name x              unchanged                53/TCP x
#   port 53, UDP: name x         53/TCP tcp, 53/UDP x     53/UDP x, 53/UDP udp
#   zone: maxSkew 2              1                        2
#   variable B: value z          B, A                     A, B
#   v: $retainKeys, a hostPath   $retainKeys and both     the hostPath
set -euo pipefail

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

mkdir "$work/go"
cat >"$work/go/go.mod" <<'MOD'
module example.com/finding

go 1.26.0

require (
	k8s.io/api v0.37.2
	k8s.io/apimachinery v0.37.2
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

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

const head = `apiVersion: v1
kind: Pod
metadata: {name: it}
`

const pod = head + `spec:
  containers:
  - name: c
    image: i
    env: [{name: A, value: x}, {name: B, value: $(A)}]
    ports:
    - {containerPort: 53, protocol: TCP, name: tcp}
    - {containerPort: 53, protocol: UDP, name: udp}
    - {containerPort: 80}
  topologySpreadConstraints: [{topologyKey: zone, maxSkew: 1, whenUnsatisfiable: DoNotSchedule}]
  volumes: [{name: v, emptyDir: {}}]
`

const (
	ports   = "containers.ports"
	env     = "containers.env"
	spread  = "topologySpreadConstraints"
	volumes = "volumes"
)

const unchanged = `[{"containerPort":53,"name":"tcp","protocol":"TCP"},` +
	`{"containerPort":53,"name":"udp","protocol":"UDP"},{"containerPort":80}]`

func must[T any](result T, err error) T {
	if err != nil {
		panic(err)
	}
	return result
}

func byKustomize(patch string) []byte {
	files := filesys.MakeFsInMemory()
	for name, text := range map[string]string{
		"kustomization.yaml": "resources: [it.yaml]\npatches: [{path: patch.yaml}]\n",
		"it.yaml":            pod,
		"patch.yaml":         head + patch,
	} {
		if err := files.WriteFile(name, []byte(text)); err != nil {
			panic(err)
		}
	}
	objects := must(krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(files, "."))
	return must(yaml.YAMLToJSON(must(objects.AsYaml())))
}

func byServer(patch string) []byte {
	before, change := must(yaml.YAMLToJSON([]byte(pod))), must(yaml.YAMLToJSON([]byte(patch)))
	return must(strategicpatch.StrategicMergePatch(before, change, corev1.Pod{}))
}

func part(object []byte, of string) string {
	var read struct{ Spec map[string]any }
	if err := json.Unmarshal(object, &read); err != nil {
		panic(err)
	}
	container := read.Spec["containers"].([]any)[0].(map[string]any)
	parts := map[string]any{
		ports: container["ports"], env: container["env"], spread: read.Spec[spread], volumes: read.Spec[volumes],
	}
	return string(must(json.Marshal(parts[of])))
}

func port(fields string) string {
	return "spec: {containers: [{name: c, ports: [{" + fields + "}]}]}\n"
}

func main() {
	failed := false
	for _, c := range []struct{ patch, of, kustomize, server string }{
		{
			port("containerPort: 80, name: x"), ports,
			`[{"containerPort":53,"name":"tcp","protocol":"TCP"},{"containerPort":53,"name":"udp","protocol":"UDP"},` +
				`{"containerPort":80,"name":"x"}]`,
			`[{"containerPort":53,"name":"tcp","protocol":"TCP"},{"containerPort":53,"name":"udp","protocol":"UDP"},` +
				`{"containerPort":80,"name":"x"}]`,
		},
		{
			port("containerPort: 80, protocol: TCP, name: x"), ports,
			unchanged,
			`[{"containerPort":53,"name":"tcp","protocol":"TCP"},{"containerPort":53,"name":"udp","protocol":"UDP"},` +
				`{"containerPort":80,"name":"x","protocol":"TCP"}]`,
		},
		{
			port("containerPort: 53, name: x"), ports,
			unchanged,
			`[{"containerPort":53,"name":"x","protocol":"TCP"},{"containerPort":53,"name":"udp","protocol":"UDP"},` +
				`{"containerPort":80}]`,
		},
		{
			port("containerPort: 53, protocol: UDP, name: x"), ports,
			`[{"containerPort":53,"name":"tcp","protocol":"TCP"},{"containerPort":53,"name":"x","protocol":"UDP"},` +
				`{"containerPort":80}]`,
			`[{"containerPort":53,"name":"x","protocol":"UDP"},{"containerPort":53,"name":"udp","protocol":"UDP"},` +
				`{"containerPort":80}]`,
		},
		{
			"spec: {topologySpreadConstraints: [{topologyKey: zone, maxSkew: 2}]}\n", spread,
			`[{"maxSkew":1,"topologyKey":"zone","whenUnsatisfiable":"DoNotSchedule"}]`,
			`[{"maxSkew":2,"topologyKey":"zone","whenUnsatisfiable":"DoNotSchedule"}]`,
		},
		{
			"spec: {containers: [{name: c, env: [{name: B, value: $(A)z}]}]}\n", env,
			`[{"name":"B","value":"$(A)z"},{"name":"A","value":"x"}]`,
			`[{"name":"A","value":"x"},{"name":"B","value":"$(A)z"}]`,
		},
		{
			"spec: {volumes: [{name: v, $retainKeys: [name, hostPath], hostPath: {path: /x}}]}\n", volumes,
			`[{"$retainKeys":["name","hostPath"],"emptyDir":{},"hostPath":{"path":"/x"},"name":"v"}]`,
			`[{"hostPath":{"path":"/x"},"name":"v"}]`,
		},
	} {
		kustomize, server := part(byKustomize(c.patch), c.of), part(byServer(c.patch), c.of)
		if kustomize != c.kustomize || server != c.server {
			failed = true
			fmt.Fprintf(os.Stderr, "changed: %s (kustomize, server) was\n%s\n%s, is\n%s\n%s\n",
				c.patch, c.kustomize, c.server, kustomize, server)
		}
	}
	if failed {
		os.Exit(1)
	}
	fmt.Println("holds: kustomize loses patches of ports and spread constraints that a server merges, without a word")
}
GO
export GOMODCACHE="$work/modules" GOFLAGS="-modcacherw -trimpath -mod=mod"
(cd "$work/go" && go build -o "$work/merge" . 2>"$work/go.log") || {
    cat "$work/go.log" >&2
    exit 1
}
"$work/merge"
