"""What a run asked, and what it was answered: so that a later round may see that nothing changed.

A run is a function of the answers that it got: from members, from Git, from the clock, from files.
Where each of them would be the same again, so would be the run. What it asked is written down
where it is asked, at the one door to each of them, so that no step of a run can be forgotten here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlencode, urlsplit

import orjson
from msgspec import Struct, field
from msgspec.structs import replace

from reconciler.cluster.curl import Exchange, HttpRequest, Limits, NoAnswer, Response

if TYPE_CHECKING:
    from reconciler.watch.lists import WatchedList

_OF_A_LIST = ("resourceVersion", "continue", "remainingItemCount")
"""What differs between two LISTs of the same objects."""
SILENT_LIMITS = Limits(connect=2.0, silence=2.0, whole=5.0)
"""For who gave no answer: a round waits no longer for it."""


class TracedRequest(Struct, frozen=True):
    """A request that only read, and the digest of what was answered; None where nothing was.

    ``pages`` are the digests of the pages after the first one, where it is a list with more. Each
    page is asked for by a token that the one before it gave, and shows the list as it was then.
    """

    exchange: Exchange
    request: HttpRequest
    answer: int | None
    pages: list[int | None] = field(default_factory=list)


class ListReading(Struct, frozen=True):
    """A watched list that a run read, and at which revision."""

    list: WatchedList
    revision: int

    @property
    def holds(self) -> bool:
        """Whether it has still the same objects, and is surely up to date."""
        return self.list.is_at(self.revision)


class RunTrace:
    """Of one run. Written to by its threads; ``wrote`` once it asked for more than to be told.
    ``others`` ask those again who are no API servers, and tell whether what they say is the same.
    """

    def __init__(self) -> None:
        self.wrote = False
        self.questions: list[TracedRequest] = []
        self.readings: list[ListReading] = []
        self.others: list[Callable[[], bool]] = []
        self._lists: dict[tuple[int, str], TracedRequest] = {}

    def note(self, exchange: Exchange, request: HttpRequest, response: Response | None) -> None:
        """One request was answered, or not (None). What servers say of their health is told by
        probes, and what a dry run says is believed until the next run in full."""
        if request.method == "GET":
            if not request.is_probe:
                self._note_question(exchange, request, response)
        elif "dryRun=All" not in request.path:
            self.wrote = True

    def _note_question(
        self, exchange: Exchange, request: HttpRequest, response: Response | None
    ) -> None:
        digest, token = digest_of_answer(response) if response else (None, "")
        of_list = self._lists.get((id(exchange), _token_in(request.path)))
        if of_list:
            of_list.pages.append(digest)
        else:
            of_list = TracedRequest(exchange, request, digest)
            self.questions.append(of_list)
        if token:
            self._lists[id(exchange), token] = of_list


def _token_in(path: str) -> str:
    """By which a request asks for a further page; empty: it does not."""
    if "continue=" not in path:
        return ""
    return "".join(parse_qs(urlsplit(path).query).get("continue", ()))


def digest_of_answer(response: Response) -> tuple[int, str]:
    """The same number for two answers that say the same; and the token for the next page, empty
    where there is none."""
    body, token = response.body, ""
    if b'"resourceVersion"' in body and b'"items"' in body:
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError:
            return hash((response.status, body)), ""
        if isinstance(document, dict) and isinstance(metadata := document.get("metadata"), dict):
            token = str(metadata.get("continue") or "")
            for name in _OF_A_LIST:
                metadata.pop(name, None)
            body = orjson.dumps(document)
    return hash((response.status, body, bool(token))), token


class TracedExchange(Exchange):
    """An exchange of which runs leave a trace; ``trace`` is that of the run at work."""

    trace: RunTrace | None = None

    def send(self, request: HttpRequest) -> Response:
        """As ``Exchange.send``."""
        trace = self.trace
        if trace is not None and request.method != "GET" and "dryRun=All" not in request.path:
            # Whatever comes of it.
            trace.wrote = True
        try:
            response = super().send(request)
        except NoAnswer:
            if trace is not None:
                trace.note(self, request, None)
            raise
        if trace is not None:
            trace.note(self, request, response)
        return response

    def ask_again(self, question: TracedRequest) -> bool:
        """Whether the answer is still the same, on each page that was read. Raises as ``send``,
        but where no answer is the same again."""
        request = question.request
        if question.answer is None:
            try:
                super().send(replace(request, limits=SILENT_LIMITS))
            except NoAnswer:
                return True
            return False
        digest, token = digest_of_answer(super().send(request))
        if digest != question.answer:
            return False
        for page in question.pages:
            following = f"{request.path}&{urlencode({'continue': token})}"
            digest, token = digest_of_answer(super().send(replace(request, path=following)))
            if digest != page:
                return False
        return True
