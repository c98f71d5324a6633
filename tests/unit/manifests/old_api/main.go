// Reads manifests of old API versions (JSON, one a line), writes what Kubernetes' own defaults and conversions make of each in the version given before it.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"

	crdinstall "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/install"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	_ "k8s.io/kubernetes/pkg/apis/admissionregistration/install"
	_ "k8s.io/kubernetes/pkg/apis/apps/install"
	_ "k8s.io/kubernetes/pkg/apis/batch/install"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	_ "k8s.io/kubernetes/pkg/apis/discovery/install"
	_ "k8s.io/kubernetes/pkg/apis/extensions/install"
	_ "k8s.io/kubernetes/pkg/apis/flowcontrol/install"
	_ "k8s.io/kubernetes/pkg/apis/networking/install"
	_ "k8s.io/kubernetes/pkg/apis/node/install"
	_ "k8s.io/kubernetes/pkg/apis/policy/install"
	_ "k8s.io/kubernetes/pkg/apis/rbac/install"
	_ "k8s.io/kubernetes/pkg/apis/scheduling/install"
	_ "k8s.io/kubernetes/pkg/apis/storage/install"
)

func main() {
	scheme := legacyscheme.Scheme
	crdinstall.Install(scheme)
	codecs := serializer.NewCodecFactory(scheme)
	input := bufio.NewScanner(os.Stdin)
	input.Buffer(nil, 1<<24)
	for input.Scan() {
		var one struct {
			To     string          `json:"to"`
			Object json.RawMessage `json:"object"`
		}
		if err := json.Unmarshal(input.Bytes(), &one); err != nil {
			panic(err)
		}
		gv, err := schema.ParseGroupVersion(one.To)
		if err != nil {
			panic(err)
		}
		obj, err := runtime.Decode(codecs.UniversalDecoder(), one.Object)
		if err != nil {
			fmt.Printf("{\"error\":%q}\n", err.Error())
			continue
		}
		out, err := runtime.Encode(codecs.LegacyCodec(gv), obj)
		if err != nil {
			fmt.Printf("{\"error\":%q}\n", err.Error())
			continue
		}
		os.Stdout.Write(append(out[:len(out)-1], '\n'))
	}
}
