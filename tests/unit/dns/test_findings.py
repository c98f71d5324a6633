"""Names that nobody can answer to: found as values, told in words."""

from __future__ import annotations

from reconciler.dns.healthy_targets import Unanswered, ZoneContent


def test_a_name_that_nobody_answers_to_keeps_its_records_or_gets_none() -> None:
    content = ZoneContent(
        findings=(
            Unanswered("web.example.org.", kept=True, why="aws is down: timeout"),
            Unanswered("new.example.org.", kept=False, why="aws has no Service shop/web"),
        )
    )
    assert content.warnings == (
        "web.example.org.: no cluster is fit to answer (aws is down: timeout); its records stay as "
        "they are",
        "new.example.org.: no record yet, no cluster can answer (aws has no Service shop/web)",
    )
