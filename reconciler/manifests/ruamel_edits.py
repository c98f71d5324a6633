"""Edits of a document that ruamel.yaml holds with its comments.

ruamel keeps a comment with the value before it: what stands on the lines after a value belongs, for
people, to what follows. So it is handed on when something is put between, moved or taken out.
"""

from __future__ import annotations

from typing import Any

from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import CommentMark
from ruamel.yaml.scalarstring import DoubleQuotedScalarString, ScalarString
from ruamel.yaml.tokens import CommentToken

from reconciler.api.objects import value_at
from reconciler.manifests.edits import Edit, Steps
from reconciler.manifests.yaml_scalars import NotJson, resolve_plain


def edit_commented(body: CommentedMap, edit: Edit) -> None:
    """Carry out an edit; what ``make_edit`` does with plain maps."""
    if edit.sets:
        _set(body, edit.path, edit.value, edit.before)
        return
    parent, key = value_at(body, edit.path[:-1]), edit.path[-1]
    if edit.to is None:
        _removed(parent, key)
    elif edit.to[:-1] == edit.path[:-1]:
        place, comments = list(parent).index(key), parent.ca.items.pop(key, None)
        value = parent.pop(key)
        parent.insert(place, edit.to[-1], value)
        if comments:
            parent.ca.items[edit.to[-1]] = comments
    else:
        _moved(body, edit.path, edit.to)


def _moved(body: CommentedMap, path: Steps, to: Steps) -> None:
    parent, key = value_at(body, path[:-1]), path[-1]
    keys = list(parent)
    place = keys.index(key)
    following = str(keys[place + 1]) if place + 1 < len(keys) else ""
    after = _taken_after(parent, key)
    comments, value = parent.ca.items.pop(key, None), parent.pop(key)
    target, name, whole = _nested(body, to, value, comments)
    if name in target:
        target[name] = whole
    elif target is parent:
        _inserted(target, name, whole, following)
    else:
        before = _last_leaf(parent, keys[place - 1])[:2] if place else None
        beside = _last_leaf(target, list(target)[-1])[:2] if target else None
        if before and beside and before[0] is beside[0] and before[1] == beside[1]:
            # It stays where it is in the text, and so does the comment before it.
            target[name] = whole
        else:
            if after and place:
                _put_after(parent, keys[place - 1], after)
                after = ""
            _inserted(target, name, whole, "")
    if after:
        _put_after(target, name, after)


def _removed(parent: CommentedMap, key: Any) -> None:
    keys = list(parent)
    place = keys.index(key)
    after = _taken_after(parent, key)
    owner, name, entry = _last_leaf(parent, key)
    own = (owner.ca.items.get(name) or [None] * 4)[entry]
    if own is not None and own.value.strip():
        # What was said beside the field is said on a line of its own.
        after = " " * parent.lc.col + own.value.strip() + "\n" + after
    parent.ca.items.pop(key, None)
    del parent[key]
    if after and place:
        _put_after(parent, keys[place - 1], after)


def _set(body: CommentedMap, path: Steps, value: Any, before: str) -> None:
    parent, key, whole = _nested(body, path, commented(value))
    if not isinstance(parent, CommentedSeq) and key not in parent:
        _inserted(parent, key, whole, before)
        return
    now = parent[key]
    if isinstance(whole, str) and isinstance(now, ScalarString):
        whole = type(now)(whole)
    parent[key] = whole


def _nested(
    body: CommentedMap, path: Steps, value: Any, comments: Any = None
) -> tuple[Any, Any, Any]:
    """The innermost map or list of a path that is there, the next step of it, and what has to be
    put there so that ``value`` is at the path's end, with the ``comments`` of its entry."""
    here: Any = body
    depth = 0
    while depth < len(path) - 1:
        inner = here.get(path[depth]) if isinstance(here, CommentedMap) else here[path[depth]]
        if not isinstance(inner, CommentedMap | CommentedSeq):
            break
        here, depth = inner, depth + 1
    holder = here
    for number, step in enumerate(reversed(path[depth + 1 :])):
        holder = CommentedMap({step: value})
        if comments and number == 0:
            holder.ca.items[step] = comments
        if here.fa.flow_style():
            holder.fa.set_flow_style()
        value = holder
    if holder is here and comments:
        here.ca.items[path[depth]] = comments
    return here, path[depth], value


def _inserted(parent: CommentedMap, key: Any, value: Any, before: str) -> None:
    keys = list(parent)
    place = keys.index(before) if before in keys else len(keys)
    after = _taken_after(parent, keys[place - 1]) if place else ""
    parent.insert(place, key, value)
    if after:
        _put_after(parent, key, after)


def commented(value: Any) -> Any:
    """Plain values as ruamel's own; text that YAML would read as something else is quoted."""
    if isinstance(value, dict):
        return CommentedMap((commented(key), commented(inner)) for key, inner in value.items())
    if isinstance(value, list):
        return CommentedSeq(commented(inner) for inner in value)
    if isinstance(value, str):
        try:
            plain = resolve_plain(value)
        except NotJson:
            plain = None
        return value if plain == value else DoubleQuotedScalarString(value)
    return value


def _last_leaf(parent: Any, key: Any) -> tuple[Any, Any, int]:
    """Where the comment after a value is kept: map or list, key, and place in its entry."""
    value = parent[key]
    while isinstance(value, CommentedMap | CommentedSeq) and value and not value.fa.flow_style():
        parent, key = value, len(value) - 1 if isinstance(value, CommentedSeq) else list(value)[-1]
        value = parent[key]
    return parent, key, 0 if isinstance(parent, CommentedSeq) else 2


def _taken_after(parent: Any, key: Any) -> str:
    """The lines after a value, taken from it; what stands on its own line stays."""
    owner, name, place = _last_leaf(parent, key)
    entry = owner.ca.items.get(name)
    token = entry[place] if entry and len(entry) > place else None
    if token is None:
        return ""
    own, newline, rest = token.value.partition("\n")
    if not rest:
        return ""
    if own.strip():
        token.value = own + newline
    else:
        entry[place] = None
        if not any(entry):
            del owner.ca.items[name]
    return str(rest)


def _put_after(parent: Any, key: Any, text: str) -> None:
    owner, name, place = _last_leaf(parent, key)
    entry = owner.ca.items.setdefault(name, [None] * 4)
    token = entry[place]
    if token is None:
        entry[place] = CommentToken("\n" + text, CommentMark(0), None)
    else:
        token.value = token.value.rstrip("\n") + "\n" + text
