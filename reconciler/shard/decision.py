"""What one pod decides for all pods of a round, as a value; also where there is one alone. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from msgspec import Struct, field

if TYPE_CHECKING:
    from reconciler.api.moves import Move
    from reconciler.failover.cluster_health import Absence
    from reconciler.scheduler.model import Assignment
    from reconciler.state.memory import RolloutMemory


class FleetDecision(Struct, frozen=True):
    """Where everything goes in this run, whoever carries it out.

    commit       what was decided upon; "" for a repository that is no commit
    assignments  one for each workload, sorted by it
    left_alone   cluster -> why it is neither looked at nor written to
    lost         clusters whose replicas are gone as of this run
    moves        what moves or waits
    unconfirmed  clusters where something may not serve, although they say so
    tainted      cluster -> taint -> for how many seconds it has been there
    down         cluster -> why its DNS records are withdrawn
    rollout      which cluster is on which commit, where those come in waves
    """

    commit: str
    assignments: tuple[Assignment, ...]
    left_alone: Mapping[str, Absence] = field(default_factory=dict)
    lost: frozenset[str] = frozenset()
    moves: tuple[Move, ...] = ()
    unconfirmed: frozenset[str] = frozenset()
    tainted: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    down: Mapping[str, str] = field(default_factory=dict)
    rollout: RolloutMemory | None = None
