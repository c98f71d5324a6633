"""Progress bars on stderr, on a terminal only."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

from reconciler.cli.console import Console

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Bars:
    """One bar for each phase that the pipeline names; they vanish when the work is done.

    Safe to call from several threads, and does nothing where there is no terminal.
    """

    def __init__(self, console: Console, *, wanted: bool = True) -> None:
        self._wanted = wanted and console.stderr_terminal
        self._colour = console.stderr_colour
        self._progress: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        if self._wanted:
            from rich.console import Console as Rich
            from rich.progress import (
                BarColumn,
                MofNCompleteColumn,
                Progress,
                TextColumn,
                TimeElapsedColumn,
            )

            self._progress = Progress(
                TextColumn("{task.description:<12}"),
                BarColumn(bar_width=30),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                console=Rich(stderr=True, no_color=not self._colour),
                transient=True,
            )
            self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def phase(self, name: str, total: int) -> None:
        """A phase begins, or turns out to have ``total`` steps."""
        if self._progress is None:
            return
        if name in self._tasks:
            self._progress.update(self._tasks[name], total=total)
        else:
            self._tasks[name] = self._progress.add_task(name, total=total)

    def advance(self, name: str, n: int = 1) -> None:
        """``n`` steps of the phase are done."""
        if self._progress is not None and name in self._tasks:
            self._progress.advance(self._tasks[name], n)
