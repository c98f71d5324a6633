"""What a run remembers of the runs before it: a value, and its form in a file or a ConfigMap.

A memory that is lost or damaged is an empty one, and an empty one never moves anything: nothing
counts as down, and no cluster counts as known to run its share.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

import orjson
from msgspec import Meta, Struct, ValidationError, convert, field, to_builtins

from reconciler.federation.model import KnownInventory
from reconciler.git.owner import Owner

VERSION = 1
MAX_BYTES = 900_000
"""A ConfigMap holds 1 MiB; what is remembered of single workloads is given up before that."""

Seconds = Annotated[float, Meta(ge=0)]


class Phase(StrEnum):
    """What a cluster counts as. RETURNING: it takes over its share again, nobody gave theirs up."""

    UP = "Up"
    DOWN = "Down"
    RETURNING = "Returning"


class ClusterMemory(Struct, frozen=True, forbid_unknown_fields=True):
    """One cluster. Times are Unix seconds, ``streak`` is in seconds.

    since     when the phase began; 0 when that is not known
    streak    for how long the signal has spoken against the phase, as far as runs saw it
    seen      when a run last saw it do so; 0: the last run did not
    known     it was seen healthy while it was up: it can be taken to run its share
    reason    why it was declared down, or last seemed to be
    outages   how often it was declared down
    released  a person allowed its return (failback Manual)
    """

    phase: Phase = Phase.UP
    since: Seconds = 0.0
    streak: Seconds = 0.0
    seen: Seconds = 0.0
    known: bool = False
    reason: str = ""
    outages: int = 0
    released: bool = False


class WorkloadMemory(Struct, frozen=True, forbid_unknown_fields=True):
    """One workload in one cluster: ``streak`` and ``seen`` as above, of its being unavailable.

    away      since when it is kept away from there; 0: it is not
    moves     how often it was moved away; each time it stays away twice as long
    template  a digest of what it was then: a new version gets a new chance
    """

    streak: Seconds = 0.0
    seen: Seconds = 0.0
    away: Seconds = 0.0
    moves: int = 0
    template: str = ""


class NotifiedState(Struct, frozen=True):
    """What people were notified of, so that they are notified of changes only.

    federation  its name, for a run that cannot read the repository
    receivers   as it last named them: where their address is, never the address
    states     receiver/subject -> the state that it was last notified of; what is well has no entry
    """

    federation: str = ""
    receivers: tuple[Mapping[str, Any], ...] = ()
    states: Mapping[str, str] = field(default_factory=dict)


class RolloutPhase(StrEnum):
    """What becomes of a candidate. FAILED: its wave did not become well in time, and nothing goes
    on by itself. HELD: a person, or a lost memory, holds it."""

    PROGRESSING = "Progressing"
    HELD = "Held"
    FAILED = "Failed"


class RolloutMemory(
    Struct,
    frozen=True,
    omit_defaults=True,
    rename="camel",
):
    """How far a commit has come. Times are Unix seconds, 0: not yet.

    stable      the commit that every cluster had, and was well with; empty: none yet
    candidate   the commit on its way; empty: none
    commits     cluster -> its commit, of those that are not on ``stable``
    phase       of the candidate; ``reason`` says why it is held or has failed
    began       when the candidate began
    wave        the index of the wave it is in; ``wave_began`` when that began
    passed      clusters of the waves that it has left, as those were then
    progress    when a cluster of the wave last began, or became well for the first time
    arrived     clusters of this wave and those before that have been well with the candidate
    well        since when the whole wave is well
    rests       no deadline runs, as the wave waits for a person, or for what is closed
    promoted    a person lets it leave this wave as soon as it may ask for that
    at_once     a person lets it reach all clusters at once
    refused     a commit that was aborted or replaced by a person; it never begins by itself again
    waiting     commits that wait for the candidate to end, oldest first
    unknown     clusters that did not answer when all of this was lost: what they have is not known
    """

    stable: str = ""
    candidate: str = ""
    commits: Mapping[str, str] = field(default_factory=dict)
    phase: RolloutPhase = RolloutPhase.PROGRESSING
    reason: str = ""
    began: Seconds = 0.0
    wave: int = 0
    wave_began: Seconds = 0.0
    passed: tuple[str, ...] = ()
    progress: Seconds = 0.0
    arrived: tuple[str, ...] = ()
    well: Seconds = 0.0
    rests: bool = False
    promoted: bool = False
    at_once: bool = False
    refused: str = ""
    waiting: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


class FleetMemory(
    Struct,
    frozen=True,
    rename={
        "applied_at": "appliedAt",
        "without_git_since": "silentSince",
        "clock_offsets": "ahead",
        "notified": "told",
        "published_in": "publishedIn",
    },
):
    """All that is remembered. ``workloads``: cluster -> workload (its key as text) -> memory.

    ``ran``: cluster -> spread Job (its key as text) that has finished there -> digest of its spec.
    ``divided``: workload (its key as text) -> cluster -> replicas, as they were shared out last, of
    those whose next division goes by the one before.
    ``taints``: cluster -> taint (``key=value:effect``) -> when it was first seen.
    ``commit`` is the commit that was last applied without a failure, ``applied_at`` when.
    ``servers``: cluster -> the UID of its kube-system, which tells its API server from others.
    ``clock_offsets``: cluster -> seconds by which its clock was ahead of this machine's; of no
    cluster where no age is measured.
    ``owner`` is the repository that all this is about; None: nobody has recorded it.
    ``begun`` is the commit that a run last began to apply, where commits are kept for times without
    Git; ``kept`` is what is kept of it: seat ("" without seats) -> see ``state.kept_commit_store``.
    ``without_git_since``: since when no run got an answer from Git; 0: the last one did.
    ``rollout``: how far a commit has come, where commits reach the fleet in waves.
    ``inventory``: the ClusterProfiles that the host listed last, where it is asked for them.
    ``published_in``: namespaces of the host that may hold placement decisions of ours.
    """

    clusters: Mapping[str, ClusterMemory] = field(default_factory=dict)
    workloads: Mapping[str, Mapping[str, WorkloadMemory]] = field(default_factory=dict)
    ran: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    divided: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    taints: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    commit: str = ""
    applied_at: float = 0.0
    notified: NotifiedState = NotifiedState()
    servers: Mapping[str, str] = field(default_factory=dict)
    owner: Owner | None = None
    clock_offsets: Mapping[str, int] = field(default_factory=dict)
    begun: str = ""
    kept: Mapping[str, str] = field(default_factory=dict)
    without_git_since: float = 0.0
    rollout: RolloutMemory | None = None
    inventory: KnownInventory | None = None
    published_in: tuple[str, ...] = ()

    def rollout_without_rules(self, commit: str) -> RolloutMemory | None:
        """What to remember where rules of waves have left Git, and ``commit`` goes everywhere: no
        older one is to come back with new rules."""
        return RolloutMemory(stable=commit) if self.rollout and commit else None

    @property
    def returning(self) -> frozenset[str]:
        """The clusters that take over their share again, and have not taken over all of it."""
        return frozenset(n for n, one in self.clusters.items() if one.phase is Phase.RETURNING)


class DamagedMemory(Exception):
    """The bytes are no memory of a version that this program reads."""


def encode_memory(memory: FleetMemory) -> bytes:
    """Sorted and indented JSON, so that people can read it and equal memories are equal bytes."""
    document: dict[str, Any] = {
        "version": VERSION,
        "clusters": {name: _changed_fields(one) for name, one in memory.clusters.items()},
        "workloads": {
            name: {key: _changed_fields(one) for key, one in workloads.items()}
            for name, workloads in memory.workloads.items()
            if workloads
        },
        "ran": {name: dict(ran) for name, ran in memory.ran.items() if ran},
        "taints": {name: dict(taints) for name, taints in memory.taints.items() if taints},
        "commit": memory.commit,
        "appliedAt": memory.applied_at,
    }
    if memory.divided:
        document["divided"] = {key: dict(counts) for key, counts in memory.divided.items()}
    if memory.servers:
        document["servers"] = dict(memory.servers)
    if memory.clock_offsets:
        document["ahead"] = dict(memory.clock_offsets)
    if memory.begun:
        document["begun"] = memory.begun
    if memory.kept:
        document["kept"] = dict(memory.kept)
    if memory.without_git_since:
        document["silentSince"] = memory.without_git_since
    if memory.rollout is not None:
        document["rollout"] = to_builtins(memory.rollout)
    if memory.inventory is not None:
        document["inventory"] = to_builtins(memory.inventory)
    if memory.published_in:
        document["publishedIn"] = list(memory.published_in)
    if memory.owner is not None:
        document["owner"] = to_builtins(memory.owner)
    if memory.notified != NotifiedState():
        document["told"] = {
            "federation": memory.notified.federation,
            "receivers": [dict(one) for one in memory.notified.receivers],
            "states": dict(memory.notified.states),
        }
    text = orjson.dumps(document, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2)
    if len(text) > MAX_BYTES:
        # Without these, clocks only begin anew, and what is live counts as shared out.
        document |= {"workloads": {}, "divided": {}}
        text = orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
    return text


def decode_memory(data: bytes) -> FleetMemory:
    """The inverse of ``encode_memory``. Raises DamagedMemory, with the reason."""
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise DamagedMemory(f"not JSON: {error}") from None
    if not isinstance(document, dict) or "version" not in document:
        raise DamagedMemory("it has no version")
    if document["version"] != VERSION:
        raise DamagedMemory(f"version {document['version']!r} is not {VERSION}")
    try:
        return convert(document, FleetMemory)
    except ValidationError as error:
        raise DamagedMemory(f"a part of it is not as it should be: {error}") from None


def _changed_fields(one: ClusterMemory | WorkloadMemory) -> dict[str, Any]:
    """The fields that differ from their defaults."""
    fields = {name: getattr(one, name) for name in one.__struct_fields__}
    default = type(one)()
    return {name: value for name, value in fields.items() if value != getattr(default, name)}
