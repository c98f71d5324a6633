"""``spec.dns.thresholds``: what stops a zone's changes, and that a failover does not."""

from __future__ import annotations

import pytest

from reconciler.dns.targets import ServiceView
from tests.unit.dns.fleets import ADDRESSES, CLUSTERS, WEB, World, lines, running, service
from tests.unit.dns.fleets import understood as read
from tests.unit.dns.named import CREDENTIALS, ZONE, Named, federation

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:octodns_bind")

SERVICES = [f"web-{number:02}" for number in range(12)]


def manifests(names: list[str]) -> list[str]:
    return [WEB.replace("name: web", f"name: {name}") for name in names]


def seen(unready: tuple[str, ...] = ()) -> dict[str, ServiceView]:
    """Every Service in every cluster; ``unready`` ones have no endpoints in aws-eu."""
    return {
        cluster: running(
            *(service(name, address) for name in SERVICES),
            unready=unready if cluster == "aws-eu" else (),
        )
        for cluster, address in ADDRESSES.items()
    }


@pytest.fixture
def world(named: Named) -> World:
    state = read(federation(named.port), CLUSTERS, *manifests(SERVICES))
    world = World(state, seen(), CREDENTIALS)
    world.settle()
    return world


def test_deleting_too_much_stops_the_zone(world: World, named: Named) -> None:
    world.state = read(federation(named.port), CLUSTERS, *manifests(SERVICES[5:]))
    serial = named.serial()
    plan, outcomes = world.run()
    assert plan.errors == (
        f"DNS {ZONE}: the plan changes too much of the zone: too many deletes, 41.67% is over "
        "30.00% (5/12) (spec.dns.thresholds sets the limits)",
    )
    assert (plan.changes, outcomes, named.serial()) == ((), (), serial)
    # Fewer pass, and so do all with a higher limit.
    world.state = read(federation(named.port), CLUSTERS, *manifests(SERVICES[3:]))
    assert len(world.plan().changes) == 3
    higher = federation(named.port).replace("    ttl: 60", "    thresholds: {deletePercent: 50}")
    world.state = read(higher, CLUSTERS, *manifests(SERVICES[5:]))
    world.settle()


def test_withdrawing_too_much_for_want_of_endpoints_stops_the_zone(world: World) -> None:
    world.seen = seen(unready=tuple(SERVICES[:5]))
    assert "too many updates" in world.plan().errors[0]
    world.seen = seen(unready=tuple(SERVICES[:3]))
    assert len(world.plan().changes) == 3


def test_a_failover_passes_whatever_it_touches(world: World, named: Named) -> None:
    world.down = {"aws-eu": "no answer"}
    world.settle()
    assert named.answer(f"web-00.shop.{ZONE}") == ["34.76.10.2", "35.185.10.3"]
    world.down = {}
    world.settle()
    assert named.answer(f"web-00.shop.{ZONE}") == sorted(ADDRESSES.values())


@pytest.mark.parametrize(("names", "left"), [(9, 0), (9, 4), (3, 1), (2, 0)])
def test_a_small_zone_keeps_most_of_its_names(named: Named, names: int, left: int) -> None:
    world = _small(named, names)
    world.state = read(federation(named.port), CLUSTERS, *manifests(SERVICES[:left]))
    (error,) = world.plan().errors
    assert f"deletes {names - left} of {names} names of a small zone" in error
    assert "smallZoneDeletePercent: 100" in error
    free = federation(named.port).replace(
        "    ttl: 60", "    thresholds: {smallZoneDeletePercent: 100}"
    )
    world.state = read(free, CLUSTERS, *manifests(SERVICES[:left]))
    assert len(lines(world.plan())) == names - left


@pytest.mark.parametrize(("names", "left"), [(9, 5), (4, 2), (2, 1), (1, 0)])
def test_a_name_of_a_small_zone_may_go(named: Named, names: int, left: int) -> None:
    world = _small(named, names)
    world.state = read(federation(named.port), CLUSTERS, *manifests(SERVICES[:left]))
    assert len(lines(world.plan())) == names - left


def _small(named: Named, names: int) -> World:
    world = World(
        read(federation(named.port), CLUSTERS, *manifests(SERVICES[:names])), seen(), CREDENTIALS
    )
    world.settle()
    return world


def test_records_of_others_do_not_dilute_the_share(world: World, named: Named) -> None:
    for number in range(30):
        named.somebody_writes(f"other-{number}.{ZONE}", "A", "192.0.2.1")
    world.state = read(federation(named.port), CLUSTERS, *manifests(SERVICES[5:]))
    assert "(5/12)" in world.plan().errors[0]
