"""YAML bytes -> ``Document`` values with positions, checked against the schemas."""
