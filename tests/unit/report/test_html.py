"""The HTML page as text: complete, closed to what a plan may hold, and not too large."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from reconciler.api.objects import ObjectKey
from reconciler.plan.model import Action, Change, ClusterPlan, FieldChange, Plan, WorkloadRow
from reconciler.report.html import render_html, render_result_html
from reconciler.report.page_changes import MOST_CHANGES
from tests.unit.report.changes import CANARY, CATALOG, PRUNE, deployment
from tests.unit.report.fleets import (
    failover,
    guarded,
    large_fleet,
    quiet,
    run_of_web_shop,
    unwell,
    web_shop,
)
from tests.unit.report.hostile import HOSTILE, hostile, run_of_hostile

EMPTY = {"meta", "rect", "circle", "path", "use", "input", "br", "col", "link", "img", "base"}
PAGES = {
    "a plan": render_html(web_shop()),
    "an outage": render_html(failover()),
    "a guard": render_html(guarded()),
    "nothing to do": render_html(quiet()),
    "many clusters": render_html(large_fleet()),
    "no clusters": render_html(Plan("", ())),
    "illness": render_html(unwell()),
    "a run": render_result_html(run_of_web_shop()),
    "a hostile plan": render_html(hostile()),
    "a hostile run": render_result_html(run_of_hostile()),
}


class Page(HTMLParser):
    """Every element with its attributes, the text, and what was not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.texts: dict[str, list[str]] = {}
        self.wrong: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data: str) -> None:
        if self.open:
            self.texts.setdefault(self.open[-1], []).append(data)

    def all_text(self) -> str:
        return " ".join(
            " ".join("".join(parts).split())
            for tag, parts in self.texts.items()
            if tag not in ("style", "script")
        )


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES.keys())
def test_the_page_is_well_formed_and_needs_nothing_else(page: str) -> None:
    parsed = Page(page)
    assert (parsed.wrong, parsed.open) == ([], [])
    assert page.startswith("<!DOCTYPE html>\n")
    ids = [attributes["id"] for _, attributes in parsed.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for tag, attributes in parsed.elements:
        assert tag not in {"link", "img", "iframe", "base", "object", "embed"}
        assert "src" not in attributes
        assert "style" not in attributes
        assert not [name for name in attributes if name.startswith("on")]
        assert attributes.get("href", "#").startswith("#")
    for reference in ("aria-labelledby", "aria-describedby", "for"):
        assert {a[reference] for _, a in parsed.elements if reference in a} <= set(ids)


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES.keys())
def test_only_the_hashed_style_and_script_may_act(page: str) -> None:
    policy = next(a["content"] for tag, a in Page(page).elements if "http-equiv" in a)
    for tag in ("style", "script"):
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}';" in policy
        assert page.count(f"<{tag}") == 1
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy


def test_nothing_of_a_plan_becomes_part_of_the_page() -> None:
    usual = {
        tag for name in ("a plan", "an outage", "a run") for tag, _ in Page(PAGES[name]).elements
    }
    for name in ("a hostile plan", "a hostile run"):
        assert {tag for tag, _ in Page(PAGES[name]).elements} <= usual
        assert HOSTILE not in PAGES[name]
        assert "<script>window.pwned" not in PAGES[name]
        assert "{{ 7*7 }}" in PAGES[name]
        assert not re.search("[\x00-\x09\x0b-\x1f\u202e]", PAGES[name])


def test_what_is_in_a_secret_is_never_shown() -> None:
    assert not [name for name, page in PAGES.items() if CANARY in page]


def test_what_must_be_known_comes_before_everything_else() -> None:
    page = PAGES["a guard"]
    assert "<b>Stopped by a guard:</b> aws-eu: 14 deletions" in page
    assert "<b>Nothing will be written:</b> look at what would be deleted" in page
    page = PAGES["a run"]
    for before, after in pairwise(
        ("Refused:", "Failed:", "Skipped:", "Nothing is pruned:", "Warning:", 'id="fleet"')
    ):
        assert page.index(before) < page.index(after)
    outage = PAGES["an outage"]
    assert "<b>Simulated outage:</b> region=eu-central-1" in outage
    assert "<b>Cluster:</b> aws-eu is left out: simulated outage" in outage


def test_the_fleet_is_drawn_by_provider_and_region_for_three_widths() -> None:
    page = PAGES["a plan"]
    assert page.count('<svg class="picture ') == 3
    for label in (">aws</text>", ">gcp</text>", ">eu-central-1</text>", ">us-central1</text>"):
        assert page.count(label) == 3
    assert 'aria-label="aws-eu: reachable, 6 changes, replicas 33 to 37"' in page


