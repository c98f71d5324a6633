"""Fixtures of the whole suite; those that start real API servers live in tests/controlplane."""

import os
import tempfile

import pytest

from tests.chaos import tally
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


def pytest_configure(config: pytest.Config) -> None:
    # Counts what all test processes did: said by the one that has their reports.
    config.pluginmanager.register(tally)
