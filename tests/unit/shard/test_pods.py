"""The pods of an Indexed Job as processes: told by the environment who they are."""

from __future__ import annotations

import subprocess

import pytest

from tests.command import start_command, user_environment
from tests.unit.shard.conftest import HOST, NAMES, ShardedWorld
from tests.unit.shard.test_shared_runs import WEB


def start(world: ShardedWorld, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    return start_command(
        *arguments,
        env=user_environment(
            world.repository.parent,
            RECONCILE_REPO=world.repository.as_uri(),
            RECONCILE_KUBECONFIG=str(world.kubeconfig),
            RECONCILE_HOST_CONTEXT=HOST,
            **environment,
        ),
    )


def pod(world: ShardedWorld, index: int, count: int, job: str) -> subprocess.Popen[str]:
    return start(
        world,
        "--yes",
        JOB_COMPLETION_INDEX=str(index),
        JOB_COMPLETIONS=str(count),
        RECONCILE_ROUND=job,
    )


def test_three_pods_of_a_job(world: ShardedWorld) -> None:
    world.commit("web.yaml", WEB)
    pods = [pod(world, index, 3, "first-job") for index in range(3)]
    done = [one.communicate(timeout=120) for one in pods]
    assert [one.returncode for one in pods] == [0, 0, 0], done
    assert world.replicas() == dict.fromkeys(NAMES, 2)
    for out, _ in done:
        assert sum(f"\n{name} (" in f"\n{out}" for name in NAMES) == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--yes", "--shard", "0/2"), "needs a --round"),
        (("--yes", "--shard", "2/2", "--round", "x"), "not a shard"),
        (("--yes", "--shard", "0/2", "--round", "x", "--lock", "file"), "needs a Lease"),
        (("--shard", "0/2", "--round", "x", "--every", "60s"), "leave out --every,"),
        (("--yes", "--shard", "0/2", "--round", "x", "--state", "memory.json"), "pods share"),
    ],
)
def test_what_cannot_be_shared_is_a_usage_error(
    simulated: ShardedWorld, arguments: tuple[str, ...], says: str
) -> None:
    process = start(simulated, *arguments)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 64, err
    assert says in err


def test_a_plan_shows_one_pods_share_and_needs_no_other_pod(simulated: ShardedWorld) -> None:
    simulated.commit("web.yaml", WEB)
    process = start(simulated, "--plan", "--shard", "1/3")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "over 1 cluster" in out
