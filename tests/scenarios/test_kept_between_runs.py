"""What a process keeps between its runs is not changed by them, and changes no plan."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from msgspec.structs import replace

from kubesim.cluster import SimulatedCluster
from kubesim.fleet import Sandbox
from kubesim.server import ClusterSettings
from reconciler.api.errors import GuardViolation
from reconciler.api.objects import Object
from reconciler.api.options import RunOptions
from reconciler.cluster.client import Member
from reconciler.cluster.http import Transport
from reconciler.git.mark import mark_of_source
from reconciler.run.pipeline import Prepared, apply_plan, make_plan
from reconciler.run.repository import read_repository
from reconciler.watch.lists import State
from reconciler.watch.watcher import Watcher
from tests.controlplane.process import eventually
from tests.definitions import ANYTHING, definition_text

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def watcher() -> Iterator[Watcher]:
    watcher = Watcher(lambda _: None)
    yield watcher
    watcher.close()


def test_runs_leave_what_is_kept_as_it_is(tmp_path: Path, watcher: Watcher) -> None:
    """The fleet of the example, changed by hand and in Git; each plan is the one of a process that
    keeps nothing."""
    repository = tmp_path / "repository"
    shutil.copytree(ROOT / "sample-repo", repository)
    plain = RunOptions(repo=str(repository), lock="none", state=str(tmp_path / "memory"))
    names = [cluster.name for cluster in read_repository(plain).state.clusters]
    with Sandbox(names) as sandbox:
        plain = replace(plain, kubeconfig=str(sandbox.kubeconfig), sandbox=True)
        kept = replace(plain, kept=watcher)
        member = sandbox.cluster(names[0])
        for round_ in range(4):
            if round_ == 2:
                change = {"spec": {"replicas": 9}}
                deployments = [key for key in member.objects if key.kind == "Deployment"]
                for key in sorted(deployments)[:3]:
                    member.edit("Deployment", key.name, change, namespace=key.namespace)
                eventually(lambda: _agree(watcher), "it is told of")
            if round_ == 3:
                (repository / "more.yaml").write_text(
                    "apiVersion: v1\nkind: ConfigMap\n"
                    "metadata: {name: more, namespace: default}\ndata: {a: b}\n"
                )
            eventually(lambda: _agree(watcher), "nothing is on its way")
            watcher.begin(mark_of_source(kept))
            prepared = make_plan(kept)
            expected = make_plan(replace(plain, plan_only=True)).plan
            assert _changes(prepared.plan.clusters) == _changes(expected.clusters)
            assert prepared.plan.notices == expected.notices
            assert apply_plan(prepared).ok
            watcher.end()
            eventually(lambda: watcher.states()[State.LIVE] > 0, "it is watched")
            eventually(lambda: _agree(watcher), "what is kept is what is there")


def _changes(clusters: object) -> list[tuple[str, str, str, object]]:
    return [
        (one.name, str(change.key), str(change.action), change.fields)
        for one in clusters  # type: ignore[attr-defined]
        for change in one.changes
    ]


def _agree(watcher: Watcher) -> bool:
    """Whether every list that is kept is what its member would give."""
    for watched in watcher.members():
        fresh = Member("fresh", Transport("fresh", watched.endpoint))
        for one in watched.lists():
            name = one.name
            found = fresh.list_objects(
                name.resource, namespace=name.namespace, label_selector=name.label_selector
            )
            if list(one.view.objects) != found:
                return False
    return True


FLEET = """
apiVersion: federation.reconciler.dev/v1alpha1
kind: Federation
metadata: {name: shop}
spec:
  defaults: {placement: {clusterSelector: {}}}
  drift: {additions: %s}
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: aws}
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: gcp}
"""
SPACE = """
apiVersion: v1
kind: Namespace
metadata: {name: shop}
"""
APPLICATION = """
apiVersion: v1
kind: ConfigMap
metadata: {name: web-%(n)s, namespace: shop}
data: {colour: %(colour)s}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web-%(n)s, namespace: shop%(annotations)s}
spec:
  replicas: 2
  selector: {matchLabels: {app: web-%(n)s}}
  template:
    metadata: {labels: {app: web-%(n)s}}
    spec: {containers: [{name: web, image: "web:1"}]}
