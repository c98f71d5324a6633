"""Fixtures of the whole suite; those that start real API servers live in tests/controlplane."""

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
