"""``DesiredState`` + what the fleet looks like -> ``Assignment`` per workload. Pure."""

from reconciler.scheduling.assignment import Assignment
from reconciler.scheduling.fleet import FleetView
from reconciler.scheduling.schedule import schedule

__all__ = ["Assignment", "FleetView", "schedule"]
