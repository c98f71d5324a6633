"""ClusterProfiles, live or exported -> the Clusters of a repository."""

from __future__ import annotations

from collections.abc import Iterable

from reconciler.api.objects import Object, api_group, key_of, map_of
from reconciler.federation.inventory import (
    PROFILE_GROUP,
    fits_a_cluster,
    marks_of,
    profile_of,
)
from reconciler.federation.model import PLACE_LABELS, ListedProfile
from reconciler.join.exported import OWN, Export, ImportRequest
from reconciler.manifests.yaml_text import as_yaml

_OF_MANAGERS = ("multicluster.x-k8s.io/", "x-k8s.io/")
"""Labels by which managers find their own profiles again."""


def export_of_profiles(objects: Iterable[Object], request: ImportRequest) -> Export:
    """A Cluster for each profile, and a Federation. Pure; the same objects give the same files.

    A Cluster is reached by the kubeconfig context of its name, or by the credential that joining
    makes where there are seats: what a profile says of access stays with the profile.
    """
    files = {"federation.yaml": as_yaml([_federation(request)])}
    left_out: list[str] = []
    names: dict[str, str] = {}
    marks: dict[tuple[str, ...], str] = {}
    for obj in sorted(objects, key=key_of):
        profile = profile_of(obj)
        reason = _refusal(obj, profile, names, marks)
        if reason:
            left_out.append(f"{key_of(obj)}: {reason}")
            continue
        names[profile.name] = profile.namespace
        marks |= dict.fromkeys(marks_of(profile), profile.name)
        files[f"clusters/{profile.name}.yaml"] = as_yaml([_cluster(obj, profile, request)])
    counts = {"Cluster": len(names)} if names else {}
    return Export(files, tuple(left_out), counts=counts)


def _refusal(
    obj: Object,
    profile: ListedProfile,
    names: dict[str, str],
    marks: dict[tuple[str, ...], str],
) -> str:
    """Why an object becomes no Cluster; empty: it does."""
    if obj["kind"] != "ClusterProfile" or api_group(obj["apiVersion"]) != PROFILE_GROUP:
        return "it is no ClusterProfile"
    if obj["metadata"].get("deletionTimestamp"):
        return "it is being deleted"
    if not fits_a_cluster(profile.name):
        return "its name is no name of a cluster (lower case letters, digits, '-' and '.')"
    if profile.name in names:
        return f"namespace {names[profile.name]!r} has a profile of this name, which is taken"
    for mark in marks_of(profile):
        if mark in marks:
            return f"it has the same {mark[0]} as {marks[mark]}, which is taken"
    return ""


def _cluster(obj: Object, profile: ListedProfile, request: ImportRequest) -> Object:
    given = map_of(obj["metadata"].get("labels"))
    places = {part: getattr(profile, part) for part in PLACE_LABELS}
    labels = {
        key: value
        for key, value in sorted(given.items())
        if not key.startswith(_OF_MANAGERS) and key not in PLACE_LABELS.values()
    }
    metadata = {"name": profile.name, **({"labels": labels} if labels else {})}
    by_secret = {"secretRef": {"name": profile.name}}
    return {
        "apiVersion": OWN,
        "kind": "Cluster",
        "metadata": metadata,
        "spec": {
            **{part: value for part, value in places.items() if value},
            "access": by_secret if request.seats else {"context": profile.name},
        },
    }


def _federation(request: ImportRequest) -> Object:
    return {
        "apiVersion": OWN,
        "kind": "Federation",
        "metadata": {"name": request.federation},
        "spec": {"seats": list(request.seats)} if request.seats else {},
    }
