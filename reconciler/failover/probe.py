"""What one run learns of a cluster's health by asking its API server. Judging is pure."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any

import msgspec
import orjson
from msgspec import Struct, field
from msgspec.structs import replace

from reconciler.api.errors import ClusterError, ClusterUnauthorized, ClusterUnreachable
from reconciler.api.objects import read_in_threads
from reconciler.cluster.client import Member
from reconciler.cluster.parallel import in_parallel
from reconciler.federation.model import Cluster, FailoverRules


class Signal(StrEnum):
    """UNKNOWN is neither: the cluster may be well, and it is this run that cannot tell."""

    HEALTHY = "Healthy"
    UNHEALTHY = "Unhealthy"
    UNKNOWN = "Unknown"


class ServerTime(Struct, frozen=True):
    """A server's own time, as it wrote it (RFC 9110, 5.6.7), received ``at`` this machine's
    (Unix)."""

    date: str
    at: float


class ProbeAttempt(Struct, frozen=True):
    """One request to /readyz: ``status`` is the HTTP code, 0 when there was no answer.

    ``words`` are for people. ``inconclusive``: what went wrong says nothing about the cluster, such
    as a credential that is missing or a certificate that cannot be trusted.
    """

    status: int
    words: str = ""
    inconclusive: bool = False
    server_time: ServerTime | None = None


class Nodes(Struct, frozen=True):
    """How many nodes are Ready; ``total`` 0 where a cluster has none (or all are serverless)."""

    ready: int
    total: int


class Finding(StrEnum):
    """What a probe found. OTHER: what ``words`` say, be it an error, a simulated outage, or what an
    earlier run remembered."""

    WELL = "well"
    SLOW = "answered late"
    FEW_NODES = "too few nodes are ready"
    NOT_READY = "not ready"
    REFUSED = "the credential was refused"
    FORBIDDEN = "its health may not be read"
    UNDETERMINED = "what answers does not say how the cluster is"
    OTHER = "other"


class Diagnosis(Struct, frozen=True):
    """How a cluster is, as far as a probe tells; ``str`` is the sentence.

    ``status`` is the HTTP code (0: no answer, A_PAGE: a web page), ``words`` are the server's or
    the transport's own, ``tries`` how many requests it took.
    """

    finding: Finding = Finding.WELL
    words: str = ""
    status: int = 0
    nodes: Nodes | None = None
    tries: int = 1

    def __str__(self) -> str:
        details = f": {self.words}" if self.words else ""
        match self.finding:
            case Finding.WELL:
                return ""
            case Finding.SLOW:
                return f"answered only at try {self.tries}"
            case Finding.FEW_NODES if self.nodes:
                return f"{self.nodes.ready} of {self.nodes.total} nodes are ready"
            case Finding.NOT_READY:
                return f"not ready (HTTP {self.status}){details}"
            case Finding.REFUSED:
                return f"the credential was refused ({self.status}){details}".rstrip(": ")
            case Finding.FORBIDDEN:
                return f"its health may not be read ({self.status}): let it get the URL /readyz"
            case Finding.UNDETERMINED:
                code = 200 if self.status == A_PAGE else self.status
                return f"{_UNDETERMINED.get(self.status, _OTHER)} (HTTP {code}){details}"
        return self.words


def text_diagnosis(words: str) -> Diagnosis:
    """What is known only in words; nothing where there are none."""
    return Diagnosis(Finding.OTHER, words) if words else Diagnosis()


class Probe(Struct, frozen=True):
    """One cluster in this run. ``answers``: requests can be sent to it at all.

    ``server_time`` is its own time.
    """

    cluster: str
    signal: Signal
    diagnosis: Diagnosis = Diagnosis()
    answers: bool = True
    nodes: Nodes | None = None
    server_time: ServerTime | None = None

    @property
    def reason(self) -> str:
        """Why it is not healthy, in words; empty where it is."""
        return "" if self.signal is Signal.HEALTHY else str(self.diagnosis)


A_PAGE = 299
"""Stands for a 200 whose body no API server sends: the page of a proxy or of a login."""
_OTHER = "what answers does not say how the cluster is; is its address that of an API server?"
_UNDETERMINED = {
    A_PAGE: "a web page answers instead of an API server; does a proxy want a login?",
    429: "the server is there, and too busy to say how it is",
}


def assess_probe(
    cluster: str,
    tries: Sequence[ProbeAttempt],
    nodes: Nodes | None = None,
    *,
    min_ready_nodes: float = 0.0,
) -> Probe:
    """What the tries of one run and the nodes say together. ``min_ready_nodes`` is a share 0..1.

    One good answer is enough: a server that answers at the third try is not down. Any answer below
    500 proves that a server or a proxy answers, so it never makes a cluster unhealthy, whatever
    the tries after it came to.
    """
    last = tries[-1]
    if last.status != 200 and not last.inconclusive:
        last = next((t for t in reversed(tries) if 0 < t.status < 500), last)
    if last.status == 200:
        if nodes and nodes.total and nodes.ready < min_ready_nodes * nodes.total:
            few = Diagnosis(Finding.FEW_NODES, nodes=nodes)
            return Probe(cluster, Signal.UNHEALTHY, few, nodes=nodes)
        outcome = Diagnosis(Finding.SLOW, tries=len(tries)) if len(tries) > 1 else Diagnosis()
        return Probe(cluster, Signal.HEALTHY, outcome, nodes=nodes)
    if last.status == 401:
        refused = Diagnosis(Finding.REFUSED, last.words, last.status)
        return Probe(cluster, Signal.UNKNOWN, refused, answers=False)
    if last.status == 403:
        forbidden = Diagnosis(Finding.FORBIDDEN, status=last.status)
        return Probe(cluster, Signal.UNKNOWN, forbidden, nodes=nodes)
    if last.inconclusive:
        return Probe(cluster, Signal.UNKNOWN, text_diagnosis(last.words), answers=False)
    if 0 < last.status < 500:
        outcome = Diagnosis(Finding.UNDETERMINED, last.words, last.status)
        return Probe(cluster, Signal.UNKNOWN, outcome)
    if last.status:
        not_ready = Diagnosis(Finding.NOT_READY, last.words, last.status)
        return Probe(cluster, Signal.UNHEALTHY, not_ready, answers=False)
    return Probe(cluster, Signal.UNHEALTHY, text_diagnosis(last.words), answers=False)


# -- asking ----------------------------------------------------------------------------------------


CONCURRENT_PROBES = 256
"""Waiting threads are cheap; a hundred dead clusters must cost one timeout, not a hundred."""
INCONCLUSIVE_CAUSES = ("certificate",)
"""Causes that speak of this machine's trust rather than of the cluster."""

