"""Charts that lie elsewhere, by what they must be: fetched by helm, kept by their digest.

Whoever writes to the repository names the server. So nothing goes there but the question: no
credential of anybody, unless the run has an option that names the server's. What comes back counts
only if it has the digest that Git says.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from reconciler.api.errors import SourceError, SourceUnreachable
from reconciler.api.files import SourceFile
from reconciler.git.helm import ChartFiles, private_home
from reconciler.git.location import default_cache

SECONDS = 120
MAX_ARCHIVE_BYTES = 20 * 1024 * 1024
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
# How the network is reached, by the run's own settings.
_NETWORK = (
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR"),
)


def fetch_chart(oci: str, repository: Mapping[str, str], pull: Callable[[], bytes]) -> ChartFiles:
    """The chart at an OCI reference with a digest, or in a repository with url, name, version and
    digest. ``pull`` gets its archive, where it is not kept from before.

    Raises SourceUnreachable where it cannot be had, SourceError where it is another one.
    """
    name = _name(oci, repository)
    digest = repository["digest"] if repository else oci.rpartition("@")[2]
    kept = default_cache() / "charts" / f"{digest.replace(':', '-')}.tgz"
    content = _kept(kept, digest) if repository else _kept_of_registry(kept)
    if content is None:
        content = pull()
        if repository and _digest(content) != digest:
            raise SourceError(
                f"the chart {name} has the digest {_digest(content)}, and not {digest}",
                hint="another archive was published under the same version: look what changed "
                "before you take its digest over",
            )
        _keep(kept, content)
    return ChartFiles((SourceFile("chart.tgz", content),))


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _kept(place: Path, digest: str) -> bytes | None:
    try:
        content = place.read_bytes()
    except OSError:
        return None
    return content if _digest(content) == digest else None


def _kept_of_registry(place: Path) -> bytes | None:
    """A reference has the digest of the manifest; that of the archive is kept beside it."""
    try:
        digest = place.with_suffix(".digest").read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return _kept(place, digest)


def _keep(place: Path, content: bytes) -> None:
    import tempfile

    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        for target, data in (
            (place, content),
            (place.with_suffix(".digest"), _digest(content).encode()),
        ):
            descriptor, name = tempfile.mkstemp(dir=place.parent)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            Path(name).replace(target)
    except OSError:
        # A cache that cannot be written costs time, nothing else.
        return


def _name(oci: str, repository: Mapping[str, str]) -> str:
    return oci or f"{repository['name']} {repository['version']} of {repository['url']}"


def pull_by_helm(oci: str, repository: Mapping[str, str], logins: Path | None = None) -> bytes:
    """The archive as helm gets it. ``logins``: a docker config.json with what registries are told;
    a repository over https is told nothing. Raises SourceUnreachable, SourceError."""
    import shutil
    import tempfile

    from reconciler.git.processes import run_program

    name = _name(oci, repository)
    helm = shutil.which("helm")
    if helm is None:
        raise SourceError(
            f"the chart {name} has to be fetched, and there is no helm",
            hint="install helm 4 (the image's target with-programs has it)",
        )
    with tempfile.TemporaryDirectory(prefix="reconcile-helm-") as place:
        target = Path(place) / "pulled"
        target.mkdir()
        command: list[str | Path] = [helm, "pull", "--destination", target]
        if oci:
            command += [oci]
        else:
            command += [repository["name"], "--repo", repository["url"]]
            command += ["--version", repository["version"]]
        if logins is not None:
            command += ["--registry-config", logins]
        network = {name: value for name in _NETWORK if (value := os.environ.get(name))}
        done = run_program(
            command, {**network, **private_home(place)}, seconds=SECONDS, folder=Path(place)
        )
        if done.timed_out:
            raise SourceUnreachable(f"the chart {name} was not fetched in {SECONDS} s")
        if done.code:
            reason = _CONTROL.sub(" ", done.stderr).strip().removeprefix("Error: ")
            raise SourceUnreachable(f"the chart {name} cannot be fetched: {reason[:300]}")
        found = sorted(target.iterdir())
        if len(found) != 1 or found[0].stat().st_size > MAX_ARCHIVE_BYTES:
            raise SourceError(
                f"the chart {name} is no archive of at most {MAX_ARCHIVE_BYTES:,} bytes"
            )
        return found[0].read_bytes()
