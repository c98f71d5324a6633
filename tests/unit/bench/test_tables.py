from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence

import pytest

from bench.plots import Curve, log_log
from bench.rows import Row, as_markdown, as_text, faster, longer
from bench.timing import Figure

SVG = "{http://www.w3.org/2000/svg}"


def test_a_ratio_is_taken_round_by_round_so_that_a_slow_minute_does_not_count() -> None:
    row = faster("no-op", [1.0, 1.0, 9.0], [10.0, 12.0, 90.0], "kubectl", 10)

    assert row.ratio == Figure(10.0, 10.0, 12.0, 3)
    assert row.met is True


@pytest.mark.parametrize(
    ("row", "met"),
    [
        (faster("w", [1.0], [9.9], "kubectl", 10), False),
        (faster("w", [1.0], [10.0], "kubectl", 10), True),
        (longer("w", [2.1], [1.0], "the floor", 2), False),
        (longer("w", [2.0], [1.0], "the floor", 2), True),
        (Row("w", Figure.single(0.16), at_most=0.15), False),
        (Row("w", Figure.single(0.15), at_most=0.15), True),
        (Row("w", Figure.single(0.16), at_most=0.15, judged=False), None),
        (longer("w", [2.0], [1.0], "the floor"), None),
    ],
)
def test_a_target_is_met_up_to_its_bound(row: Row, met: bool | None) -> None:
    assert row.met is met


@pytest.mark.parametrize("form", [as_text, as_markdown])
def test_a_missed_target_catches_the_eye(form) -> None:
    text = form(
        [
            faster("first apply", [4.0], [5.0], "kubectl apply", 1.5),
            Row("peak memory", Figure.single(93.4), "MB", at_most=200),
        ]
    )

    apply, memory = text.splitlines()[2:]
    for part in ("4.00 s", "5.00 s kubectl apply", "1.25× as fast", "≥ 1.5×", "NO"):
        assert part in apply
    for part in ("93.4 MB", "≤ 200 MB", "yes"):
        assert part in memory


def _heights(picture: str, number: int) -> Sequence[float]:
    line = ET.fromstring(picture).findall(f"{SVG}polyline")[number]
    return [float(point.split(",")[1]) for point in line.attrib["points"].split()]


def test_a_curve_climbs_as_its_values_do_and_is_named() -> None:
    picture = log_log(
        "Growth",
        "objects",
        "seconds",
        [Curve("ours", [(100, 0.1), (1000, 1.0)]), Curve("floor", [(100, 0.1), (1000, 0.1)])],
    )

    low, high = _heights(picture, 0)
    assert high < low
    flat = _heights(picture, 1)
    assert flat[0] == flat[1] == low
    names = {text.text for text in ET.fromstring(picture).findall(f"{SVG}text")}
    assert {"Growth", "ours", "floor", "1,000"} <= names
