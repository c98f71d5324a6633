"""Which context is which seat, of what --host-context says and of what Git has."""

from __future__ import annotations

import pytest

from reconciler.api.errors import UsageError
from reconciler.cli.member_and_host import seats_of, with_host_of
from reconciler.cli.settings import CommandSettings

SEATS = ("aws-eu", "gcp-eu", "onprem")


@pytest.mark.parametrize(
    ("contexts", "seats", "expected"),
    [
        ((), (), {}),
        (("main",), (), {}),
        (("a=b",), (), {}),
        (("a", "b"), (), {"a": "a", "b": "b"}),
        (("a=arn:aws:eks/x", "b"), (), {"a": "arn:aws:eks/x", "b": "b"}),
        ((), SEATS, {name: name for name in SEATS}),
        (("onprem=bare",), SEATS, {"onprem": "bare"}),
        (("onprem",), SEATS, {"onprem": "onprem"}),
    ],
)
def test_contexts_are_called_as_seats_are_or_say_so(
    contexts: tuple[str, ...], seats: tuple[str, ...], expected: dict[str, str]
) -> None:
    assert seats_of(contexts, seats) == expected


@pytest.mark.parametrize(
    ("contexts", "seats", "words"),
    [
        (("arn:aws:eks/x", "b"), (), "no seat's name"),
        (("a", "a"), (), "twice"),
        (("a=x", "b=x"), (), "twice"),
        (("main",), SEATS, "main is no seat"),
        (("=x", "b"), (), "no seat's name"),
    ],
)
def test_what_names_no_seat_is_refused_with_the_form_that_does(
    contexts: tuple[str, ...], seats: tuple[str, ...], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        seats_of(contexts, seats)


@pytest.mark.parametrize(
    ("contexts", "host"), [((), ""), (("a=b",), "a=b"), (("x=ctx", "y"), "ctx")]
)
def test_one_context_is_the_host_as_it_stands(contexts: tuple[str, ...], host: str) -> None:
    assert with_host_of(CommandSettings(), contexts).options.host_context == host
