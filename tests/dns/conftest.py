"""What the DNS tests share lies in ``fleets`` (repositories, clusters) and ``named`` (BIND)."""

import pytest

# Its assertions should say what they compared, as a test's do.
pytest.register_assert_rewrite("tests.dns.fleets")
