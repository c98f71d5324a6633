"""One member's run: the inventory ahead of the objects, waves, what waits for what, and why."""

from __future__ import annotations

from typing import Any

import pytest

from kubesim.cluster import SimulatedCluster
from kubesim.fleet import Sandbox
from reconciler.api.errors import ClusterError, LeaseLost
from reconciler.api.objects import Object, ObjectKey, key_of
from reconciler.api.reasons import Cause, Reason
from reconciler.apply.cluster import MemberRun
from reconciler.cluster.client import Member
from reconciler.inventory.records import AppliedRecord
from reconciler.inventory.store import SECRETS, Inventory, read_inventory, write_inventory
from reconciler.plan.dry_run import Checked
from reconciler.plan.model import Action, Change, FieldChange, Outcome
from reconciler.plan.prune import CRD
from reconciler.plan.requests import ApplyTarget
from tests.definitions import definition
from tests.unit.apply.works import NAMESPACE, body, creation, seen, work_of

SHOP = body("Namespace", "shop", "")
RED = body("ConfigMap", "red", data={"colour": "red"})
BLUE = body("ConfigMap", "blue", data={"colour": "blue"})
INVENTORY = "/secrets/federation-shop"


@pytest.fixture
def cluster(sandbox: Sandbox) -> SimulatedCluster:
    return sandbox.cluster("host")


@pytest.fixture
def member(simulated_host: Member) -> Member:
    return simulated_host


def run(work: Any, wait_for: dict[ObjectKey, str] | None = None, **more: Any) -> MemberRun:
    """All phases of one member."""
    one = MemberRun(work, "commit-1", **more)
    one.apply()
    one.prune(wait_for or {})
    one.finish()
    return one


def told(one: MemberRun) -> dict[str, tuple[str, str]]:
    """Name -> status and message."""
    return {o.key.name: (o.status, o.message) for o in one.outcomes}


def inventory(member: Member) -> Inventory:
    return read_inventory(member, "shop", NAMESPACE)


def writes(cluster: SimulatedCluster, since: int = 0) -> list[str]:
    return [
        f"{r.method} {r.path.rpartition('/')[2]}"
        for r in list(cluster.requests)[since:]
        if r.method != "GET" and "dryRun" not in r.query
    ]


def there(cluster: SimulatedCluster, key: ObjectKey) -> bool:
    return cluster.find(str(key.group_kind), key.name, key.namespace) is not None


@pytest.fixture
def shop(member: Member) -> None:
    """The namespace and both ConfigMaps, applied by an earlier run."""
    one = run(work_of(member, "host", create=(SHOP, RED, BLUE)))
    assert {status for status, _ in told(one).values()} == {"done"}


# -- the inventory ---------------------------------------------------------------------------------


def test_the_inventory_names_every_object_before_the_first_is_written(
    member: Member, cluster: SimulatedCluster
) -> None:
    cluster.faults.deny("not today", path="/configmaps/|/namespaces/shop")
    one = MemberRun(work_of(member, "host", create=(SHOP, RED)), "commit-1")
    one.apply()
    assert {status for status, _ in told(one).values()} == {"failed", "skipped"}
    found = inventory(member)
    assert found.rows == {key_of(obj): AppliedRecord(api_version="v1") for obj in (SHOP, RED)}
    assert {str(kind) for kind in found.group_kinds} >= {"Namespace", "ConfigMap"}


def test_the_inventory_is_written_first_and_last(member: Member, cluster: SimulatedCluster) -> None:
    before = len(cluster.requests)
    run(work_of(member, "host", create=(SHOP, RED)))
    sent = writes(cluster, before)
    assert sent[0] == "POST secrets"
    assert sent[1:3] == ["PATCH shop", "PATCH red"]
    assert sent[3:] == ["PUT federation-shop"]
    found = inventory(member)
    assert found.commit == "commit-1"
    assert set(found.rows) == {key_of(SHOP), key_of(RED)}
    assert all(row.confirmed for row in found.rows.values())


