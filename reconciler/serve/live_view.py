"""What the page of the fleet shows now, in words and numbers that need no more thought. Pure."""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from reconciler.api.objects import ObjectKey
from reconciler.cluster.kstatus import Status
from reconciler.federation.model import Cluster
from reconciler.plan.model import Action, ClusterPlan, WorkloadRow
from reconciler.report.fleet_picture import Picture, draw
from reconciler.report.headlines import Health, fleet_health
from reconciler.report.page import (
    MOST_BARS,
    MOST_CLUSTERS,
    MOST_WORKLOADS,
    PICTURE_WIDTHS,
    ClusterView,
    RoadView,
    counts_of,
    road_view,
    signs_of,
)
from reconciler.report.page_changes import change_anchors
from reconciler.report.rollout import is_told
from reconciler.report.wording import key_text, kind_name, object_name, plural
from reconciler.rollout.model import ClusterStep
from reconciler.rollout.words import short_commit
from reconciler.serve.attention import AttentionItem, cluster_href, ill_items, waiting_items
from reconciler.serve.fleet_snapshot import FleetFindings, FleetSnapshot, Remaining
from reconciler.status.fleet_status import ClusterStatus, WorkloadStatus
from reconciler.status.roster import MemberRow

MOST_LISTED = 2_000
"""Objects on the page of one cluster."""

_SIGNS = {
    Status.CURRENT: ("ok", "as wanted"),
    Status.IN_PROGRESS: ("begun", "in progress"),
    Status.FAILED: ("down", "failed"),
    Status.TERMINATING: ("degraded", "terminating"),
    Status.NOT_FOUND: ("down", "not there"),
    None: ("unknown", "unknown"),
}


class ReplicasPart(Struct, frozen=True):
    """One cluster's share of a workload; ``text`` is empty where all is well."""

    cluster: str
    href: str
    sign: str
    word: str
    ready: int
    wanted: int
    text: str
    change: str = ""


class LiveWorkload(Struct, frozen=True):
    """A workload over the fleet. ``parts`` begins with those that are not well; ``parts_left_out``
    do not fit. ``placed`` says by what and where."""

    kind: str
    name: str
    sign: str
    word: str
    ready: int
    wanted: int
    width: float
    placed: str
    placed_by: str
    shortfall: int
    parts: tuple[ReplicasPart, ...]
    parts_left_out: int
    commands: tuple[str, ...]


class LiveCluster(ClusterView, frozen=True, kw_only=True):
    """As in the report, where ``before`` is what is wanted and ``after`` what is ready; and what a
    run found there. Counts are None where nobody could look.

    ``wanted_commit`` is empty where the cluster is on it.
    """

    reason: str
    commit: str
    wanted_commit: str
    managed: int | None
    drift: int | None
    repaired: bool
    added: int | None
    waits: tuple[str, ...]


class SummaryTile(Struct, frozen=True):
    """A figure at the top, and the part of the page that it leads to."""

    href: str
    sign: str
    figure: str
    text: str


class LiveView(Struct, frozen=True):
    """All of the page but the history of runs."""

    federation: str
    commit: str
    sign: str
    headline: str
    title: str
    summary: tuple[SummaryTile, ...]
    ill: tuple[AttentionItem, ...]
    waiting: tuple[AttentionItem, ...]
    clusters: tuple[LiveCluster, ...]
    clusters_left_out: int
    signs: tuple[Health, ...]
    pictures: tuple[tuple[str, Picture], ...]
    road: RoadView | None
    workloads: tuple[LiveWorkload, ...]
    workloads_left_out: int


class ListedObject(Struct, frozen=True):
    """One object on the page of a cluster; ``change`` leads to its entry in the last plan."""

    kind: str
    name: str
    sign: str
    word: str
    replicas: str
    text: str
    change: str
    commands: tuple[str, ...]


class ClusterDetail(Struct, frozen=True):
    """The page of one cluster."""

    cluster: LiveCluster
    objects: tuple[ListedObject, ...]
    objects_left_out: int
    remaining: tuple[tuple[str, str, str], ...]
    commands: tuple[str, ...]


