"""A fleet of simulated clusters in this process, with the kubeconfig that reaches them."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from kubesim.cluster import SimulatedCluster
from kubesim.server import ClusterSettings


class Sandbox:
    """``with Sandbox(["aws-eu", "gcp-eu"]) as sandbox:`` serves until the block ends.

    ``settings`` is for all clusters, or for each by name (the others get the defaults).
    ``state``: a directory in which the clusters' contents are kept between processes; it is
    written when the block ends. ``kubeconfig``: where to write it, else a temporary file.
    """

    def __init__(
        self,
        names: Sequence[str],
        *,
        settings: ClusterSettings | Mapping[str, ClusterSettings] | None = None,
        state: Path | None = None,
        kubeconfig: Path | None = None,
    ) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread: threading.Thread | None = None
        self._state = state
        self._directory: Path | None = None
        self._kubeconfig = kubeconfig
        given = settings or ClusterSettings()
        self._clusters: dict[str, SimulatedCluster] = {}
        for number, name in enumerate(dict.fromkeys(names), start=1):
            one = given.get(name, ClusterSettings()) if isinstance(given, Mapping) else given
            self._clusters[name] = SimulatedCluster(name, one, number, self._loop)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._clusters)

    @property
    def clusters(self) -> tuple[SimulatedCluster, ...]:
        return tuple(self._clusters.values())

    def cluster(self, name: str) -> SimulatedCluster:
        """Raises KeyError."""
        return self._clusters[name]

    @property
    def kubeconfig(self) -> Path:
        """One context per cluster, with its name; the first is the current one."""
        if self._kubeconfig is None:
            raise RuntimeError("the sandbox has not been started")
        return self._kubeconfig

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def start(self) -> None:
        for cluster in self.clusters:
            self._restore(cluster)
        self._thread = threading.Thread(target=self._serve, name="sandbox", daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(60)
        if self._kubeconfig is None:
            self._directory = Path(tempfile.mkdtemp(prefix="reconciler-sandbox-"))
            self._kubeconfig = self._directory / "kubeconfig"
        write_kubeconfig(self._kubeconfig, self.clusters)

    def close(self) -> None:
        """Stops serving and saves; nothing that it started is left."""
        if self._thread is None:
            return
        asyncio.run_coroutine_threadsafe(self._shut(), self._loop).result(60)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._thread = None
        self._loop.close()
        self.save()
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)

    def save(self) -> None:
        """Writes the state directory, if there is one; each file is replaced as a whole."""
        if self._state is None:
            return
        self._state.mkdir(parents=True, exist_ok=True)
        for cluster in self.clusters:
            path = self._state / f"{cluster.name}.json"
            temporary = path.with_suffix(f".{os.getpid()}.tmp")
            temporary.write_bytes(cluster.dump())
            temporary.replace(path)

    @staticmethod
    def reset(state: Path) -> None:
        """Forgets what was kept in a state directory; other files in it stay."""
        for path in state.glob("*.json") if state.is_dir() else ():
            path.unlink()

    def _restore(self, cluster: SimulatedCluster) -> None:
        if self._state is None:
            return
        with suppress(FileNotFoundError):
            cluster.load((self._state / f"{cluster.name}.json").read_bytes())

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    async def _listen(self) -> None:
        for cluster in self.clusters:
            await cluster.listen()

    async def _shut(self) -> None:
        for cluster in self.clusters:
            await cluster.shut()
        await asyncio.sleep(0)


def write_kubeconfig(path: Path, clusters: Sequence[SimulatedCluster]) -> None:
    """Readable by its owner only, as it holds tokens."""
    lines = ["apiVersion: v1", "kind: Config"]
    lines.append(f'current-context: "{clusters[0].name}"' if clusters else 'current-context: ""')
    lines += ["clusters:"] if clusters else ["clusters: []"]
    for cluster in clusters:
        lines += [f'- name: "{cluster.name}"', f"  cluster: {{server: '{cluster.url}'}}"]
    lines += ["users:"] if clusters else ["users: []"]
    for cluster in clusters:
        lines += [f'- name: "{cluster.name}"', f"  user: {{token: '{cluster.token}'}}"]
    lines += ["contexts:"] if clusters else ["contexts: []"]
    for cluster in clusters:
        name = cluster.name
        lines += [f'- name: "{name}"', f'  context: {{cluster: "{name}", user: "{name}"}}']
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


def default_state(key: str) -> Path:
    """Where state is kept for a key, such as the name of a federation: the user's cache."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "federation-reconciler" / "sandbox" / key
