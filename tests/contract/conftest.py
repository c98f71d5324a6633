"""``api``: every test runs on the sandbox, and on a real API server where there is one.

``both``: the two at once, for tests that compare them.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kubesim.fleet import Sandbox
from kubesim.server import ClusterSettings
from tests.contract.sides import Api
from tests.controlplane.fixtures import Fleet


@pytest.fixture
def sandbox_api() -> Iterator[Api]:
    """Nothing becomes ready by itself, as on an API server without controllers."""
    with Sandbox(["member"], settings=ClusterSettings(nodes=0)) as sandbox:
        cluster = sandbox.cluster("member")
        cluster.controllers.frozen = True
        compact = cluster.server.store.compact
        yield Api("sandbox", cluster.url, cluster.token, compact=compact)


@pytest.fixture
def running_sandbox_api() -> Iterator[Api]:
    with Sandbox(["member"]) as sandbox:
        cluster = sandbox.cluster("member")
        yield Api("sandbox", cluster.url, cluster.token)


@pytest.fixture
def real_api(fleet: Fleet) -> Api:
    (cluster,) = fleet(1)
    token, certificate = cluster.tokens["admin"], str(cluster.certificate)
    return Api("real", cluster.url, token, certificate, cluster.etcd.compact)


@pytest.fixture
def running_real_api(fleet: Fleet) -> Api:
    (cluster,) = fleet(1, controllers=True)
    return Api("real", cluster.url, cluster.tokens["admin"], str(cluster.certificate))


_SIDES = ["sandbox", pytest.param("real", marks=pytest.mark.integration)]


@pytest.fixture(params=_SIDES)
def api(request: pytest.FixtureRequest) -> Api:
    found: Api = request.getfixturevalue(f"{request.param}_api")
    return found


@pytest.fixture(params=_SIDES)
def running_api(request: pytest.FixtureRequest) -> Api:
    """With controllers: workloads become available, owners take their children along."""
    found: Api = request.getfixturevalue(f"running_{request.param}_api")
    return found


@pytest.fixture
def both(sandbox_api: Api, real_api: Api) -> tuple[Api, Api]:
    return sandbox_api, real_api


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Names the fixture that ``getfixturevalue`` would hide, so that servers are built early."""
    for item in items:
        parameters = getattr(getattr(item, "callspec", None), "params", {})
        names = getattr(item, "fixturenames", [])
        if "real" in (parameters.get("api"), parameters.get("running_api")):
            names.append("control_plane")
