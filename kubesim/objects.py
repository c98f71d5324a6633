"""Objects as they travel, and what tells them apart within a cluster."""

from __future__ import annotations

from typing import Any, NamedTuple

Object = dict[str, Any]
"""A Kubernetes object as parsed JSON."""


class ObjectKey(NamedTuple):
    """``group`` and ``namespace`` are ``""`` for the core group and in no namespace."""

    group: str
    kind: str
    namespace: str
    name: str
