"""The fleet's memory in a file and in a ConfigMap: written only over what was read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from kubesim.fleet import Sandbox
from reconciler.api.errors import MemoryChanged, ReconcileError, SourceError
from reconciler.api.objects import ObjectKey
from reconciler.api.options import RunOptions
from reconciler.cluster.client import Member
from reconciler.cluster.connect import Connector
from reconciler.cluster.discovery import RESTMapping
from reconciler.run.pipeline import apply_plan, make_plan
from reconciler.state.memory import ClusterMemory, FleetMemory, Phase
from reconciler.state.stores import CONFIG_MAPS, ConfigMapStore, FileStore, MemoryStore
from tests.controlplane.fixtures import Fleet
from tests.controlplane.plane import ControlPlane
from tests.scenarios.conftest import CLUSTERS, FEDERATION

DOWN = FleetMemory({"aws": ClusterMemory(Phase.DOWN, 7.0, reason="timeout")}, commit="abc")
NAMESPACES = RESTMapping("v1", "Namespace", "namespaces", namespaced=False)
Open = Callable[..., MemoryStore]


def host_of(kubeconfig: Path) -> Member:
    host = Connector.from_file(str(kubeconfig), "federation-system", host_context="host").host()
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "federation-system"}}
    host.create(NAMESPACES, body)
    return host


@pytest.fixture
def sandbox_host() -> Iterator[Member]:
    with Sandbox(["host"]) as sandbox:
        yield host_of(sandbox.kubeconfig)


@pytest.fixture
def real_host(fleet: Fleet, control_plane: ControlPlane) -> Member:
    return host_of(control_plane.kubeconfig({"host": fleet(1)[0]}))


@pytest.fixture(params=["file", "sandbox", pytest.param("real", marks=pytest.mark.integration)])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Opens the same store again, as another process would; ``name`` is the Federation's."""
    if request.param == "file":
        return lambda name="shop": FileStore(tmp_path / "state" / f"{name}-1.json", "*-1.json")
    host: Member = request.getfixturevalue(f"{request.param}_host")
    return lambda name="shop": ConfigMapStore(host, name, "federation-system", "1")


def test_what_was_written_is_read(open_store: Open) -> None:
    assert open_store().read().memory == FleetMemory()
    assert open_store().read().version == ""
    version = open_store().write(DOWN, "")
    found = open_store().read()
    assert (found.memory, found.version) == (DOWN, version)
    open_store().write(FleetMemory(), version)
    assert open_store().read().memory == FleetMemory()


def test_what_somebody_else_changed_is_not_overwritten(open_store: Open) -> None:
    first = open_store().write(DOWN, "")
    open_store().write(FleetMemory(commit="theirs"), first)
    with pytest.raises(MemoryChanged):
        open_store().write(DOWN, first)
    with pytest.raises(MemoryChanged):
        open_store().write(DOWN, "")
    assert open_store().read().memory.commit == "theirs"


def test_memories_of_the_same_repository_know_each_other(open_store: Open) -> None:
    open_store().write(DOWN, "")
    assert open_store().namesakes() == ()
    (before,) = open_store("renamed").namesakes()
    assert "shop" in before


def test_a_damaged_config_map_is_told_and_can_be_written_over(sandbox_host: Member) -> None:
    store = ConfigMapStore(sandbox_host, "shop", "federation-system")
    store.write(DOWN, "")
    key = ObjectKey("", "ConfigMap", "federation-system", "federation-shop-memory")
    for data in ({"memory.json": "{"}, {}, {"memory.json": '{"version": 9}'}):
        live = sandbox_host.get(CONFIG_MAPS, key) or {}
        sandbox_host.replace(CONFIG_MAPS, key, {**live, "data": data})
        found = store.read()
        assert found.memory == FleetMemory()
        assert "federation-shop-memory" in found.problem
        store.write(DOWN, found.version)
        assert store.read().memory == DOWN


def test_a_missing_namespace_is_told_with_the_command_that_makes_it(sandbox_host: Member) -> None:
    with pytest.raises(ReconcileError) as caught:
        ConfigMapStore(sandbox_host, "shop", "elsewhere").write(DOWN, "")
    assert "kubectl create namespace elsewhere" in caught.value.hint


def test_a_file_is_its_owners_only(tmp_path: Path) -> None:
    FileStore(tmp_path / "memory.json").write(DOWN, "")
    assert (tmp_path / "memory.json").stat().st_mode & 0o077 == 0
    with pytest.raises(ReconcileError, match="cannot be read"):
        FileStore(tmp_path).read()


# -- in a run ----------------------------------------------------------------------------------


@pytest.fixture
def options(tmp_path: Path) -> Iterator[RunOptions]:
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "all.yaml").write_text(f"{FEDERATION}\n---\n{CLUSTERS}")
    with Sandbox(["aws", "gcp"]) as sandbox:
        host = Connector.from_file(str(sandbox.kubeconfig), "", host_context="gcp").host()
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "federation-system"}}
        host.create(NAMESPACES, body)
        yield RunOptions(
            repo=str(folder),
            kubeconfig=str(sandbox.kubeconfig),
            host_context="gcp",
            plan_only=False,
            lock="none",
        )


def test_a_federation_under_another_name_does_not_shake_off_what_is_known(
    options: RunOptions,
) -> None:
    prepared = make_plan(options)
    assert prepared.run_memory is not None
    assert prepared.run_memory.store is not None
    prepared.run_memory.store.write(DOWN, "")
    manifests = Path(options.repo) / "all.yaml"
    manifests.write_text(manifests.read_text().replace("{name: shop}", "{name: other}"))
    with pytest.raises(SourceError, match="under another name"):
        make_plan(options)
    planned = make_plan(replace(options, plan_only=True)).plan
    assert any("could not be applied" in warning for warning in planned.warnings)
    assert apply_plan(make_plan(replace(options, allow_rollback=True))).ok


def test_a_run_that_writes_stops_when_its_memory_cannot_be_read(options: RunOptions) -> None:
    broken = replace(options, host_context="", state=options.repo)
    with pytest.raises(ReconcileError, match="cannot be read"):
        make_plan(broken)
    planned = make_plan(replace(broken, plan_only=True)).plan
    assert any("so nothing moves" in warning for warning in planned.warnings)
