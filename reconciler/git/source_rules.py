"""What a Federation demands of its own repository: ``spec.source``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct

SignatureType = Literal["gpg", "ssh"]
SignedThing = Literal["commit", "tag"]


class SignatureRule(Struct, frozen=True):
    """A signature that the head must carry. ``keys`` and the file ``allowed_signers`` say whom the
    *next* commits are to be signed by; see ``trust``."""

    type: SignatureType
    on: SignedThing = "commit"
    keys: tuple[str, ...] = ()
    allowed_signers: str = ""

    def __str__(self) -> str:
        return f"a {self.on} signed with {self.type}"


class SourceRules(Struct, frozen=True):
    """``sops`` and ``kustomize`` say whether such files are decrypted and built."""

    signature: SignatureRule | None = None
    allow_rollback: bool = False
    sops: bool = False
    kustomize: bool = True


def parse_source_rules(spec: Mapping[str, Any] | None) -> SourceRules:
    """The rules of a ``spec.source`` that fits its schema."""
    spec = spec or {}
    demanded = spec.get("requireSignature")
    return SourceRules(
        signature=SignatureRule(
            demanded["type"],
            demanded.get("on", "commit"),
            tuple(demanded.get("keys") or ()),
            demanded.get("allowedSigners", ""),
        )
        if demanded
        else None,
        allow_rollback=spec.get("allowRollback", False),
        sops=(spec.get("sops") or {}).get("enabled", False),
        kustomize=(spec.get("kustomize") or {}).get("enabled", True),
    )