---
apiVersion: example.com/v1
kind: Claim
metadata: {name: claim-%(n)s, namespace: shop}
spec: {size: %(colour)s}
"""
PROTECTED = ', annotations: {federation.reconciler.dev/protect: "true"}'
STRICTER = "{properties: {spec: {type: object, x-kubernetes-preserve-unknown-fields: true}}}"
APPLICATIONS = 4
STEPS = int(os.environ.get("RECONCILER_KEPT_STEPS", "25"))


@pytest.mark.parametrize("seed", range(2))
def test_whatever_happens_the_plan_is_that_of_a_process_that_keeps_nothing(
    seed: int, tmp_path: Path, watcher: Watcher
) -> None:
    """What was compared is kept, and Git, members, records and rules change at random."""
    chance = random.Random(seed)
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "federation.yaml").write_text(FLEET % "Report")
    (folder / "definition.yaml").write_text(definition_text("Claim"))
    (folder / "space.yaml").write_text(SPACE)
    for number in range(APPLICATIONS):
        _write_application(folder, number)
    plain = RunOptions(repo=str(folder), lock="none", state=str(tmp_path / "memory"))
    with Sandbox(["aws", "gcp"], settings=ClusterSettings(established_after=0)) as sandbox:
        plain = replace(plain, kubeconfig=str(sandbox.kubeconfig), sandbox=True)
        kept = replace(plain, kept=watcher)
        settled = 0
        for step in range(STEPS):
            happened = (
                _something_happens(chance, sandbox.cluster(chance.choice(["aws", "gcp"])), folder)
                if step > 2
                else ""
            )
            eventually(lambda: _agree(watcher), "nothing is on its way")
            watcher.begin(mark_of_source(kept))
            prepared, expected = make_plan(kept), make_plan(plain)
            assert _all_of(prepared) == _all_of(expected), happened
            settled += sum(work.plan.unchanged for work in prepared.works)
            if step < 3 or chance.random() < 0.6:
                with suppress(GuardViolation):
                    apply_plan(prepared if step < 3 or chance.random() < 0.8 else expected)
            watcher.end()
        assert settled > STEPS * APPLICATIONS


def _all_of(prepared: Prepared) -> dict[str, object]:
    plan = prepared.plan
    return {
        "changes": _changes(plan.clusters),
        "errors": [(str(c.key), c.error) for one in plan.clusters for c in one.changes],
        "unchanged": [(one.name, one.unchanged) for one in plan.clusters],
        "additions": [one.additions for one in plan.clusters],
        "rest": (plan.notices, plan.workloads, plan.moves, plan.violations),
        "records": [(one.rows, one.ran, one.stale, one.fields) for one in prepared.works],
        "placed": prepared.placed,
    }


def _write_application(
    folder: Path, number: int, colour: str = "green", annotations: str = ""
) -> None:
    given = {"n": number, "colour": colour, "annotations": annotations}
    (folder / f"web-{number}.yaml").write_text(APPLICATION % given)


def _something_happens(chance: random.Random, member: SimulatedCluster, folder: Path) -> str:
    number = chance.randrange(APPLICATIONS)
    kind, name = chance.choice(
        [
            ("ConfigMap", f"web-{number}"),
            ("Deployment", f"web-{number}"),
            ("Claim.example.com", f"claim-{number}"),
        ]
    )
    what = chance.randrange(12)
    there = member.find(kind, name, "shop") is not None
    colour = f"c{chance.randrange(1000)}"

    def edit(change: Object, manager: str = "kubectl-edit") -> None:
        if there:
            member.edit(kind, name, change, namespace="shop", manager=manager)

    if what == 0:
        values = {
            "ConfigMap": {"data": {"colour": colour}},
            "Deployment": {"spec": {"replicas": 5}},
        }
        edit(values.get(kind, {"spec": {"size": colour}}), chance.choice(["kubectl-edit", "x"]))
    elif what == 1:
        edit({"metadata": {"annotations": {"note": colour}}}, chance.choice(["kubectl-edit", "x"]))
    elif what == 2 and there:
        member.delete(kind, name, namespace="shop")
    elif what == 3:
        edit({"metadata": {"finalizers": ["example.com/stays"]}})
        if there:
            member.delete(kind, name, namespace="shop")
    elif what == 4:
        edit({"metadata": {"finalizers": None}})
    elif what == 5:
        edit({"metadata": {"labels": {"applyset.kubernetes.io/part-of": None}}})
    elif what == 6:
        edit({"metadata": {"managedFields": [{}]}})
    elif what == 7:
        _write_application(folder, number, colour, chance.choice(["", PROTECTED]))
    elif what == 8:
        file = folder / f"web-{number}.yaml"
        file.unlink() if file.exists() else _write_application(folder, number)
    elif what == 9:
        (folder / "federation.yaml").write_text(
            FLEET % chance.choice(["Ignore", "Report", "Remove"])
        )
    elif what == 10:
        schema = chance.choice([ANYTHING, STRICTER])
        (folder / "definition.yaml").write_text(definition_text("Claim", schema=schema))
    elif what == 11 and member.find("Secret", "federation-shop", "federation-system"):
        # The records are lost, and with them the key of their digests.
        member.edit(
            "Secret",
            "federation-shop",
            {"data": chance.choice([{"records": ""}, {"key": "bm8ta2V5LW9mLW91cnMtYW55bW9yZQ=="}])},
            namespace="federation-system",
        )
    return f"{what} {kind} {name} {member}"
