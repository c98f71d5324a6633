"""A commit reaches the fleet in waves: which cluster is on which commit, and why."""
