"""What Prometheus says to the gates of a wave.

A gate holds where the answer shows that it does. Whatever else comes (no sample, NaN, an error, no
answer, half of one) is not known to be well, and does not hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import inf, isnan
from urllib.parse import urlencode

import msgspec
from msgspec import Struct, field

from reconciler.cluster.curl import Exchange, HttpRequest, Limits, NoAnswer
from reconciler.cluster.endpoint import Endpoint, environment_proxy
from reconciler.cluster.parallel import in_parallel
from reconciler.federation.model import Gate

CONNECT_SECONDS, SILENT_SECONDS, SECONDS = 3.0, 10.0, 10.0
QUERY_SECONDS = 8
"""For which Prometheus may work, so that it says that it has given up."""
LARGEST = 1024 * 1024
"""Bytes of an answer: some thousand samples."""
AT_ONCE = 8
LONGEST_WORDS = 200
"""Characters of what a server says."""


class GateAnswer(Struct, frozen=True):
    """``value`` is that of the sample that is farthest off, None where there is none to compare;
    ``why`` says in words why the gate holds, or does not."""

    gate: Gate
    holds: bool
    value: float | None
    why: str


class Sample(Struct, frozen=True):
    """One value of an instant vector, with its labels; a scalar has none."""

    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


class NotKnown(Exception):
    """Why a query has no answer, as the end of a sentence whose subject is Prometheus."""


def ask_gates(
    gates: Iterable[Gate], seconds_left: Callable[[], float] = lambda: inf
) -> dict[Gate, GateAnswer]:
    """The answers to all gates, asked side by side; who has the same question is asked once.

    No request outlives ``seconds_left``, and none is tried twice: the next run asks again.
    """
    found = tuple(dict.fromkeys(gates))
    questions = tuple(dict.fromkeys((gate.url, gate.query) for gate in found))

    def one(question: tuple[str, str]) -> tuple[Sample, ...] | NotKnown:
        try:
            return _samples(*question, seconds_left)
        except NotKnown as reason:
            return reason

    replies = dict(zip(questions, in_parallel(one, questions, AT_ONCE), strict=True))
    return {gate: judge(gate, replies[gate.url, gate.query]) for gate in found}


def judge(gate: Gate, reply: Sequence[Sample] | NotKnown) -> GateAnswer:
    """Whether a gate holds: there are samples, and each is a number within the threshold. Pure."""
    if isinstance(reply, NotKnown):
        return GateAnswer(gate, False, None, f"not known: Prometheus {reply}")
    if not reply:
        return GateAnswer(gate, False, None, "not known: the query finds no sample")
    if nan := next((sample for sample in reply if isnan(sample.value)), None):
        return GateAnswer(gate, False, None, f"not known: NaN{_place(nan, reply)}")
    lowest, highest = (chosen(reply, key=lambda sample: sample.value) for chosen in (min, max))
    if gate.at_least is not None and lowest.value < gate.at_least:
        holds, worst, words = False, lowest, f"less than {gate.at_least:g}"
    elif gate.at_most is not None and highest.value > gate.at_most:
        holds, worst, words = False, highest, f"more than {gate.at_most:g}"
    elif gate.at_least is not None:
        holds, worst, words = True, lowest, f"at least {gate.at_least:g}"
    else:
        holds, worst, words = True, highest, f"at most {gate.at_most or 0:g}"
    why = f"{worst.value:g} is {words}{_place(worst, reply)}"
    return GateAnswer(gate, holds, worst.value, why)


def _place(sample: Sample, samples: Sequence[Sample]) -> str:
    """Which of several samples."""
    if len(samples) == 1:
        return ""
    labels = ", ".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
    return _plain(f" ({{{labels}}}, of {len(samples)} samples)")


def _plain(text: str) -> str:
    """A server's words on one line, without control and direction characters, and not endless."""
    words = "".join(sign if sign.isprintable() else " " for sign in text)
    return words if len(words) <= LONGEST_WORDS else words[: LONGEST_WORDS - 1] + "…"


# -- Prometheus' API -------------------------------------------------------------------------------


class _Data(Struct, rename="camel"):
    result_type: str
    result: msgspec.Raw


class _Reply(Struct, rename="camel"):
    """https://prometheus.io/docs/prometheus/latest/querying/api/#format-overview"""

    status: str
    data: _Data | None = None
    error: str = ""
    warnings: list[str] = field(default_factory=list)


class _InstantSample(Struct):
    """A native histogram has no ``value``."""

    metric: dict[str, str]
    value: tuple[float, str] | None = None


_UNREADABLE = (msgspec.DecodeError, RecursionError, ValueError)


def _samples(url: str, query: str, seconds_left: Callable[[], float]) -> tuple[Sample, ...]:
    """What an instant query finds now. Raises NotKnown."""
    left = seconds_left()
    if left <= 0:
        raise NotKnown("was not asked: the run's time is over")
    asked = urlencode({"query": query, "timeout": f"{QUERY_SECONDS}s"})
    request = HttpRequest(
        "GET",
        f"/api/v1/query?{asked}",
        None,
        {},
        Limits(min(CONNECT_SECONDS, left), min(SILENT_SECONDS, left), min(SECONDS, left)),
        seconds_left,
        LARGEST,
    )
    exchange = Exchange("", Endpoint(url, proxy_url=environment_proxy(url)))
    try:
        answer = exchange.send(request)
    except NoAnswer as failure:
        raise NotKnown(f"gives no answer: {_plain(str(failure))}") from None
    finally:
        exchange.close()
    return read_answer(answer.status, answer.body)


def read_answer(status: int, body: bytes) -> tuple[Sample, ...]:
    """The samples of an answer of the query API, in any order. Pure. Raises NotKnown."""
    if 300 <= status < 400:
        raise NotKnown(f"answers with a redirect (HTTP {status}), which is not followed")
    if status in (401, 403):
        raise NotKnown(f"answers HTTP {status}: it wants a credential, and none is sent")
    try:
        reply = msgspec.json.decode(body, type=_Reply)
    except _UNREADABLE:
        answer = "nothing that Prometheus would" if status == 200 else f"HTTP {status}"
        raise NotKnown(f"answers {answer}") from None
    if status != 200 or reply.status != "success" or reply.data is None:
        raise NotKnown(f"answers HTTP {status}: {_plain(reply.error) or 'no reason given'}")
    if reply.warnings:
        raise NotKnown(f"answers with a warning: {_plain(reply.warnings[0])}")
    kind, result = reply.data.result_type, reply.data.result
    try:
        if kind == "scalar":
            _, number = msgspec.json.decode(result, type=tuple[float, str])
            return (Sample(float(number)),)
        if kind == "vector":
            found = msgspec.json.decode(result, type=list[_InstantSample])
            if any(one.value is None for one in found):
                raise NotKnown("answers with a histogram, which has no one value")
            return tuple(Sample(float(one.value[1]), one.metric) for one in found if one.value)
    except _UNREADABLE:
        raise NotKnown("answers nothing that Prometheus would") from None
    raise NotKnown(f"answers with a {_plain(kind)}: the query must give a vector or a scalar")
