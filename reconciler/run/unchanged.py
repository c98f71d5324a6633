"""Whether a run would find what the last one found: asked instead of making it.

It would where each answer that the last run got would be given again (``watch.trace``): by the
watched lists, by members and host, by the clock, by Git, and by the files that it read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from msgspec.structs import replace

from reconciler.api.errors import ClusterError
from reconciler.api.moments import TimeUse
from reconciler.api.objects import RedactedRepr
from reconciler.api.options import RunOptions
from reconciler.cluster.connect import Connections
from reconciler.cluster.curl import NoAnswer
from reconciler.cluster.parallel import in_parallel
from reconciler.failover.probe import Probe
from reconciler.git.mark import mark_of_source, stamp
from reconciler.run.decide import probes_of
from reconciler.run.pipeline import Prepared
from reconciler.run.progress import NoProgress
from reconciler.state.run_memory import AUTO_STATE, default_file, in_host_cluster
from reconciler.watch.trace import RunTrace, TracedExchange, TracedRequest

CONCURRENT_QUESTIONS = 32


class LastRun(RedactedRepr, frozen=True):
    """A run that ended well. ``source`` and ``files`` are marks from before it began."""

    prepared: Prepared
    trace: RunTrace
    time: TimeUse
    source: str
    files: str

    @property
    def is_settled(self) -> bool:
        """Whether another run, right after it, would do nothing: it wrote nothing itself, and asked
        nobody who is not asked again here."""
        return not self.trace.wrote and bool(self.source) and self.prepared.records is None


def why_again(last: LastRun, options: RunOptions) -> str:
    """What is no longer as the last run found it, in words; empty: nothing is."""
    prepared = last.prepared
    if not last.is_settled:
        return "the last run changed something"
    if not last.time.holds(options.clock()):
        return "a time has come"
    if any(not reading.holds for reading in last.trace.readings):
        return "a member changed, or is out of touch"
    if marks_of_files(options, prepared.federation.name) != last.files:
        return "a file changed"
    if mark_of_source(options) != last.source:
        return "the repository changed"
    if list(map(_timeless, probes_now(prepared))) != list(map(_timeless, prepared.probes)):
        return "the health of a cluster changed"
    asked = in_parallel(_same_answer, last.trace.questions, CONCURRENT_QUESTIONS)
    if not all(asked):
        return "an answer changed"
    return "" if all(same() for same in last.trace.others) else "what others say changed"


def _same_answer(question: TracedRequest) -> bool:
    exchange, request = question.exchange, question.request
    # The time of the run that asked is over.
    request = replace(request, seconds_left=None)
    try:
        return isinstance(exchange, TracedExchange) and exchange.ask_again(
            replace(question, request=request)
        )
    except (NoAnswer, ClusterError):
        return False


def probes_now(prepared: Prepared) -> tuple[Probe, ...]:
    """How the clusters are, asked as the run did that made this plan."""
    connector = prepared.connector
    settings = tuple((k, v) for k, v in connector.settings if k != "seconds_left")
    connections = Connections(replace(connector, settings=settings))
    return probes_of(connections.member, prepared.state, {}, NoProgress())


def _timeless(probe: Probe) -> Probe:
    """Without what differs in each answer."""
    return replace(probe, server_time=None)


def marks_of_files(options: RunOptions, federation: str) -> str:
    """Of the files outside of the repository that a run reads."""
    return "\n".join(stamp(path) for path in _files(options, federation))


def _files(options: RunOptions, federation: str) -> Iterator[Path]:
    chosen = options.kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config"
    yield from (Path(part).expanduser() for part in chosen.split(os.pathsep) if part)
    if not in_host_cluster(options):
        kept = options.state not in AUTO_STATE
        yield Path(options.state) if kept else default_file(options, federation)
    named = (options.trusted_keys, options.git_credentials, options.access_providers)
    for name in (*named, *options.mirror_credentials):
        if name:
            path = Path(name)
            yield path
            if path.is_dir():
                yield from sorted(path.iterdir())
