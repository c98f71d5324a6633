"""Probes and what runs remember -> which clusters count as down, and what an outage would leave."""
