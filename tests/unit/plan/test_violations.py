"""What passes a limit: values with figures, compared as such, and said in one sentence each."""

from __future__ import annotations

import pytest

from reconciler.api.errors import (
    GuardViolation,
    ReconcileError,
    RunError,
    TextViolation,
    Violation,
)
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
from reconciler.plan.model import ClusterPlan, Plan, RunResult, ZoneFailure
from reconciler.report.finished_run import failures_of_error, failures_of_result

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
        (TextViolation(text="shard 1 of 2: aws: too many"), "shard 1 of 2: aws: too many"),
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
    shard = "shard 1 of 2"
    assert trouble(TextViolation(text=f"{shard}: 9 deletions", about=shard)) == trouble(
        TextViolation(text=f"{shard}: 7 deletions", about=shard)
    )
    # A name with a figure in it is another name.
    assert trouble(InvalidManifest(key=WEB, error="e", origin="a.yaml:1:1")) == trouble(
        InvalidManifest(key=WEB, error="e", origin="a.yaml:7:1")
    )
    assert trouble(InvalidManifest(key=WEB._replace(name="web-1"), error="e")) != trouble(
        InvalidManifest(key=WEB._replace(name="web-2"), error="e")
    )


def test_each_limit_is_a_trouble_of_its_own_in_each_cluster() -> None:
    def subjects(cluster: str, one: int) -> list[str]:
        """Of every limit, passed with other figures for another number."""
        figures = {"cluster": cluster, "count": one}
        return [
            TooManyDeletions(**figures, limit=one).subject,
            TooLargeShare(**figures, inventory=9 + one, share=0.5).subject,
            NothingWanted(**figures, inventory=9 + one).subject,
            NamespacesGo(**figures, namespaces=one, inventory=9).subject,
            PlacedNowhere(**figures, objects=(f"ConfigMap shop/{one}",)).subject,
        ]

    assert subjects("aws", 1) == subjects("aws", 2)
    assert all(subject.startswith("aws: ") for subject in subjects("aws", 1))
    assert len({*subjects("aws", 1), *subjects("gcp", 1)}) == 10


def test_an_error_is_the_same_trouble_whatever_its_figures_and_only_of_its_subject() -> None:
    def of_result(error: RunError) -> str:
        (failure,) = failures_of_result(RunResult(Plan("shop", ()), errors=(error,)))
        assert failure.text == str(error)
        return failure.identity

    def of_error(message: str, subject: str = "") -> str:
        (failure,) = failures_of_error(ReconcileError(message, subject=subject))
        assert failure.text == message
        return failure.identity

    assert of_result(RunError("no answer in 5 s", "eu1")) == of_result(
        RunError("no answer in 7 s", "eu1")
    )
    # Without their figures these two clusters were one.
    assert of_result(RunError("no answer", "eu1")) != of_result(RunError("no answer", "eu2"))
    assert of_error("it cannot be written: 5 s", "it cannot be written") == of_error(
        "it cannot be written: 7 s", "it cannot be written"
    )
    assert of_error("ConfigMap a/b1 keeps changing") != of_error("ConfigMap a/b2 keeps changing")


def test_a_zone_that_cannot_be_planned_is_the_same_trouble_whatever_is_said_of_it() -> None:
    def trouble(failure: ZoneFailure) -> str:
        (found,) = failures_of_result(RunResult(Plan("shop", (), dns_failures=(failure,))))
        assert found.text == str(failure)
        return found.identity

    assert trouble(ZoneFailure("a1.org.", "timed out")) == trouble(
        ZoneFailure("a1.org.", "refused")
    )
    assert trouble(ZoneFailure("a1.org.", "refused")) != trouble(ZoneFailure("a2.org.", "refused"))


def test_a_limit_is_shared_by_its_cluster_and_by_no_beginning_of_a_sentence() -> None:
    clusters = (ClusterPlan("aws"), ClusterPlan("refused as invalid"))
    head = Plan("shop", clusters, violations=(InvalidManifest(key=WEB, error="new"),))
    base = Plan("shop", clusters, violations=(InvalidManifest(key=WEB, error="old"),))
    assert against_base(head, base, "main").violations == head.violations
