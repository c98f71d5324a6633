"""The HTML page in a real browser: its script works, its policy holds, it is really drawn."""

from __future__ import annotations

import dataclasses
import re
import struct
import zlib
from pathlib import Path

import pytest

from reconciler.plan.model import ClusterPlan, Plan
from reconciler.report.html import render_html, render_result_html
from tests.unit.report.changes import CATALOG, deployment
from tests.unit.report.chromium import Browser, find_chromium
from tests.unit.report.fleets import failover, large_fleet, run_of_web_shop, web_shop
from tests.unit.report.hostile import hostile

pytestmark = pytest.mark.slow


@pytest.fixture
def browser(tmp_path: Path) -> Browser:
    return Browser(find_chromium(), tmp_path)


def probed(page: str, expression: str) -> str:
    """The page with a script of the test, which a policy made for it lets run; its answer is put
    into the title."""
    page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    return page.replace(
        "</body>", f"<script>document.title = String({expression});</script></body>"
    )


def answer(browser: Browser, page: str, expression: str, *options: str) -> str:
    seen = browser.open(probed(page, expression), "", *options)
    assert seen.complaints == ()
    return re.search(r"<title>(.*?)</title>", seen.dom, re.DOTALL)[1]  # type: ignore[index]


@pytest.mark.parametrize(
    "page",
    [
        render_html(web_shop()),
        render_html(failover()),
        render_html(large_fleet()),
        render_html(Plan("", ())),
        render_result_html(run_of_web_shop()),
    ],
    ids=["plan", "outage", "large", "empty", "run"],
)
def test_the_browser_has_nothing_to_complain_of(browser: Browser, page: str) -> None:
    seen = browser.open(page)
    assert seen.complaints == ()
    assert re.search(r'<form class="tools" role="search">', seen.dom), "the script did not run"


def test_a_search_in_the_address_leaves_what_matches(browser: Browser) -> None:
    page = render_html(web_shop())
    assert len(browser.open(page).changes()) == 13
    seen = browser.open(page, "#search=cronjob")
    assert seen.changes() == ["shop/nightly-report"]
    assert seen.status() == "1 of 13 different changes"
    assert 'value="cronjob"' not in seen.dom, "the box is a property, not markup"
    assert "gcp-us (gcp us-central1)" in seen.dom
    assert re.search(r'data-also="gcp-us"[^>]* hidden', seen.dom)


def test_all_words_must_match_and_clusters_count(browser: Browser) -> None:
    page = render_html(web_shop())
    assert browser.open(page, "#search=shop%2Freviews%20SERVICE").changes() == ["shop/reviews"]
    assert browser.open(page, "#search=gcp-us%20drift").changes() == ["shop/frontend"]
    nothing = browser.open(page, "#search=no-such-thing")
    assert nothing.changes() == []
    assert re.search(r'<p class="quiet" id="nothing">', nothing.dom)


def test_what_matches_inside_a_folded_change_unfolds_it(browser: Browser) -> None:
    page = render_html(web_shop())
    assert browser.open(page).open_changes() == 0
    seen = browser.open(page, "#search=keepalive_timeout")
    assert (seen.changes(), seen.open_changes()) == (["shop/shop-settings"], 1)


def test_a_search_finds_clusters_and_workloads_in_folded_lists(browser: Browser) -> None:
    dom = browser.open(render_html(large_fleet()), "#search=gcp-us-central1-07").dom
    assert re.search(r'<details class="list" open="">\s*<summary>Clusters as a list', dom)
    shown = re.findall(r'<tr data-row=""><th scope="row"><a [^>]*>([^<]*)<', dom)
    assert shown == ["gcp-us-central1-07"]


def test_buttons_filter_by_action_and_unfold_all(browser: Browser) -> None:
    page = render_html(web_shop())
    shown = "[...document.querySelectorAll('.change:not([hidden])')]"
    assert (
        answer(browser, page, f"(document.querySelector('.chip.create').click(), {shown}.length)")
        == "4"
    )
    both = "['create', 'prune'].forEach(a => document.querySelector('.chip.' + a).click())"
    assert answer(browser, page, f"({both}, {shown}.length)") == "5"
    unfold = "document.getElementById('unfold').click()"
    assert answer(browser, page, f"({unfold}, {shown}.filter(c => c.open).length)") == "13"


