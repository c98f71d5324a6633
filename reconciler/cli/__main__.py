"""``python -m reconciler.cli``: the command, where its script is not on the PATH."""

from reconciler.cli import main

main()
