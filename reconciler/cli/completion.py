"""`reconcile completion`: the script that makes a shell complete our commands and options."""

from __future__ import annotations

import click

from reconciler.cli.command_group import GroupedCommand

EPILOG = """\b
Examples:
  bash:  reconcile completion bash > ~/.local/share/bash-completion/completions/reconcile
  zsh:   reconcile completion zsh > "${fpath[1]}/_reconcile"
  fish:  reconcile completion fish > ~/.config/fish/completions/reconcile.fish
"""


@click.command(cls=GroupedCommand, epilog=EPILOG)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that completes commands in your shell."""
    from click.shell_completion import get_completion_class

    completer = get_completion_class(shell)
    assert completer is not None  # noqa: S101  (the choices above are click's own)
    root = context.find_root().command
    click.echo(completer(root, {}, "reconcile", "_RECONCILE_COMPLETE").source())
