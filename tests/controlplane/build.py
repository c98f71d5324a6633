#!/usr/bin/env python3
"""Builds the programs of a member cluster from Go modules, once per machine.

``tests/controlplane/main.go`` becomes one binary that is etcd, kube-apiserver,
kube-controller-manager and kube-scheduler after the link it is called by; ``kwok`` (which plays
the kubelets) is installed next to it. The result is cached under
``${XDG_CACHE_HOME:-~/.cache}/federation-reconciler/controlplane/<sources>-<go version>/``: about
250 MB. Cold, on two cores, it takes some eight minutes.

``KUBERNETES`` (such as ``1.34.4``) names another version: its go.mod is written beside the build,
and Go settles the rest of it. The default's is in this directory. ``1.33.13,1.37.2`` are several,
for a fleet in which the first cluster is of the first version, the second of the second.

``KUBEBUILDER_ASSETS`` (a directory with at least etcd and kube-apiserver) comes first; only what it
lacks is built. Standard library only, so that it runs before the virtual environment exists:

    python3 tests/controlplane/build.py            # build what is missing, print where it is
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SOURCES = Path(__file__).resolve().parent
MODULE_FILES = ("go.mod", "go.sum")
KUBERNETES = "1.37.2"
KWOK_MODULE = "sigs.k8s.io/kwok"
KWOK = "v0.8.0"
KWOK_STAGES = ("pod/fast", "node/fast", "node/heartbeat-with-lease")
LINKED = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
UNUSED_AFTER = 30 * 24 * 3600  # seconds after which another build's directory is removed


class Unavailable(Exception):
    """Neither ready-made binaries nor a Go tool chain: there can be no real API servers here."""


class BuildFailed(Exception):
    """Go is there and did not succeed; the message ends with what it printed."""


@dataclass(frozen=True)
class Programs:
    """Where the executables are. ``kwok_stages`` is the configuration that makes kwok act."""

    etcd: Path
    kube_apiserver: Path
    kube_controller_manager: Path | None
    kube_scheduler: Path | None
    kwok: Path | None
    kwok_stages: Path | None

    @property
    def runs_pods(self) -> bool:
        """Whether Deployments can become available: controllers, a scheduler and nodes."""
        return None not in (
            self.kube_controller_manager,
            self.kube_scheduler,
            self.kwok,
            self.kwok_stages,
        )


def kubernetes_version(environment: Mapping[str, str] = os.environ) -> str:
    """The version to build: ``KUBERNETES``, or the default. Raises ValueError for another text."""
    version = environment.get("KUBERNETES") or KUBERNETES
    if not re.fullmatch(r"1\.\d+\.\d+(-[a-z]+\.\d+)?", version):
        raise ValueError(f"KUBERNETES={version}: a version such as {KUBERNETES} is wanted")
    return version


def linker_flags(version: str) -> str:
    """Without the version in it, kubectl and the API server disagree about what they are."""
    package = "k8s.io/component-base/version"
    major, minor, *_ = version.split(".")
    settings = {"gitVersion": f"v{version}", "gitMajor": major, "gitMinor": minor}
    return " ".join(["-s -w", *(f"-X {package}.{k}={v}" for k, v in settings.items())])


def module_file(version: str, kubernetes_own: str) -> str:
    """The go.mod that builds ``version``; its indirect requirements are Go's to add.

    ``kubernetes_own`` is that of k8s.io/kubernetes, which asks for its parts in version v0.0.0.
    """
    staged = f"v0.{version.partition('.')[2]}"
    parts = re.findall(r"^\s+(k8s\.io/\S+) v0\.0\.0$", kubernetes_own, re.MULTILINE)
    lines = ["module controlplane", "", "go 1.24", "", "require ("]
    lines += [f"\tk8s.io/component-base {staged}", f"\tk8s.io/kubernetes v{version}", ")", ""]
    lines += [f"replace {part} => {part} {staged}" for part in parts]
    return "\n".join(lines) + "\n"


def ensure_each(environment: Mapping[str, str] = os.environ) -> tuple[Programs, ...]:
    """The programs of each version that ``KUBERNETES`` names. Raises as ``ensure`` does."""
    versions = environment.get("KUBERNETES", "").split(",")
    return tuple(ensure({**environment, "KUBERNETES": version}) for version in versions)


def ensure(environment: Mapping[str, str] = os.environ) -> Programs:
    """The programs, built first where they are missing.

    Raises Unavailable without Go and without KUBEBUILDER_ASSETS, BuildFailed when Go fails.
    """
    given = _given(environment)
    go = _go(environment)
    if go is None:
        built = _newest_build(environment)
        if not given and built is None:
            raise Unavailable("there is neither Go on the PATH nor KUBEBUILDER_ASSETS")
    else:
        built = _directory(environment, go)
        if any(name not in given for name in (*LINKED, "kwok")):
            _build(built, go, environment)
    own = _contents(built) if built else {}
    found = own | given
    return Programs(
        etcd=found["etcd"],
        kube_apiserver=found["kube-apiserver"],
        kube_controller_manager=found.get("kube-controller-manager"),
        kube_scheduler=found.get("kube-scheduler"),
        kwok=found.get("kwok"),
        kwok_stages=own.get("stages.yaml"),
    )


def _given(environment: Mapping[str, str]) -> dict[str, Path]:
    setting = environment.get("KUBEBUILDER_ASSETS")
    if not setting:
        return {}
    found = _contents(Path(setting))
    missing = [name for name in ("etcd", "kube-apiserver") if name not in found]
    if missing:
        raise Unavailable(f"KUBEBUILDER_ASSETS={setting} lacks {' and '.join(missing)}")
    return found


def _contents(directory: Path) -> dict[str, Path]:
    names = (*LINKED, "kwok", "stages.yaml")
    return {name: directory / name for name in names if (directory / name).exists()}


def _go(environment: Mapping[str, str]) -> str | None:
    return shutil.which("go", path=environment.get("PATH", ""))


def _cache(environment: Mapping[str, str]) -> Path:
    base = environment.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "federation-reconciler" / "controlplane"


def sources_digest(version: str = KUBERNETES) -> str:
    """What a build depends on besides the Go version."""
    digest = hashlib.sha256(f"{linker_flags(version)}\0{KWOK}\0{KWOK_STAGES}".encode())
    digest.update(b"\0" + (SOURCES / "main.go").read_bytes())
    if version == KUBERNETES:
        for name in MODULE_FILES:
            digest.update(b"\0" + (SOURCES / name).read_bytes())
    else:
        digest.update(f"\0{module_file(version, '')}".encode())
    return digest.hexdigest()[:16]


def _sources(directory: Path, go: str, version: str, environment: Mapping[str, str]) -> Path:
    """Where ``go build`` finds main.go and the go.mod of a version."""
    if version == KUBERNETES:
        return SOURCES
    sources = directory / "sources"
    sources.mkdir(exist_ok=True)
    shutil.copy(SOURCES / "main.go", sources)
    asked = [go, "mod", "download", "-json", f"k8s.io/kubernetes@v{version}"]
    found = subprocess.run(asked, cwd=sources, capture_output=True, text=True, check=False)
    if found.returncode:
        raise BuildFailed(f"Kubernetes {version}: {found.stdout}{found.stderr}")
    own = Path(json.loads(found.stdout)["GoMod"]).read_text(encoding="utf-8")
    (sources / "go.mod").write_text(module_file(version, own), encoding="utf-8")
    # -e: tests of dependencies, which nobody builds, ask for packages that are no more.
    _run([go, "mod", "tidy", "-e"], f"go.mod of {version}", 0, sources, environment)
    return sources


def _directory(environment: Mapping[str, str], go: str) -> Path:
    # Asked for among the sources, so that Go answers for the tool chain that go.mod selects.
    asked = subprocess.run(
        [go, "env", "GOVERSION"], cwd=SOURCES, capture_output=True, text=True, check=False
    )
    if asked.returncode:
        raise BuildFailed(f"Go is too old, or cannot fetch a newer one: {asked.stderr.strip()}")
    version = asked.stdout.strip().replace(" ", "-")
    return _cache(environment) / f"{sources_digest(kubernetes_version(environment))}-{version}"


def _newest_build(environment: Mapping[str, str]) -> Path | None:
    """A build of the same sources from a time when there was Go."""
    digest = sources_digest(kubernetes_version(environment))
    complete = [
        directory
        for directory in _cache(environment).glob(f"{digest}-*")
        if {"etcd", "kube-apiserver"} <= _contents(directory).keys()
    ]
    return max(complete, key=lambda directory: directory.stat().st_mtime, default=None)


def _build(directory: Path, go: str, environment: Mapping[str, str]) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    os.utime(directory)
    with _locked(directory.parent / f"{directory.name}.lock"):
        # Looked at under the lock: whoever held it may have built everything.
        if not (directory / "controlplane").exists():
            version = kubernetes_version(environment)
            sources = _sources(directory, go, version, environment)
            with _partial(directory) as output:
                flags = ["-trimpath", "-buildvcs=false", "-mod=readonly"]
                flags += ["-ldflags", linker_flags(version)]
                command = [go, "build", "-v", *flags, "-o", str(output / "controlplane"), "."]
                total = _packages(go, sources)
                _run(command, f"control plane {version}", total, sources, environment)
                (output / "controlplane").replace(directory / "controlplane")
        for name in LINKED:
            if not (directory / name).exists():
                (directory / name).symlink_to("controlplane")
        if not (directory / "kwok").exists() or not (directory / "stages.yaml").exists():
            with _partial(directory) as output:
                _install_kwok(go, output, environment)
                (output / "stages.yaml").replace(directory / "stages.yaml")
                (output / "kwok").replace(directory / "kwok")
        _remove_unused(directory)


def _install_kwok(go: str, output: Path, environment: Mapping[str, str]) -> None:
    module = f"{KWOK_MODULE}@{KWOK}"
    # GOFLAGS may hold -mod settings that are meant for other modules.
    settings = {**environment, "GOBIN": str(output)}
    command = [go, "install", "-v", f"{KWOK_MODULE}/cmd/kwok@{KWOK}"]
    _run(command, f"kwok {KWOK}", 0, output, settings)
    listed = subprocess.run(
        [go, "mod", "download", "-json", module],
        cwd=output,
        env=settings,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        raise BuildFailed(f"{module}: {listed.stdout}{listed.stderr}")
    stages = Path(json.loads(listed.stdout)["Dir"]) / "kustomize" / "stage"
    texts = [
        file.read_text(encoding="utf-8").strip()
        for folder in KWOK_STAGES
        for file in sorted((stages / folder).glob("*.yaml"))
        if file.name != "kustomization.yaml"
    ]
    (output / "stages.yaml").write_text("\n---\n".join(texts) + "\n", encoding="utf-8")


def _packages(go: str, sources: Path) -> int:
    """How many packages the build compiles at most; this downloads the modules, too."""
    say("control plane: fetching Go modules")
    listed = subprocess.run(
        [go, "list", "-mod=readonly", "-deps", "."],
        cwd=sources,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        raise BuildFailed(f"go list: {listed.stderr[-4000:]}")
    return len(listed.stdout.splitlines())


def _run(
    command: list[str], what: str, total: int, cwd: Path, environment: Mapping[str, str]
) -> None:
    """Runs ``go`` with ``-v``, which prints a line for each package that it compiles."""
    started = time.monotonic()
    lines: list[str] = []
    say(f"{what}: building")
    with subprocess.Popen(
        command,
        cwd=cwd,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            lines.append(line)
            of = f" of at most {total}" if total else ""
            seconds = int(time.monotonic() - started)
            say(f"{what}: {len(lines)}{of} packages, {seconds} s", passing=True)
    if process.returncode:
        raise BuildFailed(f"{what}: {' '.join(command)}\n{''.join(lines[-40:])}")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("control plane: waiting for the build that another process has begun")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def _partial(directory: Path) -> Iterator[Path]:
    """A place beside the final one, so that a rename publishes only what is complete."""
    output = directory / "partial"
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir()
    try:
        yield output
    finally:
        shutil.rmtree(output, ignore_errors=True)


def _remove_unused(current: Path) -> None:
    for other in current.parent.iterdir():
        stale = time.time() - other.stat().st_mtime > UNUSED_AFTER
        if stale and other.is_dir() and other != current:
            shutil.rmtree(other, ignore_errors=True)


def say(text: str, *, passing: bool = False) -> None:
    """Tells on stderr what goes on; ``passing`` lines overwrite each other, on a terminal only."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
    elif not passing:
        print(text, file=sys.stderr, flush=True)


def main() -> int:
    """Builds; prints one line. Exit codes: 0 done, 1 the build failed, 3 there is no Go."""
    started = time.monotonic()
    try:
        directories = [str(programs.kube_apiserver.parent) for programs in ensure_each()]
    except Unavailable as error:
        print(f"no control plane: {error}", file=sys.stderr)
        return 3
    except (BuildFailed, ValueError) as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr)
    seconds = time.monotonic() - started
    print(f"control plane ready in {seconds:.1f} s: {' '.join(directories)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
