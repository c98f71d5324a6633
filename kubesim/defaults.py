"""What the server writes where a manifest says nothing, by type (pkg/apis/*/defaults.go).

Each function gets one struct as it was given, before its children are decoded, and completes it
in place. Defaults that are constants of the OpenAPI document are in ``kubernetes_types.json``.
"""

from __future__ import annotations

import base64
import math
from typing import Any

from kubesim.decode import Defaults
from kubesim.objects import Object
from kubesim.quantities import BadQuantity, amount

TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"
_RBAC = "rbac.authorization.k8s.io"


def _fill(obj: Object, **values: Any) -> None:
    """Sets what is absent or empty; zero counts as given (such fields are pointers)."""
    for key, value in values.items():
        if obj.get(key) in (None, ""):
            obj[key] = value


def _constant(**values: Any) -> Any:
    def fill(obj: Object) -> None:
        _fill(obj, **values)

    return fill


def _pull_policy(image: Any) -> str:
    """Always for ``:latest`` or no tag, else IfNotPresent; a digest counts as a tag."""
    last = str(image or "").rpartition("/")[2]
    if "@" in last:
        return "IfNotPresent"
    tag = last.partition(":")[2]
    return "Always" if tag in ("", "latest") else "IfNotPresent"


def _container(obj: Object) -> None:
    _fill(
        obj,
        imagePullPolicy=_pull_policy(obj.get("image")),
        terminationMessagePath="/dev/termination-log",
        terminationMessagePolicy="File",
    )


def _pod_spec(obj: Object) -> None:
    _fill(
        obj,
        dnsPolicy="ClusterFirst",
        restartPolicy="Always",
        securityContext={},
        terminationGracePeriodSeconds=30,
        schedulerName="default-scheduler",
    )
    # The two are one field with an old and a new name.
    account = obj.get("serviceAccountName") or obj.get("serviceAccount")
    if account:
        obj["serviceAccountName"] = obj["serviceAccount"] = account


