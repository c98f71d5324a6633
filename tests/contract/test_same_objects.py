"""The sandbox stores what a real server stores, down to defaults and managedFields."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.contract.sides import Api, stable

pytestmark = pytest.mark.integration

MANIFESTS = list(
    yaml.safe_load_all(Path(__file__).with_name("manifests.yaml").read_text(encoding="utf-8"))
)


def _name(obj: dict[str, Any]) -> str:
    return f"{obj['kind']}-{obj['metadata']['name']}"


def test_there_are_many_manifests() -> None:
    assert len(MANIFESTS) > 25


@pytest.mark.parametrize("manifest", MANIFESTS, ids=_name)
def test_an_applied_object_is_the_same(both: tuple[Api, Api], manifest: dict[str, Any]) -> None:
    sandbox, real = (stable(api.apply(manifest).body) for api in both)
    assert sandbox == real


# A real server writes a PersistentVolumeClaim once more at its second apply, with the same content.
SETTLED = [manifest for manifest in MANIFESTS if manifest["kind"] != "PersistentVolumeClaim"]


@pytest.mark.parametrize("manifest", SETTLED, ids=_name)
def test_applying_again_changes_nothing(both: tuple[Api, Api], manifest: dict[str, Any]) -> None:
    assert len(both) == 2
    for api in both:
        first, second = api.apply(manifest).body, api.apply(manifest).body
        assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
        assert second == first


@pytest.mark.parametrize("manifest", MANIFESTS, ids=_name)
def test_a_created_object_is_the_same(both: tuple[Api, Api], manifest: dict[str, Any]) -> None:
    for api in both:
        assert api.create(manifest).status == 201
    sandbox, real = (stable(api.get(manifest)) for api in both)
    assert sandbox == real


@pytest.mark.parametrize("manifest", MANIFESTS[:12], ids=_name)
def test_an_object_created_by_kubectl_is_adopted_alike(
    both: tuple[Api, Api], manifest: dict[str, Any]
) -> None:
    changed = {**manifest, "metadata": {**manifest["metadata"], "labels": {"part-of": "shop"}}}
    for api in both:
        api.create(manifest)
        answer = api.apply(changed, force="true")
        assert answer.status == 200
    sandbox, real = (stable(api.get(manifest)) for api in both)
    assert sandbox == real