def live_view(snapshot: FleetSnapshot, found: FleetFindings) -> LiveView:
    """``found`` is of the last run that came to a plan, ``snapshot`` the last run of all."""
    clusters = _clusters(found)
    shown = clusters[:MOST_CLUSTERS]
    plan = found.plan
    ill = ill_items(snapshot, found)
    waiting = waiting_items(snapshot, found)
    rows = {row.key: row for row in plan.workloads}
    changes = _changes(found)
    order = sorted(
        (one for one in found.objects if one.replicated),
        key=lambda one: (_WORST.index(_sign(one)), object_name(one.key), kind_name(one.key)),
    )
    workloads = tuple(_workload(one, rows.get(one.key), changes) for one in order[:MOST_WORKLOADS])
    places = [(cluster.provider, cluster.region) for cluster in shown]
    summary = tuple(_summary(snapshot, clusters, order, waiting))
    headline = "; ".join(_headline(clusters, order, waiting, snapshot))
    worst = _gravest(one.sign for one in summary)
    name = plan.federation or "without a name"
    return LiveView(
        federation=name,
        commit=plan.commit,
        sign=worst,
        headline=headline,
        title=f"{_TITLE.get(worst, '')}{name}: {headline}",
        summary=summary,
        ill=ill,
        waiting=waiting,
        clusters=shown,
        clusters_left_out=len(clusters) - len(shown),
        signs=signs_of(shown),
        pictures=tuple((size, draw(places, width)) for size, width in PICTURE_WIDTHS.items()),
        road=_road(found),
        workloads=workloads,
        workloads_left_out=len(order) - len(workloads),
    )


_WORST = ("down", "unknown", "degraded", "begun", "waits", "ok")
_TITLE = {"down": "✖ ", "unknown": "? ", "degraded": "▲ "}


# -- the figures at the top ------------------------------------------------------------------------


def _summary(
    snapshot: FleetSnapshot,
    clusters: Sequence[LiveCluster],
    workloads: Sequence[WorkloadStatus],
    waiting: Sequence[AttentionItem],
) -> Iterator[SummaryTile]:
    yield _of_clusters(clusters)
    yield _of_workloads(workloads)
    sign = _gravest(one.sign for one in waiting)
    verb = "waits" if len(waiting) == 1 else "wait"
    text = _named(verb, [one.who for one in waiting]) if waiting else "nothing waits"
    yield SummaryTile("#waiting", sign, str(len(waiting)), text)
    drifted = sum(one.drift or 0 for one in clusters)
    left = sum(one.drift or 0 for one in clusters if not one.repaired)
    text = f"drifted, {left} of them not put right yet" if left else "drifted, and put right"
    yield SummaryTile(
        "#clusters",
        "degraded" if left else "ok",
        str(drifted),
        text if drifted else "objects drifted",
    )
    run = snapshot.run
    done = "did all it should" if run.ok else plural(len(run.failures), "failure")
    yield SummaryTile(
        "#runs", "ok" if run.ok else "down", f"{run.seconds:.1f} s", f"last run: {done}"
    )


def _of_clusters(clusters: Sequence[LiveCluster]) -> SummaryTile:
    words: dict[str, int] = defaultdict(int)
    for one in clusters:
        if one.health.sign != "ok":
            words[one.health.word] += 1
    well = len(clusters) - sum(words.values())
    text = ", ".join(f"{count} {word}" for word, count in words.items())
    ill = [one.name for one in clusters if one.health.sign != "ok"]
    text = _named(text, ill) if ill else "clusters are well"
    sign = _gravest(one.health.sign for one in clusters)
    return SummaryTile("#ill" if words else "#fleet", sign, f"{well} of {len(clusters)}", text)


def _of_workloads(workloads: Sequence[WorkloadStatus]) -> SummaryTile:
    well = sum(_sign(one) == "ok" for one in workloads)
    text = "workloads are as wanted"
    if well < len(workloads):
        text += f", {len(workloads) - well} not"
    sign = _gravest(map(_sign, workloads))
    return SummaryTile("#workloads", sign, f"{well} of {len(workloads)}", text)


def _headline(
    clusters: Sequence[LiveCluster],
    workloads: Sequence[WorkloadStatus],
    waiting: Sequence[AttentionItem],
    snapshot: FleetSnapshot,
) -> Iterator[str]:
    """What is not well, in a sentence; it is read out when it changes."""
    ill = [one for one in clusters if one.health.sign != "ok"]
    if not ill:
        yield f"All {len(clusters)} clusters are well" if len(clusters) > 1 else "The fleet is well"
    elif len(ill) <= _MOST_NAMED:
        yield ", ".join(f"{one.name} is {one.health.word}" for one in ill)
    else:
        yield f"{len(ill)} of {len(clusters)} clusters are not well"
    away = sum(_sign(one) != "ok" for one in workloads)
    if away:
        verb = "is" if away == 1 else "are"
        yield f"{away} of {plural(len(workloads), 'workload')} {verb} not as wanted"
    if waiting:
        yield f"{len(waiting)} {'thing waits' if len(waiting) == 1 else 'things wait'}"
    if snapshot.findings is None:
        yield "the last run came to no plan"


