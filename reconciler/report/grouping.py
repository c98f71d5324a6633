"""Changes that several clusters share word for word, told once; and long values line by line."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import groupby

import orjson
from msgspec import Struct

from reconciler.api.objects import ObjectKey, without_spare_room
from reconciler.plan.model import (
    ABSENT,
    Action,
    AgainstBase,
    Change,
    ClusterPlan,
    FieldChange,
    Plan,
)
from reconciler.report.wording import dns_action, dns_line, key_text, note_of, plural

_SHOWN_CLUSTERS = 6


class ChangeGroup(Struct, frozen=True):
    """The same changes in the same clusters, sorted by kind, namespace and name."""

    clusters: tuple[ClusterPlan, ...]
    changes: tuple[Change, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(cluster.name for cluster in self.clusters)

    def by_kind(self) -> Iterator[tuple[ObjectKey, tuple[Change, ...]]]:
        """(a key of the kind, its changes), kind by kind."""
        for _, same in groupby(self.changes, key=lambda change: change.key.group_kind):
            changes = tuple(same)
            yield changes[0].key, changes


def grouped(plan: Plan) -> list[ChangeGroup]:
    """Every change of the plan exactly once for each distinct set of clusters; widest sets first.

    Two changes are the same when nothing that a report shows of them differs. Where a manifest
    stands in Git does not count.
    """
    homes: dict[Hashable, list[ClusterPlan]] = defaultdict(list)
    samples: dict[Hashable, Change] = {}
    seen = Counter(change.key for cluster in plan.clusters for change in cluster.changes)
    for cluster in plan.clusters:
        for change in cluster.changes:
            # What one cluster alone has is not compared with anything.
            alone = seen[change.key] == 1
            identity: Hashable = change.key if alone else _identity(change)
            homes[identity].append(cluster)
            samples.setdefault(identity, change)
    groups: dict[tuple[str, ...], list[Change]] = defaultdict(list)
    clusters = {cluster.name: cluster for cluster in plan.clusters}
    for identity, members in homes.items():
        groups[tuple(cluster.name for cluster in members)].append(samples[identity])
    return [
        ChangeGroup(
            tuple(clusters[name] for name in names),
            tuple(sorted(part, key=lambda change: (change.key, change.action))),
        )
        for names, part in sorted(groups.items(), key=lambda item: (-len(item[0]), item[0]))
    ]


def group_title(
    clusters: Sequence[ClusterPlan], fleet: Sequence[ClusterPlan], *, every_name: bool = False
) -> str:
    """Who is meant: one cluster with its place, a short list, or what many have in common.

    Many are all clusters, all but a few, all of a provider or region; else their number and the
    first names, unless ``every_name`` is asked for.
    """
    names = [cluster.name for cluster in clusters]
    if len(names) == 1:
        place = " ".join(part for part in (clusters[0].provider, clusters[0].region) if part)
        return names[0] + (f" ({place})" if place else "")
    if len(names) <= _SHOWN_CLUSTERS:
        return ", ".join(names)
    others = sorted({cluster.name for cluster in fleet} - set(names))
    if not others:
        return f"all {len(fleet)} clusters"
    text = f"{len(names)} of {len(fleet)} clusters: "
    if len(others) < _SHOWN_CLUSTERS:
        return f"{text}all but {', '.join(others)}"
    place = _common_place(clusters, fleet)
    if every_name:
        return text + (f"{place}: " if place else "") + ", ".join(names)
    return text + (place or few_names(names))


def _common_place(clusters: Sequence[ClusterPlan], fleet: Sequence[ClusterPlan]) -> str:
    """``all of aws``, ``all of gcp europe-west1`` where exactly those are meant, else empty."""
    provider, region = clusters[0].provider, clusters[0].region
    for wanted in ((provider,), (provider, region)):
        alike = {c.name for c in fleet if (c.provider, c.region)[: len(wanted)] == wanted}
        if wanted[-1] and alike == {cluster.name for cluster in clusters}:
            return f"all of {' '.join(part for part in wanted if part)}"
    return ""


def few_names(names: Sequence[str]) -> str:
    """Names separated by commas; of many, the first and how many more there are."""
    if len(names) <= _SHOWN_CLUSTERS:
        return ", ".join(names)
    more = len(names) - _SHOWN_CLUSTERS + 1
    return ", ".join(names[: _SHOWN_CLUSTERS - 1]) + f" and {more} more"


def grouped_by_text(texts: Iterable[tuple[str, str]]) -> list[tuple[str, list[str]]]:
    """Of (text, cluster's name): each text once, with the names of whom it is said."""
    names: dict[str, list[str]] = {}
    for text, name in texts:
        names.setdefault(text, []).append(name)
    return list(names.items())


def _identity(change: Change) -> bytes:
    fields = [
        (f.path, _json(f.before), _json(f.after), f.managers, f.reason) for f in change.fields
    ]
    stays = [(f.path, _json(f.value), f.note, f.managers) for f in change.stays]
    words = [change.action, note_of(change), change.reason, change.error, change.verified]
    about = [list(change.key), change.api_version, words, fields, stays]
    return without_spare_room(orjson.dumps(about))


def _json(value: object) -> str:
    if value is ABSENT:
        return ""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def is_text(field: FieldChange) -> bool:
    """Whether both sides are strings of several lines, so that a diff of lines tells more."""
    sides = [value for value in (field.before, field.after) if isinstance(value, str)]
    return len(sides) == 2 and any("\n" in value for value in sides)


def line_diff(field: FieldChange) -> Sequence[tuple[str, str]]:
    """(``-``, ``+`` or a blank; the line) of a field for which ``is_text`` holds.

    One line of context; ``…`` stands for what is left out.
    """
    import difflib

    before = str(field.before).split("\n")
    after = str(field.after).split("\n")
    found: list[tuple[str, str]] = []
    for number, line in enumerate(difflib.unified_diff(before, after, lineterm="", n=1)):
        if number < 2:
            continue
        if line.startswith("@@"):
            if number > 2:
                found.append((" ", "…"))
            continue
        found.append((line[0], line[1:].expandtabs(4)))
    return found


# -- a plan that was compared with a base ----------------------------------------------------------


def comparison(base: AgainstBase) -> str:
    """``main (3f1c2a9b77d0): 3 changes and 1 warning that it has as well are left out``."""
    name = base.ref + (f" ({base.commit[:12]})" if base.commit else "")
    if base.problem:
        return f"{name}: everything is shown, as {base.problem}"
    out = base.left_out
    counts = (
        (out.changes, "change"),
        (out.refused, "refused object"),
        (out.records, "DNS record"),
        (out.warnings, "warning"),
    )
    parts = [plural(count, word) for count, word in counts if count]
    if not parts:
        return f"{name}: nothing had to be left out"
    described = " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))
    one = sum(count for count, _ in counts) == 1
    return f"{name}: {described} that it has as well {'is' if one else 'are'} left out"


def avoided(plan: Plan) -> list[tuple[Action, str]]:
    """What the base would do and the head does not: the action, and the object, where, and why."""
    if plan.base is None:
        return []
    homes: dict[tuple[Action, ObjectKey, str], list[str]] = {}
    for one in plan.base.avoided:
        change = one.change
        homes.setdefault((change.action, change.key, note_of(change)), []).append(one.cluster)
    found = [
        (action, f"{key_text(key)} in {few_names(names)}" + (f": {why}" if why else ""))
        for (action, key, why), names in homes.items()
    ]
    return found + [(dns_action(one), dns_line(one)) for one in plan.base.avoided_records]
