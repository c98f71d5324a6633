"""Charts of a repository -> the objects that they come to in each cluster.

A chart that asks for the cluster's version, or for what it serves, is rendered for each cluster's
own, which is asked first. Equal inputs are rendered once.
"""

from __future__ import annotations

import dataclasses
import os
import posixpath
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from msgspec.structs import replace

from reconciler.api.errors import ClusterError, Position, Problem, with_hint
from reconciler.api.files import SourceFile
from reconciler.api.json_pointer import join_pointer, split_pointer
from reconciler.api.kinds import API_VERSIONS, CLUSTER_SCOPED
from reconciler.api.manifest import Manifest
from reconciler.api.notices import Notice, NoticeCause, notice
from reconciler.api.objects import (
    GroupKind,
    Object,
    ObjectKey,
    RedactedRepr,
    api_group,
    first_few,
    key_of,
    map_of,
)
from reconciler.cluster.client import Member
from reconciler.cluster.parallel import in_parallel
from reconciler.cluster.responses import reading_answers
from reconciler.federation.charts import Chart, ChartObject, ValuesLayer, layer_files
from reconciler.federation.model import Cluster
from reconciler.git.helm import (
    ChartFiles,
    ChartTraits,
    RenderedChart,
    ValueFault,
    chart_folders,
    is_chart,
    merged_values,
    render_chart,
    rendered_in_others,
    traits_of,
    versions_helm_knows,
)
from reconciler.git.sops import is_encrypted
from reconciler.manifests.custom_schemas import custom_problems, schemas_in
from reconciler.manifests.document import Document
from reconciler.manifests.load import load
from reconciler.manifests.own_schemas import SCHEMA_OF
from reconciler.manifests.values import read_values
from reconciler.render.hooks import hook_kinds, is_early_hook, is_test

VERSION_SECONDS = 10.0
CONCURRENT_MEMBERS = 128
_OURS = frozenset(api_group(api_version) for api_version, _ in SCHEMA_OF)


class ClusterVersions(RedactedRepr, frozen=True):
    """What a chart may see of a cluster. ``unknown_groups`` could not be listed."""

    kube_version: str
    api_versions: tuple[str, ...]
    unknown_groups: tuple[str, ...] = ()


Versions = Mapping[str, ClusterVersions | str]
"""Cluster -> its versions, or why nobody knows them."""


class RenderedCharts(RedactedRepr, frozen=True):
    """``unrendered``: cluster -> why nobody knows what a chart comes to there."""

    objects: tuple[ChartObject, ...] = ()
    problems: tuple[Problem, ...] = ()
    notices: tuple[Notice, ...] = ()
    unrendered: Mapping[str, str] = {}


def render_charts(
    charts: Sequence[Chart],
    clusters: Sequence[Cluster],
    documents: Sequence[Document],
    files: Sequence[SourceFile],
    ask: Callable[[Sequence[Cluster]], Versions] | None,
    logins: Path | None = None,
) -> RenderedCharts:
    """Render every chart for every cluster that it may go to.

    ``documents`` are the repository's others, ``files`` all that it holds, decrypted where it says
    so. ``ask`` is called once at most, for clusters whose versions matter; None: no cluster is to
    be asked. ``logins``: see ``pull_by_helm``. Raises SourceError for a chart that cannot be
    fetched.
    """
    work = _Work(
        {cluster.name: cluster for cluster in clusters},
        {file.path: file for file in files},
        _scopes(documents),
        documents,
        logins,
    )
    _tell_unused(charts, files, work)
    ready = [one for chart in charts if (one := _prepared(chart, work)) is not None]
    versions: Versions = {}
    curious = sorted({name for one in ready if one.asks for name in one.chart.clusters})
    if curious and ask is not None:
        versions = ask([work.clusters[name] for name in curious])
    for one in ready:
        _render(one, work, versions, asked=ask is not None)
    return RenderedCharts(
        tuple(work.objects),
        tuple(work.problems),
        tuple(dict.fromkeys(work.notices)),
        work.unrendered,
    )