_MOST_NAMED = 3


def _named(text: str, names: Sequence[str]) -> str:
    """With the names where they are few and short: a tile has three lines."""
    listed = ", ".join(dict.fromkeys(names))
    return f"{text}: {listed}" if len(listed) <= _TILE_LETTERS else text


_TILE_LETTERS = 44


def _gravest(signs: Iterable[str]) -> str:
    found = set(signs)
    return next((sign for sign in _WORST if sign in found), "ok")


# -- clusters --------------------------------------------------------------------------------------


def _clusters(found: FleetFindings) -> tuple[LiveCluster, ...]:
    wanted: dict[str, int] = defaultdict(int)
    ready: dict[str, int] = defaultdict(int)
    for row in found.objects:
        for one in row.clusters:
            wanted[one.cluster] += one.wanted or 0
            ready[one.cluster] += one.ready or 0
    longest = max([*wanted.values(), *ready.values(), 1])
    health = fleet_health(found.plan)
    members = {one.cluster.name: one for one in found.members}
    return tuple(
        _cluster(
            c,
            health[c.name],
            members.get(c.name),
            found,
            (wanted[c.name], ready[c.name]),
            100 / longest,
        )
        for c in found.plan.clusters
    )


def _cluster(
    cluster: ClusterPlan,
    health: Health,
    member: MemberRow | None,
    found: FleetFindings,
    replicas: tuple[int, int],
    scale: float,
) -> LiveCluster:
    remaining = found.remaining.get(cluster.name, ())
    counts = counts_of(one.action for one in remaining)
    wanted, ready = replicas
    rollout = member.rollout if member else None
    to_be = rollout.commit if rollout else found.plan.commit
    reached = to_be if cluster.reachable and not remaining else member.commit if member else ""
    text = f"{ready} of {wanted} ready" if ready != wanted else f"{ready} ready"
    text = text if cluster.reachable else f"{wanted} wanted"
    waits = tuple(_waits(cluster, member, remaining))
    drift = member.drift if member else None
    parts = [health.word, plural(len(remaining), "change") + " left" if remaining else "", text]
    if drift:
        parts.append(f"{drift} drifted")
    return LiveCluster(
        name=cluster.name,
        href=cluster_href(cluster.name),
        provider=cluster.provider,
        region=cluster.region,
        zone=cluster.zone,
        health=health,
        counts=counts,
        unchanged=cluster.unchanged,
        before=wanted,
        after=ready,
        before_width=round(wanted * scale, 1),
        after_width=round(ready * scale, 1),
        label=f"{cluster.name}: {', '.join(filter(None, [*parts, *waits]))}",
        replicas=text,
        well="waits" if waits else f"{drift} put right" if drift else "as Git says",
        wave=member.wave if member else "",
        wave_commit=short_commit(to_be) if rollout else "",
        reason=health.reason,
        commit=short_commit(reached) if reached else "",
        wanted_commit=short_commit(to_be) if to_be and to_be != reached else "",
        managed=member.managed if member else None,
        drift=drift,
        repaired=bool(drift) and not remaining,
        added=member.added if member else None,
        waits=waits,
    )


def _waits(
    cluster: ClusterPlan, member: MemberRow | None, remaining: Sequence[Remaining]
) -> Iterator[str]:
    if cluster.closed:
        yield str(cluster.closed)
    if member and member.rollout and member.rollout.step is ClusterStep.WAITS:
        why = "" if cluster.closed else member.rollout.why
        yield f"waits in wave {member.wave}" + (f": {why}" if why else "")
    if cluster.prune_blocked:
        yield f"nothing is pruned: {cluster.prune_blocked}"
    closed = str(cluster.closed or "")
    for why in dict.fromkeys(one.why for one in remaining if one.action is Action.WAITING):
        if why != closed:
            yield why


def _road(found: FleetFindings) -> RoadView | None:
    view = found.plan.rollout
    return road_view(view, cluster_href) if view and is_told(view) else None


# -- workloads and other objects -------------------------------------------------------------------


_Changes = Mapping[tuple[str, ObjectKey], str]


def _changes(found: FleetFindings) -> _Changes:
    """(cluster, object) -> its entry in the plan of the last run, seen from the fleet's page."""
    if not any(one.changes for one in found.plan.clusters):
        return {}
    page = f"runs/{found.run_id}"
    return {at: f"{page}#{anchor}" for at, anchor in change_anchors(found.plan).items()}


