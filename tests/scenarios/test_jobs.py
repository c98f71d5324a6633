"""Jobs run once for each content, also when they are deleted once they have finished."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reconciler.plan.model import Action
from reconciler.status.fleet_status import fleet_status
from tests.controlplane.fixtures import Fleet
from tests.controlplane.plane import ControlPlane
from tests.controlplane.process import eventually
from tests.scenarios.conftest import CLUSTERS, World
from tests.scenarios.manifests import NAMESPACE

JOB = """
apiVersion: batch/v1
kind: Job
metadata: {name: migrate, namespace: shop ANNOTATIONS}
spec:
  TTL
  template:
    spec:
      restartPolicy: Never
      containers: [{name: migrate, image: "registry.example/migrate:1.0"}]
"""
TTL = "ttlSecondsAfterFinished: 60"
RERUN = ", annotations: {federation.reconciler.dev/rerun-when-gone: 'true'}"


def job(ttl: str = TTL, annotations: str = "") -> str:
    return NAMESPACE + "---" + JOB.replace("TTL", ttl).replace("ANNOTATIONS", annotations)


def finish(world: World, condition: str = "Complete") -> None:
    """What the Job controller writes at the end."""
    now = "2026-11-28T11:00:00Z"
    first = {"Complete": "SuccessCriteriaMet", "Failed": "FailureTarget"}[condition]
    fields = {"status": "True", "lastProbeTime": now, "lastTransitionTime": now, "reason": "Ended"}
    status = {
        "startTime": now,
        "conditions": [{"type": first, **fields}, {"type": condition, **fields}],
    }
    if condition == "Complete":
        status |= {"completionTime": now, "succeeded": 1}
    for cluster in ("aws", "gcp"):
        patch = ("patch", "job", "migrate", "--subresource=status", "--type=merge")
        said = json.dumps({"status": status})
        world.kubectl("-n", "shop", *patch, "-p", said, cluster=cluster)


def collect(world: World) -> None:
    """What the TTL controller does, and everybody else who cleans up."""
    for cluster in ("aws", "gcp"):
        world.kubectl("-n", "shop", "delete", "job", "migrate", cluster=cluster)


def created(world: World) -> list[str]:
    return [
        c.name
        for c in world.plan().clusters
        for change in c.changes
        if change.action is Action.CREATE and change.key.kind == "Job"
    ]


def test_a_job_that_was_collected_does_not_run_again(world: World) -> None:
    world.write("job.yaml", job())
    assert world.apply().ok
    collect(world)
    prepared = world.prepare()
    assert not prepared.plan.has_changes
    # The inventory, Namespaces, Jobs; and whether there is another Job of that name by now.
    assert {work.member.requests for work in prepared.works} == {4}
    rows = fleet_status(prepared.plan, prepared.works, prepared.placed)
    (row,) = [row for row in rows if row.key.kind == "Job"]
    assert (row.fine, row.clusters[0].message) == (True, "it has run, and is gone since")
    assert world.apply().ok
    assert not world.exists("job", "migrate")
    assert not world.plan().has_changes


def test_another_content_runs_and_other_words_on_it_do_not(world: World) -> None:
    world.write("job.yaml", job())
    assert world.apply().ok
    collect(world)
    world.write("job.yaml", job("ttlSecondsAfterFinished: 5", ", labels: {team: shop}"))
    assert created(world) == []
    world.write("job.yaml", job().replace("migrate:1.0", "migrate:2.0"))
    assert created(world) == ["aws", "gcp"]
    assert world.apply().ok
    collect(world)
    assert created(world) == []


def test_a_job_runs_again_when_its_manifest_says_so(world: World) -> None:
    world.write("job.yaml", job(annotations=RERUN))
    assert world.apply().ok
    collect(world)
    assert created(world) == ["aws", "gcp"]
    assert world.apply().ok
    collect(world)
    world.write("job.yaml", job())
    assert created(world) == []


@pytest.mark.parametrize("condition", ["Complete", "Failed"])
def test_a_job_that_was_seen_finished_does_not_run_again(world: World, condition: str) -> None:
    world.write("job.yaml", job("completions: 1"))
    assert world.apply().ok
    finish(world, condition)
    assert world.apply().ok
    collect(world)
    assert not world.plan().has_changes


def test_a_job_that_was_deleted_while_it_ran_is_made_again(world: World) -> None:
    world.write("job.yaml", job("suspend: true"))
    assert world.apply().ok
    assert world.apply().ok
    collect(world)
    assert created(world) == ["aws", "gcp"]


def test_a_job_that_was_suspended_has_not_run(world: World) -> None:
    world.write("job.yaml", job(TTL + "\n  suspend: true"))
    assert world.apply().ok
    collect(world)
    assert created(world) == ["aws", "gcp"]
    assert world.apply().ok
    world.write("job.yaml", job())
    assert world.apply().ok
    collect(world)
    assert created(world) == []


def test_a_job_that_leaves_git_is_forgotten_and_runs_when_it_comes_back(world: World) -> None:
    world.write("job.yaml", job())
    assert world.apply().ok
    collect(world)
    world.write("job.yaml", NAMESPACE)
    assert world.apply().ok
    prepared = world.prepare()
    assert not prepared.plan.has_changes
    assert {work.member.requests for work in prepared.works} == {2}
    world.write("job.yaml", job())
    assert created(world) == ["aws", "gcp"]


def test_a_job_runs_in_a_cluster_that_comes_later(world: World) -> None:
    world.write("clusters.yaml", CLUSTERS.partition("---")[0])
    world.write("job.yaml", job())
    assert world.apply().ok
    world.kubectl("-n", "shop", "delete", "job", "migrate")
    world.write("clusters.yaml", CLUSTERS)
    assert created(world) == ["gcp"]
    assert world.apply().ok


def test_a_job_runs_again_where_its_namespace_was_lost(simulated_world: World) -> None:
    world = simulated_world
    world.write("job.yaml", job())
    assert world.apply().ok
    collect(world)
    world.kubectl("delete", "namespace", "shop")
    assert created(world) == ["aws"]
    assert world.apply().ok
    world.kubectl("-n", "shop", "delete", "job", "migrate")
    assert created(world) == []


def test_a_lost_inventory_lets_it_run_again_and_the_plan_shows_it(world: World) -> None:
    world.write("job.yaml", job())
    assert world.apply().ok
    collect(world)
    world.kubectl("-n", "federation-system", "delete", "secret", "--all", cluster="aws")
    assert created(world) == ["aws"]


def test_a_job_that_was_adopted_and_one_that_was_recreated_count_as_well(world: World) -> None:
    path = world.repository.parent / "job.yaml"
    path.write_text(job())
    for cluster in ("aws", "gcp"):
        world.kubectl("apply", "-f", str(path), cluster=cluster)
    world.write("job.yaml", job())
    assert world.apply().ok
    collect(world)
    assert created(world) == []

    world.write("job.yaml", job("completions: 2"))
    assert world.apply().ok
    recreated = RERUN.replace("rerun-when-gone", "recreate")
    world.write("job.yaml", job(TTL + "\n  completions: 3", recreated))
    assert world.apply().ok
    collect(world)
    assert created(world) == []


def test_a_time_that_is_given_to_a_finished_job_later_does_not_run_it_again(
    world: World,
) -> None:
    world.write("job.yaml", job("completions: 1"))
    assert world.apply().ok
    finish(world)
    world.write("job.yaml", job("completions: 1\n  ttlSecondsAfterFinished: 0"))
    assert world.apply().ok
    collect(world)
    assert created(world) == []


def test_a_pod_that_has_ended_does_not_run_again(world: World) -> None:
    pod = """
    apiVersion: v1
    kind: Pod
    metadata: {name: probe, namespace: shop}
    spec:
      restartPolicy: Never
      containers: [{name: probe, image: "registry.example/probe:1.0"}]
    """
    account = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: default, namespace: shop}\n"
    world.write("namespace.yaml", NAMESPACE + "---\n" + account)
    world.options["clusters"] = ("aws",)
    assert world.apply().ok
    world.write("pod.yaml", pod)
    assert world.apply().ok
    world.kubectl(
        *("-n", "shop", "patch", "pod", "probe", "--subresource=status", "--type=merge"),
        *("-p", '{"status": {"phase": "Succeeded"}}'),
    )
    assert world.apply().ok
    world.kubectl("-n", "shop", "delete", "pod", "probe", "--force", "--grace-period=0")
    assert not world.plan().has_changes
    world.write("pod.yaml", pod.replace("probe:1.0", "probe:2.0"))
    assert [change.action for change in world.changes()] == [Action.CREATE]


@pytest.mark.integration
def test_a_job_that_the_cluster_itself_collects_runs_once(
    fleet: Fleet, control_plane: ControlPlane, repository: Path
) -> None:
    (aws,) = fleet(1, controllers=True, nodes=1)
    world = World(repository, control_plane.kubeconfig({"aws": aws}))
    world.write("clusters.yaml", CLUSTERS.partition("---")[0])
    at_once = "ttlSecondsAfterFinished: 0\n  activeDeadlineSeconds: 1"
    world.write("job.yaml", job(at_once))
    assert world.apply().ok
    eventually(lambda: not world.exists("job", "migrate"), "the Job is collected", 60)
    assert not world.plan().has_changes
    assert world.apply().ok
    assert not world.exists("job", "migrate")
