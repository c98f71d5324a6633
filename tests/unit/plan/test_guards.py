"""Limits on deletions, as a table."""

from __future__ import annotations

import pytest

from reconciler.api.objects import ObjectKey
from reconciler.api.reasons import Cause, Reason
from reconciler.federation.model import GuardRules
from reconciler.plan.guards import Deletions, violations
from reconciler.plan.model import Action, Change


def figures(deleted: int, inventory: int, wanted: int = 50, namespaces: int = 1) -> Deletions:
    changes = tuple(
        Change(Action.PRUNE, ObjectKey("", "ConfigMap", "a", str(n)), "v1") for n in range(deleted)
    )
    return Deletions("aws", inventory, namespaces, wanted, min(namespaces, wanted), changes)


@pytest.mark.parametrize(
    ("given", "rules", "stopped"),
    [
        (figures(0, 100, wanted=0), GuardRules(), False),
        (figures(5, 100), GuardRules(), False),
        (figures(51, 100), GuardRules(), True),
        (figures(50, 100), GuardRules(), False),
        (figures(5, 9), GuardRules(), False),
        (figures(5, 100), GuardRules(max_deletions=4), True),
        (figures(4, 100), GuardRules(max_deletions=4), False),
        (figures(2, 2, wanted=0), GuardRules(), True),
        (figures(1, 1, wanted=0), GuardRules(), False),
        (figures(90, 100), GuardRules(max_deletion_share=None), False),
    ],
)
def test_a_limit_is_passed_or_not(given: Deletions, rules: GuardRules, stopped: bool) -> None:
    assert bool(violations(given, rules)) == stopped


def test_a_flag_replaces_the_rules_for_once() -> None:
    rules = GuardRules(max_deletions=1)
    assert not violations(figures(60, 100), rules, max_deletions=60)
    assert violations(figures(61, 100), rules, max_deletions=60)


def test_the_message_names_figures_rule_and_flag() -> None:
    (found,) = violations(figures(60, 100), GuardRules(max_deletion_share=0.3))
    text = str(found)
    assert "60 of 100 objects (60%)" in text
    assert "spec.guards.maxDeletionShare is 30%" in text
    assert "--max-deletions 60" in text


def deletions(*reasons: Reason, kind: str = "ConfigMap", **more: int) -> Deletions:
    changes = tuple(
        Change(Action.PRUNE, ObjectKey("", kind, "", f"n{i}"), "v1", reasons=(reason,))
        for i, reason in enumerate(reasons)
    )
    given = {"inventory": len(changes), "inventory_namespaces": 0, "wanted": 0}
    return Deletions("aws", **{**given, "wanted_namespaces": 0, **more}, deleted=changes)


def test_an_inventory_of_one_object_is_guarded_unless_it_moves() -> None:
    (found,) = violations(deletions(Reason(Cause.REMOVED)), GuardRules())
    assert str(found).startswith(
        "aws: nothing is wanted any more where 1 object was; --max-deletions 1"
    )
    assert not violations(deletions(Reason(Cause.PLACED_ELSEWHERE, detail="aws")), GuardRules())


def test_protected_namespaces_do_not_count_as_going() -> None:
    free = GuardRules(max_deletion_share=None)
    more = {"inventory": 9, "inventory_namespaces": 3, "wanted": 1}
    gone = Reason(Cause.REMOVED)
    assert not violations(deletions(gone, kind="Namespace", **more), free)
    (found,) = violations(deletions(gone, gone, kind="Namespace", **more), free)
    assert "2 of 3 Namespaces would go" in str(found)
    (found,) = violations(deletions(gone, gone, gone, kind="Namespace", **more), free)
    assert "all 3 Namespaces would go" in str(found)
