"""A plan over several members: what one waits for in another, and what stops all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from kubesim.fleet import Sandbox
from reconciler.api.errors import LeaseLost
from reconciler.api.objects import Object, ObjectKey, key_of
from reconciler.apply.fleet import OtherClusters, apply_to_fleet
from reconciler.inventory.store import read_inventory
from reconciler.plan.dry_run import Checked
from reconciler.plan.member_plan import MemberWork
from reconciler.plan.model import Plan, RunResult, WorkloadRow
from reconciler.plan.requests import ApplyTarget
from tests.unit.apply.works import NAMESPACE, body, cluster, connected, creation, work_of

NAMES = ("aws", "gcp")


def settings(name: str) -> Object:
    return body("ConfigMap", name, "default", data={"colour": "red"})


RED = settings("red")
KEY = key_of(RED)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox([*NAMES, "far"]) as sandbox:
        yield sandbox


def work(sandbox: Sandbox, name: str, **more: Any) -> MemberWork:
    return work_of(connected(str(sandbox.kubeconfig), name), name, **more)


def carry_out(
    works: list[MemberWork], placed: Mapping[ObjectKey, frozenset[str]] | None = None, **more: Any
) -> RunResult:
    rows = more.pop("workloads", ())
    plan = Plan("shop", tuple(one.plan for one in works), commit="c", workloads=rows)
    return apply_to_fleet(plan, works, placed or {}, **more)


def told(result: RunResult) -> dict[tuple[str, str], tuple[str, str]]:
    return {(o.cluster, o.key.name): (o.status, o.message) for o in result.outcomes}


def there(sandbox: Sandbox, name: str, key: ObjectKey = KEY) -> bool:
    return sandbox.cluster(name).find(key.kind, key.name, key.namespace) is not None


@pytest.fixture
def red_in_aws(sandbox: Sandbox) -> None:
    result = carry_out([work(sandbox, "aws", create=(RED,))])
    assert result.ok


def test_each_member_gets_its_part_and_the_result_tells_all_in_order(sandbox: Sandbox) -> None:
    works = [work(sandbox, name, create=(RED, settings("blue"))) for name in reversed(NAMES)]
    result = carry_out(works)
    assert result.ok
    assert list(told(result)) == [("aws", "blue"), ("aws", "red"), ("gcp", "blue"), ("gcp", "red")]
    assert all(there(sandbox, name) for name in NAMES)
    assert set(result.requests) == set(NAMES)
    assert min(result.requests.values()) > 0


def test_what_moves_is_deleted_once_it_is_there(sandbox: Sandbox, red_in_aws: None) -> None:
    works = [work(sandbox, "aws", prune=(KEY,)), work(sandbox, "gcp", create=(RED,))]
    assert carry_out(works, {KEY: frozenset({"gcp"})}).ok
    assert not there(sandbox, "aws")
    assert there(sandbox, "gcp")


def test_what_moves_and_does_not_arrive_stays_where_it_was(
    sandbox: Sandbox, red_in_aws: None
) -> None:
    works = [work(sandbox, "aws", prune=(KEY,)), work(sandbox, "gcp", create=(RED,))]
    sandbox.cluster("gcp").faults.deny("not today", path="/configmaps/red")
    result = carry_out(works, {KEY: frozenset({"gcp"})})
    why = "pruning waits: it is wanted in gcp and is not in place there"
    assert told(result)["aws", "red"] == ("skipped", why)
    assert told(result)["gcp", "red"][0] == "failed"
    assert there(sandbox, "aws")
    assert not result.ok


def test_what_moves_to_a_cluster_that_is_lost_stays(sandbox: Sandbox, red_in_aws: None) -> None:
    works = [work(sandbox, "aws", prune=(KEY,)), work(sandbox, "gcp", create=(RED,))]
    sandbox.cluster("gcp").faults.unauthorized(writes_only=True)
    result = carry_out(works, {KEY: frozenset({"gcp"})})
    assert told(result)["aws", "red"][0] == "skipped"
    assert told(result)["gcp", "red"][0] == "skipped"
    assert [error.cluster for error in result.errors] == ["gcp"]
    assert there(sandbox, "aws")


@pytest.mark.parametrize("arrived", [False, True])
def test_what_moves_beyond_this_run_is_asked_for_there(
    sandbox: Sandbox, red_in_aws: None, arrived: bool
) -> None:
    if arrived:
        carry_out([work(sandbox, "far", create=(RED,))])
    far = OtherClusters([cluster("far")], lambda one: connected(str(sandbox.kubeconfig), one.name))
    works = [work(sandbox, "aws", prune=(KEY,))]
    result = carry_out(works, {KEY: frozenset({"far"})}, other_clusters=far)
    assert result.ok == arrived
    assert there(sandbox, "aws") != arrived


def test_what_moves_to_where_nobody_can_look_stays(sandbox: Sandbox, red_in_aws: None) -> None:
    result = carry_out([work(sandbox, "aws", prune=(KEY,))], {KEY: frozenset({"far"})})
    assert "it is wanted in far" in told(result)["aws", "red"][1]
    assert there(sandbox, "aws")


def test_what_is_wanted_nowhere_goes(sandbox: Sandbox, red_in_aws: None) -> None:
    assert carry_out([work(sandbox, "aws", prune=(KEY,))], {}).ok
    assert not there(sandbox, "aws")


def test_a_lost_lock_ends_the_run_in_every_member(sandbox: Sandbox) -> None:
    works = [work(sandbox, name, create=(RED,)) for name in NAMES]

    def fence() -> None:
        raise LeaseLost("another run holds the lock")

    for one in works:
        one.member.fence = fence
    result = carry_out(works)
    assert result.stopped == "another run holds the lock"
    assert told(result) == dict.fromkeys(
        ((name, "red") for name in NAMES), ("skipped", "not reached")
    )
    assert not any(there(sandbox, name) for name in NAMES)


def test_a_stop_is_told_only_where_something_was_left(sandbox: Sandbox) -> None:
    works = [work(sandbox, "aws", create=(RED,))]
    result = carry_out(works, stopped=lambda: "told to stop")
    assert result.stopped == "told to stop"
    assert told(result)["aws", "red"] == ("skipped", "told to stop")
    late = [work(sandbox, "gcp", create=(RED,))]
    asked = iter([""])
    done = carry_out(late, stopped=lambda: next(asked, "told to stop"))
    assert (done.stopped, done.ok) == ("", True)


def test_one_members_failure_stops_no_other(sandbox: Sandbox) -> None:
    works = [work(sandbox, name, create=(RED,)) for name in NAMES]
    sandbox.cluster("aws").stop()
    result = carry_out(works)
    assert told(result)["gcp", "red"] == ("done", "")
    assert told(result)["aws", "red"][0] == "skipped"
    assert [error.cluster for error in result.errors] == ["aws"]


# -- names that may still lead to what goes --------------------------------------------------------


def exposed(sandbox: Sandbox) -> list[MemberWork]:
    """A Service, and a ConfigMap beside it, both of which are to go."""
    service = body("Service", "web", "default", spec={"ports": [{"port": 80}]})
    assert carry_out([work(sandbox, "aws", create=(RED, service))]).ok
    return [work(sandbox, "aws", prune=(KEY, key_of(service)))]


def test_what_a_name_may_still_lead_to_waits_with_all_beside_it(sandbox: Sandbox) -> None:
    result = carry_out(exposed(sandbox), names=lambda: "web.example.org still leads there")
    words = "pruning waits: web.example.org still leads there"
    assert set(told(result).values()) == {("skipped", words)}
    assert len(result.outcomes) == 2
    assert there(sandbox, "aws")


def test_what_no_name_leads_to_any_more_goes(sandbox: Sandbox) -> None:
    result = carry_out(exposed(sandbox), names=lambda: "")
    assert [status for status, _ in told(result).values()] == ["done", "done"]


def test_names_are_not_asked_for_where_nothing_is_exposed(
    sandbox: Sandbox, red_in_aws: None
) -> None:
    asked = []
    result = carry_out([work(sandbox, "aws", prune=(KEY,))], names=lambda: asked.append(1) or "x")
    assert result.ok
    assert asked == []


# -- the plan that is told afterwards --------------------------------------------------------------


def test_the_plan_has_what_was_found_when_it_was_carried_out(sandbox: Sandbox) -> None:
    member = connected(str(sandbox.kubeconfig), "aws")
    inventory = read_inventory(member, "shop", NAMESPACE)
    planned, found = creation(RED, inventory, verified=False), creation(RED, inventory)
    target = ApplyTarget(None, KEY, None, None, {})  # type: ignore[arg-type]
    verdicts = {KEY: Checked(target, found)}
    result = carry_out([work(sandbox, "aws", more=(planned,), verdicts=verdicts)])
    assert result.ok
    assert result.checked == (("aws", found),)
    assert result.plan.clusters[0].changes == (found,)


def test_the_replicas_that_are_told_are_those_that_came(sandbox: Sandbox) -> None:
    row = WorkloadRow(KEY, {"aws": 1, "gcp": 1}, {"aws": 3, "gcp": 3})
    sandbox.cluster("gcp").faults.deny("not today", path="/configmaps/red")
    works = [work(sandbox, name, create=(RED,)) for name in NAMES]
    result = carry_out(works, workloads=(row,))
    assert result.plan.workloads[0].after == {"aws": 3, "gcp": 1}
