"""Template + overrides + replicas -> ``DesiredObject`` per member cluster. Pure."""

from reconciler.render.render import DesiredObject, Rendering, render

__all__ = ["DesiredObject", "Rendering", "render"]
