"""What a repository says, once its documents are understood: plain values, no I/O.

``DesiredState`` is the whole of it. Durations are seconds (float). Selectors with neither
matchLabels nor matchExpressions select everything.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cached_property
from typing import Any, Literal

from msgspec import Struct, field
from msgspec.structs import replace

from reconciler.api.errors import Position, Problem
from reconciler.api.manifest import Manifest
from reconciler.api.notices import Notice
from reconciler.api.objects import GroupKind, Object, ObjectKey, RedactedRepr
from reconciler.git.source_rules import SourceRules
from reconciler.manifests.document import Document

DEFAULT_FEDERATION_NAMESPACE = "federation-system"
"""Where a Federation that names no namespace keeps what is its own."""


class Requirement(Struct, frozen=True):
    """One matchExpressions entry."""

    key: str
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: tuple[str, ...] = ()


class Selector(Struct, frozen=True):
    """A Kubernetes label selector."""

    labels: Mapping[str, str] = field(default_factory=dict)
    expressions: tuple[Requirement, ...] = ()


class Taint(Struct, frozen=True):
    key: str
    value: str = ""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] = "NoSchedule"

    def __str__(self) -> str:
        """``key=value:effect``, as kubectl writes it."""
        return f"{self.key}={self.value}:{self.effect}"


class Toleration(Struct, frozen=True):
    key: str = ""
    operator: Literal["Equal", "Exists"] = "Equal"
    value: str = ""
    effect: str = ""
    toleration_seconds: float | None = None


class SecretReference(Struct, frozen=True):
    """A Secret of the host cluster that holds a credential; never the credential itself."""

    name: str
    namespace: str = ""
    key: str = "kubeconfig"


class NamedAccess(RedactedRepr, frozen=True):
    """An access provider of a ClusterProfile: the server, as a kubeconfig's ``cluster`` has it, and
    by name what the profile has for the plugin. Whoever may write profiles wrote it."""

    name: str
    cluster: Mapping[str, Any] = field(default_factory=dict)
    extensions: Mapping[str, Any] = field(default_factory=dict)


class ProfileAccess(Struct, frozen=True):
    """How a ClusterProfile in ``namespace`` says that its cluster is reached."""

    namespace: str
    providers: tuple[NamedAccess, ...] = ()


class Access(Struct, frozen=True):
    """How to reach a member: a kubeconfig context, a Secret, an endpoint and a Secret with a token
    (KubeFed, Karmada), or what a ClusterProfile names.

    ``fallback_context`` is used when the Secret cannot be read (KubeFedCluster: its own name), or
    where no file of access providers was given (ClusterProfile: the same). ``ca_key`` is the
    Secret's key with the CA, where the manifest has none.
    """

    context: str | None = None
    secret: SecretReference | None = None
    api_endpoint: str = ""
    ca_bundle: str = ""
    proxy_url: str = ""
    skip_tls_checks: tuple[str, ...] = ()
    fallback_context: str | None = None
    profile: ProfileAccess | None = None
    ca_key: str = "ca.crt"


PLACE_LABELS = {
    "provider": "federation.reconciler.dev/provider",
    "region": "topology.kubernetes.io/region",
    "zone": "topology.kubernetes.io/zone",
}
"""Where a cluster is: the field that says so, and the label."""


class Window(Struct, frozen=True):
    """Times in which nothing is written (Deny), or outside of which nothing is (Allow).

    It begins when ``schedule`` says so, a cron expression of five fields, by the clock of
    ``time_zone`` (an IANA name), and lasts ``duration`` seconds. ``failover``: what an outage asks
    for is written all the same. ``federation.maintenance`` has the rules.
    """

    kind: Literal["Allow", "Deny"]
    schedule: str
    duration: float
    time_zone: str = "UTC"
    failover: bool = True


WITNESS = "Witness"
"""The role of a Cluster that only holds a copy of the register: it is no member."""


class Cluster(Struct, frozen=True):
    """A member cluster, or a Witness. ``capacity`` is in replicas of any workload, None where
    unknown. ``role`` is WITNESS or empty. ``zones`` are all that it is in, where it is in several.

    ``paused``: nothing is written to it; ``maintenance`` says when it is, where that is not always.
    ``faults`` are why it cannot be reached as Git says: its own trouble, and nobody else's.
    """

    name: str
    position: Position
    labels: Mapping[str, str] = field(default_factory=dict)
    provider: str = ""
    region: str = ""
    zone: str = ""
    zones: tuple[str, ...] = ()
    weight: int = 1
    capacity: int | None = None
    taints: tuple[Taint, ...] = ()
    access: Access = Access()
    role: str = ""
    paused: bool = False
    maintenance: tuple[Window, ...] = ()
    faults: tuple[Problem, ...] = ()

    @property
    def all_labels(self) -> dict[str, str]:
        """What selectors and variables see: its labels, with its place under the names that
        Kubernetes has for nodes. A label of its own goes first."""
        place = {label: getattr(self, part) for part, label in PLACE_LABELS.items()}
        return {**{label: value for label, value in place.items() if value}, **self.labels}


class ClusterAffinity(Struct, frozen=True):
    """Karmada's filter of clusters: all of it must hold, and what is empty says nothing.

    ``names`` are the clusters, ``exclude`` never; ``selector`` is about their labels alone, and
    ``fields`` about ``provider``, ``region`` and ``zone``.
    """

    name: str = ""
    names: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    selector: Selector | None = None
    fields: tuple[Requirement, ...] = ()


class PruneRules(Struct, frozen=True):
    """What may be deleted. ``protected`` kinds and labels are never pruned."""

    enabled: bool = True
    protected_kinds: tuple[GroupKind, ...] = ()
    protected_labels: Selector | None = None
    propagation: Literal["Foreground", "Background", "Orphan"] = "Background"


class GuardRules(Struct, frozen=True):
    """Limits past which a run stops before its first write.

    ``max_deletions`` counts objects per cluster; ``max_deletion_share`` is 0..1 of that cluster's
    inventory (applied only when the inventory has ``share_from`` objects or more, so that small
    fleets are not stopped by one deletion out of two). ``unplaced``: whether what Git still has may
    be deleted because its placement matches no cluster any more.
    """

    max_deletions: int | None = None
    max_deletion_share: float | None = 0.5
    share_from: int = 10
    on_invalid: Literal["Stop", "Skip"] = "Stop"
    unplaced: Literal["Stop", "Allow"] = "Stop"


class AdoptionRules(Struct, frozen=True):
    """``take_over``: glob patterns of field managers that give up, on adoption, what Git says.

    ``whole``: they give up the rest as well, so that what Git does not say goes.
    """

    policy: Literal["IfUnclaimed", "Never"] = "IfUnclaimed"
    take_over: tuple[str, ...] = (
        "kubectl*",
        "before-first-apply",
        "controller-manager",
        "kubefed*",
        "hyperfed*",
        "karmada*",
    )
    whole: bool = False


Additions = Literal["Remove", "Report", "Ignore"]

PEOPLE = (
    *("kubectl*", "oc", "Mozilla", "node-fetch", "k9s", "GoogleCloudConsole", "rancher"),
    *("dashboard", "dashboard-api", "kubernetes-dashboard*", "aptakube", "podman-desktop"),
    *("Lens*", "lens*", "OpenLens*", "openlens*", "freelens*", "Headlamp*", "headlamp*"),
)
"""Field managers behind which people are, as patterns: what a browser, an IDE or a console writes.

