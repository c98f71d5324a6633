"""What moves, waits or stays is a value; its sentence says the same for people."""

from __future__ import annotations

from typing import get_args

import msgspec
import pytest

from reconciler.api.moves import (
    BoundsKept,
    Degraded,
    KeptUnplaced,
    KeptUntilReady,
    Move,
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
from tests.unit.plan.every_move import EVERY_MOVE, WEB

API = ObjectKey("apps", "Deployment", "shop", "api")
SCALER = ObjectKey("autoscaling", "HorizontalPodAutoscaler", "shop", "web")
RED = ObjectKey("", "ConfigMap", "shop", "red")
SPACE = ObjectKey("", "Namespace", "", "shop")
DOWN = "federation.reconciler.dev/down"


@pytest.mark.parametrize(
    ("move", "words"),
    [
        (MovedAway("aws", WEB), "shop/web: leaves aws: was not available there"),
        (
            MovedAway("aws", WEB, times=3),
            "shop/web: leaves aws: was not available there (moved away 3 times)",
        ),
        (
            StartsWith("gcp", WEB, 8, leaves=("aws", "azure")),
            "shop/web: starts in gcp with 8, as many as it has in aws, azure, which it leaves",
        ),
        (
            ReplicasKept("aws", WEB, 3, waiting=1, shortfall=2),
            "shop/web: aws keeps 3 (of which 1 until as many are ready elsewhere)",
        ),
        (
            ReplicasKept("aws", WEB, 3, waiting=3, why="it is drained"),
            "shop/web: aws keeps 3 (until as many are ready elsewhere; it is drained)",
        ),
        (
            ReplicasKept("aws", WEB, 3, waiting=3, why="it is drained", shortfall=2),
            "shop/web: aws keeps 3 (until as many are ready elsewhere; it is drained; "
            "2 have no other place)",
        ),
        (
            KeptUntilReady("aws", (RED,), "gcp", "timed out"),
            "aws keeps ConfigMap shop/red until it is ready in gcp: timed out",
        ),
        (
            KeptUnplaced("aws", (WEB,), "its placement does not name or select the cluster"),
            "aws keeps Deployment shop/web: its placement does not name or select the cluster, and "
            "no other cluster may have it (to give up what it has: delete it from Git, or let its "
            "placement say clusters: [])",
        ),
        (
            KeptUnplaced("aws", (SPACE, RED, WEB, API), "it is full"),
            "aws keeps Namespace shop, ConfigMap shop/red, Deployment shop/web and 1 more: it is "
            "full, and no other cluster may have them (to give up what it has: delete it from Git, "
            "or let its placement say clusters: [])",
        ),
        (Degraded("aws", (API, WEB)), "degraded without aws: shop/api, shop/web"),
        (
            Returning("aws", (Unready(WEB, 1, 2), Unready(API, 0, 3))),
            "aws is returning: waits for shop/web (1 of 2 ready), shop/api (0 of 3 ready)",
        ),
        (
            Returning("aws", (Unready(WEB, 1, 2),) * 6),
            "aws is returning: waits for "
            + ", ".join(["shop/web (1 of 2 ready)"] * 5)
            + " and 1 more",
        ),
        (
            BoundsKept("aws", SCALER, (2, 12), (1, 4), ("gcp",)),
            "HorizontalPodAutoscaler shop/web: aws keeps 2 to 12 until what it scales is ready in "
            "gcp, and gets 1 to 4 then",
        ),
        (
            BoundsKept("aws", SCALER, (None, 12), (None, 4), ("gcp", "lab")),
            "HorizontalPodAutoscaler shop/web: aws keeps at most 12 until what it scales is ready "
            "in gcp, lab, and gets at most 4 then",
        ),
        (
            Returning("aws"),
            "aws is returning: waits for the rest of its share, in later runs",
        ),
    ],
)
def test_a_move_in_words(move: Move, words: str) -> None:
    assert str(move) == words


@pytest.mark.parametrize(
    ("stay", "words"),
    [
        (Stay(StayReason.NOT_ENABLED), "its failover is not enabled"),
        (Stay(StayReason.ACTION, "DNSOnly"), "its failover.action is DNSOnly"),
        (Stay(StayReason.TOLERATED, DOWN), f"it tolerates {DOWN}"),
        (Stay(StayReason.FOR_A_WHILE, seconds=150), "by its Placement, for 2m30s more"),
        (Stay(StayReason.HAS_RUN), "it has run there"),
    ],
)
def test_why_a_workload_stays_in_words(stay: Stay, words: str) -> None:
    move = NotMoved("aws", (API, WEB), stay)
    assert str(move) == f"not moved from aws: shop/api, shop/web ({words})"
    assert stay.has_run == (stay.reason is StayReason.HAS_RUN)


def test_every_kind_of_move_travels_as_a_value() -> None:
    assert {type(move) for move in EVERY_MOVE} == {*get_args(Move)}
    for move in EVERY_MOVE:
        assert msgspec.json.decode(msgspec.json.encode(move), type=Move) == move
