"""Keeps a fleet of Kubernetes clusters as a Git repository says.

Read the packages in the order in which a manifest passes through them:
``source`` -> ``manifests`` -> ``federation`` -> ``health`` -> ``scheduling`` -> ``rendering``
-> ``cluster`` + ``inventory`` -> ``planning`` -> ``applying`` -> ``dns`` -> ``reporting``.
``pipeline`` strings them together, ``cli`` is the command, ``sandbox`` simulates member clusters.
"""

__version__ = "0.1.0"