def test_where_the_inventory_cannot_be_written_nothing_is(
    member: Member, cluster: SimulatedCluster
) -> None:
    cluster.faults.forbid(method="POST", path="/secrets")
    one = run(work_of(member, "host", create=(SHOP, RED)))
    assert "the inventory could not be written" in one.lost
    assert set(told(one)) == {"shop", "red"}
    assert {status for status, _ in told(one).values()} == {"skipped"}
    assert not there(cluster, key_of(SHOP))


def test_who_has_lost_the_lock_before_the_inventory_is_written_writes_nothing(
    member: Member, cluster: SimulatedCluster
) -> None:
    work = work_of(member, "host", create=(SHOP, RED))
    before = len(cluster.requests)

    def fence() -> None:
        raise LeaseLost("another run holds the lock")

    member.fence = fence
    one = MemberRun(work, "commit-1")
    with pytest.raises(LeaseLost):
        one.apply()
    assert writes(cluster, before) == []


def test_what_failed_stays_in_the_inventory_and_what_is_gone_leaves_it(
    member: Member, cluster: SimulatedCluster, shop: None
) -> None:
    cluster.faults.deny("not today", method="DELETE", path="/configmaps/blue")
    one = run(work_of(member, "host", prune=(key_of(RED), key_of(BLUE))))
    assert told(one)["red"][0] == "done"
    assert told(one)["blue"][0] == "failed"
    assert set(inventory(member).rows) == {key_of(SHOP), key_of(BLUE)}
    assert there(cluster, key_of(BLUE))


def test_a_run_that_has_nothing_to_do_writes_nothing(
    member: Member, cluster: SimulatedCluster, shop: None
) -> None:
    before = len(cluster.requests)
    one = run(work_of(member, "host"))
    assert one.outcomes == []
    assert writes(cluster, before) == []


def test_a_part_of_the_inventory_that_another_run_wrote_is_not_deleted(host: Member) -> None:
    inventory = read_inventory(host, "shop", "federation-system")
    same = {"ran": {}, "group_kinds": (), "resources": {}, "new_fields": {}, "commit": ""}
    inventory = write_inventory(host, inventory, rows={}, **same)
    part = ObjectKey("", "Secret", "federation-system", "federation-shop-1")
    secret = {"apiVersion": "v1", "kind": "Secret", "type": "federation.reconciler.dev/inventory"}
    metadata = {"name": part.name, "labels": {"federation.reconciler.dev/inventory": "shop"}}
    host.create(SECRETS, {**secret, "metadata": metadata}, namespace=part.namespace)
    inventory = read_inventory(host, "shop", "federation-system")
    other = {**secret, "metadata": {"name": part.name, "annotations": {"example.org/run": "2"}}}
    host.apply(SECRETS, part, other, manager="somebody")
    with pytest.raises(ClusterError, match="another run changed the inventory"):
        write_inventory(host, inventory, rows={}, **same)
    assert host.get(SECRETS, part) is not None
    write_inventory(host, read_inventory(host, "shop", "federation-system"), rows={}, **same)
    assert host.get(SECRETS, part) is None


# -- waves -----------------------------------------------------------------------------------------


def test_what_lies_in_a_namespace_that_failed_waits_and_the_rest_does_not(
    member: Member, cluster: SimulatedCluster
) -> None:
    cluster.faults.deny("not today", path="/namespaces/shop\\?")
    other = body("ConfigMap", "other", "default")
    one = run(work_of(member, "host", create=(SHOP, RED, other)))
    assert told(one)["shop"][0] == "failed"
    assert told(one)["red"] == ("skipped", "its Namespace failed")
    assert told(one)["other"] == ("done", "")


CORNER = body("Shop", "corner", "default")


def test_custom_resources_wait_until_their_definition_is_served(
    member: Member, cluster: SimulatedCluster
) -> None:
    one = run(work_of(member, "host", create=(definition("Shop", "example.org"), CORNER)))
    assert told(one) == {"shops.example.org": ("done", ""), "corner": ("done", "")}
    assert there(cluster, key_of(CORNER))
    assert inventory(member).rows[key_of(CORNER)].confirmed


