"""Answers of API servers, sound and broken, as bytes."""

from __future__ import annotations

import gzip
import io

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reconciler.cluster.http1 import BrokenAnswer, CutShort, read_answer, request_head

OK = b"HTTP/1.1 200 OK\r\n"
SQUEEZED = gzip.compress(b'{"kind": "PodList"}')


@pytest.mark.parametrize(
    ("sent", "body", "reusable"),
    [
        pytest.param(OK + b"Content-Length: 2\r\n\r\n{}", b"{}", True, id="a length"),
        pytest.param(OK + b"content-length:0\r\n\r\n", b"", True, id="nothing"),
        pytest.param(
            OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n",
            b"abc0123456789",
            True,
            id="chunks",
        ),
        pytest.param(
            OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nExpires: never\r\n\r\n",
            b"a",
            True,
            id="chunks with a trailer",
        ),
        pytest.param(OK + b"\r\nuntil the end", b"until the end", False, id="until it closes"),
        pytest.param(
            OK + b"Connection: close\r\nContent-Length: 1\r\n\r\n1", b"1", False, id="the last one"
        ),
        pytest.param(b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n1", b"1", False, id="1.0"),
        pytest.param(
            b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 1\r\n\r\n1",
            b"1",
            True,
            id="after an interim answer",
        ),
        pytest.param(
            OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(SQUEEZED) + SQUEEZED,
            b'{"kind": "PodList"}',
            True,
            id="compressed",
        ),
    ],
)
def test_a_body_ends_where_the_server_says(sent: bytes, body: bytes, reusable: bool) -> None:
    file = io.BytesIO(sent)

    answer = read_answer(file, "GET")

    assert (answer.status, answer.body, answer.reusable) == (200, body, reusable)
    assert not file.read(), "what follows is the next answer"


@pytest.mark.parametrize(
    ("sent", "method"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", "DELETE"),
        (OK + b"Content-Length: 400\r\n\r\n", "HEAD"),
        (b"HTTP/1.1 200 Connection established\r\n\r\n", "CONNECT"),
    ],
)
def test_some_answers_have_no_body_whatever_they_say(sent: bytes, method: str) -> None:
    assert read_answer(io.BytesIO(sent + b"HTTP/1.1"), method).body == b""


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (b"", CutShort),
        (b"SSH-2.0-OpenSSH_9.2\r\n", BrokenAnswer),
        (b"HTTP/1.1 OK\r\n\r\n", BrokenAnswer),
        (b"HTTP/1.1 200 OK", BrokenAnswer),
        (OK, CutShort),
        (OK + b"Content-Length\r\n\r\n", BrokenAnswer),
        (OK + b"Content-Length : 1\r\n\r\n1", BrokenAnswer),
        (OK + b"Content-Length: 2\r\n\r\n{", CutShort),
        (OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}", BrokenAnswer),
        (OK + b"Content-Length: -1\r\n\r\n", BrokenAnswer),
        (OK + b"Content-Length: 99999999999999\r\n\r\n", BrokenAnswer),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabc", CutShort),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", CutShort),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n", BrokenAnswer),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n", BrokenAnswer),
        (OK + b"Transfer-Encoding: gzip\r\n\r\n", BrokenAnswer),
        (OK + b"Content-Encoding: br\r\nContent-Length: 1\r\n\r\n1", BrokenAnswer),
        (OK + b"Content-Encoding: gzip\r\nContent-Length: 1\r\n\r\n1", BrokenAnswer),
        (
            OK + b"Content-Encoding: gzip\r\nContent-Length: 20\r\n\r\n" + SQUEEZED[:20],
            BrokenAnswer,
        ),
        (OK + b"X: y\r\n" * 500 + b"\r\n", BrokenAnswer),
    ],
)
def test_what_is_broken_is_never_taken_for_an_answer(sent: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        read_answer(io.BytesIO(sent), "GET")


@given(st.binary(max_size=400))
@example(b"\r\n")
def test_whatever_comes_is_an_answer_or_broken(sent: bytes) -> None:
    for start in (b"", OK, OK + b"Transfer-Encoding: chunked\r\n\r\n"):
        try:
            read_answer(io.BytesIO(start + sent), "GET")
        except BrokenAnswer:
            continue


def test_a_request_says_how_long_its_body_is() -> None:
    head = request_head("PATCH", "/api/v1/x?a=b", {"host": "eu.example:6443"}, b"{}")

    assert head == (
        b"PATCH /api/v1/x?a=b HTTP/1.1\r\nhost: eu.example:6443\r\ncontent-length: 2\r\n\r\n"
    )


@pytest.mark.parametrize("value", ["Bearer a\r\nimpersonate-user: root", "Bearer a\x00"])
def test_a_header_cannot_bring_another(value: str) -> None:
    with pytest.raises(ValueError, match="control characters"):
        request_head("GET", "/", {"authorization": value}, None)
