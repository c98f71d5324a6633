"""Variables that look like options and are none: a misspelt line must not go unheard."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping

import click

from reconciler.api.options import ENVIRONMENT_PREFIX as PREFIX
from reconciler.api.options import declarations
from reconciler.cli.command_group import COMMANDS

# What Kubernetes tells each pod of a Service that is named after us.
_OF_A_SERVICE = re.compile(
    rf"{PREFIX}(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_\w+)?)", re.ASCII
)
# Those of the shell's completion, and of options of one command only.
_OTHERS = (f"{PREFIX}COMPLETE", *(f"{PREFIX}{name.upper()}_" for name in COMMANDS))


def check_environment(environment: Mapping[str, str]) -> None:
    """Raises click.UsageError for the first variable that sets nothing."""
    known = {one.variable for one in declarations().values() if one.variable}
    for name in sorted(environment):
        if not name.startswith(PREFIX) or name in known or name.startswith(_OTHERS):
            continue
        if _OF_A_SERVICE.fullmatch(name):
            continue
        close = difflib.get_close_matches(name, known, 1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise click.UsageError(f"The variable {name} sets no option.{hint}")