def _pod(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    if not isinstance(spec, dict):
        return
    _fill(spec, enableServiceLinks=True)
    for container in [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]:
        resources = container.get("resources") if isinstance(container, dict) else None
        if isinstance(resources, dict) and isinstance(resources.get("limits"), dict):
            requests = resources.setdefault("requests", {})
            for name, quantity in resources["limits"].items():
                requests.setdefault(name, quantity)
    if spec.get("hostNetwork") is True:
        for container in [*spec.get("containers", ()), *spec.get("initContainers", ())]:
            for port in container.get("ports", ()) if isinstance(container, dict) else ():
                if isinstance(port, dict) and not port.get("hostPort"):
                    port["hostPort"] = port.get("containerPort")


def _volume(obj: Object) -> None:
    if not any(key != "name" for key in obj):
        obj["emptyDir"] = {}
    image = obj.get("image")
    if isinstance(image, dict):
        _fill(image, pullPolicy=_pull_policy(image.get("reference")))


def _probe(obj: Object) -> None:
    for key, value in {
        "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3,
    }.items():  # fmt: skip
        if not obj.get(key):
            obj[key] = value


def _service(obj: Object) -> None:
    _fill(obj, sessionAffinity="None", type="ClusterIP")
    if obj["sessionAffinity"] == "None":
        obj.pop("sessionAffinityConfig", None)
    elif obj["sessionAffinity"] == "ClientIP":
        client = obj.setdefault("sessionAffinityConfig", {}).setdefault("clientIP", {})
        _fill(client, timeoutSeconds=10800)
    kind = obj["type"]
    if kind in ("NodePort", "LoadBalancer") or obj.get("externalIPs"):
        _fill(obj, externalTrafficPolicy="Cluster")
    if kind in ("ClusterIP", "NodePort", "LoadBalancer"):
        _fill(obj, internalTrafficPolicy="Cluster")
    if kind == "LoadBalancer":
        _fill(obj, allocateLoadBalancerNodePorts=True)


def _service_port(obj: Object) -> None:
    _fill(obj, protocol="TCP")
    if obj.get("targetPort") in (None, 0, ""):
        obj["targetPort"] = obj.get("port", 0)


def _claim_spec(obj: Object) -> None:
    _fill(obj, volumeMode="Filesystem")


def _deployment_strategy(obj: Object) -> None:
    _fill(obj, type="RollingUpdate")
    if obj["type"] == "RollingUpdate":
        _fill(obj, rollingUpdate={})


def _stateful_set_spec(obj: Object) -> None:
    _fill(
        obj,
        podManagementPolicy="OrderedReady",
        persistentVolumeClaimRetentionPolicy={},
        replicas=1,
        revisionHistoryLimit=10,
    )
    for claim in obj.get("volumeClaimTemplates") or ():
        if isinstance(claim, dict):
            _fill(claim, apiVersion="v1", kind="PersistentVolumeClaim")


def _stateful_strategy(obj: Object) -> None:
    if obj.get("type") in (None, ""):
        obj["type"] = "RollingUpdate"
        _fill(obj, rollingUpdate={})


def _job_labels(obj: Object) -> None:
    spec = obj.get("spec")
    template = spec.get("template") if isinstance(spec, dict) else None
    inner = template.get("metadata") if isinstance(template, dict) else None
    labels = inner.get("labels") if isinstance(inner, dict) else None
    metadata = obj.get("metadata")
    if labels and isinstance(metadata, dict) and not metadata.get("labels"):
        metadata["labels"] = dict(labels)


def _job(obj: Object) -> None:
    _job_labels(obj)
    spec = obj.setdefault("spec", {})
    if not isinstance(spec, dict):
        return
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = 1
    limit = 2147483647 if spec.get("backoffLimitPerIndex") is not None else 6
    failed = spec.get("podFailurePolicy") is not None
    _fill(
        spec,
        parallelism=1,
        backoffLimit=limit,
        completionMode="NonIndexed",
        suspend=False,
        podReplacementPolicy="Failed" if failed else "TerminatingOrFailed",
        manualSelector=False,
    )


def _autoscaler(obj: Object) -> None:
    _fill(obj, minReplicas=1)
    if not obj.get("metrics"):
        target = {"type": "Utilization", "averageUtilization": 80}
        obj["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]


def _scaling_behavior(obj: Object) -> None:
    by_percent = {"type": "Percent", "value": 100, "periodSeconds": 15}
    by_pods = {"type": "Pods", "value": 4, "periodSeconds": 15}
    up = {
        "stabilizationWindowSeconds": 0,
        "selectPolicy": "Max",
        "policies": [by_pods, dict(by_percent)],
    }
    down = {"selectPolicy": "Max", "policies": [dict(by_percent)]}
    for key, rules in (("scaleUp", up), ("scaleDown", down)):
        given = obj.get(key) or {}
        if isinstance(given, dict):
            obj[key] = {
                **rules,
                **{name: value for name, value in given.items() if value is not None},
            }


def _network_policy(obj: Object) -> None:
    if not obj.get("policyTypes"):
        obj["policyTypes"] = ["Ingress", *(["Egress"] if obj.get("egress") else [])]
    _fill(obj, podSelector={})


def _namespace(obj: Object) -> None:
    metadata = obj.get("metadata")
    if isinstance(metadata, dict) and metadata.get("name"):
        labels = metadata.get("labels") or {}
        if isinstance(labels, dict):
            metadata["labels"] = {**labels, "kubernetes.io/metadata.name": metadata["name"]}


def _secret(obj: Object) -> None:
    """``stringData`` is for writing only: it becomes ``data`` as the object is read in."""
    _fill(obj, type="Opaque")
    plain = obj.pop("stringData", None)
    if not plain:
        return
    data = dict(obj.get("data") or {})
    for key, value in plain.items():
        data[key] = base64.b64encode(str(value or "").encode()).decode()
    obj["data"] = data


def _daemon_set(obj: Object) -> None:
    """A field of an older version of the API lives on in an annotation."""
    metadata = obj.get("metadata")
    if isinstance(metadata, dict):
        annotations = metadata.get("annotations") or {}
        if isinstance(annotations, dict):
            metadata["annotations"] = {TEMPLATE_GENERATION: "0", **annotations}


def _subject(obj: Object) -> None:
    if obj.get("kind") in ("User", "Group"):
        _fill(obj, apiGroup=_RBAC)


def _webhook(obj: Object) -> None:
    _fill(
        obj,
        failurePolicy="Fail",
        matchPolicy="Equivalent",
        namespaceSelector={},
        objectSelector={},
        timeoutSeconds=10,
    )


def _mutating_webhook(obj: Object) -> None:
    _webhook(obj)
    _fill(obj, reinvocationPolicy="Never")


def _definition(obj: Object) -> None:
    _fill(obj, conversion={"strategy": "None"})
    names = obj.get("names")
    if isinstance(names, dict) and names.get("kind"):
        _fill(names, singular=names["kind"].lower(), listKind=names["kind"] + "List")


def _limit_item(obj: Object) -> None:
    if obj.get("type") != "Container":
        return
    default = {**(obj.get("max") or {}), **(obj.get("default") or {})}
    request = {**(obj.get("min") or {}), **default, **(obj.get("defaultRequest") or {})}
    obj["default"], obj["defaultRequest"] = default, request


def _http_get(obj: Object) -> None:
    _fill(obj, path="/", scheme="HTTP")


def _host_path(obj: Object) -> None:
    obj.setdefault("type", "")


def _resource_requirements(obj: Object) -> None:
    """Amounts finer than a thousandth are rounded up before they are stored."""
    for key in ("limits", "requests"):
        given = obj.get(key)
        if not isinstance(given, dict):
            continue
        for name, quantity in given.items():
            try:
                value = amount(quantity)
            except BadQuantity:
                continue
            if value != round(value, 3):
                given[name] = f"{math.ceil(value * 1000)}m"


DEFAULTS: Defaults = {
    "core.v1.Container": _container,
    "core.v1.EphemeralContainer": _container,
    "core.v1.PodSpec": _pod_spec,
    "core.v1.Pod": _pod,
    "core.v1.Volume": _volume,
    "core.v1.Probe": _probe,
    "core.v1.HTTPGetAction": _http_get,
    "core.v1.HostPathVolumeSource": _host_path,
    "core.v1.GRPCAction": _constant(service=""),
    "core.v1.SecretVolumeSource": _constant(defaultMode=420),
    "core.v1.ConfigMapVolumeSource": _constant(defaultMode=420),
    "core.v1.DownwardAPIVolumeSource": _constant(defaultMode=420),
    "core.v1.ProjectedVolumeSource": _constant(defaultMode=420),
    "core.v1.ServiceAccountTokenProjection": _constant(expirationSeconds=3600),
    "core.v1.ObjectFieldSelector": _constant(apiVersion="v1"),
    "core.v1.ResourceRequirements": _resource_requirements,
    "core.v1.ServiceSpec": _service,
    "core.v1.ServicePort": _service_port,
    "core.v1.Secret": _secret,
    "core.v1.PersistentVolumeClaimSpec": _claim_spec,
    "core.v1.PersistentVolumeClaimStatus": _constant(phase="Pending"),
    "core.v1.PersistentVolumeSpec": _constant(
        persistentVolumeReclaimPolicy="Retain", volumeMode="Filesystem"
    ),
    "core.v1.PersistentVolumeStatus": _constant(phase="Pending"),
    "core.v1.Namespace": _namespace,
    "core.v1.NamespaceStatus": _constant(phase="Active"),
    "core.v1.EndpointPort": _constant(protocol="TCP"),
    "core.v1.LimitRangeItem": _limit_item,
    "apps.v1.DeploymentSpec": _constant(
        replicas=1, revisionHistoryLimit=10, progressDeadlineSeconds=600
    ),
    "apps.v1.DeploymentStrategy": _deployment_strategy,
    "apps.v1.RollingUpdateDeployment": _constant(maxUnavailable="25%", maxSurge="25%"),
    "apps.v1.DaemonSet": _daemon_set,
    "apps.v1.DaemonSetSpec": _constant(revisionHistoryLimit=10),
    "apps.v1.DaemonSetUpdateStrategy": _deployment_strategy,
    "apps.v1.RollingUpdateDaemonSet": _constant(maxUnavailable=1, maxSurge=0),
    "apps.v1.StatefulSetSpec": _stateful_set_spec,
    "apps.v1.StatefulSetUpdateStrategy": _stateful_strategy,
    "apps.v1.RollingUpdateStatefulSetStrategy": _constant(partition=0, maxUnavailable=1),
    "apps.v1.StatefulSetPersistentVolumeClaimRetentionPolicy": _constant(
        whenDeleted="Retain", whenScaled="Retain"
    ),
    "apps.v1.ReplicaSetSpec": _constant(replicas=1),
    "batch.v1.Job": _job,
    "batch.v1.CronJobSpec": _constant(
        concurrencyPolicy="Allow",
        suspend=False,
        successfulJobsHistoryLimit=3,
        failedJobsHistoryLimit=1,
    ),
    "batch.v1.PodFailurePolicyOnPodConditionsPattern": _constant(status="True"),
    "autoscaling.v1.HorizontalPodAutoscalerSpec": _constant(minReplicas=1),
    "autoscaling.v2.HorizontalPodAutoscalerSpec": _autoscaler,
    "autoscaling.v2.HorizontalPodAutoscalerBehavior": _scaling_behavior,
    "networking.v1.NetworkPolicySpec": _network_policy,
    "networking.v1.NetworkPolicyPort": _constant(protocol="TCP"),
    "networking.v1.IngressClassParametersReference": _constant(scope="Cluster"),
    "rbac.v1.RoleRef": _constant(apiGroup=_RBAC),
    "rbac.v1.Subject": _subject,
    "scheduling.v1.PriorityClass": _constant(preemptionPolicy="PreemptLowerPriority"),
    "storage.v1.StorageClass": _constant(reclaimPolicy="Delete", volumeBindingMode="Immediate"),
    "storage.v1.CSIDriverSpec": _constant(
        attachRequired=True,
        podInfoOnMount=False,
        storageCapacity=False,
        fsGroupPolicy="ReadWriteOnceWithFSType",
        volumeLifecycleModes=["Persistent"],
        requiresRepublish=False,
        seLinuxMount=False,
    ),
    "admissionregistration.v1.ValidatingWebhook": _webhook,
    "admissionregistration.v1.MutatingWebhook": _mutating_webhook,
    "admissionregistration.v1.RuleWithOperations": _constant(scope="*"),
    "admissionregistration.v1.NamedRuleWithOperations": _constant(scope="*"),
    "admissionregistration.v1.ServiceReference": _constant(port=443),
    "admissionregistration.v1.ValidatingAdmissionPolicySpec": _constant(failurePolicy="Fail"),
    "admissionregistration.v1.MutatingAdmissionPolicySpec": _constant(failurePolicy="Fail"),
    "admissionregistration.v1.MatchResources": _constant(
        matchPolicy="Equivalent", namespaceSelector={}, objectSelector={}
    ),
    "apiextensions.v1.CustomResourceDefinitionSpec": _definition,
    "apiextensions.v1.ServiceReference": _constant(port=443),
    "apiregistration.v1.ServiceReference": _constant(port=443),
    "discovery.v1.EndpointPort": _constant(name="", protocol="TCP"),
}
