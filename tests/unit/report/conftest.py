"""``world``, as the scenarios have it: a repository and its clusters, simulated and real."""

from tests.scenarios.conftest import (
    real_kubeconfig,
    repository,
    sandbox,
    sandbox_kubeconfig,
    world,
)

__all__ = ["real_kubeconfig", "repository", "sandbox", "sandbox_kubeconfig", "world"]
