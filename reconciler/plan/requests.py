"""Desired object -> the exact body to apply to one member."""

from __future__ import annotations

import base64
import copy
import fnmatch
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from reconciler.api.json_pointer import split_pointer
from reconciler.api.kinds import REPLICAS, REPLICATED
from reconciler.api.notices import Notice, NoticeCause, notice
from reconciler.api.objects import (
    DEFAULT_NAMESPACE,
    Object,
    ObjectKey,
    RedactedRepr,
    map_of,
    maps_of,
)
from reconciler.cluster.discovery import Discovery, GroupVersionKind, RESTMapping
from reconciler.cluster.kstatus import stated_replicas
from reconciler.federation.drift import leads_to_replicas
from reconciler.federation.sensitive import SECRET, SENSITIVE
from reconciler.inventory.applyset import with_membership
from reconciler.inventory.managed_fields import BEFORE_FIRST_APPLY, entries_of, our_entry, owns
from reconciler.plan.ignored import without_ignored
from reconciler.render.render import DesiredObject

PROTECT = "federation.reconciler.dev/protect"
ORPHAN = "federation.reconciler.dev/orphan"
PROPAGATION = "federation.reconciler.dev/prune-propagation"
_DEFINITION = "CustomResourceDefinition"


class ApplyTarget(RedactedRepr, frozen=True, gc=False):
    """A desired object with its identity as the member sees it.

    ``resource`` is None where the member does not serve the kind (yet); ``applyset`` is what it
    becomes a member of. ``takes_count``: its replicas were scaled by somebody else, who does not
    do so any more, and are Git's again.
    """

    desired: DesiredObject
    key: ObjectKey
    kind: GroupVersionKind
    resource: RESTMapping | None
    applyset: str
    takes_count: bool = False

    @property
    def stated(self) -> int | None:
        """The replicas in Git, if any."""
        return self.desired.manifest.stated_replicas

    @property
    def body(self) -> Object:
        """What is applied, made anew for whoever asks: most of them only take its digest, and a
        hundred thousand would take as much memory as all of Git. What is inside is Git's own."""
        desired, namespace = self.desired, self.key.namespace
        whole = desired.body
        metadata = dict(whole["metadata"])
        metadata.pop("namespace", None)
        if namespace:
            metadata["namespace"] = namespace
        if marks := _marks(desired):
            # Kept on the object, because its manifest will be gone when it is to be pruned.
            metadata["annotations"] = {**(metadata.get("annotations") or {}), **marks}
        body = {**_as_kept(whole), "metadata": metadata}
        body.pop("status", None)
        return with_membership(body, self.key, self.applyset)


def target_of(
    desired: DesiredObject,
    discovery: Discovery,
    crds: Mapping[GroupVersionKind, RESTMapping],
    applyset: str,
) -> ApplyTarget:
    """Settle the namespace by the kind's scope.

    A namespaced object without a namespace goes to ``default``, as with kubectl; a namespace on a
    cluster-scoped one is dropped. ``crds`` are the kinds that this plan itself introduces.
    """
    kind = GroupVersionKind.of_manifest(desired.manifest)
    resource = discovery.find(kind)
    scope = resource or crds.get(kind)
    namespace = desired.key.namespace
    if scope is not None:
        namespace = (namespace or DEFAULT_NAMESPACE) if scope.namespaced else ""
    key = desired.key
    if namespace != key.namespace:
        key = key._replace(namespace=namespace)
    return ApplyTarget(desired, key, kind, resource, applyset)


def _marks(desired: DesiredObject) -> dict[str, str]:
    marks = {PROTECT: "true"} if desired.rules.protect else {}
    if desired.rules.orphan:
        marks[ORPHAN] = "true"
    if "" in desired.rules.hidden and desired.key[:2] != SECRET:
        marks[SENSITIVE] = "true"
    if desired.rules.prune_propagation:
        marks[PROPAGATION] = desired.rules.prune_propagation
    return marks


def _as_kept(body: Object) -> Object:
    """A Secret with the values of ``stringData`` in ``data``, where the server keeps them.

    Sent as they are, the server would count ``stringData`` as ours and not what it makes of it:
    nobody would see that a value was changed, and one that leaves Git would stay for ever.
    """
    plain = body.get("stringData")
    if (body["apiVersion"], body["kind"]) != ("v1", "Secret") or not isinstance(plain, dict):
        return body
    data = body.get("data") or {}
    if not isinstance(data, dict) or not all(isinstance(value, str) for value in plain.values()):
        return body  # The server will say what is wrong with it.
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in plain.items()}
    kept = {key: value for key, value in body.items() if key != "stringData"}
    return {**kept, "data": {**data, **encoded}} if encoded else kept


