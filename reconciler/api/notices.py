"""What people should know of a run and that stops nothing: a cause with what belongs to it, and the
words for it. Pure.

Notices are compared as values; the sentence is made of them where people read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Self

from msgspec import Struct


class NoticeCause(StrEnum):
    """What a notice is about: its name in JSON and logs, and the ``words`` that are filled in with
    the notice's fields and details."""

    words: str

    def __new__(cls, name: str, words: str) -> Self:
        self = str.__new__(cls, name)
        self._value_ = name
        self.words = words
        return self

    # -- how the repository was read
    GIT_SILENT = "GitSilent", "{reason}"
    MIRROR_SILENT = "MirrorSilent", "a mirror does not answer, another does: {error}"
    MIRROR_BEHIND = "MirrorBehind", "mirror {head} is behind: {first}"
    MIRROR_DIVERGED = (
        "MirrorDiverged",
        "mirror {head} is left out: it went another way than {first}, which continues what was "
        "applied last",
    )
    MIRROR_REFUSED = (
        "MirrorRefused",
        "mirror {head} is left out, as it could not be applied: {error}",
    )
    MIRRORS_DIFFER = (
        "MirrorsDiffer",
        "the mirrors went different ways, {heads}: the first one is read",
    )
    NOT_APPLICABLE = "NotApplicable", "this could not be applied: {error}"
    SUBMODULE = "Submodule", "{subject} is a submodule: what is in it is not read"
    FILE_NOT_READ = "FileNotRead", "not read: names of manifests end in {suffixes}"
    SOPS_DATE = (
        "SopsDate",
        "{path} was encrypted as a date without quotes, which sops writes as a time: encrypt it in "
        "quotes",
    )
    SOPS_VALUE = (
        "SopsValue",
        "{path} is not encrypted, and sops, which reads YAML 1.2, gives another value: quote it",
    )

    # -- what is odd in it
    NO_FEDERATION = (
        "NoFederation",
        "the repository has no Federation document: default rules hold, under the name {subject!r}",
    )
    WITHOUT_EFFECT = "WithoutEffect", "{subject}: {what}"
    OVERRIDES_DIVIDED = (
        "OverridesDivided",
        "{subject} divides the replicas: this override of them has no effect; {instead}",
    )
    NOT_CHOSEN = "NotChosen", "{subject}: no effect: the placement does not choose {clusters}"
    ALREADY_COUNTED = (
        "AlreadyCounted",
        "{subject}: no effect: the entries before it have {clusters} already",
    )
    MATCHES_NO_CLUSTER = "MatchesNoCluster", "{subject}: {what} matches no cluster"
    SELECTS_NOTHING = "SelectsNothing", "{subject} selects no manifest"
    PART_SELECTS_NOTHING = "PartSelectsNothing", "{subject}: this selects no manifest"
    NOT_ASKED_FOR = "NotAskedFor", "{subject} has no select, and no manifest asks for it"
    PLACE_UNKNOWN = (
        "PlaceUnknown",
        "{subject}: {clusters}: no {part} is given, so each is a group of its own",
    )
    CAPACITY_UNKNOWN = (
        "CapacityUnknown",
        "{subject}: {clusters}: no capacity is known, the weight counts",
    )
    LABEL_CONTRADICTS = (
        "LabelContradicts",
        "{subject}: its {part} is {own}, and its label {label} says {value}: selectors see the "
        "label, spread and --simulate-outage the {part}",
    )
    WITNESS_WITHOUT_SEAT = (
        "WitnessWithoutSeat",
        "Cluster {subject} is a Witness and no seat: it neither votes nor runs anything; name it "
        "in spec.seats of the Federation, or let it go: reconcile unjoin {subject}",
    )
    ACCESS_UNUSABLE = "AccessUnusable", "{what}"
    NO_FEDERATED_NAMESPACE = (
        "NoFederatedNamespace",
        "namespace {namespace!r} has no FederatedNamespace; the clusters must have it",
    )
    NOTHING_TO_SCHEDULE = "NothingToSchedule", "{subject} has no {kind} to schedule"
    PLACEMENTS_TIE = (
        "PlacementsTie",
        "{subject}: Placement {winner} wins over {others} by being more specific or first by name; "
        "spec.priority would say which is meant",
    )
    VARIABLE_STAYS = (
        "VariableStays",
        "{subject}: {variable} stays as it is in {clusters}, without the label {label}",
    )
    VARIABLE_EMPTY = (
        "VariableEmpty",
        "{subject}: {variable} is empty in {clusters}: no {part} is given there",
    )
    VARIABLE_NOT_FILLED_IN = (
        "VariableNotFilledIn",
        'a variable that is not filled in, without the annotation {annotation}: "true" '
        '("false" says that it is meant so)',
    )
    UNKNOWN_FIELD = "UnknownField", "{whose} knows no {path}{meant}"

    # -- what charts come to
    CHART_NOT_RENDERED = (
        "ChartNotRendered",
        "{subject} is a Helm chart that no Chart renders: nothing in it is read",
    )
    CHART_BY_DEFAULT_VERSION = (
        "ChartByDefaultVersion",
        "{subject} asks for each cluster's version or APIs: it is checked here with those that "
        "helm takes by default, and a plan takes each cluster's own",
    )
    CHART_RANDOM = (
        "ChartRandom",
        "{subject} gives other values at each rendering: {objects} get them when they are made, "
        "and what runs then stands",
    )
    CHART_LOOKUP = (
        "ChartLookup",
        "{subject} looks up objects of the cluster at {where}, and finds none: no cluster is asked "
        "while it is rendered",
    )
    CHART_ASKS_IN_VAIN = (
        "ChartAsksInVain",
        "{subject} asks at {where} whether the cluster serves {api}: helm template always says "
        "so, and {clusters} do not serve it",
    )
    HELM_RECORD_STAYS = (
        "HelmRecordStays",
        "{cluster}: the release {subject} is taken over from helm, whose record of it stays "
        "({records}): `helm uninstall` would still delete what runs; spec.releaseRecord of the "
        "Chart: Remove deletes the record",
    )
    HELM_RECORDS_UNKNOWN = (
        "HelmRecordsUnknown",
        "{cluster}: whether helm has a record of the release {subject} is not known: {error}",
    )
    CHART_HOOK_LEFT_OUT = (
        "ChartHookLeftOut",
        "{subject}: {object} is left out: it is a hook ({hooks}), and only pre-install and "
        "pre-upgrade are made",
    )

    # -- where things go
    PLACED_BY_NOBODY = (
        "PlacedByNobody",
        "{subject} goes nowhere: no Placement selects it; add one, or spec.defaults.placement to "
        "the Federation",
    )
    PLACED_NOWHERE = "PlacedNowhere", "{rule}: {objects} goes nowhere"
    NO_ROOM = "NoRoom", "{subject}: {cluster} has no room for all: {count} replicas too many"
    SHORTFALL = "Shortfall", "{subject}: {count} replicas fit nowhere"
    TOO_FEW_GROUPS = "TooFewGroups", "{subject}: only {count} of at least {least} {part} groups"
    MINIMA_TOO_HIGH = (
        "MinimaTooHigh",
        "{subject}: the minima of its clusters add up to {least}, more than its {total} replicas",
    )
    DIVIDED_AND_SCALED = (
        "DividedAndScaled",
        "{subject}: its replicas are divided, and {scaler} scales it too: the division says where "
        "it starts and stops, the autoscaler how many run",
    )
    SCALES_NOTHING = "ScalesNothing", "{subject}: the repository has no {target} to scale"
    SCALER_ELSEWHERE = (
        "ScalerElsewhere",
        "{subject} does not go to {clusters}, where nothing else scales {target}",
    )
    SCALES_NOTHING_THERE = (
        "ScalesNothingThere",
        "{subject} has nothing to scale in {clusters}: {target} does not go there",
    )
    NAMESPACE_ELSEWHERE = (
        "NamespaceElsewhere",
        "{subject} does not go to {cluster}, where {objects} {go}",
    )
    NEED_ELSEWHERE = (
        "NeedElsewhere",
        "{subject} may go to {clusters}, where {objects} {do} not go, which it needs",
    )

    # -- how the clusters are
    FAILOVER_DISABLED = (
        "FailoverDisabled",
        "spec.failover is not enabled: in an outage nothing moves by itself",
    )
    FAILOVER_HELD = "FailoverHeld", "{reason}"
    DECLARED_DOWN = "DeclaredDown", "{cluster} counts as down from now on: {reason}"
    RETURNED = "Returned", "{cluster} is back and takes over its share again"
    NOTHING_ELSE_RUNS = (
        "NothingElseRuns",
        "DOWN without {clusters}: {objects} (nothing else runs {them})",
    )
    REPLICAS_BY_LOAD = (
        "ReplicasByLoad",
        "{subject}: an autoscaler sets its replicas, so what is left grows by its load, to at most "
        "{limit} in each cluster; until then fewer run than are shown here",
    )
    CLOCK_SET = (
        "ClockSet",
        "this machine's clock was set {step} since an earlier run, by the clocks of the clusters; "
        "no period is longer or shorter for it",
    )
    ANOTHER_SERVER = (
        "AnotherServer",
        "{cluster} is another API server from now on (the UID of kube-system was {before}, now it "
        "is {now}); what runs in the one before is left there",
    )
    CLUSTER_NOT_IN_GIT = (
        "ClusterNotInGit",
        "{cluster} is no longer in Git, and nobody looks at it any more: what this federation has "
        "there ({inventory} lists it) stays as it is; to leave it in order: reconcile unjoin "
        "{cluster} --orphan, or --prune to delete all of it",
    )
    CREDENTIAL_BOUND = (
        "CredentialBound",
        "{subject}: {what} was used for the first time, for {server}; from now on it is sent "
        "nowhere else",
    )
    CREDENTIAL_TO_BE_BOUND = (
        "CredentialToBeBound",
        "{subject}: {what} was used for the first time, for {server}; a run will bind it to that "
        "server",
    )
    CREDENTIAL_NOT_BOUND = (
        "CredentialNotBound",
        "{subject}: {what} is sent to {server}, as Git says, and nothing keeps it there: set "
        "{setting}",
    )

    # -- what runs remember
    MEMORY_UNREADABLE = (
        "MemoryUnreadable",
        "what earlier runs remember cannot be read, so nothing moves: {error}",
    )
    MEMORY_DAMAGED = "MemoryDamaged", "{error}; it is made anew, and nothing moves because of it"
    NOT_REMEMBERED = "NotRemembered", "{error}"
    COMMIT_NOT_KEPT = (
        "CommitNotKept",
        "what a run without Git goes on from could not be kept: {error}",
    )
    COMMIT_TOO_LARGE = (
        "CommitTooLarge",
        "commit {commit} is not kept for times without Git: {reason}",
    )
    REGISTER_UNUSABLE = "RegisterUnusable", "{error}"
    SEAT_MISSING = "SeatMissing", "seat {subject}: {reason}"
    SEAT_WRITTEN_ANEW = (
        "SeatWrittenAnew",
        "seat {subject}: its copy was written anew, and counts again",
    )
    SEATS_CHANGED = "SeatsChanged", "seats: {change}, as Git says"
    SEATS_NOT_CHANGED = "SeatsNotChanged", "seats: {error}"

    # -- commits that reach the fleet in waves
    WAVE_EMPTY = "WaveEmpty", "{subject} has no cluster yet: each is in a wave before it"
    COMMIT_UNREADABLE = (
        "CommitUnreadable",
        "{cluster} stays as it is, as its commit {commit} cannot be read: {reason}",
    )

    # -- what is in the clusters
    SERVER_WARNS = "ServerWarns", "{clusters}: {subject}: the API server warns: {what}"
    INVENTORY_DAMAGED = (
        "InventoryDamaged",
        "{cluster}: the inventory was damaged and is made anew ({reason})",
    )
    INVENTORY_UNOWNED = (
        "InventoryUnowned",
        "{cluster}: the inventory does not say yet whose it is: it becomes that of {owner}",
    )
    INVENTORY_TAKEN_OVER = (
        "InventoryTakenOver",
        "{cluster}: the inventory is taken over from {before}, for {owner}",
    )
    INVENTORY_RENAMED = (
        "InventoryRenamed",
        "{cluster}: the inventory is taken over from the cluster {before}",
    )
    PRUNES_WAIT = "PrunesWait", "{cluster}: pruning waits: {reason}"
    PRUNES_WAIT_FOR_CHANGES = (
        "PrunesWaitForChanges",
        "{cluster}: pruning waits: {reason}; then go {objects}",
    )
    PRUNE_WAITS = "PruneWaits", "{cluster}: pruning waits: {subject}: {reason}"
    KEPT = "Kept", "{cluster}: {subject} ({why}) is kept: {reason}"
    LEFT_ALONE = (
        "LeftAlone",
        "{cluster}: {subject} is left alone: no longer wanted, but somebody {what}",
    )
    REPLICAS_LEFT = (
        "ReplicasLeft",
        "{cluster}: {subject}: spec.replicas is left at {count} to {scaler}, which is not in Git; "
        "Git says {stated}: leave it out there, or take it with the annotation "
        'federation.reconciler.dev/force-conflicts: "true"',
    )
    REPLICAS_STAY_ZERO = (
        "ReplicasStayZero",
        "{cluster}: {subject}: spec.replicas stays at 0, where {scaler} does nothing; Git says "
        "{stated}",
    )
    REPLICAS_RETAINED = (
        "ReplicasRetained",
        "{cluster}: {subject}: spec.replicas stays {count}, as KubeFed keeps it (retainReplicas); "
        "Git says {stated}",
    )
    REPLICAS_HANDED_OVER = (
        "ReplicasHandedOver",
        "{cluster}: {subject}: spec.replicas is handed over to {scaler}; {count} stays until it "
        "sets another",
    )
    REPLICAS_NOT_IN_GIT = (
        "ReplicasNotInGit",
        "{cluster}: {subject}: spec.replicas is no longer in Git; {count} stays, as nothing else "
        "sets it (a new cluster would begin with the default)",
    )
    FIELD_RETAINED = (
        "FieldRetained",
        "{cluster}: {subject}: {path} stays {now}, as KubeFed keeps it; Git says {stated} (an "
        "override would set it)",
    )
    VERSION_STILL_USED = (
        "VersionStillUsed",
        "{cluster}: {subject}: it drops {versions}, which managedFields of objects that are not in "
        "Git still name: {managers}; no server-side apply of these passes then",
    )

    # -- DNS
    NOT_A_NAME = "NotAName", "{subject}: no record for {name!r}: {what}"
    NO_ADDRESS = (
        "NoAddress",
        "{subject}: its type is not LoadBalancer, so it has no address for a record",
    )
    NO_HOST = "NoHost", "{subject}: it names no host, so it gets no record"
    NO_ZONE = "NoZone", "{subject}: {name} is in none of the zones of spec.dns.zones"
    NO_DOMAIN = "NoDomain", "{subject}: there is no Domain {name!r}, so it gets no record"
    NOT_A_CHECK = (
        "NotACheck",
        "{subject}: {annotation}: {value!r} is not like TCP:443 or HTTPS:443/ready",
    )
    RECORD_NOT_OURS = "RecordNotOurs", "{subject}: not written: {what}"
    RECORDS_STAY = (
        "RecordsStay",
        "{subject}: no cluster is fit to answer ({reason}); its records stay as they are",
    )
    NO_RECORD_YET = (
        "NoRecordYet",
        "{subject}: no record yet, no cluster can answer ({reason})",
    )
    ADDRESSES_UNREADABLE = (
        "AddressesUnreadable",
        "{cluster}: its addresses cannot be read, so its DNS records stay: {error}",
    )

    # -- a plan that is compared with another commit's
    BASE_PASSES_LIMIT = "BasePassesLimit", "{ref} passes a limit as well: {reason}"
    NOT_COMPARED = (
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

    cause: NoticeCause
    cluster: str = ""
    subject: str = ""
    path: str = ""
    place: str = ""
    details: tuple[tuple[str, str], ...] = ()

    @property
    def identity(self) -> tuple[object, ...]:
        """Equal for the same trouble in another run or commit: without figures, words of errors,
        and the line, which an edit above it moves."""
        told = tuple(one for one in self.details if one[0] not in _VARYING)
        return self.cause, self.cluster, self.subject, self.path, told

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
    cause: NoticeCause,
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
