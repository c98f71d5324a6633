"""The keys that signatures are checked with, and where they come from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from reconciler.api.errors import SourceError
from reconciler.api.objects import RedactedRepr

MAX_KEY_BYTES = 1024 * 1024
_PUBLIC_KEY_TYPES = ("ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-")


class TrustedKeys(RedactedRepr, frozen=True):
    """``texts`` are GPG public keys (armoured or not), or files of allowed signers; ``origin``
    tells where from."""

    texts: tuple[bytes, ...]
    origin: str

    def allowed_signers(self) -> str:
        """As ssh-keygen wants them. A bare public key is a signer of any name."""
        lines = []
        for text in self.texts:
            for line in text.decode(errors="replace").splitlines():
                if line.startswith(_PUBLIC_KEY_TYPES):
                    line = f'* namespaces="git" {line}'
                lines.append(line)
        return "\n".join(lines) + "\n"


def read_trusted_keys(place: str | Path) -> TrustedKeys:
    """A file, or every file of a directory such as a mounted Secret or ConfigMap.

    Raises SourceError when there are none.
    """
    path = Path(place).expanduser()
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    files = [file for file in files if not file.name.startswith(".") and file.is_file()]
    texts = []
    for file in files:
        try:
            with file.open("rb") as opened:
                text = opened.read(MAX_KEY_BYTES + 1)
        except OSError as error:
            raise SourceError(f"--trusted-keys: {file}: {error.strerror}") from None
        if len(text) > MAX_KEY_BYTES:
            raise SourceError(f"--trusted-keys: {file} has more than {MAX_KEY_BYTES} bytes")
        if text.strip():
            texts.append(text)
    if not texts:
        raise SourceError(
            f"--trusted-keys: there are no keys at {str(path)!r}",
            hint="name a file of public keys, or a directory of such files",
        )
    return TrustedKeys(tuple(texts), f"--trusted-keys {path}")


def keys_in_repository(keys: Sequence[str], more: bytes, commit: str) -> TrustedKeys | None:
    """Those that a trusted commit names, with the content of its file of allowed signers."""
    texts = [key.encode() for key in keys] + ([more] if more.strip() else [])
    return TrustedKeys(tuple(texts), f"commit {commit[:12]}") if texts else None