def crds_wanted(desired: Iterable[DesiredObject]) -> dict[GroupVersionKind, RESTMapping]:
    """As ``crds_in``, of desired objects."""
    return crds_in([one.body for one in desired if one.manifest.kind == _DEFINITION])


def crds_in(bodies: Iterable[Object]) -> dict[GroupVersionKind, RESTMapping]:
    """The kinds that the CustomResourceDefinitions among ``bodies`` introduce.

    A version that is not served is kept for what is stored, and nobody can ask for it.
    """
    found = {}
    for body in bodies:
        if body.get("kind") != _DEFINITION:
            continue
        spec = map_of(body.get("spec"))
        names = map_of(spec.get("names"))
        for version in maps_of(spec.get("versions")):
            if not version.get("served"):
                continue
            api_version = f"{spec.get('group')}/{version.get('name')}"
            resource = RESTMapping(
                api_version,
                str(names.get("kind")),
                str(names.get("plural")),
                spec.get("scope") == "Namespaced",
            )
            found[GroupVersionKind(api_version, resource.kind)] = resource
    return found


class ApplyRequest(NamedTuple):
    """The body to apply, and what people should know of fields in it that Git does not settle."""

    body: Object
    remarks: tuple[Notice, ...] = ()


def request_for(
    target: ApplyTarget, live: Object | None, take_over: Sequence[str] = (BEFORE_FIRST_APPLY,)
) -> ApplyRequest:
    """The body with the fields settled that are the member's to keep.

    A retained field (KubeFed's, or replicas that an autoscaler sets) is sent as written only at
    creation. Later the live value is repeated while our apply still owns the field, since leaving
    it out would reset it; once another manager owns it, it is left out. Replicas that Git does not
    state are retained, too: who dropped them wants them handed over, and not one replica.
    ``take_over``: patterns of managers whose fields the apply will make ours.
    """
    if live is None:
        return ApplyRequest(target.body)
    body = wanted = target.body
    remarks: list[Notice] = []
    for pointer in target.desired.rules.retain:
        path = split_pointer(pointer)
        if pointer != REPLICAS and _matches(body, path) and _matches(live, path):
            if body is wanted:
                body = copy.deepcopy(body)
            owned = _may_be_ours(live, path) or "*" in path
            settled = list(_retain(target.key, body, live, path, owned=owned))
            # What a chart makes up anew each time says nothing, and may be a password.
            remarks += settled if pointer not in target.desired.rules.random else []
    if target.desired.rules.ignore:
        body = without_ignored(body, live, target.desired.rules.ignore)
        if leads_to_replicas(target.desired.rules.ignore):
            return ApplyRequest(body, tuple(remarks))
    now, stated = stated_replicas(live), stated_replicas(body)
    if now is None or (stated is not None and not leaves_count(target.desired, live)):
        return ApplyRequest(body, tuple(remarks))
    spec = {k: v for k, v in map_of(body.get("spec")).items() if k != "replicas"}
    default = 1 if target.key.kind in REPLICATED else None
    if _would_reset(live, take_over) and (now != default or stated is not None):
        spec["replicas"] = now
    remarks += _count_remarks(target.desired, now, kept="replicas" in spec)
    if "replicas" in spec or "replicas" in map_of(body.get("spec")):
        body = {**body, "spec": spec}
    return ApplyRequest(body, tuple(remarks))


def _count_remarks(desired: DesiredObject, now: int, *, kept: bool) -> Iterator[Notice]:
    key = desired.key
    stated, scaler = desired.manifest.stated_replicas, desired.rules.autoscaler
    if stated is not None and scaler and now == 0 and scaler.startswith("Horizontal"):
        yield notice(NoticeCause.REPLICAS_STAY_ZERO, subject=key, scaler=scaler, stated=stated)
    elif stated not in (None, now) and not scaler:
        yield notice(NoticeCause.REPLICAS_RETAINED, subject=key, count=now, stated=stated)
    elif stated is None and kept and scaler:
        yield notice(NoticeCause.REPLICAS_HANDED_OVER, subject=key, scaler=scaler, count=now)
    elif stated is None and kept:
        yield notice(NoticeCause.REPLICAS_NOT_IN_GIT, subject=key, count=now)


