"""``Cluster`` documents, ours and Karmada's, and ``KubeFedCluster`` ones -> member clusters."""

from __future__ import annotations

import base64
import binascii

from msgspec.structs import replace

from reconciler.api.notices import NoticeCause, notice
from reconciler.api.objects import Object
from reconciler.federation.model import PLACE_LABELS, Access, Cluster, SecretReference, Taint
from reconciler.federation.rules import windows_of
from reconciler.manifests.document import Document
from reconciler.manifests.own_schemas import KARMADA_CLUSTER
from reconciler.manifests.problems import ProblemCollector


def parse_clusters(documents: list[Document], faults: ProblemCollector) -> dict[str, Cluster]:
    """Member clusters by name. Two of one name (a Cluster and a KubeFedCluster) are a problem."""
    found: dict[str, Cluster] = {}
    for document in documents:
        if document.body["kind"] == "KubeFedCluster":
            cluster = _kubefed_cluster(document)
        elif document.body["apiVersion"] == KARMADA_CLUSTER:
            cluster = _karmada_cluster(document, faults)
        else:
            cluster = _cluster(document, faults)
        cluster = _with_place(document, cluster, faults)
        if cluster.name in found:
            faults.problem(
                document,
                ("metadata", "name"),
                f"there are two clusters named {cluster.name!r}",
                "each cluster once",
                f"the other one is at {found[cluster.name].position}",
            )
        found[cluster.name] = cluster
    return dict(sorted(found.items()))


def _with_place(document: Document, cluster: Cluster, faults: ProblemCollector) -> Cluster:
    """Its place from its labels, where it says nothing else."""
    from_labels = {part: cluster.labels.get(label, "") for part, label in PLACE_LABELS.items()}
    for part, value in from_labels.items():
        own = getattr(cluster, part)
        if own and value and own != value:
            faults.warn(
                document,
                notice(
                    NoticeCause.LABEL_CONTRADICTS,
                    subject=cluster.name,
                    part=part,
                    own=own,
                    label=PLACE_LABELS[part],
                    value=value,
                ),
            )
    place = {part: getattr(cluster, part) or value for part, value in from_labels.items()}
    return replace(cluster, **place)


def _cluster(document: Document, faults: ProblemCollector) -> Cluster:
    metadata, spec = document.body["metadata"], document.body.get("spec") or {}
    access = spec.get("access") or {}
    secret = access.get("secretRef")
    return Cluster(
        name=metadata["name"],
        position=document.position(),
        labels=dict(metadata.get("labels") or {}),
        provider=spec.get("provider", ""),
        region=spec.get("region", ""),
        zone=spec.get("zone", ""),
        weight=spec.get("weight", 1),
        capacity=(spec.get("capacity") or {}).get("replicas"),
        role=spec.get("role", ""),
        paused=spec.get("paused", False),
        maintenance=windows_of(document, faults),
        taints=tuple(
            Taint(t["key"], t.get("value", ""), t["effect"]) for t in spec.get("taints") or ()
        ),
        access=Access(
            context=access.get("context"),
            secret=SecretReference(
                secret["name"], secret.get("namespace", ""), secret.get("key", "kubeconfig")
            )
            if secret
            else None,
        ),
    )


def _kubefed_cluster(document: Document) -> Cluster:
    """KubeFed: region and zones are in the status that its controller wrote; a Secret without use
    falls back to the kubeconfig context of the cluster's own name."""
    metadata = document.body["metadata"]
    found = ProblemCollector()
    status = _status(document, found)
    _check_ca(document, found)
    return Cluster(
        name=metadata["name"],
        position=document.position(),
        labels=dict(metadata.get("labels") or {}),
        region=status.get("region") or "",
        zone=(status.get("zones") or [""])[0],
        access=access_of(document.body),
        faults=tuple(found.problems),
    )


