"""What happens once a run is over: it is measured, reported, and remembered as reported.

Nothing here can fail a run: whatever goes wrong is a warning.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import inf
from pathlib import Path

from msgspec import Struct, field
from msgspec.structs import replace

from reconciler.api.errors import ReconcileError
from reconciler.api.objects import ObjectKey, map_of
from reconciler.cluster.client import Member
from reconciler.cluster.connect import OTHER_NAMESPACES, PLAIN_HTTP
from reconciler.cluster.discovery import RESTMapping
from reconciler.cluster.parallel import in_parallel
from reconciler.plan.member_plan import MemberWork
from reconciler.report.delivery import NotDelivered, send
from reconciler.report.finished_run import FailureKind, FinishedRun
from reconciler.report.metrics import LatestMetrics
from reconciler.report.notifications import Receiver, address_from_environment
from reconciler.state.memory import FleetMemory, NotifiedState, Phase
from reconciler.state.stores import MemoryStore, update

_SECRETS = RESTMapping("v1", "Secret", "secrets", namespaced=True)


class ReportChannels(Struct, frozen=True):
    """Where a run's news may go, as far as that could be found out.

    ``notified_before`` is what was notified before this run, ``notified`` the same as this
    run wants it but for the states; ``before`` are the phases that the run began with. ``host``
    connects to the host cluster, or raises ReconcileError. ``namespace`` is where the receivers'
    Secrets are, ``own_namespace`` where they may be without ``allow`` (``--allow-access``), and
    ``regarding`` the ConfigMap that the host's Events are about. ``seconds_left`` are for all that
    is sent.
    """

    metrics_file: Path | None = None
    metrics_push: str = ""
    latest: LatestMetrics | None = None
    host_events: bool = False
    member_events: bool = False
    host: Callable[[], Member] | None = None
    namespace: str = ""
    own_namespace: str = ""
    allow: frozenset[str] = frozenset()
    regarding: ObjectKey | None = None
    works: Sequence[MemberWork] = ()
    receivers: Sequence[Receiver] = ()
    notified_before: NotifiedState = field(default_factory=NotifiedState)
    notified: NotifiedState = field(default_factory=NotifiedState)
    store: MemoryStore | None = None
    before: Mapping[str, Phase] = field(default_factory=dict)
    seconds_left: Callable[[], float] = lambda: inf


def after_run(run: FinishedRun, channels: ReportChannels) -> list[str]:
    """Metrics, Events, notifications; gives warnings. A plan that is only looked at is measured."""
    kinds = {failure.kind for failure in run.failures}
    if run.plan is None and kinds == {FailureKind.LOCKED}:
        # The run that has the lock is the one to tell of.
        return []
    stopped = FailureKind.STOPPED in kinds
    if stopped:
        # Somebody waits for this process to end.
        channels = replace(channels, metrics_push="")
    steps = [_measure] if run.plan_only or stopped else [_measure, _write_events, _notify]
    # Who hangs in one of them takes no time from the others.
    notified = in_parallel(lambda step: step(run, channels), steps, len(steps))
    return [warning for warnings in notified for warning in warnings]


def _measure(run: FinishedRun, channels: ReportChannels) -> list[str]:
    if not (channels.metrics_file or channels.metrics_push or channels.latest):
        return []
    from reconciler.report.metrics import push, write_file

    warnings = []
    if channels.metrics_file:
        warnings.append(write_file(run, channels.metrics_file))
    if channels.metrics_push:
        warnings.append(push(run, channels.metrics_push, channels.seconds_left))
    if channels.latest:
        channels.latest.update(run)
    return [warning for warning in warnings if warning]


def _write_events(run: FinishedRun, channels: ReportChannels) -> list[str]:
    if not (channels.host_events or channels.member_events):
        return []
    from reconciler.report import events

    warnings: list[str] = []
    now = time.time()
    happenings = events.event_drafts_of(run, channels.before)
    if channels.host_events and channels.host and happenings and channels.regarding:
        try:
            host = channels.host()
            uid = _uid_of(host, channels.regarding)
            regarding = events.Regarding("v1", channels.regarding, uid)
        except ReconcileError as error:
            warnings.append(f"no Events were written in the host cluster: {error}")
        else:
            warnings += events.write_host_events(host, regarding, happenings, now)
    if channels.member_events and run.result:
        for work in channels.works:
            warnings += events.write_member_events(run.result, work, now)
    return warnings


def _uid_of(host: Member, key: ObjectKey) -> str:
    from reconciler.state.stores import CONFIG_MAPS

    found = host.get(CONFIG_MAPS, key)
    return str(found["metadata"].get("uid", "")) if found else ""


def _notify(run: FinishedRun, channels: ReportChannels) -> list[str]:
    if not channels.receivers:
        return (
            _remember(channels.notified_before, NotifiedState(), channels.store)
            if channels.store
            else []
        )
    from reconciler.report.notifications import deliver_notifications

    if channels.store is None:
        # Telling the same in every run would be worse: metrics and Events still tell.
        return ["no notification was sent: what was sent before cannot be read"]
    notified, warnings = deliver_notifications(
        run,
        channels.receivers,
        channels.notified,
        lambda receiver: address_of(receiver, channels),
        partial(send, seconds_left=channels.seconds_left),
    )
    return [*warnings, *_remember(channels.notified_before, notified, channels.store)]


def address_of(receiver: Receiver, channels: ReportChannels) -> str:
    """Where a receiver is. Raises NotDelivered where nobody knows, or the job does not allow it."""
    if receiver.secret is None:
        address = address_from_environment(receiver)
    else:
        address = _address_in_secret(receiver, channels)
    if address.lower().startswith("http://") and PLAIN_HTTP not in channels.allow:
        raise NotDelivered(
            "has an address in the clear (http://), and nothing was sent to it; give it an "
            f"https:// one, or run with --allow-access {PLAIN_HTTP}"
        )
    return address


def _address_in_secret(receiver: Receiver, channels: ReportChannels) -> str:
    import base64
    import binascii

    secret = receiver.secret
    assert secret is not None  # noqa: S101  (asked only where there is one)
    namespace = secret.namespace or channels.namespace
    where = f"Secret {namespace}/{secret.name}"
    if namespace != channels.own_namespace and OTHER_NAMESPACES not in channels.allow:
        raise NotDelivered(
            f"has its address in {where}, and Secrets are only taken from "
            f"{channels.own_namespace}; "
            f"move it, or run with --allow-access {OTHER_NAMESPACES}"
        )
    if channels.host is None:
        raise NotDelivered(f"has its address in {where}, and no host cluster is known")
    key = ObjectKey("", "Secret", namespace, secret.name)
    try:
        found = channels.host().get(_SECRETS, key)
    except ReconcileError as error:
        raise NotDelivered(f"has its address in {where}, which cannot be read: {error}") from None
    if found is None:
        raise NotDelivered(f"has its address in {where}, which does not exist")
    value = map_of(found.get("data")).get(secret.key)
    if not isinstance(value, str):
        raise NotDelivered(f"has its address in {where}, which has no key {secret.key}")
    try:
        return base64.b64decode(value).decode().strip()
    except (binascii.Error, UnicodeDecodeError):
        raise NotDelivered(f"has its address in {where}, which is damaged") from None


def _remember(known: NotifiedState, notified: NotifiedState, store: MemoryStore) -> list[str]:
    """Keeps what was told in this run, and leaves the rest to whoever wrote it last."""
    if notified == known:
        return []
    gone = known.states.keys() - notified.states.keys()
    news = {k: state for k, state in notified.states.items() if known.states.get(k) != state}

    def with_news(memory: FleetMemory) -> FleetMemory:
        states = {k: s for k, s in memory.notified.states.items() if k not in gone} | news
        return replace(memory, notified=replace(notified, states=states))

    try:
        update(store, with_news)
    except ReconcileError as error:
        return [f"what was notified could not be stored: {error}"]
    return []
