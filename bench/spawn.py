"""``python -I -S spawn.py FILE PROGRAM ...``: runs it, and writes what it took to FILE as JSON.

For Linux a child has begun with all the memory of the process that made it, so whoever measures
the peak of small processes must be small: this imports next to nothing.
"""

import json
import os
import sys
import time

if __name__ == "__main__":
    report, *argv = sys.argv[1:]
    began = time.perf_counter()
    pid = os.posix_spawnp(argv[0], argv, os.environ)
    # Only this tells what the process used.
    _, ended, used = os.wait4(pid, 0)
    # pathlib would cost a megabyte.
    with open(report, "w", encoding="utf-8") as file:  # noqa: PTH123
        json.dump(
            {
                "seconds": time.perf_counter() - began,
                "cpu_seconds": used.ru_utime + used.ru_stime,
                # Linux gives ru_maxrss in KiB.
                "peak_bytes": used.ru_maxrss * 1024,
                "exit": os.waitstatus_to_exitcode(ended),
            },
            file,
        )
