"""Which of several pods looks after which clusters. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

from msgspec import Struct

from reconciler.api.errors import UsageError
from reconciler.api.options import RunOptions


class Shard(Struct, frozen=True):
    """One of ``count`` pods, counted from 0, in the run that ``round`` names.

    All pods of one Job have the same round, and no two Jobs do. It is empty where only a plan is
    wanted: that needs no other pod.
    """

    index: int
    count: int
    round: str = ""

    def __str__(self) -> str:
        """``2/4``, as it is written on the command line."""
        return f"{self.index}/{self.count}"

    @property
    def decides(self) -> bool:
        """Whether this pod decides for all of them who is down and what runs where."""
        return self.index == 0

    def clusters_of(self, names: Iterable[str]) -> frozenset[str]:
        """Those of ``names``, all the clusters of the fleet, that are this pod's."""
        shares = split(names, self.count)
        return frozenset(name for name, index in shares.items() if index == self.index)


def shard_of(options: RunOptions) -> Shard | None:
    """Which of the pods that share the run this is; None: it does all of it. Raises UsageError."""
    return parse_shard(options.shard, options.round) if options.shard else None


def parse_shard(text: str, round_name: str = "") -> Shard:
    """``INDEX/COUNT``. Raises UsageError."""
    index, slash, count = text.partition("/")
    if not (slash and index.isdecimal() and count.isdecimal() and int(index) < int(count)):
        raise UsageError(
            f"--shard {text}: not a shard",
            hint="INDEX/COUNT with INDEX from 0 to COUNT-1, such as 0/4",
        )
    return Shard(int(index), int(count), round_name)


def split(names: Iterable[str], count: int) -> dict[str, int]:
    """Cluster -> the index of its pod, from 0 to ``count`` - 1.

    Rendezvous hashing with bounded loads: no pod has more than its even share, rounded up, and a
    cluster that joins or leaves moves few of the others to another pod.
    """
    names = sorted(set(names))
    most = -(-len(names) // count)
    load = [0] * count
    found = {}
    # In the order of a digest: a new name is then as likely to come last as first.
    for name in sorted(names, key=lambda n: (_score(n, -1), n)):
        open_pods = (index for index in range(count) if load[index] < most)
        found[name] = max(open_pods, key=lambda index: (_score(name, index), -index))
        load[found[name]] += 1
    return found


def _score(name: str, index: int) -> bytes:
    return blake2b(f"{index}\0{name}".encode(), digest_size=8).digest()
