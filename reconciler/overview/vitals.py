"""What a member says of itself when it is asked for nothing but that: readiness, nodes, version."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import orjson
from msgspec import Struct

from reconciler.cluster.member import Member
from reconciler.cluster.parallel import in_parallel
from reconciler.cluster.probing import CONCURRENT_PROBES, probe_all
from reconciler.errors import ClusterError
from reconciler.federation.model import Cluster, FailoverRules
from reconciler.health.decision import ClusterHealth
from reconciler.health.probe import Signal

VERSION_TIMEOUT_SECONDS = 5.0


class Vitals(Struct, frozen=True):
    """``version`` is the server's gitVersion, empty where it did not tell; ``nodes`` are Ready
    ones and all, None where they cannot be listed."""

    signal: Signal
    reason: str = ""
    version: str = ""
    nodes: tuple[int, int] | None = None


def take_vitals(
    connect: Callable[[Cluster], Member],
    clusters: Sequence[Cluster],
    rules: FailoverRules,
    known: Mapping[str, ClusterHealth],
) -> dict[str, Vitals]:
    """Every cluster's vitals, side by side. ``known`` have been probed in this run already."""
    unknown = [cluster for cluster in clusters if cluster.name not in known]
    found = {
        probe.cluster: Vitals(
            probe.signal,
            probe.reason,
            nodes=(probe.nodes.ready, probe.nodes.total) if probe.nodes else None,
        )
        for probe in probe_all(connect, unknown, rules)
    }
    for name, health in known.items():
        nodes = None
        if health.ready_nodes is not None and health.nodes is not None:
            nodes = (health.ready_nodes, health.nodes)
        found[name] = Vitals(health.signal, health.reason, nodes=nodes)
    asked = [c for c in clusters if found[c.name].signal is Signal.HEALTHY]
    versions = in_parallel(lambda c: _version(connect, c), asked, CONCURRENT_PROBES)
    for cluster, version in zip(asked, versions, strict=True):
        one = found[cluster.name]
        found[cluster.name] = Vitals(one.signal, one.reason, version, one.nodes)
    return found


def _version(connect: Callable[[Cluster], Member], cluster: Cluster) -> str:
    try:
        answer = connect(cluster).get_raw("/version", timeout=VERSION_TIMEOUT_SECONDS)
        document = orjson.loads(answer.body) if answer.status == 200 else None
    except (ClusterError, orjson.JSONDecodeError):
        return ""
    return str(document.get("gitVersion", "")) if isinstance(document, dict) else ""
