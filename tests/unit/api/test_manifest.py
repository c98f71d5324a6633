"""What a manifest knows of itself is the same, whether it is parsed or still JSON."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given

from reconciler.api.kinds import scale_target
from reconciler.api.manifest import PARSED, Manifest, ManifestBlock
from reconciler.api.objects import key_of, map_of
from reconciler.cluster.kstatus import stated_replicas
from tests.strategies import MANIFESTS_OF_ODD_FIELDS


def kept(obj: dict[str, Any], *neighbours: dict[str, Any]) -> Manifest:
    """As the cache of manifests gives it: after its ``neighbours`` in a block."""
    texts = [orjson.dumps(one) for one in (*neighbours, obj)]
    return Manifest.of_block(ManifestBlock.of(texts), len(neighbours), Manifest(obj).facts)


@given(MANIFESTS_OF_ODD_FIELDS)
def test_the_same_is_known_of_json_as_of_what_is_parsed(obj: dict[str, Any]) -> None:
    for manifest in (Manifest(obj), kept(obj)):
        assert manifest.key == key_of(obj)
        assert (manifest.kind, manifest.api_version) == (obj["kind"], obj["apiVersion"])
        assert manifest.annotations == map_of(obj["metadata"].get("annotations"))
        assert manifest.stated_replicas == stated_replicas(obj)
        assert manifest.scale_target == scale_target(obj)
        assert manifest.object == obj
        about = manifest.about
        assert all(about[name] == obj[name] for name in ("apiVersion", "kind", "metadata"))
        assert orjson.loads(manifest.json) == obj


def test_manifests_are_equal_when_their_content_is() -> None:
    def settings(*data: str) -> dict[str, Any]:
        head = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}}
        return {**head, "data": dict.fromkeys(data, "1")}

    same = [Manifest(settings("a", "b")), *(kept(settings(*data)) for data in ("ab", "ab", "ba"))]
    assert all(one == other for one in same for other in same)
    for other in (Manifest(settings("a")), kept(settings("a"))):
        assert all(one != other and other != one for one in same)
    assert same[0] != settings("a", "b")


def test_what_was_parsed_is_not_given_for_another_manifest() -> None:
    for number in range(3 * PARSED):
        obj = {"apiVersion": "v1", "kind": "X", "metadata": {"name": "x"}, "n": number}
        assert kept(obj).object == obj


def test_nothing_of_a_manifest_is_in_its_repr() -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "canary"}}
    for manifest in (Manifest(secret), kept(secret)):
        assert "canary" not in repr(manifest)


def test_a_document_without_a_name_has_no_key() -> None:
    with pytest.raises(KeyError):
        _ = Manifest({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}}).key
