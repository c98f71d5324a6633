"""A Helm chart with its values -> the manifests that the helm program renders of it."""

from __future__ import annotations

import hashlib
import io
import os
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson

from reconciler.api.files import MAX_FILE_BYTES, MAX_FILES, MAX_TOTAL_BYTES, SourceFile
from reconciler.api.objects import Object, RedactedRepr, map_of
from reconciler.git.work_tree import blob_id

CHART_FILE = "Chart.yaml"
SECONDS = 60
MAX_OUTPUT_BYTES = 32 * 1024 * 1024
_RENDERED: dict[tuple[str, int], RenderedChart] = {}
_MOST_RENDERED = 512
_MEMORY = "1GiB"
"""Of the helm program, past which it collects garbage all the time instead of growing."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_START = rb"^(?:\xef\xbb\xbf)?"
"""Of a line, be it the first one of a file that some Windows program wrote."""
_CHART = re.compile(_START + rb"""apiVersion:[ \t]*["']?v[12]["']?[ \t]*(#.*)?\r?$""", re.MULTILINE)
_KIND = re.compile(_START + rb"kind:", re.MULTILINE)
CHART_KIND = re.compile(rb"""["']?kind["']?:[ \t]*["']?Chart\b""")
"""In a file that may have a Chart of ours."""
_LIBRARY = re.compile(_START + rb"""type:[ \t]*["']?library\b""", re.MULTILINE)
_BESIDE = re.compile(rb"""\brepository:[ \t]*["']?file://([^\s"'#,}]+)""")
_VERSION_RULE = re.compile(_START + rb"kubeVersion:", re.MULTILINE)
_ASKS = re.compile(
    rb"""Capabilities\s*\.\s*APIVersions\s*\.\s*Has\s*\(?\s*["`]([A-Za-z0-9./-]+)["`]"""
)
_PLACE = re.compile(r"([^\s():]+/[^\s():]+):(\d+)(?::(\d+))?")
_VALUES_PLACE = re.compile(r"cannot load (\S+): .*?\bline (\d+)")
_YAML_PLACE = re.compile(r"error on ([^\s:]+): ")
_SCHEMA_OF = re.compile(r"([\w.-]+):")
_FAULT = re.compile(r"- at '(.*?)': (.*)")
_SECRET_KEY = re.compile(r"pass|secret|token|key|credential|auth", re.IGNORECASE)
_RANDOM = re.compile(
    rb"\b(gen(?:CA|SelfSigned|Signed|PrivateKey)\w*|rand\w+|uuidv4|shuffle|now|htpasswd|bcrypt"
    rb"|encryptAES|ago)\b"
)


class ChartFiles(RedactedRepr, frozen=True):
    """A chart's own files, by their path in it; or one ``.tgz`` archive.

    ``folder`` is where they lie in the repository; None for an archive.
    """

    files: tuple[SourceFile, ...]
    folder: str | None = None

    @property
    def digest(self) -> str:
        """Of all that it consists of."""
        found = hashlib.sha256()
        for file in self.files:
            found.update(f"{file.path}\0{file.blob or blob_id(file.content)}\n".encode())
        return found.hexdigest()

    def texts(self) -> Iterator[tuple[str, bytes]]:
        """Every file by its path, with those inside of archives. Raises ValueError for an archive
        that is none, or is too large."""
        for file in self.files:
            yield from _unpacked(file.path, file.content)


class ChartTraits(RedactedRepr, frozen=True):
    """What a chart's text says of how it is rendered.

    ``sees_cluster``: by the cluster's version, or by what that serves. ``random``: the functions
    that give something else each time. ``lookups``: where it asks for objects of the cluster.
    ``asked`` are the API versions that it asks for by name, with the place of the first question.
    """

    sees_cluster: bool
    random: tuple[str, ...] = ()
    lookups: tuple[tuple[str, int], ...] = ()
    asked: tuple[tuple[str, str, int], ...] = ()


class Release(RedactedRepr, frozen=True):
    """What a chart is rendered with. ``values`` are whole, but for the chart's own defaults.

    ``kube_version`` empty: the one that helm itself takes. ``api_versions`` come on top of those
    that helm knows. ``secret``: the values hold something that was encrypted.
    """

    name: str
    namespace: str
    values: Object
    include_crds: bool = True
    kube_version: str = ""
    api_versions: tuple[str, ...] = ()
    secret: bool = False


class ValueFault(RedactedRepr, frozen=True):
    """What ``chart``, the one that is rendered or one of its parts, says of a value in its schema.
    ``pointer`` leads there, from that chart's values on."""

    chart: str
    pointer: str
    message: str


class RenderedChart(RedactedRepr, frozen=True):
    """``manifests`` is YAML; or ``error`` says why there is none, with the chart's file and line
    where helm names one (0: it does not), and ``hint`` what to do. ``faults``: the same of single
    values, where that is what is wrong."""

    manifests: bytes = b""
    error: str = ""
    hint: str = ""
    file: str = ""
    line: int = 0
    faults: tuple[ValueFault, ...] = ()


def is_chart(file: SourceFile) -> bool:
    """Whether a file is the one that makes its folder a Helm chart. (A manifest of kind Chart may
    well lie in a file of the same name.)"""
    return (
        posixpath.basename(file.path) == CHART_FILE
        and bool(_CHART.search(file.content))
        and not _KIND.search(file.content)
    )


def chart_folders(files: Sequence[SourceFile]) -> frozenset[str]:
    """The folders of a repository that are Helm charts."""
    return frozenset(posixpath.dirname(file.path) for file in files if is_chart(file))


def rendered_in_others(files: Sequence[SourceFile]) -> frozenset[str]:
    """The folders of charts that others take in: libraries, and what a Chart.yaml depends on by
    ``file://``, of which helm packs a copy."""
    found = set()
    for file in files:
        if is_chart(file):
            folder = posixpath.dirname(file.path)
            found |= {folder} if _LIBRARY.search(file.content) else set()
            for path in _BESIDE.findall(file.content):
                found.add(posixpath.normpath(posixpath.join(folder, path.decode(errors="replace"))))
    return frozenset(found)


def _unpacked(path: str, content: bytes, depth: int = 0) -> Iterator[tuple[str, bytes]]:
    if not path.endswith((".tgz", ".tar.gz")) or depth > 3:
        yield path, content
        return
    # Most repositories have no archives of charts.
    import tarfile

    total = 0
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
            for number, entry in enumerate(archive):
                total += entry.size
                if number > MAX_FILES or entry.size > MAX_FILE_BYTES or total > MAX_TOTAL_BYTES:
                    raise ValueError(f"{path} unpacks to more than a chart may be")
                inner = archive.extractfile(entry) if entry.isfile() else None
                if inner is not None:
                    yield from _unpacked(f"{path}/{entry.name}", inner.read(), depth + 1)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ValueError(f"{path} is no archive of a chart: {error}") from None


def traits_of(chart: ChartFiles, values: bytes = b"") -> ChartTraits:
    """Look through a chart, and the ``values`` that it may take for templates. Raises ValueError
    for an archive that cannot be read."""
    sees, random = (
        b"Capabilities" in values,
        set(_RANDOM.findall(values) if b"{{" in values else ()),
    )
    lookups: list[tuple[str, int]] = []
    asked: dict[str, tuple[str, int]] = {}
    for path, content in chart.texts():
        name = posixpath.basename(path)
        sees |= b"Capabilities" in content or (
            name == CHART_FILE and bool(_VERSION_RULE.search(content))
        )
        if "/templates/" not in f"/{path}":
            continue
        for expression in re.finditer(rb"\{\{.*?\}\}", content, re.DOTALL):
            text = expression[0]
            line = content.count(b"\n", 0, expression.start()) + 1
            if text.startswith((b"{{/*", b"{{- /*")):
                continue
            random |= set(_RANDOM.findall(text))
            if re.search(rb"\blookup\s+[\"(]", text):
                lookups.append((path, line))
            for found in _ASKS.findall(text):
                asked.setdefault(found.decode(), (path, line))
    return ChartTraits(
        sees,
        tuple(sorted(name.decode() for name in random)),
        tuple(lookups),
        tuple((version, *place) for version, place in sorted(asked.items())),
    )


# -- rendering -------------------------------------------------------------------------------------


def render_chart(chart: ChartFiles, release: Release, fresh: int = 0) -> RenderedChart:
    """What ``helm template`` makes of it, without network, plugins and post-renderers.

    A process remembers what it rendered: of a chart that is different each time, a run is to see
    one rendering. ``fresh`` numbers others.
    """
    values = orjson.dumps(release.values, option=orjson.OPT_SORT_KEYS)
    key = _digest(chart, release, values), fresh
    if key in _RENDERED:
        return _RENDERED[key]
    found = _rendered(chart, release, values)
    if not found.error:
        if len(_RENDERED) >= _MOST_RENDERED:
            del _RENDERED[next(iter(_RENDERED))]
        _RENDERED[key] = found
    return found


def _digest(chart: ChartFiles, release: Release, values: bytes) -> str:
    about = [
        *(chart.digest, chart.folder, hashlib.sha256(values).hexdigest(), release.name),
        *(release.namespace, release.include_crds, release.kube_version, release.api_versions),
        release.secret,
    ]
    return hashlib.sha256(orjson.dumps(about)).hexdigest()


def _rendered(chart: ChartFiles, release: Release, values: bytes) -> RenderedChart:
    # Most repositories have no chart.
    import shutil
    import tempfile

    from reconciler.git.processes import run_program

    helm = shutil.which("helm")
    if helm is None:
        return RenderedChart(
            error="a chart has to be rendered, and there is no helm",
            hint="install helm 4 (the image's target with-programs has it)",
        )
    with tempfile.TemporaryDirectory(prefix="reconcile-helm-") as place:
        top = write_chart(Path(place) / "chart", chart.files)
        command = [helm, "template", release.name, str(top), "--namespace", release.namespace]
        # Values never lie on the disk: they may have been encrypted.
        command += ["--values", "-", "--skip-tests"]
        if release.include_crds:
            command.append("--include-crds")
        if release.kube_version:
            command += ["--kube-version", release.kube_version]
        if release.api_versions:
            command += ["--api-versions", ",".join(release.api_versions)]
        done = run_program(
            command,
            environment_without_network(place),
            seconds=SECONDS,
            given=values,
            folder=Path(place),
            most=MAX_OUTPUT_BYTES,
        )
    if done.timed_out:
        return RenderedChart(error=f"helm template did not end in {SECONDS} s")
    if done.too_long:
        return RenderedChart(error=f"it renders to more than {MAX_OUTPUT_BYTES:,} bytes")
    if done.code:
        return _failed(done.stderr, chart, release)
    return RenderedChart(done.stdout)


def write_chart(top: Path, files: Sequence[SourceFile]) -> Path:
    """Write a chart to a private folder; its folder there, or the archive that it is."""
    top.mkdir(mode=0o700)
    for file in files:
        target = top / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.content)
    return top / files[0].path if len(files) == 1 and files[0].path.endswith(".tgz") else top


