"""HTTP requests and their answers, by libcurl: connections kept, every wait with an end.

Nothing is tried twice here, and nothing judged; ``transport`` does both. Answers without an end,
as watches are, are read by one thread for all of them (``Streams``).
"""

from __future__ import annotations

import errno
import heapq
import os
import selectors
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from io import BytesIO
from itertools import count
from math import ceil
from urllib.parse import urlsplit

import pycurl
from msgspec import Struct
from msgspec.structs import replace

from reconciler import __version__
from reconciler.api.errors import ClusterUnauthorized
from reconciler.api.objects import RedactedRepr
from reconciler.cluster.endpoint import Endpoint

LARGEST_ANSWER = 256 * 1024 * 1024
"""Bytes, inflated: a LIST of some hundred thousand objects."""
SLOWNESS = 4
"""An answer may take so many times as long as the server may be silent."""
CHUNK = 512 * 1024
"""Bytes that libcurl hands over at a time, at the most."""
STREAM_CHUNK = 64 * 1024
"""The same of a stream, as many are open at once and little comes."""
LEFT_IS_ASKED_SECONDS = 0.1
"""A transfer asks no more often than that whether there is time left."""
LARGEST_REFUSAL = 64 * 1024
"""Bytes that are kept of what is answered instead of a stream."""


class Response(RedactedRepr, frozen=True):
    """``status`` is the HTTP code; ``retry_after`` is in seconds, if the server said so;
    ``warnings`` are the texts of its Warning headers, ``date`` is its own time, as it wrote it;
    ``redirect`` is where it would have one go instead.

    ``repeated``: an earlier try of the same request may have been carried out.
    """

    status: int
    body: bytes
    retry_after: float | None = None
    warnings: tuple[str, ...] = ()
    date: str = ""
    repeated: bool = False
    redirect: str = ""


class Limits(Struct, frozen=True):
    """Seconds: until there is a connection, of silence from the server, and for all of it."""

    connect: float
    silence: float
    whole: float


class HttpRequest(RedactedRepr, frozen=True):
    """``path`` with its query. ``seconds_left`` may end it earlier than ``limits``: it is asked
    each second, as a signal may come. ``largest``: bytes of an answer, where not LARGEST_ANSWER.
    ``is_probe``: it asks how the server is, and each answer differs in what does not matter."""

    method: str
    path: str
    body: bytes | None
    headers: Mapping[str, str]
    limits: Limits
    seconds_left: Callable[[], float] | None = None
    largest: int | None = None
    is_probe: bool = False


class NoAnswer(Exception):
    """``cause`` is a word for programs, the text is for people."""

    def __init__(self, cause: str, words: str, *, connected: bool = True) -> None:
        super().__init__(words)
        self.cause = cause
        self._connected = connected

    @property
    def before_sending(self) -> bool:
        """Whether there was not even a connection."""
        without = ("refused", "network", "proxy", "dns", "certificate", "tls")
        return not self._connected or self.cause in without


