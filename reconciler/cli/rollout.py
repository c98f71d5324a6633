"""`reconcile rollout`: how far a commit has come, and what a person tells it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from reconciler.api.errors import UsageError
from reconciler.api.options import FLEET, OTHER_RUNS
from reconciler.cli.command_group import ShowingGroup
from reconciler.cli.console import styled
from reconciler.cli.exit_codes import Exit
from reconciler.cli.settings import DURATION, Command, CommandSettings, merged, option, run_options
from reconciler.cli.simulated import with_simulated_members
from reconciler.cli.stop import Stop, until_signal

if TYPE_CHECKING:
    from reconciler.lock.run_lock import RunLock
    from reconciler.rollout.model import RolloutView
    from reconciler.rollout.steering import Steered, Waves
    from reconciler.run.start import OpenedMemory

WATCH, OUTPUT, WHAT = "Watching", "Output", "What to do"
LOCK_SECONDS = 120.0
"""For a run that has the lock: what it remembers at its end must not be lost."""

EPILOG = """\b
Examples:
  reconcile rollout                  where it is, what it waits for, who has which commit
  reconcile rollout --watch          until every cluster has it, or it has failed
  reconcile rollout -o json | jq -r .rollout.phase
  reconcile rollout promote          leave this wave: no soak, no gates, no person
  reconcile rollout promote --now    all waves at once, for emergencies
  reconcile rollout hold --reason "checkout is slow"
  reconcile rollout resume           what is held or has failed goes on
  reconcile rollout abort            every cluster goes back to the stable commit