def environment_without_network(place: str) -> dict[str, str]:
    """No program to run, no settings or plugins of anybody, no cluster, and no way to the
    network."""
    nowhere = "http://127.0.0.1:9"
    return private_home(place) | {
        "HTTP_PROXY": nowhere,
        "HTTPS_PROXY": nowhere,
        "ALL_PROXY": nowhere,
        "NO_PROXY": "",
    }


def private_home(place: str) -> dict[str, str]:
    """An environment in which helm knows of nothing but that folder."""
    return {
        "PATH": "",
        "HOME": place,
        "TMPDIR": place,
        "HELM_CONFIG_HOME": f"{place}/helm/config",
        "HELM_CACHE_HOME": f"{place}/helm/cache",
        "HELM_DATA_HOME": f"{place}/helm/data",
        "HELM_PLUGINS": f"{place}/helm/plugins",
        "KUBECONFIG": os.devnull,
        "GOMEMLIMIT": _MEMORY,
    }


def _failed(stderr: str, chart: ChartFiles, release: Release) -> RenderedChart:
    """Why helm did not render it. helm quotes what a chart's author wrote, who may quote values:
    with values that were encrypted only the place is passed on."""
    text = _CONTROL.sub(" ", stderr).strip()
    text = re.sub(r"\s*Use --debug flag to render out invalid YAML\s*$", "", text)
    text = text.removeprefix("Error: ").removeprefix("INSTALLATION FAILED: ")
    file, line = _place_in(text, chart)
    hint = ""
    if "missing in charts/ directory" in text:
        hint = "run `helm dependency build` in the chart, and commit its charts/"
    elif "library charts are not installable" in text:
        hint = "a library is a dependency of other charts; render one of those"
    if release.secret:
        shown = f"helm refuses it{f' at {file}:{line}' if file else ''}"
        hint = hint or "`helm template` says why; it may quote decrypted values"
    else:
        shown = f"helm: {_masked(text, release.values)[:600]}"
    faults = () if release.secret else tuple(_value_faults(stderr, release.values))
    return RenderedChart(error=shown, hint=hint, file=file, line=line, faults=faults)


