"""One step of joining or leaving, as a value: shown by a dry run, then carried out."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Literal

from msgspec import field

from reconciler.cluster.resources import Resource
from reconciler.errors import UsageError
from reconciler.objects import Object, Unshown, key_of

MANAGED_BY = "app.kubernetes.io/managed-by"
TOOL = "federation-reconciler"
CLUSTER_LABEL = "federation.reconciler.dev/cluster"
FEDERATION_LABEL = "federation.reconciler.dev/federation"
MADE_BY = "federation.reconciler.dev/made-by"
"""Annotation of a namespace that join itself made, and that unjoin may therefore take away."""

MAX_LABEL = 63

Place = Literal["member", "host", "repository"]


class Effect(StrEnum):
    """What a step does to what is there."""

    CREATE = "create"
    CHANGE = "change"
    DELETE = "delete"
    RELEASE = "release"
    KEEP = "keep"
    UNCHANGED = "unchanged"


class Verb(StrEnum):
    """How a step is carried out."""

    APPLY = "apply"
    TOKEN = "token"  # noqa: S105  (a word, not a credential)
    AWAIT_TOKEN = "await token"  # noqa: S105
    CREDENTIALS = "credentials"
    DELETE = "delete"
    DELETE_NAMESPACE = "delete namespace"
    EMPTY = "empty"
    WRITE_FILE = "write file"
    REMOVE_FILE = "remove file"
    CHECK = "check"
    NOTHING = "nothing"


class Step(Unshown, frozen=True):
    """``object`` is the body to write (or the object to delete); Secrets' values are not in it.

    ``details`` are lines for people: the fields that change, why something is kept.
    """

    description: str
    where: Place
    verb: Verb
    effect: Effect
    object: Object = field(default_factory=dict)
    resource: Resource | None = None
    path: str = ""
    details: tuple[str, ...] = ()

    @property
    def writes(self) -> bool:
        return self.effect not in (Effect.UNCHANGED, Effect.KEEP)


def marks(cluster: str, federation: str) -> dict[str, str]:
    """The labels by which everything that join makes is found again.

    Raises UsageError for a name that is too long for a label.
    """
    if len(cluster) > MAX_LABEL:
        raise UsageError(f"the cluster's name has {len(cluster)} characters; {MAX_LABEL} at most")
    return {MANAGED_BY: TOOL, CLUSTER_LABEL: cluster, FEDERATION_LABEL: federation}


def selector(cluster: str, federation: str) -> str:
    """The label selector for what ``marks`` marks."""
    return ",".join(f"{name}={value}" for name, value in marks(cluster, federation).items())


def is_marked(obj: Object, labels: Mapping[str, str]) -> bool:
    """Whether the object carries all of the labels."""
    given: Any = obj["metadata"].get("labels") or {}
    return all(given.get(name) == value for name, value in labels.items())


def title(obj: Object) -> str:
    """``ServiceAccount federation-system/aws-eu-host``."""
    key = key_of(obj)
    return f"{key.kind} {key.namespaced_name}"
