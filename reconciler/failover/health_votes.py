"""Each seat's vote on the health of each cluster, and what the majority says. Pure.

One seat's broken network looks to its runs like an outage of others. So a cluster is declared down
only where the newest votes of most seats agree.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

import orjson
from msgspec import Struct

from reconciler.failover.probe import Probe, Signal
from reconciler.federation.model import FailoverRules

FRESH_SECONDS = 600.0
"""A vote counts for so long, or for twice ``unhealthyAfter`` where that is longer."""
MAX_REASON = 120
MAX_BYTES = 64 * 1024
"""Past this, votes are written without their reasons: they are kept beside the register."""


class HealthVote(Struct, frozen=True):
    """How one seat sees one cluster; ``str`` is ``unhealthy: connection refused``."""

    signal: Signal
    reason: str = ""

    def __str__(self) -> str:
        return str(self.signal).lower() + (f": {self.reason}" if self.reason else "")


class HealthVotes(Struct, frozen=True):
    """How one seat saw each cluster, and when (Unix seconds, by that run's clock)."""

    at: float
    clusters: Mapping[str, HealthVote] = {}


class SeatVotes(Struct, frozen=True):
    """What a run knows of the seats' votes.

    seat        at which this run is; empty: at none, and what it sees itself has no vote
    seat_votes  the last votes of each seat, by seat; damaged or missing ones are left out
    answering   the seats whose copies answered this run; others have no vote
    """

    seat: str
    seat_votes: Mapping[str, HealthVotes]
    answering: frozenset[str]


class VoteCount(Struct, frozen=True):
    """How the seats that answered see one cluster: their names, sorted.

    ``undecided`` cannot tell; ``no_fresh_vote`` have not voted lately, or not on this cluster.
    """

    well: tuple[str, ...] = ()
    unwell: tuple[str, ...] = ()
    undecided: tuple[str, ...] = ()
    no_fresh_vote: tuple[str, ...] = ()

    @property
    def agreed(self) -> bool:
        """Whether more than half of all that answered see it unwell."""
        others = len(self.well) + len(self.undecided) + len(self.no_fresh_vote)
        return len(self.unwell) > others

    @property
    def differ(self) -> bool:
        """Whether some see it well and others do not."""
        return bool(self.well and self.unwell)

    def __str__(self) -> str:
        """``seen well from gcp-eu and onprem, not from aws-eu``."""
        parts = []
        if self.well:
            but = f", not from {_listed(self.unwell)}" if self.unwell else ""
            parts.append(f"seen well from {_listed(self.well)}{but}")
        elif self.unwell:
            parts.append(f"seen unhealthy from {_listed(self.unwell)}")
        if self.undecided:
            parts.append(f"unclear from {_listed(self.undecided)}")
        if self.no_fresh_vote:
            parts.append(f"no recent vote from {_listed(self.no_fresh_vote)}")
        return "; ".join(parts) or "no seat answered"


def health_votes_of(
    probes: Sequence[Probe], now: float, simulated: Collection[str] = ()
) -> HealthVotes:
    """What this run saw, to be written at its seat, without the outages that are only simulated."""
    return HealthVotes(
        now,
        {p.cluster: HealthVote(p.signal, p.reason) for p in probes if p.cluster not in simulated},
    )


def count_votes(
    probes: Sequence[Probe], known: SeatVotes, rules: FailoverRules, now: float
) -> dict[str, VoteCount]:
    """How each probed cluster is seen. Of this run's own seat, its probes count instead of its
    last votes, and like any other only where that seat answered."""
    limit = max(FRESH_SECONDS, 2 * rules.unhealthy_after)
    seat_votes = {
        seat: votes.clusters
        for seat, votes in known.seat_votes.items()
        # One from the future is by a clock that is wrong, this machine's or the other.
        if abs(now - votes.at) <= limit
    }
    if known.seat:
        seat_votes[known.seat] = health_votes_of(probes, now).clusters
    found = {}
    for probe in probes:
        by: dict[Signal | None, list[str]] = {}
        for seat in sorted(known.answering):
            vote = seat_votes.get(seat, {}).get(probe.cluster)
            by.setdefault(vote.signal if vote else None, []).append(seat)
        found[probe.cluster] = VoteCount(
            *(
                tuple(by.get(signal, ()))
                for signal in (Signal.HEALTHY, Signal.UNHEALTHY, Signal.UNKNOWN, None)
            )
        )
    return found


def _listed(names: Sequence[str]) -> str:
    """``a, b and c``."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


# -- as they are written at a seat -----------------------------------------------------------------


def encode_votes(votes: HealthVotes) -> str:
    """``{"at": 1.5, "clusters": {"aws": "healthy", "gcp": "unhealthy: timeout"}}``."""
    for longest in (MAX_REASON, 0):
        text = orjson.dumps(
            {
                "at": votes.at,
                "clusters": {
                    name: str(HealthVote(one.signal, one.reason[:longest]))
                    for name, one in sorted(votes.clusters.items())
                },
            }
        )
        if len(text) <= MAX_BYTES:
            break
    return text.decode()


_SIGNALS = {str(signal).lower(): signal for signal in Signal}


def decode_votes(text: str) -> HealthVotes | None:
    """None where there are no votes, or damaged ones."""
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    at, clusters = (found.get("at"), found.get("clusters")) if isinstance(found, dict) else (0, 0)
    if not isinstance(at, int | float) or isinstance(at, bool) or not isinstance(clusters, dict):
        return None
    if not math.isfinite(at):
        return None
    sights = {}
    for name, how in clusters.items():
        word, _, reason = how.partition(": ") if isinstance(how, str) else ("", "", "")
        if word not in _SIGNALS:
            return None
        sights[name] = HealthVote(_SIGNALS[word], reason)
    return HealthVotes(float(at), sights)
