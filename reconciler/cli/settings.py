"""The options that commands share, and how those of a subcommand go before those of `reconcile`.

``reconcile --repo X validate`` and ``reconcile validate --repo X`` are the same, and the
environment variable RECONCILE_REPO serves every command.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click
from msgspec import Struct, field
from msgspec.structs import replace

from reconciler.cli.console import Console, open_console

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.run.options import Options
import re

Command = TypeVar("Command", bound=Callable[..., Any])
GRACE_SECONDS = 25.0
"""Below the 30 seconds after which Kubernetes kills a pod that says nothing else."""


class CommandSettings(Struct, frozen=True):
    """What the command line and the environment say about repository, fleet and limits."""

    repo: str = "."
    ref: str | None = None
    path: str = "."
    clusters: tuple[str, ...] = ()
    kubeconfig: str | None = None
    host_context: str | None = None
    state: str | None = None
    force_conflicts: bool = False
    max_deletions: int | None = None
    simulate_outages: tuple[str, ...] = ()
    deadline: float | None = None
    simulated: bool = False
    git_credentials: str | None = None
    git_timeout: float = 120.0
    require_signature: Literal["gpg", "ssh"] | None = None
    signature_on: Literal["commit", "tag"] = "commit"
    trusted_keys: str | None = None
    allow_rollback: bool = False
    allow_access: tuple[str, ...] = ()
    take_over: bool = False
    lock: str = "auto"
    lock_timeout: float = 0.0
    lease_duration: float = 90.0
    shard: str | None = None
    round: str = ""
    grace: float = GRACE_SECONDS
    log_format: Literal["text", "json"] = "text"
    metrics_file: Path | None = None
    metrics_push: str | None = None
    events: str | None = None
    run_id: str = ""
    time_left: Callable[[], float] = lambda: inf
    console: Console = field(default_factory=Console)

    def until_deadline(
        self, *, plan_only: bool = True, more: float = 0.0
    ) -> tuple[CommandSettings, float]:
        """With a deadline that begins now, and holds for Git and the lock as well; its seconds."""
        from reconciler.run.options import usual_seconds

        seconds = self.deadline or usual_seconds(plan_only=plan_only) + more
        ends, others = time.monotonic() + seconds, self.time_left
        limited = replace(
            self,
            time_left=lambda: min(ends - time.monotonic(), others()),
            git_timeout=min(self.git_timeout, seconds),
        )
        return limited, seconds

    def options(self, *, plan_only: bool = True) -> Options:
        """The same as the pipeline wants it."""
        from reconciler.git.source_rules import SignatureRule
        from reconciler.run.options import Options
        from reconciler.shard.split import parse_shard

        required = self.require_signature
        return Options(
            repo=self.repo,
            ref=self.ref,
            path=self.path,
            clusters=self.clusters,
            kubeconfig=self.kubeconfig,
            host_context=self.host_context or "",
            state=self.state or "auto",
            plan_only=plan_only,
            force_conflicts=self.force_conflicts,
            max_deletions=self.max_deletions,
            simulate_outages=self.simulate_outages,
            deadline=self.deadline,
            simulated=self.simulated,
            git_credentials=self.git_credentials or "",
            git_timeout=self.git_timeout,
            require_signature=SignatureRule(required, self.signature_on) if required else None,
            trusted_keys=self.trusted_keys or "",
            allow_rollback=self.allow_rollback,
            allow_access=self.allow_access,
            take_over=self.take_over,
            lock=self.lock,
            lock_timeout=self.lock_timeout,
            time_left=self.time_left,
            lease_duration=self.lease_duration,
            shard=parse_shard(self.shard, self.round) if self.shard else None,
        )


class GroupedOption(click.Option):
    """An option with the heading under which ``--help`` lists it."""

    def __init__(self, *args: Any, heading: str = "Options", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.heading = heading


def option(*names: str, heading: str, **settings: Any) -> Callable[[Command], Command]:
    """``click.option`` with a heading."""
    return click.option(*names, cls=GroupedOption, heading=heading, **settings)


REPOSITORY, FLEET, TERMINAL = "Repository", "Fleet", "Terminal"


def repository_options(command: Command) -> Command:
    """Adds --repo, --ref, --path, and what it takes to reach and to trust a Git repository, and the
    credentials that it names."""
    for decorate in (
        option(
            "--allow-access",
            type=click.Choice(["insecure-tls", "other-namespaces", "plain-http", "proxy"]),
            multiple=True,
            heading=FLEET,
            help="Use credentials of the host for servers that are not verified, out of other "
            "namespaces, in the clear, or through proxies that Git or they name. Repeatable.",
        ),
        option(
            "--allow-rollback",
            is_flag=True,
            default=None,
            heading=REPOSITORY,
            help="Accept a commit that does not come after the last applied one.",
        ),
        option(
            "--trusted-keys",
            metavar="PATH",
            heading=REPOSITORY,
            help="Public keys, or allowed signers, that signatures are checked with.",
        ),
        option(
            "--signature-on",
            type=click.Choice(["commit", "tag"]),
            default=None,
            heading=REPOSITORY,
            help="What must carry it. [default: commit]",
        ),
        option(
            "--require-signature",
            type=click.Choice(["gpg", "ssh"]),
            default=None,
            heading=REPOSITORY,
            help="Read nothing that is not so signed, whatever the repository's own rules say.",
        ),
        option(
            "--git-timeout",
            type=DURATION,
            heading=REPOSITORY,
            help="Give up fetching after this time. [default: 2m]",
        ),
        option(
            "--git-credentials",
            metavar="DIR",
            heading=REPOSITORY,
            help="A mounted Secret: username and password, or token; identity and known_hosts.",
        ),
        option(
            "--path",
            metavar="DIR",
            heading=REPOSITORY,
            help="The directory in it that holds the manifests. [default: all of it]",
        ),
        option("--ref", metavar="REF", heading=REPOSITORY, help="Branch, tag or commit."),
        option(
            "--repo",
            metavar="PATH|URL",
            heading=REPOSITORY,
            help="A directory, read as it lies; or a Git URL. [default: .]",
        ),
    ):
        command = decorate(command)
    return command


def memory_options(command: Command) -> Command:
    """Adds --kubeconfig, --host-context and --state: where a fleet is, and what it remembers."""
    for decorate in (
        option(
            "--state",
            metavar="configmap|FILE",
            heading=FLEET,
            help="Where it is remembered who is down, and since when. [default: a ConfigMap of the "
            "host cluster in a pod or with --host-context, else a file of yours]",
        ),
        option(
            "--host-context",
            metavar="CONTEXT",
            heading=FLEET,
            help="The cluster that keeps credentials and what is remembered. [default: this pod's, "
            "or the current context]",
        ),
        option(
            "--kubeconfig", metavar="FILE", heading=FLEET, help="[default: as kubectl finds it]"
        ),
    ):
        command = decorate(command)
    return command


def terminal_options(command: Command) -> Command:
    """Adds --verbose, --no-color and --debug."""
    for decorate in (
        option(
            "--debug",
            is_flag=True,
            heading=TERMINAL,
            help="Show Python's traceback when the tool itself fails.",
        ),
        option("--no-color", is_flag=True, heading=TERMINAL, help="As the variable NO_COLOR."),
        option("-v", "--verbose", is_flag=True, heading=TERMINAL, help="Tell more."),
    ):
        command = decorate(command)
    return command


def merged(
    context: click.Context,
    *,
    verbose: bool = False,
    no_color: bool = False,
    debug: bool = False,
    **given: Any,
) -> CommandSettings:
    """The settings of `reconcile`, with what a subcommand was given itself put over them."""
    settings: CommandSettings = context.obj or CommandSettings()
    over = {name: value for name, value in given.items() if value not in (None, ())}
    if verbose or no_color or debug:
        console = open_console(
            no_color=no_color or not settings.console.colour_allowed,
            debug=debug or settings.console.debug,
            verbose=verbose or settings.console.verbose,
            json_lines=settings.console.json_lines,
        )
        over["console"] = console
    return replace(settings, **over)


# -- durations -------------------------------------------------------------------------------------


_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")


class Duration(click.ParamType[float]):
    """Seconds as a float; a bare number is seconds."""

    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        if isinstance(value, float | int):
            return float(value)
        text = str(value).strip()
        if re.fullmatch(r"\d+(\.\d+)?", text):
            seconds = float(text)
        elif re.fullmatch(f"({_PART.pattern})+", text):
            seconds = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
        else:
            self.fail(f"{text!r} is not a duration such as 90s, 10m or 1h30m", param, ctx)
        if seconds <= 0:
            self.fail("a duration is longer than nothing", param, ctx)
        return seconds


DURATION = Duration()


# -- locks, shards and deadlines -------------------------------------------------------------------

HEADING = "Other runs, and the end of this one"


def lock_options(command: Command) -> Command:
    """Adds --shard, --round, --lock, --lock-timeout, --lease-duration and --grace."""
    for decorate in (
        option(
            "--grace",
            type=DURATION,
            heading=HEADING,
            help="After SIGTERM, end within this time. [default: 25s]",
        ),
        option(
            "--lease-duration",
            type=DURATION,
            heading=HEADING,
            help="Others take over from a run that is silent for so long. [default: 90s]",
        ),
        option(
            "--lock-timeout",
            type=DURATION,
            heading=HEADING,
            help="Wait so long for another run to end. [default: fail when it is seen alive]",
        ),
        option(
            "--round",
            default="",
            metavar="ID",
            heading=HEADING,
            help="What the pods of one run have in common and no other run has, such as their "
            "Job's UID.",
        ),
        option(
            "--shard",
            metavar="INDEX/COUNT",
            heading=HEADING,
            help="Only this pod's share of the clusters, such as 0/4: the pods of one Job share "
            "a run. [default: $JOB_COMPLETION_INDEX/$JOB_COMPLETIONS, if both are set]",
        ),
        option(
            "--lock",
            type=click.Choice(["auto", "lease", "file", "none"]),
            heading=HEADING,
            help="A Lease in the host cluster, or a file. [default: lease in a pod or with "
            "--host-context, else file]",
        ),
    ):
        command = decorate(command)
    return command
