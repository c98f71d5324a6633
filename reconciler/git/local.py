"""Git commands that need no server: what they may know and do, and asking them ahead of need."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.api.errors import SourceError
from reconciler.api.options import ENVIRONMENT_PREFIX
from reconciler.git.processes import BegunProgram, FinishedProgram, run_program

if TYPE_CHECKING:
    from reconciler.git.credentials import SourceCredentials

LOCAL_SECONDS = 60
_SETTINGS = (
    ("core.hooksPath", os.devnull),
    ("core.fsmonitor", "false"),
    ("safe.directory", "*"),
    # A tree with `..`, `.git` or the like is refused before it is in the clone.
    ("fetch.fsckObjects", "true"),
    # Harmless, and found in the history of old repositories.
    ("fetch.fsck.zeroPaddedFilemode", "ignore"),
    ("fetch.fsck.badTimezone", "ignore"),
    ("fetch.fsck.missingSpaceBeforeDate", "ignore"),
    ("fetch.recurseSubmodules", "false"),
    ("submodule.recurse", "false"),
    ("gc.autoDetach", "false"),
    ("maintenance.autoDetach", "false"),
    ("advice.fetchShowForcedUpdates", "false"),
)
_KEPT_VARIABLES = ("GIT_SSL_CAINFO", "GIT_SSL_CAPATH")


def git_environment(
    credentials: SourceCredentials | None = None, url: str = "", protocols: str = ""
) -> dict[str, str]:
    """For git: nobody's own settings, no prompts, hooks or filters; ours instead."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("GIT_", ENVIRONMENT_PREFIX)) or name in _KEPT_VARIABLES
    }
    settings = list(_SETTINGS)
    if credentials is not None:
        settings += credentials.configuration(url)
        environment |= credentials.environment()
    environment |= {
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "",
        "SSH_ASKPASS": "",
        "SSH_ASKPASS_REQUIRE": "never",
        "GIT_ALLOW_PROTOCOL": protocols,
        # A clone that lacks an object is damaged; nothing is fetched behind our back.
        "GIT_NO_LAZY_FETCH": "1",
        # A commit is what its id says, whatever somebody here would rather see in its place.
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_HTTP_LOW_SPEED_LIMIT": "1000",
        "GIT_HTTP_LOW_SPEED_TIME": "30",
        "LC_ALL": "C",
        "GIT_CONFIG_COUNT": str(len(settings)),
    }
    for number, (key, value) in enumerate(settings):
        environment[f"GIT_CONFIG_KEY_{number}"] = key
        environment[f"GIT_CONFIG_VALUE_{number}"] = value
    return environment


def local_git(
    folder: Path, *arguments: str, seconds: float = LOCAL_SECONDS, given: bytes = b""
) -> FinishedProgram:
    """A git command that needs no server; its exit code is the caller's to judge."""
    command: list[str | Path] = ["git", "-C", folder, *arguments]
    return run_program(command, git_environment(), seconds=seconds, given=given)


class AskedAhead:
    """Questions to ``local_git`` that are begun before their answers are needed, each in a process
    beside this one. Every answer is given once: what is asked again is asked anew."""

    def __init__(self) -> None:
        self._begun: dict[tuple[Path, tuple[str, ...]], BegunProgram] = {}

    def ask(self, folder: Path, *arguments: str) -> None:
        """Begin it, unless that was done. What goes wrong is told where the answer is wanted."""
        if (folder, arguments) in self._begun:
            return
        command: list[str | Path] = ["git", "-C", folder, *arguments]
        with suppress(SourceError):
            begun = BegunProgram(command, git_environment(), seconds=LOCAL_SECONDS)
            self._begun[folder, arguments] = begun

    def answer(self, folder: Path, *arguments: str) -> FinishedProgram:
        """As ``local_git``; what was asked ahead is waited for."""
        begun = self._begun.pop((folder, arguments), None)
        return begun.finish() if begun else local_git(folder, *arguments)

    def forget(self) -> None:
        """End what nobody has asked for."""
        while self._begun:
            self._begun.popitem()[1].end()
