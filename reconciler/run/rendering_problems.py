"""What ``validate`` looks at more closely than a run does, as the servers tell a run. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from reconciler.api.annotations import PREFIX
from reconciler.api.errors import Position, Problem
from reconciler.api.json_pointer import join_pointer
from reconciler.api.notices import Notice, NoticeCause, notice
from reconciler.api.objects import Object, key_of
from reconciler.federation.lint import VARIABLE, texts_of
from reconciler.federation.model import DesiredState, PatchOperation
from reconciler.manifests.builtin_schemas import (
    TYPES_OF,
    TypeFault,
    template_of,
    type_faults,
    unknown_fields,
)
from reconciler.manifests.custom_schemas import (
    Schemas,
    custom_faults,
    custom_problems,
    schemas_in,
    unknown_custom_fields,
)
from reconciler.manifests.document import Document
from reconciler.manifests.own_schemas import json_path, schema_name
from reconciler.manifests.secret_data import QUOTE_IT, holds_contents, kind_of
from reconciler.render.render import place_of, render
from reconciler.scheduler.model import Assignment

SUBSTITUTE = PREFIX + "substitute"


def rendering_problems(
    documents: Sequence[Document], state: DesiredState, assignments: Sequence[Assignment]
) -> list[Problem]:
    """What servers would refuse of custom resources, and of what overrides make."""
    schemas = schemas_in(documents)
    found = [p for d in documents for p in (custom_problems(d, schemas) if schemas else ())]
    return found + list(_of_overrides(state, assignments, schemas))


def _of_overrides(
    state: DesiredState, assignments: Sequence[Assignment], schemas: Schemas
) -> Iterator[Problem]:
    """In every cluster that a workload may ever go to; each fault once, for the first of them."""
    workloads = {
        w.key: w
        for w in state.workloads
        if (w.rules.substitute_variables or any(map(_patches, w.rules.overrides)))
        and not holds_contents(w.template)  # Those are checked whenever they are rendered.
    }
    everywhere = [
        replace(a, replicas={**dict.fromkeys(a.spare), **a.replicas}, spare=())
        for a in assignments
        if a.workload in workloads
    ]
    clusters = {cluster.name: cluster for cluster in state.clusters}
    reported = set()
    for name, objects in render(state, everywhere).objects.items():
        for desired in objects:
            workload = workloads[desired.key]
            known = {(f.steps, f.twice) for f in _faults(workload.template, schemas)}
            for fault in _faults(desired.body, schemas):
                pointer = join_pointer(fault.steps)
                place = place_of(workload, clusters[name], pointer)
                if (fault.steps, fault.twice) in known or (place, pointer) in reported:
                    continue
                reported.add((place, pointer))
                wrong = fault.twice or f"the value is {kind_of(fault.value)}"
                hint = QUOTE_IT if fault.expected == "text" and not fault.twice else ""
                message = f"{pointer} of {desired.key} in {name}: {wrong}"
                yield Problem(place, "", message, fault.expected, hint)


def _patches(override: object) -> bool:
    return any(isinstance(o, PatchOperation) for o in getattr(override, "operations", ()))


def _faults(body: Object, schemas: Schemas) -> list[TypeFault]:
    schema = schemas.get((str(body.get("apiVersion")), str(body.get("kind"))))
    return [*type_faults(body), *(custom_faults(body, schema) if schema else ())]


def rendering_notices(documents: Sequence[Document]) -> list[Notice]:
    """Fields that nobody knows, and variables that nobody fills in."""
    schemas = schemas_in(documents)
    found = []
    for document in documents:
        body, at = template_of(document)
        if schema_name(document.body) is not None and not at:
            continue
        for steps, known in (*unknown_fields(body), *unknown_custom_fields(body, schemas)):
            close = difflib.get_close_matches(str(steps[-1]), known, 1)
            meant = f"; did you mean {close[0]}?" if close else ""
            whose = (
                "its CRD"
                if body.get("apiVersion") in {v for v, _ in schemas}
                else f"Kubernetes {TYPES_OF}"
            )
            found.append(
                _at(
                    document.position(*at, *steps, key=True),
                    notice(
                        NoticeCause.UNKNOWN_FIELD,
                        subject=key_of(document.body),
                        path=json_path((*at, *steps))[2:],
                        whose=whose,
                        meant=meant,
                    ),
                )
            )
        found += _of_variables(document)
    return found


def _at(position: Position, found: Notice) -> Notice:
    return replace(found, place=f"{position.file}:{position.line}")


def _of_variables(document: Document) -> Iterator[Notice]:
    annotations = document.body["metadata"].get("annotations") or {}
    asked = annotations.get(SUBSTITUTE)
    used = [path for path, text in texts_of(document.body) if VARIABLE.search(text)]
    if asked is None and used:
        cause, key = NoticeCause.VARIABLE_NOT_FILLED_IN, key_of(document.body)
        odd = notice(cause, subject=key, annotation=SUBSTITUTE)
        yield _at(document.position(*used[0]), odd)
    if asked == "true" and not used:
        what = f"{SUBSTITUTE} has no effect: there is no variable"
        odd = notice(NoticeCause.WITHOUT_EFFECT, subject=key_of(document.body), what=what)
        yield _at(document.position("metadata", "annotations", SUBSTITUTE), odd)
