"""A round: one run that several pods share, and what they tell one another of it.

They meet in the ConfigMap ``federation-<name>-round`` of the host cluster. The pod with index 0
publishes what it decided, the others read it, and each says what its guards find and when it has
ended. Nobody waits for anything but the decision; a pod that deletes something, for the guards of
the others; and before deleting a Service or an Ingress, for the DNS records to be read. A pod
that dies holds up nothing else.

A round is of one Job and one holding of the lock (its epoch, ``Lease.epoch``): what was decided
before somebody else held it is not acted upon any more.
"""

from __future__ import annotations

import base64
import random
import time
from collections.abc import Callable, Mapping, Sequence

import orjson
from msgspec import DecodeError, Struct, convert, field, json
from msgspec.structs import replace

from reconciler.api.annotations import own_metadata
from reconciler.api.errors import Conflict, ReconcileError, StalePlan, TextViolation
from reconciler.api.objects import Object, ObjectKey, RedactedRepr, read_in_threads
from reconciler.cluster.client import Member
from reconciler.cluster.discovery import RESTMapping
from reconciler.shard.split import Shard

CONFIG_MAPS = RESTMapping("v1", "ConfigMap", "configmaps", namespaced=True)
VERSION = 3
MAX_BYTES = 900_000
TRIES = 30
POLL_SECONDS = 1.0
WAIT_SECONDS = 300.0
"""How long the others wait for the decision, unless their own deadline is nearer."""


class RoundState(Struct, frozen=True):
    """What the ConfigMap says. ``ended``: pod -> whether all that it had to do was done.

    ``names``: what became of the DNS records: None not yet written, "" all are as planned, else
    what failed. ``guards``: pod -> which limits its plan passes.
    """

    round: str = ""
    epoch: int = 0
    count: int = 0
    decision: bytes = b""
    ended: Mapping[int, bool] = field(default_factory=dict)
    names: str | None = None
    guards: Mapping[int, tuple[str, ...]] = field(default_factory=dict)

    @property
    def all_ended(self) -> bool:
        return len(self.ended) >= self.count > 0

    @property
    def all_well(self) -> bool:
        """Whether every pod has ended, and none of them with a failure."""
        return self.all_ended and all(self.ended.values())


