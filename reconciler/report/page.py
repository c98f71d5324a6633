"""What the HTML page shows, in words and numbers that need no more thought. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from urllib.parse import quote

from msgspec import Struct

from reconciler.plan.model import Action, ClusterPlan, Plan, RunResult, WorkloadRow
from reconciler.report.fleet_picture import Picture, draw
from reconciler.report.grouping import avoided, comparison
from reconciler.report.headlines import Headline, Health, fleet_health, headlines
from reconciler.report.page_changes import ChangesView, changes_view
from reconciler.report.rollout import (
    FAILED,
    HELD,
    changes_text,
    cluster_text,
    cluster_waves,
    happenings,
    headline,
    is_told,
    road_end,
    stage_status,
    waits_text,
)
from reconciler.report.wording import (
    MARKS,
    addition_text,
    changed_rows,
    dns_action,
    dns_line,
    key_text,
    kind_name,
    object_name,
    plural,
    result_line,
    summary_line,
)
from reconciler.rollout.model import ClusterStep, RolloutCluster, RolloutView, RolloutWave
from reconciler.rollout.words import short_commit

PICTURE_WIDTHS = {"wide": 1080, "medium": 760, "narrow": 330}
"""The fleet is drawn for three widths of the window; the style sheet shows one."""

MOST_CLUSTERS = 2_000
MOST_WORKLOADS = 200
MOST_ADDITIONS = 500
MOST_BARS = 24
MOST_IN_A_WAVE = 60


class Count(Struct, frozen=True):
    """How many changes of one action."""

    action: str
    mark: str
    count: int


class ClusterView(Struct, frozen=True):
    """One cluster; ``before`` and ``after`` are its replicas of all workloads together, which
    ``replicas`` says in words. ``well`` is what its card says when nothing else is to be said."""

    name: str
    href: str
    provider: str
    region: str
    zone: str
    health: Health
    counts: tuple[Count, ...]
    unchanged: int
    before: int
    after: int
    before_width: float
    after_width: float
    label: str
    replicas: str
    well: str = "as Git says"
    wave: str = ""
    wave_commit: str = ""


class Bar(Struct, frozen=True):
    """One cluster's replicas of a workload; widths in percent of the longest bar."""

    cluster: str
    before: int
    after: int
    before_width: float
    after_width: float


class WorkloadView(Struct, frozen=True):
    """``same``: what is said of the clusters that have no bar."""

    kind: str
    name: str
    placed_by: str
    before: int
    after: int
    shortfall: int
    bars: tuple[Bar, ...]
    same: str


class WaveCluster(Struct, frozen=True):
    """One cluster in a wave; ``sign`` is drawn, ``text`` says why or what would change."""

    name: str
    href: str
    sign: str
    word: str
    commit: str
    text: str


class WaveColumn(Struct, frozen=True):
    """``state``: done, current or coming; ``clusters_left_out`` do not fit into the column."""

    name: str
    state: str
    status: str
    waits: str
    clusters: tuple[WaveCluster, ...]
    clusters_left_out: int


class RoadView(Struct, frozen=True):
    """The way of a commit: waves as columns, ``news`` above them and ``ends`` below."""

    headline: str
    sign: str
    complete: bool
    news: tuple[str, ...]
    waves: tuple[WaveColumn, ...]
    ends: tuple[str, ...]


class Page(Struct, frozen=True):
    """The whole page; ``of_a_run`` when it tells what was done rather than what would be."""

    title: str
    federation: str
    headline: str
    good: bool
    of_a_run: bool
    commit: str
    compared: str
    counts: tuple[Count, ...]
    headlines: tuple[Headline, ...]
    clusters: tuple[ClusterView, ...]
    clusters_left_out: int
    signs: tuple[Health, ...]
    pictures: tuple[tuple[str, Picture], ...]
    workloads: tuple[WorkloadView, ...]
    workloads_left_out: int
    steady: tuple[WorkloadView, ...]
    road: RoadView | None
    additions: tuple[tuple[str, str, str], ...]
    additions_left_out: int
    moves: tuple[str, ...]
    dns: tuple[tuple[str, str, str], ...]
    decisions: tuple[tuple[str, str, str], ...]
    base: str
    avoided: tuple[tuple[str, str, str], ...]
    changes: ChangesView


