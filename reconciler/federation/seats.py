"""``spec.seats`` of the Federation, and Clusters that are a Witness: what cannot be meant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reconciler.api.notices import NoticeCause, notice
from reconciler.api.objects import first_few
from reconciler.federation.model import WITNESS, Cluster
from reconciler.manifests.document import Document
from reconciler.manifests.problems import ProblemCollector

PATH = ("spec", "seats")
LEAST_SEATS = 3
_OF_MEMBERS = ("weight", "capacity", "taints")


def check_seats(
    federation: Document | None,
    clusters: Mapping[str, Cluster],
    documents: Sequence[Document],
    faults: ProblemCollector,
) -> None:
    """Reports seats that no majority could be had of, or that cannot carry the reconciler.

    ``clusters`` are members and witnesses; ``documents`` theirs. A Witness that is no seat is only
    warned of: it joins before it may vote, and leaves after.
    """
    spec = (federation.body.get("spec") or {}) if federation else {}
    names = spec.get("seats")
    if federation is not None and names is not None:
        _check_number(federation, names, faults)
        for index in range(len(names)):
            _check_seat(federation, index, names, clusters, faults)
    for document in documents:
        if (document.body.get("spec") or {}).get("role") == WITNESS:
            _check_witness(document, names or (), faults)


def _check_number(document: Document, names: Sequence[str], faults: ProblemCollector) -> None:
    number = len(set(names))
    if number >= LEAST_SEATS and number % 2:
        return
    if number < LEAST_SEATS:
        message = f"{number or 'no'} seat{'' if number == 1 else 's'}: the loss of one would end"
        message += " the majority"
    else:
        message = f"{number} seats, an even number: they bear no more losses than {number - 1}"
    faults.problem(
        document,
        PATH,
        message,
        "an odd number of clusters, three or more; or no seats, for one host",
        "a cluster that only votes is a Cluster with role: Witness",
    )


def _check_seat(
    document: Document,
    index: int,
    names: Sequence[str],
    clusters: Mapping[str, Cluster],
    faults: ProblemCollector,
) -> None:
    name, path = names[index], (*PATH, index)
    if name in names[:index]:
        faults.problem(document, path, f"the seat {name!r} twice", "each cluster once")
    elif name not in clusters:
        faults.unknown_cluster(document, path, name, clusters, in_git=True)
    elif drains := [str(t) for t in clusters[name].taints if t.effect == "NoExecute"]:
        faults.problem(
            document,
            path,
            f"the seat {name!r} is drained, by the taint {first_few(drains)} at "
            f"{clusters[name].position}",
            "a cluster without a taint NoExecute",
            f"take the taint away, or let another vote: reconcile seats replace {name} NEW",
        )


def _check_witness(document: Document, seats: Sequence[str], faults: ProblemCollector) -> None:
    name, spec = document.body["metadata"]["name"], document.body["spec"]
    if name not in seats and not faults.possible_definitions.of_any("Federation"):
        faults.warn(
            document,
            notice(NoticeCause.WITNESS_WITHOUT_SEAT, subject=name),
            ("spec", "role"),
        )
    for field in _OF_MEMBERS:
        if field in spec and not (field == "taints" and name in seats):
            what = f"{field} has no effect on a Witness, which runs nothing"
            faults.warn(
                document,
                notice(NoticeCause.WITHOUT_EFFECT, subject=f"Cluster {name}", what=what),
                ("spec", field),
            )
