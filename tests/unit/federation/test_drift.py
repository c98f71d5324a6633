"""Pointers name fields by key and items by their fields; what a repository says in them."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.api.files import SourceFile
from reconciler.federation.compile import compile_documents
from reconciler.federation.drift import below, below_item, pointer_steps
from reconciler.federation.model import PEOPLE, Workload
from reconciler.manifests.load import load

FLEET = """
apiVersion: federation.reconciler.dev/v1alpha1
kind: Federation
metadata: {name: shop}
spec:
  defaults: {placement: {clusterSelector: {}}}
  SAID
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: aws}
spec: {}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: shop}
data: {colour: green}
"""


def understood(said: str) -> Any:
    manifests = load([SourceFile("a.yaml", FLEET.replace("SAID", said).encode())])
    assert not manifests.problems
    return compile_documents(manifests.documents)


@pytest.mark.parametrize(
    ("step", "key", "meets"),
    [
        ("a", "a", True),
        ("a", "ab", False),
        ("*", "anything", True),
        ("example.com/*", "example.com/note", True),
        ("example.com/*", "other.com/note", False),
        ("a.c", "abc", False),
        ("*", "applyset.kubernetes.io/part-of", False),
        ("federation.reconciler.dev/*", "federation.reconciler.dev/protect", False),
    ],
)
def test_a_step_meets_a_key(step: str, key: str, meets: bool) -> None:
    assert (below([(step, "rest")], key) == [("rest",)]) is meets


@pytest.mark.parametrize(
    ("step", "item", "meets"),
    [
        ("*", {"name": "web"}, True),
        ("name=web", {"name": "web", "image": "x"}, True),
        ("name=web", {"name": "shell"}, False),
        ("port=80,protocol=UDP", {"port": 80, "protocol": "UDP"}, True),
        ("port=80,protocol=UDP", {"port": 80}, False),
        ("key=a=b", {"key": "a=b"}, True),
        ("ready=true", {"ready": True}, True),
        ("0", {"name": "web"}, False),
        ("web", {"name": "web"}, False),
        ("example.com/a", "example.com/a", True),
    ],
)
def test_a_step_meets_an_item(step: str, item: Any, meets: bool) -> None:
    assert (below_item([(step,)], item) == [()]) is meets


def test_slashes_are_written_as_in_json_pointers() -> None:
    assert pointer_steps(("/metadata/labels/a~1b",)) == (("metadata", "labels", "a/b"),)


def test_without_a_word_additions_of_people_are_reported() -> None:
    rules = understood("drift: {}").state.federation.drift
    assert (rules.additions, rules.managers, rules.rules) == ("Report", PEOPLE, ())


def test_what_is_left_to_others_belongs_to_what_is_selected() -> None:
    rules = "ignore: [{select: [{kind: Service}], paths: [/data/colour]}]"
    assert understood(rules).state.workloads[0].rules.ignore == ()
    rules = "ignore: [{select: [{kind: ConfigMap}, {name: x}], paths: [/data/colour, /data/x]}]"
    (workload,) = understood(rules).state.workloads
    assert isinstance(workload, Workload)
    assert workload.rules.ignore == ("/data/colour", "/data/x")


def test_a_rule_that_selects_nothing_is_told() -> None:
    state = understood("ignore: [{select: [{kind: Secret}], paths: [/data]}]").state
    assert any("spec.ignore[0] selects no manifest" in text for text in state.warnings)
