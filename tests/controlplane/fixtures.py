"""How tests get real member clusters. ``tests/conftest.py`` hands these to the whole suite.

    def test_something(fleet, kubectl):
        aws, gcp = fleet(2)
        kubectl(aws, "create", "namespace", "shop")

Every test that uses one of these carries the marker ``integration``. Where there is neither Go nor
KUBEBUILDER_ASSETS they are skipped; with ``RECONCILER_REQUIRE_INTEGRATION=1`` they fail.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import nullcontext
from functools import cache
from typing import Protocol

import pytest

from tests.controlplane import audit, build
from tests.controlplane import plane as planes
from tests.controlplane.cluster import Cluster
from tests.controlplane.controllers import MissingProgram
from tests.controlplane.plane import ControlPlane

SKIPPED = "INTEGRATION TESTS SKIPPED"


class Fleet(Protocol):
    """``fleet(2)``: two clean, running clusters. ``controllers=True``: in which Pods run."""

    def __call__(
        self, count: int = 3, *, controllers: bool = False, nodes: int = 1
    ) -> tuple[Cluster, ...]: ...


class Kubectl(Protocol):
    def __call__(
        self, cluster: Cluster, *arguments: str, input: str | None = None, user: str = "admin"
    ) -> str: ...


def required() -> bool:
    return os.environ.get("RECONCILER_REQUIRE_INTEGRATION", "") not in {"", "0"}


@cache
def programs() -> tuple[build.Programs, ...]:
    """Builds at the first call. Raises Unavailable where that is not possible."""
    return build.ensure_each()


def give_up(reason: str) -> None:
    """Skips the test, or fails it where that has been forbidden."""
    if required():
        pytest.fail(f"RECONCILER_REQUIRE_INTEGRATION is set, but {reason}", pytrace=False)
    pytest.skip(f"{SKIPPED}: {reason}")


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """The fleet of this test process; nothing runs before somebody asks for clusters."""
    try:
        found = programs()
    except build.Unavailable as error:
        give_up(str(error))
        raise
    with ControlPlane(found, tmp_path_factory.mktemp("control-plane")) as plane:
        yield plane


@pytest.fixture
def fleet(control_plane: ControlPlane) -> Fleet:
    """The same servers for every test, as they were when they had just been started."""

    def take(count: int = 3, *, controllers: bool = False, nodes: int = 1) -> tuple[Cluster, ...]:
        clusters = control_plane.clusters(count)
        for cluster in clusters:
            # Running controllers would bring back what belongs to the objects being removed.
            cluster.controllers.stop()
            cluster.clean()
        if controllers:
            try:
                for cluster in clusters:
                    cluster.start_controllers(nodes=nodes)
            except MissingProgram as error:
                give_up(f"{error} is missing")
        return clusters

    return take


@pytest.fixture
def clean_clusters(fleet: Fleet) -> tuple[Cluster, ...]:
    """Three clean clusters without controllers."""
    return fleet(3)


@pytest.fixture
def audited_cluster(control_plane: ControlPlane) -> Iterator[Callable[[audit.Level], Cluster]]:
    """A cluster of the test's own, whose audit log holds request bodies, too. Takes seconds."""
    started: list[Cluster] = []

    def start(level: audit.Level = "Request") -> Cluster:
        started.append(control_plane.extra_cluster(level))
        return started[-1]

    yield start
    for cluster in started:
        cluster.close()


@pytest.fixture
def kubectl() -> Kubectl:
    return planes.kubectl


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "control_plane" in getattr(item, "fixturenames", ()):
            item.add_marker("integration")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Builds here: within a fixture it would count against the first test's time limit."""
    wanting = [
        item for item in session.items if "control_plane" in getattr(item, "fixturenames", ())
    ]
    if not wanting or session.config.option.collectonly:
        return
    capture = session.config.pluginmanager.getplugin("capturemanager")
    try:
        with capture.global_and_fixture_disabled() if capture else nullcontext():
            programs()
    except build.Unavailable as error:
        if not required():
            for item in wanting:
                item.add_marker(pytest.mark.skip(reason=f"{SKIPPED}: {error}"))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Generator[None]:
    """The last words before pytest's own closing line."""
    result = yield
    reasons = Counter(
        str(report.longrepr).partition(f"{SKIPPED}: ")[2].strip("')")
        for report in terminalreporter.stats.get("skipped", [])
        if SKIPPED in str(report.longrepr)
    )
    for reason, count in reasons.items():
        text = f"{SKIPPED}: {count} of them, because {reason}. See CONTRIBUTING.md."
        terminalreporter.write_line(text, red=True, bold=True)
    return result
