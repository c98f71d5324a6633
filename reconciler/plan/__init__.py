"""Desired x live -> ``Plan``: changes with fields, guards, prune decisions."""
