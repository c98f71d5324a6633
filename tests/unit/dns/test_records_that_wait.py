"""While a Federation is closed, names leave clusters that are down, and all else waits."""

from __future__ import annotations

from typing import Any

from reconciler.api.notices import NoticeCause, notice
from reconciler.dns.external_dns import NAME_ANNOTATION, EndpointPlan, outage_part
from reconciler.dns.pipeline_step import waiting_records, withdrawals
from reconciler.dns.plan import DnsPlan, Write
from reconciler.plan.model import Plan, RecordOutcome
from reconciler.report.wording import dns_line, summary_line

WHY = "waits until 2026-12-01 02:00 CET (the Federation: maintenance)"


def record(name: str, action: str = "update", kind: str = "A") -> dict[str, Any]:
    sides = {"create": ("to",), "delete": ("from",)}.get(action, ("from", "to"))
    values = {side: ["192.0.2.1"] for side in sides}
    return {"zone": "example.com.", "name": name, "type": kind, "action": action, **values}


LEAVES, NEW = record("web.example.com."), record("new.example.com.", "create")


def written(*changes: dict[str, Any]) -> tuple[RecordOutcome, ...]:
    return tuple(
        RecordOutcome(c["zone"], c["name"], c["type"], c["action"], "done") for c in changes
    )


def planned() -> DnsPlan:
    part = Write("example.com.", (LEAVES,), lambda _: written(LEAVES))
    whole = Write("example.com.", (LEAVES, NEW), lambda _: written(LEAVES, NEW), part)
    return DnsPlan(
        (LEAVES, NEW), (notice(NoticeCause.NOT_APPLICABLE, error="a warning"),), writes=(whole,)
    )


def test_only_what_follows_an_outage_is_written() -> None:
    left = waiting_records(planned(), WHY)
    assert left is not None
    assert left.changes == (LEAVES, {**NEW, "waits": WHY})
    assert left.notices == planned().notices
    (write,) = left.writes
    assert [one.name for one in write.carry_out(lambda: False)] == ["web.example.com."]
    # Under a guard it is the same part.
    urgent = withdrawals(left)
    assert urgent is not None
    assert urgent.changes == (LEAVES,)


def test_an_open_federation_changes_nothing() -> None:
    dns = planned()
    assert waiting_records(dns, "") is dns
    assert waiting_records(None, WHY) is None


def test_what_waits_is_shown_and_is_no_change_to_make() -> None:
    waits = {**NEW, "waits": WHY}
    assert WHY in dns_line(waits)
    assert not Plan("shop", (), dns=(waits,)).has_changes
    assert Plan("shop", (), dns=(waits, LEAVES)).has_changes
    assert "1 DNS record to change" in summary_line(Plan("shop", (), dns=(waits, LEAVES)))


def body(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "annotations": {NAME_ANNOTATION: name}}}


def test_of_dnsendpoints_whole_names_follow_an_outage() -> None:
    both = record("both.example.com.", kind="AAAA")
    plan = EndpointPlan(
        (LEAVES, NEW, record("both.example.com."), {**both, "action": "create"}),
        (body("web.example.com."), body("new.example.com."), body("both.example.com.")),
        (body("old.example.com."),),
        excused=frozenset({"web.example.com.", "both.example.com."}),
    )
    part = outage_part(plan)
    assert part is not None
    assert part.changes == (LEAVES,)
    assert part.applied == (body("web.example.com."),)
    assert part.deleted == ()
    assert outage_part(EndpointPlan((NEW,), (body("new.example.com."),))) is None
