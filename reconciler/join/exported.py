"""What an import makes: the files of a repository, of objects that were exported or listed."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct, field

from reconciler.api.errors import BadInput, Position, Problem
from reconciler.api.files import SourceFile
from reconciler.api.objects import Object, ObjectKey

OWN = "federation.reconciler.dev/v1alpha1"
NAME_LABEL = "kubernetes.io/metadata.name"
_UNSAFE = re.compile(r"[^a-z0-9._-]+")


class ImportRequest(Struct, frozen=True):
    """``federation`` is the name of the new Federation; ``native``: KubeFedClusters become
    Clusters, reached by the kubeconfig context of their name. ``seats`` will carry the reconciler:
    each of them has a credential of its own for every Cluster, which joining makes."""

    federation: str = "federation"
    with_secrets: bool = False
    native: bool = False
    seats: tuple[str, ...] = ()


class Export(Struct, frozen=True):
    """``files``: path -> YAML. ``left_out`` says what is not among them, and why; ``converted``
    what is of another API version than it was."""

    files: Mapping[str, str]
    left_out: tuple[str, ...] = ()
    converted: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)


def read_exports(files: Iterable[SourceFile]) -> list[Object]:
    """The objects in exported files, Lists unfolded. Raises BadInput for what is none.

    Not checked against schemas: an export holds kinds that nobody writes.
    """
    from yaml import YAMLError

    from reconciler.manifests.load import decoded_text, syntax_problem
    from reconciler.manifests.yaml_nodes import Builder, compose, find_node

    objects: list[Object] = []
    problems: list[Problem] = []
    for file in files:
        text = decoded_text(file)
        if isinstance(text, Problem):
            problems.append(text)
            continue
        builder = Builder(file.path)
        try:
            for node in compose(text):
                for steps, obj in _unfolded(builder.build(node)):
                    if _is_object(obj):
                        objects.append(obj)
                    elif obj is not None:
                        mark = find_node(node, steps)[0].start_mark
                        at = Position(file.path, mark.line + 1, mark.column + 1)
                        what = "a map with apiVersion, kind and metadata.name"
                        problems.append(Problem(at, "", "this is no Kubernetes object", what))
        except YAMLError as error:
            problems.append(syntax_problem(file, text, error))
        problems += builder.problems
    if problems:
        raise BadInput(problems)
    return objects


def _unfolded(
    value: Any, steps: tuple[str | int, ...] = ()
) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """What is in Lists, each with the way to it."""
    items = value.get("items") if isinstance(value, dict) else None
    if isinstance(items, list):
        kind = str(value.get("kind") or "").removesuffix("List")
        for number, item in enumerate(items):
            if kind and isinstance(item, dict):
                # Servers say it once, in the list: a KubeFedClusterList.
                item.setdefault("kind", kind)
                item.setdefault("apiVersion", value.get("apiVersion"))
            yield from _unfolded(item, (*steps, "items", number))
    else:
        yield steps, value


def _is_object(value: Any) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("metadata"), dict):
        return False
    texts = (value.get("apiVersion"), value.get("kind"), value["metadata"].get("name"))
    return all(isinstance(text, str) and text for text in texts)


def in_order(body: Object, first: Sequence[str]) -> Object:
    """The object with these fields first."""
    return {name: body[name] for name in dict.fromkeys((*first, *body)) if name in body}


def path_of(key: ObjectKey, taken: Collection[str]) -> str:
    """``clusters/aws-eu.yaml``, ``shop/federateddeployment-web.yaml``."""
    name = _UNSAFE.sub("-", key.name.lower())
    if key.kind in ("KubeFedCluster", "Cluster"):
        path = f"clusters/{name}"
    elif key.kind == "FederatedTypeConfig":
        path = f"types/{name}"
    elif key.kind in ("FederatedNamespace", "Namespace"):
        path = f"{name}/{key.kind.lower()}"
    else:
        path = f"{key.namespace or 'cluster-wide'}/{key.kind.lower()}-{name}"
    number = 1
    candidate = f"{path}.yaml"
    while candidate in taken:
        number += 1
        candidate = f"{path}-{number}.yaml"
    return candidate
