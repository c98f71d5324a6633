"""Assignments -> the objects that each member should have."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import replace

from reconciler.api.annotations import PREFIX, STEERING
from reconciler.api.errors import Position, Problem
from reconciler.api.json_pointer import join_pointer, split_pointer
from reconciler.api.kinds import REPLICAS, scaled_as
from reconciler.api.manifest import Manifest
from reconciler.api.objects import Object, ObjectKey, RedactedRepr, map_of
from reconciler.federation.lint import VARIABLE
from reconciler.federation.model import (
    Additions,
    Cluster,
    ContainerOperation,
    DesiredState,
    FieldOperation,
    Operation,
    Override,
    PatchOperation,
    Workload,
    WorkloadRules,
)
from reconciler.federation.selectors import affine, matches
from reconciler.manifests.secret_data import content_faults
from reconciler.render.hooks import hook_weight
from reconciler.render.json_patch import PatchError, with_changes
from reconciler.scheduler.commits import version_in
from reconciler.scheduler.model import Assignment, Bounds
from reconciler.scheduler.schedule import duplicated_count

_STEERING = tuple(PREFIX + name for name in STEERING)


class Rendering(Struct, frozen=True):
    """Objects per cluster, sorted by key; clusters with none have an entry too."""

    objects: Mapping[str, tuple[DesiredObject, ...]]
    problems: tuple[Problem, ...]


def render(state: DesiredState, assignments: Sequence[Assignment]) -> Rendering:
    """Make every object for every cluster it goes to. Inputs are never changed; objects, and the
    tuples of them, are shared between clusters where nothing differs.

    Overrides are tried for every cluster that a workload might ever go to, too: an outage is no
    time to find that one does not fit.
    """
    clusters = {cluster.name: cluster for cluster in state.clusters}
    workloads = state.by_key
    objects: dict[str, list[DesiredObject]] = {name: [] for name in clusters}
    problems: list[Problem] = []
    rules = _Rules()
    for assignment in assignments:
        newest = workloads[assignment.workload]
        bases: dict[int, Manifest] = {}
        alike: dict[tuple[object, ...], DesiredObject] = {}
        for name, count in assignment.replicas.items():
            workload = newest
            if state.commits is not None:
                workload = version_in(state, newest, assignment, name)
            form, cluster = workload.form_in(name), clusters[name]
            overrides = workload.rules.overrides
            operations = tuple(_operations(overrides, cluster)) if overrides else ()
            bounds = assignment.bounds.get(name)
            # All of these outlive this loop, so that no other gets their number.
            looks = (id(workload), id(form), count, *map(id, operations), bounds)
            desired = alike.get(looks)
            if desired is None:
                base = bases.get(id(form))
                if base is None:
                    base = bases[id(form)] = _without_steering(form)
                one = workload if form is workload.manifest else replace(workload, manifest=form)
                made = base
                if (
                    count is not None
                    or bounds is not None
                    or operations
                    or one.rules.substitute_variables
                ):
                    body = base.object
                    changed = _render_one(one, body, cluster, operations, count, problems)
                    if bounds is not None:
                        changed = _with_bounds(changed, bounds)
                    if changed is not body:
                        made = Manifest(changed)
                terms = rules.of(one, made, bounds_divided=bounds is not None)
                desired = DesiredObject(one.key, made, one.position, terms)
                if not workload.rules.substitute_variables:
                    alike[looks] = desired
            if desired.manifest is not bases[id(form)] or workload.rules.kubefed:
                problems += _content_problems(workload, cluster, desired.body)
            objects[name].append(desired)
        if newest.rules.overrides:
            for name in assignment.spare:
                count = duplicated_count(newest, name)
                body = _without_steering(newest.form_in(name)).object
                operations = tuple(_operations(newest.rules.overrides, clusters[name]))
                _render_one(newest, body, clusters[name], operations, count, problems)
    scaled = any(workload.manifest.scale_target for workload in state.workloads)
    return Rendering(_arranged(objects, scaled=scaled), tuple(sorted(set(problems))))


def _arranged(
    objects: Mapping[str, Sequence[DesiredObject]], *, scaled: bool
) -> dict[str, tuple[DesiredObject, ...]]:
    """Sorted by key, once for all clusters that have the very same. ``scaled``: autoscalers may be
    among them."""
    known: dict[tuple[int, ...], tuple[DesiredObject, ...]] = {}
    found = {}
    for name, some in objects.items():
        same = tuple(map(id, some)) if len(objects) > 1 else ()
        if same not in known:
            settled = _left_to_autoscalers(some) if scaled else some
            known[same] = tuple(sorted(settled, key=lambda d: d.key))
        found[name] = known[same]
    return found


class _Rules:
    """The rules of objects, each made once for all that have the same."""

    def __init__(self) -> None:
        # With the rules that they were made of, or others could get their number.
        self._plain: dict[int, tuple[WorkloadRules, ObjectRules]] = {}

    def of(self, workload: Workload, manifest: Manifest, *, bounds_divided: bool) -> ObjectRules:
        """With what the object's own annotations say, which an override may have set."""
        rules = workload.rules
        if manifest.annotations or bounds_divided or rules.retain or rules.hook:
            return _object_rules(workload, manifest, bounds_divided=bounds_divided)
        # Nothing of it is the object's own.
        known = self._plain.get(id(rules))
        if known is None:
            made = _object_rules(workload, manifest, bounds_divided=False)
            known = self._plain[id(rules)] = rules, made
        return known[1]


