"""Changes as a plan makes them, and what a verb made of them, for the tests of the verbs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from kubesim.cluster import LoggedRequest, SimulatedCluster
from reconciler.api.objects import Object, ObjectKey
from reconciler.apply.verbs import ChangeResult, apply_change
from reconciler.cluster.client import Member
from reconciler.cluster.discovery import RESTMapping
from reconciler.inventory.applyset import with_membership
from reconciler.inventory.managed_fields import entries_of
from reconciler.inventory.records import Digester
from reconciler.plan.fields import changed_fields
from reconciler.plan.model import Action, Change

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
APPLIES = "fieldValidation=Ignore"
"""In the query of an apply, and not of a JSON patch."""


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
    assert not result.already_exists
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


def somebody_writes(cluster: SimulatedCluster, **data: str) -> None:
    cluster.edit(KEY.kind, KEY.name, {"data": data}, namespace=KEY.namespace)
