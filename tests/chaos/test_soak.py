"""Run after run in one fleet, with a new repository, other hands and something broken each time.

`make soak` makes it 500 runs; RECONCILER_SOAK_SEED tells which.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.chaos import chance, tally
from tests.chaos.chance import NAMES, Draw, Object
from tests.chaos.conftest import Worlds
from tests.chaos.hosts import Host, SimulatedHost
from tests.chaos.invariants import (
    Snapshot,
    it_told_the_truth,
    no_stranger_was_touched,
    no_value_is_told,
    nothing_was_pruned_blindly,
    only_its_own_was_written,
    strangers,
)
from tests.chaos.table import BREAKAGES
from tests.chaos.world import HOST, World
from tests.controlplane.process import eventually
from tests.unit.cli.conftest import environment  # noqa: F401  (a fixture of ``Service``)
from tests.unit.cli.test_every import Service

RUNS = int(os.environ.get("RECONCILER_SOAK_RUNS", "25"))
SEED = int(os.environ.get("RECONCILER_SOAK_SEED", "1"))
SECONDS_FOR_EACH_RUN = 12
PEACE_AFTER = 5
"""Runs until there is peace, and all must come to be as it should."""
MEGABYTES_IN_100_ROUNDS = 3

QUICK = tuple(b for b in BREAKAGES if not b.deadline or "answered" in b.name)


@pytest.mark.timeout(RUNS * SECONDS_FOR_EACH_RUN)
def test_run_after_run(worlds: Worlds, count: Callable[..., None]) -> None:
    draw = Draw(SEED)
    world = worlds("simulated", NAMES)
    world.lock = "file"
    system = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "federation-system"}}
    world.hosts[HOST].create(system)
    known: set[str] = set()
    faults = unharmed = 0
    try:
        for number in range(RUNS):
            documents = change(draw, world, known)
            before = {n: others(host, documents) for n, host in world.hosts.items()}
            breakage, victim = draw.one(QUICK), world.hosts[draw.one(NAMES)]
            with breakage.strike(victim) as injected:
                run = world.apply(*_OPTIONS, "--log-format", draw.one(("text", "json")))
                faults += injected()
            said = f"run {number}: {breakage.name} in {victim.name}"
            with explained(said):
                unharmed += run.code == 0
                nothing_was_pruned_blindly(run)
                only_its_own_was_written(run, known)
                it_told_the_truth(run, world.run("--plan", *_OPTIONS))
                no_stranger_was_touched(before, world.hosts)
                if number % PEACE_AFTER == PEACE_AFTER - 1:
                    all_comes_to_be_as_it_should(world)
                no_value_is_told(world)
            world.texts.clear()
            for host in world.hosts.values():
                forget_events(host)
    finally:
        count(faults=faults, runs=world.runs, unharmed=unharmed)


_OPTIONS = ("--force-conflicts", "--deadline", "2s")


def change(draw: Draw, world: World, known: set[str]) -> list[Object]:
    """A new repository, or the old one; and somebody else in the members."""
    for host in world.hosts.values():
        assert isinstance(host, SimulatedHost)
        if draw.maybe():
            chance.meddle(draw, host.cluster)
    old = [*world.repository.glob("[0-9].yaml")]
    if old and draw.maybe():
        return chance.documents_in([path.read_text(encoding="utf-8") for path in old])
    documents = chance.repository(draw)
    world.write({path.name: None for path in old})
    world.write(chance.files(documents, lambda number: number % 3))
    known |= {document["metadata"]["name"] for document in documents}
    return documents


def forget_events(host: Host) -> None:
    """As API servers do after an hour; else each run would have more to look through."""
    assert isinstance(host, SimulatedHost)
    for obj in host.objects():
        if obj["kind"] == "Event":
            kind = f"Event.{obj['apiVersion'].rpartition('/')[0]}".rstrip(".")
            host.cluster.delete(
                kind, obj["metadata"]["name"], namespace=obj["metadata"]["namespace"]
            )


def others(host: Host, documents: list[Object]) -> Snapshot:
    """What is neither ours nor to become ours; Deployments have a controller, which is alive."""
    wanted = {
        (d["kind"], d["metadata"].get("namespace", ""), d["metadata"]["name"]) for d in documents
    }
    found = strangers(host)
    return {k: v for k, v in found.items() if k not in wanted and k[0] != "Deployment"}


def all_comes_to_be_as_it_should(world: World) -> None:
    for _ in range(2):
        run = world.apply(*_OPTIONS)
        plan = world.run("--plan", "--detailed-exitcode", *_OPTIONS)
        if plan.code == 0:
            break
    assert (run.code, plan.code) == (0, 0), run.out + run.err + plan.out + plan.err


@contextmanager
def explained(what: str) -> Iterator[None]:
    try:
        yield
    except AssertionError as error:
        error.add_note(f"{what}, of RECONCILER_SOAK_SEED={SEED}")
        raise


@pytest.mark.timeout(RUNS * SECONDS_FOR_EACH_RUN)
def test_memory_does_not_grow_while_it_keeps_running(
    worlds: Worlds,
    environment: dict[str, str],  # noqa: F811
    record_property: Callable[[str, object], None],
) -> None:
    draw = Draw(SEED)
    world = worlds("simulated", NAMES)
    change(draw, world, set())
    arguments = ("--repo", world.repository, "--kubeconfig", world.kubeconfig, "--output", "none")
    every = ("--listen", "127.0.0.1:0", "--every", "10ms", "--no-watch")
    service = Service(environment, *every, *arguments)
    try:
        _rounds(service, 40)
        before = service.memory
        for _ in range(max(1, RUNS // 25)):
            for host in world.hosts.values():
                host.faults.error(500, count=2)
                host.faults.truncate(path="labelSelector=", count=1)
            change(draw, world, set())
            _rounds(service, 40)
        rounds = max(1, RUNS // 25) * 40
        grown = (service.memory - before) / 1_048_576
    finally:
        service.process.kill()
        service.process.wait()
    megabytes = before / 1_048_576
    record_property(tally.MEMORY, f"{megabytes:.1f} MB, {grown:+.1f} after {rounds} rounds")
    # What is freed does not always go back at once: a few megabytes are nothing.
    assert grown < MEGABYTES_IN_100_ROUNDS * (1 + rounds / 100)


def _rounds(service: Service, number: int) -> None:
    def done() -> int:
        return service.runs("ok") + service.runs("failed")

    until = done() + number
    eventually(lambda: done() >= until, f"{number} more rounds", timeout=number * 5)