def _object_rules(workload: Workload, manifest: Manifest, *, bounds_divided: bool) -> ObjectRules:
    says, rules = manifest.annotations, workload.rules

    def asked(name: str) -> bool:
        return says.get(PREFIX + name) == "true"

    return ObjectRules(
        retain=(
            *(_retained(workload, manifest.object) if rules.retain else ()),
            *rules.random,
        ),
        force_conflicts=rules.force_conflicts or asked("force-conflicts"),
        recreate=rules.recreate or asked("recreate"),
        protect=rules.protect or asked("protect"),
        orphan=rules.orphan or asked("orphan"),
        prune_propagation=says.get(PREFIX + "prune-propagation") or rules.prune_propagation,
        hidden=rules.hidden,
        additions=says.get(PREFIX + "additions"),
        placed_additions=rules.additions,
        ignore=rules.ignore,
        abort_on_conflict=rules.abort_on_conflict,
        random=rules.random,
        chart=rules.chart,
        hook=hook_weight(manifest.object) if rules.hook else None,
        remove_record=rules.remove_record,
        bounds_divided=bounds_divided,
    )


def _retained(workload: Workload, body: Object) -> tuple[str, ...]:
    """The retained fields that neither an override nor a share of the replicas sets.

    As in KubeFed: template, then what the cluster keeps, then overrides.
    """
    return tuple(
        pointer
        for pointer in workload.rules.retain
        if _values(body, split_pointer(pointer))
        == _values(workload.template, split_pointer(pointer))
        and not (pointer == REPLICAS and workload.rules.replicas.mode != "Duplicated")
    )


def _values(value: Any, steps: Sequence[str]) -> list[Any]:
    """What is at a path, ``*`` being every item of a list."""
    if not steps:
        return [value]
    if isinstance(value, list) and steps[0] == "*":
        return [found for item in value for found in _values(item, steps[1:])]
    if isinstance(value, dict) and steps[0] in value:
        return _values(value[steps[0]], steps[1:])
    return []


def _left_to_autoscalers(objects: Sequence[DesiredObject]) -> list[DesiredObject]:
    """The objects of one cluster; replicas that one of them scales there are retained."""
    scalers = {target: d.key for d in objects if (target := d.manifest.scale_target)}
    return [
        replace(
            desired,
            rules=replace(
                desired.rules,
                retain=tuple(dict.fromkeys((*desired.rules.retain, REPLICAS))),
                autoscaler=f"{scaler.kind} {scaler.name}",
            ),
        )
        if (scaler := scalers.get(scaled_as(desired.key)))
        else desired
        for desired in objects
    ]


def _without_steering(manifest: Manifest) -> Manifest:
    annotations = manifest.annotations
    if not annotations or not any(name in annotations for name in _STEERING):
        return manifest
    template = manifest.object
    kept = {k: v for k, v in annotations.items() if k not in _STEERING}
    metadata = {k: v for k, v in template["metadata"].items() if k != "annotations"}
    if kept:
        metadata["annotations"] = kept
    return Manifest({**template, "metadata": metadata})


def _render_one(
    workload: Workload,
    base: Object,
    cluster: Cluster,
    operations: Iterable[Operation],
    count: int | None,
    problems: list[Problem],
) -> Object:
    body = base
    if workload.rules.substitute_variables:
        body = _substituted(body, cluster)
    # A count that was shared out is the sum's part and stands; any other may be overridden.
    shared_out = workload.rules.replicas.mode != "Duplicated"
    if count is not None and not shared_out:
        body = _with_replicas(body, count)
    for operation in operations:
        try:
            body = _changed(body, operation)
        except PatchError as fault:
            problems.append(_problem(workload, operation, fault))
    return _with_replicas(body, count) if count is not None and shared_out else body


def _changed(body: Object, operation: Operation) -> Object:
    """A copy with one operation done. Raises PatchError."""
    if isinstance(operation, PatchOperation | ContainerOperation):
        return with_changes(body, operation)
    from reconciler.render.karmada_overriders import with_overrider

    return with_overrider(body, operation)


