"""The records that ``helm install`` left of a release: Secrets beside what it made.

Who still has one may run `helm uninstall`, which deletes what is ours by then. A record is removed
as everything is here: it becomes ours first, as the plan says, and what is ours and not in Git is
pruned by the next run, under all guards.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from reconciler.api.annotations import PART_OF
from reconciler.api.errors import ApiError
from reconciler.api.manifest import Manifest
from reconciler.api.notices import Notice, NoticeCause, notice
from reconciler.api.objects import Object, ObjectKey, map_of
from reconciler.cluster.client import Member
from reconciler.cluster.discovery import Discovery, GroupVersionKind
from reconciler.plan.member_plan import MemberWork
from reconciler.plan.model import Action
from reconciler.render.render import DesiredObject, ObjectRules

_SECRET = GroupVersionKind("v1", "Secret")
_NAME = "sh.helm.release.v1."


def records_to_remove(
    member: Member, discovery: Discovery, desired: Sequence[DesiredObject]
) -> list[DesiredObject]:
    """The records that Charts want removed and that are not ours yet. Raises ClusterError when the
    member stops answering, and ApiError when it does not list them."""
    releases = {one.rules.chart: one for one in desired if one.rules.remove_record}
    return [
        DesiredObject(
            ObjectKey("", "Secret", str(record["metadata"].get("namespace")), name),
            Manifest(
                {
                    "apiVersion": "v1",
                    "kind": "Secret",
                    "metadata": {"name": name, "namespace": record["metadata"].get("namespace")},
                }
            ),
            one.position,
            ObjectRules(hidden=("/data", "/stringData")),
        )
        for release, one in sorted(releases.items())
        for record in _records(member, discovery, release)
        if PART_OF not in map_of(record["metadata"].get("labels"))
        and (name := str(record["metadata"]["name"]))
    ]


def records_that_stay(work: MemberWork, desired: Sequence[DesiredObject]) -> Iterator[Notice]:
    """Of releases whose objects are adopted by this plan, and whose records stay. Raises
    ClusterError when the member stops answering."""
    adopted = {
        work.releases[change.key]
        for change in work.plan.changes
        if change.action is Action.ADOPT and change.key in work.releases
    }
    name = work.cluster.name
    for release in sorted(
        adopted - {one.rules.chart for one in desired if one.rules.remove_record}
    ):
        try:
            records = list(_records(work.member, work.observation.discovery, release))
        except ApiError as error:
            yield notice(NoticeCause.HELM_RECORDS_UNKNOWN, name, release, error=error)
            continue
        if records:
            names = ", ".join(sorted(str(r["metadata"]["name"]) for r in records))
            yield notice(NoticeCause.HELM_RECORD_STAYS, name, release, records=names)


def _records(member: Member, discovery: Discovery, release: str) -> Iterator[Object]:
    namespace, _, name = release.partition("/")
    resource = discovery.find(_SECRET)
    if resource is None:
        return
    selector = f"owner=helm,name={name}"
    listed = member.list_objects(
        resource, namespace=namespace, label_selector=selector, metadata_only=True
    )
    for one in listed:
        if str(one["metadata"]["name"]).startswith(f"{_NAME}{name}.v"):
            yield one
