"""Clusters that a host lists as ClusterProfiles (KEP-4322), beside those that are in Git. Pure.

The API is ``multicluster.x-k8s.io`` v1alpha1 and v1alpha2 of kubernetes-sigs/cluster-inventory-api;
names of standard properties are KEP-2149's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from reconciler.api.errors import Problem
from reconciler.api.notices import Notice, NoticeCause, notice
from reconciler.api.objects import Object, first_few, map_of, maps_of
from reconciler.federation.model import (
    PLACE_LABELS,
    Access,
    Cluster,
    InventoryRules,
    ListedProfile,
    NamedAccess,
    ProfileAccess,
)
from reconciler.federation.selectors import matches
from reconciler.manifests.document import Document
from reconciler.manifests.problems import ProblemCollector

PROFILE_GROUP = "multicluster.x-k8s.io"
VERSION_LABEL = "federation.reconciler.dev/kubernetes-version"
"""What selectors see of ``status.version.kubernetes``; ``+`` is written ``_`` there."""
MEMBER_ID = "multicluster.x-k8s.io/inventory-member-id"
"""The label that profiles of one cluster have in common, whoever wrote them (v1alpha2)."""
CLUSTER_ID, CLUSTER_SET = "cluster.clusterset.k8s.io", "clusterset.k8s.io"
"""KEP-2149: which cluster of which set it is."""
EXEC_CONFIG = "client.authentication.k8s.io/exec"
MORE_ARGUMENTS = "clusterprofiles.multicluster.x-k8s.io/exec/additional-args"
MORE_VARIABLES = "clusterprofiles.multicluster.x-k8s.io/exec/additional-envs"
"""Extensions of an access provider: what goes to the plugin (KEP-541, KEP-5339)."""

_PLACES = {
    "provider": (PLACE_LABELS["provider"], "platform.open-cluster-management.io"),
    "region": (PLACE_LABELS["region"], "region.open-cluster-management.io"),
    "zone": (PLACE_LABELS["zone"],),
}
"""Labels or properties that say where a cluster is, the first one first; Open Cluster Management
publishes its claims as properties."""
_OF_A_SERVER = (
    *("server", "tls-server-name", "certificate-authority-data", "certificate-authority"),
    *("proxy-url", "insecure-skip-tls-verify"),
)
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_LABEL_KEY = re.compile(
    r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?"
)


def profiles_of(
    objects: Iterable[Object], rules: InventoryRules
) -> tuple[tuple[ListedProfile, ...], list[Notice]]:
    """The profiles that the rules select, by name; and what is to be told of the others."""
    found, notices = [], []
    for obj in objects:
        metadata = map_of(obj.get("metadata"))
        if not matches(rules.selector, _texts(metadata.get("labels"))):
            continue
        profile = profile_of(obj)
        if not fits_a_cluster(profile.name):
            notices.append(notice(NoticeCause.NO_CLUSTER_NAME, subject=profile.position.file))
            continue
        found.append(profile)
    return tuple(sorted(found, key=lambda one: one.name)), notices


def fits_a_cluster(name: str) -> bool:
    """Whether a Cluster may have this name."""
    return bool(_NAME.fullmatch(name))


def profile_of(obj: Object) -> ListedProfile:
    """A ClusterProfile as its manager wrote it: what is not as the API has it counts as absent."""
    metadata, status = map_of(obj.get("metadata")), map_of(obj.get("status"))
    own = _texts(metadata.get("labels"))
    properties = {
        one["name"]: one["value"]
        for one in maps_of(status.get("properties"))
        if isinstance(one.get("name"), str) and isinstance(one.get("value"), str)
    }
    version = map_of(status.get("version")).get("kubernetes")
    merged = {**properties, **own}
    fit = {k: v for k, v in merged.items() if _LABEL_KEY.fullmatch(k) and _LABEL_VALUE.fullmatch(v)}
    if isinstance(version, str) and version:
        fit[VERSION_LABEL] = version.replace("+", "_")
    places = {
        part: next((merged[name] for name in names if merged.get(name)), "")
        for part, names in _PLACES.items()
    }
    return ListedProfile(
        name=str(metadata.get("name")),
        namespace=str(metadata.get("namespace") or ""),
        labels=dict(sorted(fit.items())),
        provider=places["provider"].lower(),
        region=places["region"],
        zone=places["zone"],
        unhealthy=_unhealthy(status),
        providers=_providers(status),
    )


def _texts(value: object) -> dict[str, str]:
    return {k: v for k, v in map_of(value).items() if isinstance(v, str)}


def _unhealthy(status: Object) -> str:
    for condition in maps_of(status.get("conditions")):
        if condition.get("type") == "ControlPlaneHealthy" and condition.get("status") == "False":
            words = (condition.get("reason"), condition.get("message"))
            return ": ".join(text for text in words if isinstance(text, str) and text) or "False"
    return ""


def _providers(status: Object) -> tuple[NamedAccess, ...]:
    """``accessProviders``, and of the field's older name those that are not among them."""
    found: dict[str, NamedAccess] = {}
    for entry in (
        *maps_of(status.get("accessProviders")),
        *maps_of(status.get("credentialProviders")),
    ):
        name, server = entry.get("name"), map_of(entry.get("cluster"))
        if isinstance(name, str) and name and name not in found:
            extensions = {
                one["name"]: one.get("extension")
                for one in maps_of(server.get("extensions"))
                if one.get("name") in (EXEC_CONFIG, MORE_ARGUMENTS, MORE_VARIABLES)
            }
            kept = {key: server[key] for key in _OF_A_SERVER if server.get(key)}
            found[name] = NamedAccess(name, kept, extensions)
    return tuple(found.values())


