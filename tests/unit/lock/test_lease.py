"""The lock in the host cluster: who gets it, who keeps it, and who must stop writing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kubesim.fleet import Sandbox
from reconciler.api.errors import LeaseLost, ReconcileError
from reconciler.api.objects import ObjectKey
from reconciler.cluster.client import Member
from reconciler.lock.lease import LEASES, KubernetesLease, Lease, LeaseRecord

KEY = ObjectKey("coordination.k8s.io", "Lease", "federation-system", "federation-shop")


class Clock:
    """Time that passes only where somebody waits; ``meanwhile`` is what others do by then."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.meanwhile: Callable[[], None] = lambda: None

    def __call__(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.now += seconds
        self.meanwhile()


class Runs:
    """Runs of the same federation; each believes in a wall clock of its own."""

    def __init__(self, host: Member, clock: Clock) -> None:
        self.host, self.clock = host, clock
        self.leases: list[Lease] = []
        self.told: list[str] = []

    def lease(self, holder: str, *, wall_clock: float = 1_700_000_000, **given: Any) -> Lease:
        lease = Lease(
            KubernetesLease(self.host, "shop", "federation-system"),
            holder=holder,
            clock=self.clock,
            now=lambda: wall_clock + self.clock.now,
            pause=self.clock.pause,
            notify=self.told.append,
            **{"duration": 60, **given},
        )
        self.leases.append(lease)
        return lease

    @property
    def record(self) -> LeaseRecord:
        found = self.host.get(LEASES, KEY)
        assert found is not None
        return LeaseRecord.of(found)


@pytest.fixture
def runs(host: Member):
    runs = Runs(host, Clock())
    yield runs
    for lease in runs.leases:
        lease.release()


@pytest.fixture
def simulated_runs(simulated_host: Member):
    runs = Runs(simulated_host, Clock())
    yield runs
    for lease in runs.leases:
        lease.release()


def test_the_first_run_gets_it_and_gives_it_back_to_the_next(runs: Runs) -> None:
    first, second = runs.lease("first"), runs.lease("second")
    assert first.acquire() is False
    first.check()
    assert runs.record.holder == "first"
    assert runs.record.duration == 60
    assert first.release() == ""
    assert runs.record.holder == ""
    assert second.acquire() is False
    assert runs.record.holder == "second"
    assert runs.record.transitions == 1
    assert not runs.told


def test_a_run_without_the_lock_must_not_write(runs: Runs) -> None:
    lease = runs.lease("one")
    with pytest.raises(LeaseLost):
        lease.check()
    lease.acquire()
    lease.check()
    lease.release()
    with pytest.raises(LeaseLost, match="released"):
        lease.check()


def test_a_holder_that_renews_is_named_with_since_when(runs: Runs) -> None:
    first = runs.lease("max@laptop")
    first.acquire()
    runs.clock.meanwhile = first._renew
    with pytest.raises(LeaseLost, match=r"max@laptop since 2023-11-14 22:30:00 UTC"):
        runs.lease("second").acquire()
    assert "checking whether it still renews it" in runs.told[0]
    first.check()


def test_a_holder_that_renews_is_waited_for_as_long_as_asked(runs: Runs) -> None:
    first, second = runs.lease("first"), runs.lease("second")
    first.acquire()

    def work_for_five_minutes() -> None:
        if runs.clock.now < 1300:
            first._renew()
        elif runs.record.holder == "first":
            first.release()

    runs.clock.meanwhile = work_for_five_minutes
    assert second.acquire(wait=600) is True
    assert 1300 <= runs.clock.now < 1310
    second.check()


@pytest.mark.parametrize("wall_clock", [0, 1_000_000_000, 4_000_000_000])
def test_a_silent_holder_is_followed_after_its_whole_duration_whatever_clocks_say(
    runs: Runs, wall_clock: float
) -> None:
    runs.lease("first", duration=60).acquire()
    second = runs.lease("second", wall_clock=wall_clock, duration=5)
    began = runs.clock.now
    assert second.acquire() is True
    assert 60 <= runs.clock.now - began < 65
    assert (runs.record.holder, runs.record.transitions) == ("second", 1)


def test_a_holder_that_wakes_up_after_a_takeover_must_not_write(runs: Runs) -> None:
    first, second = runs.lease("first"), runs.lease("second")
    first.acquire()
    second.acquire()
    with pytest.raises(LeaseLost, match="ago, and may be another run's by now"):
        first.check()
    first.release()
    assert runs.record.holder == "second", "who lost it must not give away another's"
    second.check()


def test_the_fence_falls_at_half_the_duration_and_stays(runs: Runs) -> None:
    lease = runs.lease("one", duration=60)
    lease.acquire()
    runs.clock.now += 29.9
    lease.check()
    runs.clock.now += 0.2
    with pytest.raises(LeaseLost):
        lease.check()
    lease._renew()
    with pytest.raises(LeaseLost):
        lease.check()


def test_a_renewal_moves_the_fence(runs: Runs) -> None:
    lease = runs.lease("one", duration=60)
    lease.acquire()
    for _ in range(5):
        runs.clock.now += 20
        lease._renew()
        lease.check()


def test_a_renewal_counts_from_when_it_was_sent(simulated_runs: Runs) -> None:
    """The server may have written it at once, and only the answer was slow."""
    runs = simulated_runs
    lease = runs.lease("one", duration=60)
    lease.acquire()
    real = runs.host.replace

    def slow(*arguments: Any) -> Any:
        written = real(*arguments)
        runs.clock.now += 25
        return written

    runs.host.replace = slow  # type: ignore[method-assign]
    runs.clock.now += 20
    lease._renew()
    runs.host.replace = real  # type: ignore[method-assign]
    runs.clock.now += 6
    with pytest.raises(LeaseLost):
        lease.check()


def test_a_renewal_that_finds_another_holder_loses_at_once(runs: Runs) -> None:
    lease = runs.lease("one")
    lease.acquire()
    found = runs.host.get(LEASES, KEY)
    assert found is not None
    found["spec"]["holderIdentity"] = "somebody"
    runs.host.replace(LEASES, KEY, found)
    with pytest.raises(LeaseLost, match="somebody"):
        lease._renew()
    with pytest.raises(LeaseLost, match="somebody"):
        lease.check()


def test_labels_put_on_the_lease_by_others_do_no_harm(runs: Runs) -> None:
    lease = runs.lease("one")
    lease.acquire()
    found = runs.host.get(LEASES, KEY)
    assert found is not None
    found["metadata"]["labels"]["team"] = "shop"
    runs.host.replace(LEASES, KEY, found)
    runs.clock.now += 20
    lease._renew()
    runs.clock.now += 20
    lease.check()
    found = runs.host.get(LEASES, KEY)
    assert found is not None
    assert found["metadata"]["labels"]["team"] == "shop"


def test_deleting_the_lease_breaks_the_lock(runs: Runs) -> None:
    lease = runs.lease("one")
    lease.acquire()
    found = runs.host.get(LEASES, KEY)
    assert found is not None
    metadata = found["metadata"]
    version = metadata["resourceVersion"]
    runs.host.delete(LEASES, KEY, uid=metadata["uid"], resource_version=version)
    with pytest.raises(LeaseLost, match="was deleted"):
        lease._renew()
    with pytest.raises(LeaseLost):
        lease.check()


def test_renewals_go_on_while_the_host_cluster_fails_for_a_while(
    simulated_runs: Runs, sandbox: Sandbox
) -> None:
    """With real time: the thread renews every quarter second, and the host is away for one."""
    lease = Lease(KubernetesLease(simulated_runs.host, "shop", "federation-system"), duration=2)
    lease.acquire()
    simulated_runs.leases.append(lease)
    fault = sandbox.cluster("host").faults.error(403, method="PUT", count=2)
    before = lease._renewed_at
    deadline = lease._clock() + 20
    while lease._renewed_at == before:
        assert lease._clock() < deadline
        lease._ended.wait(0.05)
    assert fault.hits == 2


@pytest.mark.parametrize(
    ("code", "words"), [(403, "cannot be had"), (500, "cannot be had"), (404, "cannot be had")]
)
def test_a_host_that_refuses_is_told_before_anything_else_happens(
    simulated_runs: Runs, sandbox: Sandbox, code: int, words: str
) -> None:
    sandbox.cluster("host").faults.error(code, path="/leases")
    with pytest.raises(ReconcileError, match=words):
        simulated_runs.lease("one").acquire()


def test_a_missing_namespace_is_told_with_the_command_that_makes_it(
    simulated_runs: Runs, simulated_host: Member
) -> None:
    with pytest.raises(ReconcileError) as told:
        Lease(KubernetesLease(simulated_host, "shop", "nowhere")).acquire()
    assert "kubectl create namespace nowhere" in told.value.hint


def test_an_interrupted_acquisition_gives_back_what_it_may_have_got(simulated_runs: Runs) -> None:
    lease = simulated_runs.lease("one")
    lease._take(0)
    assert simulated_runs.record.holder == "one"
    assert lease.release() == ""
    assert simulated_runs.record.holder == ""


def test_what_was_never_asked_for_is_not_given_back(simulated_runs: Runs, sandbox: Sandbox) -> None:
    early, late = simulated_runs.lease("round-7"), simulated_runs.lease("round-7")
    early.acquire()
    faults = sandbox.cluster("host").faults
    faults.error(500, path="/leases")
    with pytest.raises(ReconcileError):
        late.acquire()
    faults.clear()
    faults.unauthorized()
    assert late.release() == ""
    faults.clear()
    assert late.release() == ""
    assert simulated_runs.record.holder == "round-7"
    early.check()


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"holderIdentity": "old", "leaseDurationSeconds": 1},
        {"holderIdentity": "old", "leaseDurationSeconds": 2_000_000_000},
        {"holderIdentity": "old"},
    ],
)
def test_a_lease_that_others_made_is_understood(simulated_runs: Runs, spec: Any) -> None:
    metadata = {"name": KEY.name, "namespace": KEY.namespace}
    body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata}
    simulated_runs.host.create(LEASES, {**body, "spec": spec}, namespace=KEY.namespace)
    simulated_runs.lease("new").acquire()
    assert simulated_runs.record.holder == "new"
    assert simulated_runs.clock.now - 1000 < 3700