def test_custom_resources_of_a_definition_that_failed_are_not_tried(
    member: Member, cluster: SimulatedCluster
) -> None:
    cluster.faults.deny("not today", path="/customresourcedefinitions/")
    before = len(cluster.requests)
    one = run(
        work_of(
            member,
            "host",
            create=(
                definition("Shop", "example.org"),
                CORNER,
                RED | {"metadata": {"name": "red", "namespace": "default"}},
            ),
        )
    )
    assert told(one)["corner"] == ("skipped", "its CustomResourceDefinition failed")
    assert told(one)["red"][0] == "done"
    assert not [path for path in writes(cluster, before) if "corner" in path]


def test_a_kind_that_the_cluster_does_not_serve_fails_alone(
    member: Member, cluster: SimulatedCluster
) -> None:
    one = run(work_of(member, "host", create=(SHOP, CORNER)))
    assert told(one)["corner"] == ("failed", "the cluster does not serve Shop in example.org/v1")
    assert told(one)["shop"][0] == "done"


def test_a_recreation_waits_where_anything_failed(
    member: Member, cluster: SimulatedCluster, shop: None
) -> None:
    live = cluster.get("ConfigMap", "red", "shop")
    recreation = Change(
        Action.RECREATE,
        key_of(RED),
        "v1",
        request=creation(RED, inventory(member)).request,
        **seen(live),
    )
    cluster.faults.deny("not today", path="/configmaps/new")
    new = body("ConfigMap", "new")
    one = run(work_of(member, "host", create=(new,), more=(recreation,)))
    assert told(one)["red"] == (
        "skipped",
        "recreation waits: ConfigMap shop/new could not be applied first",
    )
    assert cluster.get("ConfigMap", "red", "shop")["metadata"]["uid"] == live["metadata"]["uid"]
    cluster.faults.clear()
    again = run(work_of(member, "host", create=(new,), more=(recreation,)))
    assert told(again)["red"][0] == "done"
    assert cluster.get("ConfigMap", "red", "shop")["metadata"]["uid"] != live["metadata"]["uid"]


# -- stops -----------------------------------------------------------------------------------------


def test_after_a_stop_no_further_object_is_begun(member: Member, cluster: SimulatedCluster) -> None:
    count = 0

    def written() -> None:
        nonlocal count
        count += 1

    one = run(
        work_of(member, "host", create=(SHOP, RED)),
        stopped=lambda: "told to stop" if count else "",
        written=written,
    )
    assert told(one) == {"shop": ("done", ""), "red": ("skipped", "told to stop")}
    assert inventory(member).rows[key_of(RED)] == AppliedRecord(api_version="v1")


def test_one_lost_connection_spares_the_rest(member: Member, cluster: SimulatedCluster) -> None:
    maps = tuple(body("ConfigMap", f"m{n:02}", "default") for n in range(40))
    work = work_of(member, "host", create=(SHOP, *maps))
    cluster.faults.unauthorized(path="/namespaces/shop", writes_only=True)
    before = len(cluster.requests)
    one = run(work)
    assert "the credential was refused" in one.lost
    assert told(one)["shop"][0] == "failed"
    skipped = [name for name, (status, _) in told(one).items() if status == "skipped"]
    assert len(skipped) == 40
    assert len(writes(cluster, before)) == 2


def test_who_loses_the_lock_meanwhile_skips_the_rest(
    member: Member, cluster: SimulatedCluster
) -> None:
    work = work_of(member, "host", create=(SHOP, RED))
    count = 0

    def fence() -> None:
        nonlocal count
        count += 1
        if count > 2:
            raise LeaseLost("another run holds the lock")

    member.fence = fence
    one = MemberRun(work, "commit-1")
    one.apply()
    assert told(one) == {"shop": ("done", ""), "red": ("skipped", "another run holds the lock")}
    assert not there(cluster, key_of(RED))
    with pytest.raises(LeaseLost):
        one.finish()


# -- prunes ----------------------------------------------------------------------------------------


def test_prunes_wait_where_something_could_not_be_applied(
    member: Member, cluster: SimulatedCluster, shop: None
) -> None:
    cluster.faults.deny("not today", path="/configmaps/new")
    one = run(work_of(member, "host", create=(body("ConfigMap", "new"),), prune=(key_of(RED),)))
    assert told(one)["red"] == (
        "skipped",
        "pruning waits: 1 objects could not be applied first",
    )
    assert there(cluster, key_of(RED))
    assert key_of(RED) in inventory(member).rows


