"""YAML bytes -> ``Document`` values with positions, checked against the schemas."""

from reconciler.manifests.document import Document
from reconciler.manifests.load import Manifests, load

__all__ = ["Document", "Manifests", "load"]
