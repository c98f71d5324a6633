"""Whether a run was started as the one that made the plan. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.api.errors import GuardViolation, TextViolation, UsageError
from reconciler.api.options import RunOptions, kept_options
from reconciler.git.location import is_url, without_password
from reconciler.saved_plans.document import SavedPlan, json_name, options_document


def check_options(saved: SavedPlan, options: RunOptions, file: str) -> None:
    """Before anything is looked at: whether this run can come to the saved plan at all.

    What loosens a limit or chooses the repository is never taken from the file, as whoever wrote
    it may be somebody else. Raises UsageError with the options that are needed, GuardViolation
    when the plan itself passes a limit.
    """
    plan = saved.plan
    if plan["simulatedOutages"]:
        raise UsageError(f"{file} assumes an outage, and cannot be applied")
    differing = list(_differing(saved, options))
    if differing:
        raise UsageError(
            f"{file} was made with other options: {'; '.join(differing)}",
            hint=f"if that is what you want: {command(saved, file)}",
        )
    if plan["violations"]:
        violations = [TextViolation(text=text) for text in plan["violations"]]
        raise GuardViolation(violations, hint=plan["violationHint"])


def command(saved: SavedPlan, file: str) -> str:
    """The command that applies the plan, as a shell takes it."""
    source, options = saved.document["source"], saved.document["options"]
    words = ["reconcile"]
    if is_url(source["repository"]):
        words += ["--repo", source["repository"]]
        words += ["--ref", source["ref"]] if source["ref"] else []
    usual = options_document(RunOptions())
    for name, flag in _flags():
        if options[name] != usual[name]:
            words += _words(flag, options[name])
    return shlex.join([*words, "--apply-plan", file])


def _flags() -> list[tuple[str, str]]:
    """JSON name -> flag, of what a saved plan keeps."""
    return [(json_name(one), one.option.flag) for one in kept_options()]


def _words(flag: str, value: Any) -> Iterator[str]:
    if value is True:
        yield flag
    elif isinstance(value, list):
        for one in value:
            yield from (flag, str(one))
    else:
        yield from (flag, str(value))


def _differing(saved: SavedPlan, options: RunOptions) -> Iterator[str]:
    before: Mapping[str, Any] = saved.document["options"]
    now = options_document(options)
    for name, flag in _flags():
        if before[name] != now[name]:
            yield f"{flag} {_value_text(before[name])}, here {_value_text(now[name])}"
    then, here = saved.document["source"]["repository"], without_password(options.repo)
    # A directory may lie elsewhere on another machine; its commit tells whether it is the same.
    if (is_url(then) or is_url(here)) and then != here:
        yield f"--repo {then}, here {here}"


def _value_text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(value) or "not given"
    if isinstance(value, bool) or value is None:
        return "given" if value else "not given"
    return str(value)
