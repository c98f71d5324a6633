"""Each verb by itself: what it writes, on what condition, what it remembers, and what stops it."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from kubesim.cluster import LoggedRequest, SimulatedCluster
from kubesim.faults import InjectedFault
from kubesim.fleet import Sandbox
from reconciler.api.annotations import PART_OF
from reconciler.api.errors import LeaseLost
from reconciler.api.objects import Object, ObjectKey
from reconciler.apply import verbs
from reconciler.apply.verbs import ChangeResult, apply_change, move_entries
from reconciler.cluster.client import Member
from reconciler.cluster.discovery import RESTMapping
from reconciler.inventory.applyset import IDENTITY, with_membership
from reconciler.inventory.managed_fields import entries_of, our_entry
from reconciler.inventory.records import AppliedRecord, Digester
from reconciler.plan.diff import Question, compare
from reconciler.plan.fields import changed_fields
from reconciler.plan.model import ABSENT, CHOSEN, Action, Change, FieldChange
from tests.controlplane.process import eventually

CONFIG_MAPS = RESTMapping("v1", "ConfigMap", "configmaps", namespaced=True)
SECRETS = RESTMapping("v1", "Secret", "secrets", namespaced=True)
DEPLOYMENTS = RESTMapping("apps/v1", "Deployment", "deployments", namespaced=True)
KEY = ObjectKey("", "ConfigMap", "federation-system", "settings")
WEB = ObjectKey("apps", "Deployment", "federation-system", "web")
CRON_JOBS = RESTMapping("batch/v1", "CronJob", "cronjobs", namespaced=True)
NIGHTLY = ObjectKey("batch", "CronJob", "federation-system", "nightly")
OURS, THEIRS = "applyset-ours-v1", "applyset-theirs-v1"
DIGESTER = Digester(b"key")
PATH = "/configmaps/settings"
APPLIES = "fieldValidation=Strict"
"""In the query of an apply, and not of a JSON patch."""


@pytest.fixture
def cluster(sandbox: Sandbox) -> SimulatedCluster:
    return sandbox.cluster("host")


@pytest.fixture
def member(simulated_host: Member) -> Member:
    return simulated_host


def unmarked(**data: str) -> Object:
    metadata = {"name": KEY.name, "namespace": KEY.namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def settings(applyset: str = OURS, **data: str) -> Object:
    return with_membership(unmarked(**data), KEY, applyset)


def workload(**spec: Any) -> Object:
    labels = {"app": "web"}
    containers = [{"name": "web", "image": "registry.example/web:1.0"}]
    template = {"metadata": {"labels": labels}, "spec": {"containers": containers}}
    body = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": WEB.name, "namespace": WEB.namespace},
        "spec": {"selector": {"matchLabels": labels}, "template": template, **spec},
    }
    return with_membership(body, WEB, OURS)


def creation(**data: str) -> Change:
    return Change(Action.CREATE, KEY, "v1", request=settings(**data))


def seen(live: Object) -> dict[str, Any]:
    """What a plan keeps of the object that it looked at."""
    metadata = live["metadata"]
    return {
        "live": live,
        "uid": metadata["uid"],
        "resource_version": metadata["resourceVersion"],
    }


def update(member: Member, live: Object, body: Object, **more: Any) -> Change:
    """A change as a plan makes it: with the fields that a dry run shows."""
    force = more.get("force", False)
    after = member.apply(CONFIG_MAPS, KEY, body, force=force, dry_run=True)
    fields = changed_fields(live, after)
    return Change(Action.UPDATE, KEY, "v1", request=body, fields=fields, **seen(live), **more)


def removal(live: Object, action: Action = Action.PRUNE, **more: Any) -> Change:
    return Change(action, KEY, "v1", **seen(live), **more)


def may(_live: Object) -> str:
    return ""


def carry_out(
    member: Member,
    change: Change,
    otherwise: Callable[[Object], str] = may,
    resource: RESTMapping = CONFIG_MAPS,
) -> ChangeResult:
    return apply_change(member, resource, change, otherwise, DIGESTER)


def done(result: ChangeResult) -> str:
    """The message of what was carried out."""
    assert result.outcome.status == "done", result.outcome.message
    assert not result.lost
    return result.outcome.message


def failure(result: ChangeResult) -> str:
    """The message of what was not carried out; nothing is remembered of it."""
    assert result.outcome.status == "failed"
    assert result.record is None
    return result.outcome.message


def now(cluster: SimulatedCluster) -> Object:
    return cluster.get(KEY.kind, KEY.name, KEY.namespace)


def managers(live: Object) -> dict[str, Any]:
    return {e["manager"]: e["fieldsV1"] for e in entries_of(live)}


@contextmanager
def recorded(cluster: SimulatedCluster) -> Iterator[list[LoggedRequest]]:
    """The requests that the cluster gets meanwhile."""
    found: list[LoggedRequest] = []
    before = len(cluster.requests)
    yield found
    found += list(cluster.requests)[before:]


def writes(requests: list[LoggedRequest]) -> list[tuple[str, int]]:
    """Method and status of each that was no dry run."""
    return [(r.method, r.status) for r in requests if r.method != "GET" and "dryRun" not in r.query]


def before_write(member: Member, number: int, act: Callable[[], object]) -> None:
    """Somebody else acts right before the write of this number (from 1), or its repetition."""
    count = 0

    def fence() -> None:
        nonlocal count
        count += 1
        if count == number:
            act()

    member.fence = fence


# -- any verb --------------------------------------------------------------------------------------


def changes_of_every_action(member: Member) -> dict[Action, Change]:
    live = member.apply(CONFIG_MAPS, KEY, settings(colour="red"))
    changed = update(member, live, settings(colour="blue"))
    return {
        Action.UPDATE: changed,
        Action.ADOPT: replace(changed, action=Action.ADOPT),
        Action.RECREATE: replace(changed, action=Action.RECREATE),
        Action.PRUNE: removal(live),
        Action.ORPHAN: removal(live, Action.ORPHAN),
    }


ACTIONS = [Action.UPDATE, Action.ADOPT, Action.RECREATE, Action.PRUNE, Action.ORPHAN]


@pytest.mark.parametrize("action", ACTIONS)
def test_who_has_lost_the_lock_writes_nothing(
    member: Member, cluster: SimulatedCluster, action: Action
) -> None:
    change = changes_of_every_action(member)[action]
    before = now(cluster)

    def fence() -> None:
        raise LeaseLost("another run holds the lock")

    member.fence = fence
    with pytest.raises(LeaseLost), recorded(cluster) as requests:
        carry_out(member, change)
    assert writes(requests) == []
    assert now(cluster) == before


@pytest.mark.parametrize("action", ACTIONS)
def test_a_refusal_is_a_failed_outcome_that_names_member_object_and_reason(
    member: Member, cluster: SimulatedCluster, action: Action
) -> None:
    change = changes_of_every_action(member)[action]
    before = now(cluster)
    cluster.faults.deny("not on a Friday")
    result = carry_out(member, change)
    assert "not on a Friday" in failure(result)
    assert (result.outcome.cluster, result.outcome.action) == (member.name, action)
    assert result.outcome.key == KEY
    assert not result.lost
    assert not result.preceded
    assert now(cluster) == before


@pytest.mark.parametrize("action", ACTIONS)
def test_a_credential_that_is_refused_means_that_the_member_is_lost(
    member: Member, cluster: SimulatedCluster, action: Action
) -> None:
    change = changes_of_every_action(member)[action]
    cluster.faults.unauthorized()
    result = carry_out(member, change)
    assert "the credential was refused" in failure(result)
    assert result.lost == result.outcome.message


def test_an_answer_that_makes_no_sense_is_the_members_trouble(
    member: Member, cluster: SimulatedCluster
) -> None:
    cluster.faults.answer({"kind": "Nonsense"}, method="PATCH")
    result = carry_out(member, creation(colour="red"))
    assert "the server answered" in failure(result)
    assert result.lost


def test_an_outcome_tells_how_long_it_took(member: Member, cluster: SimulatedCluster) -> None:
    cluster.faults.latency(0.2, method="PATCH")
    result = carry_out(member, creation(colour="red"))
    assert 0.2 <= result.outcome.seconds < 30


def test_a_change_that_writes_without_a_request_is_a_defect_and_not_an_empty_object(
    member: Member, cluster: SimulatedCluster
) -> None:
    result = carry_out(member, Change(Action.CREATE, KEY, "v1"))
    assert "ValueError" in failure(result)
    assert cluster.find(KEY.kind, KEY.name, KEY.namespace) is None


# -- create ----------------------------------------------------------------------------------------


def test_an_object_is_created_by_one_request_and_next_time_nothing_is_to_be_done(
    member: Member, cluster: SimulatedCluster
) -> None:
    change = creation(colour="red")
    with recorded(cluster) as requests:
        result = carry_out(member, change)
    assert done(result) == ""
    assert writes(requests) == [("PATCH", 201)]
    assert len(requests) == 1
    live = now(cluster)
    assert live["data"] == {"colour": "red"}
    record, body = result.record, change.request
    assert record is not None
    assert body is not None
    assert (record.uid, record.api_version) == (live["metadata"]["uid"], "v1")
    assert compare(DIGESTER, body, live, record).question is Question.NONE
    edited = settings(colour="blue")
    assert compare(DIGESTER, edited, live, record).question is Question.EDITED
    assert result.fields == our_entry(live)["fieldsV1"]  # type: ignore[index]


def test_an_object_that_somebody_else_made_meanwhile_is_left_as_it_is(
    member: Member, cluster: SimulatedCluster
) -> None:
    theirs = cluster.create(unmarked(colour="green"))
    with recorded(cluster) as requests:
        result = carry_out(member, creation(colour="red"))
    assert "somebody else made it since it was planned" in failure(result)
    assert result.preceded
    assert writes(requests) == [("PATCH", 409)]
    assert now(cluster) == theirs


def test_a_creation_whose_answer_was_lost_is_known_as_our_own(
    member: Member, cluster: SimulatedCluster
) -> None:
    lost = cluster.faults.reset(when="after", method="PATCH", count=1)
    result = carry_out(member, creation(colour="red"))
    assert lost.hits == 1
    assert done(result) == ""
    live = now(cluster)
    assert result.record is not None
    assert result.record.confirmed
    assert result.record.uid == live["metadata"]["uid"]


def test_a_creation_that_never_arrived_is_sent_again(
    member: Member, cluster: SimulatedCluster
) -> None:
    cluster.faults.reset(when="before", method="PATCH", count=1)
    assert done(carry_out(member, creation(colour="red"))) == ""
    assert now(cluster)["data"] == {"colour": "red"}


@pytest.mark.parametrize(
    ("theirs", "manager"),
    [
        pytest.param(unmarked(colour="green"), "kubectl", id="without our marks"),
        pytest.param(settings(colour="green"), "kubectl", id="with copied marks"),
        pytest.param(
            settings(THEIRS, colour="green"), "federation-reconciler", id="of another federation"
        ),
    ],
)
def test_between_two_tries_of_a_creation_somebody_else_may_win(
    member: Member, cluster: SimulatedCluster, theirs: Object, manager: str
) -> None:
    cluster.faults.reset(when="before", method="PATCH", count=1)
    before_write(member, 2, lambda: cluster.apply(theirs, manager=manager))
    result = carry_out(member, creation(colour="red"))
    assert "somebody else made it" in failure(result)
    assert result.preceded
    assert now(cluster)["data"] == {"colour": "green"}


def test_a_creation_that_was_done_and_then_deleted_and_made_anew_is_not_written_over(
    member: Member, cluster: SimulatedCluster
) -> None:
    cluster.faults.reset(when="after", method="PATCH", count=1)

    def rival() -> None:
        cluster.delete(KEY.kind, KEY.name, namespace=KEY.namespace)
        cluster.create(unmarked(colour="green"))

    before_write(member, 2, rival)
    assert carry_out(member, creation(colour="red")).preceded
    assert now(cluster)["data"] == {"colour": "green"}


def test_a_conflict_about_an_object_that_is_not_there_is_told_as_it_is(
    member: Member, cluster: SimulatedCluster
) -> None:
    cluster.faults.error(409, message="try later", method="PATCH", count=1)
    result = carry_out(member, creation(colour="red"))
    assert "try later" in failure(result)
    assert not result.preceded


def test_a_value_of_a_secret_is_in_no_refusal(member: Member, cluster: SimulatedCluster) -> None:
    key = KEY._replace(kind="Secret")
    value = base64.b64encode(b"canary-value").decode()
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": key.name}}
    body["metadata"]["namespace"] = key.namespace  # type: ignore[index]
    request = with_membership({**body, "data": {"password": value}}, key, OURS)
    cluster.faults.deny(f"the password {value} is weak")
    change = Change(Action.CREATE, key, "v1", request=request, hidden=("",))
    text = failure(carry_out(member, change, resource=SECRETS))
    assert value not in text
    assert "policy.example.com" in text or "webhook" in text


def test_a_hidden_value_of_another_kind_is_in_no_refusal(
    member: Member, cluster: SimulatedCluster
) -> None:
    cluster.faults.deny("canary-value is not allowed")
    change = replace(creation(password="canary-value"), hidden=("/data/password",))
    assert "canary-value" not in failure(carry_out(member, change))
    open_one = carry_out(member, creation(password="canary-value"))
    assert "canary-value" in failure(open_one)


# -- update ----------------------------------------------------------------------------------------


@pytest.fixture
def live(member: Member) -> Object:
    """Ours, with data that is ours."""
    return member.apply(CONFIG_MAPS, KEY, settings(colour="red", shape="round"))


def somebody_writes(cluster: SimulatedCluster, **data: str) -> None:
    cluster.edit(KEY.kind, KEY.name, {"data": data}, namespace=KEY.namespace)


def test_an_object_as_it_was_planned_is_updated_by_one_request(
    member: Member, cluster: SimulatedCluster, live: Object
) -> None:
    change = update(member, live, settings(colour="blue"))
    with recorded(cluster) as requests:
        result = carry_out(member, change)
    assert done(result) == ""
    assert [(r.method, r.status) for r in requests] == [("PATCH", 200)]
    after = now(cluster)
    assert after["data"] == {"colour": "blue"}
    assert after["metadata"]["uid"] == live["metadata"]["uid"]
    assert compare(DIGESTER, settings(colour="blue"), after, result.record).question is (
        Question.NONE
    )


def test_an_object_that_got_something_else_meanwhile_is_looked_at_and_updated(
    member: Member, cluster: SimulatedCluster, live: Object
) -> None:
    change = update(member, live, settings(colour="blue", shape="round"))
    somebody_writes(cluster, taste="sour")
    with recorded(cluster) as requests:
        assert done(carry_out(member, change)) == ""
    assert writes(requests) == [("PATCH", 409), ("PATCH", 200)]
    assert now(cluster)["data"] == {"colour": "blue", "shape": "round", "taste": "sour"}


def test_a_value_that_somebody_changed_since_the_plan_is_not_written_over(
    member: Member, cluster: SimulatedCluster, live: Object
) -> None:
    change = update(member, live, settings(colour="blue", shape="round"), force=True)
    somebody_writes(cluster, colour="green")
    before = now(cluster)
    text = failure(carry_out(member, change))
    assert "it would not become what was planned any more (data.colour)" in text
    assert now(cluster) == before


def test_a_field_that_the_plan_did_not_show_is_not_written(
    member: Member, cluster: SimulatedCluster, live: Object
) -> None:
    change = update(member, live, settings(colour="blue", shape="round"), force=True)
    somebody_writes(cluster, shape="square")
    before = now(cluster)
    text = failure(carry_out(member, change))
    assert "(data.shape)" in text
    assert now(cluster) == before


def test_a_field_that_is_as_wanted_by_now_does_not_stop_the_others(
    member: Member, cluster: SimulatedCluster, live: Object
) -> None:
    change = update(member, live, settings(colour="blue", shape="square"), force=True)
    somebody_writes(cluster, shape="square")
    assert done(carry_out(member, change)) == ""
    assert now(cluster)["data"] == {"colour": "blue", "shape": "square"}


def test_a_value_that_the_server_chooses_may_be_chosen_by_now(
    member: Member, cluster: SimulatedCluster, live: Object
) -> None:
    change = update(member, live, settings(colour="blue", shape="round"), force=True)
    chosen = tuple(FieldChange(f.path, f.before, CHOSEN) for f in change.fields)
    somebody_writes(cluster, colour="green")
    assert done(carry_out(member, replace(change, fields=chosen))) == ""
    assert now(cluster)["data"]["colour"] == "blue"


def test_a_hidden_item_is_not_named_by_its_value(
    member: Member, cluster: SimulatedCluster, live: Object
) -> None:
    change = update(member, live, settings(colour="blue", shape="round"), force=True)
    somebody_writes(cluster, shape="square")
    hidden = replace(change, hidden=("/data",))
    text = failure(carry_out(member, hidden))
    assert "it would not become what was planned any more" in text
    assert "square" not in text


def test_an_object_that_was_deleted_since_the_plan_is_not_made_anew(
    member: Member, cluster: SimulatedCluster, live: Object
) -> None:
    change = update(member, live, settings(colour="blue"))
    cluster.delete(KEY.kind, KEY.name, namespace=KEY.namespace)
    assert "was changed or made anew since it was planned" in failure(carry_out(member, change))
    assert cluster.find(KEY.kind, KEY.name, KEY.namespace) is None


def test_another_object_of_the_same_name_is_not_updated(
    member: Member, cluster: SimulatedCluster, live: Object
) -> None:
    change = update(member, live, settings(colour="blue"), force=True)
    cluster.delete(KEY.kind, KEY.name, namespace=KEY.namespace)
    theirs = cluster.create(unmarked(colour="red", shape="round"))
    assert "was changed or made anew" in failure(carry_out(member, change))
    assert now(cluster) == theirs


def test_an_update_whose_answer_was_lost_is_found_done(
    member: Member, cluster: SimulatedCluster, live: Object
) -> None:
    change = update(member, live, settings(colour="blue"))
    cluster.faults.reset(when="after", method="PATCH", count=1)
    result = carry_out(member, change)
    assert done(result) == ""
    assert now(cluster)["data"] == {"colour": "blue"}
    assert result.record is not None
    assert result.record.confirmed


def test_a_field_of_another_manager_is_taken_only_by_force(
    member: Member, cluster: SimulatedCluster
) -> None:
    cluster.apply(unmarked(colour="green"), manager="flux")
    live = now(cluster)
    fields = (FieldChange("data.colour", "green", "red"),)
    change = Change(
        Action.ADOPT, KEY, "v1", request=settings(colour="red"), fields=fields, **seen(live)
    )
    with recorded(cluster) as requests:
        assert 'conflict with "flux"' in failure(carry_out(member, change))
    assert writes(requests) == [("PATCH", 409)]
    assert now(cluster)["data"] == {"colour": "green"}
    assert done(carry_out(member, replace(change, force=True))) == ""
    assert now(cluster)["data"] == {"colour": "red"}


def test_what_is_written_to_all_the_time_is_left_to_a_later_run(
    member: Member, cluster: SimulatedCluster, live: Object
) -> None:
    change = update(member, live, settings(colour="blue", shape="round"))
    numbers = iter(range(1000))
    member.fence = lambda: somebody_writes(cluster, taste=str(next(numbers)))
    with recorded(cluster) as requests:
        text = failure(carry_out(member, change))
    assert "written to too often" in text
    assert writes(requests) == [("PATCH", 409)] * verbs.REWRITE_TRIES
    assert now(cluster)["data"]["colour"] == "red"


def secured(context: Object) -> Object:
    """Of a kind that no controller writes to."""
    containers = [{"name": "a", "image": "registry.example/a:1", "securityContext": context}]
    pod = {"restartPolicy": "Never", "containers": containers}
    spec = {"schedule": "0 4 * * *", "jobTemplate": {"spec": {"template": {"spec": pod}}}}
    metadata = {"name": NIGHTLY.name, "namespace": NIGHTLY.namespace}
    body = {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": metadata, "spec": spec}
    return with_membership(body, NIGHTLY, OURS)


def container(live: Object | None) -> Object:
    assert live is not None
    pod = live["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    found: Object = pod["containers"][0]
    return found


def context_of(live: Object | None) -> Any:
    return container(live).get("securityContext")


@pytest.fixture
def emptied(member: Member) -> Change:
    """An apply of which the first answer does not stand: it owns a struct that it emptied, and that
    is not there until the same is applied again."""
    live = member.apply(CRON_JOBS, NIGHTLY, secured({"runAsUser": 0}))
    body = secured({})
    after = member.apply(CRON_JOBS, NIGHTLY, body, dry_run=True)
    assert context_of(after) is None
    fields = changed_fields(live, after)
    return Change(Action.UPDATE, NIGHTLY, "batch/v1", request=body, fields=fields, **seen(live))


def test_only_an_answer_that_stands_is_remembered(
    member: Member, cluster: SimulatedCluster, emptied: Change
) -> None:
    with recorded(cluster) as requests:
        result = carry_out(member, emptied, resource=CRON_JOBS)
    assert done(result) == ""
    assert writes(requests) == [("PATCH", 200), ("PATCH", 200)]
    live = member.get(CRON_JOBS, NIGHTLY)
    assert context_of(live) == {}
    assert live is not None
    assert result.record is not None
    assert result.record.confirmed
    assert emptied.request is not None
    assert compare(DIGESTER, emptied.request, live, result.record).question is Question.NONE


def test_an_answer_that_does_not_stand_is_looked_at_again_when_others_write(
    member: Member, cluster: SimulatedCluster, emptied: Change
) -> None:
    note = {"metadata": {"annotations": {"example.org/note": "b"}}}
    before_write(
        member,
        2,
        lambda: cluster.edit(NIGHTLY.kind, NIGHTLY.name, note, namespace=NIGHTLY.namespace),
    )
    with recorded(cluster) as requests:
        result = carry_out(member, emptied, resource=CRON_JOBS)
    assert done(result) == ""
    assert writes(requests) == [("PATCH", 200), ("PATCH", 409), ("PATCH", 200)]
    assert result.record is not None
    assert result.record.confirmed


def test_what_others_wrote_since_is_neither_taken_back_nor_remembered(
    member: Member, cluster: SimulatedCluster, emptied: Change
) -> None:
    theirs = {"spec": {"schedule": "0 5 * * *"}}
    before_write(
        member,
        2,
        lambda: cluster.edit(NIGHTLY.kind, NIGHTLY.name, theirs, namespace=NIGHTLY.namespace),
    )
    result = carry_out(member, replace(emptied, force=True), resource=CRON_JOBS)
    assert done(result) == ""
    assert result.record == AppliedRecord(api_version="batch/v1", uid=emptied.uid)
    live = member.get(CRON_JOBS, NIGHTLY)
    assert live is not None
    assert live["spec"]["schedule"] == "0 5 * * *"


@pytest.mark.parametrize("anew", [False, True])
def test_of_an_object_that_is_gone_before_its_answer_stands_nothing_is_remembered(
    member: Member, cluster: SimulatedCluster, emptied: Change, anew: bool
) -> None:
    def rival() -> None:
        cluster.delete(NIGHTLY.kind, NIGHTLY.name, namespace=NIGHTLY.namespace)
        if anew:
            cluster.create(secured({"runAsUser": 7}))

    before_write(member, 2, rival)
    result = carry_out(member, emptied, resource=CRON_JOBS)
    assert result.record == AppliedRecord(api_version="batch/v1", uid=emptied.uid)
    live = member.get(CRON_JOBS, NIGHTLY)
    assert (context_of(live) if anew else live) == ({"runAsUser": 7} if anew else None)


def test_an_answer_that_never_stands_is_left_to_the_next_run(
    member: Member, cluster: SimulatedCluster, emptied: Change
) -> None:
    numbers = iter(range(1000))

    def busy() -> None:
        number = next(numbers)
        if number:
            note = {"metadata": {"annotations": {"example.org/note": str(number)}}}
            cluster.edit(NIGHTLY.kind, NIGHTLY.name, note, namespace=NIGHTLY.namespace)

    member.fence = busy
    result = carry_out(member, emptied, resource=CRON_JOBS)
    assert done(result) == ""
    assert next(numbers) == verbs.REWRITE_TRIES + 1
    assert result.record == AppliedRecord(api_version="batch/v1", uid=emptied.uid)


# -- what is left to others ------------------------------------------------------------------------


def test_a_field_that_is_left_to_others_is_written_once_and_disowned(
    member: Member, cluster: SimulatedCluster
) -> None:
    change = replace(creation(colour="red", shape="round"), ignored=("/data/colour",))
    result = carry_out(member, change)
    assert done(result) == ""
    live = now(cluster)
    assert live["data"] == {"colour": "red", "shape": "round"}
    ours = our_entry(live)
    assert ours is not None
    assert set(ours["fieldsV1"]["f:data"]) == {"f:shape"}
    next_request = settings(shape="round")
    assert result.record is not None
    assert result.record.confirmed
    assert compare(DIGESTER, next_request, live, result.record).question is Question.NONE
    member.apply(CONFIG_MAPS, KEY, next_request)
    assert now(cluster)["data"]["colour"] == "red"


def test_what_could_not_be_left_to_others_is_said(
    member: Member, cluster: SimulatedCluster
) -> None:
    def rival() -> None:
        cluster.delete(KEY.kind, KEY.name, namespace=KEY.namespace)

    before_write(member, 2, rival)
    change = replace(creation(colour="red", shape="round"), ignored=("/data/colour",))
    # The object is gone when it is to be disowned.
    cluster.faults.error(409, path=PATH, method="PATCH", skip=1, count=1)
    text = failure(carry_out(member, change))
    assert "was written; what spec.ignore leaves to others is still ours" in text


# -- adopt -----------------------------------------------------------------------------------------


@pytest.fixture
def theirs(cluster: SimulatedCluster) -> Object:
    """Made by kubectl, with data of which Git knows a part."""
    return cluster.create(unmarked(colour="red", old="yes"), manager="kubectl-create")


def test_an_adopted_object_is_ours_alone_where_its_manager_is_taken_over(
    member: Member, cluster: SimulatedCluster, theirs: Object
) -> None:
    change = update(member, theirs, settings(colour="red"), take_over=("kubectl-*",))
    assert done(carry_out(member, replace(change, action=Action.ADOPT))) == ""
    live = now(cluster)
    assert live["data"] == {"colour": "red", "old": "yes"}
    assert managers(live)["kubectl-create"] == {"f:data": {".": {}, "f:old": {}}}
    member.apply(CONFIG_MAPS, KEY, settings())
    assert now(cluster)["data"] == {"old": "yes"}, "what left Git goes, as nobody else owns it"


def test_the_part_of_managers_that_are_not_taken_over_stays(
    member: Member, cluster: SimulatedCluster, theirs: Object
) -> None:
    change = update(member, theirs, settings(colour="red"), take_over=("flux",))
    assert done(carry_out(member, replace(change, action=Action.ADOPT))) == ""
    assert "f:colour" in managers(now(cluster))["kubectl-create"]["f:data"]


CLAIM = {"f:data": {"f:old": {}}}


def adoption(member: Member, theirs: Object) -> Change:
    """With a claim on ``old``, which goes by it."""
    change = update(member, theirs, settings(colour="red"), take_over=("kubectl-create",))
    gone = FieldChange("data.old", "yes", ABSENT)
    return replace(change, action=Action.ADOPT, claim=CLAIM, fields=(*change.fields, gone))


def test_what_is_claimed_goes_with_the_apply(
    member: Member, cluster: SimulatedCluster, theirs: Object
) -> None:
    result = carry_out(member, adoption(member, theirs))
    assert done(result) == ""
    live = now(cluster)
    assert live["data"] == {"colour": "red"}
    assert live["metadata"]["uid"] == theirs["metadata"]["uid"]
    assert compare(DIGESTER, settings(colour="red"), live, result.record).question is Question.NONE


def test_a_claim_whose_apply_is_refused_is_given_back(
    member: Member, cluster: SimulatedCluster, theirs: Object
) -> None:
    change = adoption(member, theirs)
    cluster.faults.error(403, message="not today", path=APPLIES, writes_only=True)
    assert "not today" in failure(carry_out(member, change))
    live = now(cluster)
    assert live["data"] == theirs["data"]
    assert managers(live) == managers(theirs)


def test_a_claim_is_not_given_back_where_the_apply_was_done_and_its_answer_lost(
    member: Member, cluster: SimulatedCluster, theirs: Object
) -> None:
    change = adoption(member, theirs)
    cluster.faults.reset(when="after", path=APPLIES, writes_only=True, count=1)
    assert done(carry_out(member, change)) == ""
    live = now(cluster)
    assert live["data"] == {"colour": "red"}
    assert "f:colour" in managers(live)["federation-reconciler"]["f:data"]


def test_a_claim_and_nothing_else_is_written_to_an_object_that_changed_meanwhile(
    member: Member, cluster: SimulatedCluster, theirs: Object
) -> None:
    """All that was planned has to come, or nothing: what is claimed goes for good."""
    change = adoption(member, theirs)
    somebody_writes(cluster, old="somebody's")
    before = now(cluster)
    text = failure(carry_out(member, change))
    assert "it would not become what was planned any more (data.old)" in text
    live = now(cluster)
    assert live["data"] == before["data"]
    assert "federation-reconciler" not in managers(live)


def test_an_object_that_is_gone_is_not_claimed(
    member: Member, cluster: SimulatedCluster, theirs: Object
) -> None:
    change = adoption(member, theirs)
    cluster.delete(KEY.kind, KEY.name, namespace=KEY.namespace)
    with recorded(cluster) as requests:
        assert "was changed or made anew" in failure(carry_out(member, change))
    assert writes(requests) == []


def test_another_object_of_the_same_name_is_not_claimed(
    member: Member, cluster: SimulatedCluster, theirs: Object
) -> None:
    change = adoption(member, theirs)
    cluster.delete(KEY.kind, KEY.name, namespace=KEY.namespace)
    rival = cluster.create(unmarked(colour="red", old="yes"))
    assert "was changed or made anew" in failure(carry_out(member, change))
    assert now(cluster) == rival


def test_of_an_object_whose_owners_somebody_deleted_only_the_claim_goes(
    member: Member, cluster: SimulatedCluster, live: Object
) -> None:
    somebody_writes(cluster, taste="sour")
    nobody = {"op": "replace", "path": "/metadata/managedFields", "value": [{}]}
    member.json_patch(CONFIG_MAPS, KEY, [nobody])
    unowned = now(cluster)
    assert entries_of(unowned) == []
    body = settings()
    del body["data"]
    change = update(member, unowned, body)
    gone = [FieldChange(f"data.{name}", unowned["data"][name], ABSENT) for name in live["data"]]
    claim = {"f:data": {f"f:{name}": {} for name in live["data"]}}
    change = replace(change, claim=claim, fields=(*change.fields, *gone))
    assert done(carry_out(member, change)) == ""
    assert now(cluster)["data"] == {"taste": "sour"}, "all the rest is somebody's, if nobody's name"


# -- recreate --------------------------------------------------------------------------------------


def recreation(live: Object, **more: Any) -> Change:
    return removal(live, Action.RECREATE, request=settings(colour="blue"), **more)


def test_a_recreated_object_is_another_one(
    member: Member, cluster: SimulatedCluster, live: Object
) -> None:
    with recorded(cluster) as requests:
        result = carry_out(member, recreation(live))
    assert done(result) == ""
    assert writes(requests) == [("DELETE", 200), ("PATCH", 201)]
    after = now(cluster)
    assert after["data"] == {"colour": "blue"}
    assert after["metadata"]["uid"] != live["metadata"]["uid"]
    assert result.record is not None
    assert result.record.uid == after["metadata"]["uid"]


def test_what_must_stay_is_not_recreated(
    member: Member, cluster: SimulatedCluster, live: Object
) -> None:
    somebody_writes(cluster, taste="sour")
    before = now(cluster)
    text = failure(carry_out(member, recreation(live), lambda _: "it is protected"))
    assert "it is protected" in text
    assert now(cluster) == before


def test_a_recreation_that_is_cut_off_after_its_deletion_says_that(
    member: Member, cluster: SimulatedCluster, live: Object
) -> None:
    cluster.faults.unauthorized(method="PATCH", path=APPLIES, writes_only=True)
    assert failure(carry_out(member, recreation(live)))
    assert cluster.find(KEY.kind, KEY.name, KEY.namespace) is None
    cluster.faults.clear()
    again = member.apply(CONFIG_MAPS, KEY, settings(colour="red"))
    cluster.faults.answer({"kind": "Nonsense"}, method="GET")
    result = carry_out(member, recreation(again))
    assert "its deletion was asked for, and it is made by a later run" in failure(result)
    assert result.lost


def test_an_object_that_does_not_go_is_made_by_a_later_run(
    member: Member, cluster: SimulatedCluster, live: Object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verbs, "DELETION_TIMEOUT_SECONDS", 0.5)
    monkeypatch.setattr(verbs, "DELETION_POLL_SECONDS", 0.05)
    held = {"metadata": {"finalizers": ["example.org/hold"]}}
    held_live = cluster.edit(KEY.kind, KEY.name, held, namespace=KEY.namespace)
    text = failure(carry_out(member, recreation(held_live)))
    assert "still there after 0 s: it is being deleted since" in text
    assert "waits for its finalizers: example.org/hold" in text
    assert now(cluster)["metadata"]["deletionTimestamp"]


def test_a_cluster_that_is_lost_while_the_old_object_goes_is_told_with_what_it_waits_for(
    member: Member, cluster: SimulatedCluster, live: Object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verbs, "DELETION_POLL_SECONDS", 0.01)
    held = {"metadata": {"finalizers": ["example.org/hold"]}}
    held_live = cluster.edit(KEY.kind, KEY.name, held, namespace=KEY.namespace)
    cluster.faults.add(InjectedFault("answer", "GET", PATH, skip=1, body=b"[]"))
    result = carry_out(member, recreation(held_live))
    text = failure(result)
    assert "its deletion was asked for, and it is made by a later run: still there: it is" in text
    assert "example.org/hold" in text
    assert "the server answered JSON that is not an object" in text
    assert result.lost


def test_a_recreation_whose_deletion_got_no_answer_goes_on(
    member: Member, cluster: SimulatedCluster, live: Object
) -> None:
    cluster.faults.reset(when="after", method="DELETE", count=1)
    assert done(carry_out(member, recreation(live))) == ""
    assert now(cluster)["data"] == {"colour": "blue"}


# -- prune -----------------------------------------------------------------------------------------


def test_a_pruned_object_is_gone_and_forgotten(
    member: Member, cluster: SimulatedCluster, live: Object
) -> None:
    with recorded(cluster) as requests:
        result = carry_out(member, removal(live))
    assert done(result) == ""
    assert (result.record, result.fields) == (None, None)
    assert [(r.method, r.status) for r in requests] == [("DELETE", 200)]
    assert cluster.find(KEY.kind, KEY.name, KEY.namespace) is None


def test_what_is_gone_already_is_pruned(
    member: Member, cluster: SimulatedCluster, live: Object
) -> None:
    cluster.delete(KEY.kind, KEY.name, namespace=KEY.namespace)
    assert done(carry_out(member, removal(live))) == "was gone already"


def test_an_object_that_was_written_to_since_is_pruned_only_if_it_still_may(
    member: Member, cluster: SimulatedCluster, live: Object
) -> None:
    somebody_writes(cluster, taste="sour")
    asked: list[Object] = []

    def protected(one: Object) -> str:
        asked.append(one)
        return "it is protected"

    assert "is not deleted: it is protected" in failure(carry_out(member, removal(live), protected))
    assert [one["data"]["taste"] for one in asked] == ["sour"]
    assert now(cluster)["data"]["taste"] == "sour"
    assert done(carry_out(member, removal(live))) == ""


def test_another_object_of_the_same_name_is_not_pruned(
    member: Member, cluster: SimulatedCluster, live: Object
) -> None:
    cluster.delete(KEY.kind, KEY.name, namespace=KEY.namespace)
    rival = cluster.create(settings(colour="red"))
    assert "deleted and made again" in failure(carry_out(member, removal(live)))
    assert now(cluster) == rival


def test_a_prune_whose_answer_was_lost_is_done(
    member: Member, cluster: SimulatedCluster, live: Object
) -> None:
    cluster.faults.reset(when="after", method="DELETE", count=1)
    assert done(carry_out(member, removal(live))) == "was gone already"
    assert cluster.find(KEY.kind, KEY.name, KEY.namespace) is None


@pytest.mark.parametrize(
    ("finalizers", "told"),
    [(["example.org/hold"], True), (["foregroundDeletion"], False), (["orphan"], False)],
)
def test_what_waits_for_finalizers_of_others_is_told(
    member: Member, cluster: SimulatedCluster, live: Object, finalizers: list[str], told: bool
) -> None:
    hold = {"metadata": {"finalizers": finalizers}}
    held = cluster.edit(KEY.kind, KEY.name, hold, namespace=KEY.namespace)
    message = done(carry_out(member, removal(held)))
    assert ("waits for its finalizers: example.org/hold" in message) == told
    assert bool(message) == told


@pytest.mark.parametrize("propagation", ["Background", "Orphan"])
def test_dependents_go_or_stay_as_the_plan_says(
    member: Member, cluster: SimulatedCluster, propagation: str
) -> None:
    live = member.apply(DEPLOYMENTS, WEB, workload())
    owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": WEB.name}
    owned = unmarked(colour="red")
    owned["metadata"]["ownerReferences"] = [{**owner, "uid": live["metadata"]["uid"]}]
    cluster.create(owned)
    change = Change(Action.PRUNE, WEB, "apps/v1", propagation=propagation, **seen(live))
    done(carry_out(member, change, resource=DEPLOYMENTS))

    def state() -> str:
        found = cluster.find(KEY.kind, KEY.name, KEY.namespace)
        if found is None:
            return "gone"
        return "owned" if found["metadata"].get("ownerReferences") else "free"

    eventually(lambda: state() != "owned", "the garbage collector comes by")
    assert state() == ("gone" if propagation == "Background" else "free")


# -- orphan ----------------------------------------------------------------------------------------


def test_an_orphaned_object_loses_our_marks_and_nothing_else(
    member: Member, cluster: SimulatedCluster, live: Object
) -> None:
    mine = {"labels": {"team": "a"}, "annotations": {"example.org/note": "b"}}
    marked = cluster.edit(KEY.kind, KEY.name, {"metadata": mine}, namespace=KEY.namespace)
    with recorded(cluster) as requests:
        result = carry_out(member, removal(marked, Action.ORPHAN))
    assert done(result) == ""
    assert (result.record, result.fields) == (None, None)
    assert writes(requests) == [("PATCH", 200)]
    after = now(cluster)
    assert after["data"] == live["data"]
    assert after["metadata"]["labels"] == {"team": "a"}
    assert after["metadata"]["annotations"] == {"example.org/note": "b"}
    assert after["metadata"]["uid"] == live["metadata"]["uid"]


@pytest.mark.parametrize("part", ["labels", "annotations"])
def test_one_mark_that_is_left_is_taken_off(
    member: Member, cluster: SimulatedCluster, live: Object, part: str
) -> None:
    half = cluster.edit(KEY.kind, KEY.name, {"metadata": {part: None}}, namespace=KEY.namespace)
    assert part not in half["metadata"]
    assert done(carry_out(member, removal(half, Action.ORPHAN))) == ""
    metadata = now(cluster)["metadata"]
    assert PART_OF not in (metadata.get("labels") or {})
    assert IDENTITY not in (metadata.get("annotations") or {})


def test_nothing_is_written_to_what_is_released_already(
    member: Member, cluster: SimulatedCluster
) -> None:
    free = cluster.create(unmarked(colour="red"))
    with recorded(cluster) as requests:
        assert done(carry_out(member, removal(free, Action.ORPHAN))) == ""
    assert writes(requests) == []


def test_what_is_gone_need_not_be_released(
    member: Member, cluster: SimulatedCluster, live: Object
) -> None:
    cluster.delete(KEY.kind, KEY.name, namespace=KEY.namespace)
    assert done(carry_out(member, removal(live, Action.ORPHAN))) == "was gone already"


def test_another_object_of_the_same_name_keeps_its_marks(
    member: Member, cluster: SimulatedCluster, live: Object
) -> None:
    cluster.delete(KEY.kind, KEY.name, namespace=KEY.namespace)
    rival = cluster.create(settings(colour="red"))
    assert done(carry_out(member, removal(live, Action.ORPHAN))) == "is no longer ours"
    assert now(cluster) == rival


def test_what_must_stay_ours_is_not_released(
    member: Member, cluster: SimulatedCluster, live: Object
) -> None:
    text = failure(carry_out(member, removal(live, Action.ORPHAN), lambda _: "Git wants it"))
    assert f"{KEY} is not released: Git wants it" in text
    assert now(cluster) == live


def test_a_release_whose_answer_was_lost_is_done(
    member: Member, cluster: SimulatedCluster, live: Object
) -> None:
    lost = cluster.faults.reset(when="after", method="PATCH", count=1)
    assert done(carry_out(member, removal(live, Action.ORPHAN))) == ""
    assert lost.hits == 1
    assert PART_OF not in (now(cluster)["metadata"].get("labels") or {})


def test_a_release_that_the_server_finds_invalid_is_not_tried_again(
    member: Member, cluster: SimulatedCluster, live: Object
) -> None:
    cluster.faults.error(422, message="no such patch", method="PATCH")
    with recorded(cluster) as requests:
        text = failure(carry_out(member, removal(live, Action.ORPHAN)))
    assert "no such patch" in text
    assert len(writes(requests)) == 1


def test_a_release_asks_again_when_the_object_was_written_to(
    member: Member, cluster: SimulatedCluster, live: Object
) -> None:
    before_write(member, 1, lambda: somebody_writes(cluster, taste="sour"))
    asked: list[Object] = []

    def otherwise(one: Object) -> str:
        asked.append(one)
        return ""

    assert done(carry_out(member, removal(live, Action.ORPHAN), otherwise)) == ""
    assert [one["data"].get("taste") for one in asked] == [None, "sour"]
    assert now(cluster)["data"]["taste"] == "sour"


def test_what_is_written_to_all_the_time_is_not_released(
    member: Member, cluster: SimulatedCluster, live: Object
) -> None:
    numbers = iter(range(1000))
    member.fence = lambda: somebody_writes(cluster, taste=str(next(numbers)))
    with recorded(cluster) as requests:
        text = failure(carry_out(member, removal(live, Action.ORPHAN)))
    assert f"{KEY} is written to too often to be released" in text
    assert len(writes(requests)) == verbs.REWRITE_TRIES
    assert now(cluster)["metadata"]["labels"][PART_OF] == OURS


# -- entries of a version that is dropped ----------------------------------------------------------


def moved(live: Object) -> Change:
    return removal(live, Action.UPDATE, old_entry="v1", new_entry="v2")


def versions(live: Object) -> dict[str, str]:
    return {e["manager"]: e["apiVersion"] for e in entries_of(live)}


@pytest.fixture
def autoscaled(cluster: SimulatedCluster, member: Member) -> tuple[RESTMapping, ObjectKey, Object]:
    """An autoscaler, of a group that is served in two versions."""
    key = ObjectKey("autoscaling", "HorizontalPodAutoscaler", "federation-system", "web")
    resource = RESTMapping("autoscaling/v2", key.kind, "horizontalpodautoscalers", namespaced=True)
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    body = {
        "apiVersion": "autoscaling/v2",
        "kind": key.kind,
        "metadata": {"name": key.name, "namespace": key.namespace},
        "spec": {"maxReplicas": 3, "scaleTargetRef": target},
    }
    member.apply(resource, key, body)
    cluster.apply({**body, "spec": {"minReplicas": 2, **body["spec"]}}, manager="flux")
    return resource, key, member.get(resource, key) or {}


def on_from_v2(live: Object, key: ObjectKey) -> Change:
    return Change(
        Action.UPDATE,
        key,
        "autoscaling/v1",
        old_entry="autoscaling/v2",
        new_entry="autoscaling/v1",
        **seen(live),
    )


def test_our_entry_is_moved_on_and_that_of_others_stays(
    member: Member, autoscaled: tuple[RESTMapping, ObjectKey, Object]
) -> None:
    resource, key, live = autoscaled
    assert move_entries(member, resource, on_from_v2(live, key)) == ""
    after = member.get(resource, key)
    assert after is not None
    assert versions(after) == {
        "federation-reconciler": "autoscaling/v1",
        "flux": "autoscaling/v2",
    }


def test_nothing_is_written_where_no_entry_is_of_the_old_version(
    member: Member, cluster: SimulatedCluster, autoscaled: tuple[RESTMapping, ObjectKey, Object]
) -> None:
    resource, key, live = autoscaled
    change = replace(on_from_v2(live, key), old_entry="autoscaling/v2beta1")
    with recorded(cluster) as requests:
        assert move_entries(member, resource, change) == ""
    assert writes(requests) == []


def test_entries_of_another_object_are_not_moved(
    member: Member, cluster: SimulatedCluster, autoscaled: tuple[RESTMapping, ObjectKey, Object]
) -> None:
    resource, key, live = autoscaled
    change = replace(on_from_v2(live, key), uid="another")
    with recorded(cluster) as requests:
        text = move_entries(member, resource, change)
    assert text.startswith("its managedFields could not be moved on from autoscaling/v2: ")
    assert "was changed or made anew" in text
    assert writes(requests) == []


def test_entries_of_an_object_that_is_written_to_meanwhile_are_moved_all_the_same(
    member: Member, cluster: SimulatedCluster, autoscaled: tuple[RESTMapping, ObjectKey, Object]
) -> None:
    resource, key, live = autoscaled
    note = {"metadata": {"annotations": {"example.org/note": "b"}}}
    before_write(member, 1, lambda: cluster.edit(key.kind, key.name, note, namespace=key.namespace))
    with recorded(cluster) as requests:
        assert move_entries(member, resource, on_from_v2(live, key)) == ""
    assert writes(requests) == [("PATCH", 409), ("PATCH", 200)]


def test_entries_that_cannot_be_moved_are_told_with_the_servers_words(
    member: Member, cluster: SimulatedCluster, autoscaled: tuple[RESTMapping, ObjectKey, Object]
) -> None:
    resource, key, live = autoscaled
    cluster.faults.deny("not today")
    assert "not today" in move_entries(member, resource, on_from_v2(live, key))
    cluster.faults.clear()
    numbers = iter(range(1000))

    def busy() -> None:
        note = {"metadata": {"annotations": {"example.org/note": str(next(numbers))}}}
        cluster.edit(key.kind, key.name, note, namespace=key.namespace)

    member.fence = busy
    assert "was changed or made anew" in move_entries(member, resource, on_from_v2(live, key))
    assert next(numbers) == verbs.REWRITE_TRIES


def test_who_has_lost_the_lock_moves_no_entries(
    member: Member, cluster: SimulatedCluster, autoscaled: tuple[RESTMapping, ObjectKey, Object]
) -> None:
    resource, key, live = autoscaled

    def fence() -> None:
        raise LeaseLost("another run holds the lock")

    member.fence = fence
    with pytest.raises(LeaseLost), recorded(cluster) as requests:
        move_entries(member, resource, on_from_v2(live, key))
    assert writes(requests) == []
