"""Refusals that joining meets, with the way out."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Literal

from msgspec import field

from reconciler.api.errors import ClusterError, Conflict, Forbidden, Invalid, UsageError
from reconciler.api.objects import Object, RedactedRepr, key_of
from reconciler.cluster.discovery import RESTMapping

_ESCALATION = "attempting to grant RBAC permissions not currently held"


def explained(error: ClusterError, obj: Object) -> ClusterError:
    """The same error, naming the object and what to do next."""
    what = title(obj)
    if isinstance(error, Forbidden) and _ESCALATION in str(error):
        missing = str(error).partition(_ESCALATION)[2].strip(": \n")
        return ClusterError(
            error.cluster,
            f"{what}: you can only grant what you hold yourself, and you lack: {missing}",
            hint="join with a context that is cluster-admin in the member (on GKE: kubectl create "
            "clusterrolebinding me --clusterrole cluster-admin --user YOUR-ACCOUNT), or let "
            "somebody who is run this join",
        )
    if isinstance(error, Forbidden):
        return ClusterError(
            error.cluster,
            f"{what}: {error}",
            hint="join with a context of an administrator; `reconcile join --dry-run -o yaml` "
            "prints the objects for somebody who is one",
        )
    if isinstance(error, Conflict):
        return ClusterError(
            error.cluster,
            f"{what}: {error}",
            hint="somebody else changed it; --force-conflicts takes it back",
        )
    if isinstance(error, Invalid) and "cannot change roleRef" in str(error):
        return ClusterError(
            error.cluster,
            f"{what} binds another role, and that cannot be changed",
            hint=f"delete it: kubectl delete {obj['kind'].lower()} {obj['metadata']['name']}",
        )
    return error


# -- One step of joining or leaving, as a value: shown by a dry run, then carried out --------------


MANAGED_BY = "app.kubernetes.io/managed-by"
TOOL = "federation-reconciler"
CLUSTER_LABEL = "federation.reconciler.dev/cluster"
FEDERATION_LABEL = "federation.reconciler.dev/federation"
SEAT_LABEL = "federation.reconciler.dev/seat"
"""Of several hosts, the one that an account, its rights and its credential are for."""
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


class Step(RedactedRepr, frozen=True):
    """``object`` is the body to write (or the object to delete); Secrets' values are not in it.

    ``details`` are lines for people: the fields that change, why something is kept. ``seat``: of
    several hosts, the one that the step is for; empty: for all of them, or there is one.
    """

    description: str
    where: Place
    verb: Verb
    effect: Effect
    object: Object = field(default_factory=dict)
    resource: RESTMapping | None = None
    path: str = ""
    details: tuple[str, ...] = ()
    seat: str = ""

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


def is_made_by_join(obj: Object, labels: Mapping[str, str]) -> bool:
    """Whether the object carries all of the labels."""
    given: Any = obj["metadata"].get("labels") or {}
    return all(given.get(name) == value for name, value in labels.items())


def title(obj: Object) -> str:
    """``ServiceAccount federation-system/aws-eu-host``."""
    key = key_of(obj)
    return f"{key.kind} {key.namespaced_name}"
