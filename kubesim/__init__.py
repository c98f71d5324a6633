"""Simulated member clusters that speak HTTP as an API server does.

Used by ``reconcile --sandbox``, the demo, tests and benchmarks; nothing in the core imports it.

    with Sandbox(["aws-eu", "gcp-eu"]) as sandbox:
        run(kubeconfig=sandbox.kubeconfig)
        sandbox.cluster("aws-eu").edit("Deployment", "web", {"spec": {"replicas": 9}},
                                       namespace="shop")
        sandbox.cluster("gcp-eu").stop()
"""

from __future__ import annotations

from kubesim.cluster import LoggedRequest, Rejected, SimulatedCluster
from kubesim.faults import FaultInjector, InjectedFault, Rules
from kubesim.fleet import Sandbox, default_state, write_kubeconfig
from kubesim.server import Clock, ClusterSettings

__all__ = [
    "Clock",
    "ClusterSettings",
    "FaultInjector",
    "InjectedFault",
    "LoggedRequest",
    "Rejected",
    "Rules",
    "Sandbox",
    "SimulatedCluster",
    "default_state",
    "write_kubeconfig",
]
