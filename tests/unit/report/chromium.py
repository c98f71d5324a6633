"""Headless Chromium: a page's DOM after its script ran, its picture, and what was complained of."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WAIT = 120
"""Seconds for Chromium to start and draw one page."""


def find_chromium() -> str:
    """Its path. Without one: the test is skipped, or in CI fails."""
    for name in NAMES:
        if path := shutil.which(name):
            return path
    reason = "there is no Chromium (on Debian: apt install chromium)"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@dataclass(frozen=True)
class Browser:
    """``folder`` holds pages, pictures and the profile."""

    program: str
    folder: Path

    def open(self, page: str, fragment: str = "", *options: str) -> Seen:
        """The DOM once scripts have run, and what the browser complained of."""
        done = self._run(page, fragment, "--dump-dom", *options)
        complaints = re.findall(r"CONSOLE[^\]]*\] (.*)", done.stderr)
        return Seen(done.stdout, tuple(complaints))

    def picture(self, page: str, width: int, height: int, *, dark: bool = False) -> Path:
        """A screenshot, as PNG."""
        target = self.folder / "picture.png"
        target.unlink(missing_ok=True)
        self._run(
            page,
            "",
            f"--screenshot={target}",
            f"--window-size={width},{height}",
            "--hide-scrollbars",
            *(["--blink-settings=preferredColorScheme=0"] if dark else []),
        )
        return target

    def _run(self, page: str, fragment: str, *options: str) -> subprocess.CompletedProcess[str]:
        file = self.folder / "page.html"
        file.write_text(page, encoding="utf-8")
        with tempfile.TemporaryDirectory(dir=self.folder) as profile:
            return subprocess.run(
                [
                    self.program,
                    "--headless",
                    "--no-sandbox",
                    "--disable-gpu",
                    "--disable-dev-shm-usage",
                    "--enable-logging=stderr",
                    f"--user-data-dir={profile}",
                    *options,
                    file.as_uri() + fragment,
                ],
                capture_output=True,
                text=True,
                timeout=WAIT,
                check=True,
            )


@dataclass(frozen=True)
class Seen:
    dom: str
    complaints: tuple[str, ...]

    def changes(self) -> list[str]:
        """The objects of those changes that are not hidden."""
        return [
            re.sub(r"\s+", " ", re.search(r'class="object">([^<]*)', block)[1])  # type: ignore[index]
            for block in re.findall(r'<details class="change".*?</summary>', self.dom, re.DOTALL)
            if not re.match(r"<details[^>]* hidden", block)
        ]

    def open_changes(self) -> int:
        return len(re.findall(r'<details class="change"[^>]* open=""', self.dom))

    def status(self) -> str:
        found = re.search(r'id="found"[^>]*>([^<]*)<', self.dom)
        return found[1] if found else ""
