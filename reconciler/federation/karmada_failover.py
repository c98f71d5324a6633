"""What Karmada's policies say of failures, in the terms of ours.

``failover.application`` is ``workloadUnavailableAfter``, and a toleration of the taints that
Karmada gives to clusters that are down is ``unhealthyAfter``. What moves stays until it is ready
elsewhere, which is Karmada's ``Gracefully``.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from reconciler.api.notices import NoticeCause, notice
from reconciler.api.objects import Object, map_of, maps_of
from reconciler.federation.failover_rules import PATH
from reconciler.federation.model import FailoverRules, Federation, Workload
from reconciler.manifests.document import Document
from reconciler.manifests.problems import ProblemCollector

_DOWN_TAINTS = ("cluster.karmada.io/not-ready", "cluster.karmada.io/unreachable")
_GRACEFUL = ("Gracefully", "Graciously")
_DEFAULT_SECONDS = 300


def failover_of(
    document: Document, workload: Workload, federation: Federation, faults: ProblemCollector
) -> FailoverRules | None:
    """The rules for what a policy places; None: the Federation's."""
    base = federation.failover
    rules = base
    failover = map_of(document.body["spec"].get("failover"))
    application, cluster = failover.get("application"), failover.get("cluster")
    if (application is not None or cluster is not None) and not base.enabled:
        if not faults.possible_definitions.of_any("Federation"):
            faults.problem(
                document,
                PATH,
                "failover is not enabled in the Federation",
                "spec.failover.enabled: true there",
            )
        return None
    if application is not None:
        if workload.rules.replicas.mode == "Duplicated":
            faults.problem(
                document,
                (*PATH, "application"),
                f"{workload.key} is not divided: it cannot leave a cluster that is well",
                "replicaSchedulingType: Divided",
            )
        conditions = map_of(application.get("decisionConditions"))
        seconds = conditions.get("tolerationSeconds", _DEFAULT_SECONDS)
        rules = replace(rules, workload_unavailable_after=float(seconds))
    delays = _tolerated(document)
    if cluster is not None and "tolerationSeconds" in cluster:
        path = (*PATH, "cluster", "tolerationSeconds")
        delays.append((path, float(cluster["tolerationSeconds"])))
    rules = _with_delays(document, rules, base, delays, faults)
    return rules if rules != base else None


def check_failover_of_policy(document: Document, faults: ProblemCollector) -> None:
    """What cannot be honoured, whatever the policy places."""
    failover = map_of(document.body["spec"].get("failover"))
    for name in ("application", "cluster"):
        if failover.get(name) is not None:
            _check_purge(document, name, failover[name], faults)


def _with_delays(
    document: Document,
    rules: FailoverRules,
    base: FailoverRules,
    delays: Sequence[tuple[Sequence[str | int], float | None]],
    faults: ProblemCollector,
) -> FailoverRules:
    """``delays``: where it says after how many seconds a cluster that is down is left; None: it is
    not left at all."""
    if not base.enabled:
        return rules
    for path, seconds in delays:
        if seconds is None:
            rules = replace(rules, enabled=False)
        elif seconds < base.unhealthy_after:
            what = (
                f"{seconds:g} s is sooner than the Federation declares a cluster down "
                f"({base.unhealthy_after:g} s), which counts"
            )
            faults.warn(document, notice(NoticeCause.WITHOUT_EFFECT, what=what), path)
        else:
            rules = replace(rules, unhealthy_after=max(rules.unhealthy_after, seconds))
    return rules


def _tolerated(document: Document) -> list[tuple[Sequence[str | int], float | None]]:
    placement = map_of(document.body["spec"].get("placement"))
    found: list[tuple[Sequence[str | int], float | None]] = []
    for number, entry in enumerate(maps_of(placement.get("clusterTolerations"))):
        if _tolerates_outage(entry):
            path = ("spec", "placement", "clusterTolerations", number)
            seconds = entry.get("tolerationSeconds")
            found.append((path, None if seconds is None else max(0.0, float(seconds))))
    return found


def _tolerates_outage(toleration: Object) -> bool:
    """Whether it bears a taint of a cluster that is down; these have no value."""
    if (toleration.get("effect") or "NoExecute") != "NoExecute":
        return False
    if (toleration.get("key") or _DOWN_TAINTS[0]) not in _DOWN_TAINTS:
        return False
    return toleration.get("operator") == "Exists" or not toleration.get("value")


def _check_purge(document: Document, name: str, body: Object, faults: ProblemCollector) -> None:
    path = (*PATH, name)
    mode = body.get("purgeMode", "Gracefully")
    if mode not in _GRACEFUL:
        faults.problem(
            document,
            (*path, "purgeMode"),
            f"{mode} cannot be honoured: what moves stays until it is ready elsewhere",
            "Gracefully",
        )
    if "statePreservation" in body:
        faults.problem(
            document,
            (*path, "statePreservation"),
            "state of a workload cannot go along",
            "nothing",
        )
    if "gracePeriodSeconds" in body:
        what = "gracePeriodSeconds has no effect: what moves stays until it is ready elsewhere"
        warning = notice(NoticeCause.WITHOUT_EFFECT, what=what)
        faults.warn(document, warning, (*path, "gracePeriodSeconds"))
