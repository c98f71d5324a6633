"""Plans as a pull request's comment, read by a CommonMark parser."""

from __future__ import annotations

from dataclasses import replace

from markdown_it import MarkdownIt
from markdown_it.token import Token

from reconciler.planning.plan import ClusterPlan, Plan
from reconciler.reporting.markdown import LIMIT, render_markdown
from tests.reporting.changes import CATALOG, deployment
from tests.reporting.fleets import web_shop
from tests.reporting.hostile import hostile


def parsed(text: str) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(text)


def test_it_is_marked_warns_first_and_folds_clusters() -> None:
    text = render_markdown(web_shop())
    assert text.startswith("<!-- reconcile-plan:shop -->\n")
    tokens = parsed(text)
    kinds = [token.type for token in tokens]
    assert kinds.count("table_open") == 2
    fences = [token for token in tokens if token.type == "fence"]
    assert {fence.info for fence in fences} == {"diff"}
    assert kinds.index("bullet_list_open") < kinds.index("table_open")


def test_nothing_in_a_value_breaks_out_of_its_place() -> None:
    tokens = parsed(render_markdown(hostile()))
    html = [t.content for t in tokens if t.type == "html_block"]
    assert not any("<script" in content for content in html)
    inline = [c for t in tokens if t.children for c in t.children]
    assert not [c for c in inline if c.type == "link_open"]
    assert "@everyone" not in "".join(t.content for t in tokens if t.type == "inline")


def test_a_comment_is_cut_to_the_limit_and_says_so() -> None:
    changes = tuple(replace(CATALOG, key=deployment(f"web-{n}")) for n in range(2000))
    text = render_markdown(Plan("shop", (ClusterPlan("aws", changes=changes),)))
    assert len(text) <= LIMIT
    assert "was cut" in text
