"""What API servers warn of while they do what they are asked: deprecated versions, what they drop,
what policies would rather not have. It costs no request, and is reported once for each object and
kind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from reconciler.api.notices import Notice, NoticeCause, notice
from reconciler.api.objects import GroupKind, ObjectKey, first_few

Subject = ObjectKey | GroupKind
"""An object; or a kind, of which a list was asked."""

ServerWarnings = frozenset[tuple[Subject, str]]
"""What was warned of, and what that is about."""

LONGEST_WARNING = 1_000
_ABOUT: ContextVar[ObjectKey | None] = ContextVar("about", default=None)
NOT_SHOWN = "not shown, as it may quote a value that is to be hidden"
"""For a warning about a sensitive object: a webhook or a policy may quote anything in it."""


@contextmanager
def warnings_about(key: ObjectKey) -> Iterator[None]:
    """Everything that this thread sends meanwhile is about that object, by whatever name."""
    token = _ABOUT.set(key)
    try:
        yield
    finally:
        _ABOUT.reset(token)


def current_subject() -> ObjectKey | None:
    """The object that this thread is busy with."""
    return _ABOUT.get()


def without_quoted_values(
    server_warnings: ServerWarnings, is_sensitive: Callable[[ObjectKey], bool]
) -> ServerWarnings:
    """The warnings as they may be shown. A warning about a list of a kind quotes no object, and
    is not repeated for each of them."""
    of_kinds = {one for one in server_warnings if not isinstance(one[0], ObjectKey)}
    return frozenset(of_kinds) | {
        (subject, NOT_SHOWN if is_sensitive(subject) else text)
        for subject, text in server_warnings
        if isinstance(subject, ObjectKey) and (subject.group_kind, text) not in of_kinds
    }


def server_warnings(by_cluster: Mapping[str, ServerWarnings]) -> Iterator[Notice]:
    """Of cluster -> its server's warnings: each text once, with what it is about and where."""
    clusters_of: dict[tuple[str, str], list[str]] = {}
    for cluster, warnings in sorted(by_cluster.items()):
        subjects: dict[str, list[str]] = {}
        for subject, text in warnings:
            subjects.setdefault(text, []).append(str(subject))
        for text, names in subjects.items():
            clusters_of.setdefault((first_few(sorted(names)), text), []).append(cluster)
    for (about_what, text), clusters in clusters_of.items():
        yield notice(
            NoticeCause.SERVER_WARNS,
            subject=about_what,
            clusters=first_few(clusters),
            what=text[:LONGEST_WARNING],
        )
