"""Autoscalers of the repository beside what they scale: what is odd, with file and line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reconciler.api.kinds import ScaleTarget, has_bounds, scaled_as
from reconciler.api.notices import NoticeCause, notice
from reconciler.api.objects import ObjectKey
from reconciler.federation.lint import overrides_at
from reconciler.federation.model import Workload
from reconciler.federation.placements import Placement
from reconciler.manifests.document import Document
from reconciler.manifests.problems import ProblemCollector

_BOUNDS = ("/spec/minReplicas", "/spec/maxReplicas")


def check_autoscalers(
    workloads: Sequence[Workload],
    plain: Sequence[Document],
    placements: Sequence[Placement],
    faults: ProblemCollector,
) -> None:
    """Warn of replicas that are divided where an autoscaler of the repository sets them, of one
    that scales nothing that the repository has, and of bounds that are to be divided and are not.
    """
    scalers: dict[ScaleTarget, Workload] = {
        target: w for w in workloads if (target := w.manifest.scale_target)
    }
    places: Mapping[ObjectKey, Document] = {d.key: d for d in plain if scalers}
    for workload in workloads if scalers else ():
        scaler = scalers.get(scaled_as(workload.key))
        if scaler is None:
            continue
        if workload.rules.replicas.autoscalers == "Divided" and has_bounds(scaler.key):
            _check_overrides(scaler, faults)
        elif workload.rules.replicas.mode != "Duplicated" and workload.key in places:
            faults.warn(
                places[workload.key],
                notice(
                    NoticeCause.DIVIDED_AND_SCALED,
                    subject=workload.key,
                    scaler=f"{scaler.key.kind} {scaler.key.name}",
                ),
            )
    for target in scalers.keys() - {scaled_as(w.key) for w in workloads}:
        if scalers[target].key in places:
            namespace, kind, name = target
            faults.warn(
                places[scalers[target].key],
                notice(
                    NoticeCause.SCALES_NOTHING,
                    subject=scalers[target].key,
                    target=f"{kind} {namespace}/{name}",
                ),
                ("spec", "scaleTargetRef"),
            )
    for placement in placements:
        if placement.replicas.autoscalers == "Divided":
            _check_rule(placement, workloads, scalers, faults)


def _check_overrides(scaler: Workload, faults: ProblemCollector) -> None:
    for pointer in _BOUNDS:
        for operation in overrides_at(pointer, scaler.rules.overrides):
            place = operation.position or scaler.position
            faults.notices.append(
                notice(
                    NoticeCause.WITHOUT_EFFECT,
                    subject=scaler.key,
                    what=f"its bounds are divided: this override of {pointer} has no effect",
                    place=f"{place.file}:{place.line}",
                )
            )


def _check_rule(
    placement: Placement,
    workloads: Sequence[Workload],
    scalers: Mapping[ScaleTarget, Workload],
    faults: ProblemCollector,
) -> None:
    """Whether ``autoscalers: Divided`` does anything."""
    ruled = [w for w in workloads if w.rules.replicas is placement.replicas]
    found = [s.key for w in ruled if (s := scalers.get(scaled_as(w.key)))]
    whole = [f"{key.kind} {key.namespaced_name}" for key in found if not has_bounds(key)]
    what = ""
    if whole:
        what = f"only a HorizontalPodAutoscaler is divided, not {', '.join(sorted(whole))}"
    elif ruled and not found:
        what = "no HorizontalPodAutoscaler of Git scales what it selects, so none is divided"
    if what:
        found_notice = notice(
            NoticeCause.WITHOUT_EFFECT, subject=f"Placement {placement.name}", what=what
        )
        faults.warn(placement.document, found_notice, ("spec", "replicas", "autoscalers"))
