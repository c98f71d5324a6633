"""What pods write for one another is read as written; damage is told, or counts as nothing."""

from __future__ import annotations

import base64
import zlib
from typing import Any

import orjson
import pytest

from reconciler.api.errors import ReconcileError
from reconciler.api.objects import Object, ObjectKey
from reconciler.failover.cluster_health import Absence
from reconciler.scheduler.model import Assignment
from reconciler.shard.decision import FleetDecision
from reconciler.shard.published import commit_of, decode_decision, encode_decision
from reconciler.shard.round import RoundState, parse_round
from tests.unit.plan.every_move import EVERY_MOVE, WEB

SCALER = ObjectKey("autoscaling", "HorizontalPodAutoscaler", "shop", "web")
EACH = {"aws-eu": None, "gcp-eu": None}
USUAL = (
    Assignment(SCALER, EACH, bounds={"aws-eu": (1, 6), "gcp-eu": (1, 6)}),
    Assignment(WEB, EACH),
)
DECISION = FleetDecision(
    "3f1c2a9",
    (
        Assignment(SCALER, EACH, bounds={"aws-eu": (None, 1), "gcp-eu": (2, 12)}),
        Assignment(WEB, {"aws-eu": 0, "gcp-eu": None}, shortfall=2, leaving=frozenset({"aws-eu"})),
    ),
    {"aws-eu": Absence("timed out", down=True)},
    frozenset({"aws-eu"}),
    EVERY_MOVE,
    frozenset({"gcp-eu"}),
    {"gcp-eu": {"a=b:NoExecute": 3, "c=d:NoSchedule": 1.5}},
    {"aws-eu": "no answer"},
)
WRITTEN = {
    "version": 3,
    "round": "job-1",
    "epoch": 4,
    "shards": 3,
    "names": None,
    "guards": {"0": [], "2": ["aws-eu: 3 deletions"]},
    "ended": {"1": True, "2": False},
}


def _packed(document: object) -> bytes:
    return zlib.compress(orjson.dumps(document))


def _document() -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(zlib.decompress(encode_decision(DECISION, USUAL)))
    return found


def test_a_decision_is_read_as_it_was_written() -> None:
    data = encode_decision(DECISION, USUAL)
    assert commit_of(data) == "3f1c2a9"
    assert decode_decision(data, USUAL) == DECISION


@pytest.mark.parametrize("part", sorted({*_document()} - {"version"}))
@pytest.mark.parametrize("value", [None, 7, "x", [1], {"a": {"b": None}}])
def test_a_decision_with_a_damaged_part_is_refused(part: str, value: object) -> None:
    if part == "commit" and value == "x":
        value = ["x"]
    if part == "rollout" and value in (None, {"a": {"b": None}}):
        # None is said by a fleet without rollouts, and what is not known is left aside.
        value = {"commits": 7}
    data = _packed({**_document(), part: value})
    with pytest.raises(ReconcileError, match="a part of it is not as it should be"):
        decode_decision(data, USUAL)


@pytest.mark.parametrize("part", sorted({*_document()} - {"version"}))
def test_a_decision_that_lacks_a_part_is_refused(part: str) -> None:
    data = _packed({key: value for key, value in _document().items() if key != part})
    with pytest.raises(ReconcileError, match="a part of it is not as it should be"):
        decode_decision(data, USUAL)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "not what a pod writes"),
        (b"\x00damaged", "not what a pod writes"),
        (zlib.compress(b"{"), "not what a pod writes"),
        (_packed([]), "written by another version"),
        (_packed({**_document(), "version": 3}), "written by another version"),
    ],
)
def test_what_no_pod_of_this_version_writes_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(ReconcileError, match=why):
        commit_of(data)


def _config_map(said: object, decision: object = "") -> Object:
    text = said if isinstance(said, str) else orjson.dumps(said).decode()
    return {"data": {"round.json": text}, "binaryData": {"decision": decision}}


def test_a_round_is_read_as_it_was_written() -> None:
    found = parse_round(_config_map(WRITTEN, base64.b64encode(b"decided").decode()))
    assert found == RoundState(
        "job-1", 4, 3, b"decided", {1: True, 2: False}, None, {0: (), 2: ("aws-eu: 3 deletions",)}
    )


@pytest.mark.parametrize(
    "found",
    [
        None,
        {},
        {"data": None, "binaryData": None},
        _config_map("{damaged"),
        _config_map([]),
        _config_map({**WRITTEN, "version": 2}),
        _config_map(WRITTEN, decision="no base64!"),
        *(_config_map({k: v for k, v in WRITTEN.items() if k != part}) for part in WRITTEN),
        *(_config_map({**WRITTEN, part: {"a": "b"}}) for part in WRITTEN),
    ],
)
def test_what_is_no_state_of_a_round_counts_as_none(found: Object | None) -> None:
    assert parse_round(found) == RoundState()