@pytest.mark.parametrize("width", [320, 720, 1280])
@pytest.mark.parametrize("plan", [web_shop(), large_fleet()], ids=["three", "forty"])
def test_the_page_never_scrolls_sideways(browser: Browser, plan: Plan, width: int) -> None:
    """A window is at least 500 wide, so that narrower ones are made by a frame."""
    page = render_html(plan)
    outer = f'<!DOCTYPE html><title></title><iframe id="f" width="{width}" height="900"></iframe>'
    inner = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    (browser.folder / "inner.html").write_text(inner, encoding="utf-8")
    script = (
        "<script>f.onload = () => { const d = f.contentDocument.documentElement;"
        "document.title = d.scrollWidth + ' ' + [...f.contentDocument.querySelectorAll('.picture')]"
        ".filter(p => p.getBoundingClientRect().width).length; };"
        "f.src = 'inner.html';</script>"
    )
    seen = browser.open(
        outer + script, "", "--allow-file-access-from-files", "--virtual-time-budget=3000"
    )
    needed, pictures = re.search(r"<title>(\d+) (\d+)</title>", seen.dom).groups()  # type: ignore[union-attr]
    assert int(needed) <= width
    assert pictures == "1"


def test_hostile_names_do_nothing(browser: Browser) -> None:
    seen = browser.open(render_html(hostile()), "#search=%3Cscript%3Ealert(1)%3C%2Fscript%3E")
    assert seen.complaints == ()
    assert "<script>window" not in seen.dom
    assert answer(browser, render_html(hostile()), "typeof window.pwned") == "undefined"


def test_the_policy_stops_a_script_that_is_not_ours(browser: Browser) -> None:
    page = render_html(web_shop()).replace("</main>", "<script>document.title='x'</script></main>")
    seen = browser.open(page)
    assert any("Content Security Policy" in text for text in seen.complaints)
    assert "<title>x</title>" not in seen.dom


def test_light_and_dark_are_drawn(browser: Browser) -> None:
    page = render_html(web_shop())
    light = pixel(browser.picture(page, 1280, 600), 4, 4)
    dark = pixel(browser.picture(page, 1280, 600, dark=True), 4, 4)
    assert light == (0xF4, 0xF6, 0xF9)
    assert dark == (0x0D, 0x12, 0x19)


def test_twenty_thousand_changes_stay_usable(browser: Browser) -> None:
    clusters = tuple(
        ClusterPlan(
            f"edge-{number:04}",
            "edge",
            f"site-{number % 50:02}",
            changes=tuple(
                dataclasses.replace(CATALOG, key=deployment(f"web-{number}-{n}")) for n in range(20)
            ),
        )
        for number in range(1000)
    )
    page = render_html(Plan("shop", clusters))
    seen = browser.open(page, "#search=web-7-")
    assert seen.complaints == ()
    assert len(seen.changes()) == 20
    took = answer(
        browser,
        page,
        "(() => { const box = document.getElementById('search'); box.value = 'web-7-';"
        "const began = performance.now(); location.hash = '#search=web-9-';"
        "window.dispatchEvent(new HashChangeEvent('hashchange'));"
        "return Math.round(performance.now() - began); })()",
    )
    assert int(took) < 3000, "milliseconds for one search"


def pixel(path: Path, x: int, y: int) -> tuple[int, int, int]:
    """One pixel of an RGB or RGBA PNG of eight bits."""
    data = path.read_bytes()
    width, _, depth, colour = struct.unpack(">IIBB", data[16:26])
    assert (depth, colour in (2, 6)) == (8, True)
    size = 3 if colour == 2 else 4
    packed, at = b"", 8
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        if kind == b"IDAT":
            packed += data[at + 8 : at + 8 + length]
        at += 12 + length
    raw = zlib.decompress(packed)
    line, above = bytearray(width * size), bytearray(width * size)
    for row in range(y + 1):
        start = row * (width * size + 1)
        line = bytearray(raw[start + 1 : start + 1 + width * size])
        _unfilter(line, above, size, raw[start])
        above = line
    red, green, blue = line[x * size : x * size + 3]
    return red, green, blue


def _unfilter(line: bytearray, above: bytearray, size: int, kind: int) -> None:
    """Undo a PNG row filter (PNG specification, section 9.2)."""
    for at in range(len(line)):
        left = line[at - size] if at >= size else 0
        corner = above[at - size] if at >= size else 0
        up = above[at]
        if kind == 1:
            line[at] = (line[at] + left) & 255
        elif kind == 2:
            line[at] = (line[at] + up) & 255
        elif kind == 3:
            line[at] = (line[at] + (left + up) // 2) & 255
        elif kind == 4:
            guess = left + up - corner
            best = min((left, up, corner), key=lambda value: abs(guess - value))
            line[at] = (line[at] + best) & 255
