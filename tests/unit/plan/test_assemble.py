"""The parts of all members put together: what waits for others, what is wrong in Git, the order."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import permutations
from typing import Any, cast

import pytest

from reconciler.api.errors import Position, UsageError
from reconciler.api.moves import Degraded
from reconciler.api.notices import Notice, NoticeCause, notice
from reconciler.api.objects import Object, ObjectKey
from reconciler.cluster.client import Member
from reconciler.cluster.discovery import Discovery, GroupVersionKind
from reconciler.failover.cluster_health import Absence
from reconciler.federation.model import (
    Cluster,
    DesiredState,
    Federation,
    GuardRules,
    PruneRules,
)
from reconciler.inventory.observe import Observation
from reconciler.inventory.records import AppliedRecord
from reconciler.inventory.store import Inventory
from reconciler.plan.assemble import HINT, assemble, hold_prunes_of_moved, unreachable_plan
from reconciler.plan.guards import InvalidManifest, TooManyDeletions
from reconciler.plan.member_plan import MemberWork
from reconciler.plan.model import Action, Change, ClusterPlan, Plan, WorkloadRow
from reconciler.plan.prune import DeletionRules

HERE = Position("federation.yaml", 1, 1)
WEB = ObjectKey("apps", "Deployment", "shop", "web")
RED = ObjectKey("", "ConfigMap", "shop", "red")
SHOP = ObjectKey("", "Namespace", "", "shop")
OTHER = ObjectKey("", "Namespace", "", "other")
AWS, GCP, AZURE = "aws", "gcp", "azure"
MOVES = (Degraded(GCP, (WEB,)), Degraded(AWS, (WEB,)))
ONLY_OTHERS = "it is wanted in other clusters as well, and "


def cluster(name: str) -> Cluster:
    return Cluster(name, HERE, provider=name, region=f"{name}-1", zone=f"{name}-1a")


def change(action: Action, key: ObjectKey = WEB, **more: Any) -> Change:
    return Change(action, key, "apps/v1" if key.group else "v1", **more)


def work(name: str, *changes: Change, unserved: bool = False, **more: Any) -> MemberWork:
    """A member's part; ``unserved``: it has no Deployments."""
    kinds = frozenset({GroupVersionKind("apps/v1", "Deployment")}) if unserved else frozenset()
    inventory = Inventory("shop", "federation-system")
    return MemberWork(
        member=cast(Member, None),  # Whoever puts parts together asks no member.
        cluster=cluster(name),
        observation=Observation(inventory, Discovery({}, complete=True), unserved=kinds),
        plan=ClusterPlan(name, changes=changes),
        resources={},
        rules=DeletionRules(PruneRules(), frozenset()),
        **more,
    )


def away(name: str) -> ClusterPlan:
    return unreachable_plan(cluster(name), Absence("no answer"))


def state(*names: str, **more: Any) -> DesiredState:
    federation = Federation("shop", HERE, **more)
    return DesiredState(federation, tuple(map(cluster, names)), ())


def assembled(*works: MemberWork, **more: Any) -> Plan:
    names = [one.cluster.name for one in works]
    arguments: dict[str, Any] = {"unreachable": (), "rows": (), "placed": {}, **more}
    return assemble(arguments.pop("state", state(*names)), works, **arguments)


# -- members that cannot be looked at --------------------------------------------------------------


def test_of_a_member_that_cannot_be_looked_at_only_its_place_and_the_cause_are_known() -> None:
    found = unreachable_plan(cluster(AWS), Absence("no answer", down=True))
    assert (found.name, found.provider, found.region, found.zone) == (AWS, AWS, "aws-1", "aws-1a")
    assert found.problem == "down: no answer"
    assert not found.reachable
    assert (found.changes, found.unchanged, found.additions) == ((), 0, ())


# -- prunes that wait ------------------------------------------------------------------------------


def noted(*subjects: str) -> tuple[Notice, ...]:
    return tuple(notice(NoticeCause.SELECTS_NOTHING, subject=one) for one in subjects)


def held(
    *works: MemberWork, unreachable: tuple[str, ...] = (), placed: Mapping[ObjectKey, Any]
) -> tuple[dict[str, list[ObjectKey]], list[str]]:
    """What each member still prunes, and what is told of the rest."""
    found = hold_prunes_of_moved(
        works, [away(name) for name in unreachable], {k: frozenset(v) for k, v in placed.items()}
    )
    prunes = {
        one.cluster.name: [c.key for c in one.plan.changes if c.action is Action.PRUNE]
        for one in found
    }
    return prunes, [str(told) for one in found for told in one.notices]


