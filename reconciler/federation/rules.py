"""The ``Federation`` document -> rules."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from reconciler.api.errors import Position
from reconciler.api.kinds import API_VERSIONS
from reconciler.api.notices import Notice, NoticeCause, notice
from reconciler.api.objects import GroupKind, Object, api_group
from reconciler.federation.drift import parse_drift, parse_ignore
from reconciler.federation.failover_rules import check_failover, parse_failover, parse_share
from reconciler.federation.model import (
    DEFAULT_FEDERATION_NAMESPACE,
    AdoptionRules,
    Federation,
    GuardRules,
    InventoryRules,
    PlacementTarget,
    PruneRules,
    RolloutRules,
    Toleration,
    Window,
)
from reconciler.federation.selectors import parse_selector
from reconciler.federation.sensitive import parse_sensitive
from reconciler.git.source_rules import parse_source_rules
from reconciler.manifests.document import Document
from reconciler.manifests.own_schemas import BUILT_IN, OWN_GROUP
from reconciler.manifests.problems import ProblemCollector, suggestion

DEFAULT_NAME = "federation"


def parse_federation(
    document: Document | None, faults: ProblemCollector, clusters: int | None
) -> Federation:
    """The rules, or defaults where the repository has no Federation.

    ``clusters`` is their number, None where it is not known.
    """
    if document is None:
        return Federation(DEFAULT_NAME, Position("", 1, 1))
    spec: Object = document.body.get("spec") or {}
    defaults = spec.get("defaults") or {}
    target = defaults.get("placement")
    failover = parse_failover(spec.get("failover"))
    check_failover(document, failover, faults, clusters)
    check_notifications(document, spec, faults)
    _check_kinds(document, spec, faults)
    _check_publish(document, spec, faults)
    return Federation(
        name=document.body["metadata"]["name"],
        position=document.position(),
        namespace=spec.get("namespace", DEFAULT_FEDERATION_NAMESPACE),
        default_placement=parse_target(target, "spec.defaults.placement") if target else None,
        kubefed_labels=(spec.get("kubefed") or {}).get("labels", False),
        force_conflicts=defaults.get("forceConflicts", False),
        recreate=defaults.get("recreate", False),
        data_loss=_kinds((spec.get("recreation") or {}).get("allowDataLoss")),
        verify_share=float((spec.get("verification") or {}).get("share", 0.0)),
        prune=_prune(spec.get("prune") or {}),
        guards=_guards(document, spec.get("guards") or {}, faults),
        adoption=_adoption(spec.get("adoption") or {}),
        dependencies=spec.get("dependencies", "Warn"),
        drift=parse_drift(spec.get("drift") or {}),
        ignore=parse_ignore(document, spec.get("ignore") or (), faults),
        failover=failover,
        rollout=_rollout(spec.get("rollout")),
        dns=spec.get("dns") or {},
        notifications=tuple(spec.get("notifications") or ()),
        sensitive=parse_sensitive(spec.get("sensitive") or ()),
        source=parse_source_rules(spec),
        seats=tuple(spec.get("seats") or ()),
        maintenance=windows_of(document, faults),
        inventory=_inventory((spec.get("inventory") or {}).get("clusterProfiles")),
        decisions_in=((spec.get("publish") or {}).get("placementDecisions") or {}).get(
            "namespace", ""
        ),
        document=document,
    )


def _rollout(body: Mapping[str, Any] | None) -> RolloutRules | None:
    if body is None:
        return None
    from reconciler.federation.rollout_rules import parse_rollout

    return parse_rollout(body)


def windows_of(document: Document, faults: ProblemCollector) -> tuple[Window, ...]:
    """The maintenance windows of a Federation, Cluster or Placement; faults in them are reported.

    Start-up pays for the rules of calendars only where there are windows.
    """
    entries = (document.body.get("spec") or {}).get("maintenance")
    if not entries:
        return ()
    from reconciler.federation.maintenance import parse_windows

    return parse_windows(document, entries, faults)


def listing_federation(documents: Sequence[Document]) -> Document | None:
    """The Federation, where it has the host list clusters."""
    return next((d for d in documents if _lists_clusters(d)), None)


def _lists_clusters(document: Document) -> bool:
    if document.key.group_kind != (OWN_GROUP, "Federation"):
        return False
    return bool(((document.body.get("spec") or {}).get("inventory") or {}).get("clusterProfiles"))


def inventory_not_asked(document: Document | None) -> tuple[Notice, ...]:
    """That clusters are listed which nobody asked for; nothing where a Federation lists none."""
    if document is None:
        return ()
    position = document.position("spec", "inventory", key=True)
    name = f"Federation {document.body['metadata']['name']}"
    place = f"{position.file}:{position.line}"
    return (notice(NoticeCause.INVENTORY_NOT_ASKED, subject=name, place=place),)


def _inventory(body: Mapping[str, Any] | None) -> InventoryRules | None:
    if body is None:
        return None
    return InventoryRules(body["namespace"], parse_selector(body.get("selector")))


def _check_publish(document: Document, spec: Object, faults: ProblemCollector) -> None:
    if spec.get("publish") and not (spec.get("inventory") or {}).get("clusterProfiles"):
        faults.problem(
            document,
            ("spec", "publish"),
            "a PlacementDecision names ClusterProfiles, and the Federation has none",
            "spec.inventory.clusterProfiles beside it",
            at_key=True,
        )


def parse_target(body: Mapping[str, Any], placed_by: str) -> PlacementTarget:
    """clusters/clusterSelector/tolerations; neither of the first two means every cluster."""
    clusters = body.get("clusters")
    return PlacementTarget(
        clusters=tuple(clusters) if clusters is not None else None,
        selector=None if clusters is not None else parse_selector(body.get("clusterSelector")),
        tolerations=tuple(_toleration(t) for t in body.get("tolerations") or ()),
        placed_by=placed_by,
    )


def _toleration(body: Mapping[str, Any]) -> Toleration:
    return Toleration(
        key=body.get("key", ""),
        operator=body.get("operator", "Equal"),
        value=body.get("value", ""),
        effect=body.get("effect", ""),
        toleration_seconds=body.get("tolerationSeconds"),
    )


def _prune(body: Mapping[str, Any]) -> PruneRules:
    protect = body.get("protect") or {}
    return PruneRules(
        enabled=body.get("enabled", True),
        protected_kinds=_kinds(protect.get("kinds")),
        protected_labels=parse_selector(protect["labels"]) if protect.get("labels") else None,
        propagation=body.get("propagation", "Background"),
    )


def _check_kinds(document: Document, spec: Object, faults: ProblemCollector) -> None:
    """Names of built-in kinds in a group that has them not: such a rule would never hold."""
    protect = (spec.get("prune") or {}).get("protect") or {}
    named: list[tuple[tuple[str | int, ...], str]] = [
        *_numbered(("prune", "protect", "kinds"), protect.get("kinds")),
        *_numbered(
            ("recreation", "allowDataLoss"), (spec.get("recreation") or {}).get("allowDataLoss")
        ),
    ]
    for number, entry in enumerate(spec.get("sensitive") or ()):
        named.append((("sensitive", number, "kind"), entry["kind"]))
    for path, text in named:
        kind = GroupKind.parse(text)
        home = API_VERSIONS.get(kind.kind)
        known = BUILT_IN.get(kind.group, ())
        if kind.kind in known or (home and api_group(home) == kind.group):
            continue
        if not kind.group and home:
            right = str(GroupKind(api_group(home), kind.kind))
            message = f"the core group has no kind {kind.kind}"
            faults.problem(document, ("spec", *path), message, right, f"write {right}")
        elif not kind.group or suggestion(kind.kind, known, 0.75):
            group = kind.group or "the core group"
            message = f"{group} has no kind {kind.kind}"
            expected = "Kind of the core group, or Kind.group"
            hint = suggestion(kind.kind, known, 0.75)
            faults.problem(document, ("spec", *path), message, expected, hint)


def _numbered(
    path: tuple[str, ...], names: Sequence[str] | None
) -> list[tuple[tuple[str | int, ...], str]]:
    return [((*path, number), name) for number, name in enumerate(names or ())]


def _kinds(names: Sequence[str] | None) -> tuple[GroupKind, ...]:
    return tuple(GroupKind.parse(name) for name in names or ())


def _guards(document: Document, body: Mapping[str, Any], faults: ProblemCollector) -> GuardRules:
    share = parse_share(body["maxDeletionShare"]) if "maxDeletionShare" in body else 0.5
    if share > 1:
        faults.problem(
            document, ("spec", "guards", "maxDeletionShare"), "more than 100 %", "at most 100%"
        )
    return GuardRules(
        max_deletions=body.get("maxDeletions"),
        max_deletion_share=share,
        share_from=body.get("shareFrom", 10),
        on_invalid=body.get("onInvalid", "Stop"),
        unplaced=body.get("unplaced", "Stop"),
    )


def _adoption(body: Mapping[str, Any]) -> AdoptionRules:
    default = AdoptionRules()
    return AdoptionRules(
        policy=body.get("policy", default.policy),
        take_over=tuple(body.get("takeOver", default.take_over)),
        whole="takeOver" in body,
    )


# -- notifications ---------------------------------------------------------------------------------


_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def check_notifications(document: Document, spec: Object, faults: ProblemCollector) -> None:
    """Reports receivers without one place for their address, and such as would never get a
    notification.

    What stands there is not repeated: somebody may have put the address itself.
    """
    known: list[Object] = []
    for index, one in enumerate(spec.get("notifications") or ()):
        path = ("spec", "notifications", index)
        place = one["urlFrom"]
        if len(place) != 1:
            faults.problem(
                document,
                (*path, "urlFrom"),
                "both an environment variable and a Secret"
                if place
                else "no place where the address comes from",
                "env: NAME or secretRef: {name, key}",
            )
        elif "env" in place and not _VARIABLE.fullmatch(place["env"]):
            faults.problem(
                document,
                (*path, "urlFrom", "env"),
                "not the name of an environment variable",
                "a name such as SLACK_URL",
                "the address itself is a secret, and does not belong in Git",
            )
        if one.get("on") == []:
            faults.problem(
                document,
                (*path, "on"),
                "a receiver that is never notified",
                "an occasion, or no on",
            )
        receiver = {"type": one["type"], "urlFrom": place}
        if receiver in known:
            faults.problem(document, path, "the same receiver twice", "one entry with all of on")
        known.append(receiver)
