"""Template + overrides + replicas -> ``DesiredObject`` per member cluster. Pure."""

from reconciler.rendering.desired import DesiredObject
from reconciler.rendering.render import Rendering, render

__all__ = ["DesiredObject", "Rendering", "render"]