@dataclass
class _Work:
    clusters: Mapping[str, Cluster]
    files: Mapping[str, SourceFile]
    scopes: dict[GroupKind, bool]
    documents: Sequence[Document] = ()
    logins: Path | None = None
    objects: list[ChartObject] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    unrendered: dict[str, str] = field(default_factory=dict)
    values: dict[str, Object] = field(default_factory=dict, repr=False)

    def problem(
        self,
        chart: Chart,
        path: tuple[str | int, ...],
        message: str,
        expected: str = "",
        hint: str = "",
    ) -> None:
        """Something wrong in a Chart document."""
        position = chart.document.position(*path)
        message = f"Chart {chart.name}: {message}"
        self.problems.append(Problem(position, _dotted(path), message, expected, hint))

    def tell(self, chart: Chart, found: Notice) -> None:
        """A notice about a Chart, at its place."""
        position = chart.document.position()
        place = f"{position.file}:{position.line}"
        self.notices.append(replace(found, subject=f"Chart {chart.name}", place=place))


def _tell_unused(charts: Sequence[Chart], files: Sequence[SourceFile], work: _Work) -> None:
    """The charts in the repository that no Chart renders, and that are no part of another."""
    folders = chart_folders(files)
    used = {chart.path for chart in charts} | rendered_in_others(files)
    for folder in sorted(folders - used):
        parents = {folder[:n] for n, letter in enumerate(folder) if letter == "/"}
        if not (parents | ({""} if folder else set())) & folders:
            work.notices.append(
                notice(NoticeCause.CHART_NOT_RENDERED, subject=folder or ".", place="")
            )


def _dotted(path: Sequence[str | int]) -> str:
    return "$" + "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in path)


class _Prepared(RedactedRepr, frozen=True):
    """A chart with its files and the values of each of its clusters."""

    chart: Chart
    files: ChartFiles
    traits: ChartTraits
    values: Mapping[str, Object]
    secret: bool

    @property
    def asks(self) -> bool:
        """Whether a cluster's versions matter, and the Chart does not give them itself."""
        given = self.chart.release.kube_version and self.chart.api_versions is not None
        return self.traits.sees_cluster and not given


class _Group(RedactedRepr, frozen=True):
    """Clusters for which a chart comes to the same. ``by_member``: a member gave the versions."""

    clusters: tuple[str, ...]
    values: Object
    kube_version: str
    api_versions: tuple[str, ...]
    by_member: bool


def _prepared(chart: Chart, work: _Work) -> _Prepared | None:
    """None where something is wrong, which is told."""
    files = _files_of(chart, work)
    before = len(work.problems)
    for path, name in layer_files(chart):
        _read_layer(chart, path, name, work)
    if files is None or len(work.problems) > before:
        return None
    layers = {name: chart.layers_in(work.clusters[name]) for name in chart.clusters}
    values = {
        name: merged_values([part for layer in found for part in _parts(layer, work)])
        for name, found in layers.items()
    }
    try:
        traits = traits_of(files, orjson.dumps(list(values.values())))
    except ValueError as error:
        work.problem(chart, _place_of_chart(chart), str(error))
        return None
    secret = chart.document.source.decrypted or any(
        work.files[name].decrypted for _, name in layer_files(chart)
    )
    return _Prepared(chart, files, traits, values, secret)


def _parts(layer: ValuesLayer, work: _Work) -> Iterator[Object]:
    for name in layer.files:
        yield work.values.get(name, {})
    yield layer.values


def _read_layer(chart: Chart, path: tuple[str | int, ...], name: str, work: _Work) -> None:
    if name in work.values:
        return
    file = work.files.get(name)
    if file is None:
        work.problem(chart, path, f"the repository has no file {name!r}", "a file of values")
        return
    work.values[name], problems = read_values(file)
    work.problems += problems


def _place_of_chart(chart: Chart) -> tuple[str | int, ...]:
    what = "oci" if chart.oci else "repository" if chart.repository else "path"
    return ("spec", what)


