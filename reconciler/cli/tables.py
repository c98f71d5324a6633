"""Plain tables, as kubectl prints them: columns, no rules, no wrapping."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from reconciler.cli.console import styled
from reconciler.report.terminal import unpainted

if TYPE_CHECKING:
    from reconciler.join.steps import Step

GAP = 3


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Lines with columns as wide as their widest cell; colours do not count as width."""
    all_rows = [list(headings), *(list(row) for row in rows)]
    widths = [max(len(unpainted(row[i])) for row in all_rows) for i in range(len(headings))]
    for row in all_rows:
        cells = [
            cell + " " * (width - len(unpainted(cell)))
            for cell, width in zip(row, widths, strict=True)
        ]
        yield (" " * GAP).join(cells).rstrip()


def age(seconds: float) -> str:
    """``45s``, ``12m``, ``5h``, ``3d``: the largest unit that says enough."""
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{int(seconds // length)}{unit}"
    return f"{max(0, int(seconds))}s"


# -- steps of join and unjoin ----------------------------------------------------------------------


_COLOURS = {
    "create": "green",
    "change": "yellow",
    "delete": "red",
    "release": "yellow",
    "keep": "cyan",
}
_SHOWN_DETAILS = 6


def step_lines(step: Step, *, verbose: bool = False) -> Iterator[str]:
    """``member  create  ServiceAccount federation-system/aws-eu-host``, and what is to be known."""
    effect = styled(f"{step.effect:<10}", fg=_COLOURS.get(step.effect))
    yield f"  {_where(step):<11} {effect} {_what(step)}"
    shown = step.details if verbose or step.path else step.details[:_SHOWN_DETAILS]
    for detail in shown:
        yield " " * 25 + detail
    if len(shown) < len(step.details):
        yield " " * 25 + f"and {len(step.details) - len(shown)} more"


def _where(step: Step) -> str:
    return f"seat {step.seat}" if step.seat and step.where == "host" else step.where


def _what(step: Step) -> str:
    from reconciler.join.steps import title

    if step.path:
        return step.path
    if not step.object:
        return step.description
    name = title(step.object)
    return f"{name} ({step.description})" if step.description else name


def steps_as_yaml(steps: Sequence[Step]) -> str:
    """The objects that would be written, for applying them with another tool."""
    from reconciler.join.steps import Verb
    from reconciler.manifests.yaml_text import as_yaml

    documents = []
    for step in steps:
        if step.verb in (Verb.APPLY, Verb.AWAIT_TOKEN, Verb.WRITE_FILE) and step.object:
            body = as_yaml([step.object])
            where = step.path or (
                f"the cluster of {_where(step)}" if step.seat else f"the {step.where} cluster"
            )
            documents.append(f"# {where}: {step.effect}\n{body}")
    return "---\n".join(documents)


def steps_as_json(steps: Sequence[Step], warnings: Sequence[str]) -> str:
    """Every step as it was planned, or as it was done."""
    rows: list[dict[str, Any]] = [
        {
            "where": step.where,
            **({"seat": step.seat} if step.seat else {}),
            "effect": str(step.effect),
            "what": _what(step),
            "path": step.path,
            "object": step.object or None,
            "details": list(step.details),
        }
        for step in steps
    ]
    document = {"steps": rows, "warnings": list(warnings)}
    return json.dumps(document, indent=2, ensure_ascii=False)
