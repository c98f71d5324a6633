"""Records: their form, and what ownership says of values."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given

from reconciler.api.objects import GroupKind, ObjectKey
from reconciler.inventory.applyset import applyset_id
from reconciler.inventory.managed_fields import MISSING, has_missing, owned_paths, owned_values
from reconciler.inventory.records import AppliedRecord, Digester, decode_rows, encode_rows
from tests.strategies import APPLIED_RECORDS


@given(APPLIED_RECORDS)
def test_rows_survive_being_written_and_read(given_rows) -> None:
    assert decode_rows(encode_rows(given_rows)) == given_rows


@pytest.mark.parametrize(("more", "uid"), [("", ""), ("\tu1", "u1"), ("\tu1\tnewer\tmore", "u1")])
def test_rows_of_older_and_newer_versions_are_read(more: str, uid: str) -> None:
    data = zlib.compress(f"apps\tDeployment\tshop\tweb\tH\tE\tV\tapps/v1{more}".encode())
    key = ObjectKey("apps", "Deployment", "shop", "web")
    assert decode_rows(data) == {key: AppliedRecord("H", "E", "V", "apps/v1", uid)}


@pytest.mark.parametrize("data", [b"", b"nonsense", encode_rows({})[:-3]])
def test_damaged_rows_are_told_from_none(data: bytes) -> None:
    with pytest.raises(ValueError, match="damaged"):
        decode_rows(data)


FIELDS = {
    "f:spec": {
        "f:replicas": {},
        "f:ports": {
            'k:{"port":80}': {".": {}, "f:port": {}, "f:name": {}},
            'k:{"port":90}': {".": {}, "f:port": {}},
        },
    },
    "f:finalizers": {'v:"a"': {}},
}
LIVE = {
    "spec": {"replicas": 2, "other": 1, "ports": [{"port": 90}, {"port": 80, "name": "x"}]},
    "finalizers": ["b", "a"],
}


def test_a_deep_tree_is_read_at_once() -> None:
    fields, value = {"f:end": {}}, {"end": 1}
    for _ in range(100):
        fields, value = {"f:a": fields}, {"a": value}
    assert owned_values(fields, value) == value


def test_only_owned_values_are_seen_and_in_live_order() -> None:
    values = owned_values(FIELDS, LIVE)
    assert values["spec"]["replicas"] == 2
    assert "other" not in values["spec"]
    assert [step for step, _ in values["spec"]["ports"]] == ['k:{"port":90}', 'k:{"port":80}']
    assert values["finalizers"] == [['v:"a"', "a"]]
    assert not has_missing(values)


def test_another_order_or_a_lost_value_shows() -> None:
    turned = {**LIVE, "spec": {**LIVE["spec"], "ports": LIVE["spec"]["ports"][::-1]}}  # type: ignore[index]
    assert owned_values(FIELDS, turned) != owned_values(FIELDS, LIVE)
    lost = {**LIVE, "finalizers": []}
    assert owned_values(FIELDS, lost)["finalizers"] == [['v:"a"', MISSING]]
    assert has_missing(owned_values(FIELDS, lost))


def test_paths_are_worded_as_in_conflicts() -> None:
    assert {".spec.replicas", ".spec.ports[port=80].name", '.finalizers[="a"]'} <= owned_paths(
        FIELDS
    )


def test_digests_depend_on_the_key_and_not_on_the_order_of_map_keys() -> None:
    one, other = Digester(b"a" * 32), Digester(b"b" * 32)
    assert one.of({"x": 1, "y": 2}) == one.of({"y": 2, "x": 1})
    assert one.of({"x": 1}) != other.of({"x": 1})


def test_the_id_is_the_one_of_the_specification() -> None:
    # KEP-3659: base64url of the sha256 of "name.namespace.kind.group", without padding.
    found = applyset_id("federation-web-shop", "federation-system", GroupKind("", "Secret"))
    assert found == "applyset-Xnx4RMrs6stgV30asKimDwzGhIMN6BiRpwexMys88vM-v1"
