"""What must hold whatever breaks. Each function fails with what it found."""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Collection, Mapping
from typing import Any

from kubesim.cluster import LoggedRequest
from tests.chaos.hosts import Host, without_values
from tests.chaos.world import HOST, Run, World

MANAGER = "federation-reconciler"
SYSTEM = "federation-system"
CANARY = "canary-in-the-mine"

Object = dict[str, Any]
Snapshot = Mapping[tuple[str, str, str], tuple[str, str]]

# Written by controllers and servers for themselves, all the time.
_ALIVE = ("ReplicaSet", "Pod", "Endpoints", "EndpointSlice", "Event", "Lease", "Node")
_FURNITURE = (("ConfigMap", "kube-root-ca.crt"), ("ServiceAccount", "default"))


def strangers(host: Host) -> Snapshot:
    """(kind, namespace, name) -> (UID, resourceVersion) of what the tool has no part in."""
    found = {}
    for obj in host.objects():
        metadata = obj["metadata"]
        managers = {entry.get("manager") for entry in metadata.get("managedFields") or ()}
        # What every Namespace has from the beginning goes with it.
        furniture = (obj["kind"], metadata["name"]) in _FURNITURE
        if obj["kind"] not in _ALIVE and MANAGER not in managers and not furniture:
            key = (obj["kind"], metadata.get("namespace", ""), metadata["name"])
            found[key] = (metadata["uid"], metadata["resourceVersion"])
    return found


def no_stranger_was_touched(before: Mapping[str, Snapshot], hosts: Mapping[str, Host]) -> None:
    for name, snapshot in before.items():
        now = strangers(hosts[name])
        touched = {key: now.get(key) for key, seen in snapshot.items() if now.get(key) != seen}
        assert not touched, f"{name}: objects of others were touched: {touched}"


def only_its_own_was_written(run: Run, ours: Collection[str]) -> None:
    """Every write is to an object of the repository, by name, or is the tool's housekeeping."""
    for cluster in run.requests:
        foreign = [r for r in run.writes(cluster) if not _is_own(r, ours, cluster)]
        assert not foreign, f"{cluster}: {foreign}"


def _is_own(request: LoggedRequest, ours: Collection[str], cluster: str) -> bool:
    *_, kind, name = request.path.split("/")
    if request.method == "POST":
        # By apply alone are objects of the repository created.
        created = ["namespaces", "secrets", "events"]
        return name in [*created, "leases", "configmaps"] if cluster == HOST else name in created
    if f"/namespaces/{SYSTEM}/" in request.path:
        return kind in ("secrets", "configmaps", "leases", "events")
    return name in ours or kind == "events"


_OF_AN_INVENTORY = re.compile("applyset|federation.reconciler.dev/inventory")
_PART_OF_A_LIST = ("continue", "limit", "resourceVersion")


def nothing_was_pruned_blindly(run: Run) -> None:
    """No DELETE where a LIST or the discovery of this run had no answer, or where it says so."""
    for name, requests in run.requests.items():
        views: dict[str, int] = {}
        for request in requests:
            is_list = _OF_AN_INVENTORY.match(request.query.get("labelSelector", ""))
            if request.method == "DELETE" and "/events/" not in request.path:
                blind = {view for view, status in views.items() if status != 200}
                assert not blind, f"{name}: {request} in spite of {blind}"
            elif request.method == "GET" and (is_list or request.path in ("/api", "/apis")):
                query = {k: v for k, v in request.query.items() if k not in _PART_OF_A_LIST}
                views[f"{request.path} {query}"] = request.status
        cluster = run.clusters.get(name)
        if cluster and (cluster["pruneBlocked"] or not cluster["reachable"]):
            deletes = [r for r in requests if r.method == "DELETE" and SYSTEM not in r.path]
            assert not deletes, f"{name}: {cluster['pruneBlocked']}: {deletes}"


_CANARY = re.compile(
    "|".join(
        re.escape(form)
        for form in (
            CANARY,
            # However many bytes stand before it, one of these is in what is made of it.
            *(base64.b64encode(b"x" * n + CANARY.encode()).decode()[4:-4] for n in range(3)),
        )
    )
)


def no_value_is_told(world: World) -> None:
    """The canary is in Secrets that are to have it, and nowhere else."""
    for text in world.texts:
        _no_canary_in(text, "the outputs of a run")
        assert "Traceback" not in text, text[-3000:]
        assert "a defect" not in text, text[-3000:]
    for name, host in world.hosts.items():
        objects = host.objects()
        _no_canary_in(without_values(objects), name)
        for obj in objects:
            if obj["kind"] == "Secret" and obj["metadata"].get("namespace") == SYSTEM:
                for value in (obj.get("data") or {}).values():
                    raw = base64.b64decode(value)
                    _no_canary_in(_inflated(raw), f"{name}: the inventory")


def _inflated(raw: bytes) -> str:
    try:
        return zlib.decompress(raw).decode(errors="replace")
    except zlib.error:
        return raw.decode(errors="replace")


def _no_canary_in(text: str, where: str) -> None:
    found = _CANARY.search(text)
    assert not found, f"{where}: ...{text[max(0, found.start() - 300) : found.end() + 100]}..."


def _ready_elsewhere_by_now(run: Run, then: Run) -> set[str]:
    """The clusters in which ``then`` only prunes, where the run said that it kept something until
    it is ready in another one: controllers are at work between the two."""
    kept = [move for move in run.report.get("moves", ()) if "until" in move]
    return {
        name
        for name in then.changed
        if {c["action"] for c in then.clusters[name]["changes"]} <= {"prune", "terminating"}
        and any(f"{name} keeps" in move for move in kept)
    }


def it_told_the_truth(run: Run, then: Run) -> None:
    """``then`` is a plan made without faults right after the run."""
    undone = then.changed
    if run.code == 0:
        undone -= _ready_elsewhere_by_now(run, then)
        assert not undone, f"it ended with 0, and left undone: {then.report['clusters']}"
        assert not run.told, f"it ended with 0, and tells of trouble in {run.told}"
        return
    if not run.report:
        # It ended before there was a plan; what hindered it is all that can be told.
        assert "Error" in run.err or '"level":"error"' in run.err, run.err
        return
    assert undone <= run.told, f"{undone - run.told} left undone, untold: {run.report}"
    assert run.told or run.report["errors"] or run.report["stopped"] or run.report["violations"]
