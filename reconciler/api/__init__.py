"""What every package speaks of: objects and their names, our annotations, errors."""
