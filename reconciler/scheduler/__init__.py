"""``DesiredState`` + what the fleet looks like -> ``Assignment`` per workload. Pure."""