\b
Exit codes: 0 no rollout, or one that goes on; 1 it has failed, or cannot be read.
No cluster is asked: it shows what the last run left. Why one is not well yet is in
`reconcile --plan`.
"""


def steering(command: Command) -> Command:
    """The options by which repository, memory and lock are found."""
    options: list[Callable[[Command], Command]] = [
        run_options("sandbox", heading=FLEET, help="Use the simulated clusters."),
        run_options("memory"),
        run_options("repository"),
        run_options("terminal"),
    ]
    for one in reversed(options):
        command = one(command)
    return command


_lock_options = run_options(
    "lock",
    "lock_timeout",
    "lease_duration",
    heading=OTHER_RUNS,
)


@click.group(cls=ShowingGroup, invoke_without_command=True, epilog=EPILOG)
@option(
    "-w", "--watch", is_flag=True, heading=WATCH, help="Look again until it is over, or has failed."
)
@option(
    "--interval",
    type=DURATION,
    default="5s",
    show_default=True,
    heading=WATCH,
    help="How long to wait before looking again.",
)
@option("--timeout", type=DURATION, heading=WATCH, help="Give up watching after this time.")
@option(
    "-o",
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    heading=OUTPUT,
    help="What to print.",
)
@steering
@click.pass_context
def rollout(
    context: click.Context,
    /,
    *,
    watch: bool,
    interval: float,
    timeout: float | None,
    output: str,
    **given: Any,
) -> int:
    """Show how far a commit has come: which wave, what it waits for, who has which commit.

    For federations with spec.rollout. What it is told by promote, hold, resume and abort is
    remembered, and done by the next run.
    """
    settings = merged(context, **given)
    if context.invoked_subcommand is not None:
        context.obj = settings
        return Exit.OK
    if timeout is not None and not watch:
        raise click.UsageError("--timeout goes with --watch.")
    ends = time.monotonic() + timeout if timeout is not None else None
    with until_signal(settings) as stop, with_simulated_members(settings) as settings:
        return _follow(settings, stop, output, interval if watch else None, ends)


def _follow(
    settings: CommandSettings, stop: Stop, output: str, interval: float | None, ends: float | None
) -> Exit:
    from reconciler.report.rollout import FAILED, STEADY

    before = ""
    while True:
        in_time, seconds = settings.until_deadline()
        with stop.within(seconds):
            opened = _opened(in_time, None)
        view = _view(opened)
        before = _show(settings, opened, view, output, before, watch=interval is not None)
        if view.phase == FAILED:
            return Exit.FAILED
        if interval is None or view.phase == STEADY:
            return Exit.OK
        if ends is not None and time.monotonic() + interval > ends:
            settings.console.note("The time is over, and the rollout is not.")
            return Exit.FAILED
        stop.wait(interval)


def _show(
    settings: CommandSettings,
    opened: OpenedMemory,
    view: RolloutView,
    output: str,
    before: str,
    *,
    watch: bool,
) -> str:
    """Print, unless nothing but the time has changed; on a terminal the old picture makes way."""
    console = settings.console
    if output == "json":
        from reconciler.report.json_report import rollout_document

        document = {
            "federation": opened.state.federation.name,
            "rollout": rollout_document(view),
        }
        text = json.dumps(document, indent=2, ensure_ascii=False)
    else:
        from reconciler.report.text import render_rollout

        text = render_rollout(view, colour=console.stdout_colour, width=console.width)
    redrawn = watch and console.stdout_colour and output != "json"
    if text != before or redrawn:
        if watch and before and output != "json":
            if console.stdout_colour:
                click.clear()
            else:
                console.out("")
        console.document(text.rstrip("\n"))
        for line in _times(view, time.time(), console.width) if output != "json" else ():
            console.out(line)
    if opened.found.problem and not before:
        console.note(f"Warning: {opened.found.problem}")
    return text


def _times(view: RolloutView, now: float, width: int) -> list[str]:
    """Since when the candidate and its wave are on their way."""
    from reconciler.report.text import Style
    from reconciler.rollout.words import duration

    def since(moment: float) -> str:
        when = datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M UTC")
        return f"{when} ({duration(max(0.0, now - moment))} ago)"

    if not view.candidate or not view.since:
        return []
    wave = f"; this wave {since(view.wave_since)}" if view.wave_since else ""
    text = f"Begun {since(view.since)}{wave}."
    return list(Style(colour=False, width=width).wrapped("  ", text, 4))


# -- steering --------------------------------------------------------------------------------------

_NEXT = """\b
Nothing is written into a cluster before the next run, which does it; `reconcile --plan`
shows that beforehand. It waits for a run that has the lock.
"""


@rollout.command("promote", epilog=_NEXT, writes=True)
@option(
    "--now",
    "at_once",
    is_flag=True,
    heading=WHAT,
    help="All remaining clusters at once, for emergencies: nothing proves the commit before.",
)
@run_options("yes", heading=WHAT)
@_lock_options
@steering
@click.pass_context
def promote_rollout(context: click.Context, /, *, at_once: bool, **given: Any) -> int:
    """Leave this wave: without soak, gates, or what is not well in it.

    Also what has failed goes on by this; what is held does not.
    """
    from reconciler.rollout import steering

    def change(opened: OpenedMemory) -> Steered:
        now = time.time()
        return steering.promote(
            opened.found.memory, _waves(opened), now, at_once=at_once, closed=_closed(opened, now)
        )

    def loud(opened: OpenedMemory) -> tuple[str, str]:
        from reconciler.report.wording import plural
        from reconciler.rollout.words import short_commit

        memory = opened.found.memory
        left = steering.remaining(memory, _waves(opened))
        commit = short_commit(memory.rollout.candidate if memory.rollout else "")
        warning = (
            f"{commit} reaches {plural(len(left), 'more cluster')} at once in the next run: no "
            "wave, soak or gate proves it before. If it is wrong, it is wrong everywhere."
        )
        return warning, f"Give {commit} to {plural(len(left), 'more cluster')} at once"

    return _steer(merged(context, **given), change, loud if at_once else None)


@rollout.command("hold", epilog=_NEXT, writes=True)
@option("--reason", default="", metavar="TEXT", heading=WHAT, help="Why, for whoever looks at it.")
@_lock_options
@steering
@click.pass_context
def hold_rollout(context: click.Context, /, *, reason: str, **given: Any) -> int:
    """Let no further cluster begin. Those that have the candidate keep it."""
    from reconciler.rollout import steering

    def change(opened: OpenedMemory) -> Steered:
        return steering.hold(opened.found.memory, _waves(opened), reason, time.time())

    return _steer(merged(context, **given), change)


@rollout.command("resume", epilog=_NEXT, writes=True)
@_lock_options
@steering
@click.pass_context
def resume_rollout(context: click.Context, /, **given: Any) -> int:
    """Let go on what is held or has failed, in the wave in which it is."""
    from reconciler.rollout import steering

    def change(opened: OpenedMemory) -> Steered:
        return steering.resume(opened.found.memory, _waves(opened), time.time())

    return _steer(merged(context, **given), change)


@rollout.command("abort", epilog=_NEXT, writes=True)
@run_options("yes", heading=WHAT)
@_lock_options
@steering
@click.pass_context
def abort_rollout(context: click.Context, /, **given: Any) -> int:
    """Bring every cluster back to the stable commit.

    The commit never begins by itself again; the next one in Git does.
    """
    from reconciler.rollout import steering

    def change(opened: OpenedMemory) -> Steered:
        return steering.abort(opened.found.memory, closed=_closed(opened, time.time()))

    def loud(opened: OpenedMemory) -> tuple[str, str]:
        return change(opened).says, "Abort the rollout"

    return _steer(merged(context, **given), change, loud)


def _steer(
    settings: CommandSettings,
    change: Callable[[OpenedMemory], Steered],
    loud: Callable[[OpenedMemory], tuple[str, str]] | None = None,
) -> int:
    """Change the memory under the lock. ``loud`` gives a warning and a question, both shown before
    the lock is taken, so that no run waits for a person."""
    from reconciler.lock.run_lock import RunLock

    console = settings.console
    with with_simulated_members(settings) as settings:
        seen = _opened(settings, None)
        change(seen)
        if loud:
            warning, question = loud(seen)
            console.note(f"{styled('Warning:', fg='red', bold=True)} {styled(warning, bold=True)}")
            asks = settings.options.asks and console.interactive
            if asks and not console.confirmed(question):
                console.note("Nothing was changed.")
                return Exit.FAILED
        wait = settings.options.lock_timeout or LOCK_SECONDS
        options = settings.with_options(lock_timeout=wait, plan_only=False).options
        with RunLock(options, console.note) as lock:
            opened = _opened(settings.with_options(lock_timeout=wait, plan_only=False), lock)
            _check_unmoved(seen, opened)
            steered = change(opened)
            lock.check()
            opened.store.write(steered.memory, opened.found.version)
        console.out(steered.says)
        console.note("Next: reconcile --plan")
    return Exit.OK


def _check_unmoved(seen: OpenedMemory, opened: OpenedMemory) -> None:
    """Raises UsageError where a run, or somebody, moved it on since it was looked at."""
    before, after = seen.found.memory.rollout, opened.found.memory.rollout
    if before and after and (before.candidate, before.wave) == (after.candidate, after.wave):
        return
    raise UsageError(
        "the rollout moved on in the meantime, and nothing was changed",
        hint="look at it again: reconcile rollout",
    )


# -- reading ---------------------------------------------------------------------------------------


def _opened(settings: CommandSettings, lock: RunLock | None) -> OpenedMemory:
    """Raises UsageError where Git has no rules of rollouts."""
    from reconciler.run import start

    opened = start.open_memory_with(settings.options, lock)
    federation = opened.state.federation
    if federation.rollout is None:
        raise UsageError(
            "the Federation has no spec.rollout: every commit reaches all clusters in one run",
            hint=f"docs/rollouts.md tells how waves work; add them at {federation.position}",
        )
    return opened


def _view(opened: OpenedMemory) -> RolloutView:
    from reconciler.rollout.remembered import remembered_view

    rules = opened.state.federation.rollout
    assert rules is not None  # noqa: S101  (``_opened`` has looked)
    now = time.time()
    memory = opened.found.memory
    return remembered_view(rules, opened.state.clusters, memory, now, _closed(opened, now))


def _closed(opened: OpenedMemory, now: float) -> dict[str, str]:
    """Cluster -> why nothing is written to it."""
    if not opened.state.has_maintenance:
        return {}
    from reconciler.federation.maintenance import closed

    return {name: str(why) for name, why in closed(opened.state, now).items()}


def _waves(opened: OpenedMemory) -> Waves:
    return [(wave.name, [one.name for one in wave.clusters]) for wave in _view(opened).waves]
