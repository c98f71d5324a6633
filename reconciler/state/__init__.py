"""What a run remembers of the runs before it, and where that is kept."""
