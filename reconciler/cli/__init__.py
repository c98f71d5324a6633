"""The ``reconcile`` command: parse, call, print; exit codes live in ``cli.main``."""
