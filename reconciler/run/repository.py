"""A repository, read and understood: what the clusters should run, before anybody looks at them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, cast

from msgspec import Struct
from msgspec.structs import replace

from reconciler.api.errors import (
    BadInput,
    ClusterError,
    ReconcileError,
    SourceError,
    SourceUnreachable,
)
from reconciler.api.files import Checkout, SourceFile
from reconciler.api.notices import Notice, NoticeCause, notice
from reconciler.api.options import RunOptions
from reconciler.dns.pipeline_step import faults_of_names, faults_of_rules, notices_of_names
from reconciler.federation.compile import compile_documents
from reconciler.federation.model import (
    DEFAULT_FEDERATION_NAMESPACE,
    Access,
    Cluster,
    DesiredState,
    Federation,
    KnownInventory,
)
from reconciler.federation.rules import inventory_not_asked, listing_federation
from reconciler.git.kept_commit import KeptCommit
from reconciler.git.location import default_cache
from reconciler.git.owner import Claimant, claimant_of
from reconciler.git.read import (
    ReadSource,
    check_same_rules,
    read_head,
    read_kept,
    read_source,
)
from reconciler.git.trust import LastApplied, newest_trusted
from reconciler.manifests.cache import ParseCache
from reconciler.manifests.document import Document
from reconciler.manifests.load import is_manifest, load
from reconciler.manifests.problems import PossibleDefinitions
from reconciler.render.render import Rendering, render
from reconciler.scheduler.model import Assignment, FleetView
from reconciler.scheduler.placement_warnings import placement_warnings, separations, why_unplaced
from reconciler.scheduler.schedule import schedule

if TYPE_CHECKING:
    from reconciler.cluster.connect import Connector
    from reconciler.run.charts import RenderedCharts, Versions
    from reconciler.run.inventory import FleetInventory
    from reconciler.state.memory import FleetMemory


class Repository(Struct, frozen=True, dict=True):
    """A repository that was read and understood. ``inventory`` is what the host lists besides,
    where the Federation asks for that. ``documents`` are there only where it is to be checked."""

    checkout: Checkout
    state: DesiredState
    source: ReadSource
    documents: tuple[Document, ...] = ()
    inventory: KnownInventory | None = None

    def commit(self) -> str:
        """The commit that was read as it is; empty where files differed from it, or there is none.
        Found out once."""
        return self._commit

    @cached_property
    def _commit(self) -> str:
        from reconciler.git.uncommitted import uncommitted_files

        checkout = self.checkout
        if not checkout.commit or checkout.dirty:
            return ""
        ahead = self.source.options.ahead
        differ = uncommitted_files(self.source.where, checkout, is_manifest, ahead)
        return "" if differ else checkout.commit

    @property
    def warnings(self) -> tuple[str, ...]:
        """The notices in words."""
        return self.state.warnings

    def claimant(self, *, take_over: bool = False, clusters: Sequence[str] = ()) -> Claimant:
        """Whose inventories and memory are this repository's. ``take_over``: also what is
        another's, in ``clusters`` only where there are some."""
        found = claimant_of(
            self.source.where,
            self.checkout.commit,
            addresses=self.source.addresses,
            take_over=take_over,
            ahead=self.source.options.ahead,
        )
        return replace(found, clusters=frozenset(clusters))


def read_repository(
    options: RunOptions, *, ask_members: bool = False, ask_host: bool = False
) -> Repository:
    """Read and understand. Raises SourceError, or BadInput with every problem there is.

    ``ask_members``: a federated kind that the repository does not define is looked up in the
    first member that answers. With it, or ``ask_host``, the host's inventory is read as well, where
    there is one.
    """
    source = read_source(options)
    return _understood(source, options, ask_members=ask_members, ask_host=ask_host, whole=True)


