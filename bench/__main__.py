"""Times whole processes on one real API server, this tool beside kubectl, in one run.

``python -m bench [OBJECTS]``: a quarter each of Deployments, Services, ConfigMaps, ServiceAccounts.
Prints a table of medians and writes ``bench/results.json``.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.controlplane import build
from tests.controlplane.plane import ControlPlane

ROOT = Path(__file__).resolve().parent.parent
KUBECTL = Path(sys.executable).with_name("kubectl")
RUNS = 3

FEDERATION = """\
apiVersion: federation.reconciler.dev/v1alpha1
kind: Federation
metadata: {name: bench}
spec: {defaults: {placement: {clusterSelector: {}}}}
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: one}
"""
OBJECTS = """\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web-{n}, namespace: bench, labels: {{app: web-{n}}}}}
spec:
  replicas: 2
  selector: {{matchLabels: {{app: web-{n}}}}}
  template:
    metadata: {{labels: {{app: web-{n}}}}}
    spec:
      containers:
        - name: web
          image: registry.example/web:1.0
          ports: [{{containerPort: 8080}}]
          env: [{{name: LEVEL, value: info}}, {{name: NUMBER, value: "{n}"}}]
          resources: {{requests: {{cpu: 100m, memory: 64Mi}}}}
---
apiVersion: v1
kind: Service
metadata: {{name: web-{n}, namespace: bench}}
spec:
  selector: {{app: web-{n}}}
  ports: [{{name: http, port: 80, targetPort: 8080}}]
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: web-{n}, namespace: bench}}
data: {{number: "{n}", colour: green}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {{name: web-{n}, namespace: bench}}
"""


def timed(command: list[str | Path]) -> float:
    """Seconds of one whole process. Raises when it fails (kubectl diff may answer 1)."""
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, cwd=ROOT)
    seconds = time.perf_counter() - began
    if done.returncode > 1 or (done.returncode and "diff" not in command):
        raise SystemExit(done.stderr.decode()[-2000:])
    return seconds


def median(command: list[str | Path]) -> float:
    return statistics.median(timed(command) for _ in range(RUNS))


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    with (
        tempfile.TemporaryDirectory() as folder,
        ControlPlane(build.ensure(os.environ), Path(folder), audit_level=None) as plane,
    ):
        (cluster, other) = plane.clusters(2)
        results = measure(count, Path(folder), plane.kubeconfig({"one": cluster}), plane, other)
    print(f"{count} objects on one real API server; seconds, whole process, median of {RUNS}")
    for name, seconds in results.items():
        print(f"  {name:<44} {seconds:8.3f}")
    ratio = (
        results["kubectl apply --server-side, nothing to do"] / results["reconcile, nothing to do"]
    )
    print(f"  reconcile is {ratio:.1f} times as fast as kubectl apply when nothing changed")
    results["ratio"] = ratio
    (ROOT / "bench" / "results.json").write_text(json.dumps(results, indent=2) + "\n")


def measure(
    count: int, folder: Path, kubeconfig: Path, plane: ControlPlane, other: object
) -> dict[str, float]:
    repository, plain = folder / "repository", folder / "plain"
    repository.mkdir()
    plain.mkdir()
    namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: bench}\n---\n"
    text = namespace + "---\n".join(OBJECTS.format(n=n) for n in range(count // 4))
    (repository / "federation.yaml").write_text(FEDERATION)
    (repository / "objects.yaml").write_text(text)
    (plain / "objects.yaml").write_text(text)
    second = plane.kubeconfig({"one": other})  # type: ignore[dict-item]
    reconcile: list[str | Path] = [sys.executable, "-m", "reconciler.cli"]
    run = [*reconcile, "--repo", repository, "--kubeconfig", kubeconfig, "--yes"]
    apply = [KUBECTL, "--kubeconfig", second, "apply", "--server-side", "-f", plain]
    diff = [KUBECTL, "--kubeconfig", second, "diff", "--server-side", "-f", plain]
    results = {
        "reconcile --version": median([*reconcile, "--version"]),
        "reconcile, first apply": timed(run),
        "kubectl apply --server-side, first": timed(apply),
        "reconcile, nothing to do": median(run),
        "kubectl apply --server-side, nothing to do": median(apply),
        "kubectl diff --server-side, nothing to do": timed(diff),
    }
    changed = text.replace('number: "7", colour: green', 'number: "7", colour: red')
    (repository / "objects.yaml").write_text(changed)
    results["reconcile, one object changed"] = timed(run)
    return results


if __name__ == "__main__":
    main()
