"""``spec.rollout`` of the Federation, and what a Placement adds to it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from msgspec.structs import replace

from reconciler.api.errors import Position
from reconciler.api.notices import NoticeCause, notice
from reconciler.api.objects import Object, first_few, value_at
from reconciler.federation.failover_rules import parse_duration, parse_share
from reconciler.federation.lint import names_and_selector
from reconciler.federation.model import (
    Cluster,
    Federation,
    Gate,
    RolloutRules,
    StricterRollout,
    Wave,
)
from reconciler.federation.selectors import matches, parse_selector
from reconciler.manifests.document import Document
from reconciler.manifests.problems import ProblemCollector

PATH = ("spec", "rollout")
REST = Wave("rest")
"""Of the clusters that are in no wave of the rules."""
DEADLINE = "30m"

_Path = tuple[str | int, ...]


def parse_rollout(body: Mapping[str, Any]) -> RolloutRules:
    """The Federation's rules; what is left out has its default."""
    base = RolloutRules(())
    return RolloutRules(
        waves=tuple(_wave(one) for one in body["waves"]),
        progress_deadline=parse_duration(body.get("progressDeadline", DEADLINE)),
        on_failure=body.get("onFailure", base.on_failure),
        queue=body.get("queue", base.queue),
    )


def parse_stricter(body: Mapping[str, Any]) -> StricterRollout:
    """``spec.rollout`` of a Placement."""
    concurrent = body.get("maxConcurrent")
    return StricterRollout(
        soak=parse_duration(body.get("soak", "0s")),
        max_concurrent=_count(concurrent),
        is_share=isinstance(concurrent, str),
        manual=body.get("manual", False),
        gates=_gates(body),
    )


def _wave(body: Mapping[str, Any]) -> Wave:
    names, selector = body.get("clusters"), body.get("clusterSelector")
    own = parse_stricter(body)
    return Wave(
        name=body["name"],
        clusters=None if names is None else tuple(names),
        selector=parse_selector(selector) if names is None and selector is not None else None,
        max_concurrent=own.max_concurrent,
        is_share=own.is_share,
        soak=own.soak,
        gates=own.gates,
        manual=own.manual,
    )


def _count(concurrent: int | str | None) -> float | None:
    return parse_share(concurrent) if isinstance(concurrent, str) else concurrent


def _gates(body: Mapping[str, Any]) -> tuple[Gate, ...]:
    return tuple(
        Gate(
            name=one["name"],
            url=one["prometheus"]["url"],
            query=one["prometheus"]["query"],
            at_least=one.get("atLeast"),
            at_most=one.get("atMost"),
        )
        for one in body.get("gates") or ()
    )


def named_or_selected(wave: Wave, clusters: Collection[Cluster]) -> frozenset[str]:
    """The clusters that a wave names or selects itself."""
    if wave.clusters is not None:
        return frozenset(one.name for one in clusters if one.name in wave.clusters)
    return frozenset(
        one.name
        for one in clusters
        if wave.selector is not None and matches(wave.selector, one.all_labels)
    )


def check_rollout(
    document: Document,
    rules: RolloutRules,
    clusters: Mapping[str, Cluster],
    faults: ProblemCollector,
) -> None:
    """Reports waves that cannot be meant: twice the same cluster or name, none at all, a soak that
    no wave gets through, and gates that ask nothing."""
    body = document.body["spec"]["rollout"]
    if not rules.waves:
        faults.problem(
            document,
            (*PATH, "waves"),
            "a rollout without waves",
            "at least one wave; or no rollout: then all clusters get a commit at once",
        )
    if rules.progress_deadline <= 0:
        faults.problem(
            document, (*PATH, "progressDeadline"), "no time at all", "a duration such as 30m"
        )
    names: dict[str, int] = {}
    taken: dict[str, tuple[str, _Path]] = {}
    for index, wave in enumerate(rules.waves):
        path = (*PATH, "waves", index)
        first = names.setdefault(wave.name, index)
        if first != index:
            there = document.position(*PATH, "waves", first, "name")
            faults.problem(
                document,
                (*path, "name"),
                f"the wave {wave.name!r} twice",
                "a name for each wave",
                f"the other one is at {there}",
            )
        if wave.is_rest:
            _check_rest(document, path, rules, index, faults)
        else:
            _check_clusters(document, path, wave, clusters, taken, faults)
        for inside, found in names_and_selector(body["waves"][index]):
            subject = f"wave {wave.name}"
            faults.warn(document, replace(found, subject=subject), (*path, *inside))
        _check_pace(document, path, wave, rules, body.get("progressDeadline", DEADLINE), faults)
    last = rules.waves[-1] if rules.waves else None
    if last and last.is_rest and _all_known(faults) and taken.keys() == clusters.keys():
        empty = notice(NoticeCause.WAVE_EMPTY, subject=f"wave {last.name}")
        faults.warn(document, empty, (*PATH, "waves", len(rules.waves) - 1))


