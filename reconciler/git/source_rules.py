"""What a Federation demands of its own repository: ``spec.source``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct

SignatureType = Literal["gpg", "ssh"]
SignedThing = Literal["commit", "tag"]
WhenUnreachable = Literal["Continue", "Stop"]


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
    """``sops`` and ``kustomize`` say whether such files are decrypted and built, ``unreachable``
    whether runs go on from the kept commit when no source answers."""

    signature: SignatureRule | None = None
    allow_rollback: bool = False
    sops: bool = False
    kustomize: bool = True
    unreachable: WhenUnreachable = "Stop"


def parse_source_rules(federation: Mapping[str, Any] | None) -> SourceRules:
    """The rules in the ``spec`` of a Federation that fits its schema."""
    federation = federation or {}
    spec = federation.get("source") or {}
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
        unreachable=spec.get("whenUnreachable", "Continue" if federation.get("seats") else "Stop"),
    )
