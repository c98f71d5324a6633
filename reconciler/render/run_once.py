"""Jobs, and Pods that end: they run once for each content, also when they are gone afterwards.

``ttlSecondsAfterFinished`` deletes a finished Job, perhaps before any run has looked at it. So one
that has such a time, by Git or by admission, counts as having run once it was applied; any other
once a run has seen it finished, well or not. What was deleted before that is made again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import orjson

from reconciler.api.objects import Object, ObjectKey, api_group, map_of
from reconciler.cluster.kstatus import has_finished
from reconciler.federation.model import Workload
from reconciler.inventory.observe import Observation
from reconciler.inventory.records import Digester
from reconciler.render.render import DesiredObject

RERUN = "federation.reconciler.dev/rerun-when-gone"

_NOT_CONTENT = ("ttlSecondsAfterFinished", "suspend")
"""Of a spec: how long it is kept, and whether it may begin."""


def may_run_once(key: ObjectKey) -> bool:
    """Whether objects of its kind do, or may."""
    return key.group_kind in (("batch", "Job"), ("", "Pod"))


def runs_once(body: Object) -> bool:
    """Whether the object does its work once and ends."""
    kind = (api_group(body["apiVersion"]), body["kind"])
    ends = map_of(body.get("spec")).get("restartPolicy") in ("Never", "OnFailure")
    return kind == ("batch", "Job") or (kind == ("", "Pod") and ends)


def may_rerun(body: Object) -> bool:
    """Whether the manifest wants it made again whenever it is gone."""
    return map_of(body["metadata"].get("annotations")).get(RERUN) == "true"


def is_collected(obj: Object) -> bool:
    """Whether it may begin, and the cluster deletes it by itself once it has finished."""
    spec = map_of(obj.get("spec"))
    return spec.get("ttlSecondsAfterFinished") is not None and not spec.get("suspend")


def content_digest(digester: Digester, body: Object) -> str:
    """A digest of what it does: a new one is a new run, another label or annotation is not."""
    return digester.of(["run", _content(body)])


def counts_as_run(live: Object) -> bool:
    """Whether a live object need not be made again with the same content when it is gone."""
    return is_collected(live) or has_finished(live)


def finished_in(
    observation: Observation, wanted: Sequence[DesiredObject], workloads: Sequence[Workload]
) -> Iterator[tuple[str, str]]:
    """Those of ``workloads`` that have done their work in one cluster: key as text, digest."""
    inventory = observation.inventory
    known = {w.key: w for w in workloads if w.key in inventory.ran}
    for desired in wanted if known else ():
        if desired.key not in known:
            continue
        live = observation.members.get(desired.key)
        if inventory.ran[desired.key] == content_digest(inventory.digester, desired.body) and (
            live is None or has_finished(live[1])
        ):
            yield str(desired.key), template_digest(known[desired.key])


def template_digest(workload: Workload) -> str:
    """Tells another content, without a cluster's own overrides."""
    spec = orjson.dumps(_content(workload.template), option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(spec).hexdigest()[:16]


def _content(body: Object) -> Object:
    return {k: v for k, v in map_of(body.get("spec")).items() if k not in _NOT_CONTENT}
