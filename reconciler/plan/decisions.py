"""Placements as decided -> the PlacementDecisions (KEP-5313) that others may follow. Pure.

One decision for each Placement, in slices of at most 100 clusters, as the API has it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence

from reconciler.api.annotations import PREFIX
from reconciler.api.objects import Object, map_of, maps_of
from reconciler.plan.model import Action, DecisionChange
from reconciler.scheduler.model import Assignment

MOST_IN_A_SLICE = 100
DECISION_KEY = "multicluster.x-k8s.io/decision-key"
DECISION_INDEX = "multicluster.x-k8s.io/decision-index"
PLACEMENT_KEY = "multicluster.x-k8s.io/placement-key"
MANAGED_BY = ("app.kubernetes.io/managed-by", "federation-reconciler")
OF_FEDERATION = PREFIX + "federation"
SCHEDULER = "federation-reconciler"
_PLACEMENT = "Placement "


def decided_clusters(assignments: Iterable[Assignment]) -> dict[str, dict[str, str]]:
    """Placement -> cluster -> why it is there, of all that is placed by one.

    A cluster counts while something of the Placement runs there, also what is yet to leave.
    """
    found: dict[str, dict[str, str]] = {}
    for one in assignments:
        if not one.placed_by.startswith(_PLACEMENT):
            continue
        placement = one.placed_by.removeprefix(_PLACEMENT).partition(" ")[0]
        clusters = found.setdefault(placement, {})
        for name, count in one.replicas.items():
            if count == 0:
                continue
            leaving = name in one.leaving
            if name not in clusters or not leaving:
                clusters[name] = (
                    "leaves once it is ready elsewhere" if leaving else f"{_PLACEMENT}{placement}"
                )
    return found


def decisions_of(
    decided: Mapping[str, Mapping[str, str]],
    profiles: Mapping[str, str],
    federation: str,
    namespace: str,
    api_version: str,
) -> list[Object]:
    """The objects as they should be. ``profiles``: cluster -> the namespace of its ClusterProfile;
    clusters without one are left out, as a decision names profiles."""
    found: list[Object] = []
    for placement, clusters in sorted(decided.items()):
        named = [
            {"clusterProfileRef": {"name": name, "namespace": profiles[name]}, "reason": reason}
            for name, reason in sorted(clusters.items())
            if name in profiles
        ]
        key = _label(f"{federation}.{placement}")
        for index, start in enumerate(range(0, max(len(named), 1), MOST_IN_A_SLICE)):
            found.append(
                {
                    "apiVersion": api_version,
                    "kind": "PlacementDecision",
                    "metadata": {
                        "name": _fitting(f"{federation}.{placement}", 240) + f"-{index}",
                        "namespace": namespace,
                        "labels": {
                            DECISION_KEY: key,
                            DECISION_INDEX: str(index),
                            PLACEMENT_KEY: _label(placement),
                            MANAGED_BY[0]: MANAGED_BY[1],
                            OF_FEDERATION: _label(federation),
                        },
                    },
                    "schedulerName": SCHEDULER,
                    "decisions": named[start : start + MOST_IN_A_SLICE],
                }
            )
    return found


def _label(text: str) -> str:
    return _fitting(text, 63)


def _fitting(text: str, most: int) -> str:
    """The text, or its beginning and a digest of all of it."""
    if len(text) <= most:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return f"{text[: most - 17].rstrip('.-')}-{digest}"


def without_profile(
    decided: Mapping[str, Mapping[str, str]], profiles: Collection[str]
) -> list[str]:
    """The clusters that are decided for and that no decision can name."""
    return sorted({n for clusters in decided.values() for n in clusters} - set(profiles))


def decision_changes(
    wanted: Sequence[Object], live: Sequence[Object], federation: str
) -> tuple[list[DecisionChange], list[str]]:
    """What would be written and deleted; and the names that are somebody else's.

    ``live`` is everything in the namespace. Only what carries our labels is ever ours.
    """
    there = {str(one["metadata"]["name"]): one for one in live}
    found: list[DecisionChange] = []
    foreign: list[str] = []
    names = set()
    for body in wanted:
        name = body["metadata"]["name"]
        names.add(name)
        now = there.get(name)
        if now is not None and not is_our_decision(now, federation):
            foreign.append(name)
        elif now is None or not _holds(now, body):
            found.append(_change(body, now))
    for name, now in sorted(there.items()):
        if name not in names and is_our_decision(now, federation):
            found.append(_change(None, now))
    return sorted(found, key=lambda one: one.name), foreign


def is_our_decision(live: Object, federation: str) -> bool:
    """Whether a run of this federation wrote it."""
    labels = map_of(live["metadata"].get("labels"))
    key, value = MANAGED_BY
    return labels.get(key) == value and labels.get(OF_FEDERATION) == _label(federation)


def _holds(live: Object, wanted: Object) -> bool:
    labels = map_of(live["metadata"].get("labels"))
    return (
        all(labels.get(key) == value for key, value in wanted["metadata"]["labels"].items())
        and live.get("decisions") == wanted["decisions"]
        and live.get("schedulerName") == wanted["schedulerName"]
    )


def _change(wanted: Object | None, live: Object | None) -> DecisionChange:
    some = wanted or live or {}
    metadata = map_of((live or {}).get("metadata"))
    return DecisionChange(
        action=Action.PRUNE if wanted is None else Action.CREATE if live is None else Action.UPDATE,
        namespace=some["metadata"]["namespace"],
        name=some["metadata"]["name"],
        before=_clusters(live) if live is not None else None,
        after=_clusters(wanted) if wanted is not None else None,
        request=wanted,
        uid=str(metadata.get("uid", "")),
        resource_version=str(metadata.get("resourceVersion", "")),
    )


def _clusters(body: Object) -> tuple[str, ...]:
    refs = (map_of(one.get("clusterProfileRef")) for one in maps_of(body.get("decisions")))
    return tuple(str(ref.get("name")) for ref in refs)
