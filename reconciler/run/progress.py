"""Whom a run tells how far it has come."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Told how far a run has come; phases may overlap."""

    def phase(self, name: str, total: int) -> None:
        """A phase of ``total`` steps begins; called again with more when more turn up."""

    def advance(self, name: str, n: int = 1) -> None:
        """``n`` steps are done."""


class NoProgress:
    """Nobody watches."""

    def phase(self, name: str, total: int) -> None:
        """Nothing to show."""

    def advance(self, name: str, n: int = 1) -> None:
        """Nothing to show."""
