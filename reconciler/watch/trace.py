"""What a run asked, and what it was answered: so that a later round may see that nothing changed.

A run is a function of the answers that it got: from members, from Git, from the clock, from files.
Where each of them would be the same again, so would be the run. What it asked is written down
where it is asked, at the one door to each of them, so that no step of a run can be forgotten here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
from msgspec import Struct

from reconciler.cluster.curl import Exchange, HttpRequest, Response

if TYPE_CHECKING:
    from reconciler.watch.lists import WatchedList

_OF_A_LIST = ("resourceVersion", "continue", "remainingItemCount")
"""What differs between two LISTs of the same objects."""


class TracedRequest(Struct, frozen=True):
    """A request that only read, and the digest of what was answered."""

    exchange: Exchange
    request: HttpRequest
    answer: int


class ListReading(Struct, frozen=True):
    """A watched list that a run read, and at which revision."""

    list: WatchedList
    revision: int

    @property
    def holds(self) -> bool:
        """Whether it has still the same objects, and is surely up to date."""
        return self.list.is_at(self.revision)


class RunTrace:
    """Of one run. Written to by its threads; ``wrote`` once it asked for more than to be told."""

    def __init__(self) -> None:
        self.wrote = False
        self.questions: list[TracedRequest] = []
        self.readings: list[ListReading] = []

    def note(self, exchange: Exchange, request: HttpRequest, response: Response) -> None:
        """One request was answered. What servers say of their health is told by probes, and what
        a dry run says is believed until the next run in full."""
        if request.method == "GET":
            if not request.is_probe:
                self.questions.append(TracedRequest(exchange, request, digest_of_answer(response)))
        elif "dryRun=All" not in request.path:
            self.wrote = True


def digest_of_answer(response: Response) -> int:
    """The same for two answers that say the same."""
    body = response.body
    if b'"resourceVersion"' in body and b'"items"' in body:
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError:
            return hash((response.status, body))
        if isinstance(document, dict) and isinstance(metadata := document.get("metadata"), dict):
            for name in _OF_A_LIST:
                metadata.pop(name, None)
            body = orjson.dumps(document)
    return hash((response.status, body))


class TracedExchange(Exchange):
    """An exchange of which runs leave a trace; ``trace`` is that of the run at work."""

    trace: RunTrace | None = None

    def send(self, request: HttpRequest) -> Response:
        """As ``Exchange.send``."""
        trace = self.trace
        if trace is not None and request.method != "GET" and "dryRun=All" not in request.path:
            # Whatever comes of it.
            trace.wrote = True
        response = super().send(request)
        if trace is not None:
            trace.note(self, request, response)
        return response

    def ask_again(self, question: TracedRequest) -> bool:
        """Whether the answer is still the same. Raises as ``send``."""
        return digest_of_answer(super().send(question.request)) == question.answer
