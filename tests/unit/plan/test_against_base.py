"""Two plans of one fleet -> what the head does and the base does not."""

from __future__ import annotations

import dataclasses

import pytest
from msgspec.structs import replace

from reconciler.api.errors import Violation
from reconciler.api.objects import ObjectKey
from reconciler.api.reasons import Cause, Reason
from reconciler.failover.cluster_health import Absence
from reconciler.plan.compare_base import against_base
from reconciler.plan.guards import InvalidManifest, TooManyDeletions
from reconciler.plan.model import Action, Change, ClusterPlan, Plan
from tests.unit.report.changes import CATALOG, CONFLICT, CREATE, PRUNE, image, replicas
from tests.unit.report.fleets import failover, guarded, large_fleet, unwell, web_shop


def plan(*changes: Change, **about: object) -> Plan:
    cluster = ClusterPlan("aws", changes=changes, unchanged=3)
    return replace(Plan("shop", (cluster,), commit="c0ffee"), **about)


def shown(head: Plan, base: Plan) -> tuple[Change, ...]:
    return against_base(head, base, "main").clusters[0].changes


@pytest.mark.parametrize("make", [web_shop, failover, guarded, large_fleet, unwell])
def test_a_plan_against_itself_has_nothing_but_what_could_not_be_looked_at(make: object) -> None:
    whole: Plan = make()  # type: ignore[operator]
    found = against_base(whole, whole, "main")
    assert not any(cluster.changes for cluster in found.clusters if cluster.reachable)
    assert not found.violations
    assert not found.dns
    assert not found.moves
    assert found.base
    assert not found.base.avoided
    seen = [cluster for cluster in whole.clusters if cluster.reachable]
    without_ignored = found.base.left_out
    assert without_ignored.changes + without_ignored.refused == sum(len(c.changes) for c in seen)


def test_words_and_lines_do_not_make_a_change_another() -> None:
    reworded = dataclasses.replace(
        CATALOG, reasons=(Reason(Cause.DRIFT),), origin="b.yaml:9:1", resource_version="9"
    )
    assert shown(plan(reworded), plan(CATALOG)) == ()


@pytest.mark.parametrize(
    "other",
    [
        dataclasses.replace(CATALOG, request={"spec": 2}),
        dataclasses.replace(CATALOG, force=True),
        dataclasses.replace(CATALOG, take_over=("kubectl*",)),
        dataclasses.replace(CATALOG, uid="another"),
        dataclasses.replace(CATALOG, fields=(replicas(4, 6),)),
    ],
)
def test_whatever_would_be_done_otherwise_is_shown(other: Change) -> None:
    (change,) = shown(plan(other), plan(CATALOG))
    assert change.key == CATALOG.key


def test_another_action_is_shown_with_that_of_the_base() -> None:
    (change,) = shown(plan(dataclasses.replace(CREATE, action=Action.ADOPT)), plan(CREATE))
    assert change.reason.endswith("(main would create it)")
    assert change.fields == CREATE.fields


def test_fields_that_only_the_base_changes_are_named() -> None:
    base = dataclasses.replace(CATALOG, fields=(replicas(4, 5), image("catalog", "1", "2")))
    (change,) = shown(plan(dataclasses.replace(CATALOG, fields=(replicas(4, 5),))), plan(base))
    assert change.fields == ()
    assert change.reason == (
        "changed in Git (1 more as main; no longer, as main would: "
        "spec.template.spec.containers[name=catalog].image)"
    )


def test_a_refusal_that_both_have_is_counted_and_fails_nothing() -> None:
    found = against_base(plan(CONFLICT), plan(CONFLICT), "main")
    assert found.base
    assert (found.base.left_out.refused, found.has_failures) == (1, False)
    other = dataclasses.replace(CONFLICT, error="another reason")
    assert against_base(plan(other), plan(CONFLICT), "main").has_failures


def test_a_cluster_that_the_base_could_not_look_at_is_shown_whole_and_told() -> None:
    lost = replace(
        plan(), clusters=(ClusterPlan("aws", reachable=False, absence=Absence("no answer")),)
    )
    found = against_base(plan(CATALOG), lost, "main")
    assert found.clusters[0].changes == (CATALOG,)
    assert found.warnings == ("aws: nothing is left out there, as for main: no answer",)
    assert not against_base(lost, plan(CATALOG), "main").clusters[0].reachable


def test_changes_of_a_cluster_that_left_are_avoided() -> None:
    elsewhere = replace(plan(), clusters=(ClusterPlan("gcp", changes=(CATALOG, CONFLICT)),))
    found = against_base(plan(), elsewhere, "main")
    assert found.base
    assert [(one.cluster, one.change) for one in found.base.avoided] == [("gcp", CATALOG)]


def too_many(count: int) -> Violation:
    return TooManyDeletions("aws", count=count, limit=0)


def invalid(origin: str) -> Violation:
    key = ObjectKey("apps", "Deployment", "shop", "web")
    return InvalidManifest(key=key, origin=origin, error="no such field")


@pytest.mark.parametrize(
    ("head", "base", "to_blame"),
    [
        (plan(PRUNE, violations=(too_many(1),)), plan(), True),
        (
            plan(PRUNE, violations=(too_many(1),)),
            plan(PRUNE, CATALOG, violations=(too_many(1),)),
            False,
        ),
        (
            plan(PRUNE, violations=(too_many(1),)),
            plan(
                PRUNE,
                dataclasses.replace(CATALOG, action=Action.PRUNE),
                violations=(too_many(2),),
            ),
            False,
        ),
        (
            plan(
                PRUNE,
                dataclasses.replace(CATALOG, action=Action.PRUNE),
                violations=(too_many(2),),
            ),
            plan(PRUNE, violations=(too_many(1),)),
            True,
        ),
        (
            plan(violations=(invalid("web.yaml:9:1"),)),
            plan(violations=(invalid("web.yaml:1:1"),)),
            False,
        ),
    ],
    ids=["new", "the same", "fewer deletions", "more deletions", "moved down the file"],
)
def test_a_limit_counts_where_the_head_is_to_blame(head: Plan, base: Plan, to_blame: bool) -> None:
    found = against_base(head, base, "main")
    assert bool(found.violations) is to_blame
    assert any("main passes a limit as well" in text for text in found.warnings) is not to_blame


def test_replicas_and_records_that_the_base_changes_alike_are_left_out() -> None:
    record = {"zone": "a.", "name": "w.a.", "type": "A", "from": ["1"], "to": ["2"], "reason": "x"}
    head = replace(web_shop(), dns=(record, {**record, "to": ["3"]}))
    base = replace(web_shop(), dns=({**record, "reason": "y"}, {**record, "to": ["4"]}))
    row = head.workloads[0]
    more = replace(row, after={**row.after, "aws-eu": 99})
    found = against_base(replace(head, workloads=(more, *head.workloads[1:])), base, "main")
    assert [r for r in found.workloads if r.before != r.after] == [more]
    unplaced = {row.key for row in head.workloads if row.shortfall}
    assert {row.key for row in found.workloads} == {r.key for r in head.workloads} - unplaced
    assert found.dns == ({**record, "to": ["3"]},)
    assert found.base
    assert found.base.left_out.records == 1
    assert found.base.avoided_records == ({**record, "to": ["4"]},)