class Exchange:
    """The connections to one API server. Safe for use by several threads."""

    def __init__(self, cluster: str, endpoint: Endpoint, *, decodes: bool = True) -> None:
        """``decodes`` False: answers are taken as they come, be they called compressed.

        Raises ClusterUnauthorized where the endpoint is no HTTP address.
        """
        try:
            address = urlsplit(endpoint.server)
            known = address.scheme in ("http", "https") and address.port != 0
        except ValueError:
            known = False
        if not known or not address.hostname:
            raise ClusterUnauthorized(cluster, f"not a server address: {endpoint.server!r}")
        self._cluster = cluster
        self._endpoint = endpoint
        self._server = endpoint.server.rstrip("/")
        self._host = address.hostname
        self._port = address.port or (443 if address.scheme == "https" else 80)
        # Compressing costs both ends more than a loopback or a local tunnel gains by it.
        local = address.hostname in ("127.0.0.1", "::1", "localhost")
        self._encoding = ("identity" if local else "gzip") if decodes else ""
        self._idle: list[pycurl.Curl] = []

    def send(self, request: HttpRequest) -> Response:
        """The one way to a server: all else that this module knows stays in it.

        Raises NoAnswer, and ClusterUnauthorized for a credential that is none.
        """
        body = request.body
        try:
            curl = self._idle.pop()
            # Keeps the connections, forgets what was asked of them.
            curl.reset()
        except IndexError:
            curl = pycurl.Curl()
        answer, headed = _Body(request.largest), _Headers()
        self._prepare(curl, request.limits)
        self._address(curl, request.path, request.headers)
        curl.setopt(pycurl.WRITEFUNCTION, answer.take)
        curl.setopt(pycurl.HEADERFUNCTION, headed.take)
        if (left := request.seconds_left) is not None:
            curl.setopt(pycurl.NOPROGRESS, 0)
            curl.setopt(pycurl.XFERINFOFUNCTION, _ends_when_over(left))
        if body is not None:
            curl.setopt(pycurl.POST, 1)
            curl.setopt(pycurl.POSTFIELDSIZE_LARGE, len(body))
            curl.setopt(pycurl.READFUNCTION, BytesIO(body).read)
            # libcurl sends again by itself what a kept connection broke under; a write must be
            # asked for leave before, and know of it afterwards.
            curl.setopt(pycurl.SEEKFUNCTION, lambda _offset, _origin: pycurl.SEEKFUNC_FAIL)
        if request.method != "GET" or body is not None:
            curl.setopt(pycurl.CUSTOMREQUEST, request.method)
        try:
            _perform(curl)
        except pycurl.error as error:
            failure = _failure(curl, answer, error)
            curl.close()
            # Those that are kept may have gone the same way.
            self.close()
            raise failure from None
        pause = curl.getinfo(pycurl.RETRY_AFTER)
        status = curl.getinfo(pycurl.RESPONSE_CODE)
        response = Response(status, answer.whole(), pause or None, headed.warnings(), headed.date)
        if 300 <= status < 400 and (redirect := curl.getinfo(pycurl.REDIRECT_URL)):
            response = replace(response, redirect=redirect)
        self._idle.append(curl)
        return response

    def stream(self, request: HttpRequest) -> pycurl.Curl:
        """A transfer that was not begun yet, for ``Streams``: over a connection that others share
        where the server speaks HTTP/2. ``limits.whole`` does not hold.

        Raises ClusterUnauthorized for a credential that is none.
        """
        curl = pycurl.Curl()
        self._prepare(curl, request.limits)
        self._address(curl, request.path, request.headers)
        curl.setopt(pycurl.TIMEOUT_MS, 0)
        curl.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_2TLS)
        curl.setopt(pycurl.PIPEWAIT, 1)
        curl.setopt(pycurl.ACCEPT_ENCODING, "identity")
        curl.setopt(pycurl.BUFFERSIZE, STREAM_CHUNK)
        curl.setopt(pycurl.TCP_KEEPALIVE, 1)
        curl.setopt(pycurl.TCP_KEEPIDLE, 20)
        curl.setopt(pycurl.TCP_KEEPINTVL, 10)
        return curl

    def close(self, *, but: int = 0) -> None:
        """All connections that nothing is asked over; ``but`` so many."""
        while len(self._idle) > but:
            with suppress(IndexError):  # Another thread has just taken the last one.
                self._idle.pop().close()

    def _prepare(self, curl: pycurl.Curl, limits: Limits) -> None:
        curl.setopt(pycurl.NOSIGNAL, 1)
        # Several transfers over one connection gain nothing where each thread has its own.
        curl.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
        curl.setopt(pycurl.BUFFERSIZE, CHUNK)
        curl.setopt(pycurl.CONNECTTIMEOUT_MS, _milliseconds(limits.connect))
        curl.setopt(pycurl.TIMEOUT_MS, _milliseconds(limits.whole))
        curl.setopt(pycurl.LOW_SPEED_LIMIT, 1)
        curl.setopt(pycurl.LOW_SPEED_TIME, ceil(limits.silence))
        if self._encoding:
            curl.setopt(pycurl.ACCEPT_ENCODING, self._encoding)
        endpoint = self._endpoint
        # Without one of its own the environment's proxies hold, as they do for kubectl.
        if endpoint.proxy_url:
            curl.setopt(pycurl.PROXY, endpoint.proxy_url)
        if not endpoint.verify:
            curl.setopt(pycurl.SSL_VERIFYPEER, 0)
            curl.setopt(pycurl.SSL_VERIFYHOST, 0)
        elif endpoint.ca_pem:
            curl.setopt(pycurl.CAINFO_BLOB, endpoint.ca_pem.encode())
        elif self._server.startswith("https:"):
            _trust_system(curl)
        if endpoint.client_certificate_pem:
            curl.setopt(pycurl.SSLCERT_BLOB, endpoint.client_certificate_pem.encode())
            curl.setopt(pycurl.SSLKEY_BLOB, endpoint.client_key_pem.encode())

    def _address(self, curl: pycurl.Curl, path: str, headers: Mapping[str, str]) -> None:
        try:
            given = {**_COMMON_HEADERS, **self._endpoint.headers(), **headers}
        except (OSError, ValueError) as error:
            # A token that the kubelet, or a plugin, writes anew may be gone for now.
            reason = getattr(error, "strerror", None) or type(error).__name__
            raise ClusterUnauthorized(
                self._cluster, f"the credential cannot be read: {reason}"
            ) from None
        url = self._server + path
        if self._endpoint.server_name:
            # The name in the URL is the one that the certificate is checked for.
            named = f"{self._endpoint.server_name}:{self._port}"
            where = f"[{self._host}]" if ":" in self._host else self._host
            curl.setopt(pycurl.CONNECT_TO, [f"{named}:{where}:{self._port}"])
            given["host"] = f"{where}:{self._port}"
            url = urlsplit(url)._replace(netloc=named).geturl()
        lines = [f"{name}: {value}" for name, value in given.items()]
        if any("\n" in line or "\r" in line for line in lines):
            raise ClusterUnauthorized(self._cluster, "the credential has a line break in it")
        if not all(line.isascii() and "\0" not in line for line in lines):
            raise ClusterUnauthorized(self._cluster, "the credential is not plain ASCII text")
        curl.setopt(pycurl.URL, url)
        # A hostile server's object of the name ".." must not become a request for its namespace.
        curl.setopt(pycurl.PATH_AS_IS, 1)
        # libcurl would ask before it sends a large body, and wait for leave.
        curl.setopt(pycurl.HTTPHEADER, [*lines, "expect:"])


