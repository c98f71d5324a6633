"""A fleet as plain numbers: real rules, decision and scheduling over clusters that live and die.

Everything that decides is the program's own, from the YAML of the rules to the assignments. What
is imagined here is the world: servers that answer or not, and Pods that become ready.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from msgspec.structs import replace

from reconciler.api.objects import Object, ObjectKey
from reconciler.cluster.discovery import GroupVersionKind
from reconciler.failover.availability import Availability, assess
from reconciler.failover.probe import Nodes, Probe, ProbeAttempt, assess_probe
from reconciler.federation.model import DesiredState, Workload
from reconciler.plan.placement import WorkloadPlacement, place_workloads
from reconciler.scheduler.keep_until_ready import is_current, keep_until_ready
from reconciler.scheduler.model import Assignment
from reconciler.scheduler.schedule import schedule
from reconciler.state.memory import DamagedMemory, FleetMemory, Phase, decode_memory, encode_memory
from tests.unit.dns.fleets import understood

NAMES = ("aws-eu", "aws-us", "gcp-eu", "gcp-us")

FEDERATION = """
apiVersion: federation.reconciler.dev/v1alpha1
kind: Federation
metadata: {name: shop}
spec:
  defaults: {placement: {clusterSelector: {}}}
  failover:
    enabled: true
    unhealthyAfter: 3m
    healthyAfter: 5m
    maxUnhealthy: %d
    minAvailableClusters: %d
    failback: {maxMovesPerRun: %d}
---
"""
CLUSTERS = "---".join(
    f"""
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {{name: {name}}}
spec: {{provider: {name[:3]}, region: {name}, capacity: {{replicas: {room}}}}}
"""
    for name, room in zip(NAMES, (14, 14, 14, 9), strict=True)
)
DEPLOYMENT = """
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: %s, namespace: shop}
spec:
  replicas: %d
  selector: {matchLabels: {app: a}}
  template: {metadata: {labels: {app: a}}, spec: {containers: [{name: a, image: a}]}}
"""
PLACEMENT = """
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {name: %s}
spec: {select: [{kind: Deployment, name: %s}], clusterSelector: {}, %s}
"""
PREFERENCE = """
---
apiVersion: types.kubefed.io/v1beta1
kind: FederatedDeployment
metadata: {name: preferred, namespace: shop}
spec:
  placement: {clusterSelector: {}}
  template:
    spec:
      selector: {matchLabels: {app: a}}
      template: {metadata: {labels: {app: a}}, spec: {containers: [{name: a, image: a}]}}
---
apiVersion: scheduling.kubefed.io/v1alpha1
kind: ReplicaSchedulingPreference
metadata: {name: preferred, namespace: shop}
spec:
  targetKind: FederatedDeployment
  totalReplicas: 5
  rebalance: true
  clusters: {aws-eu: {weight: 2, minReplicas: 1}, "*": {weight: 1, maxReplicas: 3}}
