"""How the commands hang together: found by name, imported when called, ending in one exit code."""

from __future__ import annotations

import keyword
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from reconciler.api.errors import ReconcileError
from reconciler.api.options import declarations
from reconciler.api.spelling import close_matches
from reconciler.cli.console import Console, open_console
from reconciler.cli.error_messages import report_defect, report_failure
from reconciler.cli.exit_codes import Exit

COMMANDS = {
    "clusters": "List the members: how they are, and how far they are from Git.",
    "completion": "Print the script that completes commands in your shell.",
    "credential": "Print a token for a member on EKS or GKE, as kubeconfigs ask for one.",
    "demo": "Tell the story of a small federation on simulated clusters.",
    "failback": "Let a cluster that was down carry its share again.",
    "explain": "Explain a field, as `kubectl explain` does.",
    "import": "Make a repository of what a KubeFed host has.",
    "join": "Make a cluster a member of the federation.",
    "rollout": "Show how far a commit has come, and steer it.",
    "rotate": "Renew the tokens by which members are reached.",
    "seats": "Show the clusters that carry the reconciler, and change them.",
    "schema": "Write the JSON Schemas for your editor.",
    "status": "Show how workloads are over all clusters.",
    "unjoin": "Take a cluster out of the federation.",
    "survivability": "Show which workloads outlive which outage.",
    "validate": "Check a repository; needs no cluster.",
}
"""Every subcommand: ``validate`` is the function ``validate`` in ``cli/validate.py``."""


def _json_lines(arguments: list[str]) -> bool:
    """Whether --log-format json is among them, or the environment says so."""
    given = " ".join(arguments).replace("--log-format=", "--log-format ")
    if "--log-format " in given:
        return "--log-format json" in given
    return os.environ.get(declarations()["log_format"].variable) == "json"


def grouped_help(
    command: click.Command, ctx: click.Context, formatter: click.HelpFormatter
) -> None:
    """Lists a command's options under their headings, in the order in which they are declared."""
    headings: dict[str, list[tuple[str, str]]] = {}
    for parameter in command.get_params(ctx):
        record = parameter.get_help_record(ctx)
        if record is not None:
            heading = getattr(parameter, "heading", "Other")
            headings.setdefault(heading, []).append(record)
    for heading, records in headings.items():
        with formatter.section(heading):
            formatter.write_dl(records)


class GroupedCommand(click.Command):
    """A subcommand whose help lists options under headings."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        grouped_help(self, ctx, formatter)


class LimitedCommand(GroupedCommand):
    """One that asks Git or clusters: it ends with its deadline, and with SIGTERM.

    ``writes``: it may take as long as a run that applies, and its ``--wait`` beside that; what is
    half done is done again.
    """

    def __init__(self, *arguments: Any, writes: bool = False, **given: Any) -> None:
        super().__init__(*arguments, **given)
        self._writes = writes

    def invoke(self, ctx: click.Context) -> Any:
        from reconciler.cli.settings import CommandSettings
        from reconciler.cli.stop import limited

        settings: CommandSettings = ctx.obj or CommandSettings()
        timeout = ctx.params.get("timeout", 0.0)
        with limited(settings, writes=self._writes, more=timeout) as ctx.obj:
            return super().invoke(ctx)


class ShowingGroup(click.Group):
    """A command that shows, and the parent of those that change what it shows."""

    command_class = LimitedCommand
    only_shown = frozenset({"output", "watch", "interval", "timeout"})
    """The options by which is said how it is shown: no command under it knows them from there."""

    def invoke(self, ctx: click.Context) -> Any:
        under = next(iter([*ctx._protected_args, *ctx.args]), "")
        for one in self.params if under in self.commands else ():
            given = ctx.get_parameter_source(one.name or "") is ParameterSource.COMMANDLINE
            if given and one.name in self.only_shown:
                ctx.fail(f"{one.opts[-1]} goes with {ctx.command_path} alone, not {under}.")
        return super().invoke(ctx)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        grouped_help(self, ctx, formatter)
        self.format_commands(ctx, formatter)


class CommandGroup(click.Group):
    """`reconcile` itself: a command, and the parent of the others."""

    command_class = GroupedCommand

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in COMMANDS:
            return None
        # A keyword cannot be a function's name: ``import`` is ``import_``.
        name = cmd_name.replace("-", "_") + ("_" if keyword.iskeyword(cmd_name) else "")
        command = getattr(import_module(f"reconciler.cli.{name}"), name)
        assert isinstance(command, click.Command)  # noqa: S101  (COMMANDS says so)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS:
            message = f"No such command {name!r}."
            if close := close_matches(name, COMMANDS, 1):
                message += f" Did you mean {close[0]!r}?"
            elif Path(name).is_dir() or "://" in name:
                message += f" To read that repository: --repo {name}"
            ctx.fail(message)
        return super().resolve_command(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        grouped_help(self, ctx, formatter)
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name]) for name in self.list_commands(ctx)])

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Runs a command and turns whatever comes of it into an exit code, and words on stderr."""
        arguments = list(sys.argv[1:] if args is None else args)
        console = open_console(
            no_color="--no-color" in arguments,
            debug="--debug" in arguments or bool(os.environ.get(declarations()["debug"].variable)),
            json_lines=_json_lines(arguments),
        )
        code = self._run(
            arguments, console, prog_name=prog_name, complete_var=complete_var, **extra
        )
        if not standalone_mode:
            return code
        sys.exit(code)

    def _run(self, arguments: list[str], console: Console, **given: Any) -> int:
        try:
            result = super().main(arguments, standalone_mode=False, **given)
        except click.UsageError as error:
            error.show()
            return Exit.USAGE
        except click.ClickException as error:
            error.show()
            return Exit.FAILED
        except (click.Abort, KeyboardInterrupt):
            console.note("Interrupted.")
            return Exit.INTERRUPTED
        except ReconcileError as error:
            report_failure(error, console)
            return error.exit_code
        except OSError as error:
            # A full disk, a directory that may not be written: the machine's words are the best.
            report_failure(ReconcileError(str(error)), console)
            return Exit.FAILED
        except Exception as error:  # noqa: BLE001  (a person gets words, never a traceback)
            report_defect(error, console)
            return Exit.FAILED
        return int(result) if isinstance(result, int) else Exit.OK
