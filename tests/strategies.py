"""Hypothesis strategies of the tests, each under the name of what it makes."""

from __future__ import annotations

from hypothesis import strategies as st

from reconciler.federation.model import ReplicaShare
from reconciler.state.memory import ClusterMemory, NotifiedState, Phase, WorkloadMemory

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

# -- replicas and their shares ---------------------------------------------------------------------

REPLICA_SHARES = st.builds(
    lambda weight, low, room: ReplicaShare(weight, low, None if room is None else low + room),
    st.integers(0, 9) | st.integers(0, 400),
    st.integers(0, 4),
    st.none() | st.integers(0, 12),
)

SHARES_BY_CLUSTER = st.dictionaries(
    st.sampled_from("abcdefgh"), REPLICA_SHARES, min_size=1, max_size=8
)

CAPACITIES = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 30))

COUNTS_BY_CLUSTER = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 30))

REPLICA_TOTALS = st.integers(0, 80)

COUNTS_OF_FOUR = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 9), min_size=1)

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
