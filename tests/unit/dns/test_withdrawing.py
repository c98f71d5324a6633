"""The pure core: properties of every decision, and the table of what counts."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from reconciler.api.objects import ObjectKey
from reconciler.dns.healthy_targets import (
    NameHealth,
    ZoneContent,
    answering_targets,
    integer_weights,
    records_of_entry,
)
from reconciler.dns.records import (
    Abilities,
    DnsRecord,
    DnsTarget,
    ExistingRecord,
    Mark,
    NameEntry,
    Ownership,
    Place,
    marked,
    marker_name,
    owner_text,
    read_owner,
)
from reconciler.dns.targets import Exposed, ServiceView
from tests.strategies import ADDRESSES, DNS_ABILITIES, HOST_NAMES, name_health

ZONE = "shop.example.com."
WEB = ObjectKey("", "Service", "shop", "web")
NAMES = ["aws-eu", "gcp-eu", "gcp-us", "azure-eu"]
HEALTH = name_health(NAMES, WEB)
TOP, LEVEL = f"web.{ZONE}", f"web.eu.{ZONE}"

RESOLVED = {
    "lb-1.example.net.": ("203.0.113.1", "203.0.113.2"),
    "lb-2.example.net.": ("203.0.113.2", "2001:db8::9"),
}


def resolve(host: str) -> tuple[str, ...]:
    return RESOLVED.get(host, ())


def entries(kubefed: bool) -> dict[str, NameEntry]:
    """A name for all clusters, and one for two of them that points up when it is empty."""
    places = [Place(name, WEB) for name in NAMES]
    top = NameEntry(TOP, ZONE, 60, frozenset(places), resolve=kubefed)
    level = NameEntry(LEVEL, ZONE, 60, frozenset(places[:2]), resolve=kubefed, above=TOP)
    return {TOP: top, LEVEL: level}


def standing_after(
    decision: ZoneContent, before: Mapping[str, tuple[ExistingRecord, ...]]
) -> dict[str, tuple[ExistingRecord, ...]]:
    """What stands in the zone once a decision is carried out."""
    found: dict[str, tuple[ExistingRecord, ...]] = {}
    for record in decision.records:
        one = ExistingRecord(record.type, record.values, record.by_cluster)
        found[record.name] = (*found.get(record.name, ()), one)
    return {**found, **{name: before[name] for name in decision.kept}}


@given(st.lists(HEALTH, min_size=1, max_size=5), DNS_ABILITIES, st.booleans())
def test_a_name_that_answered_never_stops_to_answer(
    runs: list[NameHealth], can: Abilities, kubefed: bool
) -> None:
    existing: dict[str, tuple[ExistingRecord, ...]] = {}
    for fleet in runs:
        answered = set(existing)
        decision = answering_targets(entries(kubefed), fleet, existing, can, resolve)
        existing = standing_after(decision, existing)
        assert answered <= existing.keys()
        assert all(record.values for records in existing.values() for record in records)
        for name in decision.kept:
            assert decision.reasons[name]
            assert name == LEVEL or any(name == one.subject for one in decision.notices)


@given(HEALTH, DNS_ABILITIES, st.booleans(), st.randoms(use_true_random=False))
def test_the_order_of_what_is_seen_changes_nothing(
    fleet: NameHealth, can: Abilities, kubefed: bool, random: Random
) -> None:
    def shuffled(mapping: Mapping) -> dict:
        items = list(mapping.items())
        random.shuffle(items)
        return dict(items)

    def turned(view: ServiceView) -> ServiceView:
        return {
            key: replace(e, addresses=e.addresses[::-1], hosts=e.hosts[::-1])
            for key, e in view.items()
        }

    other = NameHealth(
        {name: turned(view) for name, view in shuffled(fleet.views).items()},
        shuffled(fleet.down),
        shuffled(fleet.weights),
    )
    wanted = entries(kubefed)
    one = answering_targets(wanted, fleet, {}, can, resolve)
    two = answering_targets(shuffled(wanted), other, {}, can, resolve)
    assert one.records == two.records
    assert (one.kept, one.excused, one.notices) == (two.kept, two.excused, two.notices)


@given(st.lists(HEALTH, min_size=1, max_size=3), DNS_ABILITIES, st.booleans())
def test_deciding_again_in_the_same_world_changes_nothing(
    runs: list[NameHealth], can: Abilities, kubefed: bool
) -> None:
    existing: dict[str, tuple[ExistingRecord, ...]] = {}
    for fleet in runs:
        existing = standing_after(
            answering_targets(entries(kubefed), fleet, existing, can, resolve), existing
        )
    again = answering_targets(entries(kubefed), runs[-1], existing, can, resolve)
    assert standing_after(again, existing) == existing


@given(HEALTH, DNS_ABILITIES, st.booleans())
def test_clusters_that_are_down_answer_nowhere_unless_nobody_else_can(
    fleet: NameHealth, can: Abilities, kubefed: bool
) -> None:
    decision = answering_targets(entries(kubefed), fleet, {}, can, resolve)
    ready = {
        name
        for name, view in fleet.views.items()
        if name not in fleet.down and WEB in view and view[WEB].ready
    }
    for record in decision.records:
        assert not record.by_cluster.keys() & fleet.down.keys()
        assert record.by_cluster.keys() <= ready


@given(HEALTH, DNS_ABILITIES, st.booleans())
def test_every_record_is_one_that_dns_allows(
    fleet: NameHealth, can: Abilities, kubefed: bool
) -> None:
    decision = answering_targets(entries(kubefed), fleet, {}, can, resolve)
    by_name: dict[str, list[DnsRecord]] = {}
    for record in decision.records:
        by_name.setdefault(record.name, []).append(record)
        assert all(1 <= target.weight <= 100 for target in record.targets)
        if record.type in ("A", "AAAA"):
            version = 4 if record.type == "A" else 6
            assert all(ipaddress.ip_address(v).version == version for v in record.values)
        elif not record.weighted:
            assert len(record.targets) == 1
        assert can.weighted or not record.weighted
    for records in by_name.values():
        types = [record.type for record in records]
        assert len(set(types)) == len(types)
        assert "CNAME" not in types or len(types) == 1


@given(
    st.dictionaries(
        st.from_regex(r"[a-z]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True),
        st.lists(st.one_of(ADDRESSES, HOST_NAMES), min_size=1, unique=True),
    ),
    st.from_regex(r"[A-Za-z0-9._-]+", fullmatch=True),
    st.from_regex(r"([0-9a-f]{12})?", fullmatch=True),
)
def test_what_a_mark_says_can_be_read_again(
    memory: dict[str, list[str]], owner: str, repository: str
) -> None:
    written = {name: tuple(sorted(values)) for name, values in memory.items()}
    assert read_owner(owner_text(owner, written, repository)) == (owner, written, repository)


HERE = {"aws": ("192.0.2.1",)}


@pytest.mark.parametrize(
    ("mark", "ours"),
    [
        (Mark("shop", HERE, "ours"), True),
        (Mark("shop", HERE, "once-ours"), True),
        (Mark("shop", HERE), True),
        (Mark("shop", HERE, "theirs"), False),
        (Mark("other", HERE, "ours"), False),
    ],
)
def test_a_mark_of_another_repository_is_not_ours(mark: Mark, ours: bool) -> None:
    assert Ownership("shop", ("ours", "once-ours")).owns(mark) is ours
    named = mark.owner == "shop"
    assert Ownership("shop").owns(mark) is named
    assert Ownership("shop", ("ours",), take_over=True).owns(mark) is named


@pytest.mark.parametrize(
    ("existing", "repository"),
    [
        (None, "ours"),
        (Mark("shop", HERE), ""),
        (Mark("shop", HERE, "once-ours"), "once-ours"),
        (Mark("shop", {"aws": ("192.0.2.2",)}), "ours"),
        (Mark("shop", HERE, "theirs"), "ours"),
    ],
)
def test_a_mark_that_is_true_is_not_written_for_its_repository_alone(
    existing: Mark | None, repository: str
) -> None:
    owner = Ownership("shop", ("ours", "once-ours"), take_over=True)
    assert owner.text(HERE, existing) == owner_text("shop", HERE, repository)


@given(
    st.from_regex(r"(\*\.)?([a-z0-9]{1,5}\.){1,4}", fullmatch=True),
    st.sampled_from(["A", "AAAA", "CNAME", "ALIAS"]),
)
def test_a_marks_name_says_what_it_marks(name: str, kind: str) -> None:
    assert marked(marker_name(name, kind)) == (name, kind)


def test_texts_of_others_are_no_marks() -> None:
    for text in ("v=spf1 -all", "heritage=external-dns,external-dns/owner=x", "", "*octodns*"):
        assert read_owner(text) == ("", {}, "")
    for name in ("web.example.com.", "_owner.mx.example.com.", "_owner.a.", "_owner."):
        assert marked(name) is None


def test_weights_follow_the_placement_and_a_cluster_shares_its_weight() -> None:
    targets = [
        DnsTarget("192.0.2.1", "aws-eu", 3),
        DnsTarget("192.0.2.2", "aws-eu", 3),
        DnsTarget("192.0.2.3", "gcp-eu", 1),
    ]
    found = {t.value: t.weight for t in integer_weights(targets)}
    assert found == {"192.0.2.1": 3, "192.0.2.2": 3, "192.0.2.3": 2}
    name = NameEntry(TOP, ZONE, 60)
    [plain] = records_of_entry(name, targets, Abilities(), resolve)
    [kubefed] = records_of_entry(
        replace(name, resolve=True), targets, Abilities(weighted=True), resolve
    )
    assert plain == kubefed
    assert (plain.weighted, {t.weight for t in plain.targets}) == (False, {1})


def test_host_names_stay_names_where_the_provider_can_answer_with_them() -> None:
    one = [DnsTarget("lb-1.example.net.", "aws-eu")]
    two = [*one, DnsTarget("lb-2.example.net.", "gcp-eu")]
    mixed = [*one, DnsTarget("192.0.2.1", "gcp-eu")]
    name = NameEntry(TOP, ZONE, 60)
    apex = NameEntry(ZONE, ZONE, 60)
    plain, alias, weighted = Abilities(), Abilities(alias=True), Abilities(weighted=True)
    table = [
        (name, one, plain, "CNAME lb-1.example.net."),
        (name, two, plain, "A 203.0.113.1,203.0.113.2 AAAA 2001:db8::9"),
        (name, two, weighted, "CNAME lb-1.example.net.,lb-2.example.net."),
        (name, mixed, weighted, "A 192.0.2.1,203.0.113.1,203.0.113.2"),
        (apex, one, plain, "A 203.0.113.1,203.0.113.2"),
        (apex, one, alias, "ALIAS lb-1.example.net."),
        (apex, two, alias, "A 203.0.113.1,203.0.113.2 AAAA 2001:db8::9"),
        (replace(name, resolve=True), one, weighted, "A 203.0.113.1,203.0.113.2"),
    ]
    for entry, targets, can, expected in table:
        found = records_of_entry(entry, targets, can, resolve)
        assert " ".join(f"{r.type} {','.join(r.values)}" for r in found) == expected


def test_an_object_whose_rule_is_to_stay_keeps_the_address_of_a_cluster_that_is_down() -> None:
    up = {name: {WEB: Exposed((f"192.0.2.{i}",), ready=True)} for i, name in enumerate(NAMES, 1)}
    entry = {TOP: entries(False)[TOP]}
    existing = standing_after(
        answering_targets(entry, NameHealth(up), {}, Abilities(), resolve), {}
    )
    seen = {name: view for name, view in up.items() if name != "aws-eu"}
    down = {"aws-eu": "no answer"}
    moved = answering_targets(entry, NameHealth(seen, down), existing, Abilities(), resolve)
    stays = NameHealth(seen, down, unaffected=frozenset({WEB}))
    kept = answering_targets(entry, stays, existing, Abilities(), resolve)
    assert moved.records[0].values == ("192.0.2.2", "192.0.2.3", "192.0.2.4")
    assert kept.records[0].values == ("192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4")


def test_a_host_name_that_does_not_resolve_now_withdraws_nothing() -> None:
    entry = {TOP: entries(False)[TOP]}
    seen = {
        "aws-eu": {WEB: Exposed(hosts=("lb-1.example.net.",), ready=True)},
        "gcp-eu": {WEB: Exposed(("192.0.2.1",), ready=True)},
    }
    fleet = NameHealth(seen, down={"gcp-us": "no answer", "azure-eu": "no answer"})
    before = answering_targets(entry, fleet, {}, Abilities(), resolve)
    assert before.records[0].values == ("192.0.2.1", "203.0.113.1", "203.0.113.2")
    later = answering_targets(entry, fleet, standing_after(before, {}), Abilities(), lambda _: ())
    assert later.records == before.records
