"""What one run learns of a cluster's health by asking its API server. Pure; asking is elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from msgspec import Struct


class Signal(StrEnum):
    """UNKNOWN is neither: the cluster may be well, and it is this run that cannot tell."""

    HEALTHY = "Healthy"
    UNHEALTHY = "Unhealthy"
    UNKNOWN = "Unknown"


class Try(Struct, frozen=True):
    """One request to /readyz: ``status`` is the HTTP code, 0 when there was no answer.

    ``words`` are for people. ``doubtful``: what went wrong says nothing about the cluster, such as
    a credential that is missing or a certificate that cannot be trusted.
    """

    status: int
    words: str = ""
    doubtful: bool = False


class Nodes(Struct, frozen=True):
    """How many nodes are Ready; ``total`` 0 where a cluster has none (or all are serverless)."""

    ready: int
    total: int


class Probe(Struct, frozen=True):
    """One cluster in this run. ``answers``: requests can be sent to it at all.

    ``remark`` is something worth telling of a healthy cluster.
    """

    cluster: str
    signal: Signal
    reason: str = ""
    answers: bool = True
    nodes: Nodes | None = None
    remark: str = ""


def judge(
    cluster: str, tries: Sequence[Try], nodes: Nodes | None = None, *, min_ready_nodes: float = 0.0
) -> Probe:
    """What the tries of one run and the nodes say together. ``min_ready_nodes`` is a share 0..1.

    One good answer is enough: a server that answers at the third try is not down. A refused
    credential (401) proves that a server answers, so it never makes a cluster unhealthy.
    """
    last = tries[-1]
    if last.status == 200:
        late = f"answered only at try {len(tries)}" if len(tries) > 1 else ""
        if nodes and nodes.total and nodes.ready < min_ready_nodes * nodes.total:
            reason = f"{nodes.ready} of {nodes.total} nodes are ready"
            return Probe(cluster, Signal.UNHEALTHY, reason, nodes=nodes)
        return Probe(cluster, Signal.HEALTHY, nodes=nodes, remark=late)
    if last.status == 401:
        reason = f"the credential was refused (401): {last.words}".rstrip(": ")
        return Probe(cluster, Signal.UNKNOWN, reason, answers=False)
    if last.status == 403:
        reason = "its health may not be read (403): let it get the URL /readyz"
        return Probe(cluster, Signal.UNKNOWN, reason, nodes=nodes)
    if last.doubtful:
        return Probe(cluster, Signal.UNKNOWN, last.words, answers=False)
    if last.status:
        reason = f"not ready (HTTP {last.status}){': ' + last.words if last.words else ''}"
        return Probe(cluster, Signal.UNHEALTHY, reason, answers=last.status < 500)
    return Probe(cluster, Signal.UNHEALTHY, last.words, answers=False)
