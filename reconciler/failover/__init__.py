"""Probes and remembered state -> which clusters count as down; health of single objects."""