# -- held together by the pods of a Job --------------------------------------------------------


def test_pods_of_one_round_hold_it_together_until_the_last_gives_it_back(runs: Runs) -> None:
    one, two = runs.lease("round-7"), runs.lease("round-7")
    assert one.acquire() is False
    assert two.acquire() is False
    assert one.epoch == two.epoch
    one.step_back()
    with pytest.raises(LeaseLost, match="released"):
        one.check()
    two._renew()
    two.check()
    assert runs.record.holder == "round-7"
    two.release()
    assert runs.record.holder == ""


def test_a_pod_that_slept_must_not_write_though_another_keeps_the_lock(runs: Runs) -> None:
    one, two = runs.lease("round-7"), runs.lease("round-7")
    one.acquire()
    two.acquire()
    for _ in range(8):
        runs.clock.now += 5
        two._renew()
    two.check()
    with pytest.raises(LeaseLost, match="last renewed 40 s ago"):
        one.check()


def test_a_pod_loses_it_when_another_run_had_it_though_a_late_pod_took_it_again(
    runs: Runs,
) -> None:
    early = runs.lease("round-7")
    early.acquire()
    another = runs.lease("another")
    assert another.acquire() is True
    another.release()
    late = runs.lease("round-7")
    late.acquire()
    assert late.epoch == early.epoch + 2
    with pytest.raises(LeaseLost, match="another run held the lock meanwhile"):
        early._renew()
    with pytest.raises(LeaseLost):
        early.check()
    late.check()