class StreamEnd(RedactedRepr, frozen=True):
    """How a stream ended. ``status`` is the HTTP code, 0 without an answer; ``body`` what came
    instead of a stream; ``failure`` what broke it off, be it what its reader raised."""

    status: int
    body: bytes = b""
    failure: Exception | None = None


class Stream:
    """One answer without an end. ``began`` is called when the server has agreed to it, ``take``
    with its pieces, and ``ended`` once; all in the thread of ``Streams``."""

    def __init__(
        self,
        curl: pycurl.Curl,
        began: Callable[[], None],
        take: Callable[[bytes], None],
        ended: Callable[[StreamEnd], None],
    ) -> None:
        self.curl = curl
        self.ended = ended
        self.broken: Exception | None = None
        self.answer = _Body(LARGEST_REFUSAL)
        self._began, self._take = began, take
        self._good = False
        curl.setopt(pycurl.WRITEFUNCTION, self._write)
        curl.setopt(pycurl.HEADERFUNCTION, self._header)

    def _header(self, line: bytes) -> None:
        if line.startswith(b"HTTP/"):
            # A proxy's own answer may come first.
            self._good = line.split(None, 2)[1:2] == [b"200"]
        elif not line.strip() and self._good:
            self._began()

    def _write(self, piece: bytes) -> int | None:
        if not self._good:
            return self.answer.take(piece)
        try:
            self._take(piece)
        except Exception as error:  # noqa: BLE001  (it ends this stream, and is told to its owner)
            self.broken = error
            return -1
        return None


