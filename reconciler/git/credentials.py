"""The credential for a Git server: read from a mounted Secret, handed to git by its environment."""

from __future__ import annotations

import base64
import os
import re
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from reconciler.api.errors import SourceError
from reconciler.api.objects import RedactedRepr

USERNAME_VARIABLE, PASSWORD_VARIABLE = "RECONCILER_GIT_USERNAME", "RECONCILER_GIT_PASSWORD"
# GitHub wants a name and ignores which; GitLab, Gitea and Azure do the same.
TOKEN_USERNAME = "x-access-token"  # noqa: S105
MAX_SECRET_BYTES = 64 * 1024
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
# A helper in git's own protocol: asked for the one server that it is configured for, it answers
# from the environment, so that nothing secret stands in a file, an address or an argument.
_HELPER = (
    '!f() { test "$1" = get && printf "username=%s\\npassword=%s\\n" '
    f'"${USERNAME_VARIABLE}" "${PASSWORD_VARIABLE}"; }}; f'
)


class SourceCredentials(RedactedRepr, frozen=True):
    """Who to be at a Git server; empty: nobody, or over ssh whoever the user's own settings say.

    ``identity`` and ``known_hosts`` are files for ssh, ``ca`` is a bundle for https.
    """

    username: str = ""
    password: str = ""
    identity: Path | None = None
    known_hosts: Path | None = None
    ca: Path | None = None

    def configuration(self, url: str) -> list[tuple[str, str]]:
        """git's settings for ``url``. Raises SourceError when the credential does not fit it."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not self.password:
            return []
        if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
            raise SourceError(
                f"{parts.hostname}: a password is not sent over plain http",
                hint="use the https address",
            )
        # Bound to the server: one that redirects elsewhere does not take the password along.
        server = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        return [("credential.helper", ""), (f"credential.{server}.helper", _HELPER)]

    def environment(self) -> dict[str, str]:
        """The variables for git, its credential helper and ssh."""
        variables = {"GIT_SSH_COMMAND": " ".join(self._ssh()), "GIT_SSH_VARIANT": "ssh"}
        if self.password:
            variables[USERNAME_VARIABLE] = self.username or TOKEN_USERNAME
            variables[PASSWORD_VARIABLE] = self.password
        if self.ca:
            variables["GIT_SSL_CAINFO"] = str(self.ca)
        return variables

    def _ssh(self) -> list[str]:
        from shlex import quote as quoted

        options = [
            "BatchMode=yes",
            "StrictHostKeyChecking=yes",
            "UpdateHostKeys=no",
            "ConnectTimeout=15",
            "ServerAliveInterval=10",
            "ServerAliveCountMax=3",
            "ForwardAgent=no",
            "ForwardX11=no",
            "ClearAllForwardings=yes",
            "PermitLocalCommand=no",
            "ControlMaster=no",
        ]
        own: list[str] = []
        if self.identity:
            own = ["-F", os.devnull]
            options += [
                f"IdentityFile={quoted(_quoted_for_ssh(self.identity))}",
                "IdentitiesOnly=yes",
                "IdentityAgent=none",
                "PreferredAuthentications=publickey",
                f"UserKnownHostsFile={quoted(_quoted_for_ssh(self.known_hosts))}",
                f"GlobalKnownHostsFile={os.devnull}",
            ]
        return ["ssh", *own, *(f"-o{option}" for option in options)]

    def redact(self, text: str) -> str:
        """``text`` without the password, as it is and in the forms in which it travels.

        By search, as the text is another program's: git, its helpers and GitPython word their own
        errors, and a server's answer may be in them. We put no password into a text.
        """
        if len(self.password) < 4:
            return text
        pair = f"{self.username or TOKEN_USERNAME}:{self.password}".encode()
        forms = {
            self.password,
            quote(self.password, safe=""),
            base64.b64encode(pair).decode(),
            base64.b64encode(self.password.encode()).decode(),
        }
        for form in sorted(forms, key=len, reverse=True):
            text = text.replace(form, "***")
        return text


def _quoted_for_ssh(file: Path | None) -> str:
    """ssh splits such an option at spaces, and replaces ``%`` and what follows it."""
    return '"' + str(file).replace("%", "%%") + '"'


def read_credentials(folder: str | Path) -> SourceCredentials:
    """The keys of a mounted Secret: ``username``, ``password`` or ``token``; ``identity`` (or
    ``ssh-privatekey``) with ``known_hosts``; ``ca.crt``.

    Raises SourceError when there is nothing usable, or an ssh key without known hosts.
    """
    place = Path(folder).expanduser()
    if not place.is_dir():
        raise SourceError(f"--git-credentials: there is no directory {str(place)!r}")
    password = _secret(place, "password") or _secret(place, "token")
    identity = _file(place, "identity") or _file(place, "ssh-privatekey")
    known_hosts = _file(place, "known_hosts")
    ca = _file(place, "ca.crt")
    if identity and not known_hosts:
        raise SourceError(
            f"--git-credentials: {place} holds an ssh key but no known_hosts",
            hint="add known_hosts with the server's published host key; "
            "without it anybody in between could play the server",
        )
    if not (password or identity or ca):
        raise SourceError(
            f"--git-credentials: {place} holds no credential",
            hint="keys: username and password, or token; identity and known_hosts; ca.crt",
        )
    return SourceCredentials(_secret(place, "username"), password, identity, known_hosts, ca)


def _file(folder: Path, name: str) -> Path | None:
    file = folder / name
    return file.absolute() if file.is_file() else None


def _secret(folder: Path, name: str) -> str:
    file = _file(folder, name)
    if file is None:
        return ""
    try:
        with file.open("rb") as opened:
            text = opened.read(MAX_SECRET_BYTES).decode().strip()
    except (OSError, UnicodeDecodeError):
        raise SourceError(f"--git-credentials: {file} cannot be read as text") from None
    if re.search(r"[\x00-\x1f\x7f]", text):
        # A line break would say something else in the protocol of git's credential helpers.
        raise SourceError(f"--git-credentials: {file} holds more than one line")
    return text


def split_url(location: str) -> tuple[str, SourceCredentials]:
    """A URL without its password, and the password. ``user@`` of ssh stays."""
    if not location.startswith(("http://", "https://")):
        return location, SourceCredentials()
    parts = urlsplit(location)
    user, at, host = parts.netloc.rpartition("@")
    if not at:
        return location, SourceCredentials()
    name, colon, password = user.partition(":")
    if not colon:
        # https://TOKEN@host is how some write a token.
        name, password = "", name
    clean = parts._replace(netloc=host).geturl()
    return clean, SourceCredentials(unquote(name), unquote(password))
