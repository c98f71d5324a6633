"""A pod's container, run from what the API server admitted, as a kubelet would run it.

Environment, volumes, the account's token: everything comes from the server, nothing from the test.
"""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.controlplane.cluster import Cluster
from tests.e2e.cronjob.containers import USER, Mount, start, tool_mounts
from tests.e2e.cronjob.dockerfile import stages

NAMESPACE = "federation-system"
Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Ended:
    """``said`` is everything that the process printed."""

    code: int
    said: str


@dataclass
class Pod:
    """A pod that was admitted, and a folder in which its volumes are laid out."""

    cluster: Cluster
    object: Object
    folder: Path
    process: subprocess.Popen[str] | None = None
    installed: list[Mount] = field(default_factory=tool_mounts)
    """Mounts that bring the tool; its command is in ``/entry``."""

    @property
    def name(self) -> str:
        return str(self.object["metadata"]["name"])

    @property
    def container(self) -> Object:
        (container,) = self.object["spec"]["containers"]
        return dict(container)

    def begin(self, **environment: str) -> Pod:
        """Starts the container; ``environment`` is what the test adds."""
        container = self.container
        image = stages()["slim"]
        entry: list[str] = json.loads(image.only("ENTRYPOINT"))
        mounts = [
            Mount(self._volume(mount["name"]), mount["mountPath"], not mount.get("readOnly"))
            for mount in container["volumeMounts"]
        ]
        variables = {**image.environment(), **self.environment(), **environment}
        variables["PATH"] = f"/entry:{variables['PATH']}"
        self.process = start(
            [*container.get("command", entry), *container.get("args", [])],
            variables,
            [*self.installed, *mounts],
            folder=self.folder / "container",
            hostname=self.name,
            directory=image.only("WORKDIR"),
            writable_root=not container["securityContext"].get("readOnlyRootFilesystem"),
        )
        return self

    def wait(self, timeout: float = 120) -> Ended:
        assert self.process is not None
        try:
            said, _ = self.process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            said, _ = self.process.communicate()
            raise AssertionError(f"{self.name} did not end in {timeout:.0f} s:\n{said}") from None
        return Ended(self.process.returncode, said)

    def run(self, **environment: str) -> Ended:
        """From the start to the end."""
        return self.begin(**environment).wait()

    def terminate(self) -> Ended:
        """SIGTERM and the grace period, as a kubelet ends a pod."""
        assert self.process is not None
        began = time.monotonic()
        os.kill(self.process.pid, signal.SIGTERM)
        ended = self.wait()
        grace = self.object["spec"]["terminationGracePeriodSeconds"]
        assert time.monotonic() - began < grace
        return ended

    def written(self) -> dict[str, list[str]]:
        """What lies in each writable volume, by the volume's name."""
        return {
            volume["name"]: sorted(
                str(path.relative_to(self.folder / "volumes" / volume["name"]))
                for path in (self.folder / "volumes" / volume["name"]).rglob("*")
                if path.is_file()
            )
            for volume in self.object["spec"]["volumes"]
            if "emptyDir" in volume
        }

    def environment(self) -> dict[str, str]:
        """Variables of the container: envFrom first, then env, as the API has it."""
        found = {
            "KUBERNETES_SERVICE_HOST": "127.0.0.1",
            "KUBERNETES_SERVICE_PORT": str(self.cluster.port),
        }
        container = self.container
        for source in container.get("envFrom", ()):
            for kind, plural in (("configMapRef", "configmaps"), ("secretRef", "secrets")):
                if reference := source.get(kind):
                    data = self._data(plural, reference["name"], reference.get("optional", False))
                    found |= {name: value.decode() for name, value in data.items()}
        for variable in container.get("env", ()):
            if "value" in variable:
                found[variable["name"]] = self._expanded(variable["value"], found)
            elif reference := variable["valueFrom"].get("fieldRef"):
                found[variable["name"]] = self._field(reference["fieldPath"])
            else:
                ((kind, reference),) = variable["valueFrom"].items()
                plural = {"configMapKeyRef": "configmaps", "secretKeyRef": "secrets"}[kind]
                data = self._data(plural, reference["name"], reference.get("optional", False))
                if reference["key"] in data:
                    found[variable["name"]] = data[reference["key"]].decode()
        return found

    @staticmethod
    def _expanded(text: str, values: Mapping[str, str]) -> str:
        return re.sub(r"\$\((\w+)\)", lambda match: values.get(match[1], match[0]), text)

    def _field(self, path: str) -> str:
        if found := re.fullmatch(r"metadata\.(labels|annotations)\['(.+)'\]", path):
            return str(self.object["metadata"].get(found[1], {}).get(found[2], ""))
        value: Any = self.object
        for part in path.split("."):
            value = value[part]
        return str(value)

    # -- volumes ------------------------------------------------------------------------------

    def _volume(self, name: str) -> Path:
        (volume,) = [one for one in self.object["spec"]["volumes"] if one["name"] == name]
        place = self.folder / "volumes" / name
        place.mkdir(parents=True)
        # As fsGroup has it.
        os.chown(place, 0, USER)
        place.chmod(0o2777)
        for path, content, mode in self._files(volume):
            file = place / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
            os.chown(file, 0, USER)
            file.chmod(mode)
        return place

    def _files(self, volume: Object) -> Iterator[tuple[str, bytes, int]]:
        if source := volume.get("secret"):
            data = self._data("secrets", source["secretName"], source.get("optional", False))
            yield from _chosen(data, source)
        elif source := volume.get("configMap"):
            data = self._data("configmaps", source["name"], source.get("optional", False))
            yield from _chosen(data, source)
        elif source := volume.get("projected"):
            for part in source["sources"]:
                yield from self._projected(part, source["defaultMode"])
        else:
            assert "emptyDir" in volume, volume

    def _projected(self, part: Object, mode: int) -> Iterator[tuple[str, bytes, int]]:
        if token := part.get("serviceAccountToken"):
            # A kubelet makes it readable to the pod's group alone.
            yield token["path"], self._token(token).encode(), 0o640
        elif source := part.get("configMap"):
            data = self._data("configmaps", source["name"], source.get("optional", False))
            yield from _chosen(data, {**source, "defaultMode": mode})
        else:
            for item in part["downwardAPI"]["items"]:
                yield item["path"], self._field(item["fieldRef"]["fieldPath"]).encode(), mode

    def _token(self, wanted: Object) -> str:
        account = self.object["spec"]["serviceAccountName"]
        spec: Object = {
            "expirationSeconds": wanted.get("expirationSeconds", 3600),
            "boundObjectRef": {
                "apiVersion": "v1",
                "kind": "Pod",
                "name": self.name,
                "uid": self.object["metadata"]["uid"],
            },
        }
        if wanted.get("audience"):
            spec["audiences"] = [wanted["audience"]]
        path = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{account}/token"
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        answer = self.cluster.call("POST", path, body, user="control-plane")
        return str(answer["status"]["token"])

    def _data(self, plural: str, name: str, optional: bool) -> dict[str, bytes]:
        path = f"/api/v1/namespaces/{NAMESPACE}/{plural}/{name}"
        answer = self.cluster.request("GET", path, user="control-plane")
        if answer.status == 404 and optional:
            return {}
        assert answer.status == 200, f"the pod would wait for {plural}/{name} for ever"
        if plural == "secrets":
            data = answer.body.get("data") or {}
            return {key: base64.b64decode(value) for key, value in data.items()}
        return {key: str(value).encode() for key, value in (answer.body.get("data") or {}).items()}


def _chosen(data: dict[str, bytes], source: Object) -> Iterator[tuple[str, bytes, int]]:
    items = source.get("items") or [{"key": key, "path": key} for key in data]
    for item in items:
        if item["key"] in data:
            yield item["path"], data[item["key"]], item.get("mode", source["defaultMode"])


def template_of(workload: Object) -> Object:
    """The pod template of a CronJob, Job or Deployment."""
    spec = workload["spec"]
    template = spec["jobTemplate"]["spec"]["template"] if "jobTemplate" in spec else None
    return dict(template or spec["template"])


def pod_of(template: Object, name: str) -> Object:
    """What a controller would create of it."""
    metadata = {**template.get("metadata", {}), "name": name, "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}


def admitted(cluster: Cluster, workload: Object, folder: Path, name: str) -> Pod:
    """Creates the pod of a workload, by the rules of the namespace that it is in."""
    path = f"/api/v1/namespaces/{NAMESPACE}/pods"
    pod = cluster.call("POST", path, pod_of(template_of(workload), name), user="control-plane")
    return Pod(cluster, pod, folder / name)
