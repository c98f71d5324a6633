"""``DesiredState`` + what the fleet looks like -> ``Assignment`` per workload. Pure."""

from reconciler.scheduler.model import Assignment, FleetView
from reconciler.scheduler.schedule import schedule

__all__ = ["Assignment", "FleetView", "schedule"]
