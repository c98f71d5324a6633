"""Repositories to measure with: a Federation, its clusters, and any number of plain objects."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

ADDRESS = "https://git.example.com/bench.git"
NAMESPACE = "bench"
KINDS = 4
"""An application is one each of Deployment, Service, ConfigMap, ServiceAccount."""

_FEDERATION = """\
apiVersion: federation.reconciler.dev/v1alpha1
kind: Federation
metadata: {name: bench}
spec: {defaults: {placement: {clusterSelector: {}}}}
"""
_CLUSTER = """\
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {{name: {name}}}
"""
_WITNESS = f"{_CLUSTER}spec: {{{{role: Witness}}}}\n"
_NAMESPACE = f"""\
apiVersion: v1
kind: Namespace
metadata: {{name: {NAMESPACE}}}
"""
_APPLICATION = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web-{n}
  namespace: bench
  labels: {{app: web-{n}}}
spec:
  replicas: 2
  selector:
    matchLabels: {{app: web-{n}}}
  template:
    metadata:
      labels: {{app: web-{n}}}
    spec:
      containers:
        - name: web
          image: registry.example/web:1.0
          ports:
            - containerPort: 8080
          env:
            - name: LEVEL
              value: info
            - name: NUMBER
              value: "{n}"
          resources:
            requests: {{cpu: 100m, memory: 64Mi}}
---
apiVersion: v1
kind: Service
metadata:
  name: web-{n}
  namespace: bench
spec:
  {address}selector: {{app: web-{n}}}
  ports:
    - name: http
      port: 80
      targetPort: 8080
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: web-{n}
  namespace: bench
data:
  number: "{n}"
  colour: {colour}
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: web-{n}
  namespace: bench
"""


def application(number: int, *, colour: str = "green", addresses: bool = True) -> str:
    """The four manifests of one application; without ``addresses`` its Service is headless."""
    address = "" if addresses else "clusterIP: None\n  "
    return _APPLICATION.format(n=number, colour=colour, address=address)


def write_repository(
    folder: Path,
    objects: int,
    clusters: Sequence[str],
    *,
    per_file: int = 1,
    addresses: bool = True,
    seats: Sequence[str] = (),
    waves: Sequence[Sequence[str]] = (),
) -> Path:
    """A Git work tree with ``objects`` manifests, which all go to every cluster.

    Of ``seats`` those that are none of ``clusters`` are Witnesses. ``waves``: the clusters of each,
    where commits reach them in such.
    """
    folder.mkdir(parents=True, exist_ok=True)
    members = "".join(_CLUSTER.format(name=name) for name in clusters)
    members += "".join(_WITNESS.format(name=name) for name in seats if name not in clusters)
    federation = _FEDERATION
    if seats:
        federation = federation.replace("spec: {", f"spec: {{seats: [{', '.join(seats)}], ")
    if waves:
        said = ", ".join(
            f"{{name: wave-{number}, clusters: [{', '.join(names)}]}}"
            for number, names in enumerate(waves, start=1)
        )
        federation = federation.replace("spec: {", f"spec: {{rollout: {{waves: [{said}]}}, ")
    (folder / "federation.yaml").write_text(federation + members)
    if objects:
        write_objects(folder / "apps", objects, per_file=per_file, addresses=addresses)
    commit(folder)
    return folder


def write_objects(folder: Path, objects: int, *, per_file: int = 1, addresses: bool = True) -> Path:
    """Only the manifests, as kubectl takes them: a file for every ``per_file`` applications.

    The Namespace sorts before what is in it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "0-namespace.yaml").write_text(_NAMESPACE)
    numbers = range(-(-objects // KINDS))
    applications = (application(n, addresses=addresses) for n in numbers)
    manifests = [part for each in applications for part in each.split("---\n")][:objects]
    step = KINDS * per_file
    for first in range(0, len(manifests), step):
        part = "---\n".join(manifests[first : first + step])
        (folder / f"web-{first // KINDS}.yaml").write_text(part)
    return folder


def paint(repository: Path, colour: str) -> None:
    """Change one ConfigMap of many, and commit that."""
    (repository / "apps" / "web-0.yaml").write_text(application(0, colour=colour))
    commit(repository)


def commit(folder: Path) -> None:
    """Everything as it lies, whatever the user's own configuration of Git."""
    git = ["git", "-C", str(folder), "-c", "user.name=bench", "-c", "user.email=bench@localhost"]
    subprocess.run([*git, "init", "--quiet"], check=True)
    # One after the other is applied to the same clusters: to these, all are one repository.
    subprocess.run([*git, "config", "remote.origin.url", ADDRESS], check=True)
    subprocess.run([*git, "add", "--all"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "--message=bench"], check=True)
