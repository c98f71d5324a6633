"""The repositories, servers and signers of the tests of sources."""

from tests.source.conftest import (  # noqa: F401
    alice,
    bob,
    cache,
    eve,
    mallory,
    origin,
)
