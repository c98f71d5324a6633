"""``--simulate-outage``: which clusters would be down."""

from __future__ import annotations

from collections.abc import Sequence

from reconciler.api.errors import UsageError
from reconciler.federation.model import DesiredState


def simulated_outages(state: DesiredState, outages: Sequence[str]) -> dict[str, str]:
    """``region=eu-central-1`` and the like -> the clusters that would be down, with the reason."""
    down: dict[str, str] = {}
    for outage in outages:
        what, _, value = outage.partition("=")
        attribute = "name" if what == "cluster" else what
        hit = [c.name for c in state.clusters if getattr(c, attribute, None) == value]
        if not hit:
            known = sorted({str(getattr(c, attribute, "")) for c in state.clusters} - {""})
            raise UsageError(
                f"--simulate-outage {outage}: no cluster has that {what}",
                hint=f"there are: {', '.join(known)}",
            )
        down |= dict.fromkeys(hit, f"simulated outage of {outage}")
    return down