# The server prints the table that kubectl shows: some hundred bytes a node instead of kilobytes.
_TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


def probe_all(
    connect: Callable[[Cluster], Member],
    clusters: Sequence[Cluster],
    rules: FailoverRules,
    *,
    done: Callable[[], None] = lambda: None,
    pause: Callable[[float], None] = time.sleep,
) -> tuple[Probe, ...]:
    """One probe per cluster, in the order given. ``connect`` may raise ClusterError; this never."""

    def one(cluster: Cluster) -> Probe:
        try:
            return _probe(connect, cluster, rules, pause)
        finally:
            done()

    return tuple(in_parallel(one, clusters, CONCURRENT_PROBES))


def _probe(
    connect: Callable[[Cluster], Member],
    cluster: Cluster,
    rules: FailoverRules,
    pause: Callable[[float], None],
) -> Probe:
    try:
        member = connect(cluster)
    except ClusterError as error:
        # Without a credential there is nothing to ask with; the cluster may be perfectly well.
        return Probe(cluster.name, Signal.UNKNOWN, text_diagnosis(str(error)), answers=False)
    tries: list[ProbeAttempt] = []
    for number in range(rules.probe.attempts):
        if number:
            pause(rules.probe.interval)
        tries.append(_try(member, rules.probe.timeout))
        if tries[-1].status in (200, 401, 403) or tries[-1].inconclusive:
            break
    nodes = None
    if tries[-1].status in (200, 403):
        try:
            nodes = _nodes(member, rules.probe.timeout)
        except ClusterUnauthorized as error:
            # Some let anybody read /readyz; whoever may list nodes must be known.
            tries.append(ProbeAttempt(401, str(error)))
    server_time = next((one.server_time for one in reversed(tries) if one.server_time), None)
    probe = assess_probe(cluster.name, tries, nodes, min_ready_nodes=rules.min_ready_nodes)
    return replace(probe, server_time=server_time)


