"""Refusals that joining meets, with the way out."""

from __future__ import annotations

from reconciler.errors import ClusterError, Conflict, Forbidden, Invalid
from reconciler.joining.steps import title
from reconciler.objects import Object

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
