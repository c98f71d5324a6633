"""What somebody who looks at the fleet must see first: what is ill, and what is waiting. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import quote

from msgspec import Struct

from reconciler.api.moves import BoundsKept, KeptUntilReady, ReplicasKept, Returning
from reconciler.cluster.kstatus import Status
from reconciler.plan.model import Action
from reconciler.report.finished_run import NOTHING_FAILED, Failure, FailureKind
from reconciler.report.grouping import few_names, grouped_by_text
from reconciler.report.headlines import fleet_health
from reconciler.report.rollout import FAILED, HELD, headline, is_told, road_end
from reconciler.report.wording import counted, dns_line, key_text, plural
from reconciler.serve.fleet_snapshot import FleetFindings, FleetSnapshot
from reconciler.status.fleet_status import ClusterStatus, WorkloadStatus

MOST_OF_A_SORT = 8
"""More of a sort than this are only counted."""

_GRAVEST_FIRST = ("down", "unknown", "degraded")
_GRAVE = (Status.FAILED, Status.NOT_FOUND, Status.TERMINATING)


class AttentionItem(Struct, frozen=True):
    """``who`` is what it is about, and leads to ``href`` (empty: nowhere)."""

    sign: str
    who: str
    text: str
    href: str = ""


def cluster_href(name: str) -> str:
    """Where the page of one cluster is, seen from the page of the fleet."""
    return f"clusters/{quote(name, safe='')}"


def ill_items(snapshot: FleetSnapshot, found: FleetFindings) -> tuple[AttentionItem, ...]:
    """Clusters that are not well, what failed, workloads that do not run; the gravest first."""
    failures = [one for one in snapshot.run.failures if one.kind not in NOTHING_FAILED]
    away = {cluster.name for cluster in found.plan.clusters if not cluster.reachable}
    general = [one for one in failures if not one.cluster and one.kind is not FailureKind.GUARD]
    in_clusters = [one for one in failures if one.cluster and one.cluster not in away]
    return (
        *_few((_failed(one) for one in general), "more failures"),
        *_few(_clusters(found), "more clusters are not well"),
        *_few(_failures(in_clusters), "more failures"),
        *_few(_workloads(found, away), "more workloads are not as wanted"),
    )


def waiting_items(snapshot: FleetSnapshot, found: FleetFindings) -> tuple[AttentionItem, ...]:
    """What is to be done and is not done yet, with what it waits for."""
    return (
        *_few(_guards(snapshot), "more limits are passed"),
        *_rollout(found),
        *_few(_changes(snapshot, found), "more groups of changes"),
        *_few(_prunes(found), "more clusters"),
        *_few(_moves(found), "more moves"),
        *_few(_records(found), "more DNS records"),
    )


def _few(items: Iterable[AttentionItem], more: str) -> Iterator[AttentionItem]:
    every = list(items)
    yield from every[:MOST_OF_A_SORT]
    if rest := every[MOST_OF_A_SORT:]:
        yield AttentionItem(rest[0].sign, f"{len(rest)} {more}", "")


# -- ill -------------------------------------------------------------------------------------------


def _failed(one: Failure) -> AttentionItem:
    return AttentionItem("down", "The last run", one.text, "#runs")


def _clusters(found: FleetFindings) -> Iterator[AttentionItem]:
    health = fleet_health(found.plan)
    ill = [(name, one) for name, one in health.items() if one.sign != "ok"]
    for name, one in sorted(ill, key=lambda pair: (_GRAVEST_FIRST.index(pair[1].sign), pair[0])):
        text = f"{one.word}: {one.reason}" if one.reason else one.word
        yield AttentionItem(one.sign, name, text, cluster_href(name))


def _failures(failures: Sequence[Failure]) -> Iterator[AttentionItem]:
    pairs = ((": ".join(filter(None, [one.named, one.text])), one.cluster) for one in failures)
    for text, names in grouped_by_text(pairs):
        href = cluster_href(names[0]) if len(names) == 1 else ""
        yield AttentionItem("down", few_names(names), text, href)


def _workloads(found: FleetFindings, away: set[str]) -> Iterator[AttentionItem]:
    """Of those with replicas; not what only lies in clusters that are told of anyway."""
    rows = []
    for row in found.objects:
        ill = [one for one in row.clusters if not one.fine and one.cluster not in away]
        if row.replicated and ill:
            rows.append((not any(one.status in _GRAVE for one in ill), key_text(row.key), row, ill))
    for mild, name, row, ill in sorted(rows, key=lambda one: one[:2]):
        yield AttentionItem("begun" if mild else "down", name, _trouble(row, ill), "#workloads")


def _trouble(row: WorkloadStatus, ill: Sequence[ClusterStatus]) -> str:
    grouped = grouped_by_text(
        (one.message or str(one.status or "unknown"), one.cluster) for one in ill
    )
    told = "; ".join(f"{few_names(names)}: {text}" for text, names in grouped[:2])
    more = f"; and {len(grouped) - 2} more" if len(grouped) > 2 else ""
    return f"{row.ready} of {row.wanted} ready; {told}{more}"


# -- waiting ---------------------------------------------------------------------------------------


def _guards(snapshot: FleetSnapshot) -> Iterator[AttentionItem]:
    for one in snapshot.run.failures:
        if one.kind is FailureKind.GUARD:
            yield AttentionItem("down", "Stopped by a guard", one.text, "#runs")


def _rollout(found: FleetFindings) -> Iterator[AttentionItem]:
    view = found.plan.rollout
    if view is None or not is_told(view) or not (view.candidate or view.phase == HELD):
        return
    sign = {FAILED: "down", HELD: "degraded"}.get(view.phase, "waits")
    text = ". ".join([headline(view), *road_end(view)])
    yield AttentionItem(sign, "Rollout", text, "#rollout")


def _changes(snapshot: FleetSnapshot, found: FleetFindings) -> Iterator[AttentionItem]:
    """Changes that wait, each reason once, with the clusters and how many."""
    closed = {c.name: str(c.closed) for c in found.plan.clusters if c.closed}
    said: dict[tuple[str, str], Counter[Action]] = {}
    names: dict[tuple[str, str], list[str]] = {}
    told: dict[tuple[str, str], list[str]] = {}
    for cluster, remaining in found.remaining.items():
        for one in remaining:
            if one.action in (Action.FAILED, Action.TERMINATING):
                continue
            if one.action is Action.WAITING:
                reason = ("waits", one.why)
            elif snapshot.run.plan_only:
                reason = ("waits", "runs of this process only plan")
            elif snapshot.run.result is None:
                reason = ("waits", "nothing was written by the last run")
            else:
                reason = ("degraded", f"not made by the last run: {one.why}")
            said.setdefault(reason, Counter())[one.action] += 1
            told.setdefault(reason, []).append(key_text(one.key))
            if cluster not in names.setdefault(reason, []):
                names[reason].append(cluster)
    for name, why in closed.items():
        reason = ("waits", why)
        if name not in names.setdefault(reason, []):
            names[reason].append(name)
    for (sign, why), clusters in names.items():
        found_here = said.get((sign, why), Counter())
        count = sum(found_here.values())
        objects = told.get((sign, why), [])
        what = few_names(list(dict.fromkeys(objects))) if count <= 3 else counted(found_here)
        parts = [plural(count, "change") if count else "nothing to change now"]
        text = parts[0] + (f" ({what})" if what else "")
        href = cluster_href(clusters[0]) if len(clusters) == 1 else ""
        yield AttentionItem(sign, few_names(clusters), f"{why}; {text}", href)


def _prunes(found: FleetFindings) -> Iterator[AttentionItem]:
    held = ((c.prune_blocked, c.name) for c in found.plan.clusters if c.prune_blocked)
    for why, names in grouped_by_text(held):
        yield AttentionItem("degraded", few_names(names), f"nothing is pruned: {why}")


def _moves(found: FleetFindings) -> Iterator[AttentionItem]:
    for move in found.plan.moves:
        if isinstance(move, Returning):
            text = f"is returning: waits for {move.waits_for}"
            yield AttentionItem("waits", move.cluster, text, cluster_href(move.cluster))
        elif isinstance(move, ReplicasKept | BoundsKept | KeptUntilReady):
            yield AttentionItem("waits", move.cluster, str(move), cluster_href(move.cluster))


def _records(found: FleetFindings) -> Iterator[AttentionItem]:
    for record in found.plan.dns:
        if record.get("waits"):
            yield AttentionItem("waits", "DNS", dns_line(record))