def read_current(options: RunOptions, *, ask_members: bool = False) -> Repository:
    """What a run acts on: of mirrors the newest commit that may be applied; where no source
    answers, the one that an earlier run kept. Raises as ``read_repository`` does.

    A process that stays reads it anew only where something of it has moved."""
    kept = options.kept
    if kept is None or options.mirrors:
        return _read_current(options, ask_members=ask_members)
    if (found := kept.repository()) is not None:
        return cast("Repository", found)
    from reconciler.git.mark import mark_of_source

    asked = kept.asked
    repository = _read_current(options, ask_members=ask_members)
    # Where members were asked for kinds, the host for clusters, or Git was silent, it is not of the
    # repository alone.
    if repository.source.kept is None and repository.inventory is None and kept.asked == asked:
        kept.keep_repository(repository, mark_of_source(options))
    return repository


def _read_current(options: RunOptions, *, ask_members: bool) -> Repository:
    try:
        source = read_source(options)
        if source.mirrors and source.mirrors.differ:
            source = newest_trusted(source, LastApplied.of(_last_applied(source, options)))
    except SourceUnreachable as unreachable:
        kept = _kept(options, unreachable)
        if kept is None:
            raise
        source = read_kept(options, kept, unreachable)
    return _understood(source, options, ask_members=ask_members, ask_host=True)


def with_kept_inventory(
    repository: Repository, options: RunOptions, memory: FleetMemory
) -> Repository:
    """The same with the clusters that the pod which decides for a round has read and kept."""
    if repository.inventory is None:
        return repository
    from reconciler.run.inventory import remembered_inventory

    kept = remembered_inventory(memory, repository.state.federation)
    if kept.known == repository.inventory:
        return repository
    return _understood(repository.source, options, ask_members=True, kept=kept)


def read_other_commit(options: RunOptions, commit: str, newest: Repository) -> Repository:
    """One commit beside the ``newest``: from Git, or as an earlier run kept it where that does not
    answer. Raises as ``read_repository`` does.

    The host is not asked again: what it lists is as the ``newest`` has it."""
    options = replace(options, ref=commit)
    if newest.source.kept is None:
        return _understood(read_source(options), options, newest=newest)
    from reconciler.state.kept_commit_store import SLOTS

    unreachable = SourceUnreachable(newest.source.unreachable)
    for slot in SLOTS:
        kept = _kept(options, unreachable, slot)
        if kept is not None and kept.commit == commit:
            source = read_kept(options, kept, unreachable)
            return _understood(source, options, newest=newest)
    raise unreachable


def _last_applied(source: ReadSource, options: RunOptions) -> str:
    """The commit that was applied last, by the memory of whichever Federation the mirrors hold.

    Raises ReconcileError when it cannot be read, in a run that writes.
    """
    from reconciler.cluster.connect import Connector
    from reconciler.state.run_memory import open_store

    mirrors = source.mirrors
    heads = {head.commit: head for head in mirrors.heads} if mirrors else {}
    asked: set[tuple[str, str]] = set()
    for head in heads.values():
        try:
            found = read_head(options, mirrors, head) if mirrors else source
            federation = _understood(found, options).state.federation
        except (BadInput, SourceError):
            # It is judged by what the others say was applied last.
            continue
        name = (federation.name, federation.namespace)
        if name in asked:
            continue
        asked.add(name)
        connector = Connector.from_file(
            options.kubeconfig,
            federation.namespace,
            host_context=options.host_context,
            seconds_left=options.time_left,
        )
        try:
            commit = open_store(options, connector, federation).read().memory.commit
        except ReconcileError:
            if not options.plan_only:
                raise
            continue
        if commit:
            return commit
    return ""


def _kept(options: RunOptions, unreachable: SourceUnreachable, slot: str = "") -> KeptCommit | None:
    """None where nothing is kept. Raises ``unreachable`` again where nobody can tell."""
    from reconciler.cluster.connect import Connector
    from reconciler.cluster.kubeconfig import own_namespace
    from reconciler.state.kept_commit_store import kept_commits
    from reconciler.state.run_memory import in_host_cluster

    if options.sandbox or not in_host_cluster(options):
        raise unreachable
    try:
        connector = Connector.from_file(
            options.kubeconfig,
            "",
            host_context=options.host_context,
            seconds_left=options.time_left,
        )
        # At a desk the repository would tell, and it cannot be asked.
        namespace = own_namespace() or DEFAULT_FEDERATION_NAMESPACE
        return kept_commits(options, connector, namespace, slot).read()
    except ReconcileError as error:
        text = f"{unreachable}; nor can the commit of an earlier run be used: {error}"
        raise SourceUnreachable(text, hint=unreachable.hint) from error