def test_a_workload_has_a_bar_for_each_cluster_before_and_after() -> None:
    page = Page(PAGES["an outage"])
    bars = [
        a
        for tag, a in page.elements
        if tag == "rect" and "width" in a and set(a) <= {"class", "y", "width", "height"}
    ]
    widths = [(a["class"], float(a["width"])) for a in bars if a["class"] in ("before", "after")]
    assert widths[-6:] == [
        ("before", 85.7),
        ("after", 0),
        ("before", 57.1),
        ("after", 100),
        ("before", 42.9),
        ("after", 42.9),
    ]
    assert "3 fit nowhere" in PAGES["an outage"]


def test_moves_and_records_are_told() -> None:
    assert "not moved from aws-eu: shop/api (it has run there)" in PAGES["an outage"]
    assert "frontend.shop.example.com. A: 192.0.2.10, 198.51.100.7" in PAGES["an outage"]


def test_every_field_is_told_apart_by_more_than_colour() -> None:
    page = PAGES["a plan"]
    assert '<del><span class="unseen">before: </span>- EUR</del>' in page
    assert '<ins><span class="unseen">after: </span>+ EUR,USD,GBP</ins>' in page
    assert '<del><span class="unseen">removed: </span>- worker_processes 2;</del>' in page
    assert "drift: changed by kubectl-set" in page


def test_a_run_tells_what_became_of_each_change() -> None:
    page = PAGES["a run"]
    assert '<span class="outcome done">done</span>' in page
    assert '<span class="outcome failed">failed</span>' in page
    assert '<span class="outcome skipped">skipped</span>' in page


def test_a_big_plan_is_cut_to_its_most_serious_changes_and_says_so() -> None:
    clusters = tuple(
        ClusterPlan(
            f"edge-{number:04}",
            "edge",
            f"site-{number % 50}",
            changes=(
                *(
                    dataclasses.replace(CATALOG, key=deployment(f"web-{number}-{n}"))
                    for n in range(19)
                ),
                dataclasses.replace(PRUNE, key=PRUNE.key._replace(name=f"job-{number}")),
            ),
        )
        for number in range(1000)
    )
    page = render_html(Plan("shop", clusters))
    assert page.count('<details class="change"') == MOST_CHANGES
    assert page.count('data-action="prune">') == 1000
    assert "18000 more changes do not fit on this page" in page
    assert len(page) < 8_000_000


def test_long_values_and_many_fields_are_cut() -> None:
    many = (FieldChange(f"data.key{n}", n, n + 1) for n in range(100))
    fields = (FieldChange("data.blob", "x" * 50_000, "y" * 50_000), *many)
    page = render_html(
        Plan("shop", (ClusterPlan("a", changes=(dataclasses.replace(CATALOG, fields=fields),)),))
    )
    assert "41 more fields" in page
    assert "x" * 2_001 not in page


def test_workloads_of_many_clusters_show_those_that_change() -> None:
    before = {f"c{n:03}": 1 for n in range(400)}
    row = WorkloadRow(deployment("web"), before, {**before, "c399": 5})
    page = render_html(Plan("shop", (), workloads=(row,)))
    assert "376 more clusters as before" in page
    assert 'title="c399"' in page


# -- contrast --------------------------------------------------------------------------------

PAIRS = [
    *(
        (ink, ground)
        for ink in ("ink", "quiet", "accent")
        for ground in ("ground", "surface", "raised")
    ),
    *(
        (action, ground)
        for action in ("create", "update", "adopt", "recreate", "prune", "orphan", "failed")
        for ground in ("ground", "surface", "raised")
    ),
    *((sign, "surface") for sign in ("ok", "degraded", "down", "unknown")),
    *(
        ("ink", ground)
        for ground in ("added", "removed", "alarm", "caution", "told", "accent-ground")
    ),
    ("quiet", "alarm"),
    ("down", "alarm"),
]


def colours(dark: bool) -> dict[str, str]:
    blocks = re.findall(r":root \{(.*?)\}", PAGES["a plan"], re.DOTALL)
    found = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", blocks[0]))
    return (
        {**found, **dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", blocks[1]))} if dark else found
    )


def contrast(one: str, other: str) -> float:
    """The ratio of WCAG 2, from 1 to 21."""

    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        red, green, blue = (
            part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
        )
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_text_can_be_read_on_its_ground(dark: bool) -> None:
    found = colours(dark)
    weak = {pair: contrast(found[pair[0]], found[pair[1]]) for pair in PAIRS}
    assert {pair: ratio for pair, ratio in weak.items() if ratio < 4.5} == {}
    for line, ground in (("edge", "surface"), ("after", "raised"), ("before", "surface")):
        assert contrast(found[line], found[ground]) >= 3, line


def test_a_change_without_fields_or_place_in_git_is_told_as_such() -> None:
    change = Change(Action.PRUNE, ObjectKey("", "ConfigMap", "shop", "old"), "v1")
    page = render_html(Plan("shop", (ClusterPlan("a", changes=(change,)),)))
    assert "not in Git" in page
    assert "No single fields to show." in page
