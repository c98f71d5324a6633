"""What cannot be taken out of an object that is adopted whole stays in it."""

from __future__ import annotations

import pytest

from tests.scenarios.conftest import FEDERATION, World
from tests.scenarios.manifests import NAMESPACE
from tests.scenarios.test_adoption import by_hand, change_of, settle, stays

CLAIM = """---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, namespace: shop%s}
spec:
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 1Gi}}
"""


@pytest.mark.parametrize("takes", ['["*"]', '["kubectl*"]'])
def test_an_immutable_field_stays_and_is_told(world: World, takes: str) -> None:
    by_hand(
        world,
        NAMESPACE + CLAIM % ", labels: {team: a}" + "  storageClassName: fast\n",
        "--server-side",
    )
    world.write("federation.yaml", FEDERATION + f"  adoption: {{takeOver: {takes}}}\n")
    world.write("shop.yaml", NAMESPACE + CLAIM % "")
    change = change_of(world, "PersistentVolumeClaim")
    assert not change.error
    assert "metadata.labels.team" in {field.path for field in change.fields}
    assert stays(change)["spec.storageClassName"] == ("fast", ("kubectl",))
    settle(world)
    claim = world.get("persistentvolumeclaim", "data")
    assert claim["spec"]["storageClassName"] == "fast"
    assert "team" not in claim["metadata"].get("labels", {})
