"""Which values of an object no output may show: every Secret's, and what a repository says besides.

``Hidden`` are JSON pointers; ``""`` hides the whole object but its identity.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from reconciler.api.objects import GroupKind, Object, map_of
from reconciler.federation.model import Workload, WorkloadRules
from reconciler.federation.overrides import pointers_of
from reconciler.manifests.document import Document

Hidden = tuple[str, ...]
SENSITIVE = "federation.reconciler.dev/sensitive"
"""On an object: all of it is hidden. Kept in the member, for when its manifest is gone."""
WHOLE: Hidden = ("",)
SECRET = GroupKind("", "Secret")
_OF_SECRETS: Hidden = ("/data", "/stringData")


def parse_sensitive(entries: Iterable[Mapping[str, Any]]) -> dict[GroupKind, Hidden]:
    """``Federation.spec.sensitive``."""
    found: dict[GroupKind, Hidden] = {}
    for entry in entries:
        kind = GroupKind.parse(entry["kind"])
        found[kind] = (*found.get(kind, ()), *(entry.get("fields") or WHOLE))
    return found


def hidden_in(kind: GroupKind, rules: Mapping[GroupKind, Hidden], *bodies: Object | None) -> Hidden:
    """What must not be shown of an object of that kind; the mark in any of ``bodies`` counts."""
    found = set(rules.get(kind, ()))
    if kind == SECRET:
        found.update(_OF_SECRETS)
    if any(is_marked_sensitive(body) for body in bodies):
        found.update(WHOLE)
    return tuple(sorted(found))


def is_marked_sensitive(body: Object | None) -> bool:
    """Whether an object says of itself that it is sensitive."""
    metadata = map_of((body or {}).get("metadata"))
    return map_of(metadata.get("annotations")).get(SENSITIVE) == "true"


def with_hidden(
    workloads: Sequence[Workload],
    documents: Sequence[Document],
    rules: Mapping[GroupKind, Hidden],
) -> list[Workload]:
    """The workloads, knowing what is to be hidden of them: of a decrypted file all that it says,
    whether it is a manifest or an override."""
    decrypted = {document.file for document in documents if document.source.decrypted}
    sensitive = []
    known: dict[tuple[int, Hidden], WorkloadRules] = {}
    for workload in workloads:
        marked = workload.manifest.annotations.get(SENSITIVE) == "true"
        hidden = {*hidden_in(workload.key.group_kind, rules), *(WHOLE if marked else ())}
        if workload.position.file in decrypted:
            hidden.update(WHOLE)
        hidden.update(
            pointer
            for override in workload.rules.overrides
            for operation in override.operations
            if operation.position and operation.position.file in decrypted
            for pointer in pointers_of(operation)
        )
        if hidden:
            # Most of what is hidden has the same rules.
            made_of = id(workload.rules), tuple(sorted(hidden))
            if made_of not in known:
                known[made_of] = workload.with_rules(hidden=made_of[1]).rules
            workload = replace(workload, rules=known[made_of])
        sensitive.append(workload)
    return sensitive