class Streams:
    """All streams of a process, read by one thread; nothing of it is started before the first.

    libcurl says which sockets to wait for (its "multi socket" interface), so that what is quiet
    costs nothing, however many there are. ``broken`` is what ended the thread, a defect: nothing
    comes of any stream then, nor of what it was to do.
    """

    def __init__(self) -> None:
        self.broken: Exception | None = None
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_PIPELINING, pycurl.PIPE_MULTIPLEX)
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._heed)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._set_timer)
        self._selector = selectors.DefaultSelector()
        self._reader, self._waker = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._waker, False)
        self._selector.register(self._reader, selectors.EVENT_READ)
        self._timer_at: float | None = None
        self._tasks: deque[Callable[[], None]] = deque()
        self._later: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._open: dict[pycurl.Curl, Stream] = {}
        self._closing = False
        self._thread: threading.Thread | None = None

    def open(
        self,
        exchange: Exchange,
        request: HttpRequest,
        began: Callable[[], None],
        take: Callable[[bytes], None],
        ended: Callable[[StreamEnd], None],
    ) -> Stream:
        """Begin a stream. ``take`` may raise to end it. Raises ClusterUnauthorized."""
        stream = Stream(exchange.stream(request), began, take, ended)
        self.soon(lambda: self._begin(stream))
        return stream

    def end(self, stream: Stream) -> None:
        """Close it without a word to its owner."""
        self.soon(lambda: self._forget(stream))

    def soon(self, task: Callable[[], None], seconds: float = 0.0) -> None:
        """Have the thread do something, after so many seconds. It must not wait for anything."""
        if seconds > 0:
            moment = time.monotonic() + seconds
            self._tasks.append(
                lambda: heapq.heappush(self._later, (moment, next(self._order), task))
            )
        else:
            self._tasks.append(task)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="watches", daemon=True)
            self._thread.start()
        self._wake()

    def close(self) -> None:
        """End the thread and all streams, without a word to their owners."""
        self._closing = True
        if self._thread is not None:
            self._wake()
            self._thread.join(5.0)

    def _wake(self) -> None:
        with suppress(BlockingIOError):  # It is full of such bytes, and will be read.
            os.write(self._waker, b"x")

    def _run(self) -> None:
        try:
            self._read()
        except Exception as error:  # noqa: BLE001  (told to whoever relies on what is read here)
            self.broken = error
        for stream in tuple(self._open.values()):
            self._forget(stream)

    def _read(self) -> None:
        while not self._closing:
            for key, mask in self._selector.select(self._patience()):
                if key.fd == self._reader:
                    os.read(self._reader, 65536)
                    continue
                action = pycurl.CSELECT_IN if mask & selectors.EVENT_READ else 0
                action |= pycurl.CSELECT_OUT if mask & selectors.EVENT_WRITE else 0
                self._multi.socket_action(key.fd, action)
            if self._timer_at is not None and self._timer_at <= time.monotonic():
                self._timer_at = None
                self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)
            self._collect()
            while self._later and self._later[0][0] <= time.monotonic():
                heapq.heappop(self._later)[2]()
            for _ in range(len(self._tasks)):
                self._tasks.popleft()()

    def _patience(self) -> float | None:
        """Seconds until something is due; None: nothing is."""
        if self._tasks:
            return 0.0
        due = [at for at in (self._timer_at, self._later[0][0] if self._later else None) if at]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _heed(self, action: int, socket: int, *_: object) -> None:
        """What libcurl wants to know of a socket."""
        with suppress(KeyError, ValueError):
            self._selector.unregister(socket)
        wanted = selectors.EVENT_READ if action in (pycurl.POLL_IN, pycurl.POLL_INOUT) else 0
        wanted |= selectors.EVENT_WRITE if action in (pycurl.POLL_OUT, pycurl.POLL_INOUT) else 0
        if wanted:
            self._selector.register(socket, wanted)

    def _set_timer(self, milliseconds: int) -> None:
        after = time.monotonic() + milliseconds / 1000
        self._timer_at = after if milliseconds >= 0 else None

    def _begin(self, stream: Stream) -> None:
        self._open[stream.curl] = stream
        self._multi.add_handle(stream.curl)

    def _forget(self, stream: Stream) -> None:
        if self._open.pop(stream.curl, None) is not None:
            self._multi.remove_handle(stream.curl)
        stream.curl.close()

    def _collect(self) -> None:
        """Tell of the streams that have ended."""
        while True:
            left, done, failed = self._multi.info_read()
            for curl in done:
                self._finish(curl, None)
            for curl, code, words in failed:
                self._finish(curl, pycurl.error(code, words))
            if not left:
                return

    def _finish(self, curl: pycurl.Curl, error: Exception | None) -> None:
        stream = self._open.get(curl)
        if stream is None:
            return
        failure = stream.broken or (error and _failure(curl, stream.answer, error))
        end = StreamEnd(curl.getinfo(pycurl.RESPONSE_CODE), stream.answer.whole(), failure)
        self._forget(stream)
        stream.ended(end)


