"""What the command's exit code tells a script. There are no others.

They follow Terraform's ``plan -detailed-exitcode``; 64 is EX_USAGE of sysexits.h, because 2, which
most tools use for a wrong command line, is taken by "there are changes".
"""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    OK = 0
    """Done, or the plan was made."""
    FAILED = 1
    """Something failed: bad input, a guard, a cluster that did not answer, a refused object."""
    CHANGES = 2
    """Only with ``--plan --detailed-exitcode``: the plan was made, and has changes."""
    USAGE = 64
    """The command line is wrong; nothing was read."""
    INTERRUPTED = 130
    """Ctrl-C: 128 + SIGINT, as shells have it."""
    TERMINATED = 143
    """SIGTERM: 128 + SIGTERM; SIGHUP as well. What was in flight is done; the report says what is
    left."""
