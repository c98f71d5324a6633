"""What holds as an answer to a gate, and what a server that is none of ours can do."""

from __future__ import annotations

import json
import threading
import time
from math import inf, nan
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.federation.model import Gate
from reconciler.rollout.gates import GateAnswer, NotKnown, Sample, ask_gates, judge, read_answer
from tests.unit.report.listener import Listener, listening

AT_LEAST = Gate("up", "https://prometheus.example.com", "up", at_least=0.5)
AT_MOST = Gate("errors", "https://prometheus.example.com", "errors", at_most=0.5)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


def samples(*values: float) -> tuple[Sample, ...]:
    return tuple(Sample(value, {"pod": f"web-{n}"}) for n, value in enumerate(values))


def vector(*values: str) -> bytes:
    result = [{"metric": {"pod": str(n)}, "value": [1.5, text]} for n, text in enumerate(values)]
    return reply({"resultType": "vector", "result": result})


def reply(data: Any, **more: Any) -> bytes:
    return json.dumps({"status": "success", "data": data, **more}).encode()


def http(body: bytes, status: str = "200 OK", headers: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\n{headers}content-length: {len(body)}\r\n\r\n".encode() + body


def asked(listener: Listener, body: bytes, *, status: str = "200 OK") -> GateAnswer:
    listener.answers[:] = [http(body, status)]
    gate = Gate("errors", listener.url, "rate(errors[5m]) > 0", at_most=0.5)
    return ask_gates([gate])[gate]


# -- what holds ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gate", "values", "value", "why"),
    [
        (AT_LEAST, [1.0], 1.0, "1 is at least 0.5"),
        (AT_LEAST, [0.5], 0.5, "0.5 is at least 0.5"),
        (AT_LEAST, [inf], inf, "inf is at least 0.5"),
        (AT_LEAST, [3.0, 0.75], 0.75, "0.75 is at least 0.5 ({pod=web-1}, of 2 samples)"),
        (AT_MOST, [0.0], 0.0, "0 is at most 0.5"),
        (AT_MOST, [-inf, 0.25], 0.25, "0.25 is at most 0.5 ({pod=web-1}, of 2 samples)"),
    ],
)
def test_a_gate_holds_where_every_sample_is_within(
    gate: Gate, values: list[float], value: float, why: str
) -> None:
    assert judge(gate, samples(*values)) == GateAnswer(gate, True, value, why)


@pytest.mark.parametrize(
    ("gate", "values", "value", "why"),
    [
        (AT_LEAST, [0.25], 0.25, "0.25 is less than 0.5"),
        (AT_LEAST, [9.0, 0.1, 0.2], 0.1, "0.1 is less than 0.5 ({pod=web-1}, of 3 samples)"),
        (AT_MOST, [0.1, inf], inf, "inf is more than 0.5 ({pod=web-1}, of 2 samples)"),
        (AT_MOST, [], None, "not known: the query finds no sample"),
        (AT_LEAST, [], None, "not known: the query finds no sample"),
        (AT_MOST, [0.1, nan], None, "not known: NaN ({pod=web-1}, of 2 samples)"),
    ],
)
def test_one_sample_outside_none_at_all_or_nan_do_not_hold(
    gate: Gate, values: list[float], value: float | None, why: str
) -> None:
    assert judge(gate, samples(*values)) == GateAnswer(gate, False, value, why)


@given(st.lists(st.floats(), max_size=5), st.floats(allow_nan=False, allow_infinity=False))
def test_a_gate_holds_just_where_there_are_samples_and_all_are_within(
    values: list[float], threshold: float
) -> None:
    least = Gate("a", "https://p", "q", at_least=threshold)
    most = Gate("a", "https://p", "q", at_most=threshold)
    for gate, all_within in (
        (least, all(value >= threshold for value in values)),
        (most, all(value <= threshold for value in values)),
    ):
        answer = judge(gate, samples(*values))
        assert answer.holds == (bool(values) and all_within)
        assert answer.why


# -- what is asked ---------------------------------------------------------------------------------


def test_a_query_is_asked_as_it_stands_and_without_a_credential() -> None:
    with listening() as listener:
        listener.answers[:] = [http(vector("0.1"))]
        gate = Gate("errors", f"{listener.url}/prometheus/", "a{b=~'c&d+'} > 1", at_most=0.5)
        assert ask_gates([gate])[gate].holds
    (request,) = listener.requests
    url = urlsplit(request.path)
    assert (request.method, url.path) == ("GET", "/prometheus/api/v1/query")
    assert parse_qs(url.query)["query"] == ["a{b=~'c&d+'} > 1"]
    assert not {"authorization", "cookie", "proxy-authorization"} & request.headers.keys()


def test_the_same_question_is_asked_once_and_each_gate_has_its_answer() -> None:
    with listening() as listener:
        listener.answers[:] = [http(vector("0.4"))]
        least = Gate("some", listener.url, "errors", at_least=0.5)
        most = Gate("few", listener.url, "errors", at_most=0.5)
        answers = ask_gates([least, most, least])
    assert {gate.name: answer.holds for gate, answer in answers.items()} == {
        "some": False,
        "few": True,
    }
    assert len(listener.requests) == 1