_COMMON_HEADERS = {
    "accept": "application/json",
    "user-agent": f"federation-reconciler/{__version__}",
}


class _Body:
    """What has come of an answer, of at most ``largest`` bytes."""

    def __init__(self, largest: int | None = None) -> None:
        self.largest = LARGEST_ANSWER if largest is None else largest
        self.size = 0
        self._parts: list[bytes] = []

    def take(self, part: bytes) -> int | None:
        """Anything but None or the part's length ends the transfer."""
        self.size += len(part)
        self._parts.append(part)
        return -1 if self.size > self.largest else None

    def whole(self) -> bytes:
        """All of it, once: libcurl's handle keeps this for as long as nothing else is asked."""
        parts, self._parts = self._parts, []
        return parts[0] if len(parts) == 1 else b"".join(parts)


class _Headers:
    """What is of use in an answer's header: its Date, and ``Warning: 299 - "text"`` (RFC 7234)."""

    def __init__(self) -> None:
        self._lines: list[bytes] = []
        self.date = ""

    def take(self, line: bytes) -> None:
        if line[:8].lower() == b"warning:":
            self._lines.append(line)
        elif line[:5].lower() == b"date:":
            self.date = line[5:50].decode(errors="replace").strip()

    def warnings(self) -> tuple[str, ...]:
        if not self._lines:
            return ()
        import re

        lines = b"\n".join(self._lines).decode(errors="replace")
        found = re.findall(r'299 \S+ "((?:[^"\\]|\\.)*)"', lines)
        return tuple(re.sub(r"\\(.)", r"\1", text) for text in found)


def _ends_when_over(seconds_left: Callable[[], float]) -> Callable[..., int]:
    """For libcurl, which asks some ten times in each transfer, and each second that it waits."""
    next_time = time.monotonic() + LEFT_IS_ASKED_SECONDS

    def is_over(*_: float) -> int:
        nonlocal next_time
        now = time.monotonic()
        if now < next_time:
            return 0
        next_time = now + LEFT_IS_ASKED_SECONDS
        return int(seconds_left() <= 0)

    return is_over


def _milliseconds(seconds: float) -> int:
    """0 would be no limit at all, and so long ones have no place in the option."""
    return max(1, ceil(min(seconds, 86_400) * 1000))


def _trust_system(curl: pycurl.Curl) -> None:
    """Where this machine keeps its CAs; libcurl may have been built for another."""
    import ssl

    import certifi

    found = ssl.get_default_verify_paths()
    curl.setopt(pycurl.CAINFO, found.cafile or certifi.where())
    if found.capath:
        curl.setopt(pycurl.CAPATH, found.capath)