def test_what_is_wanted_where_nobody_can_look_is_not_pruned_elsewhere() -> None:
    moved = work(AWS, change(Action.PRUNE))
    prunes, told = held(moved, unreachable=tuple("fedcba"), placed={WEB: set("abcdef")})
    assert prunes == {AWS: []}
    assert told == [
        f"aws: pruning waits: {WEB}: {ONLY_OTHERS}a, b, c, d, e, f cannot be looked at",
    ]


@pytest.mark.parametrize(
    ("action", "told"),
    [(Action.FAILED, "it is refused in gcp"), (Action.TERMINATING, "it is being deleted in gcp")],
)
def test_what_does_not_get_where_it_is_wanted_is_not_pruned_elsewhere(
    action: Action, told: str
) -> None:
    works = [work(AWS, change(Action.PRUNE)), work(GCP, change(action))]
    assert held(*works, placed={WEB: {GCP}}) == (
        {AWS: [], GCP: []},
        [f"aws: pruning waits: {WEB}: {ONLY_OTHERS}{told}"],
    )


def test_every_cause_of_a_wait_is_named() -> None:
    works = [
        work(AWS, change(Action.PRUNE)),
        work("b", change(Action.FAILED)),
        work("a", change(Action.FAILED)),
        work("c", change(Action.TERMINATING)),
    ]
    _, told = held(*works, unreachable=(GCP,), placed={WEB: {"a", "b", "c", GCP}})
    causes = "gcp cannot be looked at and it is refused in a, b and it is being deleted in c"
    assert told == [f"aws: pruning waits: {WEB}: {ONLY_OTHERS}{causes}"]


@pytest.mark.parametrize("action", sorted({*Action} - {Action.FAILED, Action.TERMINATING}))
def test_what_gets_where_it_is_wanted_is_pruned_elsewhere(action: Action) -> None:
    works = [work(AWS, change(Action.PRUNE)), work(GCP, change(action))]
    prunes, told = held(*works, placed={WEB: {GCP}})
    assert prunes[AWS] == [WEB]
    assert told == []


@pytest.mark.parametrize("placed", [{}, {WEB: {AZURE}}, {RED: {GCP}}], ids=str)
def test_a_cluster_that_the_object_is_not_wanted_in_holds_nothing(placed: Any) -> None:
    works = [work(AWS, change(Action.PRUNE)), work(AZURE, change(Action.FAILED, RED))]
    prunes, told = held(*works, unreachable=(GCP,), placed=placed)
    assert prunes[AWS] == [WEB]
    assert told == []


def test_a_refusal_where_the_object_is_no_longer_wanted_holds_nothing() -> None:
    works = [work(AWS, change(Action.PRUNE)), work(GCP, change(Action.FAILED))]
    prunes, told = held(*works, placed={WEB: {AZURE}})
    assert prunes[AWS] == [WEB]
    assert told == []


def test_only_prunes_wait() -> None:
    others = [a for a in Action if a is not Action.PRUNE]
    moved = work(AWS, *map(change, others), notices=noted("before"))
    found = hold_prunes_of_moved([moved], [away(GCP)], {WEB: frozenset({GCP})})
    assert len(others) > 5
    assert found == [moved]


def test_a_namespace_stays_with_what_stays_in_it_and_another_goes() -> None:
    prunes = [change(Action.PRUNE, key, live={}) for key in (WEB, RED, SHOP, OTHER)]
    left, told = held(work(AWS, *prunes), unreachable=(GCP,), placed={WEB: {GCP}})
    assert left == {AWS: [RED, OTHER]}
    assert told == [
        f"aws: pruning waits: {WEB}: {ONLY_OTHERS}gcp cannot be looked at",
        f"aws: pruning waits: {SHOP}: it holds objects that stay: {WEB}",
    ]


def test_a_definition_stays_with_the_custom_resources_that_stay() -> None:
    definition = ObjectKey("apiextensions.k8s.io", "CustomResourceDefinition", "", "x.example.org")
    spec: Object = {"spec": {"group": "example.org", "names": {"kind": "X"}}}
    one = ObjectKey("example.org", "X", "shop", "one")
    prunes = [change(Action.PRUNE, one), change(Action.PRUNE, definition, live=spec)]
    left, told = held(work(AWS, *prunes), unreachable=(GCP,), placed={one: {GCP}})
    assert left == {AWS: []}
    assert len(told) == 2


