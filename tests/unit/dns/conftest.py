"""``named``: a BIND of its own for each test; the rest lies in ``fleets`` and ``named``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

# Its assertions should say what they compared, as a test's do.
pytest.register_assert_rewrite("tests.unit.dns.fleets")

from tests.unit.dns.named import Named  # noqa: E402


@pytest.fixture
def named(tmp_path: Path) -> Iterator[Named]:
    server = Named(tmp_path)
    server.start()
    yield server
    server.stop()
