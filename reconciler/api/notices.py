"""What people should know of a run and that stops nothing: a cause with what belongs to it, and the
words for it. Pure.

Notices are compared as values; the sentence is made of them where people read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from msgspec import Struct


class WordedCause(str):
    """A cause: its name in JSON and logs, and the ``words`` that are filled in with a notice's
    fields and details."""

    __slots__ = ("words",)
    words: str

    def __new__(cls, name: str, words: str) -> Self:
        self = str.__new__(cls, name)
        self.words = words
        return self


class NoticeCause:
    """What a notice may be about. No Enum: a hundred members took a millisecond of every start."""

    # -- how the repository was read
    GIT_SILENT = WordedCause("GitSilent", "{reason}")
    MIRROR_SILENT = WordedCause("MirrorSilent", "a mirror does not answer, another does: {error}")
    MIRROR_BEHIND = WordedCause("MirrorBehind", "mirror {head} is behind: {first}")
    MIRROR_DIVERGED = WordedCause(
        "MirrorDiverged",
        "mirror {head} is left out: it went another way than {first}, which continues what was "
        "applied last",
    )
    MIRROR_REFUSED = WordedCause(
        "MirrorRefused",
        "mirror {head} is left out, as it could not be applied: {error}",
    )
    FOUGHT_OVER = WordedCause("FoughtOver", "{subject} is {what}; repairs wait longer each time")
    MIRRORS_DIFFER = WordedCause(
        "MirrorsDiffer",
        "the mirrors went different ways, {heads}: the first one is read",
    )
    NOT_APPLICABLE = WordedCause("NotApplicable", "this could not be applied: {error}")
    SUBMODULE = WordedCause("Submodule", "{subject} is a submodule: what is in it is not read")
    FILE_NOT_READ = WordedCause("FileNotRead", "not read: names of manifests end in {suffixes}")
    SOPS_DATE = WordedCause(
        "SopsDate",
        "{path} was encrypted as a date without quotes, which sops writes as a time: encrypt it in "
        "quotes",
    )
    SOPS_VALUE = WordedCause(
        "SopsValue",
        "{path} is not encrypted, and sops, which reads YAML 1.2, gives another value: quote it",
    )

    # -- what is odd in it
    NO_FEDERATION = WordedCause(
        "NoFederation",
        "the repository has no Federation document: default rules hold, under the name {subject!r}",
    )
    WITHOUT_EFFECT = WordedCause("WithoutEffect", "{subject}: {what}")
    OVERRIDES_DIVIDED = WordedCause(
        "OverridesDivided",
        "{subject} divides the replicas: this override of them has no effect; {instead}",
    )
    NOT_CHOSEN = WordedCause(
        "NotChosen", "{subject}: no effect: the placement does not choose {clusters}"
    )
    ALREADY_COUNTED = WordedCause(
        "AlreadyCounted",
        "{subject}: no effect: the entries before it have {clusters} already",
    )
    MATCHES_NO_CLUSTER = WordedCause("MatchesNoCluster", "{subject}: {what} matches no cluster")
    SELECTS_NOTHING = WordedCause("SelectsNothing", "{subject} selects no manifest")
    PART_SELECTS_NOTHING = WordedCause("PartSelectsNothing", "{subject}: this selects no manifest")
    NOT_ASKED_FOR = WordedCause(
        "NotAskedFor", "{subject} has no select, and no manifest asks for it"
    )
    PLACE_UNKNOWN = WordedCause(
        "PlaceUnknown",
        "{subject}: {clusters}: no {part} is given, so each is a group of its own",
    )
    CAPACITY_UNKNOWN = WordedCause(
        "CapacityUnknown",
        "{subject}: {clusters}: no capacity is known, the weight counts",
    )
    LABEL_CONTRADICTS = WordedCause(
        "LabelContradicts",
        "{subject}: its {part} is {own}, and its label {label} says {value}: selectors see the "
        "label, spread and --simulate-outage the {part}",
    )
    WITNESS_WITHOUT_SEAT = WordedCause(
        "WitnessWithoutSeat",
        "Cluster {subject} is a Witness and no seat: it neither votes nor runs anything; name it "
        "in spec.seats of the Federation, or let it go: reconcile unjoin {subject}",
    )
    ACCESS_UNUSABLE = WordedCause("AccessUnusable", "{what}")
    IN_GIT_AND_INVENTORY = WordedCause(
        "InGitAndInventory",
        "{subject} is in Git and in the inventory ({profile}); what Git says holds: {fields}",
    )
    NAMED_NOT_LISTED = WordedCause(
        "NamedNotListed",
        "there is no cluster {name!r}, in Git or in the inventory{meant}: nothing goes there",
    )
    NO_CLUSTER_NAME = WordedCause(
        "NoClusterName",
        "{subject} is left out: its name is no name of a cluster (lower case letters, digits, "
        "'-' and '.')",
    )
    INVENTORY_NOT_ASKED = WordedCause(
        "InventoryNotAsked",
        "{subject}: the clusters that the host lists are not known here, so names and labels of "
        "clusters are not checked",
    )
    INVENTORY_SILENT = WordedCause(
        "InventorySilent",
        "the inventory cannot be read, so the {count} clusters that it listed before are taken: "
        "{error}",
    )
    INVENTORY_EMPTY = WordedCause(
        "InventoryEmpty",
        "{subject} lists no ClusterProfile any more, where it listed {count}: these are kept; to "
        "let all of them go, change or remove spec.inventory",
    )
    NO_FEDERATED_NAMESPACE = WordedCause(
        "NoFederatedNamespace",
        "namespace {namespace!r} has no FederatedNamespace; the clusters must have it",
    )
    NOTHING_TO_SCHEDULE = WordedCause("NothingToSchedule", "{subject} has no {kind} to schedule")
    PLACEMENTS_TIE = WordedCause(
        "PlacementsTie",
        "{subject}: Placement {winner} wins over {others} by being more specific or first by name; "
        "spec.priority would say which is meant",
    )
    VARIABLE_STAYS = WordedCause(
        "VariableStays",
        "{subject}: {variable} stays as it is in {clusters}, without the label {label}",
    )
    VARIABLE_EMPTY = WordedCause(
        "VariableEmpty",
        "{subject}: {variable} is empty in {clusters}: no {part} is given there",
    )
    VARIABLE_NOT_FILLED_IN = WordedCause(
        "VariableNotFilledIn",
        'a variable that is not filled in, without the annotation {annotation}: "true" '
        '("false" says that it is meant so)',
    )
    UNKNOWN_FIELD = WordedCause("UnknownField", "{whose} knows no {path}{meant}")

    # -- what charts come to
    CHART_NOT_RENDERED = WordedCause(
        "ChartNotRendered",
        "{subject} is a Helm chart that no Chart renders: nothing in it is read",
    )
    CHART_BY_DEFAULT_VERSION = WordedCause(
        "ChartByDefaultVersion",
        "{subject} asks for each cluster's version or APIs: it is checked here with those that "
        "helm takes by default, and a plan takes each cluster's own",
    )
    CHART_RANDOM = WordedCause(
        "ChartRandom",
        "{subject} gives other values at each rendering: {objects} get them when they are made, "
        "and what runs then stands",
    )
    CHART_OF_TWO_RENDERINGS = WordedCause(
        "ChartOfTwoRenderings",
        "{cluster}: of the release {subject}, {objects} will be of a new rendering beside {others} "
        "of an earlier one: where they belong together, as a certificate and its authority do, "
        "delete those as well, and all are made of one",
    )
    CHART_LOOKUP = WordedCause(
        "ChartLookup",
        "{subject} looks up objects of the cluster at {where}, and finds none: no cluster is asked "
        "while it is rendered",
    )
    CHART_ASKS_IN_VAIN = WordedCause(
        "ChartAsksInVain",
        "{subject} asks at {where} whether the cluster serves {api}: helm template always says "
        "so, and {clusters} do not serve it",
    )
    HELM_RECORD_STAYS = WordedCause(
        "HelmRecordStays",
        "{cluster}: the release {subject} is taken over from helm, whose record of it stays "
        "({records}): `helm uninstall` would still delete what runs; spec.releaseRecord of the "
        "Chart: Remove deletes the record",
    )
    HELM_RECORDS_UNKNOWN = WordedCause(
        "HelmRecordsUnknown",
        "{cluster}: whether helm has a record of the release {subject} is not known: {error}",
    )
    CHART_HOOK_LEFT_OUT = WordedCause(
        "ChartHookLeftOut",
        "{subject}: {object} is left out: it is a hook ({hooks}), and only pre-install and "
        "pre-upgrade are made",
    )

    # -- where things go
    PLACED_BY_NOBODY = WordedCause(
        "PlacedByNobody",
        "{subject} goes nowhere: no Placement selects it; add one, or spec.defaults.placement to "
        "the Federation",
    )
    PLACED_NOWHERE = WordedCause("PlacedNowhere", "{rule}: {objects} goes nowhere")
    NO_ROOM = WordedCause(
        "NoRoom", "{subject}: {cluster} has no room for all: {count} replicas too many"
    )
    SHORTFALL = WordedCause("Shortfall", "{subject}: {count} replicas fit nowhere")
    ROOM_UNKNOWN = WordedCause(
        "RoomUnknown",
        "{cluster}: how much room it has is not known, so that it takes nothing new of what goes "
        "by room: {error}",
    )
    NO_GROUP_FITS = WordedCause(
        "NoGroupFits",
        "{subject}: no group of its clusterAffinities has the clusters and the room for it: it "
        "stays as it is",
    )
    TOO_FEW_GROUPS = WordedCause(
        "TooFewGroups", "{subject}: only {count} of at least {least} {part} groups"
    )
    MINIMA_TOO_HIGH = WordedCause(
        "MinimaTooHigh",
        "{subject}: the minima of its clusters add up to {least}, more than its {total} replicas",
    )
    DIVIDED_AND_SCALED = WordedCause(
        "DividedAndScaled",
        "{subject}: its replicas are divided, and {scaler} scales it too: the division says where "
        "it starts and stops, the autoscaler how many run",
    )
    BOUNDS_TOO_SMALL = WordedCause(
        "BoundsTooSmall",
        "{subject}: {field} {total} is less than 1 for each of {count} clusters: each gets 1, "
        "which adds up to {count}",
    )
    SCALES_NOTHING = WordedCause(
        "ScalesNothing", "{subject}: the repository has no {target} to scale"
    )
    SCALER_ELSEWHERE = WordedCause(
        "ScalerElsewhere",
        "{subject} does not go to {clusters}, where nothing else scales {target}",
    )
    SCALES_NOTHING_THERE = WordedCause(
        "ScalesNothingThere",
        "{subject} has nothing to scale in {clusters}: {target} does not go there",
    )
    NAMESPACE_ELSEWHERE = WordedCause(
        "NamespaceElsewhere",
        "{subject} does not go to {cluster}, where {objects} {go}",
    )
    NEED_ELSEWHERE = WordedCause(
        "NeedElsewhere",
        "{subject} may go to {clusters}, where {objects} {do} not go, which it needs",
    )

    # -- how the clusters are
    FAILOVER_DISABLED = WordedCause(
        "FailoverDisabled",
        "spec.failover is not enabled: in an outage nothing moves by itself",
    )
    FAILOVER_HELD = WordedCause("FailoverHeld", "{reason}")
    DECLARED_DOWN = WordedCause("DeclaredDown", "{cluster} counts as down from now on: {reason}")
    RETURNED = WordedCause("Returned", "{cluster} is back and takes over its share again")
    NOTHING_ELSE_RUNS = WordedCause(
        "NothingElseRuns",
        "DOWN without {clusters}: {objects} (nothing else runs {them})",
    )
    REPLICAS_BY_LOAD = WordedCause(
        "ReplicasByLoad",
        "{subject}: an autoscaler sets its replicas, so what is left grows by its load, to at most "
        "{limit} {where}; until then fewer run than are shown here",
    )
    CLOCK_SET = WordedCause(
        "ClockSet",
        "this machine's clock was set {step} since an earlier run, by the clocks of the clusters; "
        "no period is longer or shorter for it",
    )
    ANOTHER_SERVER = WordedCause(
        "AnotherServer",
        "{cluster} is another API server from now on (the UID of kube-system was {before}, now it "
        "is {now}); what runs in the one before is left there",
    )
    CLUSTER_NOT_IN_GIT = WordedCause(
        "ClusterNotInGit",
        "{cluster} is no longer in Git, and nobody looks at it any more: what this federation has "
        "there ({inventory} lists it) stays as it is; to leave it in order: reconcile unjoin "
        "{cluster} --orphan, or --prune to delete all of it",
    )
    CLUSTER_NOT_LISTED = WordedCause(
        "ClusterNotListed",
        "{cluster} has no ClusterProfile any more and is not in Git, so nobody looks at it: what "
        "this federation has there ({inventory} lists it) stays as it is",
    )
    PROFILE_UNHEALTHY = WordedCause(
        "ProfileUnhealthy",
        "{cluster}: its ClusterProfile says that the control plane is not healthy ({reason}); "
        "what its own probes say decides",
    )
    DECISION_WITHOUT_PROFILE = WordedCause(
        "DecisionWithoutProfile",
        "{cluster} has no ClusterProfile, so no placement decision can name it",
    )
    DECISION_OF_OTHERS = WordedCause(
        "DecisionOfOthers",
        "PlacementDecision {subject} is somebody else's: nothing is published under that name",
    )
    DECISIONS_WAIT = WordedCause(
        "DecisionsWait", "placement decisions are not published yet: {reason}"
    )
    DECISIONS_UNREADABLE = WordedCause(
        "DecisionsUnreadable",
        "placement decisions cannot be read, so none will be published: {error}",
    )
    CREDENTIAL_BOUND = WordedCause(
        "CredentialBound",
        "{subject}: {what} was used for the first time, for {server}; from now on it is sent "
        "nowhere else",
    )
    CREDENTIAL_TO_BE_BOUND = WordedCause(
        "CredentialToBeBound",
        "{subject}: {what} was used for the first time, for {server}; a run will bind it to that "
        "server",
    )
    CREDENTIAL_NOT_BOUND = WordedCause(
        "CredentialNotBound",
        "{subject}: {what} is sent to {server}, as Git says, and nothing keeps it there: set "
        "{setting}",
    )

    # -- what runs remember
    MEMORY_UNREADABLE = WordedCause(
        "MemoryUnreadable",
        "what earlier runs remember cannot be read, so nothing moves: {error}",
    )
    MEMORY_DAMAGED = WordedCause(
        "MemoryDamaged", "{error}; it is made anew, and nothing moves because of it"
    )
    NOT_REMEMBERED = WordedCause("NotRemembered", "{error}")
    COMMIT_NOT_KEPT = WordedCause(
        "CommitNotKept",
        "what a run without Git goes on from could not be kept: {error}",
    )
    COMMIT_TOO_LARGE = WordedCause(
        "CommitTooLarge",
        "commit {commit} is not kept for times without Git: {reason}",
    )
    REGISTER_UNUSABLE = WordedCause("RegisterUnusable", "{error}")
    SEAT_MISSING = WordedCause("SeatMissing", "seat {subject}: {reason}")
    SEAT_WRITTEN_ANEW = WordedCause(
        "SeatWrittenAnew",
        "seat {subject}: its copy was written anew, and counts again",
    )
    SEATS_CHANGED = WordedCause("SeatsChanged", "seats: {change}, as Git says")
    SEATS_NOT_CHANGED = WordedCause("SeatsNotChanged", "seats: {error}")

    # -- commits that reach the fleet in waves
    WAVE_EMPTY = WordedCause(
        "WaveEmpty", "{subject} has no cluster yet: each is in a wave before it"
    )
    COMMIT_UNREADABLE = WordedCause(
        "CommitUnreadable",
        "{cluster} stays as it is, as its commit {commit} cannot be read: {reason}",
    )

    # -- what is in the clusters
    SERVER_WARNS = WordedCause("ServerWarns", "{clusters}: {subject}: the API server warns: {what}")
    INVENTORY_DAMAGED = WordedCause(
        "InventoryDamaged",
        "{cluster}: the inventory was damaged and is made anew ({reason})",
    )
    INVENTORY_UNOWNED = WordedCause(
        "InventoryUnowned",
        "{cluster}: the inventory does not say yet whose it is: it becomes that of {owner}",
    )
    INVENTORY_TAKEN_OVER = WordedCause(
        "InventoryTakenOver",
        "{cluster}: the inventory is taken over from {before}, for {owner}",
    )
    INVENTORY_RENAMED = WordedCause(
        "InventoryRenamed",
        "{cluster}: the inventory is taken over from the cluster {before}",
    )
    PRUNES_WAIT = WordedCause("PrunesWait", "{cluster}: pruning waits: {reason}")
    PRUNES_WAIT_FOR_CHANGES = WordedCause(
        "PrunesWaitForChanges",
        "{cluster}: pruning waits: {reason}; then go {objects}",
    )
    PRUNE_WAITS = WordedCause("PruneWaits", "{cluster}: pruning waits: {subject}: {reason}")
    KEPT = WordedCause("Kept", "{cluster}: {subject} ({why}) is kept: {reason}")
    LEFT_ALONE = WordedCause(
        "LeftAlone",
        "{cluster}: {subject} is left alone: no longer wanted, but somebody {what}",
    )
    REPLICAS_LEFT = WordedCause(
        "ReplicasLeft",
        "{cluster}: {subject}: spec.replicas is left at {count} to {scaler}, which is not in Git; "
        "Git says {stated}: leave it out there, or take it with the annotation "
        'federation.reconciler.dev/force-conflicts: "true"',
    )
    REPLICAS_STAY_ZERO = WordedCause(
        "ReplicasStayZero",
        "{cluster}: {subject}: spec.replicas stays at 0, where {scaler} does nothing; Git says "
        "{stated}",
    )
    REPLICAS_RETAINED = WordedCause(
        "ReplicasRetained",
        "{cluster}: {subject}: spec.replicas stays {count}, as KubeFed keeps it (retainReplicas); "
        "Git says {stated}",
    )
    REPLICAS_HANDED_OVER = WordedCause(
        "ReplicasHandedOver",
        "{cluster}: {subject}: spec.replicas is handed over to {scaler}; {count} stays until it "
        "sets another",
    )
    REPLICAS_NOT_IN_GIT = WordedCause(
        "ReplicasNotInGit",
        "{cluster}: {subject}: spec.replicas is no longer in Git; {count} stays, as nothing else "
        "sets it (a new cluster would begin with the default)",
    )
    FIELD_RETAINED = WordedCause(
        "FieldRetained",
        "{cluster}: {subject}: {path} stays {now}, as KubeFed keeps it; Git says {stated} (an "
        "override would set it)",
    )
    VERSION_STILL_USED = WordedCause(
        "VersionStillUsed",
        "{cluster}: {subject}: it drops {versions}, which managedFields of objects that are not in "
        "Git still name: {managers}; no server-side apply of these passes then",
    )

    # -- DNS
    NOT_A_NAME = WordedCause("NotAName", "{subject}: no record for {name!r}: {what}")
    NO_ADDRESS = WordedCause(
        "NoAddress",
        "{subject}: its type is not LoadBalancer, so it has no address for a record",
    )
    NO_HOST = WordedCause("NoHost", "{subject}: it names no host, so it gets no record")
    NO_ZONE = WordedCause("NoZone", "{subject}: {name} is in none of the zones of spec.dns.zones")
    NO_DOMAIN = WordedCause(
        "NoDomain", "{subject}: there is no Domain {name!r}, so it gets no record"
    )
    NOT_A_CHECK = WordedCause(
        "NotACheck",
        "{subject}: {annotation}: {value!r} is not like TCP:443 or HTTPS:443/ready",
    )
    RECORD_NOT_OURS = WordedCause("RecordNotOurs", "{subject}: not written: {what}")
    RECORDS_STAY = WordedCause(
        "RecordsStay",
        "{subject}: no cluster is fit to answer ({reason}); its records stay as they are",
    )
    NO_RECORD_YET = WordedCause(
        "NoRecordYet",
        "{subject}: no record yet, no cluster can answer ({reason})",
    )
    ADDRESSES_UNREADABLE = WordedCause(
        "AddressesUnreadable",
        "{cluster}: its addresses cannot be read, so its DNS records stay: {error}",
    )

    # -- a plan that is compared with another commit's
    BASE_PASSES_LIMIT = WordedCause("BasePassesLimit", "{ref} passes a limit as well: {reason}")
    NOT_COMPARED = WordedCause(
        "NotCompared",
        "{cluster}: nothing is left out there, as for {ref}: {reason}",
    )


_VARYING = frozenset(
    {"count", "error", "first", "head", "heads", "least", "limit", "now", "reason", "step", "total"}
)
"""Details by which a notice is no other one: figures, and the words of errors and reasons, which
differ from run to run."""


class Notice(Struct, frozen=True, order=True):
    """One notice; ``str`` is its sentence.

    ``cluster`` is the only one that it is about, if it is. ``subject`` is what it is about besides:
    an object, a DNS name, a file, a seat. ``path`` is the part of it, as a JSON path, and ``place``
    the ``file:line`` in Git. ``details`` are names and texts for the words of the cause.
    """

    cause: WordedCause
    cluster: str = ""
    subject: str = ""
    path: str = ""
    place: str = ""
    details: tuple[tuple[str, str], ...] = ()

    @property
    def identity(self) -> tuple[object, ...]:
        """Equal for the same trouble in another run or commit: without figures, words of errors,
        and the line, which an edit above it moves."""
        details = tuple(one for one in self.details if one[0] not in _VARYING)
        return self.cause, self.cluster, self.subject, self.path, details

    def __str__(self) -> str:
        fields: Mapping[str, str] = {
            "cluster": self.cluster,
            "subject": self.subject,
            "path": self.path,
            **dict(self.details),
        }
        text = self.cause.words.format_map(fields)
        return f"{self.place}: {text}" if self.place else text


def notice(
    cause: WordedCause,
    cluster: str = "",
    subject: object = "",
    *,
    path: str = "",
    place: str = "",
    **details: object,
) -> Notice:
    """A notice; ``details`` are those that the words of the cause name besides the fields."""
    named = tuple((name, str(value)) for name, value in sorted(details.items()))
    return Notice(cause, cluster, str(subject), path, place, named)
