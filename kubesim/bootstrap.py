"""What is in a cluster before anybody uses it: namespaces, nodes, the API's own Service."""

from __future__ import annotations

from kubesim import ownership
from kubesim.bodies import RequestTarget
from kubesim.objects import Object
from kubesim.server import ApiServer
from kubesim.writes import as_writer, insert

NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")


def put(server: ApiServer, obj: Object, manager: str = "kube-controller-manager") -> None:
    """Creates an object unless it exists, as a component of the control plane would."""
    resource = server.kinds.of_kind(obj["apiVersion"], obj["kind"])
    namespace = obj["metadata"].get("namespace", "")
    if server.store.get(resource.table, namespace, obj["metadata"]["name"]) is not None:
        return
    target = RequestTarget(resource, namespace, obj["metadata"]["name"])
    decoded, _ = server.decode(obj, resource)
    by = as_writer(server, target, manager)
    empty = server.empty(resource)
    managers = ownership.updated(empty, decoded, resource.shape, {}, by)
    insert(server, decoded, target, managers, dry_run=False)


def create_defaults(server: ApiServer) -> None:
    """Fills an empty cluster."""
    for name in NAMESPACES:
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        put(server, namespace, "kube-apiserver")
    put(
        server,
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {
                "name": "kubernetes",
                "namespace": "default",
                "labels": {"component": "apiserver", "provider": "kubernetes"},
            },
            "spec": {
                "clusterIP": f"10.{server.number % 200}.0.1",
                "ports": [{"name": "https", "port": 443, "targetPort": 6443}],
            },
        },
        "kube-apiserver",
    )
    for number in range(1, server.settings.nodes + 1):
        add_node(server, number)


def add_node(server: ApiServer, number: int) -> None:
    """A ready Node, labelled with the cluster's region and zone."""
    settings = server.settings
    name = f"{server.name}-node-{number}".lower()
    labels = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
    }
    if settings.region:
        labels["topology.kubernetes.io/region"] = settings.region
    if settings.zone or settings.region:
        letter = "abc"[(number - 1) % 3]
        zone = settings.zone or f"{settings.region}-{letter}"
        labels["topology.kubernetes.io/zone"] = zone
    scheme = {"aws": "aws", "gcp": "gce", "azure": "azure"}.get(settings.provider, "sandbox")
    put(
        server,
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "labels": {**labels, **settings.node_labels}},
            "spec": {"providerID": f"{scheme}:///{settings.region or 'local'}/{name}"},
        },
        "kubelet",
    )
    set_node_ready(server, name, ready=True)


def set_node_ready(server: ApiServer, name: str, *, ready: bool) -> None:
    """Writes a node's conditions, as its kubelet (or the node controller) would."""
    record = server.store.get(("", "nodes"), "", name)
    if record is None:
        raise KeyError(name)
    obj, now = record.obj, server.clock.stamp()
    pods = str(server.settings.pods_per_node or 110)
    amounts = {"cpu": "8", "memory": "32Gi", "pods": pods}
    obj["status"] = {
        "capacity": amounts,
        "allocatable": dict(amounts),
        "conditions": [
            {
                "type": "Ready",
                "status": "True" if ready else "Unknown",
                "lastHeartbeatTime": now,
                "lastTransitionTime": now,
                "reason": "KubeletReady" if ready else "NodeStatusUnknown",
                "message": "kubelet is posting ready status"
                if ready
                else "Kubelet stopped posting node status.",
            }
        ],
        "nodeInfo": {
            **dict.fromkeys(
                ("machineID", "systemUUID", "bootID", "kernelVersion", "osImage",
                 "containerRuntimeVersion", "kubeProxyVersion"), ""
            ),
            "kubeletVersion": server.settings.version,
            "operatingSystem": "linux",
            "architecture": "amd64",
        },
    }  # fmt: skip
    server.store.put(("", "nodes"), obj)
