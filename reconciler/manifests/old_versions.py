"""API versions that no supported Kubernetes serves any more: which, since when, what came after.

Only what is gone from the oldest supported version as well (1.33) is listed, kind by kind: a group
like ``storage.k8s.io/v1beta1`` still has others. Sources: Kubernetes' deprecated API migration
guide, and the lifecycles in k8s.io/api. How a document is converted is in ``conversions``, which is
loaded when there is one.
"""

from __future__ import annotations

from msgspec import Struct

from reconciler.api.objects import Object, map_of, maps_of
from reconciler.manifests.own_schemas import KUBEFED_TYPES


class OldVersion(Struct, frozen=True):
    """``removed``: the first Kubernetes without it. ``successor``: the apiVersion to write now;
    empty where there is none, and ``instead`` says what does its work."""

    removed: str
    successor: str = ""
    instead: str = ""


_ADMISSION, _RBAC = "admissionregistration.k8s.io", "rbac.authorization.k8s.io"
_FLOW, _STORAGE = "flowcontrol.apiserver.k8s.io", "storage.k8s.io"
_RBAC_KINDS = "ClusterRole ClusterRoleBinding Role RoleBinding"
_WEBHOOKS = "MutatingWebhookConfiguration ValidatingWebhookConfiguration"
_LEVELS = "FlowSchema PriorityLevelConfiguration"
_SUCCEEDED = (
    ("extensions/v1beta1", "1.16", "apps/v1", "DaemonSet Deployment ReplicaSet"),
    ("extensions/v1beta1", "1.16", "networking.k8s.io/v1", "NetworkPolicy"),
    ("extensions/v1beta1", "1.22", "networking.k8s.io/v1", "Ingress"),
    ("apps/v1beta1", "1.16", "apps/v1", "ControllerRevision Deployment StatefulSet"),
    ("apps/v1beta2", "1.16", "apps/v1", "ControllerRevision DaemonSet Deployment ReplicaSet "
     "StatefulSet"),
    ("networking.k8s.io/v1beta1", "1.22", "networking.k8s.io/v1", "Ingress IngressClass"),
    ("policy/v1beta1", "1.25", "policy/v1", "PodDisruptionBudget"),
    ("batch/v2alpha1", "1.21", "batch/v1", "CronJob"),
    ("batch/v1beta1", "1.25", "batch/v1", "CronJob"),
    ("autoscaling/v2beta1", "1.25", "autoscaling/v2", "HorizontalPodAutoscaler"),
    ("autoscaling/v2beta2", "1.26", "autoscaling/v2", "HorizontalPodAutoscaler"),
    (f"{_RBAC}/v1alpha1", "1.22", f"{_RBAC}/v1", _RBAC_KINDS),
    (f"{_RBAC}/v1beta1", "1.22", f"{_RBAC}/v1", _RBAC_KINDS),
    (f"{_ADMISSION}/v1beta1", "1.22", f"{_ADMISSION}/v1", _WEBHOOKS),
    (f"{_ADMISSION}/v1alpha1", "1.32", f"{_ADMISSION}/v1",
     "ValidatingAdmissionPolicy ValidatingAdmissionPolicyBinding"),
    ("apiextensions.k8s.io/v1beta1", "1.22", "apiextensions.k8s.io/v1",
     "CustomResourceDefinition"),
    ("apiregistration.k8s.io/v1beta1", "1.22", "apiregistration.k8s.io/v1", "APIService"),
    ("scheduling.k8s.io/v1alpha1", "1.22", "scheduling.k8s.io/v1", "PriorityClass"),
    ("scheduling.k8s.io/v1beta1", "1.22", "scheduling.k8s.io/v1", "PriorityClass"),
    (f"{_STORAGE}/v1alpha1", "1.24", f"{_STORAGE}/v1", "CSIStorageCapacity VolumeAttachment"),
    (f"{_STORAGE}/v1beta1", "1.22", f"{_STORAGE}/v1",
     "CSIDriver CSINode StorageClass VolumeAttachment"),
    (f"{_STORAGE}/v1beta1", "1.27", f"{_STORAGE}/v1", "CSIStorageCapacity"),
    ("coordination.k8s.io/v1beta1", "1.22", "coordination.k8s.io/v1", "Lease"),
    ("certificates.k8s.io/v1beta1", "1.22", "certificates.k8s.io/v1",
     "CertificateSigningRequest"),
    ("discovery.k8s.io/v1beta1", "1.25", "discovery.k8s.io/v1", "EndpointSlice"),
    ("events.k8s.io/v1beta1", "1.25", "events.k8s.io/v1", "Event"),
    ("node.k8s.io/v1alpha1", "1.22", "node.k8s.io/v1", "RuntimeClass"),
    ("node.k8s.io/v1beta1", "1.25", "node.k8s.io/v1", "RuntimeClass"),
    (f"{_FLOW}/v1alpha1", "1.24", f"{_FLOW}/v1", _LEVELS),
    (f"{_FLOW}/v1beta1", "1.26", f"{_FLOW}/v1", _LEVELS),
    (f"{_FLOW}/v1beta2", "1.29", f"{_FLOW}/v1", _LEVELS),
    (f"{_FLOW}/v1beta3", "1.32", f"{_FLOW}/v1", _LEVELS),
)  # fmt: skip
_POD_SECURITY = (
    "Pod Security Admission does its work, by labels of the Namespaces such as "
    "pod-security.kubernetes.io/enforce: baseline"
)
_DEVICES = "a ResourceClaim of resource.k8s.io/v1 asks for devices; it has to be written anew"
_WITHOUT = (
    ("extensions/v1beta1", "1.16", "PodSecurityPolicy", _POD_SECURITY),
    ("policy/v1beta1", "1.25", "PodSecurityPolicy", _POD_SECURITY),
    ("extensions/v1beta1", "1.8", "ThirdPartyResource", "a CustomResourceDefinition defines kinds"),
    ("settings.k8s.io/v1alpha1", "1.20", "PodPreset",
     "an override of a Placement, or a mutating admission policy, changes Pods"),
    ("auditregistration.k8s.io/v1alpha1", "1.19", "AuditSink",
     "the API server's own flags say where audit logs go"),
    ("apps/v1alpha1", "1.5", "PetSet", "a StatefulSet of apps/v1; it has to be written anew"),
    ("resource.k8s.io/v1alpha2", "1.31", "ResourceClass ResourceClaim ResourceClaimTemplate "
     "PodSchedulingContext ResourceClaimParameters ResourceClassParameters", _DEVICES),
)  # fmt: skip

