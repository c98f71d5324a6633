"""What git says about a server, in words that tell what to do; and whether to try again."""

from __future__ import annotations

import re

from msgspec import Struct

from reconciler.api.errors import SourceError
from reconciler.git.location import SourceLocation
from reconciler.git.processes import FinishedProgram

_LONGEST = 300
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


class FetchFailed(SourceError):
    """``passing``: worth another attempt. ``answered_by_server``: the kept clone is not to blame.

    ``unreachable``: no server could say anything of the repository: no connection, no name, no
    answer in time, trouble of its own.
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        passing: bool = False,
        answered_by_server: bool = False,
        no_such_ref: bool = False,
        unreachable: bool = False,
    ) -> None:
        super().__init__(message, hint=hint)
        self.passing = passing
        self.answered_by_server = answered_by_server
        self.no_such_ref = no_such_ref
        self.unreachable = unreachable


class _Known(Struct, frozen=True):
    """A pattern in what git and ssh print, and what it means."""

    pattern: str
    message: str
    hint: str = ""
    passing: bool = False
    answered_by_server: bool = True
    no_such_ref: bool = False

    @property
    def unreachable(self) -> bool:
        """What passes and is no fault of the data: nothing was said of the repository."""
        return self.passing and self.answered_by_server


CACHE_HINT = (
    "make room there, or name another folder by XDG_CACHE_HOME; what is there can be removed, "
    "as it is recreated"
)
_CREDENTIALS = "give a credential with --git-credentials"
_KNOWN = (
    _Known(
        r"(?m)^(?!remote:).*(No space left on device|Disk quota exceeded|Read-only file system"
        r"|[Uu]nable to (create|write)|: Permission denied$)",
        "the clone cannot be written",
        CACHE_HINT,
        answered_by_server=False,
    ),
    _Known(
        r"couldn't find remote ref|not our ref|no such remote ref"
        r"|does not allow request for unadvertised",
        "has no such ref",
        no_such_ref=True,
    ),
    _Known(
        r"REMOTE HOST IDENTIFICATION HAS CHANGED|Offending \S+ key",
        "the server shows another host key than known_hosts has for it: somebody may be in between",
        "compare with the host's published keys before you change known_hosts",
    ),
    _Known(
        r"No \S+ host key is known|Host key verification failed",
        "the server's host key is not in known_hosts",
        "take it from the host's own documentation, or compare what ssh-keyscan prints with that",
    ),
    _Known(
        r"No user exists for uid",
        "ssh wants the user of this process to be in /etc/passwd",
        "run as a user that the image knows",
    ),
    _Known(
        r"UNPROTECTED PRIVATE KEY FILE|bad permissions",
        "ssh refuses the key: others may read its file",
        "set its mode to 0400",
    ),
    _Known(
        r"Load key .*(invalid format|error in libcrypto|incorrect passphrase)",
        "the ssh key cannot be read: damaged, or locked by a passphrase",
        "does the file still end with a line break?",
    ),
    _Known(
        r"Permission denied \(|Too many authentication failures",
        "the server does not accept the ssh key",
        "is its public half registered there?",
    ),
    _Known(r"could not read (Username|Password)", "the server wants a credential", _CREDENTIALS),
    _Known(
        r"Authentication failed|HTTP Basic: Access denied|returned error: 401",
        "the server does not accept the credential",
        "is the token still valid?",
    ),
    _Known(
        r"returned error: 403",
        "the server forbids reading it",
        "does the token have the right to read this repository?",
    ),
    _Known(
        r"returned error: 404|repository '[^']*' not found|Repository not found"
        r"|does not appear to be a git repository|No such file or directory",
        "there is no such repository, or it is not shown to this credential",
        _CREDENTIALS,
    ),
    _Known(
        r"SSL_ERROR_SYSCALL|SSL_connect: Connection|unexpected eof while reading"
        r"|non-properly terminated",
        "the connection broke off",
        passing=True,
    ),
    _Known(
        r"certificate|SSL_|schannel|GnuTLS|gnutls",
        "its TLS certificate is not trusted",
        "put the authority's certificate in ca.crt",
    ),
    _Known(r"transport '[^']*' not allowed", "only https, http, ssh and file addresses are used"),
    _Known(
        r"unable to update url base from redirection|redirect",
        "the server redirects to another address",
        "use the address that it sends to",
    ),
    _Known(
        r"fsck error|hasDotdot|hasDotgit|hasDot\b|fullPathname|gitmodules"
        r"|error in (tree|blob)|invalid path",
        "holds names or objects that a repository must not have; it is refused",
    ),
    _Known(
        r"Could not resolve host|Name or service not known|Temporary failure in name resolution",
        "its host name cannot be resolved",
        passing=True,
    ),
    _Known(
        r"Connection refused|Failed to connect|Couldn't connect"
        r"|No route to host|Network is unreachable",
        "no connection",
        passing=True,
    ),
    _Known(
        r"timed out|Timeout|too slow|Operation too slow", "the server does not answer", passing=True
    ),
    _Known(
        r"returned error: (429|5\d\d)|HTTP code 5\d\d from proxy",
        "the server has trouble of its own",
        passing=True,
    ),
    _Known(
        r"early EOF|transfer closed|not closed cleanly|HTTP2 framing"
        r"|unexpected disconnect|hung up unexpectedly|RPC failed"
        r"|Connection reset|Connection closed|Broken pipe|Empty reply|kex_exchange"
        r"|expected .* packet|bad line length|invalid server response",
        "the connection broke off",
        passing=True,
    ),
    _Known(
        r"index-pack|inflate|bad pack|pack has|pack is corrupted|protocol error",
        "what the server sent is damaged",
        passing=True,
        answered_by_server=False,
    ),
)


def failure(where: SourceLocation, done: FinishedProgram) -> FetchFailed:
    """The error for a git command that did not succeed."""
    if done.timed_out:
        return FetchFailed(
            f"{where.name}: the server did not finish within {where.seconds:g} s",
            hint="is it reachable from here? --git-timeout gives it more time",
            answered_by_server=True,
            unreachable=True,
        )
    stderr = where.redact(done.stderr)
    for known in _KNOWN:
        if re.search(known.pattern, stderr):
            return FetchFailed(
                f"{where.name}: {known.message}{_quoted(stderr)}",
                hint=known.hint,
                passing=known.passing,
                answered_by_server=known.answered_by_server,
                no_such_ref=known.no_such_ref,
                unreachable=known.unreachable,
            )
    return FetchFailed(f"{where.name}: git failed with code {done.code}{_quoted(stderr)}")


def _quoted(stderr: str) -> str:
    """git's own line that tells most, in brackets and fit for a terminal."""
    lines = [_CONTROL.sub(" ", line).strip() for line in stderr.splitlines()]
    lines = [line for line in lines if line and not re.fullmatch(r"[@\s]+", line)]
    fatal = [line for line in lines if re.match(r"(remote: )?(fatal|error):", line)]
    # git's advice that access rights may be missing hides what came before it.
    telling = [line for line in fatal if "Could not read from remote" not in line]
    chosen = (telling or lines or fatal)[:1]
    return f" ({chosen[0][:_LONGEST]})" if chosen else ""
