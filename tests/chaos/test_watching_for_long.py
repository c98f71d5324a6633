"""A process that watches for long, while members are changed behind its back and break.

``make soak-watching SECONDS=3600`` takes an hour; here it is some seconds.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path

import pytest

from kubesim.cluster import SimulatedCluster
from kubesim.fleet import Sandbox
from kubesim.server import ClusterSettings
from tests.controlplane.process import eventually
from tests.unit.cli.conftest import environment  # noqa: F401
from tests.unit.cli.test_every import Service

SECONDS = float(os.environ.get("RECONCILER_SOAK_SECONDS", "8"))
SEED = int(os.environ.get("RECONCILER_SOAK_SEED", "1"))
NAMES = ("aws", "gcp")
OBJECTS = 8 if SECONDS < 60 else 300
"""So many that none is edited so often that it counts as fought over."""
WARM = 0.3
"""The share of the time after which a process keeps all that it keeps: what it compared, and two
states of Git while one takes the other's place."""
MEGABYTES = 12.0
"""That it may grow from then on: what is freed does not go back at once."""
DESCRIPTORS = 12
"""That it may have open in mid-run beyond those of a quiet moment."""

FEDERATION = """
apiVersion: federation.reconciler.dev/v1alpha1
kind: Federation
metadata: {name: shop}
spec: {defaults: {placement: {clusterSelector: {}}}}
"""
CLUSTER = """
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: %s}
"""
SETTINGS = """
apiVersion: v1
kind: ConfigMap
metadata: {name: settings-%s, namespace: default}
data: {colour: %s}
"""


@pytest.mark.timeout(SECONDS * 3 + 300)
def test_nothing_is_missed_and_nothing_grows(
    tmp_path: Path,
    environment: dict[str, str],  # noqa: F811
    record_property: Callable[[str, object], None],
) -> None:
    chance, wanted = random.Random(SEED), dict.fromkeys(range(OBJECTS), "green")
    folder = tmp_path / "repository"
    folder.mkdir()
    clusters = "".join(CLUSTER % name for name in NAMES)
    (folder / "federation.yaml").write_text(FEDERATION + clusters)
    for number in wanted:
        _write(folder, number, "green")
    with Sandbox(NAMES, settings=ClusterSettings(bookmark_every=1)) as sandbox:
        service = Service(
            environment,
            *("--listen", "127.0.0.1:0", "--every", "1s", "--resync", "30s", "--output", "none"),
            *("--repo", folder, "--kubeconfig", sandbox.kubeconfig),
        )
        numbers = cycle(range(OBJECTS))
        members = [sandbox.cluster(name) for name in NAMES]

        def is_right() -> bool:
            return all(_colours(member) == wanted for member in members)

        try:
            eventually(is_right, "it is as Git says", 60)
            eventually(lambda: service.runs("ok") >= 3, "it has warmed up", 60)
            first, descriptors = service.memory, service.descriptors
            began, moments, changes, memory = time.monotonic(), 0, 0, 0
            while time.monotonic() < began + SECONDS:
                if not memory and time.monotonic() > began + SECONDS * WARM:
                    memory = service.memory
                for _ in range(chance.randrange(1, 6)):
                    changes += 1
                    _something_happens(chance, chance.choice(members), folder, wanted, numbers)
                    time.sleep(chance.uniform(0, 0.3))
                for member in members:
                    if not member.running:
                        member.start()
                try:
                    eventually(is_right, f"it is right again after {moments} moments", 120)
                except AssertionError as error:
                    wrong = [
                        (member.name, number, found.get(number), colour)
                        for member in members
                        if (found := _colours(member)) != wanted
                        for number, colour in wanted.items()
                        if found.get(number) != colour
                    ]
                    told = (wrong, service.process.poll(), service.text[-3000:])
                    raise AssertionError(f"{error}: {told}") from None
                moments += 1
            eventually(lambda: service.descriptors <= descriptors + DESCRIPTORS, "none leaks", 60)
            grown = (service.memory - memory) / 1_048_576
            before = (memory - first) / 1_048_576
        finally:
            service.process.kill()
            service.process.wait()
    record_property(
        "watching",
        f"{moments} moments, {changes} changes in {SECONDS:.0f} s, "
        f"{grown:+.1f} MB after {before:+.1f} MB in the first {SECONDS * WARM:.0f} s",
    )
    assert grown < MEGABYTES
    assert moments > 0
    assert "defect" not in service.text
    assert "Traceback" not in service.text


def _something_happens(
    chance: random.Random,
    member: SimulatedCluster,
    folder: Path,
    wanted: dict[int, str],
    numbers: Iterator[int],
) -> None:
    number, what = next(numbers), chance.randrange(10)
    name = f"settings-{number}"
    if what < 4 and member.find("ConfigMap", name, "default"):
        red = {"data": {"colour": f"red-{chance.random()}"}}
        member.edit("ConfigMap", name, red, namespace="default")
    elif what == 4 and member.find("ConfigMap", name, "default"):
        member.delete("ConfigMap", name, namespace="default")
    elif what == 5:
        wanted[number] = f"blue-{chance.randrange(1000)}"
        _write(folder, number, wanted[number])
    elif what == 6:
        member.sever()
    elif what == 7:
        member.server.store.compact()
        member.sever()
    elif what == 8:
        member.stop() if member.running else member.start()
    else:
        member.faults.error(500, count=2)


def _write(folder: Path, number: int, colour: str) -> None:
    file = folder / f"settings-{number}.yaml"
    made = file.with_suffix(".new")
    made.write_text(SETTINGS % (number, colour))
    made.replace(file)


def _colours(member: SimulatedCluster) -> dict[int, str]:
    found = {n: member.find("ConfigMap", f"settings-{n}", "default") for n in range(OBJECTS)}
    return {n: one["data"]["colour"] for n, one in found.items() if one}
