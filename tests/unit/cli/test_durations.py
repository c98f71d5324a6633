from __future__ import annotations

import contextlib

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.cli.settings import DURATION


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("10m", 600), ("1h30m", 5400), ("1.5h", 5400), ("250ms", 0.25)],
)
def test_durations_are_written_as_in_kubernetes(text: str, seconds: float) -> None:
    assert DURATION.convert(text, None, None) == pytest.approx(seconds)


@given(st.text(max_size=12))
def test_other_text_is_refused_or_positive(text: str) -> None:
    with contextlib.suppress(click.BadParameter):
        assert DURATION.convert(text, None, None) > 0
