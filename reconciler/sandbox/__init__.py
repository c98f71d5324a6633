"""Simulated member clusters inside the process; used by ``--sandbox``, the demo and tests."""
