"""What passes a limit: values with figures, compared as such, and said in one sentence each."""

from __future__ import annotations

import pytest

from reconciler.api.errors import GuardViolation, Violation, WordedViolation
from reconciler.api.objects import ObjectKey
from reconciler.plan.compare_base import against_base
from reconciler.plan.guards import (
    InvalidManifest,
    NamespacesGo,
    NothingWanted,
    PlacedNowhere,
    TooLargeShare,
    TooManyDeletions,
)
from reconciler.plan.model import ClusterPlan, Plan
from reconciler.report.finished_run import failures_of_error

ONCE = "--max-deletions 9 lets it pass once"
WEB = ObjectKey("apps", "Deployment", "shop", "web")


@pytest.mark.parametrize(
    ("violation", "words"),
    [
        (
            TooManyDeletions("aws", count=9, limit=4),
            f"aws: 9 deletions, spec.guards.maxDeletions is 4; {ONCE}",
        ),
        (
            TooManyDeletions("aws", count=9, limit=4, by_rule=False),
            "aws: 9 deletions, --max-deletions is 4",
        ),
        (
            TooLargeShare("aws", count=9, inventory=12, share=0.5),
            "aws: 9 of 12 objects (75%) would be deleted, spec.guards.maxDeletionShare is 50%; "
            + ONCE,
        ),
        (
            NothingWanted("aws", count=9, inventory=12),
            f"aws: nothing is wanted any more where 12 objects were; {ONCE}",
        ),
        (
            NamespacesGo("aws", count=9, namespaces=2, inventory=3),
            f"aws: 2 of 3 Namespaces would go; {ONCE}",
        ),
        (
            NamespacesGo("aws", count=9, namespaces=3, inventory=3),
            f"aws: all 3 Namespaces would go; {ONCE}",
        ),
        (
            PlacedNowhere("aws", count=9, objects=("ConfigMap shop/a (no rule)",)),
            "aws: still in Git, and no longer placed anywhere: ConfigMap shop/a (no rule); place "
            f"it again, or take it out of Git; {ONCE}, spec.guards.unplaced: Allow always",
        ),
        (
            InvalidManifest(key=WEB, origin="web.yaml:1:1", error="no such field"),
            "refused as invalid: Deployment.apps shop/web (web.yaml:1:1): no such field",
        ),
        (WordedViolation(text="shard 1 of 2: aws: too many"), "shard 1 of 2: aws: too many"),
    ],
)
def test_a_violation_is_one_sentence(violation: Violation, words: str) -> None:
    assert str(violation) == words
    assert str(GuardViolation([violation, violation])) == f"{words}; {words}"


def test_what_passes_a_limit_is_the_same_trouble_whatever_its_figures_and_only_in_its_cluster() -> (
    None
):
    def trouble(violation: Violation) -> str:
        (failure,) = failures_of_error(GuardViolation([violation]))
        return failure.identity

    assert trouble(TooManyDeletions("eu1", count=9, limit=4)) == trouble(
        TooManyDeletions("eu1", count=7, limit=4)
    )
    # As sentences without their figures these two were one, and the second was no news.
    assert trouble(TooManyDeletions("eu1", count=9, limit=4)) != trouble(
        TooManyDeletions("eu2", count=9, limit=4)
    )
    assert trouble(WordedViolation(text="9 deletions")) == trouble(
        WordedViolation(text="7 deletions")
    )


def test_a_limit_is_shared_by_its_cluster_and_by_no_beginning_of_a_sentence() -> None:
    clusters = (ClusterPlan("aws"), ClusterPlan("refused as invalid"))
    head = Plan("shop", clusters, violations=(InvalidManifest(key=WEB, error="new"),))
    base = Plan("shop", clusters, violations=(InvalidManifest(key=WEB, error="old"),))
    assert against_base(head, base, "main").violations == head.violations
