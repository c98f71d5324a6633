"""A TCP relay in front of an API server, whose answers a test can slow down and hold back."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Forwarder:
    """Relays to ``port`` of 127.0.0.1; listens on ``self.port``. ``delay`` seconds per answer."""

    def __init__(self, port: int, delay: float = 0.0) -> None:
        self._target = port
        self._delay = delay
        self._flows = threading.Event()
        self._flows.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.received = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def hold_answers(self) -> None:
        """Requests go through; answers wait for ``let_go``. Returns when no more requests come."""
        self._flows.clear()
        seen = -1
        while seen != self.received:
            seen = self.received
            time.sleep(0.5)

    def let_go(self) -> None:
        self._flows.set()

    def close(self) -> None:
        self._listener.close()
        self._flows.set()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
                threading.Thread(target=self._requests, args=(client, server), daemon=True).start()
                threading.Thread(target=self._answers, args=(server, client), daemon=True).start()

    def _requests(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(65536):
                self.received += len(data)
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)

    def _answers(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError), client, server:
            while data := server.recv(65536):
                time.sleep(self._delay)
                self._flows.wait()
                client.sendall(data)


@contextmanager
def forwarder(port: int, delay: float = 0.0) -> Iterator[Forwarder]:
    relay = Forwarder(port, delay)
    try:
        yield relay
    finally:
        relay.close()