def test_a_holder_that_waits_itself_waits_for_its_own_cause() -> None:
    prunes = [change(Action.PRUNE, key, live={}) for key in (WEB, SHOP)]
    wanted = {WEB: {GCP}, SHOP: {GCP}}
    _, told = held(work(AWS, *prunes), unreachable=(GCP,), placed=wanted)
    assert [ONLY_OTHERS in text for text in told] == [True, True]


def test_what_only_looks_like_a_definition_holds_nothing() -> None:
    spec: Object = {"spec": {"group": "apps", "names": {"kind": "Deployment"}}}
    prunes = [change(Action.PRUNE), change(Action.PRUNE, RED, live=spec)]
    left, _ = held(work(AWS, *prunes), unreachable=(GCP,), placed={WEB: {GCP}})
    assert left == {AWS: [RED]}


def test_of_one_object_only_the_prune_waits() -> None:
    both = work(AWS, change(Action.PRUNE), change(Action.CREATE))
    [found] = hold_prunes_of_moved([both], [away(GCP)], {WEB: frozenset({GCP})})
    assert [one.action for one in found.plan.changes] == [Action.CREATE]


def test_what_waits_in_one_cluster_waits_in_no_other() -> None:
    """The prune of an object wanted there alone stays; the other's wait does not touch it."""
    works = [work(AWS, change(Action.PRUNE, WEB)), work(AZURE, change(Action.PRUNE, SHOP, live={}))]
    left, _ = held(*works, unreachable=(GCP,), placed={WEB: {GCP}})
    assert left == {AWS: [], AZURE: [SHOP]}


def test_what_was_told_before_stays_told() -> None:
    moved = work(AWS, change(Action.PRUNE), notices=noted("before"))
    _, told = held(moved, unreachable=(GCP,), placed={WEB: {GCP}})
    assert told[0] == "before selects no manifest"
    assert len(told) == 2


# -- the plan --------------------------------------------------------------------------------------


def test_the_same_parts_in_any_order_make_the_same_plan() -> None:
    many = [TooManyDeletions(name, count=3, limit=1) for name in (AWS, GCP)]
    works = [
        work(AWS, notices=noted("b", "a"), violations=(many[0],)),
        work(GCP, notices=noted("a", "c"), violations=(many[1],)),
        work(AZURE),
    ]
    rows = [WorkloadRow(key, {}, {AWS: 1}) for key in (WEB, RED)]
    plans = [
        assembled(*order, rows=rows, notices=noted("d"), unreachable=[away("b")])
        for order in permutations(works)
    ]
    first = plans[0]
    assert plans == [first] * 6
    assert [one.name for one in first.clusters] == [AWS, AZURE, "b", GCP]
    assert first.notices == noted("a", "b", "c", "d")
    assert [row.key for row in first.workloads] == [RED, WEB]
    assert first.violations == tuple(many)
    assert first.violation_hint == HINT


def test_what_is_given_is_in_the_plan_as_it_is() -> None:
    found = assembled(work(AWS), commit="abc", moves=MOVES)
    assert (found.federation, found.commit, found.moves) == ("shop", "abc", MOVES)
    assert (found.violations, found.violation_hint, found.warnings) == ((), "", ())


def test_what_the_servers_warn_of_is_told_once_with_its_clusters() -> None:
    server_warnings = frozenset({(WEB, "v1 is deprecated")})
    found = assembled(
        work(GCP, server_warnings=server_warnings),
        work(AWS, server_warnings=server_warnings),
        work(AZURE),
    )
    assert found.warnings == (f"aws, gcp: {WEB}: the API server warns: v1 is deprecated",)


def test_only_an_outage_that_is_simulated_is_shown_as_imagined() -> None:
    found = assembled(
        work(AZURE),
        state=state(AWS, GCP, AZURE),
        unreachable=[away(AWS), away(GCP)],
        simulated_outages=("region=aws-1",),
    )
    assert {one.name: one.simulated for one in found.clusters} == {
        AWS: True,
        GCP: False,
        AZURE: False,
    }
    assert found.simulated_outages == ("region=aws-1",)


