"""Documents -> ``DesiredState``: what Federation, Cluster, Placement and KubeFed kinds mean."""

from reconciler.federation.interpret import Interpretation, interpret

__all__ = ["Interpretation", "interpret"]
