"""The repositories, servers and signers of the tests of sources."""

from tests.unit.cli.conftest import environment, reconcile  # noqa: F401
from tests.unit.git.conftest import (  # noqa: F401
    alice,
    bob,
    cache,
    eve,
    mallory,
    origin,
)