def _files_of(chart: Chart, work: _Work) -> ChartFiles | None:
    """The chart itself; None where there is none, which is told."""
    if chart.oci or chart.repository:
        from reconciler.git.chart_archives import fetch_chart

        return fetch_chart(chart.oci, chart.repository, lambda: _archive(chart, work.logins))
    if chart.path is None:
        return None
    archive = work.files.get(chart.path)
    place = _place_of_chart(chart)
    if archive is not None:
        if archive.error or not chart.path.endswith(".tgz"):
            why = archive.error or f"{chart.path!r} is a file"
            work.problem(chart, place, why, "the folder of a chart, or its archive (.tgz)")
            return None
        return ChartFiles((replace_path(archive, posixpath.basename(chart.path)),))
    prefix = f"{chart.path}/" if chart.path else ""
    found = [file for path, file in sorted(work.files.items()) if path.startswith(prefix)]
    if not any(file.path == f"{prefix}Chart.yaml" and is_chart(file) for file in found):
        near = sorted({posixpath.dirname(p) for p, f in work.files.items() if is_chart(f)})
        expected = f"one of {first_few(near)}" if near else "the folder of a Helm chart"
        work.problem(chart, place, f"there is no chart in {chart.path or '.'!r}", expected)
        return None
    for file in found:
        if file.error or file.decrypted or is_encrypted(file):
            why = file.error or (
                "encrypted by sops and inside of a chart: its clear text would have to be written "
                "to the disk"
            )
            hint = file.hint or "keep such values outside of it, and name them in valuesFiles"
            work.problems.append(Problem(Position(file.path, 1, 1), "", why, hint=hint))
            return None
    own = tuple(replace_path(file, file.path.removeprefix(prefix)) for file in found)
    return ChartFiles(own, chart.path)


def _archive(chart: Chart, logins: Path | None) -> bytes:
    from reconciler.git.chart_archives import pull_by_helm

    if chart.repository and logins is not None:
        from reconciler.run.chart_repository import download_chart, login_for

        login = login_for(chart.repository["url"], logins)
        if login is not None:
            return download_chart(chart.repository, login)
    return pull_by_helm(chart.oci, chart.repository, logins)


def replace_path(file: SourceFile, path: str) -> SourceFile:
    """The same file under another path."""
    return SourceFile(path, file.content, file.blob)


# -- the versions of clusters ----------------------------------------------------------------------


def cluster_versions(connect: Callable[[Cluster], Member], clusters: Sequence[Cluster]) -> Versions:
    """Ask each cluster for its version, and for what it serves."""
    found = in_parallel(lambda one: _versions_of(connect, one), clusters, CONCURRENT_MEMBERS)
    return {cluster.name: one for cluster, one in zip(clusters, found, strict=True)}


def _versions_of(connect: Callable[[Cluster], Member], cluster: Cluster) -> ClusterVersions | str:
    try:
        member = connect(cluster)
        answer = member.get_raw("/version", timeout=VERSION_SECONDS)
        document = orjson.loads(answer.body) if answer.status == 200 else None
        version = document.get("gitVersion") if isinstance(document, dict) else None
        if not isinstance(version, str) or not version:
            return f"it does not tell its version (HTTP {answer.status})"
        with reading_answers(cluster.name):
            served = member.discover()
        member.rest()
    except orjson.JSONDecodeError:
        return "it does not tell its version"
    except ClusterError as error:
        return with_hint(error)
    names = {kind.api_version for kind in served.resources}
    names |= {f"{kind.api_version}/{kind.kind}" for kind in served.resources}
    return ClusterVersions(version, tuple(sorted(names)), served.failed_groups)


# -- rendering -------------------------------------------------------------------------------------


