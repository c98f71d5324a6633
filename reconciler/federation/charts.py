"""``Chart`` documents: which chart, with which values in which cluster; and what it rendered.

A Chart is placed like a manifest: by the annotation, by a Placement that selects it, or by default.
What it renders goes to those clusters at most; a Placement may select single objects of it besides.
"""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Literal

from msgspec import field
from msgspec.structs import replace

from reconciler.api.annotations import PREFIX
from reconciler.api.files import SourceFile
from reconciler.api.manifest import Manifest
from reconciler.api.objects import (
    Object,
    ObjectKey,
    RedactedRepr,
    api_group,
    key_of,
    map_of,
    maps_of,
)
from reconciler.federation.lint import doubts_of_choice
from reconciler.federation.model import Cluster, Federation, PlacementTarget, Selector
from reconciler.federation.placements import Placement, choose, wanted_placement
from reconciler.federation.selectors import matches, parse_selector, selects
from reconciler.git.helm import Release, chart_folders
from reconciler.manifests.document import Document
from reconciler.manifests.load import load
from reconciler.manifests.own_schemas import OWN_GROUP
from reconciler.manifests.problems import ProblemCollector, suggestion

DEFAULT_RELEASE_NAMESPACE = "default"
_POLICY = "helm.sh/resource-policy"


class ValuesLayer(RedactedRepr, frozen=True):
    """Values for the clusters named or selected; for all when neither is given. ``files`` are paths
    in the repository; ``values`` go over what is in them. ``path`` leads there in the document."""

    path: tuple[str | int, ...]
    files: tuple[str, ...] = ()
    values: Object = field(default_factory=dict)
    clusters: tuple[str, ...] | None = None
    selector: Selector | None = None

    @property
    def holds_everywhere(self) -> bool:
        """Whether every cluster gets these values."""
        return self.clusters is None and self.selector is None

    def holds_in(self, cluster: Cluster) -> bool:
        """Whether a cluster gets these values."""
        if self.clusters is not None:
            return cluster.name in self.clusters
        return self.selector is None or matches(self.selector, cluster.all_labels)


class Chart(RedactedRepr, frozen=True):
    """One Chart, parsed. ``path`` is that of a chart in the repository; ``oci`` a reference with a
    digest; else ``repository`` has url, name, version and digest.

    ``api_versions`` None: what each cluster serves. ``clusters`` are those that it may go to.
    """

    document: Document
    name: str
    release: Release
    layers: tuple[ValuesLayer, ...]
    clusters: tuple[str, ...]
    path: str | None = None
    oci: str = ""
    repository: Mapping[str, str] = {}
    api_versions: tuple[str, ...] | None = None
    release_record: Literal["Keep", "Remove"] = "Keep"

    def layers_in(self, cluster: Cluster) -> tuple[ValuesLayer, ...]:
        """The values of one cluster, the later over the earlier."""
        return tuple(layer for layer in self.layers if layer.holds_in(cluster))


class ChartObject(RedactedRepr, frozen=True):
    """One object that a Chart renders. ``document`` is its form in the first of ``clusters``, those
    that get it; ``forms`` are others, by cluster.

    ``random`` are JSON pointers of what is different at each rendering. ``hook``: helm would make
    it before everything else.
    """

    document: Document
    chart: Chart
    clusters: frozenset[str]
    forms: Mapping[str, Manifest] = {}
    random: tuple[str, ...] = ()
    hook: bool = False

    @property
    def key(self) -> ObjectKey:
        return key_of(self.document.body)


def parse_charts(
    documents: Sequence[Document],
    placements: list[Placement],
    clusters: Mapping[str, Cluster],
    federation: Federation,
    faults: ProblemCollector,
) -> list[Chart]:
    """Check Chart documents against the clusters and Placements that there are."""
    return [_chart(d, placements, clusters, federation, faults) for d in documents]


def _chart(
    document: Document,
    placements: list[Placement],
    clusters: Mapping[str, Cluster],
    federation: Federation,
    faults: ProblemCollector,
) -> Chart:
    spec, metadata = document.body["spec"], document.body["metadata"]
    release = Release(
        name=spec.get("releaseName") or metadata["name"],
        namespace=spec.get("namespace") or metadata.get("namespace") or DEFAULT_RELEASE_NAMESPACE,
        values={},
        include_crds=spec.get("includeCRDs", True),
        kube_version=spec.get("kubeVersion", ""),
    )
    if len(release.name) > 53:
        place = ("spec", "releaseName") if "releaseName" in spec else ("metadata", "name")
        faults.problem(
            document, place, "too long for a release", "at most 53 characters", "set releaseName"
        )
    api_versions = spec.get("apiVersions")
    chosen = _clusters_of(document, placements, clusters, federation, faults)
    for number, entry in enumerate(spec.get("overrides") or ()):
        for path, found in doubts_of_choice(entry, clusters, chosen):
            about = replace(found, subject=f"Chart {metadata['name']}")
            faults.warn(document, about, ("spec", "overrides", number, *path))
    return Chart(
        document,
        metadata["name"],
        release,
        tuple(_layers(document, clusters, faults)),
        chosen,
        _path(document, ("spec", "path"), spec["path"], faults) if "path" in spec else None,
        spec.get("oci", ""),
        map_of(spec.get("repository")),
        tuple(api_versions) if api_versions is not None else None,
        spec.get("releaseRecord", "Keep"),
    )