def _understood(
    source: ReadSource,
    options: RunOptions,
    *,
    ask_members: bool = False,
    ask_host: bool = False,
    kept: FleetInventory | None = None,
    newest: Repository | None = None,
    whole: bool = False,
) -> Repository:
    """``whole``: with its documents, of which a run has no use any more. ``kept`` is the inventory
    where it is not to be read; ``newest`` the commit whose clusters this one goes by, where either
    of the two has an inventory."""
    name = hashlib.sha256(f"{options.repo}\0{options.path}".encode()).hexdigest()[:16]
    files = _manifest_files(source.files)
    manifests = load(files, ParseCache(default_cache() / "parsed" / name))
    possible_definitions = PossibleDefinitions.about(manifests.broken, manifests.unread)
    listing = listing_federation(manifests.documents)
    inventory = kept
    if listing and (ask_members or ask_host) and not (options.sandbox or kept):
        from reconciler.run.inventory import read_listed_clusters

        inventory = read_listed_clusters(options, listing, source)
    besides = inventory.clusters if inventory else None
    if newest and (listing or newest.inventory):
        besides = newest.state.clusters
    if possible_definitions.of_any("Federation") or (listing and besides is None):
        possible_definitions = replace(possible_definitions, clusters=True)
    documents = manifests.documents
    found = compile_documents(documents, possible_definitions=possible_definitions, listed=besides)
    asks = found.federation if ask_members or newest else None
    clusters = newest.state.clusters if newest else _reached(found.clusters, options)
    kinds: dict[str, str] = {}
    if found.unknown_kinds and asks:
        kinds = _discovered(options, clusters, asks)
        found = compile_documents(documents, kinds, possible_definitions, besides)
    charts: RenderedCharts | None = None
    if found.charts or len(files) < len(source.files):
        from reconciler.run.charts import render_charts

        ask = _versions(options, asks) if asks else None
        logins = options.chart_credentials
        charts = render_charts(found.charts, clusters, documents, source.files, ask, logins)
        found = compile_documents(documents, kinds, possible_definitions, besides, charts.objects)
        documents = (*documents, *(one.document for one in charts.objects))
    if found.state and not found.state.clusters and not manifests.problems:
        # A repository may be checked before its first cluster joins.
        is_fleet = found.federation is not None and bool(found.federation.position.file)
        if ask_members or not is_fleet:
            raise _no_fleet(source, options, len(manifests.documents), listed=bool(listing))
    problems = [
        *manifests.problems,
        *(charts.problems if charts else ()),
        *found.problems,
        *faults_of_rules(found.federation),
        *faults_of_names(found.state),
    ]
    if problems or found.state is None:
        # All at once: what is wrong with overrides shows when they are tried.
        if found.partial:
            assignments = schedule(found.partial)
            problems += render(found.partial, assignments).problems
            if whole:
                from reconciler.run.rendering_problems import rendering_problems

                problems += rendering_problems(documents, found.partial, assignments)
        raise BadInput(problems)
    check_same_rules(source, found.state.federation.source, found.state.federation.position)
    state = replace(
        found.state,
        clusters=_reached(found.state.clusters, options),
        witnesses=_reached(found.state.witnesses, options),
        notices=(
            *found.state.notices,
            *manifests.notices,
            *(charts.notices if charts else ()),
            *(notice(NoticeCause.SUBMODULE, subject=one) for one in source.checkout.submodules),
            *source.notices,
            *(inventory.notices if inventory else inventory_not_asked(listing)),
        ),
        unrendered=charts.unrendered if charts else {},
    )
    known = inventory.known if inventory else None
    return Repository(source.checkout, state, source, documents if whole else (), known)


def _manifest_files(files: Sequence[SourceFile]) -> Sequence[SourceFile]:
    """As ``federation.charts.manifest_files``: start-up pays for it only where a file may be of a
    chart, or a Chart of ours."""
    if not any(f.path.endswith("Chart.yaml") or b"Chart" in f.content for f in files):
        return files
    from reconciler.federation.charts import manifest_files

    return manifest_files(files)


