"""The repositories, servers and signers of the tests of sources."""

from tests.cli.conftest import environment, reconcile  # noqa: F401
from tests.source.conftest import (  # noqa: F401
    alice,
    bob,
    cache,
    eve,
    mallory,
    origin,
)