def _value_faults(stderr: str, values: Object) -> Iterator[ValueFault]:
    """What schemas of charts say, chart by chart; nothing where that is not what is wrong."""
    if "don't meet the specifications of the schema" not in stderr:
        return
    name = ""
    found: list[list[str]] = []
    for line in stderr.splitlines():
        if chart := _SCHEMA_OF.fullmatch(line):
            name = chart[1]
        elif (fault := _FAULT.fullmatch(line)) and name:
            found.append([name, *fault.groups()])
        elif line.startswith(" ") and found:
            found[-1][2] += f"; {line.strip().removeprefix('- ')}"
    for name, pointer, message in found:
        yield ValueFault(name, pointer, _CONTROL.sub(" ", _masked(message, values))[:600])


def _place_in(text: str, chart: ChartFiles) -> tuple[str, int]:
    """The innermost file and line that helm names. It counts from the chart's name on, which need
    not be that of its folder."""
    paths = {file.path for file in chart.files}
    found = ("", 0)
    for match in _PLACE.finditer(text):
        inside = match[1].split("/", 1)[1]
        if inside in paths:
            found = (inside, int(match[2]))
    values = _VALUES_PLACE.search(text)
    if values and values[1] in paths:
        return values[1], int(values[2])
    named = _YAML_PLACE.search(text)
    if not found[0] and named and "/" in named[1]:
        inside = named[1].split("/", 1)[1]
        if inside in paths:
            found = (inside, 1)
    return found


