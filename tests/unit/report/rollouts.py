"""Plans in which a commit is on its way through three waves."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from reconciler.plan.model import Plan
from reconciler.rollout.model import (
    ClusterStep,
    RolloutCluster,
    RolloutEvent,
    RolloutView,
    RolloutWave,
)
from tests.unit.report.fleets import web_shop

STABLE = "9be01d2" + "0" * 33
CANDIDATE = "3f2c1ab" + "0" * 33
NEWER = "77ce210" + "0" * 33
SINCE = 1_772_359_200.0  # 2026-03-01 10:00 UTC
WAITING_FOR_SOAK = "soak (12 min left)"


def road(**given: Any) -> RolloutView:
    """The second wave soaks: aws-eu is well, gcp-eu is not yet; gcp-us is still to come."""
    view = RolloutView(
        STABLE,
        CANDIDATE,
        "Progressing",
        since=SINCE,
        wave_since=SINCE + 1800,
        waves=(
            RolloutWave(
                "canary",
                "done",
                (RolloutCluster("aws-eu", CANDIDATE, ClusterStep.WELL),),
                soak=600.0,
            ),
            RolloutWave(
                "eu",
                "current",
                (
                    RolloutCluster(
                        "gcp-eu",
                        CANDIDATE,
                        ClusterStep.BEGUN,
                        "Deployment shop/web: 1 of 3 ready",
                    ),
                ),
                soak=900.0,
                least=720.0,
                waits=WAITING_FOR_SOAK,
            ),
            RolloutWave(
                "rest",
                "coming",
                (
                    RolloutCluster(
                        "gcp-us",
                        STABLE,
                        ClusterStep.WAITS,
                        changes={"create": 3, "update": 1, "failed": 1},
                    ),
                ),
                soak=1800.0,
                least=1800.0,
                manual=True,
                gates=("errors",),
            ),
        ),
    )
    return replace(view, **given)


def rolling(**given: Any) -> Plan:
    """The web shop's plan with that road."""
    return replace(web_shop(), rollout=road(**given))


STARTED = (RolloutEvent.STARTED, '3f2c1ab begins in wave 1 of 3 "canary"')
FAILED = (RolloutEvent.FAILED, 'wave 2 of 3 "eu" made no progress for 30 min')
