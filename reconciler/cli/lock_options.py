"""The options that keep runs apart, let pods share one, and end them in time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from reconciler.cli.durations import DURATION
from reconciler.cli.settings import option

Command = TypeVar("Command", bound=Callable[..., Any])
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