_PROXY = 97
"""CURLE_PROXY, for which pycurl has no name, as for the other numbers here."""
_BROKE = ("reset", "the connection broke in mid-answer")
_UNUSABLE = ("certificate", "TLS: the CA or client certificate is unusable: {}")
"""Of what we were given; the server may be perfectly well."""
_ODD = ("protocol", "no usable answer ({})")
_FAILURES: Mapping[int, tuple[str, str]] = {
    pycurl.E_COULDNT_RESOLVE_HOST: ("dns", "DNS: the server's name does not resolve"),
    pycurl.E_COULDNT_RESOLVE_PROXY: ("proxy", "the proxy cannot be reached: {}"),
    _PROXY: ("proxy", "the proxy cannot be reached: {}"),
    pycurl.E_COULDNT_CONNECT: ("network", "{}"),
    pycurl.E_INTERFACE_FAILED: ("network", "{}"),
    pycurl.E_PEER_FAILED_VERIFICATION: ("certificate", "TLS: {}"),
    pycurl.E_SSL_ISSUER_ERROR: ("certificate", "TLS: {}"),
    98: ("certificate", "TLS: {}"),  # CURLE_SSL_CLIENTCERT
    pycurl.E_SSL_CERTPROBLEM: _UNUSABLE,
    pycurl.E_SSL_CACERT_BADFILE: _UNUSABLE,
    pycurl.E_SSL_CONNECT_ERROR: ("tls", "TLS: {}"),
    pycurl.E_SSL_CIPHER: ("tls", "TLS: {}"),
    pycurl.E_SSL_SHUTDOWN_FAILED: ("tls", "TLS: {}"),
    pycurl.E_GOT_NOTHING: _BROKE,
    pycurl.E_PARTIAL_FILE: _BROKE,
    pycurl.E_RECV_ERROR: _BROKE,
    pycurl.E_SEND_ERROR: _BROKE,
    pycurl.E_READ_ERROR: _BROKE,
    pycurl.E_SEND_FAIL_REWIND: _BROKE,
    pycurl.E_AGAIN: _BROKE,
    99: _BROKE,  # CURLE_UNRECOVERABLE_POLL
    pycurl.E_UNSUPPORTED_PROTOCOL: _ODD,
    pycurl.E_URL_MALFORMAT: _ODD,
    pycurl.E_FTP_WEIRD_SERVER_REPLY: _ODD,  # of HTTP, too
    pycurl.E_HTTP2: _ODD,
    pycurl.E_WRITE_ERROR: _ODD,
    pycurl.E_BAD_CONTENT_ENCODING: _ODD,
    pycurl.E_FILESIZE_EXCEEDED: _ODD,
    pycurl.E_LOGIN_DENIED: _ODD,
    100: _ODD,  # CURLE_TOO_LARGE: its header
}
"""What a transfer is known to end in: the cause for programs, the words for people (``{}`` are
libcurl's own). Any other code is a fault of how libcurl is used here, or of how it was built."""


def _failure(curl: pycurl.Curl, answer: _Body, error: Exception) -> Exception:
    """What went wrong on the wire; the error itself where that is none of the known failures."""
    code, message = error.args
    # What follows is a hint about libcurl's own command line.
    message = message.partition("\n")[0]
    for preamble in ("SSL certificate problem: ", "SSL certificate OpenSSL verify result: "):
        message = message.removeprefix(preamble)
    if code in (pycurl.E_OPERATION_TIMEDOUT, pycurl.E_ABORTED_BY_CALLBACK):
        return _timed_out(curl, answer)
    if code == pycurl.E_COULDNT_CONNECT and curl.getinfo(pycurl.OS_ERRNO) == errno.ECONNREFUSED:
        return NoAnswer("refused", "connection refused")
    if code == pycurl.E_WRITE_ERROR and answer.size > answer.largest:
        megabytes = answer.largest // (1024 * 1024)
        return NoAnswer("protocol", f"its answer is larger than {megabytes} MiB")
    # A key that cannot be read is a bad argument to libcurl.
    known = _UNUSABLE if "private key" in message else _FAILURES.get(code)
    if known is None:
        return error
    cause, words = known
    return NoAnswer(cause, words.format(message))


def _timed_out(curl: pycurl.Curl, answer: _Body) -> NoAnswer:
    connected = bool(curl.getinfo(pycurl.CONNECT_TIME_T)) or curl.getinfo(pycurl.NUM_CONNECTS) == 0
    if not connected:
        words = "the server does not accept the connection"
    elif answer.size or curl.getinfo(pycurl.HEADER_SIZE):
        words = "the server sends its answer too slowly"
    else:
        words = "the server accepted the request and does not answer"
    return NoAnswer("timeout", f"timeout: {words}", connected=connected)


def _perform(curl: pycurl.Curl) -> None:
    """Raises pycurl.error. The main thread alone hears signals, and not while libcurl waits in it:
    there the transfer has a thread of its own, and is left behind when a signal ends the waiting.
    """
    if threading.current_thread() is not threading.main_thread():
        curl.perform()
        return
    done: Future[None] = Future()

    def run() -> None:
        try:
            done.set_result(curl.perform())
        except BaseException as error:  # noqa: BLE001  (it is raised where it is waited for)
            done.set_exception(error)

    threading.Thread(target=run, name="request", daemon=True).start()
    done.result()
