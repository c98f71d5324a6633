"""The page of the fleet in a real browser: renewed while it is looked at, by keyboard, without
JavaScript, light and dark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.serve.journal import Journal
from reconciler.serve.live_page import LivePage
from reconciler.serve.page_server import serve_page
from tests.devtools import DevTools, devtools
from tests.unit.report.chromium import find_chromium
from tests.unit.report.fleets import run_of_web_shop, web_shop
from tests.unit.report.hostile import hostile
from tests.unit.serve.live_fleets import calm_fleet, snapshot, with_one_down
from tests.unit.serve.test_page_server import Site

pytestmark = pytest.mark.slow

AUDIT = Path(__file__).with_name("audit.js").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def browser() -> Iterator[DevTools]:
    with devtools(find_chromium()) as tab:
        yield tab


@pytest.fixture
def site() -> Iterator[Site]:
    page, journal = LivePage(print), Journal(60)
    with serve_page("0", page, journal) as port:
        yield Site(page, journal, port)


@pytest.fixture
def shop(site: Site) -> Site:
    """With something of every sort on its page."""
    site.show(snapshot(web_shop(), result=run_of_web_shop(), plan_only=False, ready=1))
    return site


def opened(browser: DevTools, site: Site, path: str = "/") -> None:
    browser.complaints.clear()
    browser.requests.clear()
    browser.open(f"http://127.0.0.1:{site.port}{path}")
    if path == "/":
        browser.until("document.getElementById('live-text').textContent === 'Live'")


def test_it_is_renewed_while_it_is_looked_at(browser: DevTools, site: Site) -> None:
    plan = calm_fleet(40)
    site.show(snapshot(plan, 1))
    opened(browser, site)
    browser.evaluate("document.getElementById('cluster-list').open = true")
    browser.evaluate("document.querySelector('#cluster-7 a').focus()")
    site.show(snapshot(with_one_down(plan, plan.clusters[7].name), 2))
    browser.until(
        "document.querySelector('#cluster-7 .health').textContent.includes('unreachable')"
    )
    assert plan.clusters[7].name in browser.evaluate("document.title")
    assert plan.clusters[7].name in browser.evaluate("document.getElementById('said').textContent")
    assert browser.evaluate("document.activeElement.closest('tr').id") == "cluster-7", "focus stays"
    assert browser.evaluate("document.getElementById('cluster-list').open"), "what is open stays so"
    site.show(snapshot(calm_fleet(41), 3))
    browser.until("document.querySelectorAll('#clusters tbody tr').length === 41")
    assert browser.evaluate("document.getElementById('cluster-list').open")
    assert browser.complaints == []
    assert all(url.startswith(f"http://127.0.0.1:{site.port}/") for url in browser.requests)


def test_a_first_run_fills_a_page_that_was_opened_before(browser: DevTools, site: Site) -> None:
    opened(browser, site)
    site.show(snapshot(web_shop()))
    browser.until("!!document.getElementById('pictures')")
    assert browser.complaints == []


def test_a_lost_connection_is_said_and_found_again(browser: DevTools) -> None:
    first, journal = LivePage(print), Journal(60)
    with serve_page("0", first, journal) as port:
        site = Site(first, journal, port)
        site.show(snapshot(calm_fleet(8)))
        opened(browser, site)
    browser.until("document.getElementById('live').classList.contains('lost')")
    second = LivePage(print)
    with serve_page(str(port), second, journal):
        Site(second, journal, port).show(snapshot(calm_fleet(9)))
        browser.until(f"document.documentElement.dataset.epoch === '{second.epoch}'")
        browser.until("document.querySelectorAll('#clusters tbody tr').length === 9")


def test_an_audit_finds_nothing(browser: DevTools, shop: Site) -> None:
    for path in ("/", "/clusters/gcp-eu"):
        opened(browser, shop, path)
        assert browser.evaluate(f"{AUDIT}; window.audit()") == []
        for wanted in (False, True):
            browser.dark(wanted=wanted)
            ratio, where = browser.evaluate("window.leastContrast()")
            assert ratio >= 4.5, (where, "dark" if wanted else "light")
    browser.dark(wanted=False)
    assert browser.complaints == []


def test_a_thousand_clusters_are_drawn(browser: DevTools, site: Site) -> None:
    site.show(snapshot(calm_fleet(1000)))
    browser.size(1280, 900)
    opened(browser, site)
    box = "document.querySelector('.picture.wide').getBoundingClientRect()"
    assert browser.evaluate(f"{box}.width") > 600
    assert browser.evaluate("document.querySelectorAll('.picture.wide .tile').length") == 1000


def test_light_and_dark_follow_the_reader(browser: DevTools, shop: Site) -> None:
    opened(browser, shop)
    ground = "getComputedStyle(document.body).backgroundColor"
    assert browser.evaluate(ground) == "rgb(244, 246, 249)"
    browser.dark()
    assert browser.evaluate(ground) == "rgb(13, 18, 25)"
    browser.dark(wanted=False)


def test_everything_is_reached_by_keyboard_in_the_order_of_the_page(
    browser: DevTools, shop: Site
) -> None:
    opened(browser, shop)
    stops = []
    for _ in range(16):
        browser.press("Tab", 9)
        stops.append(
            browser.evaluate(
                "(e => e.id || e.getAttribute('href') || e.tagName)(document.activeElement)"
            )
        )
    assert stops[:3] == ["#ill", "search", "only"]
    titles = ("workloads", "timeline", "runs", "matrix")
    assert stops[3:8] == ["#fleet", *(f"#{title}-title" for title in titles)]
    assert stops[8:13] == ["#fleet", "#workloads", "#waiting", "#clusters", "#runs"]
    order = browser.evaluate(
        "(all => all.every((e, n) => !n || e.compareDocumentPosition(all[n - 1]) & 2))"
        "([...document.querySelectorAll('a[href], button, input, summary')])"
    )
    assert order
    assert (
        browser.evaluate(
            'document.querySelectorAll(\'[tabindex]:not([tabindex="0"])'
            ':not([tabindex="-1"])\').length'
        )
        == 0
    )
    browser.press("Enter", 13, "\r")


def test_the_focus_is_seen(browser: DevTools, shop: Site) -> None:
    opened(browser, shop)
    for _ in range(4):
        browser.press("Tab", 9)
    style = browser.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert style == "solid"


def test_a_search_leaves_what_matches_and_news_do_not_undo_it(
    browser: DevTools, site: Site
) -> None:
    plan = calm_fleet(40)
    site.show(snapshot(plan, 1))
    opened(browser, site)
    browser.evaluate(
        f"(b => (b.value = '{plan.clusters[7].name}', b.dispatchEvent(new Event('input'))))"
        "(document.getElementById('search'))"
    )
    rows = "[...document.querySelectorAll('#clusters tr[data-row]:not([hidden])')]"
    shown = f"{rows}.map(row => row.id).join()"
    browser.until(f"{shown} === 'cluster-7'")
    site.show(snapshot(with_one_down(plan, plan.clusters[3].name), 2))
    browser.until("document.querySelector('#cluster-3').textContent.includes('unreachable')")
    assert browser.evaluate(shown) == "cluster-7"
    browser.evaluate("document.getElementById('only').click()")
    assert browser.evaluate(shown) == "", "that one is well"
    browser.evaluate(
        "(b => (b.value = '', b.dispatchEvent(new Event('input'))))"
        "(document.getElementById('search'))"
    )
    browser.until(f"{shown} === 'cluster-3'")


def test_without_javascript_it_is_a_plain_page(browser: DevTools, shop: Site) -> None:
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open_plain(f"http://127.0.0.1:{shop.port}/")
        seen = browser.seen_text()
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)
    for text in ("Load it anew", "Not well", "Waiting", "aws-eu", "shop/catalog", "Survivability"):
        assert text in seen
    assert "Search" not in seen, "nothing is there that would not work"
    assert "Copy" not in seen


@pytest.mark.parametrize("width", [320, 720, 1280])
def test_it_never_scrolls_sideways(browser: DevTools, shop: Site, width: int) -> None:
    browser.size(width, 900)
    opened(browser, shop)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    browser.size(1280, 900)


def test_hostile_names_do_nothing(browser: DevTools, site: Site) -> None:
    site.show(snapshot(calm_fleet(8), 1))
    opened(browser, site)
    site.show(snapshot(hostile(), 2))
    browser.until("document.querySelectorAll('#clusters tbody tr').length === 2")
    assert browser.evaluate("typeof window.pwned") == "undefined"
    assert browser.complaints == []
    opened(browser, site)
    assert browser.evaluate("typeof window.pwned") == "undefined"
    assert browser.complaints == []


def test_a_command_is_copied(browser: DevTools, shop: Site, tmp_path: Path) -> None:
    opened(browser, shop, "/clusters/aws-eu")
    browser.call("Browser.grantPermissions", permissions=["clipboardReadWrite"])
    browser.evaluate("document.querySelector('.commands .copy').click()")
    browser.until("document.querySelector('.commands .copy').textContent.startsWith('Copied')")
    assert browser.evaluate("navigator.clipboard.readText()") == "reconcile --plan --cluster aws-eu"


def test_a_link_to_a_change_opens_it(browser: DevTools, shop: Site) -> None:
    opened(browser, shop, "/clusters/aws-eu")
    href = browser.evaluate("document.querySelector('a[href*=\"#change-\"]').href")
    browser.open(href)
    anchor = href.rpartition("#")[2]
    assert browser.until(f"document.getElementById('{anchor}').closest('details').open")
