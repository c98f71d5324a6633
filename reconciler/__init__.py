"""Keeps a fleet of Kubernetes clusters as a Git repository says.

Read the packages in the order in which a manifest passes through them: ``git`` -> ``manifests``
-> ``federation`` -> ``failover`` -> ``scheduler`` -> ``render`` -> ``cluster`` + ``inventory``
-> ``plan`` -> ``apply`` -> ``dns`` -> ``report``. ``run`` strings them together, ``cli`` is the
command. ``docs/architecture.md`` follows one manifest from file to file.
"""

__version__ = "0.1.0"
