"""RFC 2136 against a real BIND: what a run writes is read back by dnspython."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.api.errors import LeaseLost
from reconciler.dns.plan import apply_dns
from tests.unit.dns.fleets import (
    ADDRESSES,
    CLUSTERS,
    WEB,
    World,
    everywhere,
    lines,
    many,
    running,
    service,
)
from tests.unit.dns.fleets import understood as read
from tests.unit.dns.named import (
    CREDENTIALS,
    EVERYTHING,
    KEY,
    READER,
    READER_SECRET,
    ZONE,
    Named,
    federation,
)

# octodns-bind still uses what octoDNS will drop in its next major version.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:octodns_bind")

NAME = f"web.shop.{ZONE}"
ALL = sorted(ADDRESSES.values())
EMPTY = {
    (f"ns.{ZONE}", "A"): ["127.0.0.1"],
    (ZONE, "NS"): [f"ns.{ZONE}"],
}


@pytest.fixture
def world(named: Named) -> World:
    state = read(federation(named.port), CLUSTERS, WEB)
    return World(state, everywhere(), CREDENTIALS)


def test_a_name_answers_with_every_cluster(world: World, named: Named) -> None:
    world.settle()
    assert named.answer(NAME) == ALL
    mark = named.answer(f"_owner.a.{NAME}", "TXT")
    assert mark == [
        '"heritage=federation-reconciler,owner=shop,aws-eu:52.29.10.1,gcp-eu:34.76.10.2,'
        'gcp-us:35.185.10.3"'
    ]


def test_another_repository_s_federation_of_the_same_name_is_left_alone(
    world: World, named: Named
) -> None:
    world.options = {"repositories": ("mine", "known-as-this-before")}
    world.settle()
    mark = named.answer(f"_owner.a.{NAME}", "TXT")
    assert "owner=shop,repository=mine,aws-eu:" in mark[0]
    state = read(federation(named.port), CLUSTERS)
    other = World(state, everywhere(), CREDENTIALS, options={"repositories": ("theirs",)})
    assert lines(other.plan()) == []
    other.state = world.state
    plan = other.plan()
    assert lines(plan) == []
    assert "it belongs to the 'shop' of another repository" in str(plan.notices[0])
    other.options["take_over"] = True
    other.settle()
    assert "repository=theirs" in named.answer(f"_owner.a.{NAME}", "TXT")[0]
    assert named.answer(NAME) == ALL


def test_a_mark_from_before_repositories_were_told_stays_as_it_is(
    world: World, named: Named
) -> None:
    world.settle()
    serial = named.serial()
    world.options = {"repositories": ("mine",)}
    world.settle()
    assert named.serial() == serial
    world.down = {"aws-eu": "no answer for 3m"}
    world.settle()
    assert "owner=shop,repository=mine,gcp-eu:" in named.answer(f"_owner.a.{NAME}", "TXT")[0]


def test_a_plan_writes_nothing(world: World, named: Named) -> None:
    serial = named.serial()
    assert lines(world.plan()) == [f"create {NAME} A - -> {','.join(ALL)}"]
    assert named.serial() == serial


def test_a_cluster_that_is_down_is_withdrawn_and_comes_back(world: World, named: Named) -> None:
    world.settle()
    world.down = {"aws-eu": "no answer for 3m"}
    plan, _ = world.run()
    assert plan.changes[0]["reason"] == "aws-eu is down: no answer for 3m"
    assert named.answer(NAME) == ["34.76.10.2", "35.185.10.3"]
    assert world.plan().changes == ()
    world.down = {}
    assert world.plan().changes[0]["reason"] == "aws-eu answers"
    world.settle()
    assert named.answer(NAME) == ALL


def test_the_last_targets_are_never_withdrawn(world: World, named: Named) -> None:
    world.settle()
    world.down = {"aws-eu": "gone", "gcp-us": "gone"}
    world.settle()
    serial = named.serial()
    world.down = dict.fromkeys(ADDRESSES, "gone")
    plan, outcomes = world.run()
    assert (plan.changes, plan.errors, outcomes) == ((), (), ())
    assert any(
        NAME in warning and "stay as they are" in warning for warning in map(str, plan.notices)
    )
    assert (named.answer(NAME), named.serial()) == (["34.76.10.2"], serial)


def test_a_cluster_that_cannot_be_looked_at_keeps_its_address(world: World, named: Named) -> None:
    world.settle()
    del world.seen["aws-eu"]
    world.down = {"gcp-us": "gone"}
    world.settle()
    assert named.answer(NAME) == ["34.76.10.2", "52.29.10.1"]


def test_what_leaves_git_is_pruned(world: World, named: Named) -> None:
    world.settle()
    world.state = read(federation(named.port), CLUSTERS)
    plan, _ = world.run()
    assert lines(plan) == [f"prune {NAME} A {','.join(ALL)} -> -"]
    assert plan.changes[0]["reason"] == "no longer wanted"
    assert named.transfer() == EMPTY


def test_records_of_others_are_never_touched(world: World, named: Named) -> None:
    named.somebody_writes(NAME, "A", "192.0.2.66")
    named.somebody_writes(f"www.{ZONE}", "CNAME", "elsewhere.example.net.")
    before = named.transfer()
    plan, outcomes = world.run()
    assert tuple(map(str, plan.notices)) == (
        f"{NAME} A: not written: there is a record (A) that is not ours",
    )
    assert (plan.changes, outcomes) == ((), ())
    assert named.transfer() == before


def test_two_federations_share_a_zone(world: World, named: Named) -> None:
    world.settle()
    api = WEB.replace("name: web", "name: api")
    other = World(
        read(federation(named.port, owner="bank"), CLUSTERS, WEB, api),
        {"aws-eu": running(service("web", "192.0.2.9"), service("api", "192.0.2.8"))},
        CREDENTIALS,
    )
    plan, _ = other.run()
    assert f"{NAME} A: not written: it belongs to 'shop'" in map(str, plan.notices)
    assert (named.answer(NAME), named.answer(f"api.shop.{ZONE}")) == (ALL, ["192.0.2.8"])
    # Neither prunes what the other one has.
    world.settle()
    other.state = read(federation(named.port, owner="bank"), CLUSTERS)
    other.settle()
    assert (named.answer(NAME), named.answer(f"api.shop.{ZONE}")) == (ALL, [])


def test_what_somebody_changed_by_hand_is_put_right(world: World, named: Named) -> None:
    world.settle()
    named.somebody_writes(NAME, "A", "192.0.2.66")
    world.settle()
    assert named.answer(NAME) == ALL
    named.somebody_deletes(NAME, "A")
    world.settle()
    assert named.answer(NAME) == ALL


def test_a_mark_of_many_clusters_is_longer_than_one_string(named: Named) -> None:
    clusters, seen = many()
    world = World(read(federation(named.port), clusters, CLUSTERS, WEB), seen, CREDENTIALS)
    world.settle()
    assert len(named.answer(f"_owner.a.{NAME}", "TXT")[0]) > 255
    # It is read back as a whole: of a cluster that cannot be looked at, the address stays.
    del world.seen["production-europe-20"]
    world.down = {"production-europe-01": "gone"}
    world.settle()
    assert named.answer(NAME) == sorted(f"192.0.2.{number}" for number in range(2, 21))


def test_addresses_give_way_to_a_cname_and_back_in_one_message(world: World, named: Named) -> None:
    world.settle()
    world.seen = {"aws-eu": running(service("web", "lb-1.eu-central-1.elb.amazonaws.com"))}
    world.down = {"gcp-eu": "gone", "gcp-us": "gone"}
    world.settle()
    assert named.answer(NAME, "CNAME") == ["lb-1.eu-central-1.elb.amazonaws.com."]
    world.seen, world.down = everywhere(), {}
    world.settle()
    assert (named.answer(NAME), named.answer(NAME, "CNAME")) == (ALL, [])


# -- when things break -------------------------------------------------------------------------


def test_a_wrong_key_is_an_error_that_does_not_show_it(world: World, named: Named) -> None:
    wrong = "d3JvbmcgYnV0IHN0aWxsIGEgc2VjcmV0IHRvIGtlZXA="
    world.environ = {"TSIG_KEY": KEY, "TSIG_SECRET": wrong}
    plan, outcomes = world.run()
    assert (plan.changes, outcomes) == ((), ())
    assert len(plan.errors) == 1
    assert plan.errors[0].startswith(f"DNS {ZONE}: the zone cannot be read: ")
    assert wrong not in repr(plan)
    assert named.transfer() == EMPTY


def test_a_key_without_the_right_to_write_is_an_outcome(world: World, named: Named) -> None:
    world.environ = {"TSIG_KEY": READER, "TSIG_SECRET": READER_SECRET}
    plan, outcomes = world.run()
    assert plan.errors == ()
    assert [(o.name, o.status) for o in outcomes] == [(NAME, "failed")]
    assert "REFUSED" in outcomes[0].message
    assert named.transfer() == EMPTY


def test_a_variable_that_is_not_set_is_named(world: World) -> None:
    world.environ = {"TSIG_KEY": KEY}
    assert world.plan().errors == (
        f"DNS {ZONE}: the environment variable TSIG_SECRET is not set "
        "(provider setting key_secret)",
    )


def test_a_secret_that_cannot_be_read_is_named(world: World, named: Named) -> None:
    text = federation(named.port).replace(
        "key_secret: env/TSIG_SECRET", "key_secret: {secretRef: {name: tsig, key: secret}}"
    )
    world.state = read(text, CLUSTERS, WEB)
    assert world.plan().errors == (
        f"DNS {ZONE}: provider setting key_secret: Secret tsig cannot be read: no host cluster is "
        "connected",
    )


def test_a_server_that_is_down_is_an_error_and_the_next_run_does_it(
    world: World, named: Named
) -> None:
    named.stop()
    plan, outcomes = world.run()
    assert (plan.changes, outcomes) == ((), ())
    assert "refused" in plan.errors[0].lower()
    named.start()
    world.settle()
    assert named.answer(NAME) == ALL


def test_a_server_that_dies_between_plan_and_apply(world: World, named: Named) -> None:
    plan = world.plan()
    named.stop()
    outcomes = apply_dns(plan)
    assert [o.status for o in outcomes] == ["failed"]
    named.start()
    world.settle()


def test_a_server_that_never_answers_is_not_waited_for(world: World, named: Named) -> None:
    plan = world.plan()
    named.pause()
    outcomes = apply_dns(plan, timeout=lambda: 0.2)
    (outcome,) = outcomes
    assert outcome.status == "failed"
    assert outcome.message.startswith("no answer within 0.")
    world.options["timeout"] = lambda: 0.2
    (error,) = world.plan().errors
    assert error.startswith(f"DNS {ZONE}: no answer within 0.")
    # What was left behind may still read, but writes no more.
    named.resume()
    del world.options["timeout"]
    world.settle()


def test_a_run_that_lost_its_lock_or_is_stopped_writes_nothing(world: World, named: Named) -> None:
    def lost() -> None:
        raise LeaseLost("another run holds the lock")

    plan = world.plan()
    for outcomes in (apply_dns(plan, fence=lost), apply_dns(plan, stopped=lambda: "SIGTERM")):
        assert [o.status for o in outcomes] == ["skipped"]
    assert named.transfer() == EMPTY


def test_a_zone_that_the_server_does_not_have(named: Named) -> None:
    state = read(federation(named.port, zone="other.example.org."), CLUSTERS, WEB)
    plan, outcomes = World(state, everywhere(), CREDENTIALS).run()
    assert outcomes == ()
    assert plan.errors[0].startswith("DNS other.example.org.: the zone cannot be read: ")


def test_a_zone_that_changed_since_the_plan_is_left_to_the_next_run(
    world: World, named: Named
) -> None:
    plan = world.plan()
    named.somebody_writes(NAME, "A", "192.0.2.66")
    before = named.transfer()
    outcomes = apply_dns(plan)
    assert outcomes[0].message == "the zone has changed since it was looked at; nothing was written"
    assert named.transfer() == before


def test_one_message_is_written_as_a_whole_or_not_at_all(named: Named, tmp_path: Path) -> None:
    # The server lets this key write one of the two names only.
    named.policy = f'grant "{KEY}" subdomain api.shop.{ZONE} ANY; grant "{KEY}" name _x.{ZONE} ANY;'
    named.policy += f' grant "{KEY}" subdomain _owner.a.api.shop.{ZONE} ANY;'
    named.restart()
    api = WEB.replace("name: web", "name: api")
    state = read(federation(named.port), CLUSTERS, WEB, api)
    seen = {"aws-eu": running(service("web", "192.0.2.1"), service("api", "192.0.2.2"))}
    world = World(state, seen, CREDENTIALS)
    _, outcomes = world.run()
    assert {o.status for o in outcomes} == {"failed"}
    assert named.transfer() == EMPTY
    # In messages of one name each the first arrives and the second does not; names stay whole.
    world.state = read(federation(named.port, batch=2), CLUSTERS, WEB, api)
    _, outcomes = world.run()
    assert [(o.name, o.status) for o in outcomes] == [
        (f"api.shop.{ZONE}", "done"),
        (NAME, "failed"),
    ]
    assert named.answer(f"api.shop.{ZONE}") == ["192.0.2.2"]
    assert named.answer(f"_owner.a.api.shop.{ZONE}", "TXT")
    # The next run does the rest and only the rest.
    named.policy = EVERYTHING
    named.restart()
    plan, _ = world.run()
    assert lines(plan) == [f"create {NAME} A - -> 192.0.2.1"]
    assert named.answer(NAME) == ["192.0.2.1"]
