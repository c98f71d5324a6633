"""Where a cluster runs, as its Nodes tell. Pure.

Labels are the well-known ones of Kubernetes; clouds write them, and ``spec.providerID``, through
their cloud controller.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from msgspec import Struct

from reconciler.api.objects import Object

_REGION = ("topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region")
_ZONE = ("topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone")

_PROVIDERS = {
    "aws": "aws",
    "azure": "azure",
    "digitalocean": "digitalocean",
    "gce": "gcp",
    "hcloud": "hetzner",
    "ibm": "ibm",
    "k3s": "k3s",
    "kind": "kind",
    "linode": "linode",
    "oci": "oracle",
    "openstack": "openstack",
    "vsphere": "vsphere",
}
"""Scheme of ``spec.providerID`` -> the name by which people call the cloud."""


class Topology(Struct, frozen=True):
    """``zone`` is empty when the nodes are spread over several: the cluster is then in none.

    ``zones`` has them all.
    """

    provider: str = ""
    region: str = ""
    zone: str = ""
    zones: tuple[str, ...] = ()
    nodes: int = 0


NOWHERE = Topology()


def topology_of(nodes: Sequence[Object]) -> Topology:
    """What most of the nodes agree upon."""
    zones = sorted({zone for node in nodes if (zone := _label(node, _ZONE))})
    return Topology(
        provider=_most([_provider(node) for node in nodes]),
        region=_most([_label(node, _REGION) for node in nodes]),
        zone=zones[0] if len(zones) == 1 else "",
        zones=tuple(zones),
        nodes=len(nodes),
    )


def _provider(node: Object) -> str:
    scheme, separator, _ = str((node.get("spec") or {}).get("providerID", "")).partition("://")
    return _PROVIDERS.get(scheme, scheme) if separator else ""


def _label(node: Object, names: Sequence[str]) -> str:
    labels = node["metadata"].get("labels") or {}
    return next((str(labels[name]) for name in names if labels.get(name)), "")


def _most(values: Sequence[str]) -> str:
    counted = Counter(value for value in values if value)
    # Equal counts: the first by name, so that the same cluster always gives the same manifest.
    return min(counted, key=lambda value: (-counted[value], value)) if counted else ""
