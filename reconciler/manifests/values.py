"""Files of values for Helm charts: one map each, with the place of what is wrong."""

from __future__ import annotations

from typing import Any

from reconciler.api.errors import Position, Problem
from reconciler.api.files import SourceFile


def read_values(file: SourceFile) -> tuple[dict[str, Any], list[Problem]]:
    """The values in a file, and what is wrong with it; a file without any holds no values."""
    # Most repositories have no chart.
    import yaml

    from reconciler.manifests.load import MAX_PROBLEMS, syntax_problem, text_of
    from reconciler.manifests.yaml_nodes import Builder, compose

    text = text_of(file)
    if isinstance(text, Problem):
        return {}, [text]
    builder = Builder(file.path, MAX_PROBLEMS)
    try:
        roots = list(compose(text))
    except yaml.YAMLError as error:
        return {}, [syntax_problem(file, text, error)]
    if len(roots) > 1:
        mark = roots[1].start_mark
        position = Position(file.path, mark.line + 1, mark.column + 1)
        return {}, [Problem(position, "", "a second document", "one map of values")]
    values = builder.build(roots[0]) if roots else None
    if builder.problems:
        return {}, builder.problems
    if values is None:
        return {}, []
    if not isinstance(values, dict):
        place = Position(file.path, 1, 1)
        return {}, [Problem(place, "", "the file is not a map", "values by their names")]
    return values, []
