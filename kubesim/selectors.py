"""Label and field selectors in their query form (``app=web,tier in (a,b),!legacy``)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from kubesim.objects import Object
from kubesim.statuses import bad_request

Labels = Mapping[str, str]
Matches = Callable[[Labels], bool]

_TERM = re.compile(
    r"""\s*(?:
        (?P<absent>!)\s*(?P<no>[^\s,=!()<>]+)
      | (?P<key>[^\s,=!()<>]+)\s*(?:
            (?P<equal>==|=|!=)\s*(?P<value>[^\s,=!()<>]*)
          | (?P<set>in|notin)\b\s*\((?P<values>[^()]*)\)
          | (?P<compare>[<>])\s*(?P<number>-?\d+)
        )?
    )\s*(?:,|$)""",
    re.X,
)


def parse_labels(text: str) -> Matches | None:
    """None for an empty selector, which selects everything. Raises Refusal (400)."""
    if not text.strip():
        return None
    terms: list[Matches] = []
    position = 0
    while position < len(text):
        match = _TERM.match(text, position)
        if match is None or match.end() == position:
            word = text[position:].split()
            found = word[2] if len(word) > 2 else word[-1]
            wanted = "'('" if len(word) > 1 and word[1] in ("in", "notin") else "','"
            raise bad_request(f"unable to parse requirement: found '{found}' expected: {wanted}")
        terms.append(_term(match))
        position = match.end()
    return lambda labels: all(term(labels) for term in terms)


def _term(match: re.Match[str]) -> Matches:
    if match["absent"]:
        name = match["no"]
        return lambda labels: name not in labels
    key = match["key"]
    if match["equal"]:
        value = match["value"]
        if match["equal"] == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    if match["set"]:
        values = frozenset(part.strip() for part in match["values"].split(","))
        if match["set"] == "notin":
            return lambda labels: labels.get(key) not in values
        return lambda labels: labels.get(key) in values
    if match["compare"]:
        return _comparison(key, match["compare"], int(match["number"]))
    return lambda labels: key in labels


def _comparison(key: str, sign: str, number: int) -> Matches:
    def matches(labels: Labels) -> bool:
        try:
            value = int(labels.get(key, ""))
        except ValueError:
            return False
        return value > number if sign == ">" else value < number

    return matches


def selects(selector: Object | None, labels: Labels) -> bool:
    """A LabelSelector object; None selects nothing, an empty one everything."""
    if selector is None:
        return False
    for key, value in (selector.get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    for rule in selector.get("matchExpressions") or ():
        key, operator, values = rule["key"], rule["operator"], rule.get("values") or ()
        present = key in labels
        fits = {
            "In": present and labels.get(key) in values,
            "NotIn": not present or labels.get(key) not in values,
            "Exists": present,
            "DoesNotExist": not present,
        }.get(operator, False)
        if not fits:
            return False
    return True


_FIELDS: dict[tuple[str, str], tuple[str, ...]] = {
    ("", "pods"): ("spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "status.phase"),
    ("", "nodes"): ("spec.unschedulable",),
    ("", "namespaces"): ("status.phase",),
    ("", "secrets"): ("type",),
    ("", "services"): ("spec.clusterIP", "spec.type"),
    ("", "events"): (
        "involvedObject.kind", "involvedObject.name", "involvedObject.namespace",
        "involvedObject.uid", "reason", "type", "source",
    ),
    ("apps", "replicasets"): ("status.replicas",),
    ("batch", "jobs"): ("status.successful",),
}  # fmt: skip


def parse_fields(
    text: str, table: tuple[str, str]
) -> Callable[[str, str, Callable[[], Object]], bool] | None:
    """A function of (namespace, name, how to get the object). Raises Refusal (400)."""
    terms: list[tuple[str, bool, str]] = []
    for term in filter(None, (part.strip() for part in text.split(","))):
        match = re.fullmatch(r"([^=!]+)(==|=|!=)(.*)", term)
        if match is None:
            raise bad_request(f"invalid selector: '{term}'; can't understand '{term}'")
        key = match[1]
        known = ("metadata.name", "metadata.namespace", *_FIELDS.get(table, ()))
        if key not in known:
            raise bad_request(
                f'"{key}" is not a known field selector: only "metadata.name", "metadata.namespace"'
            )
        terms.append((key, match[2] != "!=", match[3]))
    if not terms:
        return None

    def matches(namespace: str, name: str, read: Callable[[], Object]) -> bool:
        for key, equal, value in terms:
            if key == "metadata.name":
                actual: Any = name
            elif key == "metadata.namespace":
                actual = namespace
            else:
                actual = read()
                for part in key.split("."):
                    actual = (actual or {}).get(part) if isinstance(actual, dict) else None
            if (_text(actual) == value) != equal:
                return False
        return True

    return matches


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
