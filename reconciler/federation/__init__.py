"""Documents -> ``DesiredState``: what Federation, Cluster, Placement and KubeFed kinds mean."""