def test_what_moved_and_is_not_in_place_elsewhere_waits(
    member: Member, cluster: SimulatedCluster, shop: None
) -> None:
    why = "pruning waits: it is wanted in gcp and is not in place there"
    keys = (key_of(RED), key_of(BLUE))
    one = run(work_of(member, "host", prune=keys), {key_of(RED): why})
    assert told(one) == {"red": ("skipped", why), "blue": ("done", "")}
    assert there(cluster, key_of(RED))


def test_a_namespace_goes_after_what_is_in_it(
    member: Member, cluster: SimulatedCluster, shop: None
) -> None:
    before = len(cluster.requests)
    one = run(work_of(member, "host", prune=tuple(key_of(o) for o in (SHOP, RED, BLUE))))
    assert {status for status, _ in told(one).values()} == {"done"}
    deleted = [w for w in writes(cluster, before) if w.startswith("DELETE")]
    assert sorted(deleted[:2]) == ["DELETE blue", "DELETE red"]
    assert deleted[2:] == ["DELETE shop"]


def test_a_namespace_that_holds_what_stays_waits(
    member: Member, cluster: SimulatedCluster, shop: None
) -> None:
    keys = tuple(key_of(o) for o in (SHOP, RED, BLUE))
    one = run(work_of(member, "host", prune=keys), {key_of(RED): "pruning waits: it moves"})
    assert told(one)["blue"][0] == "done"
    status, message = told(one)["shop"]
    assert status == "skipped"
    assert message == "pruning waits: it holds objects that stay: ConfigMap shop/red"
    assert there(cluster, key_of(SHOP))


def test_a_stranger_that_came_since_the_plan_keeps_its_namespace(
    member: Member, cluster: SimulatedCluster, shop: None
) -> None:
    work = work_of(member, "host", prune=tuple(key_of(o) for o in (SHOP, RED, BLUE)))
    cluster.create(body("ConfigMap", "theirs"))
    one = run(work)
    assert told(one)["shop"] == (
        "skipped",
        "pruning waits: it holds objects that are not ours: ConfigMap shop/theirs",
    )
    assert there(cluster, key_of(body("ConfigMap", "theirs")))


def test_a_namespace_into_which_nobody_can_look_stays(
    member: Member, cluster: SimulatedCluster, shop: None
) -> None:
    work = work_of(member, "host", prune=tuple(key_of(o) for o in (SHOP, RED, BLUE)))
    cluster.faults.error(418, message="teapot", path="/namespaces/shop/secrets")
    one = run(work)
    status, message = told(one)["shop"]
    assert (status, "what cannot be looked at" in message) == ("skipped", True)
    assert there(cluster, key_of(SHOP))


def test_what_somebody_protected_since_the_plan_is_not_pruned(
    member: Member, cluster: SimulatedCluster, shop: None
) -> None:
    work = work_of(member, "host", prune=(key_of(RED),))
    protect = {"metadata": {"annotations": {"federation.reconciler.dev/protect": "true"}}}
    cluster.edit("ConfigMap", "red", protect, namespace="shop")
    one = run(work)
    status, message = told(one)["red"]
    assert (status, "it is protected" in message) == ("failed", True)
    assert there(cluster, key_of(RED))


# -- what follows what is gone ---------------------------------------------------------------------


def test_a_successor_is_made_when_what_it_follows_is_gone(
    member: Member, cluster: SimulatedCluster, shop: None
) -> None:
    after = creation(body("ConfigMap", "new"), inventory(member), after=(key_of(RED),))
    before = len(cluster.requests)
    one = run(work_of(member, "host", prune=(key_of(RED),), more=(after,)))
    assert told(one) == {"red": ("done", ""), "new": ("done", "")}
    sent = writes(cluster, before)
    assert sent.index("DELETE red") < sent.index("PATCH new")


