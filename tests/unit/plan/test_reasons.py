"""Why something changes: decided by causes, and said in one sentence."""

from __future__ import annotations

import dataclasses

import orjson
import pytest

from reconciler.api.objects import ObjectKey
from reconciler.api.reasons import Cause, Reason, reasons_text, remark
from reconciler.plan.model import SERVER_CHOSEN, Action, Change, FieldChange, is_server_chosen
from reconciler.plan.reasons import overridden_managers, reasons_of_object
from reconciler.report.wording import why_field

DRIFT = Reason(Cause.DRIFT, ("alice",))
IN_GIT = Reason(Cause.IN_GIT)
WEB = Change(Action.UPDATE, ObjectKey("apps", "Deployment", "shop", "web"), "apps/v1")


@pytest.mark.parametrize(
    ("reasons", "words"),
    [
        ((), ""),
        ((Reason(Cause.DRIFT),), "drift"),
        ((IN_GIT, DRIFT), "changed in Git; drift: changed by alice"),
        ((Reason(Cause.DRIFT_BY_ADDITION, ("a", "b")),), "drift: added by a, b"),
        (
            (IN_GIT, Reason(Cause.TAKEN_BY_FORCE, ("flux",))),
            "changed in Git; taken by force from flux",
        ),
        (
            (IN_GIT, Reason(Cause.ADDITION_GOES, ("alice",))),
            "changed in Git; what alice added goes",
        ),
        (
            (Reason(Cause.REMOVED), Reason(Cause.ORPHANED)),
            "removed from Git, and marked to be orphaned",
        ),
        ((Reason(Cause.PLACED_ELSEWHERE, detail="a rule"),), "no longer placed here (a rule)"),
        ((Reason(Cause.RECREATE, detail="a is immutable"),), "needs recreate: a is immutable"),
        (
            (IN_GIT, Reason(Cause.IN_BASE, detail="1 more as main")),
            "changed in Git (1 more as main)",
        ),
        ((Reason(Cause.REMOVED), remark("it stays")), "removed from Git; it stays"),
    ],
)
def test_reasons_are_one_sentence(reasons: tuple[Reason, ...], words: str) -> None:
    assert reasons_text(reasons) == words


@pytest.mark.parametrize("cause", list(Cause))
def test_every_cause_has_words(cause: Cause) -> None:
    assert str(Reason(cause, ("alice",), "because"))


def test_drift_is_told_by_its_cause_and_by_no_word() -> None:
    sounding = dataclasses.replace(WEB, reasons=(remark("drift is not what this is"),))
    assert not sounding.is_drift
    assert dataclasses.replace(WEB, reasons=(DRIFT,)).is_drift
    of_a_field = FieldChange("a", 1, 2, (), (DRIFT,))
    assert dataclasses.replace(WEB, reasons=(IN_GIT,), fields=(of_a_field,)).is_drift


def test_a_manager_whose_name_has_a_comma_is_one_manager() -> None:
    taken = Reason(Cause.TAKEN_BY_FORCE, ("a, b", "c; d"))
    assert overridden_managers([FieldChange("x", 1, 2, (), (IN_GIT, taken))]) == ("a, b", "c; d")


def test_an_object_has_the_reasons_of_its_fields_once_each() -> None:
    fields = [
        FieldChange("a", 1, 2, ("alice",), (DRIFT, Reason(Cause.TAKEN_BY_FORCE, ("flux",)))),
        FieldChange("b", 1, 2, (), (IN_GIT,)),
        FieldChange("c", 1, 2, (), (Reason(Cause.NO_LONGER_IN_GIT),)),
        FieldChange("d", 1, 2, (), (Reason(Cause.BY_THE_SERVER),)),
    ]
    told = reasons_text(reasons_of_object(fields))
    assert told == "changed in Git; drift: changed by alice; taken by force from flux"
    assert reasons_of_object(fields[3:]) == (Reason(Cause.BY_THE_SERVER),)
    replicas = FieldChange("spec.replicas", 1, 2, (), (IN_GIT,))
    assert reasons_text(reasons_of_object([replicas])) == "its share of the replicas changes"


def test_an_owner_is_named_though_another_s_name_begins_alike() -> None:
    field = FieldChange("a", 1, 2, ("kubectl",), (IN_GIT,))
    change = dataclasses.replace(WEB, reasons=(Reason(Cause.DRIFT, ("kubectl-edit",)),))
    assert why_field(field, change) == "changed in Git; owned by kubectl"


def test_a_text_like_the_mark_for_what_the_server_chooses_is_a_text() -> None:
    text = "(chosen by the server)"
    assert not is_server_chosen([{"a": text}])
    assert is_server_chosen([{"a": SERVER_CHOSEN}])
    assert orjson.dumps([SERVER_CHOSEN]) == orjson.dumps([text])
    field = FieldChange("a", 1, text, (), (Reason(Cause.DRIFT),))
    assert why_field(field, dataclasses.replace(WEB, reasons=(IN_GIT,))) == "drift"
