"""Writes kubernetes_types.json and kubesim's resources.json from a real API server.

    python tests/unit/kubesim/generate_tables.py --server URL --token TOKEN --modules DIR

Types, list and map topologies, merge keys, enums and required fields come from ``/openapi/v3``;
what discovery says comes from ``/api`` and ``/apis``. Which zero values the server drops when it
writes an object (``replicas: 0`` stays, ``hostNetwork: false`` goes) is in neither, but in the Go
types' tags: ``--modules`` is a Go module cache that holds ``k8s.io/api``.

The server must be as a cluster starts, without CustomResourceDefinitions.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

import urllib3

REPLACED = {
    "io.k8s.api.": "",
    "io.k8s.apimachinery.pkg.apis.": "",
    "io.k8s.apiextensions-apiserver.pkg.apis.": "",
    "io.k8s.kube-aggregator.pkg.apis.": "",
}
SPECIAL = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": "q",
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": "x",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Time": "t",
    "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime": "u",
    "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1": "a",
    "io.k8s.apimachinery.pkg.runtime.RawExtension": "a",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON": "a",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray": "a",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool": "a",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray": "a",
}
DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
STRUCT = re.compile(r"^type (\w+) struct \{\n(.*?)^\}", re.M | re.S)
FIELD = re.compile(r"^\t(?:(\w+)\s+)?(\S+)\s+`[^`]*json:\"([^\"]*)\"")


def short(name: str) -> str:
    for prefix, replacement in REPLACED.items():
        if name.startswith(prefix):
            return replacement + name[len(prefix) :]
    return name


def go_structs(modules: Path) -> dict[str, dict[str, tuple[str, set[str]]]]:
    """``apps.v1.DeploymentSpec`` -> JSON name -> (Go type, tag options)."""
    folders: dict[str, Path] = {}
    for version in sorted((modules / "k8s.io").glob("api@*"))[-1].glob("*/*/types.go"):
        folders[".".join(version.parts[-3:-1])] = version.parent
    for package, pattern in {
        "meta.v1": "apimachinery@*/pkg/apis/meta/v1",
        "apiextensions.v1": "apiextensions-apiserver@*/pkg/apis/apiextensions/v1",
        "apiregistration.v1": "kube-aggregator@*/pkg/apis/apiregistration/v1",
    }.items():
        folders[package] = sorted((modules / "k8s.io").glob(pattern))[-1]
    raw: dict[str, list[tuple[str, str, str]]] = {}
    for package, folder in folders.items():
        for file in folder.glob("*types*.go"):
            for name, body in STRUCT.findall(file.read_text()):
                matches = (FIELD.match(line) for line in body.splitlines())
                raw[f"{package}.{name}"] = [
                    (m[1] or "", m[2], m[3]) for m in matches if m is not None
                ]

    def flatten(name: str) -> dict[str, tuple[str, set[str]]]:
        package = name.rpartition(".")[0]
        fields: dict[str, tuple[str, set[str]]] = {}
        for _, kind, tag in raw.get(name, []):
            json_name, *options = tag.split(",")
            if "inline" in options or not json_name:
                target = kind.lstrip("*")
                if "." in target:
                    alias, _, type_name = target.partition(".")
                    home = {"metav1": "meta.v1", "v1": "core.v1"}.get(alias, alias)
                    target = f"{home}.{type_name}"
                else:
                    target = f"{package}.{target}"
                fields |= flatten(target)
            elif json_name != "-":
                fields[json_name] = (kind, set(options))
        return fields

    return {name: flatten(name) for name in raw}


class Tables:
    """Collects the types that can be reached from the kinds that are served."""

    def __init__(self, schemas: dict[str, Any], go: dict[str, dict[str, tuple[str, set[str]]]]):
        self.schemas = schemas
        self.go = go
        self.types: dict[str, Any] = {}
        self.unknown: set[str] = set()

    def spec(self, schema: dict[str, Any]) -> Any:
        if "allOf" in schema:
            return self.reference(schema["allOf"][0]["$ref"], schema)
        if "$ref" in schema:
            return self.reference(schema["$ref"], schema)
        kind = schema.get("type")
        if kind == "array":
            found: dict[str, Any] = {"l": self.spec(schema["items"])}
            topology = schema.get("x-kubernetes-list-type", "atomic")
            if topology == "map":
                found["k"] = schema["x-kubernetes-list-map-keys"]
            elif topology == "set":
                found["s"] = 1
            if "merge" in schema.get("x-kubernetes-patch-strategy", "").split(","):
                found["p"] = schema.get("x-kubernetes-patch-merge-key", "")
            return found
        if kind == "object":
            found = {"m": self.spec(schema.get("additionalProperties", {}))}
            if schema.get("x-kubernetes-map-type") == "atomic":
                found["a"] = 1
            return found
        if kind == "integer":
            return "l" if schema.get("format") == "int64" else "i"
        if kind == "string":
            return "y" if schema.get("format") == "byte" else "s"
        return {"boolean": "b", "number": "n"}.get(kind or "", "a")

    def reference(self, ref: str, schema: dict[str, Any]) -> str:
        name = ref.rpartition("/")[2]
        if name in SPECIAL:
            return SPECIAL[name]
        target = self.schemas[name]
        if target.get("type") != "object":
            return str(self.spec(target))
        self.add(name)
        atomic = "atomic" in (
            schema.get("x-kubernetes-map-type"),
            target.get("x-kubernetes-map-type"),
        )
        return f"#{short(name)}" + ("!" if atomic else "")

    def add(self, name: str) -> None:
        if short(name) in self.types:
            return
        schema = self.schemas[name]
        entry: dict[str, Any] = {}
        self.types[short(name)] = entry
        tags = self.go.get(short(name), {})
        if not tags:
            self.unknown.add(short(name))
        fields: dict[str, Any] = {}
        for field, of in sorted(schema.get("properties", {}).items()):
            spec = self.spec(of)
            flags = self.flags(spec, tags.get(field))
            more: dict[str, Any] = {}
            if of.get("enum"):
                more["e"] = of["enum"]
            if isinstance(of.get("default"), str | int) and of["default"]:
                more["d"] = of["default"]
            if "retainKeys" in of.get("x-kubernetes-patch-strategy", ""):
                more["r"] = 1
            if more:
                fields[field] = [spec, flags, more]
            else:
                fields[field] = [spec, flags] if flags else spec
        entry["f"] = fields
        if schema.get("required"):
            entry["r"] = schema["required"]

    @staticmethod
    def flags(spec: Any, tag: tuple[str, set[str]] | None) -> str:
        """``z``: dropped when zero; ``e``: always written. A pointer has neither."""
        if tag is None:
            return ""
        kind, options = tag
        if kind.startswith("*"):
            return ""
        if "omitzero" in options:
            return "z"
        struct = isinstance(spec, str) and (spec.startswith("#") or spec in {"t", "u", "q", "x"})
        if struct and kind.startswith("[]"):
            struct = False
        if "omitempty" in options:
            return "e" if struct else "z"
        return "e"


def fetch(arguments: argparse.Namespace) -> tuple[dict[str, Any], list[Any]]:
    urllib3.disable_warnings()
    pool = urllib3.PoolManager(cert_reqs="CERT_NONE")
    headers = {"Authorization": f"Bearer {arguments.token}"}

    def get(path: str, accept: str = "application/json") -> Any:
        answer = pool.request("GET", arguments.server + path, headers={**headers, "Accept": accept})
        return json.loads(answer.data)

    schemas: dict[str, Any] = {}
    for path in get("/openapi/v3")["paths"]:
        document = get(f"/openapi/v3/{path}")
        schemas |= document.get("components", {}).get("schemas", {})
    groups = [item for path in ("/api", "/apis") for item in get(path, DISCOVERY)["items"]]
    return schemas, groups


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--server", required=True)
    parser.add_argument("--token", required=True)
    parser.add_argument("--modules", type=Path, required=True)
    parser.add_argument("--into", type=Path, default=Path())
    arguments = parser.parse_args()
    schemas, groups = fetch(arguments)
    tables = Tables(schemas, go_structs(arguments.modules))
    kinds: dict[str, str] = {}
    for name in sorted(schemas):
        for gvk in schemas[name].get("x-kubernetes-group-version-kind", []):
            if len(schemas[name]["x-kubernetes-group-version-kind"]) > 1:
                continue  # DeleteOptions and its like
            tables.add(name)
            kinds[f"{gvk['group']}/{gvk['version']}/{gvk['kind']}"] = short(name)
    text = json.dumps({"kinds": kinds, "types": tables.types}, separators=(",", ":"))
    (arguments.into / "reconciler" / "manifests" / "kubernetes_types.json").write_text(text + "\n")
    resources = json.dumps(groups, separators=(",", ":"))
    (arguments.into / "kubesim" / "resources.json").write_text(resources + "\n")
    print(len(text), "bytes;", len(tables.types), "types; no Go type for", sorted(tables.unknown))


if __name__ == "__main__":
    main()
