"""HTTP/1.1 as API servers speak it (RFC 9112): bytes for a request, an answer from bytes.

Only framing, no sockets; strict where a mistake could take one answer for another. A run that
changes nothing spends more time in a general client's layers than on the objects themselves.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO

MAX_LINE_BYTES = 64 * 1024
MAX_HEADERS = 200
LARGEST_ANSWER = 256 * 1024 * 1024
"""Bytes of a body, inflated: a LIST of some hundred thousand objects."""

_PIECE = 1024 * 1024
_BODILESS = frozenset({204, 304})


class BrokenAnswer(Exception):
    """What came is no HTTP."""


class TooLarge(BrokenAnswer):
    """The answer is larger than anybody needs."""

    def __init__(self) -> None:
        super().__init__(f"its answer is larger than {LARGEST_ANSWER // (1024 * 1024)} MiB")


class CutShort(BrokenAnswer):
    """The server closed the connection before the answer's end."""


@dataclass(frozen=True, slots=True)
class Answer:
    """``headers`` have lower-case names; ``reusable``: another request may follow on the wire."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    reusable: bool


def request_head(method: str, target: str, headers: Mapping[str, str], body: bytes | None) -> bytes:
    """The bytes before the body. Raises ValueError for what could smuggle in a line of its own."""
    lines = [f"{method} {target} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body is not None:
        lines.append(f"content-length: {len(body)}")
    for line in lines:
        if not line.isprintable():
            raise ValueError("a request line or header with control characters")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8")


def read_answer(file: BinaryIO, method: str) -> Answer:
    """The answer to ``method``; interim ones (1xx) are passed over.

    Raises BrokenAnswer, of it CutShort when the server closed too early and TooLarge, and what
    ``file`` raises.
    """
    while True:
        version, status = _status_line(file)
        headers = _headers(file)
        if status >= 200 or status == 101:
            break
    persistent = version == b"HTTP/1.1" and "close" not in headers.get("connection", "").lower()
    if method == "HEAD" or status in _BODILESS or (method == "CONNECT" and status < 300):
        return Answer(status, headers, b"", persistent)
    body, ended = _body(file, headers)
    return Answer(status, headers, _decoded(body, headers), persistent and ended)


def _status_line(file: BinaryIO) -> tuple[bytes, int]:
    line = file.readline(MAX_LINE_BYTES)
    if not line:
        raise CutShort("the server closed the connection instead of answering")
    version, _, rest = line.partition(b" ")
    code = rest[:3]
    if not version.startswith(b"HTTP/1.") or not code.isdigit() or not line.endswith(b"\n"):
        raise BrokenAnswer("it does not begin as HTTP/1.1 does")
    return version, int(code)


def _headers(file: BinaryIO) -> dict[str, str]:
    found: dict[str, str] = {}
    for _ in range(MAX_HEADERS):
        line = file.readline(MAX_LINE_BYTES)
        if line in (b"\r\n", b"\n"):
            return found
        if not line:
            raise CutShort("its headers are cut short")
        name, colon, value = line.partition(b":")
        if not colon or not line.endswith(b"\n") or name != name.strip():
            raise BrokenAnswer("a header that is none")
        key, text = name.decode("latin-1").lower(), value.strip().decode("latin-1")
        if key == "content-length" and found.get(key, text) != text:
            raise BrokenAnswer("two lengths for one body")
        found[key] = f"{found[key]}, {text}" if key in found and found[key] != text else text
    raise BrokenAnswer(f"more than {MAX_HEADERS} headers")


def _body(file: BinaryIO, headers: Mapping[str, str]) -> tuple[bytes, bool]:
    """The bytes as sent, and whether their end was told otherwise than by closing."""
    coding = headers.get("transfer-encoding", "").lower()
    if coding == "chunked":
        return _chunks(file), True
    if coding:
        raise BrokenAnswer(f"the transfer encoding {coding[:40]!r}")
    length = headers.get("content-length")
    if length is None:
        return _until_closed(file), False
    if not (length.isascii() and length.isdigit()):
        raise BrokenAnswer("a length that is no number")
    return _exactly(file, int(length)), True


def _until_closed(file: BinaryIO) -> bytes:
    parts: list[bytes] = []
    total = 0
    while part := file.read(_PIECE):
        total += len(part)
        _check_size(total)
        parts.append(part)
    return b"".join(parts)


def _chunks(file: BinaryIO) -> bytes:
    parts: list[bytes] = []
    total = 0
    while True:
        line = file.readline(MAX_LINE_BYTES)
        if not line:
            raise CutShort("its body is cut short")
        text = line.partition(b";")[0].strip()
        # int() would also take signs, underscores and 0x.
        if not text or text.strip(b"0123456789abcdefABCDEF"):
            raise BrokenAnswer("a chunk without a size")
        size = int(text, 16)
        if not size:
            _headers(file)
            return b"".join(parts)
        total += size
        _check_size(total)
        parts.append(_exactly(file, size))
        if file.readline(3).strip(b"\r\n"):
            raise BrokenAnswer("a chunk longer than it says")


def _exactly(file: BinaryIO, size: int) -> bytes:
    _check_size(size)
    parts = []
    # In pieces: room is not taken for what may never come.
    while size:
        part = file.read(min(size, _PIECE))
        if not part:
            raise CutShort("its body is cut short")
        parts.append(part)
        size -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _decoded(body: bytes, headers: Mapping[str, str]) -> bytes:
    coding = headers.get("content-encoding", "identity").lower()
    if coding == "identity" or not body:
        return body
    if coding != "gzip":
        raise BrokenAnswer(f"the encoding {coding[:40]!r}")
    inflate = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        content = inflate.decompress(body, LARGEST_ANSWER + 1)
    except zlib.error:
        raise BrokenAnswer("damaged compression") from None
    _check_size(len(content))
    if not inflate.eof:
        raise BrokenAnswer("compression without an end")
    return content


def _check_size(size: int) -> None:
    if size > LARGEST_ANSWER:
        raise TooLarge
