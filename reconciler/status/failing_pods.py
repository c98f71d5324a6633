"""Why a workload is not ready: what its Pods say. Only where Pods may be read."""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.api.errors import ApiError
from reconciler.api.objects import Object, ObjectKey
from reconciler.cluster.client import Member
from reconciler.cluster.discovery import RESTMapping
from reconciler.cluster.kstatus import Status, object_status

POD = RESTMapping("v1", "Pod", "pods", namespaced=True)
MOST = 3
_OPERATORS = {"In": "{} in ({})", "NotIn": "{} notin ({})", "Exists": "{}", "DoesNotExist": "!{}"}


def failing_pods(member: Member, key: ObjectKey, live: Object) -> tuple[str, ...]:
    """At most ``MOST`` sentences, each told once however many Pods say it.

    One LIST by the workload's selector; nothing where that is refused or it has no selector.
    """
    selector = selector_text((live.get("spec") or {}).get("selector"))
    if not selector:
        return ()
    try:
        pods = member.list_objects(POD, namespace=key.namespace, label_selector=selector)
    except ApiError:
        return ()
    counts: dict[str, int] = {}
    for pod in pods:
        status = object_status(pod)
        if status.status in (Status.FAILED, Status.IN_PROGRESS):
            words = "; ".join(_container_words(pod)) or status.message
            counts[words] = counts.get(words, 0) + 1
    often = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return tuple(f"{n} Pod{'s' * (n != 1)}: {words}" for words, n in often[:MOST])


def _container_words(pod: Object) -> Iterator[str]:
    status = pod.get("status") or {}
    for name in ("initContainerStatuses", "containerStatuses"):
        for container in status.get(name) or ():
            waiting = (container.get("state") or {}).get("waiting") or {}
            if waiting.get("message"):
                yield f"{container.get('name')}: {waiting.get('reason')}: {waiting['message']}"
            elif waiting.get("reason"):
                yield f"{container.get('name')}: {waiting['reason']}"


def selector_text(selector: object) -> str:
    """A LabelSelector as the query of a LIST takes it; empty for none.

    Raises nothing: what cannot be understood selects nothing.
    """
    if not isinstance(selector, dict):
        return ""
    parts = [f"{name}={value}" for name, value in (selector.get("matchLabels") or {}).items()]
    for expression in selector.get("matchExpressions") or ():
        form = _OPERATORS.get(str(expression.get("operator")))
        if form is None:
            return ""
        parts.append(form.format(expression.get("key"), ",".join(expression.get("values") or ())))
    return ",".join(parts)