def test_a_successor_of_what_stays_waits(
    member: Member, cluster: SimulatedCluster, shop: None
) -> None:
    first = creation(body("ConfigMap", "first"), inventory(member), after=(key_of(RED),))
    second = creation(body("ConfigMap", "second"), inventory(member), after=(first.key,))
    work = work_of(member, "host", prune=(key_of(RED),), more=(second, first))
    one = run(work, {key_of(RED): "pruning waits: it moves"})
    assert told(one)["first"] == ("skipped", "it waits: ConfigMap shop/red is still there")
    assert told(one)["second"] == ("skipped", "it waits: ConfigMap shop/first is still there")
    assert not there(cluster, first.key)


# -- what could not be checked ---------------------------------------------------------------------


def unchecked(member: Member, verdict: Change | None, record: AppliedRecord | None = None) -> Any:
    planned = creation(RED, inventory(member), verified=False)
    target = ApplyTarget(None, planned.key, None, None, {})  # type: ignore[arg-type]
    verdicts = {planned.key: Checked(target, verdict, record)}
    return work_of(member, "host", create=(SHOP,), more=(planned,), verdicts=verdicts)


def test_what_turns_out_as_planned_is_made(member: Member, cluster: SimulatedCluster) -> None:
    now = creation(RED, inventory(member))
    one = run(unchecked(member, now))
    assert told(one)["red"] == ("done", "")
    assert one.checked == {now.key: now}
    assert there(cluster, now.key)


def test_what_turns_out_done_is_remembered_and_not_written(
    member: Member, cluster: SimulatedCluster
) -> None:
    record = AppliedRecord("r", "e", "v", "v1", "uid")
    before = len(cluster.requests)
    one = run(unchecked(member, None, record))
    assert told(one)["red"] == ("done", "is as Git says already")
    assert "PATCH red" not in writes(cluster, before)
    assert inventory(member).rows[key_of(RED)] == record


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        ({"action": Action.FAILED, "error": "refused"}, "refused"),
        (
            {"action": Action.UPDATE, "reasons": (Reason(Cause.DRIFT),)},
            "it would be to update now, which was not planned: drift; run again",
        ),
        (
            {
                "action": Action.CREATE,
                "verified": False,
                "reasons": (Reason(Cause.NOTE, detail="no namespace"),),
            },
            "it could not be checked: no namespace",
        ),
    ],
)
def test_what_turns_out_otherwise_is_not_made(
    member: Member, cluster: SimulatedCluster, verdict: dict[str, Any], words: str
) -> None:
    one = run(unchecked(member, Change(key=key_of(RED), api_version="v1", **verdict)))
    assert told(one)["red"] == ("failed", words)
    assert not there(cluster, key_of(RED))


# -- what somebody else made in between ------------------------------------------------------------


def rival(member: Member, cluster: SimulatedCluster, **verdict: Any) -> MemberRun:
    """A creation that somebody else precedes, and what it then turns out to be."""
    theirs = cluster.create(RED | {"metadata": {"name": "red", "namespace": "default"}})
    planned = creation(
        theirs | {"metadata": {"name": "red", "namespace": "default"}}, inventory(member)
    )
    target = ApplyTarget(None, planned.key, None, None, {})  # type: ignore[arg-type]
    found = Change(
        key=planned.key, api_version="v1", request=planned.request, **seen(theirs), **verdict
    )
    verdicts = {planned.key: Checked(target, found)}
    return run(work_of(member, "host", more=(planned,), verdicts=verdicts))


def test_what_somebody_else_made_is_adopted_where_nothing_is_lost_by_it(
    member: Member, cluster: SimulatedCluster
) -> None:
    one = rival(member, cluster, action=Action.ADOPT)
    (outcome,) = one.outcomes
    assert (outcome.action, outcome.status) == (Action.CREATE, "done")
    assert "somebody else made it since it was planned: adopted" in outcome.message
    assert [c.action for c in one.checked.values()] == [Action.ADOPT]


@pytest.mark.parametrize(
    "verdict",
    [
        {"action": Action.ADOPT, "fields": (FieldChange("data.colour", "green", "red"),)},
        {"action": Action.ADOPT, "verified": False},
        {"action": Action.FAILED},
    ],
)
def test_what_somebody_else_made_is_left_where_anything_would_be_lost(
    member: Member, cluster: SimulatedCluster, verdict: dict[str, Any]
) -> None:
    one = rival(member, cluster, **verdict)
    (outcome,) = one.outcomes
    assert outcome.status == "failed"
    assert "somebody else made it" in outcome.message
    assert "federation-reconciler" not in str(cluster.get("ConfigMap", "red", "default"))