def test_an_outage_that_hits_no_cluster_is_refused() -> None:
    with pytest.raises(UsageError, match="no cluster has that region"):
        assembled(work(AWS), simulated_outages=("region=mars",))


# -- mistakes in Git -------------------------------------------------------------------------------

BAD = change(Action.FAILED, error="spec.x: unknown", origin="web.yaml:3:1")


def refused(plan: Plan) -> list[ObjectKey]:
    return [one.key for one in plan.violations if isinstance(one, InvalidManifest)]


def malformed(name: str) -> MemberWork:
    return work(name, BAD, invalid=(BAD,))


def unservable(name: str, **more: Any) -> MemberWork:
    return work(name, BAD, unservable=(BAD,), **more)


def test_a_manifest_that_every_cluster_refuses_stops_the_run_and_is_told_once() -> None:
    found = assembled(malformed(AWS), malformed(GCP))
    assert found.violations == (
        InvalidManifest(key=WEB, origin="web.yaml:3:1", error="spec.x: unknown"),
    )
    assert "spec.guards.onInvalid: Skip" in found.violation_hint


def test_other_violations_keep_their_hint() -> None:
    many = TooManyDeletions(AWS, count=3, limit=1)
    found = assembled(work(AWS, BAD, invalid=(BAD,), violations=(many,)))
    assert set(found.violations) == {
        many,
        InvalidManifest(key=WEB, origin=BAD.origin, error=BAD.error),
    }
    assert found.violation_hint == HINT


@pytest.mark.parametrize("wrong", [malformed, unservable])
def test_where_invalid_manifests_are_skipped_they_stop_nothing(wrong: Any) -> None:
    skip = state(AWS, guards=GuardRules(on_invalid="Skip"))
    found = assembled(wrong(AWS), state=skip)
    assert (found.violations, found.violation_hint) == ((), "")
    assert refused(assembled(wrong(AWS))) == [WEB]


@pytest.mark.parametrize("wrong", [malformed, unservable])
@pytest.mark.parametrize(
    "taking",
    [
        pytest.param({"rows": {WEB: AppliedRecord()}}, id="has it as wanted"),
        pytest.param({"changes": [change(Action.UPDATE)]}, id="took it in a dry run"),
    ],
)
def test_what_one_cluster_takes_is_no_mistake_in_git(wrong: Any, taking: dict[str, Any]) -> None:
    changes = taking.get("changes", ())
    rows = taking.get("rows", {})
    assert refused(assembled(wrong(AWS), work(GCP, *changes, rows=rows))) == []


@pytest.mark.parametrize("wrong", [malformed, unservable])
def test_who_was_not_asked_has_not_taken_it(wrong: Any) -> None:
    unasked = work(GCP, change(Action.CREATE, verified=False))
    assert refused(assembled(wrong(AWS), unasked)) == [WEB]


def test_what_is_wanted_where_this_run_does_not_look_is_no_mistake_yet() -> None:
    assert refused(assembled(malformed(AWS), placed={WEB: frozenset({AWS, GCP})})) == []
    assert refused(assembled(malformed(AWS), placed={WEB: frozenset({AWS})})) == [WEB]
    also = assembled(malformed(AWS), unreachable=[away(GCP)], placed={WEB: frozenset({AWS, GCP})})
    assert refused(also) == [WEB], "it was planned for, and only could not be looked at"


def test_a_kind_that_no_cluster_has_is_a_mistake_in_git() -> None:
    for unserved in (True, False):
        found = assembled(unservable(AWS, unserved=unserved), unservable(GCP, unserved=unserved))
        assert refused(found) == [WEB]


def test_a_kind_that_one_cluster_only_lacks_is_that_clusters_trouble() -> None:
    assert refused(assembled(unservable(AWS, unserved=True), work(GCP))) == []
    assert refused(assembled(unservable(AWS, unserved=True), unservable(GCP))) == []


def test_nobody_knows_of_a_kind_while_a_cluster_was_not_asked() -> None:
    whole = state(AWS, GCP)
    assert refused(assembled(unservable(AWS), state=whole)) == []
    assert refused(assembled(unservable(AWS), state=whole, unreachable=[away(GCP)])) == []
    assert refused(assembled(unservable(AWS), work(GCP), state=whole)) == [WEB]
    assert refused(assembled(work(AWS), unservable(GCP), state=whole)) == [WEB]
