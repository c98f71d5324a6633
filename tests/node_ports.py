"""Node ports that no other test of this process names.

An API server that was taken back to its first state in etcd still knows the ports of the tests
before for some minutes. Ports that nobody names it takes from 30086 on, so tests name those below:
see "Avoiding collisions" on https://kubernetes.io/docs/concepts/services-networking/service/.
"""

from __future__ import annotations

from itertools import count

CONTRACT_PORT = 30085
"""The contract names one, as its answers are compared word for word."""
_numbers = count(30000)


def unused_node_port(in_a_row: int = 1) -> int:
    """The first of so many numbers. Raises AssertionError where too few are left."""
    first, *_ = numbers = [next(_numbers) for _ in range(in_a_row)]
    assert numbers[-1] < CONTRACT_PORT
    return first