def _render(one: _Prepared, work: _Work, versions: Versions, *, asked: bool) -> None:
    chart = one.chart
    groups = _groups(one, work, versions)
    if one.asks and not asked:
        work.tell(chart, notice(NoticeCause.CHART_BY_DEFAULT_VERSION))
    _tell_traits(one, work, versions)
    schemas = {} if asked else schemas_in(work.documents)
    results = in_parallel(lambda group: _rendered(one, group), groups, os.cpu_count() or 1)
    well = [group.values for group, result in zip(groups, results, strict=True) if not result.error]
    forms: dict[ObjectKey, list[tuple[_Group, Document]]] = {}
    random: dict[ObjectKey, set[str]] = {}
    for group, result in zip(groups, results, strict=True):
        if result.error:
            _failed(one, group, result, work, well=group.values in well)
            continue
        documents = _documents(one, result, work)
        if not asked:
            # As of all that is only checked; a run is told by the servers.
            all_schemas = {**schemas, **schemas_in(documents)}
            for document in documents if all_schemas else ():
                work.problems += custom_problems(document, all_schemas)
        if one.traits.random:
            again = _documents(one, _rendered_later(one, group), work)
            _compare(one, documents, again, random, work)
        for document in documents:
            forms.setdefault(key_of(document.body), []).append((group, document))
    if random:
        shown = first_few([str(key) for key in sorted(random)])
        work.tell(chart, notice(NoticeCause.CHART_RANDOM, objects=shown))
    for key, found in sorted(forms.items()):
        first = found[0][1]
        work.objects.append(
            ChartObject(
                first,
                chart,
                frozenset(name for group, _ in found for name in group.clusters),
                {
                    name: document.manifest
                    for group, document in found[1:]
                    if document.body != first.body
                    for name in group.clusters
                },
                tuple(sorted(random.get(key, ()))),
                hook=is_early_hook(first.body),
            )
        )


def _groups(one: _Prepared, work: _Work, versions: Versions) -> list[_Group]:
    """The clusters of a chart by what it is rendered with. One of which the versions are not known
    stands with those of another, so that what depends on all of them can be decided; nothing is
    written to it."""
    chart, release = one.chart, one.chart.release
    known = [v for name in chart.clusters if isinstance(v := versions.get(name), ClusterVersions)]
    found: dict[bytes, _Group] = {}
    for name in chart.clusters:
        own = versions.get(name)
        used = own if isinstance(own, ClusterVersions) else known[0] if known else None
        if isinstance(own, str):
            why = f"Chart {chart.name} is rendered by its version and APIs, and: {own}"
            work.unrendered.setdefault(name, why)
        elif own is not None and (unknown := _unlisted(one, own)):
            why = f"Chart {chart.name} asks whether it serves {unknown}, which cannot be listed"
            work.unrendered.setdefault(name, why)
        if not one.asks:
            used = None
        kube_version = release.kube_version or (used.kube_version if used else "")
        given = chart.api_versions
        api_versions = given if given is not None else used.api_versions if used else ()
        about = orjson.dumps(
            [one.values[name], kube_version, api_versions], option=orjson.OPT_SORT_KEYS
        )
        before = found.get(about)
        names = (*before.clusters, name) if before else (name,)
        found[about] = _Group(
            names, one.values[name], kube_version, tuple(api_versions), used is not None
        )
    if not chart.clusters:
        # What goes nowhere is in Git all the same, and must not look as if it had left.
        everywhere = [layer for layer in chart.layers if layer.holds_everywhere]
        values = merged_values([part for layer in everywhere for part in _parts(layer, work)])
        return [_Group((), values, release.kube_version, chart.api_versions or (), False)]
    return list(found.values())


def _unlisted(one: _Prepared, versions: ClusterVersions) -> str:
    """A group of which the chart asks for a version and the cluster could not tell; empty: none.

    Who only names a group, in rights or in the APIService that serves it, does not ask for it:
    waiting for that would wait for what the chart itself is to bring.
    """
    groups = [group.encode() for group in versions.unknown_groups]
    for _, content in one.files.texts() if groups else ():
        for group in groups:
            if any(quote + group + b"/" in content for quote in (b'"', b"`", b"'")):
                return group.decode()
    return ""


def _rendered(one: _Prepared, group: _Group, fresh: int = 0) -> RenderedChart:
    release = replace(
        one.chart.release,
        values=group.values,
        kube_version=group.kube_version,
        api_versions=group.api_versions,
        secret=one.secret,
    )
    return render_chart(one.files, release, fresh)