def listed_clusters(profiles: Sequence[ListedProfile]) -> tuple[Cluster, ...]:
    """The clusters of the profiles. Profiles that lead to one cluster are a fault of each."""
    twins = _twins(profiles)
    return tuple(
        Cluster(
            name=one.name,
            position=one.position,
            labels=one.labels,
            provider=one.provider,
            region=one.region,
            zone=one.zone,
            access=Access(
                profile=ProfileAccess(one.namespace, one.providers), fallback_context=one.name
            ),
            faults=twins.get(one.name, ()),
        )
        for one in profiles
    )


def _twins(profiles: Sequence[ListedProfile]) -> dict[str, tuple[Problem, ...]]:
    """Profile -> the fault that another one is of the same cluster."""
    marks: dict[tuple[str, ...], list[ListedProfile]] = {}
    for one in profiles:
        for mark in set(marks_of(one)):
            marks.setdefault(mark, []).append(one)
    found: dict[str, tuple[Problem, ...]] = {}
    for (what, *_), same in sorted(marks.items()):
        for one in same if len(same) > 1 else ():
            others = first_few([other.name for other in same if other is not one])
            found.setdefault(
                one.name,
                (
                    Problem(
                        one.position,
                        "",
                        f"it has the same {what} as ClusterProfile {others}: nothing is sent to "
                        "either",
                        "one ClusterProfile for each cluster",
                        "let spec.inventory.clusterProfiles.selector leave one of them out",
                    ),
                ),
            )
    return found


def marks_of(one: ListedProfile) -> Iterator[tuple[str, ...]]:
    """What no other cluster has: what it is, and its values."""
    for provider in one.providers:
        if server := str(provider.cluster.get("server") or "").rstrip("/"):
            yield "server", server
    if member := one.labels.get(MEMBER_ID):
        yield f"label {MEMBER_ID}", member
    if cluster := one.labels.get(CLUSTER_ID):
        yield f"property {CLUSTER_ID}", one.labels.get(CLUSTER_SET, ""), cluster


def hints_of(profiles: Sequence[ListedProfile]) -> Iterator[Notice]:
    """What managers say of the clusters' health. It decides nothing; probes do."""
    for one in profiles:
        if one.unhealthy:
            yield notice(NoticeCause.PROFILE_UNHEALTHY, one.name, reason=one.unhealthy)


def with_listed(
    in_git: Mapping[str, Cluster],
    listed: Sequence[Cluster],
    documents: Sequence[Document],
    faults: ProblemCollector,
) -> dict[str, Cluster]:
    """The clusters of Git and of the inventory; where both have one, Git's fields hold."""
    found = dict(in_git)
    by_name = {str(document.body["metadata"]["name"]): document for document in documents}
    for cluster in listed:
        if cluster.name not in in_git:
            found[cluster.name] = cluster
            continue
        document = by_name[cluster.name]
        found[cluster.name] = _merged(in_git[cluster.name], cluster, document.body)
        given = first_few(_given(document.body), 20)
        faults.warn(
            document,
            notice(
                NoticeCause.IN_GIT_AND_INVENTORY,
                subject=cluster.name,
                profile=cluster.position.file,
                fields=given or "nothing",
            ),
        )
    return dict(sorted(found.items()))


def _given(body: Object) -> list[str]:
    labels = map_of(map_of(body.get("metadata")).get("labels"))
    return [f"label {name}" for name in sorted(labels)] + [
        f"spec.{name}" for name in sorted(map_of(body.get("spec")))
    ]


def _merged(git: Cluster, listed: Cluster, body: Object) -> Cluster:
    place = {part: getattr(git, part) or getattr(listed, part) for part in PLACE_LABELS}
    labels = dict(listed.labels)
    for part, label in PLACE_LABELS.items():
        if getattr(git, part):
            labels.pop(label, None)
    spec: Mapping[str, Any] = map_of(body.get("spec"))
    reached_by_git = bool(spec.get("access") or spec.get("secretRef") or spec.get("apiEndpoint"))
    return replace(
        git,
        labels={**labels, **git.labels},
        access=git.access if reached_by_git else listed.access,
        # By whatever access, two profiles of one cluster are one too many.
        faults=(*git.faults, *listed.faults),
        **place,
    )
