"""Documents -> ``DesiredState``: what Federation, Cluster, Placement and KubeFed kinds mean."""

from reconciler.federation.compile import Compiled, compile_documents

__all__ = ["Interpretation", "interpret"]