def _rendered_later(one: _Prepared, group: _Group) -> RenderedChart:
    """The same once more; in another second, where the chart asks for the time."""
    if {"now", "ago"} & set(one.traits.random):
        time.sleep(1.0 - time.time() % 1.0)
    return _rendered(one, group, 1)


def _failed(
    one: _Prepared, group: _Group, result: RenderedChart, work: _Work, *, well: bool
) -> None:
    """What cannot be rendered for the versions of some clusters is their own trouble; all else is
    wrong in Git."""
    where = first_few(list(group.clusters))
    if group.by_member:
        default = replace(group, kube_version=one.chart.release.kube_version, api_versions=())
        if well or not _rendered(one, default).error:
            for name in group.clusters:
                why = f"Chart {one.chart.name} cannot be rendered for {group.kube_version}: "
                work.unrendered.setdefault(name, f"{why}{result.error}")
            return
    if result.faults:
        for fault in result.faults:
            work.problems.append(_problem_of_value(one, group, fault, work))
        return
    hint = "; ".join(filter(None, [result.hint, f"for {where}" if where else ""]))
    if result.file and one.files.folder is not None:
        file = posixpath.join(one.files.folder, result.file)
        message = f"Chart {one.chart.name}: {result.error}"
        work.problems.append(Problem(Position(file, max(result.line, 1), 1), "", message, "", hint))
        return
    work.problem(one.chart, _place_of_chart(one.chart), result.error, "", hint)


def _problem_of_value(one: _Prepared, group: _Group, fault: ValueFault, work: _Work) -> Problem:
    """At the value in Git, if it is one of Git's and not of the chart's own."""
    chart = one.chart
    steps = split_pointer(fault.pointer)
    # A part of the chart has its values below its name.
    inside = (fault.chart, *steps)
    path = inside if steps and _has(group.values, inside) else steps
    message = (
        f"Chart {chart.name}: {fault.message}, says values.schema.json of the chart {fault.chart}"
    )
    cluster = next((work.clusters[name] for name in group.clusters), None)
    layers = chart.layers_in(cluster) if cluster and path else ()
    for layer in reversed(layers):
        if _has(layer.values, path):
            place = _found(chart.document.body, (*layer.path, "values", *path))
            return Problem(chart.document.position(*place), _dotted(place), message)
        for name in reversed(layer.files):
            if _has(work.values[name], path):
                place = _found(work.values[name], path)
                file = Document(name, 0, 1, Manifest({}), work.files[name])
                return Problem(file.position(*place), _dotted(place), message)
    hint = f"for {first_few(list(group.clusters))}, at {fault.pointer or 'its values'}"
    return Problem(chart.document.position("spec", "values"), "$.spec.values", message, "", hint)


def _has(values: Any, path: Sequence[str | int]) -> bool:
    try:
        _found(values, path)
    except LookupError:
        return False
    return True


def _found(values: Any, path: Sequence[str | int]) -> tuple[str | int, ...]:
    """The path with numbers for the items of lists. Raises LookupError where there is none."""
    steps: list[str | int] = []
    for step in path:
        if isinstance(values, list) and str(step).isdigit():
            step = int(step)
        elif not isinstance(values, dict):
            raise LookupError(step)
        values = values[step]
        steps.append(step)
    return tuple(steps)


def _tell_traits(one: _Prepared, work: _Work, versions: Versions) -> None:
    chart = one.chart
    for path, line in one.traits.lookups[:1]:
        where = f"{path}:{line}"
        work.tell(chart, notice(NoticeCause.CHART_LOOKUP, where=where))
    known: frozenset[str] | None = None
    for api_version, path, line in one.traits.asked if one.asks else ():
        without = [
            name
            for name in chart.clusters
            if isinstance(own := versions.get(name), ClusterVersions)
            and api_version not in own.api_versions
        ]
        if not without:
            continue
        known = versions_helm_knows() if known is None else known
        if api_version in known:
            work.tell(
                chart,
                notice(
                    NoticeCause.CHART_ASKS_IN_VAIN,
                    api=api_version,
                    where=f"{path}:{line}",
                    clusters=", ".join(without),
                ),
            )


# -- what was rendered -----------------------------------------------------------------------------


