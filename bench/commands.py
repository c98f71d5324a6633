"""The command lines that are compared, and the environment in which they run."""

from __future__ import annotations

import compileall
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from bench.timing import Command
from tests.controlplane.cluster import Cluster

ROOT = Path(__file__).resolve().parent.parent
BEFORE_PAGES = "b392164"
"""The last commit that held whole clusters in memory: what came after it is compared with it."""


class Commands:
    """Makes commands with caches and memories of their own, below ``folder``."""

    def __init__(self, folder: Path) -> None:
        # Timing an interpreter that may not keep what it has compiled would time the compiler.
        compileall.compile_dir(ROOT / "reconciler", quiet=1)
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "RECONCILE_"))}
        self.folder = folder
        self.environment: Mapping[str, str] = {
            **kept,
            "XDG_CACHE_HOME": str(folder / "cache"),
            "XDG_STATE_HOME": str(folder / "state"),
            "KUBECACHEDIR": str(folder / "kubectl-cache"),
        }

    def reconcile(
        self,
        *arguments: str | Path,
        repository: Path | None = None,
        kubeconfig: Path | None = None,
        cache: Path | None = None,
        before: Callable[[], None] = lambda: None,
    ) -> Command:
        """``cache`` is another place for what is kept between runs."""
        given: list[str | Path] = [*arguments]
        given += ["--repo", repository] if repository else []
        given += ["--kubeconfig", kubeconfig] if kubeconfig else []
        environment = self.environment
        if cache:
            environment = {**environment, "XDG_CACHE_HOME": str(cache)}
        return Command([_beside("reconcile"), *given], environment, before=before)

    def before_pages(self, command: Command) -> Command:
        """The same command of ``reconcile``, by ``BEFORE_PAGES``. Raises CalledProcessError where
        this is no clone that has it."""
        tree = self.folder / "before-pages"
        if not tree.exists():
            tree.mkdir()
            git = ["git", "-C", str(ROOT), "archive", BEFORE_PAGES, "reconciler", "schemas"]
            archive = subprocess.run(git, check=True, capture_output=True).stdout
            subprocess.run(["tar", "-x", "-C", str(tree)], check=True, input=archive)
            compileall.compile_dir(tree, quiet=1)
        cache = {"XDG_CACHE_HOME": str(self.folder / "cache-before-pages")}
        return Command(
            # -P: or what is found first is the package in the folder where this runs.
            [sys.executable, "-P", "-m", "reconciler.cli", *command.argv[1:]],
            {**command.environment, **cache, "PYTHONPATH": str(tree)},
            command.accepted,
            command.before,
        )

    def kubectl_apply(
        self, cluster: Cluster, folder: Path, *, before: Callable[[], None] = lambda: None
    ) -> Command:
        return self._kubectl(cluster, "apply", folder, (0,), before)

    def kubectl_diff(self, cluster: Cluster, folder: Path) -> Command:
        return self._kubectl(cluster, "diff", folder, (0, 1), lambda: None)

    def floor(self, cluster: Cluster) -> Command:
        """A process that does nothing but LIST."""
        return Command([sys.executable, "-m", "bench.floor", self.address(cluster)], self._in_root)

    def floor_of_writes(
        self, cluster: Cluster, folder: Path, *, before: Callable[[], None]
    ) -> Command:
        """A process that does nothing but try and apply what is in a folder, and times that."""
        argv: list[str | Path] = [sys.executable, "-m", "bench.floor_of_writes"]
        argv += [self.address(cluster), folder]
        return Command(argv, self._in_root, before=before)

    def inside(
        self, cluster: Cluster, repository: Path, kubeconfig: Path, *, rounds: int
    ) -> Command:
        """A process that times its own parts."""
        argv: list[str | Path] = [sys.executable, "-m", "bench.inside", self.address(cluster)]
        return Command([*argv, repository, kubeconfig, str(rounds)], self._in_root)

    def address(self, cluster: Cluster) -> Path:
        """A file with all that a LIST needs to know, which costs nothing to read."""
        path = self.folder / f"{cluster.name}-{cluster.port}.json"
        path.write_text(
            json.dumps(
                {
                    "url": cluster.url,
                    "token": cluster.tokens["admin"],
                    "certificate": str(cluster.certificate),
                }
            )
        )
        return path

    @property
    def _in_root(self) -> Mapping[str, str]:
        return {**self.environment, "PYTHONPATH": str(ROOT)}

    def _kubectl(
        self,
        cluster: Cluster,
        verb: str,
        folder: Path,
        accepted: tuple[int, ...],
        before: Callable[[], None],
    ) -> Command:
        argv: list[str | Path] = [_beside("kubectl"), "--kubeconfig", cluster.kubeconfig()]
        argv += [verb, "--server-side", "-f", folder]
        return Command(argv, self.environment, accepted, before)


def _beside(name: str) -> Path:
    """A program of this virtual environment."""
    return Path(sys.executable).with_name(name)