# -- what others may rely on -----------------------------------------------------------------------


def test_in_place_is_what_was_found_or_written_and_not_what_goes_or_failed(
    member: Member, cluster: SimulatedCluster, shop: None
) -> None:
    cluster.faults.deny("not today", path="/configmaps/bad")
    new, bad = body("ConfigMap", "new"), body("ConfigMap", "bad")
    one = MemberRun(work_of(member, "host", create=(new, bad), prune=(key_of(RED),)), "c")
    assert one.in_place() == {key_of(SHOP), key_of(BLUE)}
    one.apply()
    assert one.in_place() == {key_of(SHOP), key_of(BLUE), key_of(new)}


def test_what_is_being_deleted_is_not_in_place(
    member: Member, cluster: SimulatedCluster, shop: None
) -> None:
    held = {"metadata": {"finalizers": ["example.org/hold"]}}
    cluster.edit("ConfigMap", "red", held, namespace="shop")
    cluster.delete("ConfigMap", "red", namespace="shop")
    one = MemberRun(work_of(member, "host"), "c")
    assert one.in_place() == {key_of(SHOP), key_of(BLUE)}


# -- fewer replicas --------------------------------------------------------------------------------


def web(replicas: int) -> Object:
    labels = {"app": "web"}
    containers = [{"name": "web", "image": "registry.example/web:1.0"}]
    template = {"metadata": {"labels": labels}, "spec": {"containers": containers}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return body("Deployment", "web", spec=spec)


def service() -> Object:
    return body("Service", "web", spec={"ports": [{"port": 80}], "selector": {"app": "web"}})


@pytest.mark.parametrize(
    ("beside", "replicas", "exposed"),
    [((), 1, False), ((service(),), 1, True), ((service(),), 5, False)],
)
def test_what_is_to_run_less_beside_a_service_waits_for_names(
    member: Member,
    cluster: SimulatedCluster,
    beside: tuple[Object, ...],
    replicas: int,
    exposed: bool,
) -> None:
    run(work_of(member, "host", create=(SHOP, web(3), *beside)))
    one = MemberRun(work_of(member, "host", update=(web(replicas),)), "commit-2")
    later = one.exposed_scale_downs()
    assert later == ({key_of(web(1))} if exposed else frozenset())
    one.apply(later)
    assert bool(one.outcomes) == (not exposed)
    one.scale_down(later, "names still lead there" if exposed else "")
    count = cluster.get("Deployment", "web", "shop")["spec"]["replicas"]
    (outcome,) = one.outcomes
    if exposed:
        assert (outcome.status, count) == ("skipped", 3)
        assert outcome.message == "scaling down waits: names still lead there"
    else:
        assert (outcome.status, count) == ("done", replicas)


def test_what_waited_for_names_is_done_once_they_are_gone(
    member: Member, cluster: SimulatedCluster
) -> None:
    run(work_of(member, "host", create=(SHOP, web(3), service())))
    one = MemberRun(work_of(member, "host", update=(web(1),)), "commit-2")
    later = one.exposed_scale_downs()
    one.apply(later)
    one.scale_down(later, "")
    one.scale_down(later, "")
    assert [o.status for o in one.outcomes] == ["done"]
    assert cluster.get("Deployment", "web", "shop")["spec"]["replicas"] == 1


def test_a_definition_counts_as_holding_its_custom_resources(
    member: Member, cluster: SimulatedCluster
) -> None:
    run(work_of(member, "host", create=(definition("Shop", "example.org"), CORNER)))
    keys = (key_of(definition("Shop", "example.org")), key_of(CORNER))
    one = run(work_of(member, "host", prune=keys), {key_of(CORNER): "pruning waits: it moves"})
    outcome = next(o for o in one.outcomes if o.key.group_kind == CRD)
    assert isinstance(outcome, Outcome)
    assert outcome.status == "skipped"
    assert "objects that stay: Shop.example.org default/corner" in outcome.message
