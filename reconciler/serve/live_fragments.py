"""The page of the fleet in pieces, each with the version in which it last changed.

A browser that has version 7 gets the pieces that are newer; nobody keeps a log of events. A piece
is one element, known by its id. What holds others (the rows of a table, the tiles of the picture)
is sent as a whole only where it holds others than before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from reconciler.report.html import fixed_parts
from reconciler.serve.live_survivability import MatrixView
from reconciler.serve.live_view import ClusterDetail, LiveView
from reconciler.serve.run_history import RunRow, TimelineEntry

if TYPE_CHECKING:
    from reconciler.report.html import FixedParts

FOLDER = Path(__file__).parent


class PageContent(Struct, frozen=True):
    """What the page shows. ``view`` None: no run has come to a plan yet. ``finished`` is when the
    last run ended, 0: none has; ``started`` when the process did (Unix seconds)."""

    view: LiveView | None
    runs: tuple[RunRow, ...] = ()
    timeline: tuple[TimelineEntry, ...] = ()
    matrix: MatrixView | None = None
    finished: float = 0.0
    started: float = 0.0
    problem: str = ""


class Piece(Struct, frozen=True):
    """One element. ``of`` is what it was drawn from; ``whole`` draws what holds other pieces."""

    version: int
    of: Any
    html: str = ""
    whole: Callable[[], str] | None = None


class Fragments:
    """All pieces of one version, made from those ``before``, of which most stay as they are.

    ``version`` rises by one. ``content`` is what the pieces show.
    """

    def __init__(self, content: PageContent, before: Fragments | None = None) -> None:
        self.content = content
        self.version: int = before.version + 1 if before else 1
        self._before: Mapping[str, Piece] = before._pieces if before else {}
        self._pieces: dict[str, Piece] = {}
        self._holder_of: dict[str, str] = {}
        self._module: Any = live_parts().environment.get_template("live_parts.html").module
        self._draw()
        self._before = {}

    def html(self, name: str) -> str:
        """The element as it is now."""
        from markupsafe import Markup

        piece = self._pieces[name]
        return Markup(piece.whole() if piece.whole else piece.html)  # noqa: S704  (drawn by us)

    def newer(self, version: int) -> Iterator[tuple[str, str]]:
        """(id, element) of what has changed since ``version``; what is in another one goes with
        it."""
        new = {name for name, piece in self._pieces.items() if piece.version > version}
        for name in self._pieces:
            if name in new and self._holder_of.get(name) not in new:
                yield name, self.html(name)

    def page(self, epoch: str) -> str:
        """The whole page; ``epoch`` tells this process from another one."""
        fixed = live_parts()
        template = fixed.environment.get_template("live.html")
        return template.render(
            content=self.content, piece=self.html, epoch=epoch, version=self.version, fixed=fixed
        )

    # -- drawing -----------------------------------------------------------------------------------

    def _draw(self) -> None:
        content, module = self.content, self._module
        view = content.view
        self._add("top", (_top(content), content.problem), lambda: module.top(content))
        if view is None:
            return
        self._add("summary", view.summary, lambda: module.summary(view.summary))
        attention = (view.ill, view.waiting)
        self._add("attention", attention, lambda: module.attention(*attention))
        self._draw_fleet(view)
        self._add("rollout", view.road, lambda: module.rollout(view.road))
        self._draw_workloads(view)
        self._add("timeline", content.timeline, lambda: module.timeline(content.timeline))
        self._add("runs", content.runs, lambda: module.runs(content.runs))
        self._add("matrix", content.matrix, lambda: module.matrix(content.matrix))

    def _draw_fleet(self, view: LiveView) -> None:
        module, clusters = self._module, view.clusters
        names = tuple(one.name for one in clusters)
        drawn = (view.pictures, names)
        self._add_holder("pictures", drawn, lambda: module.pictures(view, self.html))
        for size, picture in view.pictures:
            for place in picture.tiles:
                one = clusters[place.cluster]
                name = f"{size}-{place.cluster}"
                self._add(
                    name,
                    (one, place, picture.detail, picture.tile_width),
                    partial(module.tile_piece, picture, place, one, name),
                    "pictures",
                )
        legend = (view.signs, len(clusters))
        self._add("legend", legend, lambda: module.legend(*legend))
        columns = (names, view.road is not None, view.clusters_left_out)
        self._add_holder("clusters", columns, lambda: module.clusters(view, self.html))
        waves = view.road is not None
        for number, one in enumerate(clusters):
            name = f"cluster-{number}"
            self._add(
                name,
                (one, waves),
                partial(module.cluster_row, one, name, waves),
                "clusters",
            )

    def _draw_workloads(self, view: LiveView) -> None:
        module = self._module
        order = tuple((one.kind, one.name) for one in view.workloads)
        self._add_holder(
            "workloads", (order, view.workloads_left_out), lambda: module.workloads(view, self.html)
        )
        for number, one in enumerate(view.workloads):
            name = f"workload-{number}"
            self._add(name, one, partial(module.workload_row, one, name), "workloads")

    def _add(self, name: str, of: object, draw: Callable[[], str], holder: str = "") -> None:
        if holder:
            self._holder_of[name] = holder
        before = self._before.get(name)
        if before is not None and before.of == of:
            self._pieces[name] = before
        else:
            self._pieces[name] = Piece(self.version, of, str(draw()))

    def _add_holder(self, name: str, of: object, whole: Callable[[], str]) -> None:
        before = self._before.get(name)
        same = before is not None and before.of == of
        version = before.version if before and same else self.version
        self._pieces[name] = Piece(version, of, whole=whole)


def _top(content: PageContent) -> tuple[object, ...]:
    view = content.view
    summary = (view.federation, view.commit, view.sign, view.headline) if view else ()
    return (*summary, content.finished)


def cluster_page(detail: ClusterDetail) -> str:
    """The page of one cluster, in a folder below the page of the fleet."""
    fixed = live_parts()
    template = fixed.environment.get_template("live_cluster.html")
    return template.render(detail=detail, fixed=fixed)


def live_parts() -> FixedParts:
    """Style, script and policy of the page, which may ask its own server for news."""
    fixed = fixed_parts(FOLDER, "live", "connect-src 'self'")
    fixed.environment.filters.setdefault("moment", _moment)
    fixed.environment.filters.setdefault("iso", _iso)
    return fixed


def _moment(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}"


def _iso(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
