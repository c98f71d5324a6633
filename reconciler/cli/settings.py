"""The options of the commands, made of the fields of ``RunOptions``, and what comes of them.

``reconcile --repo X validate`` and ``reconcile validate --repo X`` are the same, and the
environment variable RECONCILE_REPO serves every command.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import NoneType
from typing import Any, Literal, TypeVar, get_args, get_origin

import click
from msgspec import Struct, field
from msgspec.structs import replace

from reconciler.api.options import Declaration, Option, RunOptions, declarations, usual_seconds
from reconciler.cli.console import Console, open_console

Command = TypeVar("Command", bound=Callable[..., Any])


class CommandSettings(Struct, frozen=True):
    """What a command is asked to do, and where it tells of it."""

    options: RunOptions = RunOptions()
    console: Console = field(default_factory=Console)

    def with_options(self, **changed: Any) -> CommandSettings:
        """The same with these fields of the options."""
        return replace(self, options=replace(self.options, **changed))

    def until_deadline(
        self, *, plan_only: bool = True, more: float = 0.0
    ) -> tuple[CommandSettings, float]:
        """With a deadline that begins now, and holds for Git and the lock as well; its seconds."""
        options = self.options
        seconds = options.deadline or usual_seconds(plan_only=plan_only) + more
        ends, others = time.monotonic() + seconds, options.time_left
        limited = self.with_options(
            time_left=lambda: min(ends - time.monotonic(), others()),
            git_timeout=min(options.git_timeout, seconds),
        )
        return limited, seconds


class GroupedOption(click.Option):
    """An option with the heading under which ``--help`` lists it."""

    def __init__(self, *args: Any, heading: str = "Options", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.heading = heading


def option(*names: str, heading: str, **settings: Any) -> Callable[[Command], Command]:
    """``click.option`` with a heading, for what is one subcommand's own."""
    return click.option(*names, cls=GroupedOption, heading=heading, **settings)


def run_options(*names: str, **other: str) -> Callable[[Command], Command]:
    """Adds options of ``RunOptions``, by their fields' names or by that of their group; without
    names all of them. ``other``: the heading, help or flags that they have in this command.

    What is not given is None, and leaves the field as it is: see ``merged``.
    """
    wanted = [
        one
        for one in declarations().values()
        if not names or one.name in names or one.option.group in names
    ]

    def decorate(command: Command) -> Command:
        for one in reversed(wanted):
            command = _click_option(one, replace(one.option, **other))(command)
        return command

    return decorate


def _click_option(declared: Declaration, how: Option) -> Callable[[Command], Command]:
    kind, multiple = declared.type, get_origin(declared.type) is tuple
    if multiple:
        kind = get_args(kind)[0]
    multiple = multiple or bool(how.rest)
    given: dict[str, Any] = {"is_flag": True} if kind is bool else {"type": _click_type(kind, how)}
    if how.show_default:
        given |= {"default": getattr(RunOptions(), declared.name), "show_default": True}
    elif not multiple:
        given["default"] = None
    if how.problem is not None:
        given["callback"] = _checked_by(how.problem, multiple=multiple)
    return option(
        *how.flags.split(),
        declared.parameter,
        heading=how.heading,
        help=how.help,
        metavar=how.metavar,
        multiple=multiple,
        allow_from_autoenv=how.variable,
        **given,
    )


def _click_type(kind: Any, how: Option) -> click.ParamType[Any]:
    (kind,) = [one for one in get_args(kind) if one is not NoneType] if _optional(kind) else [kind]
    if get_origin(kind) is Literal:
        return click.Choice(get_args(kind))
    if kind is float:
        return DURATION
    if kind is int:
        return click.IntRange(min=how.minimum)
    if kind is Path:
        return click.Path(dir_okay=False, path_type=Path)
    return PLACE if how.rest else click.STRING


def _optional(kind: Any) -> bool:
    return get_origin(kind) is not Literal and NoneType in get_args(kind)


def _checked_by(problem: Callable[[Any], str], *, multiple: bool) -> Callable[..., Any]:
    def check(_: click.Context, __: click.Parameter, value: Any) -> Any:
        for one in value if multiple else () if value is None else (value,):
            if text := problem(one):
                raise click.BadParameter(text)
        return value

    return check


def merged(context: click.Context, **given: Any) -> CommandSettings:
    """The settings of `reconcile`, with what a subcommand was given itself put over them."""
    settings: CommandSettings = context.obj or CommandSettings()
    over = {name: value for name, value in given.items() if value not in (None, ())}
    for name, rest in _RESTS.items():
        if name in over:
            over[name], *others = over[name]
            over[rest] = tuple(others)
    options = replace(settings.options, **over)
    console = open_console(
        no_color=options.no_color,
        debug=options.debug,
        verbose=options.verbose,
        json_lines=options.log_format == "json",
    )
    return CommandSettings(options, console)


_RESTS = {one.name: one.option.rest for one in declarations().values() if one.option.rest}


class DirectoryOrUrl(click.ParamType[str]):
    """A directory or a URL; several in a variable are separated by spaces, as they may have none
    there, but for the path of one directory that there is."""

    name = "place"

    def split_envvar_value(self, rv: str) -> Sequence[str]:
        return [rv] if Path(rv).expanduser().exists() else rv.split()


PLACE = DirectoryOrUrl()


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
