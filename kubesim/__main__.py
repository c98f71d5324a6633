"""``python -m kubesim --clusters 1000 --kubeconfig FILE``: a fleet in its own process.

Prints one line when it serves; ends on SIGTERM, SIGINT, or when standard input is closed (with
``--until-stdin-closes``).
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from pathlib import Path

from kubesim.fleet import Sandbox
from kubesim.server import ClusterSettings


def main() -> None:
    """Serves until it is told to end."""
    parser = argparse.ArgumentParser(prog="python -m kubesim", description=__doc__)
    parser.add_argument("names", nargs="*", help="names of the clusters")
    parser.add_argument("--clusters", type=int, default=0, help="how many, named cluster-0001 ...")
    parser.add_argument("--kubeconfig", type=Path, required=True, help="the file to write")
    parser.add_argument("--state", type=Path, help="directory that keeps the clusters' contents")
    parser.add_argument("--ready-after", type=float, default=0.05, help="seconds")
    parser.add_argument("--nodes", type=int, default=3, help="nodes in each cluster")
    parser.add_argument("--until-stdin-closes", action="store_true")
    arguments = parser.parse_args()
    names = [*arguments.names, *(f"cluster-{n:04}" for n in range(1, arguments.clusters + 1))]
    if not names:
        parser.error("name at least one cluster, or give --clusters")
    _raise_file_limit(len(names))
    settings = ClusterSettings(ready_after=arguments.ready_after, nodes=arguments.nodes)
    done = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: done.set())
    with Sandbox(names, settings=settings, state=arguments.state, kubeconfig=arguments.kubeconfig):
        sys.stdout.write(f"{len(names)} clusters are ready: {arguments.kubeconfig}\n")
        sys.stdout.flush()
        if arguments.until_stdin_closes:
            threading.Thread(target=_wait_for_the_end, args=(done,), daemon=True).start()
        done.wait()


def _wait_for_the_end(done: threading.Event) -> None:
    sys.stdin.read()
    done.set()


def _raise_file_limit(clusters: int) -> None:
    """Each cluster needs a socket that listens, and some for its connections."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = clusters * 12 + 256
    if soft < wanted:
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, limit), hard))


if __name__ == "__main__":
    main()
