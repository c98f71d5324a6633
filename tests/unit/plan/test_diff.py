"""When an object is surely as wanted, and else why the server is asked."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.api.objects import Object
from reconciler.inventory.records import AppliedRecord, Digester
from reconciler.plan.diff import Question, compare, request_digest

DIGESTER = Digester(b"key")
OURS = "federation-reconciler"


def body(**data: Any) -> Object:
    metadata = {"name": "settings", "namespace": "shop", "labels": {"a": "b"}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def live(fields: Object, uid: str = "u", version: str = "v1", **data: Any) -> Object:
    """As the server has it, of which our apply owns ``fields``."""
    obj = body(**data)
    entry = {"manager": OURS, "operation": "Apply", "apiVersion": version, "fieldsV1": fields}
    obj["metadata"] |= {"uid": uid, "resourceVersion": "9", "managedFields": [entry]}
    return obj


FIELDS: Object = {"f:metadata": {"f:labels": {"f:a": {}}}, "f:data": {"f:colour": {}}}
RED = body(colour="red")
LIVE = live(FIELDS, colour="red")


def record(wanted: Object = RED, found: Object = LIVE) -> AppliedRecord:
    """What is remembered of an apply whose answer was this."""
    return compare(DIGESTER, wanted, found, None).record


def question(wanted: Object, found: Object, known: AppliedRecord | None) -> Question:
    return compare(DIGESTER, wanted, found, known).question


def test_what_was_applied_and_is_as_it_was_is_unchanged() -> None:
    assert question(RED, LIVE, record()) is Question.NONE
    other = {**LIVE, "data": {"colour": "red", "taste": "sour"}, "status": {"a": 1}}
    assert question(RED, other, record()) is Question.NONE, "others may add what is not ours"


@pytest.mark.parametrize(
    ("wanted", "found", "why"),
    [
        pytest.param(body(colour="blue"), LIVE, Question.EDITED, id="edited"),
        pytest.param(body(), LIVE, Question.EDITED, id="a field left Git"),
        pytest.param(RED, live(FIELDS, colour="blue"), Question.DRIFTED, id="a value changed"),
        pytest.param(RED, live(FIELDS), Question.DRIFTED, id="a value is gone"),
        pytest.param(
            RED, live({"f:data": {"f:colour": {}}}, colour="red"), Question.TAKEN, id="taken"
        ),
        pytest.param(
            RED, live(FIELDS, version="v1beta1", colour="red"), Question.TAKEN, id="by version"
        ),
        pytest.param(
            body(colour="blue"), live(FIELDS, colour="blue"), Question.EDITED, id="both alike"
        ),
    ],
)
def test_what_differs_from_the_record_is_asked_about(
    wanted: Object, found: Object, why: Question
) -> None:
    assert question(wanted, found, record()) is why


def test_an_object_that_nothing_of_ours_is_in_was_taken() -> None:
    bare = {**LIVE, "metadata": {**LIVE["metadata"], "managedFields": []}}
    found = compare(DIGESTER, RED, bare, record())
    assert found.question is Question.TAKEN
    assert found.footprint is None


def test_another_uid_alone_is_no_question() -> None:
    """Whether it is the same object is judged where the members are observed."""
    other = live(FIELDS, uid="other", colour="red")
    found = compare(DIGESTER, RED, other, record())
    assert found.question is Question.NONE
    assert found.record.uid == "other"


@pytest.mark.parametrize("known", [None, AppliedRecord(api_version="v1")])
@pytest.mark.parametrize(
    ("found", "sure"),
    [
        pytest.param(LIVE, True, id="just as written"),
        pytest.param(live(FIELDS, colour="blue"), False, id="another value"),
        pytest.param(live(FIELDS), False, id="no value"),
        pytest.param(live({"f:data": {"f:colour": {}}}, colour="red"), False, id="fewer are ours"),
        pytest.param(
            live({**FIELDS, "f:data": {"f:colour": {}, "f:old": {}}}, colour="red", old="x"),
            False,
            id="more are ours",
        ),
        pytest.param(live({**FIELDS, "f:data": {}}, colour="red"), True, id="the map is atomic"),
    ],
)
def test_without_a_record_only_an_apply_of_just_this_is_sure(
    known: AppliedRecord | None, found: Object, sure: bool
) -> None:
    assert question(RED, found, known) is (Question.NONE if sure else Question.UNKNOWN)


def lists(*items: Any) -> Object:
    return {**RED, "data": {"items": [*items]}}


@pytest.mark.parametrize(
    ("fields", "items", "sure"),
    [
        ({'k:{"name":"a"}': {"f:name": {}, "f:size": {}}}, [{"name": "a", "size": 1}], True),
        ({'k:{"name":"a"}': {"f:name": {}}}, [{"name": "a", "size": 1}], False),
        ({'k:{"name":"b"}': {"f:name": {}, "f:size": {}}}, [{"name": "a", "size": 1}], False),
        ({'k:{"name":"a"}': {"f:name": {}}}, [{"name": "a"}, {"name": "b"}], False),
        ({'v:"a"': {}, 'v:"b"': {}}, ["a", "b"], True),
        ({'v:"a"': {}}, ["a", "b"], False),
        ({'v:"a"': {}, 'v:"c"': {}}, ["a", "b"], False),
        ({"f:a": {}}, ["a"], False),
    ],
)
def test_items_of_lists_are_compared_by_what_names_them(
    fields: Object, items: list[Any], sure: bool
) -> None:
    wanted = lists(*items)
    found = live({**FIELDS, "f:data": {"f:items": fields}}, items=items)
    assert question(wanted, found, None) is (Question.NONE if sure else Question.UNKNOWN)


def test_a_value_that_is_no_map_is_not_covered_by_the_tree_of_one() -> None:
    found = live({**FIELDS, "f:data": {"f:colour": {"f:red": {}}}}, colour="red")
    assert question(RED, found, None) is Question.UNKNOWN


def test_a_digest_depends_on_the_key_and_on_every_value_but_not_on_their_order() -> None:
    turned = dict(reversed(list(RED.items())))
    assert request_digest(DIGESTER, RED) == request_digest(DIGESTER, turned)
    assert request_digest(DIGESTER, RED) != request_digest(DIGESTER, body(colour="blue"))
    assert request_digest(DIGESTER, RED) != request_digest(Digester(b"other"), RED)
