"""Fixtures of the whole suite; those that start real API servers live in tests/controlplane."""

import os
import tempfile
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.chaos import tally
from tests.command import no_command_left
from tests.controlplane.fixtures import (  # noqa: F401
    audited_cluster,
    clean_clusters,
    control_plane,
    fleet,
    kubectl,
    pytest_collection_finish,
    pytest_collection_modifyitems,
    pytest_terminal_summary,
)

# What runs remember of their fleets is nobody's else, and least of all that of whoever tests.
os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="reconciler-tests-")

# How long an example takes says how busy the machine is, not what is wrong.
settings.register_profile(
    "any-machine", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any-machine")


def pytest_configure(config: pytest.Config) -> None:
    # Counts what all test processes did: said by the one that has their reports.
    config.pluginmanager.register(tally)


@pytest.fixture(autouse=True)
def no_command_outlives_its_test() -> Iterator[None]:
    with no_command_left():
        yield
