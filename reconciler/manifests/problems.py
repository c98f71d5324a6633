"""Collecting what is wrong with what the documents mean, each with its place."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from msgspec import Struct, field
from msgspec.structs import replace

from reconciler.api.annotations import AnnotationFault
from reconciler.api.errors import Problem
from reconciler.api.files import SourceFile
from reconciler.api.notices import Notice, NoticeCause, notice
from reconciler.api.objects import key_of, map_of
from reconciler.api.spelling import close_matches
from reconciler.manifests.document import Document

_NAME = rb"""\bname["']?:[ \t]*["']?([A-Za-z0-9.-]+)"""
_CLUSTER = "Cluster"
MAX_PROBLEMS = 1000
"""Each is looked up to be told its place, and compared with every name that might be meant."""


class PossibleDefinitions(Struct, frozen=True):
    """What broken documents and unread files may define.

    ``names`` are (kind, name), the kind empty where only the name could be read. ``clusters``:
    a host lists some, and was not asked.
    """

    names: frozenset[tuple[str, str]] = frozenset()
    unread: bool = False
    clusters: bool = False

    @classmethod
    def about(
        cls, broken: Collection[Document], unread: Collection[SourceFile]
    ) -> PossibleDefinitions:
        """Of documents with faults, and of files that could not be read as a whole."""
        names = {
            (str(d.body.get("kind")), str(map_of(d.body.get("metadata")).get("name")))
            for d in broken
        }
        for file in unread:
            names |= {("", name.decode()) for name in re.findall(_NAME, file.content)}
        return cls(frozenset(names), bool(unread))

    def of(self, kind: str, name: str) -> bool:
        """Whether there may be a document of that kind and name."""
        if self.clusters and kind == _CLUSTER:
            return True
        return (kind, name) in self.names or ("", name) in self.names

    def of_any(self, *kinds: str) -> bool:
        """Whether there may be some document of these kinds."""
        if self.unread or (self.clusters and _CLUSTER in kinds):
            return True
        return any(kind in kinds for kind, _ in self.names)


class ProblemCollector(Struct):
    """Problems stop the run; notices are shown in the plan. Past MAX_PROBLEMS, none are added.

    ``unknown_kinds`` are federated kinds whose apiVersion only a cluster could tell;
    ``unknown_clusters`` are named by some document and have no Cluster. ``witnesses`` are Clusters
    that nothing can be placed on. ``possible_definitions`` is what may be
    there, in documents that have faults of their own: who refers to it is not at fault.
    ``listed``: a host lists clusters, which come and go without a commit.
    """

    problems: list[Problem] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    unknown_kinds: set[str] = field(default_factory=set)
    unknown_clusters: set[str] = field(default_factory=set)
    witnesses: Collection[str] = ()
    listed: bool = False
    possible_definitions: PossibleDefinitions = field(default_factory=PossibleDefinitions)

    def problem(
        self,
        document: Document,
        path: Sequence[str | int],
        message: str,
        expected: str = "",
        hint: str = "",
        *,
        at_key: bool = False,
    ) -> None:
        """Report a fault at ``path`` inside a document, or (``at_key``) at its last key."""
        if len(self.problems) >= MAX_PROBLEMS:
            return
        text = f"${_steps(path)}"
        hint = "; ".join(filter(None, [hint, document.origin]))
        position = document.position(*path, key=at_key)
        self.problems.append(Problem(position, text, message, expected, hint))

    def mark(self, document: Document, path: Sequence[str | int], fault: AnnotationFault) -> None:
        """Report one of our annotations or labels."""
        self.problem(document, path, fault.message, fault.expected, fault.hint, at_key=fault.at_key)

    def warn(self, document: Document, found: Notice, path: Sequence[str | int] = ()) -> None:
        """Report something odd at ``path`` inside a document that does not stop the run. It is
        about the document where it does not say what it is about."""
        position = document.position(*path)
        self.notices.append(
            replace(
                found,
                subject=found.subject or str(key_of(document.body)),
                path=_steps(path).removeprefix("."),
                place=f"{position.file}:{position.line}",
            )
        )

    def unknown_cluster(
        self,
        document: Document,
        path: Sequence[str | int],
        name: str,
        known: Collection[str],
        *,
        in_git: bool = False,
    ) -> None:
        """Report a cluster name that no Cluster has, or a Witness where members are meant.

        ``in_git``: one that a host lists would not do.
        """
        if name in self.witnesses:
            message = f"cluster {name!r} is a Witness: it only votes, and nothing runs there"
            expected = ", ".join(sorted(known)) or "a Cluster that is no Witness"
            self.problem(document, path, message, expected)
            return
        self.unknown_clusters.add(name)
        if self.possible_definitions.of("Cluster", name) or self.possible_definitions.of(
            "KubeFedCluster", name
        ):
            return
        if self.listed and not in_git:
            meant = suggestion(name, known)
            warning = notice(NoticeCause.NAMED_NOT_LISTED, name=name, meant=meant and f" ({meant})")
            self.warn(document, warning, path)
            return
        if len(self.problems) >= MAX_PROBLEMS:
            return
        expected = ", ".join(sorted(known)) or "a Cluster manifest"
        self.problem(
            document, path, f"there is no cluster {name!r}", expected, suggestion(name, known)
        )


def _steps(path: Sequence[str | int]) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)


def suggestion(name: str, known: Collection[str], cutoff: float = 0.5) -> str:
    """``did you mean …?``, or nothing."""
    found = close_matches(name, sorted(known), n=1, cutoff=cutoff)
    return f"did you mean {found[0]}?" if found else ""