"""
WORKLOADS = (
    DEPLOYMENT % ("even", 7)
    + PLACEMENT % ("even", "even", "replicas: {mode: Divided}")
    + DEPLOYMENT % ("bounded", 8)
    + PLACEMENT
    % (
        "bounded",
        "bounded",
        "replicas: {mode: Divided, clusters: [{name: aws-eu, weight: 3, min: 2, max: 4}, "
        "{name: aws-us, max: 2}, {name: gcp-eu, max: 3}, {name: gcp-us, min: 1, max: 2}]}",
    )
    + DEPLOYMENT % ("one-region", 4)
    + PLACEMENT
    % (
        "one-region",
        "one-region",
        "replicas: {mode: Divided}, spread: [{by: region, maxGroups: 1}]",
    )
    + DEPLOYMENT % ("companion", 1)
    + PLACEMENT % ("companion", "companion", "spread: [{by: region, maxGroups: 1}]")
    + DEPLOYMENT % ("copied", 1)
    + PREFERENCE
)


@cache
def repository(limit: int, least: int, moves: int) -> DesiredState:
    """The rules and manifests above, understood."""
    return understood(FEDERATION % (limit, least, moves), CLUSTERS, WORKLOADS)


@dataclass
class Member:
    """``sign``: how its server answers. ``alive``: whether its Pods serve, which is another matter.

    ``asked`` and ``ready`` count replicas by workload.
    """

    asked: dict[ObjectKey, int]
    ready: dict[ObjectKey, int]
    sign: str = "+"
    alive: bool = True

    def probe(self, name: str) -> Probe:
        """Three tries, as the program judges them."""
        tries = {
            "+": [ProbeAttempt(200)],
            "late": [ProbeAttempt(0, "timeout"), ProbeAttempt(500), ProbeAttempt(200)],
            "silent": [ProbeAttempt(0, "timeout")] * 3,
            "cut off": [ProbeAttempt(0, "connection refused")] * 3,
            "failing": [ProbeAttempt(200), ProbeAttempt(500), ProbeAttempt(503, "etcd")][1:] * 2,
            "nodes": [ProbeAttempt(200)],
            "expired": [ProbeAttempt(0, "timeout"), ProbeAttempt(401)],
            "forbidden": [ProbeAttempt(403)],
            "certificate": [ProbeAttempt(0, "TLS: not trusted", inconclusive=True)] * 3,
        }[self.sign]
        nodes = Nodes(1, 3) if self.sign == "nodes" else None
        return assess_probe(name, tries, nodes, min_ready_nodes=0.5)


LOOKS_DOWN = ("silent", "cut off", "failing", "nodes")
LOOKS_WELL = ("+", "late")
CANNOT_TELL = ("expired", "forbidden", "certificate")
PODS_GONE = ("silent", "failing", "nodes")
"""Of ``cut off`` only the server is out of reach: its Pods go on, as in a real partition."""


@dataclass(frozen=True)
class Run:
    """What one run saw and decided; ``before``: phases as they were remembered."""

    before: Mapping[str, Phase]
    availability: Availability
    placing: WorkloadPlacement
    answered: frozenset[str]
    probes: tuple[Probe, ...]

    @property
    def phases(self) -> dict[str, Phase]:
        """As decided: before those that came back are found to carry their share."""
        return {n: one.phase for n, one in self.availability.memory.clusters.items()}


class Fleet:
    """The world and the program's runs over it."""

    def __init__(self, limit: int = 1, least: int = 1, moves: int = 3) -> None:
        self.state = repository(limit, least, moves)
        self.usual = schedule(self.state)
        self.workloads = {w.key: w for w in self.state.workloads}
        self.now = 1_000_000.0
        self.memory = FleetMemory()
        self.members = {
            name: Member(dict(counts), dict(counts))
            for name, counts in ((n, self.share_of(n)) for n in NAMES)
        }

    def share_of(self, name: str) -> dict[ObjectKey, int]:
        """What a cluster runs when everything is well."""
        return {a.workload: self.count_of(a, name) for a in self.usual if name in a.replicas}

    def count_of(self, assignment: Assignment, name: str) -> int:
        """The template's own count where the assignment leaves it."""
        count = assignment.replicas[name]
        if count is not None:
            return count
        return int(self.workloads[assignment.workload].template["spec"].get("replicas", 1))

    def suffers(self, name: str, sign: str, *, rebuilt: bool = False) -> None:
        """From now on it answers so; ``rebuilt``: it has lost all that it ran.

        One whose credential alone is refused runs on: nobody could know otherwise.
        """
        member = self.members[name]
        if sign in CANNOT_TELL and not member.asked:
            sign = "silent"
        member.sign, member.alive = sign, sign not in PODS_GONE
        if not member.alive or rebuilt:
            member.ready = dict.fromkeys(member.asked, 0)
        if rebuilt:
            member.asked, member.ready = {}, {}
        if sign in CANNOT_TELL:
            member.ready = dict(member.asked)

    def forget(self, *, damaged: bool = False) -> None:
        """The memory is lost, or only a part of its bytes is left."""
        if damaged:
            try:
                decode_memory(encode_memory(self.memory)[:-5])
            except DamagedMemory:
                pass
            else:
                raise AssertionError("half a memory was taken for a whole one")
        self.memory = FleetMemory()

    def start_pods(self) -> None:
        """Every Pod of a living cluster becomes ready."""
        for member in self.members.values():
            if member.alive:
                member.ready = dict(member.asked)

    def serving(self, key: ObjectKey) -> int:
        """How many replicas really serve, whoever can see them."""
        return sum(m.ready.get(key, 0) for m in self.members.values() if m.alive)

    def run(self, after: float = 60.0) -> Run:
        """One run: it asks, decides, remembers, and writes to the clusters that it may write to."""
        self.now += after
        probes = tuple(member.probe(name) for name, member in self.members.items())
        before = {n: one.phase for n, one in self.memory.clusters.items()}
        availability = assess(self.state, self.memory, probes, {}, self.now)
        answered = frozenset(
            p.cluster for p in probes if p.answers and p.cluster not in availability.left_alone
        )
        live: dict[ObjectKey, dict[str, Object]] = {}
        for name in answered:
            member = self.members[name]
            for key, asked in member.asked.items():
                ready = member.ready.get(key, 0)
                # As a Deployment tells it whose Pods all are of the newest version.
                counts = dict.fromkeys(("replicas", "updatedReplicas"), asked)
                live.setdefault(key, {})[name] = {
                    "apiVersion": "apps/v1",
                    "kind": "Deployment",
                    "metadata": {},
                    "spec": {"replicas": asked},
                    "status": {**counts, "readyReplicas": ready, "availableReplicas": ready},
                }
        placing = place_workloads(self.state, availability, self.usual, live, answered, self.now)
        unconfirmed = placing.unconfirmed | availability.seen_unhealthy

        def not_ready(_: Workload, key: ObjectKey, home: str, due: int) -> str:
            if home in unconfirmed:
                return "the cluster looks unhealthy"
            return is_current(live.get(key, {}).get(home), due)

        kind = GroupVersionKind("apps/v1", "Deployment")
        here = {n: {k: (kind, found[n]) for k, found in live.items() if n in found} for n in NAMES}
        assignments, kept = keep_until_ready(
            self.state, placing.assignments, here, not_ready, availability.tainted
        )
        placing = replace(placing, assignments=assignments, moves=(*placing.moves, *kept))
        # A later run has only the bytes.
        self.memory = decode_memory(encode_memory(placing.memory))
        for name in answered:
            self._apply(name, placing.assignments)
        return Run(before, availability, placing, answered, probes)

    def _apply(self, name: str, assignments: tuple[Assignment, ...]) -> None:
        member = self.members[name]
        member.asked = {
            a.workload: self.count_of(a, name) for a in assignments if name in a.replicas
        }
        member.ready = {
            key: min(asked, member.ready.get(key, 0)) for key, asked in member.asked.items()
        }