def test_gates_are_asked_side_by_side() -> None:
    together = threading.Barrier(3)
    with listening() as listener:
        take = listener.take

        def wait(request: Any) -> Any:
            together.wait(30)
            return take(request)

        listener.take = wait
        listener.answers[:] = [http(vector("1"))]
        gates = [Gate(str(n), listener.url, f"q{n}", at_least=1) for n in range(3)]
        answers = ask_gates(gates)
    assert all(answer.holds for answer in answers.values())


def test_nothing_is_asked_when_the_time_of_the_run_is_over() -> None:
    with listening() as listener:
        gate = Gate("up", listener.url, "up", at_least=1)
        answer = ask_gates([gate], lambda: 0.0)[gate]
    assert not answer.holds
    assert "the run's time is over" in answer.why
    assert not listener.requests


# -- what does not hold ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b'{"status":"error","error":"parse error: x"}', "400 Bad Request", "400: parse error: x"),
        (b'{"status":"error","error":"timed out"}', "503 Busy", "HTTP 503: timed out"),
        (b'{"status":"error"}', "422 No", "HTTP 422: no reason given"),
        (b"<html>", "502 Bad Gateway", "answers HTTP 502"),
        (b"", "401 Unauthorized", "HTTP 401: it wants a credential, and none is sent"),
        (b"<html>", "200 OK", "answers nothing that Prometheus would"),
        (b"[" * 200_000, "200 OK", "answers nothing that Prometheus would"),
        (b'{"status":"success"}', "200 OK", "HTTP 200: no reason given"),
        (reply({"resultType": "matrix", "result": []}), "200 OK", "with a matrix"),
        (reply({"resultType": "string", "result": [1, "x"]}), "200 OK", "with a string"),
        (reply({"resultType": "vector", "result": {}}), "200 OK", "nothing that Prometheus"),
        (reply({"resultType": "scalar", "result": [1, "many"]}), "200 OK", "nothing that"),
        (
            reply({"resultType": "vector", "result": [{"metric": {}, "histogram": [1, {}]}]}),
            "200 OK",
            "a histogram",
        ),
        (
            reply({"resultType": "scalar", "result": [1, "0"]}, warnings=["store down"]),
            "200 OK",
            "answers with a warning: store down",
        ),
    ],
)
def test_an_answer_that_says_nothing_of_value_is_not_known(
    body: bytes, status: str, said: str
) -> None:
    with listening() as listener:
        answer = asked(listener, body, status=status)
    assert (answer.holds, answer.value) == (False, None)
    assert answer.why.startswith("not known: Prometheus answers")
    assert said in answer.why


def test_a_scalar_is_one_sample() -> None:
    assert read_answer(200, reply({"resultType": "scalar", "result": [1, "+Inf"]})) == (
        Sample(inf),
    )


def test_a_redirect_is_not_followed() -> None:
    with listening() as other, listening() as listener:
        listener.answers[:] = [http(b"", "302 Found", f"location: {other.url}/\r\n")]
        gate = Gate("up", listener.url, "up", at_least=1)
        answer = ask_gates([gate])[gate]
    assert "a redirect (HTTP 302), which is not followed" in answer.why
    assert not answer.holds
    assert not other.requests


def test_words_of_a_server_are_short_and_plain() -> None:
    hostile = "\x1b[31mred\u202e\r\n" + "x" * 5000
    for body, status in (
        (json.dumps({"status": "error", "error": hostile}).encode(), "400 Bad"),
        (reply({"resultType": hostile, "result": []}), "200 OK"),
        (reply({"resultType": "vector", "result": []}, warnings=[hostile]), "200 OK"),
        (
            reply(
                {
                    "resultType": "vector",
                    "result": [{"metric": {hostile: hostile}, "value": [1, "9"]}] * 2,
                }
            ),
            "200 OK",
        ),
    ):
        with listening() as listener:
            answer = asked(listener, body, status=status)
        assert not answer.holds
        assert answer.why.isprintable()
        assert len(answer.why) < 350


def test_an_answer_without_end_is_cut_off() -> None:
    with listening() as listener:
        answer = asked(listener, vector(*["0"] * 60_000))
    assert not answer.holds
    assert "its answer is larger than 1 MiB" in answer.why


def test_nobody_is_waited_for_beyond_the_time_of_the_run() -> None:
    ends = time.monotonic() + 1.5
    with listening() as listener:
        listener.take = lambda _: time.sleep(60) or (200, {})
        gate = Gate("up", listener.url, "up", at_least=1)
        began = time.monotonic()
        answer = ask_gates([gate], lambda: ends - time.monotonic())[gate]
        assert time.monotonic() - began < 30
    assert "timeout" in answer.why


def test_a_server_that_refuses_connections_is_not_known() -> None:
    with listening() as listener:
        gate = Gate("up", listener.url, "up", at_least=1)
    answer = ask_gates([gate])[gate]
    assert answer.why == "not known: Prometheus gives no answer: connection refused"


def test_what_cannot_be_read_is_no_sample() -> None:
    with pytest.raises(NotKnown):
        read_answer(200, b"\xff")