def _check_rest(
    document: Document, path: _Path, rules: RolloutRules, index: int, faults: ProblemCollector
) -> None:
    if index != len(rules.waves) - 1:
        faults.problem(
            document,
            path,
            f"the wave {rules.waves[index].name!r} names and selects no clusters, and is not the "
            "last one",
            "clusters or clusterSelector; the last wave alone may leave them out",
            "without them it has all clusters that are in no other wave",
        )


def _check_clusters(
    document: Document,
    path: _Path,
    wave: Wave,
    clusters: Mapping[str, Cluster],
    taken: dict[str, tuple[str, _Path]],
    faults: ProblemCollector,
) -> None:
    """``taken`` are the clusters of the waves before: which has them, and where it says so."""
    if wave.name == REST.name:
        faults.problem(
            document,
            (*path, "name"),
            f"{REST.name!r} is the wave of the clusters that are in no other",
            "another name; or neither clusters nor clusterSelector",
        )
    found = named_or_selected(wave, clusters.values())
    places: dict[str, _Path]
    if wave.clusters is None:
        places = dict.fromkeys(sorted(found), (*path, "clusterSelector"))
    else:
        places = {name: (*path, "clusters", n) for n, name in enumerate(wave.clusters)}
    for name in places.keys() - clusters.keys():
        faults.unknown_cluster(document, places[name], name, clusters)
    if not places and (wave.clusters is not None or _all_known(faults)):
        faults.problem(
            document,
            (*path, "clusters" if wave.clusters is not None else "clusterSelector"),
            f"the wave {wave.name!r} has no cluster",
            "at least one; clusters in no wave form the last one",
            _labels_of(clusters) if wave.clusters is None else "",
        )
    again: dict[tuple[_Path, str, _Path], list[str]] = {}
    for name in sorted(found):
        other, first = taken.setdefault(name, (wave.name, places[name]))
        if first != places[name]:
            again.setdefault((places[name], other, first), []).append(name)
    for (here, other, first), doubled in again.items():
        faults.problem(
            document,
            here,
            f"{first_few(doubled)}: in the wave {other!r} as well",
            "each cluster in one wave",
            f"there at {document.position(*first)}; a last wave without clusters and "
            "clusterSelector has those that are in no other",
        )


def _labels_of(clusters: Mapping[str, Cluster]) -> str:
    labels = {
        f"{key}={value}" for one in clusters.values() for key, value in one.all_labels.items()
    }
    return f"the clusters' labels are {first_few(sorted(labels))}" if labels else ""


def _all_known(faults: ProblemCollector) -> bool:
    return not faults.possible_definitions.of_any("Cluster", "KubeFedCluster")


def _check_pace(
    document: Document,
    path: _Path,
    rule: Wave | StricterRollout,
    rules: RolloutRules,
    deadline: str,
    faults: ProblemCollector,
) -> None:
    """What a wave and a Placement's rules both have."""
    if rule.soak > rules.progress_deadline:
        faults.problem(
            document,
            (*path, "soak"),
            f"{value_at(document.body, path)['soak']} is longer than progressDeadline ({deadline})",
            f"at most {deadline}, or a longer progressDeadline: a wave without progress for that "
            "long has failed",
        )
    most = rule.max_concurrent
    if most is not None and (most <= 0 or (rule.is_share and most > 1)):
        faults.problem(
            document,
            (*path, "maxConcurrent"),
            "no cluster could ever begin" if most <= 0 else "more than 100 %",
            "at least 1, or a share from above 0% to 100%",
        )
    _check_gates(document, path, rule.gates, faults)


def _check_gates(
    document: Document, path: _Path, gates: Sequence[Gate], faults: ProblemCollector
) -> None:
    names: dict[str, int] = {}
    for index, gate in enumerate(gates):
        at = (*path, "gates", index)
        if names.setdefault(gate.name, index) != index:
            faults.problem(
                document, (*at, "name"), f"the gate {gate.name!r} twice", "a name for each gate"
            )
        if (gate.at_least is None) == (gate.at_most is None):
            faults.problem(
                document,
                at,
                f"the gate {gate.name!r} has "
                + ("no threshold" if gate.at_least is None else "two thresholds"),
                "atLeast or atMost",
                "" if gate.at_least is None else "two gates, one with each, ask for both",
            )
        if fault := fault_of_address(gate.url):
            faults.problem(
                document,
                (*at, "prometheus", "url"),
                fault,
                "such as https://prometheus.example.com or http://prometheus.monitoring:9090",
            )
        if not gate.query.strip():
            faults.problem(document, (*at, "prometheus", "query"), "no query", "PromQL")


