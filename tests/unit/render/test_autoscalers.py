"""Which workloads an autoscaler of the repository scales, cluster by cluster."""

from __future__ import annotations

import pytest

from reconciler.api.kinds import scale_target

WEB = ("shop", "Deployment", "web")


@pytest.mark.parametrize(
    ("kind", "reference", "target"),
    [
        ("HorizontalPodAutoscaler", {"kind": "Deployment", "name": "web"}, WEB),
        ("ScaledObject", {"name": "web"}, WEB),
        ("ScaledObject", {"kind": "StatefulSet", "name": "db"}, ("shop", "StatefulSet", "db")),
        ("ScaledObject", {"kind": "Deployment"}, None),
        ("ScaledJob", "web", None),
        ("ConfigMap", None, None),
    ],
)
def test_an_autoscaler_is_what_names_a_target_to_scale(
    kind: str, reference: object, target: tuple[str, str, str] | None
) -> None:
    body = {
        "apiVersion": "example.com/v1",
        "kind": kind,
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"scaleTargetRef": reference},
    }
    assert scale_target(body) == target