def plan_page(plan: Plan) -> Page:
    """What would be done."""
    return _page(plan, None)


def result_page(result: RunResult) -> Page:
    """What was done; its failures come first."""
    return _page(result.plan, result)


def _page(plan: Plan, result: RunResult | None) -> Page:
    moving, steady = _workloads(plan)
    clusters = _clusters(plan)
    shown = clusters[:MOST_CLUSTERS]
    places = [(cluster.provider, cluster.region) for cluster in shown]
    summary = plan.summary()
    added = tuple(
        (cluster.name, key_text(one.key), addition_text(field))
        for cluster in plan.clusters
        for one in cluster.additions
        for field in one.fields
    )
    good = result.ok if result else not (plan.violations or plan.has_failures)
    name = plan.federation or "without a name"
    return Page(
        title=f"{'Run' if result else 'Plan'} of {name}",
        federation=name,
        headline=result_line(result) if result else summary_line(plan),
        good=good,
        of_a_run=result is not None,
        commit=plan.commit,
        compared=comparison(plan.base) if plan.base else "",
        counts=tuple(Count(str(a), mark, summary[a]) for a, mark in MARKS.items() if summary[a]),
        headlines=tuple(headlines(plan, result)),
        clusters=shown,
        clusters_left_out=len(clusters) - len(shown),
        signs=signs_of(shown),
        pictures=tuple((size, draw(places, width)) for size, width in PICTURE_WIDTHS.items()),
        workloads=moving[:MOST_WORKLOADS],
        workloads_left_out=len(moving[MOST_WORKLOADS:]) + len(steady[MOST_WORKLOADS:]),
        steady=steady[:MOST_WORKLOADS],
        road=road_view(plan.rollout) if plan.rollout and is_told(plan.rollout) else None,
        additions=added[:MOST_ADDITIONS],
        additions_left_out=len(added[MOST_ADDITIONS:]),
        moves=tuple(map(str, plan.moves)),
        dns=tuple(
            (str(dns_action(record)), MARKS[dns_action(record)], dns_line(record))
            for record in plan.dns
        ),
        decisions=tuple((str(one.action), MARKS[one.action], str(one)) for one in plan.decisions),
        base=plan.base.ref if plan.base else "",
        avoided=tuple((str(action), MARKS[action], text) for action, text in avoided(plan)),
        changes=changes_view(plan, result.outcomes if result else ()),
    )


# -- clusters --------------------------------------------------------------------------------


def _clusters(plan: Plan) -> tuple[ClusterView, ...]:
    before, after = _sums(plan.workloads)
    longest = max([*before.values(), *after.values(), 1])
    health, waves = fleet_health(plan), cluster_waves(plan.rollout)
    return tuple(
        _cluster(c, health[c.name], before[c.name], after[c.name], 100 / longest, waves.get(c.name))
        for c in plan.clusters
    )


def _sums(rows: Sequence[WorkloadRow]) -> tuple[Mapping[str, int], Mapping[str, int]]:
    """Replicas of all workloads together, by cluster: before and after."""
    before: dict[str, int] = defaultdict(int)
    after: dict[str, int] = defaultdict(int)
    for row in rows:
        for counts, sums in ((row.before, before), (row.after, after)):
            for name, count in counts.items():
                sums[name] += count
    return before, after


def counts_of(actions: Iterable[Action]) -> tuple[Count, ...]:
    """How often each is there, in the order of ``MARKS``."""
    found = list(actions)
    return tuple(
        Count(str(action), mark, found.count(action))
        for action, mark in MARKS.items()
        if action in found
    )


def _cluster(
    cluster: ClusterPlan,
    health: Health,
    before: int,
    after: int,
    scale: float,
    place: tuple[RolloutWave, RolloutCluster] | None,
) -> ClusterView:
    found = [change.counts_as for change in cluster.changes]
    counts = counts_of(found)
    parts = [health.word, plural(len(found), "change") if found else "no changes"]
    parts.append(f"replicas {before} to {after}" if before != after else f"replicas {after}")
    if place:
        parts.append(f"wave {place[0].name}, {cluster_text(place[1])}")
    return ClusterView(
        name=cluster.name,
        href=_search(cluster.name),
        provider=cluster.provider,
        region=cluster.region,
        zone=cluster.zone,
        health=health,
        counts=counts,
        unchanged=cluster.unchanged,
        before=before,
        after=after,
        before_width=round(before * scale, 1),
        after_width=round(after * scale, 1),
        label=f"{cluster.name}: {', '.join(parts)}",
        replicas=f"{before} → {after} replicas" if before != after else f"{after} replicas",
        wave=place[0].name if place else "",
        wave_commit=short_commit(place[1].commit) if place else "",
    )