def _try(member: Member, timeout: float) -> ProbeAttempt:
    try:
        answer = member.get_raw("/readyz", timeout=timeout)
        server_time = ServerTime(answer.date, time.time())
        if answer.status in (404, 405):
            # A server or a gateway that knows only the older path.
            answer = member.get_raw("/healthz", timeout=timeout)
        status, body = answer.status, answer.body
        if status >= 500:
            return ProbeAttempt(
                status, _failing(member, timeout) or _first_line(body), server_time=server_time
            )
        if status == 200 and body.lstrip()[:1] == b"<":
            return ProbeAttempt(A_PAGE)
        return ProbeAttempt(
            status, "" if status == 200 else _message(body), server_time=server_time
        )
    except ClusterUnreachable as error:
        return ProbeAttempt(0, str(error), inconclusive=error.cause in INCONCLUSIVE_CAUSES)
    except ClusterUnauthorized as error:
        return ProbeAttempt(0, str(error), inconclusive=True)


def _failing(member: Member, timeout: float) -> str:
    """Which checks fail, in the server's words: ``[-]etcd failed: reason withheld``."""
    try:
        body = member.get_raw("/livez", timeout=timeout, query={"verbose": ""}).body
    except ClusterError:
        return ""
    lines = body[:20_000].decode(errors="replace").splitlines()
    failing = [line[3:].partition(":")[0] for line in lines if line.startswith("[-]")]
    return ", ".join(failing[:4])


def _first_line(body: bytes) -> str:
    lines = body[:500].decode(errors="replace").strip().splitlines()
    return lines[0] if lines else ""


def _message(body: bytes) -> str:
    try:
        status = orjson.loads(body)
    except orjson.JSONDecodeError:
        return _first_line(body)
    return str(status.get("message", "")) if isinstance(status, dict) else ""


def _nodes(member: Member, timeout: float) -> Nodes | None:
    """How many nodes are Ready; None when they cannot be listed, which is no sign of anything."""
    query = {"limit": "500", "includeObject": "None", "resourceVersion": "0"}
    ready = total = 0
    try:
        while True:
            answer = member.get_raw("/api/v1/nodes", timeout=timeout, query=query, accept=_TABLE)
            if answer.status == 401:
                raise ClusterUnauthorized(member.name, _message(answer.body))
            if answer.status != 200:
                return None
            page = msgspec.json.decode(answer.body, type=_NodePage)
            if (states := _node_states(page)) is None:
                return None
            ready, total = ready + sum(states), total + len(states)
            rest = page.metadata.rest if page.metadata else None
            if not rest:
                return Nodes(ready, total)
            query = {**query, "continue": rest, "resourceVersion": ""}
    except ClusterUnauthorized:
        raise
    except (ClusterError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


class _Page(Struct):
    rest: str | None = field(name="continue", default=None)


class _Column(Struct):
    name: str


class _Row(Struct):
    cells: list[Any]


class _Condition(Struct):
    type: str = ""
    status: str = ""


class _NodeStatus(Struct):
    conditions: list[_Condition] | None = None


class _Node(Struct):
    status: _NodeStatus | None = None


class _NodePage(Struct):
    """What is of use in a Table (column Status: ``Ready,SchedulingDisabled``) or a NodeList."""

    metadata: _Page | None = None
    columns: list[_Column] | None = field(name="columnDefinitions", default=None)
    rows: list[_Row] | None = None
    items: list[_Node] | None = None


read_in_threads(_NodePage)


def _node_states(page: _NodePage) -> list[bool] | None:
    """Ready or not, of each node; None where a Table does not say so."""
    if page.rows is None or page.columns is None:
        return [_is_ready(node) for node in page.items or ()]
    names = [column.name for column in page.columns]
    if "Status" not in names or any(len(row.cells) != len(names) for row in page.rows):
        return None
    at = names.index("Status")
    return ["Ready" in str(row.cells[at]).split(",") for row in page.rows]


def _is_ready(node: _Node) -> bool:
    conditions = (node.status.conditions if node.status else None) or ()
    return any(c.type == "Ready" and c.status == "True" for c in conditions)
