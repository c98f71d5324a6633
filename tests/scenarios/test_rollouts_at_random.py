"""Random commits, good and bad, with runs that are killed, clusters that are lost and memories that
are: a bad commit never leaves its first wave, sums hold, and in the end all clusters agree."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from reconciler.state.memory import Phase, RolloutPhase
from tests.scenarios.failover_world import NAMES
from tests.scenarios.rollout_world import (
    BROKEN,
    FIRST,
    LAST,
    SECOND,
    RolloutWorld,
    rules,
    simulated,
    web,
)
from tests.scenarios.test_rollout import killed_after

__all__ = ["simulated"]
SEEDS = 60 if os.environ.get("RECONCILER_FAULTS", "") == "all" else 4
TERMS = ("soak: 0s", "soak: 2m", "maxConcurrent: 1")


@dataclass
class Story:
    """``done`` is what happened so far, for whoever is to understand a failure."""

    world: RolloutWorld
    chance: random.Random
    version: int = 1
    totals: dict[str, int] = field(default_factory=lambda: {"1": 6})
    lost: str = ""
    done: list[str] = field(default_factory=list)

    def begin(self) -> None:
        world, chance = self.world, self.chance
        for host in world.hosts.values():
            host.controllers.broken = BROKEN
        queue, on_failure = chance.choice(["Latest", "InOrder"]), chance.choice(["Hold", "Return"])
        terms = chance.choice(TERMS)
        self.done += [queue, on_failure, terms]
        world.begin(federation=rules(wave=terms, queue=queue, onFailure=on_failure))

    def good(self) -> None:
        self.version += 1
        self._commit(str(self.version), self.chance.choice([3, 6, 6, 9]))

    def bad(self) -> None:
        self._commit(BROKEN, 6)

    def _commit(self, tag: str, total: int) -> None:
        self.done.append(f"{tag}, {total} replicas")
        self.totals[tag] = total
        self.world.commit(web=web(tag, total=total))

    def run(self) -> None:
        self.world.run()
        self.check()

    def kill(self) -> None:
        writes = self.chance.randint(0, 6)
        self.done.append(f"at write {writes}")
        killed_after(self.world, writes)
        self.world.settle()
        self.check()

    def lose(self) -> None:
        if not self.lost:
            self.lost = self.chance.choice([FIRST, SECOND, LAST])
            self.done.append(self.lost)
            self.world.hosts[self.lost].stop()

    def bring_back(self) -> None:
        if self.lost:
            self.world.hosts[self.lost].start()
            self.lost = ""

    def forget(self) -> None:
        self.world.state.unlink()
        self.run()

    def resume(self) -> None:
        """As a person does."""
        if self.world.rollout.phase is RolloutPhase.HELD:
            self.world.steer(phase=RolloutPhase.PROGRESSING, reason="", progress=self.world.now)

    def check(self) -> None:
        versions, memory = self.world.versions(), self.world.memory()
        assert BROKEN not in (versions[SECOND], versions[LAST]), self.done
        if not self.lost and all(one.phase is Phase.UP for one in memory.clusters.values()):
            least = min(self.totals[version] for version in versions.values())
            assert sum(self.world.shares().values()) >= least, self.done

    def end(self) -> None:
        self.bring_back()
        self.good()
        last = dict.fromkeys(NAMES, str(self.version))
        for _ in range(60):
            self.run()
            self.resume()
            if not self.world.rollout.candidate and self.world.versions() == last:
                break
        assert self.world.versions() == last, (self.done, self.world.rollout)
        assert sum(self.world.shares().values()) == self.totals[str(self.version)], self.done
        assert self.world.versions(FIRST) == {FIRST: str(self.version)}


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_bad_commit_never_leaves_its_first_wave(simulated: RolloutWorld, seed: int) -> None:
    chance = random.Random(seed)
    story = Story(simulated, chance)
    story.begin()
    # What is there twice happens twice as often.
    happens: list[Callable[[], None]] = [
        *(story.good, story.bad, story.run, story.run, story.run, story.kill, story.kill),
        *(story.lose, story.bring_back, story.forget, story.resume),
    ]
    for _ in range(chance.randint(10, 25)):
        what = chance.choice(happens)
        story.done.append(what.__name__)
        what()
    story.end()
