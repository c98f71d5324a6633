"""Whatever Git changes about where things go: no run leaves fewer serving than before it."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.api.objects import ObjectKey
from reconciler.scheduler.divide import divide_by_weight
from reconciler.scheduler.make_before_break import Running, hold_replicas
from reconciler.scheduler.model import Assignment
from tests.strategies import SHARES_OF_FOUR

WEB = ObjectKey("apps", "Deployment", "shop", "web")
CLUSTERS = "abcd"


@settings(max_examples=400)
@given(
    edits=st.lists(SHARES_OF_FOUR, min_size=1, max_size=5),
    broken=st.sets(st.sampled_from(CLUSTERS)),
    total=st.integers(1, 12),
    steps=st.integers(1, 3),
)
def test_replicas_are_handed_over_without_a_dip(edits, broken, total, steps) -> None:
    """Replicas become ready a run later, or never; the program dies between two clusters."""
    asked, ready = {"a": total}, {"a": total}
    for shares in edits:
        for _ in range(steps):
            counts, short = divide_by_weight(total, shares, key="k", current=asked)
            held, _ = hold_replicas(Assignment(WEB, counts, shortfall=short), Running(asked, ready))
            after = {c: n or 0 for c, n in held.replicas.items()}
            for stop in range(len(CLUSTERS) + 1):
                # What is written by then; a cluster that is not in it is pruned.
                now = {**asked, **{c: after.get(c, 0) for c in CLUSTERS[:stop]}}
                serving = sum(min(ready.get(c, 0), n) for c, n in now.items())
                assert serving >= min(total, sum(ready.values()))
            asked = {c: n for c, n in after.items() if n}
            ready = {
                c: min(n, ready.get(c, 0)) if c in broken and c != "a" else n
                for c, n in asked.items()
            }