def signs_of(clusters: Sequence[ClusterView]) -> tuple[Health, ...]:
    """What the signs in the picture mean, best first; only those that are there."""
    order = ("ok", "degraded", "down", "unknown")
    words: dict[str, set[str]] = {sign: set() for sign in order}
    for cluster in clusters:
        words[cluster.health.sign].add(cluster.health.word)
    return tuple(Health(sign, " or ".join(sorted(words[sign]))) for sign in order if words[sign])


def middle_cut(text: str, room: int) -> str:
    """Both ends of a name: clusters of one fleet often differ in the last letters only."""
    if len(text) <= room:
        return text
    tail = room // 2
    return f"{text[: room - tail - 1]}…{text[-tail:]}"


# -- the rollout -----------------------------------------------------------------------------


_STEP_SIGNS = {
    ClusterStep.WELL: ("ok", "well"),
    ClusterStep.BEGUN: ("begun", "not well yet"),
    ClusterStep.WAITS: ("waits", "waits"),
    ClusterStep.DOWN: ("down", "down"),
}


def _search(cluster: str) -> str:
    return f"#search={quote(cluster)}"


def road_view(view: RolloutView, href: Callable[[str], str] = _search) -> RoadView:
    """The waves as columns; ``href`` is where a cluster's name leads."""
    sign = {FAILED: "down", HELD: "degraded"}.get(view.phase, "down" if view.at_once else "begun")
    return RoadView(
        headline(view),
        sign if view.candidate else "ok",
        view.complete,
        tuple(happenings(view)),
        tuple(_column(view, wave, href) for wave in view.waves),
        tuple(road_end(view)),
    )


def _column(view: RolloutView, wave: RolloutWave, href: Callable[[str], str]) -> WaveColumn:
    shown = tuple(
        WaveCluster(
            one.name,
            href(one.name),
            *_STEP_SIGNS[one.step],
            short_commit(one.commit),
            "; ".join(filter(None, [one.why, changes_text(one)])),
        )
        for one in wave.clusters[:MOST_IN_A_WAVE]
    )
    left_out = len(wave.clusters) - len(shown)
    return WaveColumn(
        wave.name, wave.state, stage_status(view, wave), waits_text(wave), shown, left_out
    )


# -- workloads -------------------------------------------------------------------------------


def _workloads(plan: Plan) -> tuple[tuple[WorkloadView, ...], tuple[WorkloadView, ...]]:
    """(those whose replicas change or do not fit, the others)."""
    changed = changed_rows(plan.workloads)
    keys = {row.key for row in changed}
    steady = [row for row in plan.workloads if row.key not in keys]
    return tuple(map(_workload, changed)), tuple(map(_workload, steady))


def _workload(row: WorkloadRow) -> WorkloadView:
    pairs = [
        (name, row.before.get(name, 0), row.after.get(name, 0))
        for name in sorted({*row.before, *row.after})
    ]
    ordered = sorted(pairs, key=lambda pair: (pair[1] == pair[2], pair[0]))
    # Of many clusters only those that change are worth a bar.
    shown = pairs if len(pairs) <= MOST_BARS else ordered[:MOST_BARS]
    rest = ordered[MOST_BARS:] if len(pairs) > MOST_BARS else []
    changing = sum(before != after for _, before, after in rest)
    parts = [
        f"{plural(changing, 'more cluster')} change" + "s" * (changing == 1) if changing else "",
        f"{plural(len(rest) - changing, 'more cluster')} as before" if len(rest) > changing else "",
    ]
    scale = 100 / max([1, *(max(before, after) for _, before, after in pairs)])
    return WorkloadView(
        kind_name(row.key),
        object_name(row.key),
        row.placed_by,
        sum(row.before.values()),
        sum(row.after.values()),
        row.shortfall,
        tuple(
            Bar(name, old, new, round(old * scale, 1), round(new * scale, 1))
            for name, old, new in shown
        ),
        "; ".join(part for part in parts if part),
    )
