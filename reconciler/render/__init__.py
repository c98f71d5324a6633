"""Template + overrides + replicas -> ``DesiredObject`` per member cluster. Pure."""