class Round:
    """One pod's part in a round. ``host`` has the lock's fence, ``check`` is the lock's check."""

    def __init__(
        self,
        host: Member,
        federation: str,
        namespace: str,
        shard: Shard,
        epoch: int,
        *,
        check: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.shard = shard
        self.state = RoundState()
        self._host, self._federation, self._check = host, federation, check
        self._clock, self._pause = clock, pause
        self._key = ObjectKey("", "ConfigMap", namespace, f"federation-{federation}-round")
        self._fresh = RoundState(shard.round, epoch, shard.count)

    @property
    def where(self) -> str:
        return f"ConfigMap {self._key.namespace}/{self._key.name}"

    @property
    def ended(self) -> bool:
        """Whether this pod has said that it has ended."""
        return self.shard.index in self.state.ended

    def decision(self) -> bytes:
        """What was decided in this round, or nothing yet. Raises ReconcileError."""
        self.state = self._read()[0]
        return self.state.decision

    def await_decision(self, timeout: float = WAIT_SECONDS) -> bytes:
        """The decision, as soon as there is one; ``timeout`` is in seconds.

        Raises StalePlan when the lock was another run's since, ReconcileError when none will come.
        """
        give_up = self._clock() + timeout
        while True:
            self._check()
            if found := self.decision():
                return found
            if 0 in self.state.ended:
                raise ReconcileError(
                    f"shard 0 of {self.shard.count} ended before it had decided anything",
                    hint="its log says why",
                )
            if self._clock() >= give_up:
                raise ReconcileError(
                    f"shard 0 of {self.shard.count} has decided nothing for {timeout:.0f} s "
                    f"({self.where})",
                    hint="look whether its pod runs: kubectl get pods -l job-name",
                    subject=f"shard 0 of {self.shard.count} has decided nothing",
                )
            self._pause(POLL_SECONDS)

    def publish(self, decision: bytes) -> None:
        """Let the others have it. Raises ReconcileError when that cannot be."""
        if len(decision) > MAX_BYTES:
            raise ReconcileError(
                f"the decision is too large for a ConfigMap: {len(decision)} bytes",
                hint="divide the fleet into several federations",
                subject="the decision is too large",
            )
        self._update(lambda state: replace(state, decision=decision))

    def publish_names(self, failed: str) -> None:
        """The DNS records are written, or ``failed`` says what is not. Raises ReconcileError."""
        self._update(lambda state: replace(state, names=failed))

    def await_names(self, timeout: float = WAIT_SECONDS) -> str:
        """Why what a DNS name points to must stay; nothing once shard 0 has written the records.

        ``timeout`` is in seconds. Raises StalePlan when the lock was another run's since.
        """
        give_up = self._clock() + timeout
        while True:
            self._check()
            self.state = self._read()[0]
            if self.state.names is not None:
                return self.state.names
            if 0 in self.state.ended or self._clock() >= give_up:
                return f"shard 0 of {self.shard.count} has not written the DNS records"
            self._pause(POLL_SECONDS)

    def publish_violations(self, violations: Sequence[str]) -> None:
        """Which limits this pod's plan passes, if any. Raises ReconcileError."""
        own = {self.shard.index: tuple(violations)}
        self._update(lambda state: replace(state, guards={**state.guards, **own}))

    def await_guards(self, timeout: float = WAIT_SECONDS) -> list[TextViolation]:
        """Which limits the other pods' plans pass, once all that have not ended have reported.

        One that has reported nothing within ``timeout`` seconds counts as one that passes none: it
        writes nothing either, or judges itself. Raises StalePlan as above.
        """
        give_up = self._clock() + timeout
        while True:
            self._check()
            self.state = self._read()[0]
            reported = self.state.guards
            if any(reported.values()) or self._clock() >= give_up:
                break
            if {*reported, *self.state.ended} >= set(range(self.shard.count)):
                break
            self._pause(POLL_SECONDS)
        return [
            TextViolation(text=f"{shard}: {text}", about=shard)
            for index, violations in sorted(reported.items())
            if index != self.shard.index
            for shard in [f"shard {index} of {self.shard.count}"]
            for text in violations
        ]

    def end(self, *, well: bool) -> RoundState:
        """This pod has ended; what is known of all of them. Raises ReconcileError."""
        own = {self.shard.index: well}
        return self._update(lambda state: replace(state, ended={**state.ended, **own}))

    # -- the ConfigMap -----------------------------------------------------------------------

    def _read(self) -> tuple[RoundState, Object | None]:
        """This round's state, fresh where the ConfigMap is another's, and the ConfigMap."""
        found = self._host.get(CONFIG_MAPS, self._key)
        state = parse_round(found)
        if state.round != self._fresh.round or state.count != self._fresh.count:
            return self._fresh, found
        if state.epoch != self._fresh.epoch:
            if state.epoch > self._fresh.epoch or not self.shard.decides:
                raise StalePlan(
                    ["another run held the lock since this round was decided upon"],
                    hint="the next Job starts from what is true then",
                )
            return self._fresh, found
        return state, found

    def _update(self, change: Callable[[RoundState], RoundState]) -> RoundState:
        for _ in range(TRIES):
            state, found = self._read()
            body = self._body(change(state))
            try:
                if found is None:
                    self._host.create(CONFIG_MAPS, body, namespace=self._key.namespace)
                else:
                    version = found["metadata"]["resourceVersion"]
                    body["metadata"]["resourceVersion"] = version
                    self._host.replace(CONFIG_MAPS, self._key, body)
            except Conflict:
                self._pause(random.uniform(0.0, 0.2))  # noqa: S311  (no secret)
                continue
            self.state = change(state)
            return self.state
        raise ReconcileError(f"{self.where} keeps changing")

    def _body(self, state: RoundState) -> Object:
        text = orjson.dumps(
            {
                "version": VERSION,
                "round": state.round,
                "epoch": state.epoch,
                "shards": state.count,
                "names": state.names,
                "guards": {
                    str(index): reported for index, reported in sorted(state.guards.items())
                },
                "ended": {str(index): well for index, well in sorted(state.ended.items())},
            },
            option=orjson.OPT_INDENT_2,
        )
        return {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": own_metadata(self._key, self._federation),
            "data": {"round.json": text.decode()},
            "binaryData": {"decision": base64.b64encode(state.decision).decode()},
        }


class _ConfigMap(RedactedRepr, frozen=True, rename="camel"):
    data: dict[str, str] | None = None
    binary_data: dict[str, bytes] | None = None


class _Written(Struct, frozen=True):
    """``round.json``, see ``_body``."""

    version: int
    round: str
    epoch: int
    shards: int
    names: str | None
    guards: dict[int, tuple[str, ...]]
    ended: dict[int, bool]


# Pods are processes of their own, but for tests.
read_in_threads(_ConfigMap, _Written)


def parse_round(found: Object | None) -> RoundState:
    """What a ConfigMap says; anything that is no round's state counts as none."""
    if found is None:
        return RoundState()
    try:
        config_map = convert(found, _ConfigMap)
        read = json.decode((config_map.data or {}).get("round.json", ""), type=_Written)
    except DecodeError:
        return RoundState()
    if read.version != VERSION:
        return RoundState()
    decision = (config_map.binary_data or {}).get("decision", b"")
    return RoundState(
        read.round,
        read.epoch,
        read.shards,
        decision,
        read.ended,
        read.names,
        read.guards,
    )
