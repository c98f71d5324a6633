"""What an API server's answer must look like before anybody works with it.

A member may be broken, or hostile. Its nonsense is its own trouble: it becomes an error of that
cluster, and the others go on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from reconciler.api.errors import ClusterUnreachable

_NONSENSE = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


def unexpected_answer(cluster: str, what: str) -> ClusterUnreachable:
    """The error for an answer that is ``what``."""
    return ClusterUnreachable(
        cluster, f"the server answered {what}; is this address an API server's?", cause="protocol"
    )


def fault_of(obj: Any) -> str:
    """What makes a value no Kubernetes object; empty: it may be one.

    Only what every kind has is looked at.
    """
    metadata = obj.get("metadata") if isinstance(obj, dict) else None
    if not isinstance(metadata, dict):
        return "an object without metadata"
    name = metadata.get("name")
    if not isinstance(name, str) or not name:
        return "an object without a name"
    for part in ("namespace", "uid", "resourceVersion"):
        if not isinstance(metadata.get(part) or "", str):
            return f"an object whose {part} is no text"
    for part in ("labels", "annotations"):
        entries = metadata.get(part)
        if entries is not None and not _are_texts(entries):
            return f"an object whose {part} are no texts"
    managers = metadata.get("managedFields")
    if managers is not None and not (
        isinstance(managers, list)
        and all(isinstance(m, dict) and isinstance(m.get("fieldsV1") or {}, dict) for m in managers)
    ):
        return "an object with damaged managedFields"
    return ""


def _are_texts(entries: Any) -> bool:
    # JSON gives no subclasses, and this is done for each object of each LIST.
    return isinstance(entries, dict) and set(map(type, entries.values())) <= {str}


@contextmanager
def reading_answers(cluster: str) -> Iterator[None]:
    """What was read from a cluster is worked with inside. Raises ClusterUnreachable for whatever
    cannot be understood of it, with the place in this program that could not.
    """
    try:
        yield
    except _NONSENSE as error:
        raise ClusterUnreachable(
            cluster,
            f"what the server answered cannot be understood ({type(error).__name__} at "
            f"{_place(error)})",
            cause="protocol",
            hint="if it is a sound API server, this is a defect of reconcile: report it",
        ) from error


def _place(error: BaseException) -> str:
    import traceback

    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(last.filename).name}:{last.lineno}"