def _with_replicas(body: Object, count: int) -> Object:
    return {**body, "spec": {**(body.get("spec") or {}), "replicas": count}}


def _with_bounds(body: Object, bounds: Bounds) -> Object:
    low, high = bounds
    spec = {**map_of(body.get("spec")), "maxReplicas": high}
    return {**body, "spec": spec if low is None else {**spec, "minReplicas": low}}


def _operations(overrides: Iterable[Override], cluster: Cluster) -> Iterable[Operation]:
    for override in overrides:
        if override.affinity is not None:
            applies = affine(override.affinity, cluster)
        elif override.clusters is not None:
            applies = cluster.name in override.clusters
        else:
            applies = override.selector is None or matches(override.selector, cluster.all_labels)
        if applies:
            yield from override.operations


def _problem(workload: Workload, operation: Operation, fault: PatchError) -> Problem:
    position: Position = operation.position or workload.position
    return Problem(position, "", f"{workload.key}: {fault}", fault.expected, fault.hint)


def _content_problems(workload: Workload, cluster: Cluster, body: Object) -> Iterable[Problem]:
    """What overrides and variables made of a Secret or ConfigMap that no server would take."""
    for fault in content_faults(body):
        pointer = join_pointer(fault.steps)
        yield Problem(
            place_of(workload, cluster, pointer),
            "",
            f"{pointer} of {workload.key} in {cluster.name}: {fault.message}",
            fault.expected,
            fault.hint,
        )


def place_of(workload: Workload, cluster: Cluster, pointer: str) -> Position:
    """Where an object's value in that cluster comes from: the last override of it, or its
    manifest."""
    places = [
        operation.position
        for operation in _operations(workload.rules.overrides, cluster)
        if isinstance(operation, PatchOperation | FieldOperation)
        and operation.position
        and f"{pointer}/".startswith(f"{operation.path.removesuffix('/-')}/")
    ]
    return (places or [workload.position])[-1]


def _substituted(value: Any, cluster: Cluster) -> Any:
    if isinstance(value, dict):
        return {k: _substituted(v, cluster) for k, v in value.items()}
    if isinstance(value, list):
        return [_substituted(item, cluster) for item in value]
    if isinstance(value, str) and "${cluster." in value:
        return VARIABLE.sub(lambda match: _variable(match, cluster), value)
    return value


def _variable(match: re.Match[str], cluster: Cluster) -> str:
    """The value of a variable; one that means nothing stays as it is written."""
    name, _, label = match[1].partition(".")
    if name == "labels" and label:
        return cluster.all_labels.get(label, match[0])
    if name in ("name", "provider", "region", "zone") and not label:
        return str(getattr(cluster, name))
    return match[0]


# -- the rendered object ---------------------------------------------------------------------------


class ObjectRules(RedactedRepr, frozen=True):
    """How an object is to be applied and pruned: one value for all that share it.

    ``retain`` are JSON pointers of fields sent at creation only; afterwards the live value stands.
    ``autoscaler`` is what sets spec.replicas there, as the repository itself says: ``kind name``.
    ``hidden`` are those of fields whose values no output may show, ``ignore`` of what is left to
    others once it is created. ``additions`` is what becomes of people's, by the object's own
    annotation, and ``placed_additions`` by its Placement; None: neither says.
    ``abort_on_conflict``: an object that is there already is not adopted, unless Karmada made it.
    ``random`` are those of ``retain`` that a chart makes up anew each time; ``chart`` is the
    release that the object is of, ``hook`` helm's weight where the others of it come after it.
    ``remove_record``: what an earlier helm recorded of it goes.
    ``bounds_divided``: its minReplicas and maxReplicas are this cluster's part of the manifest's.
    """

    retain: tuple[str, ...] = ()
    autoscaler: str = ""
    force_conflicts: bool = False
    recreate: bool = False
    protect: bool = False
    orphan: bool = False
    prune_propagation: Literal["Foreground", "Background", "Orphan"] | None = None
    hidden: tuple[str, ...] = ()
    additions: Additions | None = None
    placed_additions: Additions | None = None
    ignore: tuple[str, ...] = ()
    abort_on_conflict: bool = False
    random: tuple[str, ...] = ()
    chart: str = ""
    hook: int | None = None
    remove_record: bool = False
    bounds_divided: bool = False


class DesiredObject(RedactedRepr, frozen=True, gc=False):
    """The template with a cluster's overrides and replicas; the inventory's labels come later."""

    key: ObjectKey
    manifest: Manifest
    position: Position
    rules: ObjectRules = ObjectRules()

    @property
    def body(self) -> Object:
        """All of it, parsed. To ask for what ``manifest`` knows is cheaper."""
        return self.manifest.object
