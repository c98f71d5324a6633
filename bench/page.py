"""The page of the fleet in Chromium: until it is seen, and until one cluster's news are."""

from __future__ import annotations

import shutil

from bench.rows import Row
from bench.sizes import Sizes
from bench.timing import Figure
from reconciler.plan.model import Plan
from reconciler.serve.journal import Journal
from reconciler.serve.live_page import LivePage
from reconciler.serve.page_server import serve_page
from tests.devtools import DevTools, devtools
from tests.unit.report.chromium import NAMES
from tests.unit.serve.live_fleets import calm_fleet, snapshot, with_one_down

PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
UPDATES = "performance.getEntriesByName('update').map(one => one.duration)"


def chromium() -> str | None:
    """Its path; None where there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def page_of_the_fleet(program: str, sizes: Sizes) -> list[Row]:
    """Both as the browser measures them: from the start of the navigation to the first contentful
    paint (Paint Timing), and from the event to the frame in which it is drawn."""
    plan = calm_fleet(sizes.fleet)
    page = LivePage(print)
    with (
        serve_page("0", page, Journal(60)) as port,
        devtools(program) as browser,
    ):
        page.show(snapshot(plan, 0))
        page.flush()
        address = f"http://127.0.0.1:{port}/"
        paints = [_paint(browser, address) for _ in range(sizes.rounds)]
        shown = _updates(browser, page, plan, sizes.rounds, 0)
        browser.evaluate("document.getElementById('cluster-list').open = true")
        listed = _updates(browser, page, plan, sizes.rounds, sizes.rounds)
    clusters = f"{len(plan.clusters):,} clusters"
    return [
        Row(
            f"page of {clusters}: first contentful paint",
            Figure.of(paints),
            at_most=1,
            judged=sizes.judged,
        ),
        Row(
            f"page of {clusters}: news of one cluster, until drawn",
            Figure.of(shown),
            at_most=0.1,
            judged=sizes.judged,
        ),
        Row("the same, with the list of all clusters open", Figure.of(listed)),
    ]


def _updates(
    browser: DevTools, page: LivePage, plan: Plan, rounds: int, before: int
) -> list[float]:
    """Seconds of so many pieces of news, each of another cluster that goes down."""
    for number in range(before, before + rounds):
        ill = plan.clusters[(number * 37) % len(plan.clusters)].name
        page.show(snapshot(with_one_down(plan, ill), number + 1))
        page.flush()
        browser.until(f"{UPDATES}.length > {number}")
    return [milliseconds / 1000 for milliseconds in browser.evaluate(UPDATES)[before:]]


def _paint(browser: DevTools, address: str) -> float:
    browser.open(address)
    browser.until("document.getElementById('live-text').textContent === 'Live'")
    return float(browser.until(PAINT)) / 1000