OLD_VERSIONS = {
    (api_version, kind): OldVersion(removed, successor)
    for api_version, removed, successor, kinds in _SUCCEEDED
    for kind in kinds.split()
} | {
    (api_version, kind): OldVersion(removed, instead=instead)
    for api_version, removed, kinds, instead in _WITHOUT
    for kind in kinds.split()
}
"""(apiVersion, kind) -> what became of it."""

_WHOLE = {
    api_version: OldVersion(removed, instead="kubectl explain KIND tells today's apiVersion")
    for api_version, removed in (
        ("extensions/v1beta1", "1.22"),
        ("apps/v1alpha1", "1.5"),
        ("apps/v1beta1", "1.16"),
        ("apps/v1beta2", "1.16"),
        ("settings.k8s.io/v1alpha1", "1.20"),
        ("auditregistration.k8s.io/v1alpha1", "1.19"),
    )
}
"""Group versions that are gone as a whole, with kinds that nobody lists."""
_API_VERSIONS = frozenset(api_version for api_version, _ in OLD_VERSIONS)
_INGRESS = "networking.k8s.io/v1beta1"

TEMPLATE = ("spec", "template")


def old_version(api_version: object, kind: object) -> OldVersion | None:
    """What became of a kind in that version; None where servers may still have it."""
    if not isinstance(api_version, str) or api_version not in _API_VERSIONS:
        return None
    return OLD_VERSIONS.get((api_version, str(kind))) or _WHOLE.get(api_version)


def old_part(body: Object) -> tuple[Object, tuple[str, ...]] | None:
    """The object of an old version in a manifest, with its apiVersion and kind, and where it is:
    the manifest itself, or the template of a KubeFed kind. None: there is none.

    KubeFed's own sample of an Ingress has no apiVersion, and the fields of the old one.
    """
    kind = str(body.get("kind"))
    if old_version(body.get("apiVersion"), kind):
        return body, ()
    if body.get("apiVersion") != KUBEFED_TYPES or not kind.startswith("Federated"):
        return None
    template = map_of(map_of(body.get("spec")).get("template"))
    kind, api_version = kind.removeprefix("Federated"), template.get("apiVersion")
    if api_version is None and kind == "Ingress" and _has_old_backends(template):
        api_version = _INGRESS
    if old_version(api_version, kind):
        return {**template, "apiVersion": api_version, "kind": kind}, TEMPLATE
    return None


def _has_old_backends(ingress: Object) -> bool:
    spec = map_of(ingress.get("spec"))
    paths = [
        path
        for rule in maps_of(spec.get("rules"))
        for path in maps_of(map_of(rule.get("http")).get("paths"))
    ]
    backends = [map_of(one.get("backend")) for one in (spec, *paths)]
    return any(one.keys() & {"serviceName", "servicePort"} for one in backends)


def old_target(body: Object) -> OldVersion | None:
    """What became of the type that a FederatedTypeConfig names, if that is gone."""
    if body.get("kind") != "FederatedTypeConfig":
        return None
    target = map_of(map_of(body.get("spec")).get("targetType"))
    return old_version(f"{target.get('group')}/{target.get('version')}", target.get("kind"))


def is_old(body: Object) -> bool:
    """Whether a manifest, or what it says of others, is of a version that is gone."""
    return old_part(body) is not None or old_target(body) is not None