def _layers(
    document: Document, clusters: Mapping[str, Cluster], faults: ProblemCollector
) -> Sequence[ValuesLayer]:
    spec = document.body["spec"]
    found = [_layer(document, ("spec",), spec, faults)]
    for number, entry in enumerate(spec.get("overrides") or ()):
        path = ("spec", "overrides", number)
        for index, name in enumerate(entry.get("clusters") or ()):
            if name not in clusters:
                faults.unknown_cluster(document, (*path, "clusters", index), name, clusters)
        found.append(_layer(document, path, entry, faults))
    return found


def _layer(
    document: Document, path: tuple[str | int, ...], body: Object, faults: ProblemCollector
) -> ValuesLayer:
    files = [
        _path(document, (*path, "valuesFiles", index), name, faults)
        for index, name in enumerate(body.get("valuesFiles") or ())
    ]
    named = body.get("clusters")
    selector = body.get("clusterSelector") if named is None else None
    return ValuesLayer(
        path,
        tuple(file for file in files if file is not None),
        map_of(body.get("values")),
        tuple(named) if named is not None else None,
        parse_selector(selector) if selector is not None else None,
    )


def manifest_files(files: Sequence[SourceFile]) -> Sequence[SourceFile]:
    """The files without those of Helm charts, and without the values that Charts name."""
    folders = chart_folders(files)
    own = [f for f in files if b"Chart" in f.content and OWN_GROUP.encode() in f.content]
    if not folders and not own:
        return files
    outside = [file for file in files if not _is_inside(file.path, folders)]
    charts = [file for file in own if not _is_inside(file.path, folders)]
    read = load(charts)
    # A broken Chart is told as such; the values that it names are no manifests all the same.
    values = {path for d in (*read.documents, *read.broken) for path in _values_files_of(d)}
    return [file for file in outside if file.path not in values]


def _is_inside(path: str, folders: Collection[str]) -> bool:
    return any(not folder or path.startswith(f"{folder}/") for folder in folders)


def _values_files_of(document: Document) -> Iterator[str]:
    """The values files that a Chart names, by their paths in the repository."""
    body = document.body
    if body.get("kind") != "Chart" or api_group(str(body.get("apiVersion"))) != OWN_GROUP:
        return
    spec = map_of(body.get("spec"))
    for part in (spec, *maps_of(spec.get("overrides"))):
        names = part.get("valuesFiles")
        for name in names if isinstance(names, list) else ():
            if not isinstance(name, str):
                continue
            yield posixpath.normpath(posixpath.join(posixpath.dirname(document.file), name))


def _path(
    document: Document, place: tuple[str | int, ...], text: str, faults: ProblemCollector
) -> str | None:
    """The place in the repository that a path in the document leads to."""
    found = posixpath.normpath(posixpath.join(posixpath.dirname(document.file), text))
    if text.startswith("/") or found == ".." or found.startswith("../"):
        faults.problem(
            document,
            place,
            f"{text!r} leads out of what is read of the repository",
            "a path from this file's folder, below --path",
        )
        return None
    return "" if found == "." else found


def _clusters_of(
    document: Document,
    placements: list[Placement],
    clusters: Mapping[str, Cluster],
    federation: Federation,
    faults: ProblemCollector,
) -> tuple[str, ...]:
    """Those that its own placement chooses; all, where nothing places the Chart itself."""
    wanted = wanted_placement(document)
    by_name = {placement.name: placement for placement in placements}
    if wanted and wanted not in by_name:
        if not faults.possible_definitions.of("Placement", wanted):
            faults.problem(
                document,
                ("metadata", "annotations", PREFIX + "placement"),
                f"there is no Placement {wanted!r}",
                ", ".join(sorted(by_name)) or "a Placement",
                suggestion(wanted, by_name),
            )
        return ()
    chosen = [by_name[wanted]] if wanted else choose(placements, document.body)
    target: PlacementTarget | None = chosen[0].target if chosen else federation.default_placement
    return tuple(
        name
        for name, cluster in sorted(clusters.items())
        if target is None or selects(target, cluster)
    )


def is_kept(body: Object) -> bool:
    """Whether a chart wants an object to stay when it no longer renders it."""
    return map_of(body["metadata"].get("annotations")).get(_POLICY) == "keep"


def layer_files(chart: Chart) -> list[tuple[tuple[str | int, ...], str]]:
    """Every values file of a Chart, with the place in the document that names it."""
    return [
        ((*layer.path, "valuesFiles", index), file)
        for layer in chart.layers
        for index, file in enumerate(layer.files)
    ]
