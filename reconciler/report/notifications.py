"""Telling people of failures, failovers and recoveries: once for each change, not in every run.

What each receiver was notified of is remembered (``state.memory.NotifiedState``), for each by
itself: a message that could not be delivered is sent again by the next run. A message may therefore
arrive twice when a run dies between sending and remembering, but none is lost.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import orjson
from msgspec import Struct
from msgspec.structs import replace

from reconciler.api.notices import NoticeCause
from reconciler.api.objects import Object
from reconciler.cluster.parallel import in_parallel
from reconciler.failover.cluster_health import ClusterHealth
from reconciler.federation.model import SecretReference
from reconciler.plan.model import ClusterPlan, Plan
from reconciler.report.delivery import NotDelivered, send
from reconciler.report.finished_run import NOTHING_FAILED, FinishedRun, digest
from reconciler.report.rollout import FAILED, TROUBLE, current_wave, headline
from reconciler.rollout.model import RolloutEvent
from reconciler.shard.split import Shard
from reconciler.state.memory import NotifiedState, Phase

FORMAT_VERSION = 1
DEFAULT_KEY = "url"
CONCURRENT_DELIVERIES = 8
MOST_LINES = 10
LONGEST_LINE = 300
SLACK_SECTION = 3000
"""Slack refuses a section with more characters."""


class NotificationReason(StrEnum):
    FAILURE = "failure"
    FAILOVER = "failover"
    RECOVERY = "recovery"
    ROLLOUT = "rollout"


class Receiver(Struct, frozen=True):
    """Who gets notifications. Its address is in the environment variable ``env`` or in
    ``secret``."""

    type: str
    env: str = ""
    secret: SecretReference | None = None
    occasions: frozenset[NotificationReason] = frozenset(NotificationReason)

    @property
    def name(self) -> str:
        """For people and in warnings: where the address comes from, never the address."""
        if self.secret is None:
            return f"{self.type} (variable {self.env})"
        return f"{self.type} (Secret {self.secret.name})"

    @property
    def id(self) -> str:
        """Stays the same while type and place of the address do."""
        secret = self.secret or SecretReference("")
        return digest(self.type, self.env, secret.namespace, secret.name, secret.key)


class Notification(Struct, frozen=True):
    """One change worth telling. ``cluster`` is empty where it is about the run as a whole."""

    occasion: NotificationReason
    title: str
    lines: tuple[str, ...] = ()
    cluster: str = ""


_GIT, _ROLLOUT, _FIGHTS = "git", "rollout", "fights"

AddressOf = Callable[[Receiver], str]
"""Where a receiver is. Raises NotDelivered when that cannot be found out."""


def receivers_of(notifications: Sequence[Mapping[str, Any]]) -> tuple[Receiver, ...]:
    """``spec.notifications`` of a Federation that was checked; ``on`` left out means all."""
    found = []
    for one in notifications:
        place = one.get("urlFrom") or {}
        reference = place.get("secretRef")
        secret = None
        if reference:
            secret = SecretReference(
                reference["name"],
                reference.get("namespace", ""),
                reference.get("key", DEFAULT_KEY),
            )
        occasions = frozenset(
            NotificationReason(name) for name in one.get("on", NotificationReason)
        )
        found.append(Receiver(one["type"], place.get("env", ""), secret, occasions))
    return tuple(dict.fromkeys(found))


def deliver_notifications(
    run: FinishedRun,
    receivers: Sequence[Receiver],
    notified: NotifiedState,
    address_of: AddressOf,
    deliver: Callable[[str, bytes, Mapping[str, str]], None] = send,
) -> tuple[NotifiedState, list[str]]:
    """Send what is new to whom it is new, to all at once. Gives what they know now, warnings."""

    def one(receiver: Receiver) -> tuple[dict[str, str], str]:
        prefix = f"{receiver.id}/"
        before = {
            key.removeprefix(prefix): state
            for key, state in notified.states.items()
            if key.startswith(prefix)
        }
        news, after = notifications_of(run, before)
        wanted = [one for one in news if one.occasion in receiver.occasions]
        warning = ""
        if wanted:
            try:
                deliver(address_of(receiver), *message(receiver, run, wanted))
            except NotDelivered as error:
                warning = f"no notification was sent by {receiver.name}: it {error}"
                after = before
        return {prefix + key: state for key, state in after.items()}, warning

    answers = in_parallel(one, receivers, CONCURRENT_DELIVERIES)
    states = {key: state for known, _ in answers for key, state in known.items()}
    return replace(notified, states=states), [warning for _, warning in answers if warning]


def notifications_of(
    run: FinishedRun, before: Mapping[str, str]
) -> tuple[tuple[Notification, ...], dict[str, str]]:
    """What a receiver who knows ``before`` does not know yet, and what it knows afterwards.

    States are by subject: ``run`` -> a digest of what fails (``run/1`` where that is of shard 1
    only), ``cluster/NAME`` -> ``Down``, ``git`` -> ``Silent``, ``rollout`` -> its phase, commit
    and wave, ``fights`` -> a digest of the objects. What is well has none, but for the last. Pure.
    """
    after = dict(before)
    news = []
    if run.plan and run.plan.health:
        subjects = {f"cluster/{one.cluster}" for one in run.plan.health}
        for gone in [key for key in after if key.startswith("cluster/") and key not in subjects]:
            del after[gone]
        for one in run.plan.health:
            news += _of_cluster(run.plan, one, after)
    if run.plan and not (run.shard and not run.shard.decides):
        news += _of_git(run, run.plan, after)
        news += _of_rollout(run, run.plan, after)
    if run.plan and run.shard is None:
        news += _of_fights(run, run.plan, after)
    trouble = run.trouble
    subject = f"run/{run.shard.index}" if run.shard else "run"
    if trouble and after.get(subject) != trouble:
        news.append(_failure(run, again=subject in after))
        after[subject] = trouble
    elif trouble == "":
        mended = [key for key in after if key == subject or _is_left_over(key, run.shard)]
        for key in mended:
            del after[key]
        if mended:
            title = f"{_fleet(run)} runs as Git says again"
            news.append(Notification(NotificationReason.RECOVERY, title, (_commit(run),)))
    return tuple(news), after


def _is_left_over(subject: str, shard: Shard | None) -> bool:
    """Whether it is of runs that were shared out otherwise; the first pod speaks for those."""
    what, _, index = subject.partition("/")
    if what != "run" or (shard and not shard.decides):
        return False
    return shard is None or not index or int(index) >= shard.count


def _of_git(run: FinishedRun, plan: Plan, states: dict[str, str]) -> list[Notification]:
    if bool(plan.without_git) == (_GIT in states):
        return []
    if plan.without_git:
        states[_GIT] = "Silent"
        title = f"{_fleet(run)} goes on without Git"
        return [
            Notification(NotificationReason.FAILURE, title, _shortened([str(plan.without_git)]))
        ]
    del states[_GIT]
    return [
        Notification(NotificationReason.RECOVERY, f"{_fleet(run)} has Git again", (_commit(run),))
    ]


def _of_fights(run: FinishedRun, plan: Plan, states: dict[str, str]) -> list[Notification]:
    """Objects that others change whenever they are put back: told when one is new."""
    found = {one.subject: str(one) for one in plan.notices if one.cause is NoticeCause.FOUGHT_OVER}
    known = states.pop(_FIGHTS, "")
    if not found:
        return []
    states[_FIGHTS] = digest(*sorted(found))
    if states[_FIGHTS] == known:
        return []
    title = f"{_fleet(run)}: somebody changes back what is put right"
    return [Notification(NotificationReason.FAILURE, title, _shortened(list(found.values())))]


_TITLES = {
    RolloutEvent.STARTED: "begins to reach the fleet",
    RolloutEvent.PROMOTED: "goes on to the next wave",
    RolloutEvent.HELD: "is held",
    RolloutEvent.FAILED: "has failed",
    RolloutEvent.RETURNED: "goes back to the stable commit where it has failed",
    RolloutEvent.COMPLETED: "has reached every cluster",
    RolloutEvent.ABORTED: "is aborted",
}


def _of_rollout(run: FinishedRun, plan: Plan, states: dict[str, str]) -> list[Notification]:
    """What this run brings. Where an earlier run brought it and it was not delivered, how it is."""
    view = plan.rollout
    if view is None:
        states.pop(_ROLLOUT, None)
        return []
    found = current_wave(view)
    wave = found[0] + 1 if found else 0
    state = f"{view.phase}/{(view.candidate or view.stable)[:12]}/{wave}"
    before, states[_ROLLOUT] = states.get(_ROLLOUT), state
    if before == state or not (before or view.events):
        return []
    if not view.events:
        occasion = (
            NotificationReason.FAILURE if view.phase == FAILED else NotificationReason.ROLLOUT
        )
        return [Notification(occasion, f"{_fleet(run)}: {headline(view)}")]
    return [
        Notification(
            NotificationReason.FAILURE if event in TROUBLE else NotificationReason.ROLLOUT,
            f"{_fleet(run)}: a commit {_TITLES[event]}",
            _shortened([text, headline(view)]),
        )
        for event, text in view.events
    ]


def _of_cluster(plan: Plan, health: ClusterHealth, states: dict[str, str]) -> list[Notification]:
    subject = f"cluster/{health.cluster}"
    down = health.phase is Phase.DOWN
    if down == (subject in states):
        return []
    if down:
        states[subject] = Phase.DOWN
        lines = [health.reason, *map(str, plan.moves)]
        title = f"{health.cluster}{_place(plan, health.cluster)} counts as down"
        return [Notification(NotificationReason.FAILOVER, title, _shortened(lines), health.cluster)]
    del states[subject]
    doing = "takes over its share again" if health.phase is Phase.RETURNING else "is back"
    title = f"{health.cluster}{_place(plan, health.cluster)} answers again and {doing}"
    return [
        Notification(
            NotificationReason.RECOVERY,
            title,
            _shortened(list(map(str, plan.moves))),
            health.cluster,
        )
    ]


def _failure(run: FinishedRun, *, again: bool) -> Notification:
    news = [failure for failure in run.failures if failure.kind not in NOTHING_FAILED]
    lines = [str(failure) for failure in news]
    what = "fails otherwise than before" if again else "does not run as Git says"
    return Notification(
        NotificationReason.FAILURE, f"{_fleet(run)} {what}", (*_shortened(lines), _commit(run))
    )


def _fleet(run: FinishedRun) -> str:
    fleet = f"Federation {run.federation}" if run.federation else "A federation"
    return f"{fleet} (shard {run.shard})" if run.shard else fleet


def _commit(run: FinishedRun) -> str:
    if run.commit:
        return f"commit {run.commit[:12]}"
    return f"commit {run.applied_commit[:12]} goes on running" if run.applied_commit else ""


def _place(plan: Plan, name: str) -> str:
    cluster = next((c for c in plan.clusters if c.name == name), ClusterPlan(name))
    place = ", ".join(filter(None, [cluster.provider, cluster.region, cluster.zone]))
    return f" ({place})" if place else ""


def _shortened(lines: Sequence[str]) -> tuple[str, ...]:
    """A message is for a glance; the report has all of it."""
    kept = [" ".join(line.split()) for line in lines if line]
    kept = [line if len(line) <= LONGEST_LINE else line[: LONGEST_LINE - 1] + "…" for line in kept]
    more = len(kept) - MOST_LINES
    return (*kept[:MOST_LINES], f"and {more} more") if more > 0 else tuple(kept)


# -- the two forms -----------------------------------------------------------------------------


def message(
    receiver: Receiver, run: FinishedRun, news: Sequence[Notification]
) -> tuple[bytes, dict[str, str]]:
    """Body and headers of one POST."""
    make = slack_message if receiver.type == "Slack" else webhook_message
    return orjson.dumps(make(run, news)), {"content-type": "application/json"}


def webhook_message(run: FinishedRun, news: Sequence[Notification]) -> Object:
    """The form that ``schemas/notification.json`` documents."""
    return {
        "formatVersion": FORMAT_VERSION,
        "federation": run.federation,
        "run": run.id,
        "time": datetime.fromtimestamp(run.finished, UTC).isoformat(timespec="seconds"),
        "commit": run.commit,
        "ok": run.ok,
        "tidings": [
            {
                "on": str(one.occasion),
                "cluster": one.cluster,
                "title": one.title,
                "lines": [line for line in one.lines if line],
            }
            for one in news
        ],
    }


_EMOJI = {
    NotificationReason.FAILURE: ":x:",
    NotificationReason.FAILOVER: ":rotating_light:",
    NotificationReason.RECOVERY: ":white_check_mark:",
    NotificationReason.ROLLOUT: ":arrow_forward:",
}


def slack_message(run: FinishedRun, news: Sequence[Notification]) -> Object:
    """An incoming webhook's message: blocks, and ``text`` for where blocks are not shown."""
    blocks: list[Object] = []
    for one in news[:MOST_LINES]:
        head = f"{_EMOJI[one.occasion]} *{_slack(one.title)}*"
        lines = [f"• {_slack(line)}" for line in one.lines if line]
        blocks.append(_section("\n".join([head, *lines])))
    if len(news) > MOST_LINES:
        blocks.append(_section(f"and {len(news) - MOST_LINES} more"))
    about = ", ".join(filter(None, [run.federation, f"run {run.id}"]))
    blocks.append({"type": "context", "elements": [_mrkdwn(_slack(about))]})
    text = "; ".join(one.title for one in news)
    return {"text": _slack(text)[:SLACK_SECTION], "blocks": blocks}


def _section(text: str) -> Object:
    return {"type": "section", "text": _mrkdwn(text)}


def _mrkdwn(text: str) -> Object:
    # Verbatim: an address in a server's words is not made a link.
    return {"type": "mrkdwn", "text": text[:SLACK_SECTION], "verbatim": True}


def _slack(text: str) -> str:
    """Slack's three special characters; without ``<`` no name can make a link or call @channel."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


# -- addresses ---------------------------------------------------------------------------------


def address_from_environment(
    receiver: Receiver, environment: Mapping[str, str] = os.environ
) -> str:
    """Raises NotDelivered when the variable is not set."""
    address = environment.get(receiver.env, "").strip()
    if not address:
        raise NotDelivered(f"has no address: the variable {receiver.env} is empty")
    return address
