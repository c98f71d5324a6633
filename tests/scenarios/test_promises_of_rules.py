"""A plan's promise holds too where fields left to others, additions and adoption meet."""

from __future__ import annotations

import pytest

from tests.scenarios import test_promises as promises
from tests.scenarios.conftest import World

LEFT = """\
  ignore:
    - select: [{kind: Deployment}]
      paths:
        - /spec/replicas
        - /spec/template/spec/containers/name=web/resources
        - /spec/template/spec/containers/name=web/env/name=A
        - /metadata/labels/team
    - {select: [{kind: ConfigMap}], paths: [/data/colour, /metadata/annotations/example.com~1x]}
    - {select: [{kind: Service}], paths: [/spec/sessionAffinity, /spec/selector/tier]}
"""
RULES = (
    LEFT,
    LEFT + "  drift: {additions: Remove}\n",
    LEFT + '  adoption: {takeOver: ["*"]}\n  drift: {additions: Remove}\n',
    LEFT + '  adoption: {takeOver: ["kubectl*"]}\n',
    "  drift: {additions: Remove}\n",
)


@pytest.mark.parametrize("seed", [60, 77])
def test_what_a_plan_shows_is_written_where_rules_meet(
    world: World, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(promises, "RULES", RULES)
    monkeypatch.setattr(promises, "ROUNDS", min(promises.ROUNDS, 6))
    promises.test_what_a_plan_shows_is_what_is_written(world, seed)
