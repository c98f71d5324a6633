"""A headless Chromium that is spoken to while it runs, by the DevTools protocol over a pipe."""

from __future__ import annotations

import base64
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

WAIT = 60.0
"""Seconds for one answer, on a machine that is busy."""


class DevTools:
    """One tab. ``complaints`` are what the console said of errors and refused sources."""

    def __init__(self, process: subprocess.Popen[bytes], to: int, of: int) -> None:
        self.process, self._to, self._of = process, to, of
        self._number, self._buffer = 0, b""
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self._session = ""
        self.loaded = False
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> Any:
        """The result of a command. Raises AssertionError for an error, and after ``WAIT``."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]
            self._event(answer)

    def _next(self) -> Any:
        ends = time.monotonic() + WAIT
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._of], [], [], ends - time.monotonic())
            assert ready, "the browser does not answer"
            piece = os.read(self._of, 1 << 20)
            assert piece, "the browser has ended"
            self._buffer += piece
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def _event(self, event: Any) -> None:
        method, parameters = event.get("method"), event.get("params", {})
        if method == "Log.entryAdded":
            self.complaints.append(parameters["entry"]["text"])
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(parameters["exceptionDetails"]))
        elif method == "Page.loadEventFired":
            self.loaded = True
        elif method == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])

    def open(self, url: str) -> None:
        """Goes there, and waits until it is loaded."""
        self.call("Page.navigate", url=url)
        self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    def open_plain(self, url: str) -> None:
        """Goes there where no script runs, not even ours."""
        self.loaded = False
        self.call("Page.navigate", url=url)
        ends = time.monotonic() + WAIT
        while not self.loaded:
            assert time.monotonic() < ends, "it is never loaded"
            self.call("Page.getFrameTree")
            time.sleep(0.05)

    def seen_text(self) -> str:
        """All text that has a box on the screen."""
        found = self.call("DOMSnapshot.captureSnapshot", computedStyles=[])
        strings = found["strings"]
        boxes = found["documents"][0]["layout"]["text"]
        return "\n".join(strings[number] for number in boxes if number >= 0)

    def evaluate(self, expression: str) -> Any:
        """A script's value; it may be a promise."""
        found = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def until(self, expression: str) -> Any:
        """The expression's value, as soon as that is true; while a page loads it may fail."""
        guarded = f"(() => {{ try {{ return {expression} }} catch {{ return null }} }})()"
        ends = time.monotonic() + WAIT
        while not (value := self.evaluate(guarded)):
            assert time.monotonic() < ends, f"never true: {expression}"
            time.sleep(0.02)
        return value

    def press(self, key: str, code: int, text: str = "") -> None:
        """A key, by its name and Windows' key code."""
        common = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def size(self, width: int, height: int) -> None:
        """Of the window."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def dark(self, *, wanted: bool = True) -> None:
        """Whether the reader likes it dark."""
        value = "dark" if wanted else "light"
        feature = {"name": "prefers-color-scheme", "value": value}
        self.call("Emulation.setEmulatedMedia", features=[feature])

    def picture(self, file: Path, *, whole: bool = False) -> Path:
        """A PNG of the window, or of the whole page."""
        found = self.call("Page.captureScreenshot", captureBeyondViewport=whole)
        file.write_bytes(base64.b64decode(found["data"]))
        return file


@contextmanager
def devtools(program: str, *options: str) -> Iterator[DevTools]:
    """Starts one, and ends it."""
    ours, theirs = os.pipe(), os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [
            program,
            *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
            *("--remote-debugging-pipe", f"--user-data-dir={profile}", "--no-first-run"),
            *options,
        ]
        # The protocol's pipe is descriptors 3 and 4.
        script = (
            "import fcntl, os, sys; high = [fcntl.fcntl(int(n), fcntl.F_DUPFD, 64) for n in "
            "sys.argv[1:3]]; [os.dup2(n, at) for n, at in zip(high, (3, 4))]; "
            "os.execvp(sys.argv[3], sys.argv[3:])"
        )
        ends = (ours[0], theirs[1])
        process = subprocess.Popen(
            [sys.executable, "-c", script, *map(str, ends), *command],
            pass_fds=ends,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(ours[0])
        os.close(theirs[1])
        try:
            yield DevTools(process, ours[1], theirs[0])
        finally:
            process.kill()
            process.wait()
            os.close(ours[1])
            os.close(theirs[0])
