"""Files that sops encrypted -> their text, in memory only."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from reconciler.api.errors import SourceError
from reconciler.api.files import SourceFile

SECONDS = 30
CONCURRENT = 4
_YAML_BLOCK = re.compile(rb"^sops:[ \t]*\r?$", re.MULTILINE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
# What sops, age and gpg need. Nothing of clouds or Vault: the file names their servers, and who
# wrote it must not have our credentials sent where he likes.
_VARIABLES = ("PATH", "LANG", "GNUPGHOME", "GPG_TTY", "GPG_AGENT_INFO", "TMPDIR", "XDG_RUNTIME_DIR")
_PREFIXES = ("SOPS_AGE_", "SOPS_GPG_", "SOPS_PGP_")


def is_encrypted(file: SourceFile) -> bool:
    """Whether sops made it: it has sops' own block at the top level."""
    content = file.content
    if b"ENC[" not in content or b"sops" not in content:
        return False
    if file.path.endswith(".json"):
        import orjson

        try:
            body = orjson.loads(content)
        except orjson.JSONDecodeError:
            return False
        return isinstance(body, dict) and isinstance(body.get("sops"), dict)
    return bool(_YAML_BLOCK.search(content))


def decrypt(files: Sequence[SourceFile]) -> list[SourceFile]:
    """The same files in clear; one that cannot be decrypted carries an error.

    Keys are found as sops finds them: SOPS_AGE_KEY_FILE, SOPS_AGE_KEY, a GnuPG home.
    """
    from concurrent.futures import ThreadPoolExecutor

    from reconciler.git.processes import end_all

    with ThreadPoolExecutor(CONCURRENT) as pool:
        try:
            return list(pool.map(_decrypt, files))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            end_all()
            raise


def _decrypt(file: SourceFile) -> SourceFile:
    # Most repositories have nothing to decrypt.
    from reconciler.git.processes import run_program

    kind = "json" if file.path.endswith(".json") else "yaml"
    command = ["sops", "--decrypt", "--input-type", kind, "--output-type", kind, "/dev/stdin"]
    try:
        done = run_program(command, _environment(), seconds=SECONDS, given=file.content)
    except SourceError as error:
        return SourceFile(file.path, error=f"encrypted by sops, but {error}", hint=error.hint)
    if done.timed_out:
        return SourceFile(file.path, error=f"sops did not end within {SECONDS} s")
    if done.code:
        return SourceFile(
            file.path, error=f"cannot be decrypted: {_reason(done.stderr)}", hint=_HINT
        )
    return SourceFile(file.path, done.stdout, decrypted=True, encrypted=file.content)


_HINT = "name the key with SOPS_AGE_KEY_FILE, or a GnuPG home with GNUPGHOME"


def _reason(stderr: str) -> str:
    """sops explains at length; one line of it, which never holds decrypted text."""
    if "MAC mismatch" in stderr:
        return "it was changed after it was encrypted (MAC mismatch)"
    if "Failed to get the data key" in stderr or "no identity matched" in stderr:
        return "none of the keys that it is encrypted for is here"
    lines = [_CONTROL.sub(" ", line).strip() for line in stderr.splitlines() if line.strip()]
    return (lines or ["sops failed"])[0][:200]


def _environment() -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in _VARIABLES or name.startswith(_PREFIXES)
    }
    home = Path.home()
    # The defaults of age and gpg, named outright: HOME itself would lead to clouds' credentials.
    config = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
    for name, place in (
        ("SOPS_AGE_KEY_FILE", config / "sops" / "age" / "keys.txt"),
        ("GNUPGHOME", home / ".gnupg"),
    ):
        if name not in kept and place.exists():
            kept[name] = str(place)
    return kept | {
        "HOME": os.devnull,
        "LC_ALL": "C",
        "AWS_EC2_METADATA_DISABLED": "true",
        "SOPS_DECRYPTION_ORDER": "age,pgp",
    }
