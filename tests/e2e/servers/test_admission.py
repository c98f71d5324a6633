"""A mutating admission policy changes a field that we own while somebody else writes."""

from __future__ import annotations

import json

import pytest

from tests.controlplane.fixtures import Fleet
from tests.controlplane.plane import ControlPlane
from tests.controlplane.process import eventually
from tests.scenarios.conftest import CLUSTERS, FEDERATION, World
from tests.scenarios.manifests import POLICY, SHOP


@pytest.fixture
def world(tmp_path, fleet: Fleet, control_plane: ControlPlane) -> World:
    clusters = fleet(2)
    repository = tmp_path / "repository"
    repository.mkdir()
    (repository / "federation.yaml").write_text(FEDERATION)
    (repository / "clusters.yaml").write_text(CLUSTERS)
    kubeconfig = control_plane.kubeconfig(dict(zip(("aws", "gcp"), clusters, strict=True)))
    found = World(repository, kubeconfig)
    found.options["version"] = clusters[0].mutating_policy_version
    return found


def test_a_value_that_admission_changed_under_another_request_is_drift(world: World) -> None:
    version = world.options.pop("version")
    world.write("shop.yaml", SHOP)
    assert world.apply().ok
    policy = world.repository.parent / "policy.yaml"
    policy.write_text(POLICY.format(version=version))
    world.kubectl("apply", "-f", str(policy))

    def mutated() -> bool:
        world.kubectl("-n", "shop", "annotate", "--overwrite", "deploy/web", "note=x")
        return bool(world.get("deployment", "web")["spec"]["replicas"] == 42)

    eventually(mutated, "the policy acts")
    (change,) = world.changes()
    assert [(f.path, f.before, f.after) for f in change.fields] == [("spec.replicas", 42, 2)]
    shown = world.kubectl("get", "deploy/web", "-n", "shop", "-o", "json", "--show-managed-fields")
    entries = json.loads(shown)["metadata"]["managedFields"]
    ours = next(e for e in entries if e["manager"] == "federation-reconciler")
    assert "f:replicas" in ours["fieldsV1"]["f:spec"]
