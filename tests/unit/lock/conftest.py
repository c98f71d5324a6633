"""The host cluster in which locks are kept: simulated, or real."""

from tests.unit.apply.conftest import host, real_host, sandbox, simulated_host  # noqa: F401