def leaves_count(desired: DesiredObject, live: Object) -> bool:
    """Whether the live replicas stand against those in Git.

    An autoscaler says how many run, and not whether any do: Git's 0 is written, and a 0 of ours
    ends when Git says so.
    """
    if REPLICAS not in desired.rules.retain:
        return False
    if not desired.rules.autoscaler:
        return True
    ours = stated_replicas(live) == 0 and not count_owners(live)
    return desired.manifest.stated_replicas != 0 and not ours


def count_owners(live: Object) -> list[Object]:
    """The managedFields entries of others that hold spec.replicas."""
    ours = our_entry(live)
    return [
        entry
        for entry in entries_of(live)
        if entry != ours and owns(entry.get("fieldsV1") or {}, ("spec", "replicas"))
    ]


def _would_reset(live: Object, take_over: Sequence[str]) -> bool:
    """Whether nobody but us holds spec.replicas once the managers ``take_over`` are ours."""
    others = count_owners(live)
    return all(
        not entry.get("subresource")
        and any(fnmatch.fnmatchcase(str(entry.get("manager")), p) for p in take_over)
        for entry in others
    ) and bool(others or _may_be_ours(live, ("spec", "replicas")))


def _may_be_ours(live: Object, path: tuple[str, ...]) -> bool:
    """Whether our apply owns the field, or did before somebody took its entry out: what was ours
    and is not sent goes in either case."""
    entry = our_entry(live)
    return entry is None or owns(entry.get("fieldsV1") or {}, path)


def with_running_replicas(body: Object, live: Object) -> tuple[Object, int | None]:
    """The body with which a workload is recreated, and the count that it starts with if not Git but
    somebody else, such as an autoscaler, says how many: as many as run, where the server would
    start with one."""
    running = stated_replicas(live)
    spec = map_of(body.get("spec"))
    if "replicas" in spec or running is None:
        return body, None
    return {**body, "spec": {**spec, "replicas": running}}, running


def _matches(value: Any, path: tuple[str, ...]) -> bool:
    if not path:
        return True
    head, rest = path[0], path[1:]
    if isinstance(value, list):
        if head == "*":
            return any(_matches(item, rest) for item in value)
        return head.isdigit() and int(head) < len(value) and _matches(value[int(head)], rest)
    return isinstance(value, dict) and head in value and _matches(value[head], rest)


def _retain(
    key: ObjectKey, wanted: Any, live: Any, path: tuple[str, ...], *, owned: bool, at: str = ""
) -> Iterator[Notice]:
    """Settle one path in ``wanted``; what Git states and the cluster does not have is told."""
    head, rest = path[0], path[1:]
    if isinstance(wanted, list):
        for item in wanted:
            match = _counterpart(item, live)
            if match is not None and _matches(item, rest) and _matches(match, rest):
                here = f"{at}[port={item.get('port', item.get('name'))}]"
                yield from _retain(key, item, match, rest, owned=owned, at=here)
        return
    here = f"{at}.{head}" if at else head
    if rest:
        yield from _retain(key, wanted[head], live[head], rest, owned=owned, at=here)
        return
    if wanted[head] != live[head]:
        now, stated = _text(live[head]), _text(wanted[head])
        yield notice(NoticeCause.FIELD_RETAINED, subject=key, path=here, now=now, stated=stated)
    if owned:
        wanted[head] = live[head]
    else:
        del wanted[head]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _counterpart(item: Any, live: Any) -> Any:
    """The live item that a wanted one means: the same port, or else the same name."""
    if not isinstance(item, dict) or "port" in item or "name" not in item:
        return matching_port(item, live)
    named = live if isinstance(live, list) else []
    return next((i for i in named if isinstance(i, dict) and i.get("name") == item["name"]), None)


def matching_port(item: Any, live: Any) -> Any:
    """The live port that a wanted one means: same number and protocol (TCP where it is not
    given)."""
    if not isinstance(item, dict) or not isinstance(live, list):
        return None
    wanted = (item.get("port"), item.get("protocol", "TCP"))
    return next(
        (
            p
            for p in live
            if isinstance(p, dict) and (p.get("port"), p.get("protocol", "TCP")) == wanted
        ),
        None,
    )