def _state(row: WorkloadStatus) -> Status | None:
    """Its status where it is wanted: a cluster that does not answer, and is to run none of it by
    now, leaves nothing unknown."""
    asked = [one for one in row.clusters if one.status is not None or one.wanted]
    return replace(row, clusters=tuple(asked)).status


def _sign_and_word(row: WorkloadStatus) -> tuple[str, str]:
    status = _state(row)
    if status is None and any(one.status is not None for one in row.clusters):
        return "degraded", "partly unknown"
    return _SIGNS[status]


def _sign(row: WorkloadStatus) -> str:
    return _sign_and_word(row)[0]


def _workload(
    row: WorkloadStatus, placement: WorkloadRow | None, changes: _Changes
) -> LiveWorkload:
    sign, word = _sign_and_word(row)
    ordered = sorted(row.clusters, key=lambda one: (one.fine, one.cluster))
    parts = tuple(
        _part(one, changes.get((one.cluster, row.key), "")) for one in ordered[:MOST_BARS]
    )
    placed = placement.after if placement else {}
    clusters = sum(count > 0 for count in placed.values()) or len(row.clusters)
    total = sum(placed.values()) or row.wanted
    return LiveWorkload(
        kind=kind_name(row.key),
        name=object_name(row.key),
        sign=sign,
        word=word,
        ready=row.ready,
        wanted=row.wanted,
        width=round(min(row.ready / row.wanted, 1) * 100, 1) if row.wanted else 100.0,
        placed=f"{total} in {plural(clusters, 'cluster')}",
        placed_by=placement.placed_by if placement else "",
        shortfall=placement.shortfall if placement else 0,
        parts=parts,
        parts_left_out=len(row.clusters) - len(parts),
        commands=(_status_command(row.key),),
    )


def _part(one: ClusterStatus, change: str) -> ReplicasPart:
    sign, word = _SIGNS[one.status]
    return ReplicasPart(
        one.cluster,
        cluster_href(one.cluster),
        sign,
        word,
        one.ready or 0,
        one.wanted or 0,
        "" if one.fine else one.message,
        change,
    )


def cluster_detail(cluster: LiveCluster, found: FleetFindings) -> ClusterDetail:
    """One cluster with its objects: those that are not well first, then those with replicas."""
    member = next((c for c in found.state.clusters if c.name == cluster.name), None)
    context = _context(member) if member else cluster.name
    changes = _changes(found)
    here = [
        (row.key, one)
        for row in found.objects
        for one in row.clusters
        if one.cluster == cluster.name
    ]
    here.sort(key=lambda pair: (pair[1].fine, pair[1].wanted is None))
    listed = tuple(
        _listed(key, one, context, changes.get((cluster.name, key), ""))
        for key, one in here[:MOST_LISTED]
    )
    name = shlex.quote(cluster.name)
    return ClusterDetail(
        cluster,
        listed,
        len(here) - len(listed),
        tuple(
            (str(one.action), key_text(one.key), one.why)
            for one in found.remaining.get(cluster.name, ())[:MOST_LISTED]
        ),
        (
            f"reconcile --plan --cluster {name}",
            "reconcile clusters",
            f"kubectl --context {shlex.quote(context)} get nodes",
        ),
    )


def _listed(key: ObjectKey, one: ClusterStatus, context: str, change: str) -> ListedObject:
    sign, word = _SIGNS[one.status]
    replicas = f"{one.ready or 0} of {one.wanted} ready" if one.wanted is not None else ""
    return ListedObject(
        kind_name(key),
        object_name(key),
        sign,
        word,
        replicas,
        "" if one.fine else one.message,
        f"../{change}" if change else "",
        (_kubectl(key, context, "describe"), _status_command(key)),
    )


def _context(cluster: Cluster) -> str:
    """As Git calls it; a cluster that has joined has none, and people often name theirs alike."""
    return cluster.access.context or cluster.access.fallback_context or cluster.name


def _kubectl(key: ObjectKey, context: str, verb: str) -> str:
    kind = f"{key.kind.lower()}.{key.group}" if key.group else key.kind.lower()
    words = ["kubectl", "--context", context]
    words += ["--namespace", key.namespace] if key.namespace else []
    return shlex.join([*words, verb, kind, key.name])


def _status_command(key: ObjectKey) -> str:
    words = ["reconcile", "status", f"{key.kind.lower()}/{key.name}"]
    return shlex.join([*words, "--namespace", key.namespace] if key.namespace else words)
