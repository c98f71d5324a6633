"""Why prunes wait is a value; its words are made from its fields."""

from __future__ import annotations

from reconciler.cluster.discovery import GroupVersionKind
from reconciler.plan.model import ClusterPlan, PruneHold, UnlistedKind

PODS = UnlistedKind(GroupVersionKind("v1", "Pod"), "no answer")


def test_a_cluster_whose_prunes_do_not_wait_has_no_words_for_it() -> None:
    assert ClusterPlan("aws").prune_blocked == ""


def test_what_was_not_listed_and_what_was_refused_are_told_one_after_the_other() -> None:
    hold = PruneHold((PODS,), only_related=True, refused="a could not be applied first")
    assert ClusterPlan("aws", prune_hold=hold).prune_blocked == (
        "Pod (v1) could not be listed: no answer; what it may use waits with it; "
        "a could not be applied first"
    )


def test_an_object_that_its_list_did_not_show_is_named() -> None:
    hold = PruneHold(contradicted="ConfigMap shop/a")
    assert str(hold) == "ConfigMap shop/a is there and ours, but was not in the list of its kind"
