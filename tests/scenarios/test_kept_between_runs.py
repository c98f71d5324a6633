"""What a process keeps between its runs is not changed by them, and changes no plan."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from kubesim.fleet import Sandbox
from reconciler.api.options import RunOptions
from reconciler.cluster.client import Member
from reconciler.cluster.http import Transport
from reconciler.git.mark import mark_of_source
from reconciler.run.pipeline import apply_plan, make_plan
from reconciler.run.repository import read_repository
from reconciler.watch.lists import State
from reconciler.watch.watcher import Watcher
from tests.controlplane.process import eventually

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
