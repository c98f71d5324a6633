"""What an apply takes along: fields that were ours once, or of managers that are taken over."""

from __future__ import annotations

from typing import Any

from reconciler.api.objects import Object
from reconciler.federation.model import AdoptionRules
from reconciler.inventory.managed_fields import BEFORE_FIRST_APPLY
from reconciler.plan.field_ownership import (
    fields_not_in_git,
    fields_that_stay,
    newly_owned_fields,
    ownership_change,
)

OURS = "federation-reconciler"


def entry(manager: str, *names: str, operation: str = "Update", version: str = "v1") -> Object:
    fields: Object = {"f:data": {f"f:{name}": {} for name in names}}
    return {
        "manager": manager,
        "operation": operation,
        "apiVersion": version,
        "fieldsV1": fields,
    }


def ours(*names: str, version: str = "v1") -> Object:
    return entry(OURS, *names, operation="Apply", version=version)


def settings(*entries: Object, **data: str) -> Object:
    metadata: Object = {"name": "settings", "managedFields": list(entries)}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def fields(*names: str) -> Any:
    return {"f:data": {f"f:{name}": {} for name in names}}


def test_what_was_ours_and_is_nobodys_is_claimed_and_goes() -> None:
    live = settings(ours("colour"), colour="red", old="yes")
    found = ownership_change(live, live, fields("colour", "old"), None)
    assert found.claim == fields("old")
    assert found.result["data"] == {"colour": "red"}
    assert found.given_up == fields("old")
    assert found.former == (BEFORE_FIRST_APPLY,)


def test_what_somebody_else_owns_by_now_stays() -> None:
    live = settings(ours("colour"), entry("kubectl-edit", "old"), colour="red", old="yes")
    found = ownership_change(live, live, fields("colour", "old"), None)
    assert (found.claim, found.result) == ({}, live)
    assert found.given_up == fields("old")
    (stays,) = fields_that_stay(found, live, settings(colour="red"))
    assert (stays.path, stays.value, stays.note) == ("data.old", "yes", "no longer in Git")
    assert stays.managers == ("kubectl-edit",)
    assert fields_that_stay(found, live, settings(colour="red", old="no")) == ()


def test_where_ours_is_of_another_version_nothing_is_claimed() -> None:
    live = settings(ours("colour", "old", version="v1beta1"), colour="red", old="yes")
    result = settings(ours("colour"), colour="red", old="yes")
    found = ownership_change(live, result, {}, None)
    assert (found.claim, found.given_up) == ({}, fields("old"))


def test_an_answer_without_an_entry_of_ours_claims_nothing() -> None:
    live = settings(entry("kubectl", "colour"), colour="red")
    found = ownership_change(live, live, fields("colour", "old"), None)
    assert (found.claim, found.former, found.given_up, found.result) == ({}, (), {}, live)


def test_adopting_whole_takes_all_that_the_former_manager_has() -> None:
    result = settings(
        ours("colour"), entry("kubectl-create", "colour", "old"), colour="red", old="yes"
    )
    live = settings(entry("kubectl-create", "colour", "old"), colour="red", old="yes")
    whole = AdoptionRules(take_over=("kubectl-*",), whole=True)
    found = ownership_change(live, result, {}, whole)
    assert found.result["data"] == {"colour": "red"}
    assert found.former == ("kubectl-*",)
    part = ownership_change(live, result, {}, AdoptionRules(take_over=("kubectl-*",), whole=False))
    assert (part.claim, part.result) == ({}, result)
    assert part.former == ("kubectl-*",)
    stranger = ownership_change(live, result, {}, AdoptionRules(take_over=("flux",), whole=True))
    assert (stranger.claim, stranger.former) == ({}, ())


def test_adopting_whole_leaves_what_a_third_manager_owns() -> None:
    result = settings(
        ours("colour"),
        entry("kubectl-create", "old", "shared"),
        entry("argocd", "shared"),
        colour="red",
        old="yes",
        shared="yes",
    )
    whole = AdoptionRules(take_over=("kubectl-*",), whole=True)
    found = ownership_change(result, result, {}, whole)
    assert found.claim == fields("old")
    assert found.result["data"] == {"colour": "red", "shared": "yes"}


def test_what_others_own_beyond_git_is_told_and_what_nobody_owns_is_not() -> None:
    result = settings(ours("colour"), entry("kubectl", "more"), colour="red", more="1", none="2")
    (stays,) = fields_not_in_git(result, settings(colour="red"))
    assert (stays.path, stays.managers, stays.note) == ("data.more", ("kubectl",), "not in Git")


def test_what_becomes_ours_with_the_same_value_is_told() -> None:
    live = settings(entry("kubectl", "colour"), colour="red")
    result = settings(entry("kubectl", "colour"), ours("colour"), colour="red")
    (stays,) = newly_owned_fields(live, result)
    assert (stays.path, stays.note) == ("data.colour", "becomes ours")
    assert newly_owned_fields(result, result) == ()
