"""Hypothesis strategies of the tests, each under the name of what it makes.

One that is made of what a test knows, such as the names of its clusters, is a function of that.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

from hypothesis import strategies as st

from reconciler.api.errors import Position
from reconciler.api.objects import GroupKind, Object, ObjectKey
from reconciler.dns.healthy_targets import NameHealth
from reconciler.dns.records import Abilities, Place
from reconciler.dns.targets import Exposed
from reconciler.failover.health_votes import HealthVote, HealthVotes
from reconciler.failover.probe import Signal
from reconciler.federation.model import (
    Cluster,
    PlacementTarget,
    ReplicaRule,
    ReplicaShare,
    Selector,
    Spread,
    Toleration,
    Wave,
    WorkloadRules,
)
from reconciler.git.kept_commit import KeptCommit, KeptFile
from reconciler.inventory.records import AppliedRecord
from reconciler.plan.model import Action, Change
from reconciler.scheduler.model import FleetView
from reconciler.state.memory import ClusterMemory, NotifiedState, Phase, WorkloadMemory

Event = TypeVar("Event")

# -- JSON values -----------------------------------------------------------------------------------

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)

JSON_WITH_ODD_NAMES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("a/~0", max_size=2), inner),
    max_leaves=12,
)

# Not 0 and 1: DeepDiff takes them in a list for False and True.
JSON_FOR_DEEPDIFF = st.recursive(
    st.none() | st.booleans() | st.integers(2, 9) | st.text("ab", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("xyz", max_size=2), inner),
    max_leaves=12,
)

_TEXTS_FOR_YAML = (
    st.text(max_size=8)
    | st.text("ab \n\t\r#-:'\"|>", max_size=12)
    | st.sampled_from(["y", "N", "1e3", "0o17", "1_0", ".5", "0x1", "~", "=", "<<", ".inf", "1:30"])
    | st.sampled_from(["\x85", "\u2028a", "\ufeff", "---\n", "...\n", "\n\na", " a\n b\n", "a\r\n"])
)
VALUES_FOR_YAML = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | _TEXTS_FOR_YAML,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS_FOR_YAML, inner, max_size=3),
    max_leaves=8,
)

# -- replicas and their shares ---------------------------------------------------------------------

REPLICA_SHARES = st.builds(
    lambda weight, low, room: ReplicaShare(weight, low, None if room is None else low + room),
    st.integers(0, 9) | st.integers(0, 400),
    st.integers(0, 4),
    st.none() | st.integers(0, 12),
)

_TARGETS = [
    PlacementTarget(clusters=("a", "b"), placed_by="Placement few"),
    PlacementTarget(clusters=()),
    PlacementTarget(selector=Selector(), placed_by="Placement all"),
    PlacementTarget(selector=Selector(), spread=(Spread("cluster", 1, 2),)),
    PlacementTarget(
        selector=Selector(), tolerations=(Toleration("edge", "Exists"),), placed_by="Placement edge"
    ),
    None,
]
_WORKLOAD_RULES = st.builds(
    WorkloadRules,
    target=st.sampled_from([*_TARGETS, *3 * [_TARGETS[2]]]),
    namespace_placement=st.sampled_from([*5 * [None], _TARGETS[0]]),
    follows=st.sampled_from([*5 * [False], True]),
    only_in=st.sampled_from([*5 * [None], frozenset("ac")]),
    replicas=st.builds(
        ReplicaRule,
        mode=st.sampled_from(["Duplicated", "Duplicated", "Divided"]),
        total=st.none() | st.integers(0, 20),
        shares=st.just({}) | st.dictionaries(st.sampled_from("abcd"), REPLICA_SHARES, max_size=2),
    ),
)
PLAIN_RULES = st.lists(
    st.tuples(st.sampled_from(["ConfigMap", "Deployment"]), _WORKLOAD_RULES), max_size=5
)
"""Kinds with rules, most of which are the same wherever they hold."""
_WEBS = st.sampled_from(
    [
        ObjectKey("apps", kind, "", f"web-{n}")
        for kind in ("ConfigMap", "Deployment")
        for n in (0, 1)
    ]
)
VIEWS_OF_FOUR = st.builds(
    lambda **seen: FleetView(**seen),
    unavailable=st.just({}) | st.dictionaries(st.sampled_from("abcd"), st.just("down"), max_size=2),
    away=st.dictionaries(_WEBS, st.just({"b": "not ready"}), max_size=2),
    present=st.dictionaries(_WEBS, st.dictionaries(st.sampled_from("ad"), st.integers(0, 4))),
    staying=st.dictionaries(_WEBS, st.just({"a"}), max_size=1),
)

SHARES_BY_CLUSTER = st.dictionaries(
    st.sampled_from("abcdefgh"), REPLICA_SHARES, min_size=1, max_size=8
)

CAPACITIES = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 30))

COUNTS_BY_CLUSTER = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 30))

AUTOSCALER_BOUNDS = st.tuples(st.none() | st.integers(0, 60), st.integers(1, 80)).filter(
    lambda bounds: (bounds[0] or 0) <= bounds[1]
)
"""minReplicas, if it is said, and maxReplicas."""

COUNTS_OF_THREE = st.fixed_dictionaries(dict.fromkeys("abc", st.integers(1, 9)))

REPLICA_TOTALS = st.integers(0, 80)

PLACES = st.dictionaries(
    st.sampled_from("abcdefgh"), st.sampled_from(["", "eu", "us", "asia"]), max_size=8
)
"""Cluster -> its region, if it says one."""

STEPS = st.lists(
    st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=4, unique=True),
    min_size=1,
    max_size=4,
)
"""Clusters step by step; one may be in several."""

COUNTS_OF_FOUR = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 9), min_size=1)

COUNTS_OF_FIVE = st.dictionaries(
    st.sampled_from(["aws-1", "aws-2", "edge-a", "gcp-1", "onprem"]),
    st.integers(0, 60),
    min_size=1,
)

SHARES_OF_FOUR = st.dictionaries(
    st.sampled_from("abcd"),
    st.builds(ReplicaShare, st.integers(0, 9), st.integers(0, 2), st.none() | st.integers(2, 9)),
)
"""Who may run it: taints, labels and lists of clusters leave some out, maxima others."""


def edits_of_placements(
    clusters: int, taints: Sequence[str], selectors: Sequence[str], ways: Sequence[Sequence[str]]
) -> st.SearchStrategy[tuple[Any, ...]]:
    """Label, capacity and taints of each cluster, then where and how each workload is placed."""
    cluster = st.tuples(
        st.sampled_from(("left", "right")), st.sampled_from((6, 14)), st.sampled_from(taints)
    )
    placements = (st.tuples(st.sampled_from(selectors), st.sampled_from(way)) for way in ways)
    return st.tuples(st.tuples(*[cluster] * clusters), *placements)


def changes_of_kinds(kinds: Sequence[str]) -> st.SearchStrategy[list[Change]]:
    """Changes of all actions, no object twice; kinds as ``Deployment.apps``."""
    change = st.builds(
        lambda kind, name, action: Change(
            action, ObjectKey(*GroupKind.parse(kind), "shop", name), "v1"
        ),
        st.sampled_from(kinds),
        st.sampled_from("abc"),
        st.sampled_from(Action),
    )
    return st.lists(change, unique_by=lambda one: one.key)


# -- what runs remember ----------------------------------------------------------------------------

UNIX_TIMES = st.floats(0, 4e9, allow_nan=False)

SHORT_NAMES = st.text(min_size=1, max_size=12)

CLUSTER_MEMORIES = st.builds(
    ClusterMemory,
    phase=st.sampled_from(Phase),
    since=UNIX_TIMES,
    streak=UNIX_TIMES,
    seen=UNIX_TIMES,
    known=st.booleans(),
    reason=st.text(max_size=40),
    outages=st.integers(0, 9),
    released=st.booleans(),
)

WORKLOAD_MEMORIES = st.builds(
    WorkloadMemory,
    streak=UNIX_TIMES,
    seen=UNIX_TIMES,
    away=UNIX_TIMES,
    moves=st.integers(0, 9),
    template=SHORT_NAMES,
)

RECEIVERS = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["Slack", "Webhook"]),
        "urlFrom": st.dictionaries(SHORT_NAMES, SHORT_NAMES),
    }
)

NOTIFIED = st.builds(
    NotifiedState,
    federation=SHORT_NAMES,
    receivers=st.lists(RECEIVERS, max_size=2).map(tuple),
    states=st.dictionaries(SHORT_NAMES, SHORT_NAMES, max_size=3),
)

RECORD_FIELDS = st.text("abc-.", min_size=1, max_size=6)

APPLIED_RECORDS = st.dictionaries(
    st.builds(ObjectKey, *[RECORD_FIELDS] * 4),
    st.builds(AppliedRecord, *[RECORD_FIELDS] * 5),
    max_size=20,
)

# -- clocks and outages ----------------------------------------------------------------------------

CLOCK_STEPS = st.one_of(
    st.integers(-1_000_000_000, 1_000_000_000),
    st.sampled_from([-86_400, -61, -11, -1, 1, 11, 59, 600, 3_600, 31_536_000]),
)

GAPS_BETWEEN_RUNS = st.lists(st.integers(1, 100_000), min_size=2, max_size=12)

PROBE_HISTORIES = st.lists(
    st.tuples(
        st.text("+-?", min_size=3, max_size=3),
        st.sampled_from([10.0, 60.0, 60.0, 120.0, 7200.0, -3600.0]),
        st.sampled_from(["kept", "kept", "kept", "kept", "lost"]),
    ),
    max_size=40,
)


def fleet_events(
    event: Callable[..., Event], clusters: Sequence[str], signs: Sequence[str]
) -> st.SearchStrategy[Event]:
    """What happens to one cluster, to the clock and to what is remembered, before a run."""
    return st.builds(
        event,
        cluster=st.sampled_from(clusters),
        sign=st.sampled_from(signs),
        rebuilt=st.sampled_from([False, False, False, True]),
        pause=st.sampled_from([60.0, 60.0, 60.0, 20.0, 100.0, 7200.0, -3600.0]),
        memory=st.sampled_from(["kept"] * 7 + ["lost", "damaged"]),
        pods_start=st.sampled_from([True, True, True, False]),
        repeat=st.sampled_from([1, 1, 2, 5, 8]),
    )


def rules_of_workloads(rules: Sequence[str], count: int) -> st.SearchStrategy[tuple[str, ...]]:
    """One of the rules for each of so many workloads."""
    return st.tuples(*[st.sampled_from(rules)] * count)


CLUSTERS_SEEN_BY_SEATS = st.dictionaries(
    st.text(min_size=1), st.builds(HealthVote, st.sampled_from(Signal), st.text(max_size=100))
)

LOOKS = st.builds(HealthVotes, st.floats(0, 1e11), CLUSTERS_SEEN_BY_SEATS)


def seats_votes(seats: Sequence[str]) -> st.SearchStrategy[dict[str, str]]:
    """What each seat saw: well, unwell, no answer that tells, or not looked at."""
    return st.dictionaries(st.sampled_from(seats), st.sampled_from("+-?."), max_size=3)


SEATS_IN_GIT = st.sets(st.sampled_from("abcdefg"), min_size=3, max_size=5)

# -- Git -------------------------------------------------------------------------------------------


@st.composite
def commit_histories(draw: st.DrawFn) -> list[set[int]]:
    """Commits with their ancestors, themselves included; each has up to two parents before it."""
    found: list[set[int]] = []
    for number in range(draw(st.integers(1, 8))):
        parents = draw(st.sets(st.integers(0, number - 1), max_size=2)) if number else set()
        found.append({number}.union(*(found[one] for one in parents)))
    return found


SHORT_TEXTS = st.text(max_size=9)

KEPT_FILES = st.lists(
    st.builds(KeptFile, SHORT_TEXTS, st.binary(max_size=30), st.none() | SHORT_TEXTS, SHORT_TEXTS),
    max_size=3,
).map(tuple)

KEPT_COMMITS = st.builds(
    KeptCommit,
    st.sampled_from(["a" * 40, "b" * 64]),
    KEPT_FILES,
    SHORT_TEXTS,
    whole=KEPT_FILES,
)

# -- broken manifests ------------------------------------------------------------------------------

_PIECES_OF_YAML = st.sampled_from(
    ["a", "b:", " ", "\n", "- ", "{", "}", "[", "]", "&x", "*x", "'", '"', "|", ">", "#", "!t ",
     "? ", "<<: ", "---\n", "kind: List\n", "items:\n", "apiVersion: v1\n", "metadata: ", "\t"]
)  # fmt: skip

FILE_CONTENTS = (
    st.lists(_PIECES_OF_YAML, max_size=40).map("".join)
    | st.text(max_size=60)
    | st.binary(max_size=60)
)


def _places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The way to each part of a value."""
    if path:
        yield path
    if isinstance(value, dict):
        for key in value:
            yield from _places(value[key], (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _places(item, (*path, index))


@st.composite
def broken_documents(
    draw: st.DrawFn, documents: Sequence[Object], values: Sequence[Any], names: Sequence[str]
) -> Any:
    """One of the documents with up to three of its parts replaced, removed or renamed."""
    document = copy.deepcopy(draw(st.sampled_from(documents)))
    for _ in range(draw(st.integers(1, 3))):
        known = list(_places(document))
        if not known:
            break
        *above, last = draw(st.sampled_from(known))
        parent: Any = document
        for step in above:
            parent = parent[step]
        match draw(st.sampled_from(["replace", "remove", "wrap", "name", "rename"])):
            case "replace":
                parent[last] = copy.deepcopy(draw(st.sampled_from(values)))
            case "remove":
                del parent[last]
            case "wrap":
                parent[last] = [parent[last]]
            case "name":
                parent[last] = {draw(st.sampled_from(names)): parent[last]}
            case "rename" if isinstance(parent, dict):
                parent[draw(st.sampled_from(names))] = parent.pop(last)
    return document


@st.composite
def broken_texts(draw: st.DrawFn, texts: Sequence[str], fillings: Sequence[str]) -> str:
    """One of the texts with up to four cuts, each filled with something else."""
    text = draw(st.sampled_from(texts))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        length = draw(st.sampled_from([0, 0, 1, 2, 7, 40, 400]))
        filling = draw(st.sampled_from(fillings) | st.text(max_size=12) | st.just(""))
        text = text[:start] + filling + text[start + length :]
    return text


# -- DNS -------------------------------------------------------------------------------------------

ADDRESSES = st.sampled_from(
    ["192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1", "2001:db8::2", "198.51.100.4"]
)

HOST_NAMES = st.sampled_from(["lb-1.example.net.", "lb-2.example.net.", "gone.example.net."])

EXPOSURES = st.builds(
    Exposed,
    addresses=st.lists(ADDRESSES, unique=True, max_size=3).map(lambda v: tuple(sorted(v))),
    hosts=st.lists(HOST_NAMES, unique=True, max_size=2).map(lambda v: tuple(sorted(v))),
    ready=st.booleans(),
)

DNS_ABILITIES = st.builds(Abilities, alias=st.booleans(), weighted=st.booleans())

TYPES_BY_NAME = st.dictionaries(
    st.from_regex(r"[a-z0-9]{1,6}", fullmatch=True),
    st.lists(st.sampled_from(["A", "AAAA"]), unique=True, min_size=1),
    max_size=30,
)


def name_health(clusters: Sequence[str], service: ObjectKey) -> st.SearchStrategy[NameHealth]:
    """What the clusters say of a Service, which of them are down, and what each weighs."""
    names = st.sampled_from(clusters)
    views = st.fixed_dictionaries({}, optional={service: EXPOSURES})
    return st.builds(
        NameHealth,
        views=st.dictionaries(names, views, max_size=4),
        down=st.sets(names).map(lambda down: dict.fromkeys(down, "no answer")),
        weights=st.dictionaries(names.map(lambda name: Place(name, service)), st.integers(0, 1000)),
    )


# -- the simulated API -----------------------------------------------------------------------------

_STEPS_TO_FIELDS = st.sampled_from(["f:a", "f:b", 'k:{"name":"x"}', 'v:"y"'])

FIELD_SETS: st.SearchStrategy[dict[str, Any]] = st.dictionaries(
    _STEPS_TO_FIELDS,
    st.recursive(
        st.just({".": {}}),
        lambda inner: st.tuples(
            st.booleans(), st.dictionaries(_STEPS_TO_FIELDS, inner, min_size=1, max_size=3)
        ).map(lambda pair: {**({".": {}} if pair[0] else {}), **pair[1]}),
        max_leaves=8,
    ),
    max_size=3,
)

LABELS = st.dictionaries(st.sampled_from("abc"), st.sampled_from("123"), min_size=1, max_size=3)

_ENVIRONMENTS = st.lists(
    st.fixed_dictionaries({"name": st.sampled_from("ABCD"), "value": st.sampled_from("12")}),
    max_size=4,
    unique_by=lambda item: item["name"],
)

_CONTAINERS = st.lists(
    st.fixed_dictionaries({"name": st.sampled_from(["x", "y", "z"]), "env": _ENVIRONMENTS}),
    max_size=3,
    unique_by=lambda item: item["name"],
)

DEPLOYMENTS = st.builds(
    lambda labels, containers, count: {
        "metadata": {"labels": labels},
        "spec": {"replicas": count, "template": {"spec": {"containers": containers}}},
    },
    LABELS,
    _CONTAINERS,
    st.integers(0, 3),
)

# -- kinds, names and texts ------------------------------------------------------------------------

KINDS_WITH_STATUS = st.sampled_from(
    [
        ("apps/v1", "Deployment"),
        ("apps/v1", "StatefulSet"),
        ("apps/v1", "DaemonSet"),
        ("batch/v1", "Job"),
        ("v1", "Pod"),
        ("v1", "Service"),
        ("example.com/v1", "Thing"),
    ]
)

PRINTABLE_WORDS = st.text(
    st.characters(min_codepoint=33, max_codepoint=0x24F, exclude_categories=["Cc"])
)

PASSWORDS = PRINTABLE_WORDS.map(lambda text: f"pw-{text}-wp")

TREE_PATHS = st.lists(st.sampled_from(["..", ".", "a", "b", "", "/"]), max_size=8).map("/".join)

CLUSTER_NAMES = st.sets(st.text("abcdefgh-0123456789", min_size=1, max_size=12), max_size=60)

SHARD_COUNTS = st.integers(1, 12)

PAGE_WIDTHS = st.sampled_from([330, 760, 1080])

PROVIDERS_AND_REGIONS = st.lists(
    st.tuples(st.sampled_from(["", "aws", "gcp"]), st.sampled_from(["", "eu", "us", "asia-1"])),
    max_size=60,
)

# -- rollouts --------------------------------------------------------------------------------------

PLACE_NAMES = st.sampled_from(["asia", "aws", "edge", "gcp", "lab", "us"])
REGIONS = st.sampled_from(["eu", "us", "far"])

FLEETS = st.dictionaries(PLACE_NAMES, REGIONS).map(
    lambda regions: tuple(
        Cluster(name, Position("clusters.yaml", 1, 1), region=region)
        for name, region in regions.items()
    )
)

WAVES_OF_RULES = st.lists(
    st.one_of(
        st.builds(Wave, st.just("named"), st.lists(PLACE_NAMES, max_size=3).map(tuple)),
        st.builds(
            lambda region: Wave(
                "selected", selector=Selector({"topology.kubernetes.io/region": region})
            ),
            REGIONS,
        ),
    ),
    max_size=4,
).map(tuple)

CONCURRENCIES = st.one_of(
    st.just((None, False)),
    st.tuples(st.integers(1, 300), st.just(False)),
    st.tuples(st.integers(1, 1000).map(lambda tenths: tenths / 1000), st.just(True)),
)

# -- clusters on several commits -------------------------------------------------------------------


class MixedCommits(NamedTuple):
    """The first of ``commits`` is the stable one; ``of_cluster``: those of a, b, c and d. Each
    commit's ``weights`` divide its ``totals``, and ``placed`` has copies."""

    commits: tuple[str, ...]
    of_cluster: tuple[str, ...]
    weights: dict[str, dict[str, int]]
    totals: dict[str, int]
    placed: dict[str, list[str]]
    down: frozenset[str]


@st.composite
def _mixed_commits(draw: st.DrawFn) -> MixedCommits:
    commits = ("one", "two", "three")[: draw(st.integers(2, 3))]
    names = st.sampled_from("abcd")
    return MixedCommits(
        commits,
        tuple(draw(st.sampled_from(commits)) for _ in "abcd"),
        {c: draw(st.dictionaries(names, st.integers(1, 5))) for c in commits},
        {c: draw(st.integers(0, 12)) for c in commits},
        {c: sorted(draw(st.sets(names))) for c in commits},
        draw(st.frozensets(names, max_size=2)),
    )


MIXED_COMMITS = _mixed_commits()


class RolloutStep(NamedTuple):
    """What happens before a run: a new commit, outages, a lost memory, time."""

    commits: bool
    is_bad: bool
    down: frozenset[str]
    closed: frozenset[str]
    forgets: bool
    seconds: float


ROLLOUT_STEPS = st.lists(
    st.builds(
        RolloutStep,
        st.sampled_from([False, False, True]),
        st.booleans(),
        st.frozensets(st.sampled_from("abcd"), max_size=3) | st.just(frozenset()),
        st.frozensets(st.sampled_from("abcd"), max_size=1) | st.just(frozenset()),
        st.sampled_from([False] * 9 + [True]),
        st.floats(1, 700),
    ),
    max_size=25,
)


# -- maintenance windows ---------------------------------------------------------------------------


@st.composite
def _cron_schedules(draw: st.DrawFn) -> tuple[str, set[int], set[int], set[int], bool]:
    by_clock = draw(st.booleans())
    minutes = draw(st.sets(st.sampled_from([0, 1, 15, 29, 30, 31, 45, 59]), min_size=1))
    hours = draw(st.sets(st.sampled_from([0, 1, 2, 3, 12, 23]), min_size=1))
    days = draw(st.sets(st.integers(0, 6), min_size=1))
    parts = [",".join(map(str, sorted(one))) for one in (minutes, hours, days)]
    if by_clock:
        which = draw(st.sampled_from(["minute", "hour", "both"]))
        if which != "hour":
            step = draw(st.sampled_from([1, 7, 30]))
            minutes, parts[0] = set(range(0, 60, step)), "*" if step == 1 else f"*/{step}"
        if which != "minute":
            hours, parts[1] = set(range(24)), "*"
    return f"{parts[0]} {parts[1]} * * {parts[2]}", minutes, hours, days, by_clock


CRON_SCHEDULES = _cron_schedules()
"""A cron expression, with its minutes, hours and days of the week, and whether it follows the
clock (a ``*`` in minutes or hours)."""


# -- watches, and what a run makes of the time -----------------------------------------------------


class HistoryStep(NamedTuple):
    """One write to a server, and whether whoever watches hears of it by now, or lists."""

    name: str
    value: int
    deletes: bool
    catches_up: bool
    is_marked: bool
    lists: bool


History = list[HistoryStep]

HISTORIES = st.lists(
    st.builds(
        HistoryStep,
        st.sampled_from("abc"),
        st.integers(0, 1),
        st.booleans(),
        st.booleans(),
        st.booleans(),
        st.integers(0, 9).map(lambda number: number == 0),
    ),
    max_size=30,
)


class TimeRule(NamedTuple):
    """Something that depends on the time: what it compares, how, and with what (seconds)."""

    sort: str
    first: int
    second: int


TIME_RULES = st.lists(
    st.builds(
        TimeRule,
        st.sampled_from(
            ["before", "age", "capped", "left", "turn", "window", "first", "text", "same", "either"]
        ),
        st.integers(-50, 50),
        st.integers(1, 40),
    ),
    min_size=1,
    max_size=6,
)


# -- manifests whose fields are of any type --------------------------------------------------------


_ANYTHING = st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=3) | st.just({"a": 1})
_ODD_METADATA = st.fixed_dictionaries(
    {"name": st.text(min_size=1, max_size=4)},
    optional={
        "namespace": st.none() | st.text(max_size=3),
        "annotations": _ANYTHING | st.dictionaries(st.text(max_size=3), _ANYTHING, max_size=2),
        "labels": _ANYTHING,
    },
)
_ODD_SPEC = _ANYTHING | st.fixed_dictionaries(
    {},
    optional={
        "replicas": _ANYTHING,
        "scaleTargetRef": _ANYTHING
        | st.fixed_dictionaries({}, optional={"kind": _ANYTHING, "name": _ANYTHING}),
    },
)
MANIFESTS_OF_ODD_FIELDS = st.fixed_dictionaries(
    {
        "apiVersion": st.sampled_from(["v1", "apps/v1", "autoscaling/v2", "é.example/v1"]),
        "kind": st.text(min_size=1, max_size=4),
        "metadata": _ODD_METADATA,
    },
    optional={"spec": _ODD_SPEC, "data": _ANYTHING},
)