def _no_fleet(
    source: ReadSource, options: RunOptions, documents: int, *, listed: bool
) -> SourceError:
    where = source.where.name + (
        f", path {options.path!r}" if options.path not in ("", ".") else ""
    )
    holds = f"{documents} manifests, and no Cluster" if documents else "no manifest"
    if listed:
        none = "not asked in a sandbox" if options.sandbox else "none that spec.inventory selects"
        holds += f" (of those that the host lists {none})"
    return SourceError(
        f"{where} holds {holds}; expected Cluster (or KubeFedCluster) manifests beside those that "
        "they are to run, and a Federation with its rules",
        hint="name the right place with --repo and --path; a cluster gets its manifest by: "
        "reconcile join NAME",
    )


def _reached(clusters: Sequence[Cluster], options: RunOptions) -> tuple[Cluster, ...]:
    """The clusters with the access by which this run reaches them."""
    if not options.sandbox:
        return tuple(clusters)
    return tuple(replace(cluster, access=Access(context=cluster.name)) for cluster in clusters)


def _versions(
    options: RunOptions, federation: Federation
) -> Callable[[Sequence[Cluster]], Versions]:
    """Asks clusters for what charts may see of them."""

    def ask(clusters: Sequence[Cluster]) -> Versions:
        from reconciler.run.charts import cluster_versions

        connector = _telling_connector(options, federation)
        return cluster_versions(connector.member, clusters)

    return ask


def _discovered(
    options: RunOptions, clusters: Sequence[Cluster], federation: Federation
) -> dict[str, str]:
    connector = _telling_connector(options, federation)
    for cluster in clusters:
        try:
            served = connector.member(cluster).discover().resources
        except ClusterError:
            continue
        # The preferred version of a kind comes first.
        return {kind.kind: kind.api_version for kind in reversed(list(served))}
    return {}


def _telling_connector(options: RunOptions, federation: Federation) -> Connector:
    # Most repositories can be understood without asking anybody.
    from reconciler.cluster.connect import Connector

    return Connector.from_file(
        options.kubeconfig,
        federation.namespace,
        host_context=options.host_context,
        seconds_left=options.time_left,
        allow=options.allow_access,
        access_providers=None if options.sandbox else options.access_providers,
        # The plan that is made next says so.
        first_use="tell",
        kept=options.kept,
    )


def validate_repository(
    options: RunOptions, *, members: bool = True, ask_host: bool = False
) -> Repository:
    """All that can be checked without a cluster. Raises SourceError or BadInput.

    ``members``: that a single member cannot be reached as Git says is an error, too, not a warning.
    ``ask_host``: the clusters that the host lists are asked for, where the Federation says so.
    """

    repository = read_repository(options, ask_host=ask_host)
    state, documents = repository.state, repository.documents
    faults = [fault for cluster in state.clusters for fault in cluster.faults]
    assignments = schedule(state, FleetView())
    problems = [*(faults if members else ()), *render(state, assignments).problems]
    from reconciler.run.rendering_problems import rendering_notices, rendering_problems

    problems += rendering_problems(documents, state, assignments)
    if problems:
        raise BadInput(problems)
    # Of a fleet that is known in part nobody can tell what goes nowhere.
    all_known = state.federation.inventory is None or repository.inventory is not None
    unreached = [
        notice(NoticeCause.ACCESS_UNUSABLE, place=str(fault.position), what=fault.message)
        for fault in faults
    ]
    notices = (
        *state.notices,
        *unreached,
        *rendering_notices(documents),
        *(_notices_of_places(state, assignments) if all_known else ()),
        *notices_of_names(state),
    )
    return replace(repository, state=replace(state, notices=notices))


def _notices_of_places(state: DesiredState, assignments: Sequence[Assignment]) -> list[Notice]:
    return [
        *placement_warnings(state, assignments),
        *separations(state, assignments),
        *why_unplaced(state, assignments).notices(),
    ]


def render_repository(state: DesiredState, assignments: Sequence[Assignment]) -> Rendering:
    """The objects that each cluster should have. Raises BadInput for overrides that do not fit."""
    rendering = render(state, assignments)
    if rendering.problems:
        raise BadInput(rendering.problems)
    return rendering
