"""What a manifest of a built-in kind says that no API server takes, told with its line."""

from __future__ import annotations

import pytest
import yaml

from reconciler.api.files import SourceFile
from reconciler.manifests.load import load
from tests.controlplane.cluster import APPLY
from tests.controlplane.fixtures import Fleet

POD = """\
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: default}
spec:
  containers:
    - name: web
      image: registry.example/web:1
"""
SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec:
  ports:
"""
CONFIG_MAP = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: web, namespace: default}
"""

REFUSED = {
    "a number in data": (
        CONFIG_MAP + "data: {answer: 0777}\n",
        "4:16",
        'data.answer: 0777 is the number 511 in YAML 1.1; text; quote it: "0777"',
    ),
    "a word that YAML takes for a boolean": (
        CONFIG_MAP + "data:\n  debug: yes\n",
        "5:10",
        'data.debug: yes is a boolean in YAML 1.1; text; quote it: "yes"',
    ),
    "a decimal that loses its zero": (
        CONFIG_MAP + "data: {version: 1.10}\n",
        "4:17",
        'data.version: 1.10 is a number; text; quote it: "1.10"',
    ),
    "a map in data": (
        CONFIG_MAP + "data: {conf: {x: y}}\n",
        "4:14",
        "data.conf: the value is a map; text; write it as one text, after |",
    ),
    "binary data that is no base64": (
        CONFIG_MAP + "binaryData: {blob: not-base64}\n",
        "4:20",
        "binaryData.blob: the value is not base64; base64; plain text belongs into data",
    ),
    "a number in the environment": (
        POD + "      env: [{name: PORT, value: 8080}]\n",
        "8:33",
        'spec.containers[0].env[0].value: 8080 is a whole number; text; quote it: "8080"',
    ),
    "a number among arguments": (
        POD + "      args: [--verbosity, 3]\n",
        "8:27",
        'spec.containers[0].args[1]: 3 is a whole number; text; quote it: "3"',
    ),
    "a variable twice": (
        POD + "      env: [{name: A, value: x}, {name: B}, {name: A, value: z}]\n",
        "8:45",
        "spec.containers[0].env[2]: name A is there twice; each item once: server-side apply "
        "refuses two with one key; the other one is at web.yaml:8:13",
    ),
    "a container twice": (
        POD + "    - {name: web, image: other}\n",
        "8:7",
        "spec.containers[1]: name web is there twice; each item once: server-side apply refuses "
        "two with one key; the other one is at web.yaml:6:7",
    ),
    "a port as text": (
        SERVICE + '    - port: "80"\n',
        "6:13",
        'spec.ports[0].port: "80" is text; a whole number; write it without quotes: 80',
    ),
    "a port twice, where TCP need not be said": (
        SERVICE + "    - {name: a, port: 80}\n    - {name: b, port: 80, protocol: TCP}\n",
        "7:7",
        "spec.ports[1]: port 80, protocol TCP is there twice; each item once: server-side apply "
        "refuses two with one key; the other one is at web.yaml:6:7",
    ),
    "replicas as text": (
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: default}\n"
        'spec:\n  replicas: "3"\n',
        "5:13",
        'spec.replicas: "3" is text; a whole number; write it without quotes: 3',
    ),
    "a label of the pods that is a number": (
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: default}\n"
        "spec:\n  template:\n    metadata: {labels: {track: 1}}\n",
        "6:32",
        'spec.template.metadata.labels.track: 1 is a whole number; text; quote it: "1"',
    ),
    "a quantity with a wrong unit": (
        POD + "      resources: {limits: {memory: 1GB}}\n",
        "8:36",
        "spec.containers[0].resources.limits.memory: not valid: 1GB; a quantity such as 250m or "
        "2Gi",
    ),
    "a list where a map belongs": (
        POD + "      resources: [limits]\n",
        "8:18",
        "spec.containers[0].resources: a list; a map",
    ),
    "an item of a List that is text": (
        "apiVersion: v1\nkind: List\nitems:\n  - web.yaml\n",
        "4:5",
        "an item of the list is not a map; a manifest with apiVersion, kind and metadata; keep "
        "other YAML files out of the chosen --path",
    ),
    "a KubeFed template": (
        "apiVersion: types.kubefed.io/v1beta1\nkind: FederatedConfigMap\n"
        "metadata: {name: web, namespace: default}\n"
        "spec:\n  template:\n    data: {debug: on}\n  placement: {clusters: []}\n",
        "6:19",
        'spec.template.data.debug: on is a boolean in YAML 1.1; text; quote it: "on"',
    ),
}


def problems_of(text: str) -> list[str]:
    found = load([SourceFile("web.yaml", text.encode())]).problems
    return [
        f"{p.position.line}:{p.position.column} "
        + "; ".join(
            filter(None, [f"{p.path[2:]}: {p.message}".removeprefix(": "), p.expected, p.hint])
        )
        for p in found
    ]


@pytest.mark.parametrize("case", REFUSED)
def test_what_no_server_takes_is_told_with_its_place(case: str) -> None:
    text, place, words = REFUSED[case]
    assert problems_of(text) == [f"{place} {words}"]


ACCEPTED = {
    "whole numbers": "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n"
    "spec: {replicas: 3, minReadySeconds: 5}\n",
    "quantities": POD
    + "      resources: {limits: {cpu: 1, memory: 1.5Gi, a.b/c: 12e6, x.y/z: 0.1}}\n",
    "ports by name and number": SERVICE + "    - {port: 80, targetPort: http}\n"
    "    - {port: 80, protocol: UDP, targetPort: 53}\n",
    "nulls": POD + "      args: null\n      env: [{name: A, value: null}]\n",
    "base64 over several lines": CONFIG_MAP + "binaryData:\n  blob: |\n    aGVs\n    bG8=\n",
    "fields of a newer server": POD + "      comesLater: {x: [1]}\n",
    "a place for each cluster's value": POD
    + "      resources: {limits: {cpu: '${cluster.labels.cpu}'}}\n",
    "other people's kinds": "apiVersion: example.com/v1\nkind: ConfigMap\nmetadata: {name: web}\n"
    "data: {x: 1}\n",
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_what_servers_take_is_no_problem(case: str) -> None:
    assert problems_of(ACCEPTED[case]) == []


def test_values_of_secrets_are_not_shown() -> None:
    secret = CONFIG_MAP.replace("ConfigMap", "Secret")
    for part in ("data: {key: 48151623}", "stringData: {key: 48151623}", "data: {key: 4815-1623}"):
        (told,) = problems_of(f"{secret}{part}\n")
        assert "4815" not in told
        assert "text" in told


def test_a_real_server_refuses_what_is_refused_here(fleet: Fleet) -> None:
    (cluster,) = fleet(1)
    kinds = {"ConfigMap": "configmaps", "Pod": "pods", "Service": "services"}
    asked = 0
    for case, (text, _, words) in REFUSED.items():
        body = yaml.safe_load(text)
        plural = kinds.get(body["kind"])
        if plural is None:
            continue
        path = f"/api/v1/namespaces/default/{plural}/web"
        query = {"fieldManager": "us", "dryRun": "All"}
        answer = cluster.request("PATCH", path, body, content_type=APPLY, query=query)
        assert answer.status >= 400, (case, words, answer)
        asked += 1
    assert asked > 10
