"""How many connections, and so files, a member takes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubesim.cluster import SimulatedCluster
from kubesim.fleet import Sandbox
from reconciler.cluster.endpoint import Endpoint, bearer
from reconciler.cluster.http import Transport
from reconciler.cluster.parallel import in_parallel

OPEN = Path("/proc/self/fd")


@pytest.fixture
def server() -> Iterator[SimulatedCluster]:
    with Sandbox(["aws-eu"]) as sandbox:
        yield sandbox.cluster("aws-eu")


@pytest.mark.skipif(not OPEN.exists(), reason="the system does not tell which files are open")
def test_a_member_that_rests_keeps_one_connection(server: SimulatedCluster) -> None:
    transport = Transport("aws-eu", Endpoint(server.url, bearer(server.token)))
    # None is answered before all are asked, so that no connection serves two.
    server.faults.latency(0.5)
    asked = in_parallel(lambda _: transport.request("GET", "/version").status, range(8), 8)
    assert asked == [200] * 8
    before = len(os.listdir(OPEN))  # noqa: PTH208  (counted, not looked at)
    transport.rest()
    assert len(os.listdir(OPEN)) <= before - 7  # noqa: PTH208
    assert transport.request("GET", "/version").status == 200
    transport.close()


def test_the_command_asks_for_as_many_files_as_it_may_have() -> None:
    script = (
        "import resource, runpy, sys\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (256, 4096))\n"
        "sys.argv = ['reconcile', '--help']\n"
        "from reconciler import cli\n"
        "cli._leave = lambda code: print(resource.getrlimit(resource.RLIMIT_NOFILE))\n"
        "cli.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "(4096, 4096)"
