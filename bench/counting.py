"""How many requests a run sends: by its own count, and by the API servers' audit logs."""

from __future__ import annotations

import json
from contextlib import ExitStack

from bench.commands import Commands
from bench.repositories import KINDS, write_repository
from bench.rows import Row
from bench.timing import Figure, run
from tests.controlplane.plane import ControlPlane

OBJECTS = 40
"""More would cost time and no request."""


def requests_of_nothing_to_do(
    plane: ControlPlane, commands: Commands, clusters: tuple[int, ...]
) -> list[Row]:
    """A row for each number of clusters. ``plane`` has audit logs.

    A run may send each cluster one request for the inventory and one for each group-kind.
    """
    rows = []
    for count in clusters:
        members = {f"member-{n}": one for n, one in enumerate(plane.clusters(count), start=1)}
        repository = write_repository(commands.folder / f"counted-{count}", OBJECTS, [*members])
        command = commands.reconcile(
            "--yes",
            "--output=json",
            repository=repository,
            kubeconfig=plane.kubeconfig(members),
        )
        run(command)
        with ExitStack() as stack:
            logs = [stack.enter_context(one.recorded()) for one in members.values()]
            report = json.loads(run(command).output)
        kinds = KINDS + 1  # and the Namespace
        rows.append(
            Row(
                f"requests with nothing to do, {count} × {kinds} kinds",
                Figure.single(sum(report["requests"].values())),
                "requests",
                theirs=Figure.single(sum(len(log) for log in logs)),
                who="in the audit logs",
                at_most=count * (1 + kinds),
            )
        )
    return rows
