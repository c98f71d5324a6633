"""``named``: a real BIND, to see what names resolve to."""

from __future__ import annotations

from tests.unit.dns.conftest import named

__all__ = ["named"]
