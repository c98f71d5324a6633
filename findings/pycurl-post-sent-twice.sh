#!/usr/bin/env bash
# pycurl 7.49.0 (its wheel carries libcurl 8.23.0), from PyPI.
#
# A good guess: curl repeats a request only when told to (`curl --retry`), and a POST, which may add
# something, least of all. A connection that breaks before the answer ends in an error, and the caller decides.
#
# Instead: when the connection was kept from an earlier request, libcurl takes the break for a server that had
# closed an idle connection, opens another one and sends the POST again by itself. perform() reports a
# plain 200; the server has had the body twice. On a fresh connection the same break is error 52.
# What prevents it: a body from READFUNCTION that cannot be rewound (no SEEKFUNCTION, or one that
# fails) ends in error 65, after one sending. A SEEKFUNCTION that works brings the second sending back.
#
# Seen (result, times that the server had the POST):
#   kept, POSTFIELDS           (200, 2)
#   kept, READFUNCTION         (65, 1)
#   kept, SEEKFUNCTION fails   (65, 1)
#   kept, SEEKFUNCTION works   (200, 2)
#   fresh, POSTFIELDS          (52, 1)
set -euo pipefail

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check pycurl==7.49.0

"$work/venv/bin/python" - <<'PY'
import io
import socket
import sys
import threading

import pycurl

BODY = b"add=1"


class Server:
    """Answers everything, but hangs up on a POST that comes over its first connection, having read it all."""

    def __init__(self):
        self.posts = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = "http://127.0.0.1:%d/" % self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        first = True
        while True:
            connection, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(connection, first), daemon=True).start()
            first = False

    def serve(self, connection, first):
        lines = connection.makefile("rb")
        while request := lines.readline():
            length = 0
            while (header := lines.readline()) not in (b"\r\n", b""):
                name, _, value = header.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            body = lines.read(length)
            if request.startswith(b"POST"):
                assert body == BODY, body
                self.posts += 1
                if first:
                    connection.shutdown(socket.SHUT_RDWR)
                    break
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        lines.close()
        connection.close()


def post(kept, options):
    server, curl = Server(), pycurl.Curl()
    if kept:
        curl.setopt(curl.URL, server.url)
        curl.perform()
        curl.reset()  # clears the options, keeps the connection
    curl.setopt(curl.URL, server.url)
    options(curl)
    try:
        curl.perform()
        result = curl.getinfo(curl.RESPONSE_CODE)
    except pycurl.error as error:
        result = error.args[0]
    return result, server.posts


def fields(curl):
    curl.setopt(curl.POSTFIELDS, BODY.decode())


def reading(seek=None):
    body = io.BytesIO(BODY)

    def rewind(offset, origin):
        body.seek(offset, origin)
        return pycurl.SEEKFUNC_OK

    def options(curl):
        curl.setopt(curl.POST, 1)
        curl.setopt(curl.POSTFIELDSIZE, len(BODY))
        curl.setopt(curl.READFUNCTION, body.read)
        if seek == "fails":
            curl.setopt(curl.SEEKFUNCTION, lambda offset, origin: pycurl.SEEKFUNC_FAIL)
        elif seek == "works":
            curl.setopt(curl.SEEKFUNCTION, rewind)

    return options


changed = False
for name, kept, options, expected in (
    ("kept, POSTFIELDS", True, fields, (200, 2)),
    ("kept, READFUNCTION", True, reading(), (65, 1)),
    ("kept, SEEKFUNCTION fails", True, reading("fails"), (65, 1)),
    ("kept, SEEKFUNCTION works", True, reading("works"), (200, 2)),
    ("fresh, POSTFIELDS", False, fields, (52, 1)),
):
    seen = post(kept, options)
    if seen != expected:
        changed = True
        print(f"changed: {name}: was {expected}, is {seen}", file=sys.stderr)
if changed:
    sys.exit(1)
print("holds: libcurl sends a POST twice when a kept connection breaks, unless the body cannot be rewound")
PY
