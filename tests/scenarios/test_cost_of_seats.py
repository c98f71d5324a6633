"""What lock and memory cost at three seats: few requests to each, whatever the seat of the run."""

from __future__ import annotations

import time

from reconciler.lock.lease import Lease
from reconciler.lock.register_lock import RegisterRecords
from tests.scenarios.failover_world import NAMES
from tests.scenarios.seats_world import SeatsWorld, simulated

__all__ = ["simulated"]

COPY = "configmaps/federation-shop-seat"


def requests_to(world: SeatsWorld, name: str) -> list[str]:
    """The verbs of the requests for the copy of this seat."""
    return [r.method for r in world.hosts[name].requests if COPY in r.path]


def test_a_run_that_changes_nothing_asks_each_seat_four_times(simulated: SeatsWorld) -> None:
    simulated.begin()
    simulated.run()
    before = {name: len(requests_to(simulated, name)) for name in NAMES}
    simulated.run()
    sent = {name: requests_to(simulated, name)[before[name] :] for name in NAMES}
    assert all(len(verbs) <= 4 for verbs in sent.values()), sent
    assert {verbs.count("GET") for verbs in sent.values()} == {1}


def test_a_renewal_asks_each_seat_once(simulated: SeatsWorld) -> None:
    simulated.begin()
    lease = Lease(RegisterRecords(simulated.register()), duration=4.0)
    lease.acquire()
    before = {name: len(requests_to(simulated, name)) for name in NAMES}
    time.sleep(3 * lease.renew_every)
    lease.step_back()
    for name in NAMES:
        renewals = requests_to(simulated, name)[before[name] :]
        assert set(renewals) == {"PUT"}
        assert len(renewals) <= 3
    lease.release()
