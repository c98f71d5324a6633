"""A fleet of member clusters on one etcd; also usable without pytest, as the benchmarks do.

with ControlPlane(build.ensure_each(), directory) as plane:
    aws, gcp = plane.clusters(2)
    plane.kubeconfig({"aws-eu": aws, "gcp-eu": gcp})
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.controlplane import audit
from tests.controlplane.build import Programs
from tests.controlplane.cluster import Cluster
from tests.controlplane.controllers import Controllers
from tests.controlplane.etcd import Etcd
from tests.controlplane.kubeconfig import write_kubeconfig

_NAMES = ("alpha", "beta", "gamma")


class ControlPlane:
    """Starts nothing before the first cluster is asked for; each takes some 290 MB.

    The clusters are of the versions in ``programs`` by turns, on the etcd of the last of them.
    """

    def __init__(
        self,
        programs: Sequence[Programs],
        directory: Path,
        *,
        audit_level: audit.Level | None = "Metadata",
    ) -> None:
        self.programs = programs
        self.directory = directory
        self._audit_level = audit_level
        self._etcd: Etcd | None = None
        self._clusters: list[Cluster] = []
        self._numbers = itertools.count(1)
        self._files = itertools.count(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def clusters(self, count: int = 3) -> tuple[Cluster, ...]:
        """The first ``count`` clusters, the same ones every time; all are up when it returns."""
        missing = count - len(self._clusters)
        started = [self._launch(self._audit_level) for _ in range(missing)]
        self._clusters += started
        for cluster in started:
            cluster.wait_ready()
        for cluster in self._clusters[:count]:
            cluster.start()
        return tuple(self._clusters[:count])

    def extra_cluster(self, audit_level: audit.Level | None) -> Cluster:
        """One beside the others, with an audit log of another level; ``close`` is the caller's."""
        cluster = self._launch(audit_level)
        cluster.wait_ready()
        return cluster

    def kubeconfig(self, contexts: Mapping[str, Cluster], *, user: str = "admin") -> Path:
        """A file with a context of the given name for each cluster."""
        path = self.directory / f"fleet-{next(self._files)}.kubeconfig"
        write_kubeconfig(path, contexts, user=user)
        return path

    def close(self) -> None:
        for cluster in self._clusters:
            cluster.close()
        self._clusters.clear()
        if self._etcd is not None:
            self._etcd.stop()
            self._etcd = None

    def _launch(self, audit_level: audit.Level | None) -> Cluster:
        if self._etcd is None:
            self._etcd = Etcd(self.programs[-1].etcd, self.directory)
        number = next(self._numbers)
        name = _NAMES[number - 1] if number <= len(_NAMES) else f"member-{number}"
        directory = self.directory / name
        programs = self.programs[(number - 1) % len(self.programs)]
        cluster = Cluster(
            name,
            number=number,
            directory=directory,
            etcd=self._etcd,
            controllers=Controllers(programs, directory),
            program=programs.kube_apiserver,
            service_account_key=self._service_account_key(),
            audit_level=audit_level,
        )
        cluster.launch()
        return cluster

    def _service_account_key(self) -> Path:
        """One for the fleet: what signs tokens in one cluster is not what is tested."""
        path = self.directory / "service-account.key"
        if not path.exists():
            path.write_bytes(_private_key())
        return path


def _private_key() -> bytes:
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


class KubectlFailed(AssertionError):
    """``returncode``, ``stdout`` and ``stderr`` are kubectl's."""

    def __init__(self, command: list[str], done: subprocess.CompletedProcess[str]) -> None:
        super().__init__(f"{' '.join(command)}: exit {done.returncode}: {done.stderr.strip()}")
        self.returncode = done.returncode
        self.stdout = done.stdout
        self.stderr = done.stderr


def kubectl(
    cluster: Cluster, *arguments: str, input: str | None = None, user: str = "admin"
) -> str:
    """What kubectl prints: the witness that does not share a line of code with this project.

    Raises KubectlFailed on any exit code but 0 (``kubectl diff`` answers 1 for a difference).
    """
    program = Path(sys.executable).with_name("kubectl")
    command = [str(program), f"--kubeconfig={cluster.kubeconfig(user)}", *arguments]
    done = subprocess.run(
        command,
        input=input,
        stdin=None if input is not None else subprocess.DEVNULL,
        env={**os.environ, "KUBECACHEDIR": str(cluster.directory / "kubectl-cache")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode:
        raise KubectlFailed([program.name, *arguments], done)
    return done.stdout
