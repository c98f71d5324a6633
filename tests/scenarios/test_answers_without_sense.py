"""A member whose answers lie in one place costs that member; a defect of ours is told as one."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import orjson
import pytest

from kubesim.fleet import Sandbox
from reconciler.api.errors import ClusterUnreachable
from reconciler.apply import verbs
from reconciler.cluster.connect import Connector
from reconciler.cluster.responses import MalformedAnswer, document_of, reading_answers
from reconciler.failover.probe import Nodes, _nodes
from reconciler.inventory.managed_fields import Fields
from reconciler.plan.member_plan import plan_member
from reconciler.plan.model import Action
from tests.scenarios.conftest import World
from tests.scenarios.manifests import SHOP

LISTS = "labelSelector="
Path = tuple[str | int, ...]


def lied(path: Path, lie: Any) -> Callable[[Any], Any]:
    """What puts ``lie`` at a path of an answer, where the path is."""

    def change(answer: Any) -> Any:
        here = answer
        for step in path[:-1]:
            if isinstance(here, list) and step == 0 and not here:
                return answer
            here = here[step] if isinstance(here, list) else here.get(step, {})  # type: ignore[index]
        if isinstance(here, list) or path[-1] in here:
            here[path[-1]] = lie  # type: ignore[index]
        return answer

    return change


ITEM: Path = ("items", 0)
TREE: Path = (*ITEM, "metadata", "managedFields", 0, "fieldsV1")
LIES: tuple[tuple[str, Path, Any, str], ...] = (
    ("deployments", ("items",), 5, "a list without items"),
    ("deployments", ITEM, "web", "an object without metadata"),
    ("deployments", (*ITEM, "metadata", "labels"), {"app": 5}, "labels are no texts"),
    ("deployments", (*TREE, "f:metadata"), 5, "damaged managedFields"),
    ("deployments", (*TREE, "f:spec"), {"k:nothing": {}}, "not JSON"),
    ("deployments", (*TREE[:-1], "manager"), {}, "damaged managedFields"),
    ("deployments", (*TREE[:-1], "apiVersion"), [5], "damaged managedFields"),
    ("secrets", (*ITEM, "data", "records"), 5, "a Secret whose data are no texts"),
)


@pytest.mark.parametrize(("kind", "path", "lie", "said"), LIES)
def test_an_answer_without_sense_costs_its_cluster(
    simulated_world: World, sandbox: Sandbox, kind: str, path: Path, lie: Any, said: str
) -> None:
    simulated_world.write("shop.yaml", SHOP)
    simulated_world.apply()
    rule = sandbox.cluster("aws").faults.distort(lied(path, lie), path=f"/{kind}.*{LISTS}")
    plan = simulated_world.plan()
    assert rule.hits
    problems = {cluster.name: cluster.problem for cluster in plan.clusters}
    assert said in problems["aws"]
    assert problems["gcp"] == ""


def test_a_value_of_another_type_is_a_difference_and_no_more(
    simulated_world: World, sandbox: Sandbox
) -> None:
    simulated_world.write("shop.yaml", SHOP)
    simulated_world.apply()
    lies = [
        lied((*ITEM, "spec", "clusterIP"), {}),
        lied((*ITEM, "spec", "ports", 0, "protocol"), []),
    ]
    for lie in lies:
        rule = sandbox.cluster("aws").faults.distort(lie, path=f"/services.*{LISTS}")
        plan = simulated_world.plan()
        assert rule.hits
        assert not [cluster.problem for cluster in plan.clusters if cluster.problem]
        sandbox.cluster("aws").faults.clear()


@pytest.mark.parametrize("raised", [MalformedAnswer("nothing"), RecursionError()])
def test_what_reading_is_known_to_raise_is_the_clusters(raised: Exception) -> None:
    with pytest.raises(ClusterUnreachable, match="the server answered"), reading_answers("aws"):
        raise raised


@pytest.mark.parametrize(("body", "said"), [(b"{", "is not JSON"), (b"[]", "not an object")])
def test_what_is_no_json_object_is_the_clusters(body: bytes, said: str) -> None:
    with pytest.raises(ClusterUnreachable, match=said):
        document_of("aws", body)


def test_what_is_nested_too_deeply_to_be_digested_is_the_clusters() -> None:
    deep: Any = {}
    for _ in range(300):
        deep = {"a": deep}
    with pytest.raises(ClusterUnreachable, match="nested too deeply"), reading_answers("aws"):
        orjson.dumps(deep)


@pytest.mark.parametrize("raised", [KeyError("a"), TypeError(), ValueError(), IndexError()])
def test_no_other_error_is_taken_for_an_answer_without_sense(raised: Exception) -> None:
    with pytest.raises(type(raised)), reading_answers("aws"):
        raise raised
    with pytest.raises(TypeError), reading_answers("aws"):
        orjson.dumps(object())


def test_a_defect_while_planning_ends_the_run_before_it_writes(
    simulated_world: World, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulated_world.write("shop.yaml", SHOP)

    def broken(member: Any, *arguments: Any) -> Any:
        return {}["nothing"] if member.name == "aws" else plan_member(member, *arguments)  # type: ignore[index]

    monkeypatch.setattr("reconciler.run.comparison.plan_member", broken)
    with pytest.raises(KeyError):
        simulated_world.apply()
    assert not simulated_world.exists("service", "web", "gcp")


def test_a_defect_while_applying_is_told_with_all_that_was_done(
    simulated_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulated_world.write("shop.yaml", SHOP)
    sound = verbs._VERBS[Action.CREATE]

    def broken(member: Any, resource: Any, change: Any, *rest: Any) -> Any:
        fields: Fields = {}
        if member.name == "aws" and change.key.kind == "Deployment":
            return fields["nothing"]
        return sound(member, resource, change, *rest)

    monkeypatch.setitem(verbs._VERBS, Action.CREATE, broken)
    result = simulated_world.apply()
    told = {(o.cluster, o.key.kind): (o.status, o.message) for o in result.outcomes}
    assert len(told) == 8
    assert {status for (name, _), (status, _) in told.items() if name == "gcp"} == {"done"}
    assert told["aws", "Namespace"][0] == "done"
    status, message = told["aws", "Deployment"]
    assert status == "failed"
    assert "a defect of reconcile: KeyError at test_answers_without_sense.py" in message
    assert isinstance(result.defect, KeyError)
    assert not result.ok
    assert any(
        str(error).startswith("aws: this is a defect of reconcile") for error in result.errors
    )
    monkeypatch.undo()
    # Nothing is left that no inventory knows of.
    again = simulated_world.apply()
    assert again.ok
    assert {o.key.kind for o in again.outcomes} <= {"Deployment", "Service", "ConfigMap"}


TABLE = {
    "metadata": {"continue": ""},
    "columnDefinitions": [{"name": "Name"}, {"name": "Status"}],
    "rows": [{"cells": ["one", "Ready,SchedulingDisabled"]}, {"cells": ["two", "NotReady"]}],
}
NODES = {"items": [{"status": {"conditions": [{"type": "Ready", "status": "True"}]}}, {}]}


@pytest.mark.parametrize(
    ("answer", "path", "lie"),
    [
        (TABLE, ("rows", 0, "cells"), []),
        (TABLE, ("rows", 0, "cells"), 5),
        (TABLE, ("rows", 0), None),
        (TABLE, ("columnDefinitions",), [{"name": "Name"}, {"name": "Age"}]),
        (TABLE, ("columnDefinitions", 0), {}),
        (TABLE, ("metadata",), 5),
        (NODES, ("items",), 5),
        (NODES, ("items", 0), "node"),
        (NODES, ("items", 0, "status", "conditions"), 5),
    ],
)
def test_a_list_of_nodes_without_sense_is_no_sign_of_anything(
    sandbox: Sandbox, answer: Any, path: Path, lie: Any
) -> None:
    faults = sandbox.cluster("aws").faults
    kubeconfig = str(sandbox.kubeconfig)
    host = Connector.from_file(kubeconfig, "federation-system", host_context="aws").host()
    faults.answer(answer, path="/nodes")
    assert _nodes(host, 5) == Nodes(1, 2)
    faults.clear()
    faults.answer(lied(path, lie)(deepcopy(answer)), path="/nodes")
    assert _nodes(host, 5) is None
