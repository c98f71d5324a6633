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


class Said(Struct, frozen=True):
    """A server's own time, as it wrote it (RFC 9110, 5.6.7), heard ``at`` this machine's (Unix)."""

    date: str
    at: float


class Try(Struct, frozen=True):
    """One request to /readyz: ``status`` is the HTTP code, 0 when there was no answer.

    ``words`` are for people. ``doubtful``: what went wrong says nothing about the cluster, such as
    a credential that is missing or a certificate that cannot be trusted.
    """

    status: int
    words: str = ""
    doubtful: bool = False
    said: Said | None = None


class Nodes(Struct, frozen=True):
    """How many nodes are Ready; ``total`` 0 where a cluster has none (or all are serverless)."""

    ready: int
    total: int


class Probe(Struct, frozen=True):
    """One cluster in this run. ``answers``: requests can be sent to it at all.

    ``remark`` is something worth telling of a healthy cluster; ``said`` is its own time.
    """

    cluster: str
    signal: Signal
    reason: str = ""
    answers: bool = True
    nodes: Nodes | None = None
    remark: str = ""
    said: Said | None = None


A_PAGE = 299
"""Stands for a 200 whose body no API server sends: the page of a proxy or of a login."""
_OTHER = "what answers does not say how the cluster is; is its address that of an API server?"
_UNSAID = {
    A_PAGE: "a web page answers instead of an API server; does a proxy want a login?",
    429: "the server is there, and too busy to say how it is",
}


def judge(
    cluster: str, tries: Sequence[Try], nodes: Nodes | None = None, *, min_ready_nodes: float = 0.0
) -> Probe:
    """What the tries of one run and the nodes say together. ``min_ready_nodes`` is a share 0..1.

    One good answer is enough: a server that answers at the third try is not down. Any answer below
    500 proves that a server or a proxy answers, so it never makes a cluster unhealthy, whatever
    the tries after it came to.
    """
    last = tries[-1]
    if last.status != 200 and not last.doubtful:
        last = next((t for t in reversed(tries) if 0 < t.status < 500), last)
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
    if 0 < last.status < 500:
        reason = _UNSAID.get(last.status, _OTHER)
        reason += f" (HTTP {200 if last.status == A_PAGE else last.status})"
        reason += f": {last.words}" if last.words else ""
        return Probe(cluster, Signal.UNKNOWN, reason)
    if last.status:
        reason = f"not ready (HTTP {last.status}){': ' + last.words if last.words else ''}"
        return Probe(cluster, Signal.UNHEALTHY, reason, answers=False)
    return Probe(cluster, Signal.UNHEALTHY, last.words, answers=False)