def _masked(text: str, values: Object) -> str:
    for secret in sorted(_secrets_in(values), key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def _secrets_in(value: Any, *, named: bool = False) -> Iterator[str]:
    """The texts whose keys say that they are secret."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _secrets_in(inner, named=named or bool(_SECRET_KEY.search(str(key))))
    elif isinstance(value, list):
        for inner in value:
            yield from _secrets_in(inner, named=named)
    elif named and isinstance(value, str) and len(value) > 2:
        yield value


@lru_cache(maxsize=1)
def versions_helm_knows() -> frozenset[str]:
    """The API versions that helm takes for served whatever it is told. Empty where it cannot be
    asked."""
    files = (
        SourceFile("Chart.yaml", b"apiVersion: v2\nname: known\nversion: 0.0.0\n"),
        SourceFile("templates/known.yaml", b"known: {{ .Capabilities.APIVersions | toJson }}\n"),
    )
    done = render_chart(ChartFiles(files), Release("known", "default", {}))
    for line in done.manifests.splitlines():
        if line.startswith(b"known: "):
            return frozenset(orjson.loads(line.removeprefix(b"known: ")))
    return frozenset()


# -- values ----------------------------------------------------------------------------------------


def merged_values(layers: Sequence[Mapping[str, Any]]) -> Object:
    """Values, the later ones over the earlier, as ``helm --values a --values b``: maps are merged,
    all else is replaced. A null stays: it takes away the chart's default."""
    found: Object = {}
    for layer in layers:
        found = _merged(found, layer)
    return found


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> Object:
    found = dict(base)
    for key, value in over.items():
        before = found.get(key)
        both = isinstance(before, dict) and isinstance(value, dict)
        found[key] = _merged(map_of(before), value) if both else value
    return found
