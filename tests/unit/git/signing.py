"""Throw-away keys, and commits and tags signed with them."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.unit.git.programs import needed
from tests.unit.git.repositories import git
from tests.unit.git.servers import ssh_key


@dataclass(frozen=True)
class Signer:
    """``options`` go in front of ``git commit`` or ``git tag``; ``public`` is what others need."""

    options: tuple[str, ...]
    public: str
    home: Path | None = None

    @property
    def environment(self) -> dict[str, str]:
        return {"GNUPGHOME": str(self.home)} if self.home else {}

    def commit(self, folder: Path, message: str = "signed") -> str:
        git(folder, "add", "-A")
        command = [*self.options, "commit", "-q", "--allow-empty", "-S", "-m", message]
        git(folder, *command, env=self.environment)
        return git(folder, "rev-parse", "HEAD")

    def tag(self, folder: Path, name: str, *more: str) -> None:
        git(folder, *self.options, "tag", "-s", "-m", name, name, *more, env=self.environment)


@contextmanager
def gpg_signer(name: str, expires: str = "never") -> Iterator[Signer]:
    """A GPG key in a home of its own. Its agent wants a short path."""
    needed("gpg", "gnupg")
    home = Path(tempfile.mkdtemp(prefix="gpg-"))
    environment = {**os.environ, "GNUPGHOME": str(home)}
    gpg = ["gpg", "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""]

    def run(*arguments: str) -> str:
        return subprocess.run(
            [*gpg, *arguments], env=environment, capture_output=True, text=True, check=True
        ).stdout

    try:
        mail = f"{name} <{name}@example.com>"
        past = ["--faked-system-time", "20200101T000000!"] if expires != "never" else []
        run(*past, "--quick-gen-key", mail, "ed25519", "sign", expires)
        listed = run("--list-keys", "--with-colons")
        key = next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr"))
        program = home / "gpg-of-the-time"
        program.write_text(f'#!/bin/sh\nexec gpg {" ".join(past)} "$@"\n')
        program.chmod(0o755)
        options = ("-c", f"user.signingkey={key}", "-c", f"gpg.program={program}")
        yield Signer(options, run("--armor", "--export", key), home)
    finally:
        subprocess.run(
            ["gpgconf", "--kill", "all"], env=environment, check=False, capture_output=True
        )
        shutil.rmtree(home, ignore_errors=True)


def ssh_signer(folder: Path, name: str) -> Signer:
    """An ssh key, and its line in a file of allowed signers."""
    line = ssh_key(folder / name)
    options = ("-c", "gpg.format=ssh", "-c", f"user.signingkey={folder / name}")
    return Signer(options, f'{name}@example.com namespaces="git" {line}\n')
