"""Jobs, and Pods that end: they run once for each content, also when they are gone afterwards.

``ttlSecondsAfterFinished`` deletes a finished Job, perhaps before any run has looked at it. So one
that has such a time, by Git or by admission, counts as having run once it was applied; any other
once a run has seen it finished, well or not. What was deleted before that is made again.
"""

from __future__ import annotations

from reconciler.health.object_status import has_finished
from reconciler.inventory.records import Digester
from reconciler.objects import Object, api_group, map_of

RERUN = "federation.reconciler.dev/rerun-when-gone"

_NOT_CONTENT = ("ttlSecondsAfterFinished", "suspend")
"""Of a spec: how long it is kept, and whether it may begin."""


def runs_once(body: Object) -> bool:
    """Whether the object does its work once and ends."""
    kind = (api_group(body["apiVersion"]), body["kind"])
    ends = map_of(body.get("spec")).get("restartPolicy") in ("Never", "OnFailure")
    return kind == ("batch", "Job") or (kind == ("", "Pod") and ends)


def may_rerun(body: Object) -> bool:
    """Whether the manifest wants it made again whenever it is gone."""
    return map_of(body["metadata"].get("annotations")).get(RERUN) == "true"


def is_collected(obj: Object) -> bool:
    """Whether the cluster deletes it by itself once it has finished."""
    return map_of(obj.get("spec")).get("ttlSecondsAfterFinished") is not None


def content_digest(digester: Digester, body: Object) -> str:
    """A digest of what it does: a new one is a new run, another label or annotation is not."""
    spec = {k: v for k, v in map_of(body.get("spec")).items() if k not in _NOT_CONTENT}
    return digester.of(["run", spec])


def counts_as_run(live: Object) -> bool:
    """Whether a live object need not be made again with the same content when it is gone."""
    return is_collected(live) or has_finished(live)