A server takes the name from the request, else from the part of the User-Agent before the slash.
Seen in managedFields that others published: kubectl-edit, -set, -patch, -label, -annotate,
-rollout, -client-side-apply, -create and plain kubectl (measured on 1.33 to 1.37); ``Mozilla``, by
which OpenShift's console and others pass a browser on (objects in public repositories, 2021 to
2026); ``node-fetch`` for Lens (lensapp/lens#8284, fluxcd/kustomize-controller#982); ``k9s`` (which
restarts as kubectl-rollout, derailed/k9s#3984); ``GoogleCloudConsole``; ``dashboard`` for the
Kubernetes Dashboard; ``rancher``, for its interface and its controllers alike; ``aptakube``
(kube-rs/kube#1031). The others are what their User-Agents make likely. Left out, as many a
controller has these names as well: ``unknown`` (podman-desktop/podman-desktop#6186),
``OpenAPI-Generator`` (the Python client), ``agent`` (rancher/dashboard#709).
"""


class AdditionRule(Struct, frozen=True):
    """What becomes of additions of these kinds, at these paths, by these managers; empty: any."""

    additions: Additions
    kinds: tuple[GroupKind, ...] = ()
    paths: tuple[str, ...] = ()
    managers: tuple[str, ...] = ()


class DriftRules(Struct, frozen=True):
    """What becomes of fields that people's ``managers`` (patterns) add to objects of ours."""

    additions: Additions = "Report"
    managers: tuple[str, ...] = PEOPLE
    rules: tuple[AdditionRule, ...] = ()


class IgnoreRule(RedactedRepr, frozen=True):
    """``paths`` are left to others in the manifests that any of ``select`` matches."""

    select: tuple[Object, ...]
    paths: tuple[str, ...]


class ProbeRules(Struct, frozen=True):
    timeout: float = 5.0
    attempts: int = 3
    interval: float = 1.0


class FailoverRules(Struct, frozen=True):
    """Failover, as `Federation.spec.failover` says; a Placement may narrow some of it.

    ``max_unhealthy`` is a count, or a share 0..1 when ``max_unhealthy_is_share``.
    """

    enabled: bool = False
    probe: ProbeRules = ProbeRules()
    unhealthy_after: float = 180.0
    healthy_after: float = 300.0
    max_unhealthy: float = 0.5
    max_unhealthy_is_share: bool = True
    min_available_clusters: int = 1
    min_ready_nodes: float = 0.5
    action: Literal["Reschedule", "DNSOnly", "None"] = "Reschedule"
    failback: Literal["Automatic", "Manual"] = "Automatic"
    failback_max_moves: int | None = None
    workload_unavailable_after: float | None = None


class Gate(Struct, frozen=True):
    """A question to Prometheus that a wave must answer well: every sample of the instant ``query``
    is at least ``at_least`` and at most ``at_most`` (one of them is set).

    ``url`` is the server's address, to which no credential goes.
    """

    name: str
    url: str
    query: str
    at_least: float | None = None
    at_most: float | None = None


class Wave(Struct, frozen=True):
    """Clusters that get a commit together. ``clusters`` wins over ``selector``; neither: all that
    are in no other wave.

    ``max_concurrent``: how many of them may be on their way at once, as a count, or as a share
    (0..1) of the wave where ``is_share``; None: all. ``soak``: for how many seconds the whole wave
    must stay well. ``manual``: then it waits for a person.
    """

    name: str
    clusters: tuple[str, ...] | None = None
    selector: Selector | None = None
    max_concurrent: float | None = None
    is_share: bool = False
    soak: float = 0.0
    gates: tuple[Gate, ...] = ()
    manual: bool = False

    @property
    def is_rest(self) -> bool:
        """Whether it has the clusters that are in no other wave."""
        return self.clusters is None and self.selector is None


class RolloutRules(Struct, frozen=True):
    """How a commit reaches the fleet: ``waves`` in order, the last one for clusters in no other.

    ``progress_deadline``: after how many seconds without progress a wave has failed.
    ``on_failure`` "Return": the clusters of a failed wave go back to the stable commit. ``queue``
    "Latest": a newer commit replaces one that has not left its first wave.
    """

    waves: tuple[Wave, ...]
    progress_deadline: float = 1800.0
    on_failure: Literal["Hold", "Return"] = "Hold"
    queue: Literal["Latest", "InOrder"] = "Latest"


class StricterRollout(Struct, frozen=True):
    """What a Placement adds for its objects: a wave that changes one of them soaks at least so
    long, has no more clusters on their way at once, and waits for a person where ``manual``."""

    soak: float = 0.0
    max_concurrent: float | None = None
    is_share: bool = False
    manual: bool = False
    gates: tuple[Gate, ...] = ()


class InventoryRules(Struct, frozen=True):
    """Which ClusterProfiles of the host are clusters of the fleet: those in ``namespace`` that
    ``selector`` selects."""

    namespace: str
    selector: Selector = Selector()

    @property
    def text(self) -> str:
        """The same for the same rules."""
        needed = [f"{r.key} {r.operator} {sorted(r.values)}" for r in self.selector.expressions]
        return f"{self.namespace} {sorted(self.selector.labels.items())} {sorted(needed)}"


class ListedProfile(Struct, frozen=True, omit_defaults=True):
    """What is used of a ClusterProfile, and remembered of it.

    ``labels`` are its own and its properties, as far as those may be labels. ``unhealthy``: why its
    manager says that the control plane is not healthy; empty where it does not say so.
    """

    name: str
    namespace: str
    labels: Mapping[str, str] = field(default_factory=dict)
    provider: str = ""
    region: str = ""
    zone: str = ""
    unhealthy: str = ""
    providers: tuple[NamedAccess, ...] = ()

    @property
    def position(self) -> Position:
        return Position(f"ClusterProfile {self.namespace}/{self.name}", 0, 0)


class KnownInventory(Struct, frozen=True):
    """The profiles that a host listed last, by the rules (``text`` of them) of then."""

    rules: str
    profiles: tuple[ListedProfile, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Federation:
    """The one Federation of a repository. ``namespace`` holds the inventory in each member.

    ``data_loss`` are the kinds that may be recreated even where data is deleted with them.
    ``seats`` are the clusters that carry the reconciler: none, or an odd number from three.
    ``inventory``: the host lists clusters as well. ``decisions_in`` is the namespace of the host in
    which placement decisions are published; empty: none are.
    ``document`` is where it is written, for faults that only later steps can find.
    """

    name: str
    position: Position
    namespace: str = DEFAULT_FEDERATION_NAMESPACE
    default_placement: PlacementTarget | None = None
    kubefed_labels: bool = False
    force_conflicts: bool = False
    recreate: bool = False
    data_loss: tuple[GroupKind, ...] = ()
    verify_share: float = 0.0
    prune: PruneRules = dataclasses.field(default_factory=PruneRules)
    guards: GuardRules = dataclasses.field(default_factory=GuardRules)
    dependencies: Dependencies = "Warn"
    adoption: AdoptionRules = dataclasses.field(default_factory=AdoptionRules)
    drift: DriftRules = dataclasses.field(default_factory=DriftRules)
    ignore: tuple[IgnoreRule, ...] = ()
    failover: FailoverRules = dataclasses.field(default_factory=FailoverRules)
    dns: Object = dataclasses.field(default_factory=dict)
    notifications: tuple[Object, ...] = ()
    sensitive: Mapping[GroupKind, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    source: SourceRules = dataclasses.field(default_factory=SourceRules)
    seats: tuple[str, ...] = ()
    rollout: RolloutRules | None = None
    maintenance: tuple[Window, ...] = ()
    inventory: InventoryRules | None = None
    decisions_in: str = ""
    document: Document | None = dataclasses.field(default=None, repr=False, compare=False)


Dependencies = Literal["Follow", "Warn", "Ignore"]
"""Whether what a workload needs goes along with it, or is told where it does not."""


class Spread(Struct, frozen=True):
    by: Literal["region", "provider", "zone", "cluster"]
    min_groups: int = 1
    max_groups: int | None = None


class Preference(Struct, frozen=True):
    """Clusters that are liked better, by so much (1 to 100)."""

    weight: int
    selector: Selector


class OverflowStep(Struct, frozen=True):
    """Clusters that are filled together. ``clusters`` goes before ``selector``."""

    clusters: tuple[str, ...] | None = None
    selector: Selector | None = None


class PlacementTarget(Struct, frozen=True):
    """Where something may go. ``clusters`` (even empty) wins over ``selector``; neither: nowhere.

    Of those, only clusters that match one of ``required`` (if there are any) are used, and where
    ``spread`` has to choose, groups with more ``preferred`` weight come first.

    ``placed_by`` names the rule, for reports: ``Placement web``, ``KubeFed placement`` ...

    ``karmada``: groups are chosen as Karmada's scheduler does (``scheduler.karmada_choice``), and
    where there are several ``affinities``, only clusters of the first of them that fits are used.

    ``overflow``: only clusters of these steps are used, and replicas that are divided go to a step
    once those before it are full.
    """

    clusters: tuple[str, ...] | None = None
    selector: Selector | None = None
    spread: tuple[Spread, ...] = ()
    tolerations: tuple[Toleration, ...] = ()
    required: tuple[Selector, ...] = ()
    preferred: tuple[Preference, ...] = ()
    placed_by: str = ""
    karmada: bool = False
    affinities: tuple[ClusterAffinity, ...] = ()
    overflow: tuple[OverflowStep, ...] = ()


class ReplicaShare(Struct, frozen=True):
    """One cluster's part: ``maximum`` None means no limit."""

    weight: int = 1
    minimum: int = 0
    maximum: int | None = None


class ReplicaRule(Struct, frozen=True):
    """How replicas are shared out.

    mode "Duplicated": every cluster runs the template's count (clamped by its share).
    mode "Divided": ``total`` (None: the template's count) is divided by weight or by capacity.
    mode "KubeFed": a ReplicaSchedulingPreference; KubeFed's planner decides.
    mode "Karmada": a Divided policy of Karmada; ``scheduler.karmada`` decides, by ``strategy``, and
    by ``weights`` where that is StaticWeight (a cluster has the largest of those that are for it).
    ``shares`` maps a cluster name to its share; ``default_share`` serves the others (None: they
    get 0, as KubeFed does without a ``*`` entry). ``autoscalers`` "Divided": the bounds of a
    HorizontalPodAutoscaler that scales it are shared out as its replicas are.
    """

    mode: Literal["Duplicated", "Divided", "KubeFed", "Karmada"] = "Duplicated"
    total: int | None = None
    strategy: Literal["StaticWeight", "DynamicWeight", "Aggregated"] = "StaticWeight"
    weights: tuple[tuple[ClusterAffinity, int], ...] = ()
    weigh_by: Literal["Static", "Capacity"] = "Static"
    shares: Mapping[str, ReplicaShare] = field(default_factory=dict)
    default_share: ReplicaShare | None = ReplicaShare()
    rebalance: bool = True
    intersect_with_placement: bool = False
    autoscalers: Literal["Duplicated", "Divided"] = "Duplicated"


class PatchOperation(RedactedRepr, frozen=True):
    """A JSON Patch (RFC 6902) operation; ``path`` is a JSON pointer."""

    op: Literal["add", "remove", "replace"]
    path: str
    value: object = None
    position: Position | None = None


class ContainerOperation(Struct, frozen=True):
    """A change of the container of that name, wherever it then stands in the object.

    ``image`` and ``args`` replace the field by ``value``; ``env`` sets the variables in ``value``
    (a map of strings) and leaves the others.
    """

    field: Literal["image", "env", "args"]
    container: str
    value: object
    position: Position


class ImageOperation(Struct, frozen=True):
    """Karmada's imageOverrider: one part of the image at ``path`` (a JSON pointer), or of those of
    all containers where it is empty."""

    component: Literal["Registry", "Repository", "Tag"]
    op: Literal["add", "remove", "replace"]
    value: str
    path: str
    position: Position


class ListOperation(RedactedRepr, frozen=True):
    """Karmada's commandOverrider and argsOverrider: ``values`` are added to the end of a list of a
    container, or all that equal one of them are removed."""

    field: Literal["command", "args"]
    container: str
    op: Literal["add", "remove"]
    values: tuple[str, ...]
    position: Position


class MarkOperation(RedactedRepr, frozen=True):
    """Karmada's labelsOverrider and annotationsOverrider. Of what is not there, ``remove`` and
    ``replace`` do nothing."""

    part: Literal["labels", "annotations"]
    op: Literal["add", "remove", "replace"]
    values: Mapping[str, str]
    position: Position


class FieldOperation(RedactedRepr, frozen=True):
    """Karmada's fieldOverrider: a JSON Patch of the document, in JSON or YAML, that is the text at
    ``path``, a JSON pointer."""

    path: str
    format: Literal["json", "yaml"]
    operations: tuple[PatchOperation, ...]
    position: Position


KarmadaOperation = ImageOperation | ListOperation | MarkOperation | FieldOperation
Operation = PatchOperation | ContainerOperation | KarmadaOperation


class Override(Struct, frozen=True):
    """Operations for the clusters named or selected, done one after the other. ``affinity``: for
    those alone that it matches."""

    operations: tuple[Operation, ...]
    clusters: tuple[str, ...] | None = None
    selector: Selector | None = None
    affinity: ClusterAffinity | None = None


class WorkloadRules(RedactedRepr, frozen=True):
    """Where something may go, and how it differs by cluster: one value for all that share it.

    ``retain`` are JSON pointers of fields that the member cluster owns once the object exists.
    ``namespace_placement`` is the FederatedNamespace's placement which this one is narrowed to.
    ``follows``: no rule places it, and it goes where its ``leaders`` go, the workloads that need
    it; a Namespace without leaders goes wherever anything in it goes. With leaders and without
    ``follows`` it goes there besides. ``dependencies``: whether what it needs follows it.
    ``hidden`` are JSON pointers of what no output may show (see ``federation.sensitive``).
    ``additions`` None: as the Federation says. ``ignore`` are pointers of what is left to others
    once it is created (see ``federation.drift``). ``abort_on_conflict``: an object that is there
    already is not adopted, unless Karmada made it. ``suspended``: the clusters in which nothing is
    written of it, or ``suspended_everywhere``.

    Of what a Chart renders, ``chart`` names the release (namespace/name), ``only_in`` the clusters
    for which it renders this object, and ``forms`` the clusters where it is another one than
    ``template``. ``random`` are JSON pointers of what is different at each rendering: what runs
    stands. ``hook``: helm would make it before everything else of the release. ``remove_record``:
    what an earlier helm recorded of the release goes.
    """

    target: PlacementTarget | None = None
    namespace_placement: PlacementTarget | None = None
    follows: bool = False
    leaders: tuple[ObjectKey, ...] = ()
    dependencies: Dependencies = "Warn"
    replicas: ReplicaRule = ReplicaRule()
    overrides: tuple[Override, ...] = ()
    retain: tuple[str, ...] = ()
    force_conflicts: bool = False
    recreate: bool = False
    protect: bool = False
    orphan: bool = False
    prune_propagation: Literal["Foreground", "Background", "Orphan"] | None = None
    failover: FailoverRules | None = None
    kubefed: bool = False
    substitute_variables: bool = False
    other_placements: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    additions: Additions | None = None
    ignore: tuple[str, ...] = ()
    rollout: StricterRollout | None = None
    maintenance: tuple[Window, ...] = ()
    abort_on_conflict: bool = False
    suspended: tuple[str, ...] = ()
    suspended_everywhere: bool = False
    chart: str = ""
    only_in: frozenset[str] | None = None
    forms: Mapping[str, Manifest] = {}
    random: tuple[str, ...] = ()
    hook: bool = False
    remove_record: bool = False


class Workload(RedactedRepr, frozen=True, gc=False):
    """One object to distribute: its template, and the rules for it.

    ``key`` is the target object's; ``manifest`` a whole object (apiVersion, kind, metadata) as it
    would be written to a cluster before overrides, the ``template``. ``position`` is its first line
    in Git.
    """

    key: ObjectKey
    manifest: Manifest
    position: Position
    rules: WorkloadRules = WorkloadRules()

    def with_rules(self, **changed: Any) -> Workload:
        """The same with some of the rules changed, by their names."""
        return replace(self, rules=replace(self.rules, **changed))

    @property
    def template(self) -> Object:
        """All of the manifest, parsed. To ask for what that knows is cheaper."""
        return self.manifest.object

    def form_in(self, cluster: str) -> Manifest:
        """The template in that cluster."""
        return self.rules.forms.get(cluster, self.manifest)

    @property
    def is_given_up(self) -> bool:
        """Whether its own placement says that it goes nowhere: no cluster is named or selected.

        A selector that happens to match nothing does not say so.
        """
        target = self.rules.target
        if target is None:
            return False
        return target.selector is None if target.clusters is None else not target.clusters


class ClusterCommits(RedactedRepr, frozen=True, dict=True):
    """Clusters that are on different commits while a rollout is on its way.

    ``of_cluster``: each member -> its commit; ``states``: commit -> what it asks for, by the rules
    and with the clusters of the newest one. ``stable`` is the commit that all clusters had.
    """

    stable: str
    of_cluster: Mapping[str, str]
    states: Mapping[str, DesiredState]

    @cached_property
    def workloads(self) -> Mapping[str, Mapping[ObjectKey, Workload]]:
        """Commit -> its workloads by key."""
        return {c: {w.key: w for w in state.workloads} for c, state in self.states.items()}


class DesiredState(Struct, frozen=True, dict=True):
    """Everything that a repository asks for. ``clusters`` are the members; ``witnesses`` run
    nothing, and only their seat's copy of the register is looked at.

    ``commits`` set: the clusters are on several commits, and ``workloads`` are those of all of
    them, each as its newest commit has it (see ``scheduler.commits``).

    ``unrendered``: clusters for which nobody knows what some Chart comes to, and why: they stay as
    they are.
    """

    federation: Federation
    clusters: tuple[Cluster, ...]
    workloads: tuple[Workload, ...]
    dns_manifests: tuple[Object, ...] = ()
    notices: tuple[Notice, ...] = ()
    witnesses: tuple[Cluster, ...] = ()
    commits: ClusterCommits | None = None
    unrendered: Mapping[str, str] = {}

    @property
    def warnings(self) -> tuple[str, ...]:
        """The notices in words."""
        return tuple(map(str, self.notices))

    @cached_property
    def by_key(self) -> Mapping[ObjectKey, Workload]:
        """The workloads by their keys."""
        return {workload.key: workload for workload in self.workloads}

    @cached_property
    def divides_autoscalers(self) -> bool:
        """Whether the bounds of any autoscaler are to be divided, by any commit."""
        states = self.commits.states.values() if self.commits else (self,)
        return any(
            w.rules.replicas.autoscalers == "Divided" for one in states for w in one.workloads
        )

    @cached_property
    def has_maintenance(self) -> bool:
        """Whether anything says that something is not written to at times, by any commit."""
        states = self.commits.states.values() if self.commits else (self,)
        return (
            bool(self.federation.maintenance)
            or any(cluster.paused or cluster.maintenance for cluster in self.clusters)
            or any(
                w.rules.maintenance or w.rules.suspended or w.rules.suspended_everywhere
                for one in states
                for w in one.workloads
            )
        )

    @property
    def joined(self) -> tuple[Cluster, ...]:
        """All that are reached by a credential: members and witnesses."""
        return (*self.clusters, *self.witnesses)
