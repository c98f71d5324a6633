"""Limits on deletions, as a table."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from reconciler.api.objects import ObjectKey
from reconciler.api.reasons import Cause, Reason
from reconciler.federation.model import GuardRules
from reconciler.plan.guards import Deletions, deletions_of, violations
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


# -- each limit at its very edge -------------------------------------------------------------------


def change(action: Action, kind: str = "ConfigMap", group: str = "") -> Change:
    return Change(action, ObjectKey(group, kind, "", "x"), "v1")


def told(given: Deletions, rules: GuardRules, limit: int | None = None) -> list[str]:
    return [str(one) for one in violations(given, rules, max_deletions=limit)]


def test_recreations_count_as_deletions_and_releases_do_not() -> None:
    changes = [change(action) for action in Action]
    assert [c.action for c in deletions_of(changes)] == [Action.RECREATE, Action.PRUNE]


def test_where_nothing_goes_no_limit_is_passed() -> None:
    empty = Deletions("aws", 0, 0, 0, 0, (), unplaced=("x",))
    assert violations(empty, GuardRules(max_deletions=0, share_from=0)) == []
    assert violations(empty, GuardRules(), max_deletions=0) == []


def test_the_share_holds_from_the_size_on_that_the_rules_say() -> None:
    rules = GuardRules(share_from=10)
    assert violations(figures(6, 10), rules)
    assert not violations(figures(6, 9), rules)
    assert not violations(figures(5, 10), rules)


def test_a_flag_names_itself_and_replaces_every_rule() -> None:
    text = told(figures(3, 3, wanted=0), GuardRules(), 2)
    assert text == ["aws: 3 deletions, --max-deletions is 2"]
    everything = structs.replace(figures(3, 3, wanted=0), unplaced=("Deployment.apps shop/web",))
    assert violations(everything, GuardRules(), max_deletions=3) == []
    assert len(violations(everything, GuardRules())) == 2


def test_every_limit_that_is_passed_is_told() -> None:
    found = told(figures(60, 100, wanted=0), GuardRules(max_deletions=5))
    assert found == [
        "aws: nothing is wanted any more where 100 objects were; --max-deletions 60 lets it pass "
        "once",
        "aws: 60 deletions, spec.guards.maxDeletions is 5; --max-deletions 60 lets it pass once",
        "aws: 60 of 100 objects (60%) would be deleted, spec.guards.maxDeletionShare is 50%; "
        "--max-deletions 60 lets it pass once",
    ]


def test_what_git_has_and_no_rule_places_stops_the_run_unless_that_is_allowed() -> None:
    given = structs.replace(figures(1, 100), unplaced=("Deployment.apps shop/web",))
    (text,) = told(given, GuardRules())
    assert text == (
        "aws: still in Git, and no longer placed anywhere: Deployment.apps shop/web; place it "
        "again, or take it out of Git; --max-deletions 1 lets it pass once, "
        "spec.guards.unplaced: Allow always"
    )
    assert violations(given, GuardRules(unplaced="Allow")) == []


def test_an_emptied_cluster_is_guarded_where_two_objects_move_as_well() -> None:
    moved = Reason(Cause.PLACED_ELSEWHERE)
    (text,) = told(deletions(moved, moved), GuardRules())
    assert "nothing is wanted any more where 2 objects were" in text
    assert not violations(deletions(moved, moved, wanted=1), GuardRules())
    (text,) = told(deletions(moved, inventory=2), GuardRules())
    assert "2 objects were" in text


def test_only_namespaces_that_are_pruned_and_of_the_core_group_count_as_namespaces() -> None:
    free = GuardRules(max_deletion_share=None)

    def of(*changes: Change) -> list[str]:
        return told(Deletions("aws", 9, 2, 1, 0, changes), free)

    namespace = change(Action.PRUNE, "Namespace")
    assert of(namespace, namespace) == [
        "aws: all 2 Namespaces would go; --max-deletions 2 lets it pass once"
    ]
    assert of(namespace, change(Action.RECREATE, "Namespace")) == []
    assert of(namespace, change(Action.PRUNE, "Namespace", "example.org")) == []
    assert of(namespace, change(Action.PRUNE, "ConfigMap")) == []


def test_where_a_namespace_is_still_wanted_others_may_go() -> None:
    gone = deletions(Reason(Cause.REMOVED), Reason(Cause.REMOVED), kind="Namespace", wanted=1)
    free = GuardRules(max_deletion_share=None)
    assert violations(gone, free)
    assert not violations(structs.replace(gone, wanted_namespaces=1), free)


@given(
    deleted=st.integers(0, 200),
    kept=st.integers(1, 200),
    limit=st.none() | st.integers(0, 200),
    share=st.none() | st.floats(0, 1),
)
def test_the_limits_are_what_they_say(
    deleted: int, kept: int, limit: int | None, share: float | None
) -> None:
    inventory = deleted + kept
    rules = GuardRules(max_deletions=limit, max_deletion_share=share)
    passed = limit is not None and deleted > limit
    passed |= share is not None and inventory >= 10 and deleted > share * inventory + 1e-6
    near = share is not None and abs(deleted - share * inventory) <= 1e-6
    if not near:
        assert bool(violations(figures(deleted, inventory, wanted=kept), rules)) == passed
