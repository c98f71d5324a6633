"""`reconcile schema`: the JSON Schemas of all kinds, for editors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from reconciler.cli import schema_files
from reconciler.cli.command_group import GroupedCommand
from reconciler.cli.settings import merged, run_options

EPILOG = """\b
Examples:
  reconcile schema                  writes .schemas/
  reconcile schema docs/schemas
"""


@click.command(cls=GroupedCommand, epilog=EPILOG)
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), default=".schemas")
@run_options("terminal")
@click.pass_context
def schema(context: click.Context, /, *, folder: Path, **given: Any) -> None:
    """Write the JSON Schemas for your editor.

    Then either start a manifest with the line that is printed, or put the settings that are
    printed into VS Code (extension "YAML" by Red Hat). Other editors with the YAML language
    server understand both.
    """
    console = merged(context, **given).console
    files = schema_files.schema_files()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file in files:
            (folder / file.name).write_bytes(file.read_bytes())
    except OSError as error:
        raise click.ClickException(f"{folder}: {error.strerror}") from None
    console.note(f"Wrote {len(files)} schemas to {folder}/.")
    console.note("")
    console.note("At the top of a manifest, relative to the file:")
    first = schema_files.file_of_kind("Placement")
    console.out(f"# yaml-language-server: $schema={folder.as_posix()}/{first.name}")
    console.note("")
    console.note("Or for a whole folder, in .vscode/settings.json:")
    prefix = folder.as_posix() if folder.is_absolute() else f"./{folder.as_posix()}"
    settings = {
        "yaml.schemas": {
            f"{prefix}/{schema_files.file_of_kind(kind).name}": patterns
            for kind, patterns in {
                "Federation": ["federation.yaml"],
                "Cluster": ["clusters/*.yaml"],
                "Placement": ["placements/*.yaml"],
            }.items()
        }
    }
    console.document(json.dumps(settings, indent=2))