def _karmada_cluster(document: Document, faults: ProblemCollector) -> Cluster:
    """Karmada: a token and a CA in the Secret, the endpoint in the manifest; without a Secret the
    kubeconfig context of the cluster's own name."""
    metadata, spec = document.body["metadata"], document.body.get("spec") or {}
    for number, taint in enumerate(spec.get("taints") or ()):
        if taint["effect"] == "PreferNoExecute":
            faults.problem(
                document,
                ("spec", "taints", number, "effect"),
                "PreferNoExecute cannot be honoured: nothing says when workloads leave",
                "NoSchedule, PreferNoSchedule or NoExecute",
            )
    if spec.get("proxyHeader"):
        faults.problem(
            document, ("spec", "proxyHeader"), "headers for a proxy cannot be sent", "nothing"
        )
    zones = tuple(spec.get("zones") or ())
    if spec.get("zone") and zones and spec["zone"] not in zones:
        what = "zone has no effect beside zones, as in Karmada"
        faults.warn(document, notice(NoticeCause.WITHOUT_EFFECT, what=what), ("spec", "zone"))
    elif spec.get("zone") and not zones:
        zones = (spec["zone"],)
    return Cluster(
        name=metadata["name"],
        position=document.position(),
        labels=dict(metadata.get("labels") or {}),
        provider=spec.get("provider", ""),
        region=spec.get("region", ""),
        zone=zones[0] if zones else "",
        zones=zones,
        taints=tuple(
            Taint(t["key"], t.get("value", ""), t["effect"])
            for t in spec.get("taints") or ()
            if t["effect"] != "PreferNoExecute"
        ),
        access=karmada_access_of(document.body),
    )


def karmada_access_of(cluster: Object) -> Access:
    """How Karmada reaches a cluster: the endpoint in the manifest, token and CA in the Secret."""
    metadata, spec = cluster["metadata"], cluster.get("spec") or {}
    reference = spec.get("secretRef") or {}
    name = reference.get("name")
    if not name or not spec.get("apiEndpoint"):
        return Access(context=metadata["name"])
    return Access(
        secret=SecretReference(name, reference.get("namespace", ""), "kubeconfig"),
        api_endpoint=spec["apiEndpoint"],
        proxy_url=spec.get("proxyURL", ""),
        skip_tls_checks=("*",) if spec.get("insecureSkipTLSVerification") else (),
        fallback_context=metadata["name"],
        ca_key="caBundle",
    )


def _status(document: Document, faults: ProblemCollector) -> Object:
    """The status, as far as it is read here. What is none is told, and counts as empty."""
    status = document.body.get("status")
    if status is None:
        return {}
    if not isinstance(status, dict):
        faults.problem(document, ("status",), "the status is no map", "region and zones")
        return {}
    region, zones = status.get("region"), status.get("zones")
    if not isinstance(region, str | None):
        faults.problem(document, ("status", "region"), "the region is no text", "europe-west1")
        region = ""
    are_zones = isinstance(zones, list) and all(isinstance(zone, str) for zone in zones)
    if zones is not None and not are_zones:
        faults.problem(document, ("status", "zones"), "the zones are no list of texts", "[a, b]")
        zones = []
    return {"region": region, "zones": zones}


def _check_ca(document: Document, faults: ProblemCollector) -> None:
    given = "".join(str((document.body.get("spec") or {}).get("caBundle") or "").split())
    if not given:
        return
    path, expected = ("spec", "caBundle"), "PEM certificates, in base64 as a whole"
    try:
        decoded = base64.b64decode(given, validate=True)
    except binascii.Error:
        faults.problem(document, path, "the caBundle is no base64", expected)
        return
    if b"-----BEGIN CERTIFICATE-----" not in decoded:
        der = decoded[:1] == b"\x30"
        message = (
            "the caBundle is a DER certificate" if der else "the caBundle holds no certificate"
        )
        hint = "openssl x509 -inform der -in FILE | base64 -w0" if der else ""
        faults.problem(document, path, message, expected, hint)


def access_of(kubefed_cluster: Object) -> Access:
    """How KubeFed reaches a cluster: endpoint and CA in the manifest, a token in the Secret."""
    metadata = kubefed_cluster["metadata"]
    spec: Object = kubefed_cluster.get("spec") or {}
    secret = (spec.get("secretRef") or {}).get("name")
    return Access(
        secret=SecretReference(secret, metadata.get("namespace", ""), "kubeconfig")
        if secret
        else None,
        api_endpoint=spec.get("apiEndpoint", ""),
        ca_bundle=spec.get("caBundle", ""),
        proxy_url=spec.get("proxyURL", ""),
        skip_tls_checks=tuple(spec.get("disabledTLSValidations") or ()),
        fallback_context=metadata["name"],
    )