def _documents(one: _Prepared, result: RenderedChart, work: _Work) -> list[Document]:
    """The objects of a rendering that clusters are to have, each with its namespace."""
    chart = one.chart
    place = chart.document.position()
    source = SourceFile(
        place.file,
        result.manifests,
        built_by=f"helm template {chart.name}",
        built_line=place.line,
        decrypted=one.secret,
    )
    read = load([source])
    work.problems += [problem for problem in read.problems if problem not in work.problems]
    scopes = work.scopes | _scopes(read.documents)
    found = []
    for document in read.documents:
        body = document.body
        if is_test(body):
            continue
        if api_group(body["apiVersion"]) in _OURS:
            what = f"it renders a {body['kind']} ({body['apiVersion']}), which only Git itself may"
            work.problem(chart, _place_of_chart(chart), what)
            continue
        hooks = hook_kinds(body)
        if hooks and not is_early_hook(body):
            left_out = notice(
                NoticeCause.CHART_HOOK_LEFT_OUT, object=key_of(body), hooks=", ".join(hooks)
            )
            work.tell(chart, left_out)
            continue
        metadata = body["metadata"]
        if not metadata.get("namespace") and scopes.get(_kind_of(body), _is_namespaced(body)):
            metadata["namespace"] = chart.release.namespace
        if one.traits.random:
            _without_string_data(body)
        # What the other one knows of itself was read before that.
        found.append(dataclasses.replace(document, manifest=Manifest(body)))
    return found


def _kind_of(body: Object) -> GroupKind:
    return GroupKind(api_group(body["apiVersion"]), body["kind"])


def _is_namespaced(body: Object) -> bool:
    """Of a kind that no CustomResourceDefinition tells of: as Kubernetes has it, else yes."""
    home = API_VERSIONS.get(body["kind"])
    known = home is not None and api_group(home) == api_group(body["apiVersion"])
    return not (known and body["kind"] in CLUSTER_SCOPED)


def _scopes(documents: Iterable[Document]) -> dict[GroupKind, bool]:
    """The kinds that CustomResourceDefinitions make, and whether they are namespaced."""
    found = {}
    for document in documents:
        if document.body["kind"] == "CustomResourceDefinition":
            spec = map_of(document.body.get("spec"))
            kind = GroupKind(str(spec.get("group")), str(map_of(spec.get("names")).get("kind")))
            found[kind] = spec.get("scope") != "Cluster"
    return found


def _without_string_data(body: Object) -> None:
    """A Secret's texts where the server keeps them: what is random is compared with that."""
    import base64

    texts = body.get("stringData")
    if body["kind"] != "Secret" or not isinstance(texts, dict):
        return
    data = dict(map_of(body.get("data")))
    for key, text in texts.items():
        data[key] = base64.b64encode(str(text).encode()).decode()
    body["data"] = data
    del body["stringData"]


def _compare(
    one: _Prepared,
    documents: Sequence[Document],
    again: Sequence[Document],
    random: dict[ObjectKey, set[str]],
    work: _Work,
) -> None:
    """Find what is different when the same is rendered once more."""
    first = {key_of(d.body): d.body for d in documents}
    second = {key_of(d.body): d.body for d in again}
    if odd := sorted(first.keys() ^ second.keys()):
        what = f"each rendering makes other objects: {first_few([str(key) for key in odd])}"
        hint = "give names that are random in values, so that the next run finds the objects again"
        work.problem(one.chart, _place_of_chart(one.chart), what, hint=hint)
        return
    for key, body in first.items():
        if found := set(differing(body, second[key])):
            random.setdefault(key, set()).update(found)


def differing(one: Any, other: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
    """JSON pointers of what two forms of an object differ in. An item of a list is any (``*``)
    where items have names; else the list is one value."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        for key in one:
            yield from differing(one[key], other[key], (*path, key))
    elif _named(one) and _named(other) and len(one) == len(other):
        for left, right in zip(one, other, strict=True):
            yield from differing(left, right, (*path, "*"))
    elif one != other:
        yield join_pointer(path)


def _named(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(i, dict) and "name" in i for i in value)
