"""An object as one member cluster should have it."""

from __future__ import annotations

from typing import Literal

from reconciler.errors import Position
from reconciler.federation.model import Additions
from reconciler.objects import Object, ObjectKey, Unshown


class DesiredObject(Unshown, frozen=True):
    """The template with this cluster's overrides and replicas; the inventory's labels come later.

    ``retain`` are JSON pointers of fields sent at creation only; afterwards the live value stands.
    ``autoscaler`` is what sets spec.replicas there, as the repository itself says: ``kind name``.
    ``hidden`` are those of fields whose values no output may show, ``ignore`` of what is left to
    others once it is created. ``additions`` is what becomes of people's, by the object's own
    annotation, and ``placed_additions`` by its Placement; None: neither says.
    """

    cluster: str
    key: ObjectKey
    body: Object
    position: Position
    retain: tuple[str, ...] = ()
    autoscaler: str = ""
    force_conflicts: bool = False
    recreate: bool = False
    protect: bool = False
    orphan: bool = False
    prune_propagation: Literal["Foreground", "Background", "Orphan"] | None = None
    hidden: tuple[str, ...] = ()
    additions: Additions | None = None
    placed_additions: Additions | None = None
    ignore: tuple[str, ...] = ()
