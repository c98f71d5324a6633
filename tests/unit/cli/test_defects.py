"""When the tool itself is wrong, whatever it was working with stays unsaid."""

from __future__ import annotations

import pytest

from reconciler.cli.console import Console
from reconciler.cli.error_messages import report_defect

CANARY = "c4nary"


def spoiled(value: str) -> None:
    try:
        raise KeyError(value)
    except KeyError as error:
        raise ValueError({"stringData": {"password": value}}) from error


@pytest.mark.parametrize("debug", [False, True])
def test_the_words_of_a_defect_are_not_written(
    debug: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError, match=CANARY) as caught:
        spoiled(CANARY)
    caught.value.add_note(CANARY)
    report_defect(caught.value, Console(debug=debug))
    said = capsys.readouterr().err
    assert "this is a defect of reconcile: ValueError at test_defects.py:" in said
    assert CANARY not in said
    assert ("in spoiled" in said) == ("KeyError" in said) == debug
