"""The ``Cluster`` manifest: written for a new member, compared with what is there for an old one.

A file that somebody may have edited is never overwritten unasked.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from reconciler.api.objects import Object
from reconciler.join.exported import OWN
from reconciler.join.steps import Effect, Step, Verb
from reconciler.join.topology import Topology
from reconciler.manifests.document import Document
from reconciler.manifests.yaml_text import as_yaml

FOLDER = "clusters"
_SCHEMA = "cluster.json"


class ManifestValues(Struct, frozen=True):
    """What join knows of a cluster. ``access`` is ``spec.access`` as it is to be; ``witness``: the
    cluster votes as a seat, and runs nothing."""

    name: str
    labels: Mapping[str, str]
    place_of_cluster: Topology
    access: Object
    witness: bool = False


def manifest_of(values: ManifestValues, existing: Object | None = None) -> Object:
    """The manifest; of an existing one everything stays but the access, new labels, and a
    provider, region or zone that was given or is missing."""
    metadata: Object = {**((existing or {}).get("metadata") or {}), "name": values.name}
    labels = {**(metadata.get("labels") or {}), **values.labels}
    if labels:
        metadata["labels"] = labels
    before: Object = dict((existing or {}).get("spec") or {})
    places = values.place_of_cluster
    found = {"provider": places.provider, "region": places.region, "zone": places.zone}
    spec = {name: before.pop(name, "") or value for name, value in found.items()}
    before.pop("access", None)
    if values.witness:
        before["role"] = "Witness"
    return {
        "apiVersion": OWN,
        "kind": "Cluster",
        "metadata": metadata,
        "spec": {**{k: v for k, v in spec.items() if v}, **before, "access": values.access},
    }


def manifest_text(manifest: Object, schema: str) -> str:
    """YAML as in the sample repository, with the line by which editors find the schema."""
    return f"# yaml-language-server: $schema={schema}\n{as_yaml([manifest])}"


def schema_reference(folder: Path, path: str) -> str:
    """The schema's path as seen from ``path`` in ``folder``: the repository's own, if it has one.

    ``reconcile schema`` writes ``.schemas`` by default; that is what a new repository will have.
    """
    up = "../" * path.count("/")
    above = ""
    for place in (folder, *folder.parents):
        for name in ("schemas", ".schemas"):
            if (place / name / _SCHEMA).is_file():
                return f"{up}{above}{name}/{_SCHEMA}"
        if (place / ".git").exists():
            break
        above += "../"
    return f"{up}.schemas/{_SCHEMA}"


def differences(before: str, after: str, name: str) -> tuple[str, ...]:
    """A unified diff of two texts, without its heading's times."""
    lines = difflib.unified_diff(
        before.splitlines(), after.splitlines(), name, name, lineterm="", n=2
    )
    return tuple(lines)


def manifest_step(
    values: ManifestValues, existing: Document | None, folder: Path | None, *, overwrite: bool
) -> tuple[Step, str]:
    """What becomes of the manifest, and its text. ``folder`` None: it cannot be written."""
    foreign = existing is not None and existing.body["apiVersion"] != OWN
    before = existing.body if existing and not foreign else None
    wanted = manifest_of(values, before)
    path = existing.file if existing else f"{FOLDER}/{values.name}.yaml"
    schema = schema_reference(folder or Path(), path)
    text = manifest_text(wanted, schema)
    step = Step("", "repository", Verb.WRITE_FILE, Effect.CREATE, wanted, path=path)
    kept = replace(step, verb=Verb.NOTHING, effect=Effect.KEEP)
    if existing is None:
        note = "the repository is not on this disk: commit the manifest below yourself"
        return (replace(kept, details=(note,)) if folder is None else step), text
    if before == wanted:
        return replace(kept, effect=Effect.UNCHANGED), text
    diff = differences(manifest_text(existing.body, schema), text, path)
    if overwrite and not foreign and is_alone(existing, folder):
        return replace(step, effect=Effect.CHANGE, details=diff), text
    why = "edit it, or write it again with --overwrite (its comments would go)"
    if foreign:
        why = f"it is a {existing.body['kind']} of {existing.body['apiVersion']}"
    elif overwrite:
        why = "it shares its file with other documents; edit it by hand"
    note = f"the manifest at {existing.position()} is left as it is: {why}"
    return replace(kept, details=(note, *diff)), text


def is_alone(document: Document, folder: Path | None) -> bool:
    """Whether the document is all that a file on disk holds (a kustomization may have made it)."""
    import yaml

    file = folder / document.file if folder else None
    content = document.source.content
    if document.prefix or file is None or not file.is_file() or file.read_bytes() != content:
        return False
    nodes = yaml.compose_all(content, yaml.CSafeLoader)
    return sum(node is not None for node in nodes) == 1
