"""Commands that tests start."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.command import no_command_left, start_command, user_environment


def test_a_command_that_still_runs_when_its_test_ends_is_killed(tmp_path: Path) -> None:
    environment = user_environment(tmp_path)
    earlier = start_command("--help", env=environment, stdout=subprocess.DEVNULL)
    with no_command_left():
        waits = start_command("--help", env=environment, stdout=subprocess.PIPE)
        waits.send_signal(19)  # It stands still, as one that waits for a lock.
    assert waits.returncode == -9
    assert earlier.wait(timeout=60) == 0
