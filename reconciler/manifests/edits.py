"""Single changes of a manifest, recorded while they are made, so that they can be told with the
place of each field, and made again in a file with comments."""

from __future__ import annotations

import copy
from typing import Any

from msgspec import UNSET, Struct, UnsetType

from reconciler.api.objects import Object, value_at

Steps = tuple[str | int, ...]


class Edit(Struct, frozen=True):
    """One change: ``path`` is moved ``to`` another place, or set to ``value`` (in a new key
    ``before`` that one, else at the end), or, with neither, removed.

    ``why`` is for people. What is not ``told`` follows from another edit.
    """

    path: Steps
    to: Steps | None = None
    value: Any = UNSET
    before: str = ""
    why: str = ""
    told: bool = True

    @property
    def sets(self) -> bool:
        return not isinstance(self.value, UnsetType)


class Obstacle(Struct, frozen=True):
    """What only a person can decide; ``path`` leads to it."""

    path: Steps
    message: str
    expected: str = ""
    hint: str = ""


class Draft:
    """A copy of a manifest that is being changed, with the edits so far. ``at`` leads to the object
    in it to which paths belong."""

    def __init__(self, body: Object, at: Steps = ()) -> None:
        self.body = copy.deepcopy(body)
        self.at = at
        self.edits: list[Edit] = []
        self.obstacles: list[Obstacle] = []

    def get(self, *path: str | int) -> Any:
        """What is there now; None where nothing is."""
        return value_at(self.body, (*self.at, *path))

    def move(self, path: Steps, to: Steps, why: str = "") -> None:
        """Give a field another place. Maps on the way are made."""
        self._make(Edit((*self.at, *path), (*self.at, *to), why=why))

    def set(
        self, path: Steps, value: Any, why: str = "", *, before: str = "", told: bool = True
    ) -> None:
        """Give a field that value, be it there or not. Maps on the way are made."""
        self._make(Edit((*self.at, *path), value=value, before=before, why=why, told=told))

    def default(self, path: Steps, value: Any, why: str, *, before: str = "") -> None:
        """Say what the old version took where nothing is said."""
        if self.get(*path) is None:
            self.set(path, value, why, before=before)

    def remove(self, path: Steps, why: str = "", *, told: bool = True) -> None:
        """Take a field out, if it is there."""
        parent = self.get(*path[:-1])
        if isinstance(parent, dict) and path[-1] in parent:
            self._make(Edit((*self.at, *path), why=why, told=told))

    def stop(self, path: Steps, message: str, expected: str = "", hint: str = "") -> None:
        """Leave it to a person."""
        self.obstacles.append(Obstacle((*self.at, *path), message, expected, hint))

    def _make(self, edit: Edit) -> None:
        place = _in_the_way(self.body, edit.to or edit.path)
        if place is not None:
            obstacle = Obstacle(place, f"{place[-1]} is no map", "names and values")
            self.obstacles += [obstacle] if obstacle not in self.obstacles else []
            return
        make_edit(self.body, edit)
        self.edits.append(edit)


def _in_the_way(body: Any, path: Steps) -> Steps | None:
    """Where something is that can hold no more of the path. What is not there yet can be made."""
    for number, step in enumerate(path):
        here = value_at(body, path[:number])
        if here is None:
            break
        if not isinstance(here, list if isinstance(step, int) else dict):
            return path[:number]
    return None


def make_edit(body: Any, edit: Edit) -> None:
    """Carry out an edit on plain maps and lists."""
    if edit.sets:
        parent, key = _parent(body, edit.path), edit.path[-1]
        _put(parent, key, copy.deepcopy(edit.value), edit.before)
        return
    parent, key = value_at(body, edit.path[:-1]), edit.path[-1]
    if edit.to is None:
        del parent[key]
        return
    following = _next_key(parent, key)
    value = parent.pop(key)
    target = _parent(body, edit.to, parent, following)
    _put(target, edit.to[-1], value, following if target is parent else "")


def _next_key(parent: Any, key: Any) -> str:
    keys = list(parent)
    place = keys.index(key) + 1
    return str(keys[place]) if place < len(keys) else ""


def _parent(body: Any, path: Steps, beside: Any = None, before: str = "") -> Any:
    """The map or list that holds the end of a path; a map that is made in ``beside`` is put
    ``before`` that key."""
    here = body
    for step in path[:-1]:
        if isinstance(here, dict) and not isinstance(here.get(step), dict | list):
            _put(here, step, {}, before if here is beside else "")
        here = here[step]
    return here


def _put(parent: Any, key: Any, value: Any, before: str) -> None:
    if not before or not isinstance(parent, dict) or key in parent or before not in parent:
        parent[key] = value
        return
    rest = list(parent)[list(parent).index(before) :]
    parent[key] = value
    for name in rest:
        parent[name] = parent.pop(name)
