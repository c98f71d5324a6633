"""CustomResourceDefinitions and what is made of them, in one repository."""

from __future__ import annotations

import time

from tests.definitions import definition_text

from .conftest import World

NAMESPACE = """
apiVersion: v1
kind: Namespace
metadata: {name: shop}
"""
ROUTES = definition_text("Route", versions=("v1", "v1alpha1"), unserved=("v1alpha1",))
ROUTE = """
apiVersion: example.com/v1
kind: Route
metadata: {name: web, namespace: shop}
spec: {host: web.example.com}
"""


def test_versions_that_are_not_served_are_not_waited_for(world: World) -> None:
    world.write("shop.yaml", NAMESPACE)
    world.write("routes.yaml", ROUTES)
    world.write("route.yaml", ROUTE)
    started = time.monotonic()
    assert world.apply().ok
    assert time.monotonic() - started < 20  # Waiting for a CRD ends after 30 seconds.
    assert world.get("routes.example.com", "web")["spec"] == {"host": "web.example.com"}
    assert not world.plan().has_changes


def test_an_object_in_a_version_that_its_crd_does_not_serve_is_refused(world: World) -> None:
    world.write("shop.yaml", NAMESPACE)
    world.write("routes.yaml", ROUTES)
    world.write("route.yaml", ROUTE.replace("example.com/v1", "example.com/v1alpha1"))
    (refused,) = [c for c in world.changes() if c.error]
    assert refused.key.kind == "Route"
    assert refused.error == (
        "the cluster does not serve Route in example.com/v1alpha1; it has it in example.com/v1"
    )
