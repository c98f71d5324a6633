"""What a workload needs goes along: ConfigMaps, Secrets, accounts, claims and classes that it
names, and the Services and autoscalers that select or scale it.

Only what has no placement of its own follows; ``spec.defaults.placement`` is nobody's own. Karmada
calls the same ``propagateDeps``. Pure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from msgspec.structs import replace

from reconciler.api.kinds import scaled_as
from reconciler.api.objects import ObjectKey, map_of
from reconciler.federation.model import PlacementTarget, Selector, Workload
from reconciler.federation.references import ACCOUNT, CLUSTER_WIDE, has_needs, named_in

NEEDED = "what needs it"
_NAMESPACE = "Namespace"


def with_followers(
    workloads: Sequence[Workload], default: PlacementTarget | None
) -> list[Workload]:
    """The workloads, each dependency without a placement of its own with its ``leaders``: those
    that need it and whose ``dependencies`` are ``Follow``.

    ``default`` is the Federation's placement for what no other rule places: what goes there goes
    there still, and besides wherever it is needed.
    """
    leading = [
        w for w in workloads if w.rules.dependencies == "Follow" and w.rules.target is not None
    ]
    if not leading:
        return list(workloads)
    leaders: dict[ObjectKey, dict[ObjectKey, Workload]] = defaultdict(dict)
    index = _Index(workloads)
    for workload in leading:
        if has_needs(workload.template):
            for key in index.dependencies_of(workload):
                leaders[key][workload.key] = workload
        if space := index.namespace_of(workload):
            leaders[space][workload.key] = workload
    return [_following(w, leaders.get(w.key, {}), default) for w in workloads]


def _following(
    workload: Workload, leaders: Mapping[ObjectKey, Workload], default: PlacementTarget | None
) -> Workload:
    own = workload.rules.target is not None and workload.rules.target is not default
    if not leaders or own or workload.rules.kubefed:
        return workload
    keys = tuple(sorted(leaders))
    if workload.rules.target is not None:
        return workload.with_rules(leaders=keys)
    if workload.key.kind == _NAMESPACE:
        return workload  # It follows all that lies in it, whoever asks.
    given_up = [w.rules.target for w in leaders.values() if w.rules.target and w.is_given_up]
    if len(given_up) == len(leaders):
        nowhere = next((t for t in given_up if t.clusters is None), given_up[0])
        return workload.with_rules(target=replace(nowhere, placed_by=NEEDED))
    target = PlacementTarget(selector=Selector(), placed_by=NEEDED)
    return workload.with_rules(target=target, follows=True, leaders=keys)


class _Index:
    """The manifests of a repository by what refers to them."""

    def __init__(self, workloads: Sequence[Workload]) -> None:
        self._by_key = {_placed_key(w.key): w for w in workloads}
        self._services: dict[str, list[Workload]] = defaultdict(list)
        self._scalers: dict[tuple[str, str, str], list[ObjectKey]] = defaultdict(list)
        for one in workloads:
            if one.key.group_kind == ("", "Service"):
                self._services[one.key.with_namespace.namespace].append(one)
            if target := one.manifest.scale_target:
                self._scalers[target].append(one.key)

    def namespace_of(self, workload: Workload) -> ObjectKey | None:
        """The Namespace that a manifest lies in, if Git has it."""
        space = self._by_key.get(ObjectKey("", _NAMESPACE, "", workload.key.namespace))
        return space.key if space else None

    def dependencies_of(self, workload: Workload) -> Iterator[ObjectKey]:
        """All of Git that a workload names, also by its account, and what selects or scales it."""
        namespace = workload.key.with_namespace.namespace
        spec = map_of(workload.template.get("spec"))
        waiting, seen = [spec], set[ObjectKey]()
        while waiting:
            for kind, name in named_in(waiting.pop()):
                place = "" if kind in CLUSTER_WIDE else namespace
                found = self._by_key.get(ObjectKey(kind.group, kind.kind, place, name))
                if found is None or found.key in seen:
                    continue
                seen.add(found.key)
                yield found.key
                if kind == ACCOUNT:
                    waiting.append({"imagePullSecrets": found.template.get("imagePullSecrets")})
                    waiting.append({"secret": found.template.get("secrets")})
        labels = _pod_labels(workload)
        for service in self._services[namespace]:
            selector = map_of(map_of(service.template.get("spec")).get("selector"))
            named = service.key.name == spec.get("serviceName")
            if named or (selector and selector.items() <= labels.items()):
                yield service.key
        yield from self._scalers[scaled_as(workload.key)]


def _placed_key(key: ObjectKey) -> ObjectKey:
    """As clusters know it: what can be named by a Pod and has a namespace is in ``default``."""
    return key if key.kind == _NAMESPACE or key.group_kind in CLUSTER_WIDE else key.with_namespace


def _pod_labels(workload: Workload) -> Mapping[str, object]:
    spec = map_of(workload.template.get("spec"))
    if workload.key.kind == "Pod":
        return map_of(map_of(workload.template.get("metadata")).get("labels"))
    if workload.key.kind == "CronJob":
        spec = map_of(map_of(spec.get("jobTemplate")).get("spec"))
    return map_of(map_of(map_of(spec.get("template")).get("metadata")).get("labels"))
