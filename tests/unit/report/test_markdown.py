"""Plans as a pull request's comment, read by a CommonMark parser."""

from __future__ import annotations

import dataclasses
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from reconciler.api.errors import RunError
from reconciler.api.notices import NoticeCause, notice
from reconciler.plan.model import ClusterPlan, Plan, RunResult, WorkloadRow
from reconciler.report.markdown import (
    LEAST_LIMIT,
    LIMIT,
    escape,
    marker,
    render_plan_markdown,
    render_result_markdown,
)
from tests.unit.report.changes import CANARY, CATALOG, PRUNE, deployment
from tests.unit.report.fleets import (
    failover,
    guarded,
    large_fleet,
    quiet,
    run_of_web_shop,
    web_shop,
)
from tests.unit.report.hostile import HOSTILE, hostile, run_of_hostile


def parsed(text: str) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(text)


def inline(tokens: list[Token]) -> list[Token]:
    return [child for token in tokens for child in token.children or ()]


def cells(text: str, first: str) -> list[str]:
    """The cells of the table row that begins with ``first``."""
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {first} |")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def assert_whole(text: str) -> None:
    """Every fold and fence is closed, and what is folded holds only tables and fences."""
    depth = 0
    for token in parsed(text):
        if token.type == "html_block":
            for tag in re.findall(r"</?details>", token.content):
                depth += 1 if tag == "<details>" else -1
                assert depth in (0, 1)
        elif token.type == "fence":
            assert depth == 1
            assert token.info == "diff"
            assert text.splitlines()[(token.map or [0, 0])[1] - 1] == token.markup
        elif depth:
            assert token.type.startswith(("table", "thead", "tbody", "tr", "th", "td", "inline"))
    assert depth == 0


def many_changes(count: int) -> Plan:
    changes = tuple(dataclasses.replace(CATALOG, key=deployment(f"web-{n}")) for n in range(count))
    return Plan("shop", (ClusterPlan("aws-eu", changes=changes), ClusterPlan("gcp-eu")))


def test_the_marker_is_the_same_for_each_plan_of_a_federation() -> None:
    assert render_plan_markdown(web_shop()).startswith("<!-- federation-reconciler:plan:shop -->\n")
    assert render_plan_markdown(quiet()).startswith(marker(web_shop()) + "\n")
    run = render_result_markdown(run_of_web_shop())
    assert run.startswith("<!-- federation-reconciler:run:shop -->\n")
    assert re.fullmatch(r"<!-- [a-zA-Z0-9:. -]+ -->", marker(hostile()))
    assert "--" not in marker(Plan("a-<-b", ()))[4:-3]


def test_what_must_be_known_comes_before_the_tables_and_those_before_the_changes() -> None:
    text = render_plan_markdown(web_shop())
    kinds = [token.type for token in parsed(text)]
    assert kinds[:2] == ["html_block", "heading_open"]
    assert kinds.index("bullet_list_open") < kinds.index("table_open") < kinds.index("fence")
    assert kinds.count("table_open") == 2
    assert "- 🛑 **Refused:** aws-eu: Deployment shop/cart: conflict" in text
    assert "- ⚠️ **Nothing is pruned:** in gcp-us" in text


def test_workloads_stand_against_clusters() -> None:
    text = render_plan_markdown(web_shop())
    assert cells(text, "workload") == [
        *("workload", "aws-eu", "gcp-eu", "gcp-us", "in all", "fit nowhere"),
    ]
    assert cells(text, "shop/catalog")[1:] == [
        *("`~` 4 → **5**", "`~` 4 → **5**", "2", "10 → **12**", ""),
    ]
    assert cells(text, "shop/recommendations")[1:] == ["", "2 → **0**", "2 → **4**", "4", "2"]
    assert cells(text, "shop/cart")[1] == "`!` 3"
    assert "shop/gateway" not in text


def test_a_wide_fleet_has_sentences_instead_of_columns() -> None:
    text = render_plan_markdown(large_fleet())
    assert "<details><summary>40 clusters</summary>" in text
    assert "- shop/frontend: gcp-us-central1-07 6 → **0**; in all 178 → **172**\n" in text
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert rows[2].startswith("| gcp-us-central1-07 | ❌ unreachable |")
    assert_whole(text)


def test_changes_are_folded_by_the_clusters_that_share_them() -> None:
    text = render_plan_markdown(web_shop())
    fences = [token for token in parsed(text) if token.type == "fence"]
    assert "<summary><b>aws-eu, gcp-eu</b>: 3 changes (~3)</summary>" in text
    assert "-     spec.replicas: 4\n+     spec.replicas: 5\n" in fences[1].content
    assert "- CronJob shop/nightly-report  removed from Git\n" in fences[3].content
    assert "! ± Job shop/catalog-import" in fences[3].content


