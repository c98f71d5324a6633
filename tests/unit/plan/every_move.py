"""One move of each kind."""

from __future__ import annotations

from reconciler.api.moves import (
    BoundsKept,
    Degraded,
    KeptUnplaced,
    KeptUntilReady,
    MovedAway,
    NotMoved,
    ReplicasKept,
    Returning,
    StartsWith,
    Stay,
    StayReason,
    Unready,
)
from reconciler.api.objects import ObjectKey

WEB = ObjectKey("apps", "Deployment", "shop", "web")
EVERY_MOVE = (
    MovedAway("aws-eu", WEB, times=2),
    StartsWith("gcp-eu", WEB, 8, leaves=("aws-eu",)),
    ReplicasKept("aws-eu", WEB, 3, waiting=1, why="drained", shortfall=2),
    KeptUntilReady("aws-eu", (WEB,), "gcp-eu", "1 of 2 replicas are ready"),
    KeptUnplaced("aws-eu", (WEB,), "FederatedNamespace shop does not go there"),
    Degraded("aws-eu", (WEB,)),
    NotMoved("aws-eu", (WEB,), Stay(StayReason.FOR_A_WHILE, seconds=90)),
    Returning("aws-eu", (Unready(WEB, ready=1, due=2),)),
    BoundsKept(
        "aws-eu",
        ObjectKey("autoscaling", "HorizontalPodAutoscaler", "shop", "web"),
        (2, 12),
        (1, 4),
        homes=("gcp-eu",),
    ),
)