def fault_of_address(url: str) -> str:
    """Why a server cannot be asked there; empty: it can. What stands there is not repeated, as it
    may have a password in it."""
    if not url.isascii() or not url.isprintable() or " " in url:
        return "an address with spaces, control characters or letters beyond ASCII"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "not a URL"
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        return "not an http or https URL with a host"
    if "@" in parts.netloc:
        return "a name or password in an address: no credential is sent, nor belongs in Git"
    if "?" in url or "#" in url:
        return "an address with a query or a fragment: the PromQL stands in query"
    return ""


# -- Placements ------------------------------------------------------------------------------------


def check_stricter(
    document: Document,
    own: StricterRollout,
    federation: Federation,
    clusters: Mapping[str, Cluster],
    faults: ProblemCollector,
) -> None:
    """What a Placement says against the Federation's rollout: looser than every wave, it would be
    without effect."""
    rules, owner = federation.rollout, federation.document
    if rules is None or owner is None:
        faults.problem(
            document,
            PATH,
            "the Federation has no rollout",
            "spec.rollout there; a Placement can only be stricter",
        )
        return
    written: Object = document.body["spec"]["rollout"]
    deadline = owner.body["spec"]["rollout"].get("progressDeadline", DEADLINE)
    _check_pace(document, PATH, own, rules, deadline, faults)
    taken = {n for wave in rules.waves for n in named_or_selected(wave, clusters.values())}
    waves = rules.waves
    if not (waves and waves[-1].is_rest) and not (_all_known(faults) and taken >= clusters.keys()):
        waves = (*waves, REST)

    def report(field: str, message: str, expected: str, wave: Wave) -> None:
        place = _written_at(owner, waves.index(wave), field)
        faults.problem(document, (*PATH, field), message, expected, f"wave {wave.name}: {place}")

    if not waves:
        return
    loosest = min(waves, key=lambda wave: wave.soak)
    if "soak" in written and own.soak <= loosest.soak:
        least = f"{loosest.soak:g} s"
        report(
            "soak",
            f"{written['soak']} has no effect: every wave soaks for {least} or longer",
            f"more than {least}: a Placement can only be stricter",
            loosest,
        )
    if own.max_concurrent is not None and all(_no_more(own, wave) for wave in waves):
        report(
            "maxConcurrent",
            f"{written['maxConcurrent']} has no effect: no wave lets more begin at once",
            "less: a Placement can only be stricter",
            max(waves, key=lambda wave: wave.max_concurrent or 0),
        )
    manual = next((wave for wave in waves if wave.manual), None)
    if written.get("manual") is False and manual is not None:
        report(
            "manual",
            f"the wave {manual.name!r} waits for a person all the same",
            "true, or no manual: a Placement can only be stricter",
            manual,
        )
    if own.manual and all(wave.manual for wave in waves):
        report("manual", "no effect: every wave waits for a person", "no manual", waves[0])
    for index, gate in enumerate(own.gates):
        if all(_asks_as_much(wave, gate) for wave in waves):
            place = _written_at(owner, 0, "gates")
            faults.problem(
                document,
                (*PATH, "gates", index),
                f"the gate {gate.name!r} has no effect: every wave asks the same, and wants as "
                "much or more",
                "another question or threshold: a Placement can only be stricter",
                f"wave {waves[0].name}: {place}",
            )


def _no_more(own: StricterRollout, wave: Wave) -> bool:
    """Whether a wave lets no more clusters begin at once than ``own`` does, as far as they can be
    compared: a count beside a share depends on how many clusters there are."""
    most = own.max_concurrent or 0.0
    if wave.max_concurrent is None:
        return own.is_share and most == 1
    return own.is_share == wave.is_share and wave.max_concurrent <= most


def _asks_as_much(wave: Wave, gate: Gate) -> bool:
    """Whether a wave has that question, with that threshold or a stricter one."""
    least, most = gate.at_least, gate.at_most
    return any(
        (one.url, one.query) == (gate.url, gate.query)
        and (least is None or (one.at_least is not None and one.at_least >= least))
        and (most is None or (one.at_most is not None and one.at_most <= most))
        for one in wave.gates
    )


def _written_at(document: Document, index: int, field: str) -> Position:
    return document.position(*PATH, "waves", index, field)