def test_an_outage_tells_moves_and_records() -> None:
    text = render_plan_markdown(failover())
    assert "- 🧪 **Simulated outage:** region=eu-central-1" in text
    assert "**Moves**\n\n- not moved from aws-eu: shop/api (it has run there)" in text
    assert "**DNS**\n\n- `~` frontend.shop.example.com. A:" in text


def test_a_guard_says_what_would_let_the_run_through() -> None:
    text = render_plan_markdown(guarded())
    assert "**Stopped by a guard:** aws-eu: 14 deletions" in text
    assert "**Nothing will be written:** look at what would be deleted" in text


def test_a_run_tells_what_failed_first() -> None:
    text = render_result_markdown(run_of_web_shop())
    assert "### Done: 8 created, 7 updated" in text
    assert "- 🛑 **Failed:** gcp-eu: recreate of Job shop/catalog-import: admission" in text
    assert text.index("**Failed:**") < text.index("**Skipped:**") < text.index("**Warning:**")


@pytest.mark.parametrize(
    "text",
    [render_plan_markdown(hostile()), render_result_markdown(run_of_hostile())],
    ids=["plan", "run"],
)
def test_nothing_in_a_plan_breaks_out_of_its_place(text: str) -> None:
    assert_whole(text)
    tokens = parsed(text)
    assert {child.type for child in inline(tokens)} <= {
        *("text", "code_inline", "strong_open", "strong_close", "text_special"),
    }
    blocks = "".join(token.content for token in tokens if token.type == "html_block")
    tags = set(re.findall(r"<(?!!--)[^>]*>", blocks))
    assert tags == {"<details>", "</details>", "<summary>", "</summary>", "<b>", "</b>"}
    outside = "".join(child.content for child in inline(tokens)) + blocks
    assert "@everyone" not in outside
    assert "#12" not in outside
    assert "://evil" not in outside
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_escaped_text_reads_as_it_was() -> None:
    plain = "a_b *c* `d` <e> | ~f~ [g](h) & &lt; $i$ \\ !j"
    assert MarkdownIt("commonmark").renderInline(escape(plain)) == (
        "a_b *c* `d` &lt;e&gt; | ~f~ [g](h) &amp; &amp;lt; $i$ \\ !j"
    )


def test_what_is_in_a_secret_is_never_shown() -> None:
    assert CANARY not in render_plan_markdown(web_shop())
    assert CANARY not in render_result_markdown(run_of_web_shop())


def test_a_comment_is_cut_between_changes_and_says_what_is_missing() -> None:
    text = render_plan_markdown(many_changes(2000))
    shown = text.count("! ~ Deployment shop/web-")
    assert LIMIT - 1500 < len(text) <= LIMIT
    assert_whole(text)
    assert f"comment: {2000 - shown} more changes. A JSON or HTML report has all." in text


def test_a_plan_that_fits_says_nothing_of_cutting() -> None:
    assert "Cut to" not in render_plan_markdown(web_shop())


def test_a_thousand_clusters_with_different_changes_fit_as_well() -> None:
    clusters = tuple(
        ClusterPlan(
            f"edge-{n:04}", changes=(dataclasses.replace(PRUNE, key=deployment(f"web-{n}")),)
        )
        for n in range(1000)
    )
    rows = tuple(
        WorkloadRow(deployment(f"web-{n}"), {f"edge-{n:04}": 2}, {}, shortfall=2)
        for n in range(1000)
    )
    notices = tuple(
        notice(NoticeCause.WITHOUT_EFFECT, subject=f"warning {n}", what="x" * 900)
        for n in range(1000)
    )
    plan = Plan("shop", clusters, notices=notices, workloads=rows)
    text = render_plan_markdown(plan)
    assert len(text) <= LIMIT
    assert_whole(text)
    for part in ("- ⚠️", "| edge-0000 |", "- shop/web-0: ", "<details><summary><b>edge-0000"):
        assert part in text


@given(limit=st.integers(LEAST_LIMIT, 30_000), kind=st.sampled_from(["web", "many", "hostile"]))
def test_no_limit_is_ever_passed_and_no_fold_left_open(limit: int, kind: str) -> None:
    plan = {"web": web_shop, "many": large_fleet, "hostile": hostile}[kind]()
    for text in (
        render_plan_markdown(plan, limit=limit),
        render_result_markdown(RunResult(plan, errors=(RunError(HOSTILE),) * 30), limit=limit),
    ):
        assert len(text.encode("utf-16-le")) // 2 <= limit
        assert_whole(text)


def test_a_limit_in_which_nothing_can_be_said_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2000 characters"):
        render_plan_markdown(web_shop(), limit=100)
