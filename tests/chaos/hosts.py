"""Member clusters that can come to harm, simulated and real, with the same handles."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

import yaml

from kubesim.cluster import LoggedRequest, SimulatedCluster
from kubesim.faults import Rules
from tests.chaos.proxy import FaultProxy, fault_proxy
from tests.chaos.webhook import Webhook, webhook
from tests.controlplane.cluster import Cluster

Object = dict[str, Any]

METRICS = "metrics.k8s.io/v1beta1"
_LISTED = (
    "/api/v1/namespaces", "/api/v1/configmaps", "/api/v1/secrets", "/api/v1/services",
    "/api/v1/serviceaccounts", "/api/v1/nodes", "/apis/apps/v1/deployments",
    "/apis/coordination.k8s.io/v1/leases", "/apis/events.k8s.io/v1/events",
)  # fmt: skip


class Host(Protocol):
    """A cluster. ``faults`` befall requests on their way; ``requests`` are those that arrived."""

    name: str

    @property
    def faults(self) -> Rules: ...
    @property
    def requests(self) -> deque[LoggedRequest]: ...
    def objects(self) -> list[Object]: ...
    def create(self, obj: Object) -> None: ...
    def die(self) -> None:
        """SIGKILL, or what comes next to it."""

    def revive(self) -> None: ...
    def freeze_store(self) -> None:
        """What is asked finds no answer: etcd is paused, or the simulated cluster."""

    def thaw_store(self) -> None: ...
    def break_aggregated_api(self) -> None: ...
    def mend_aggregated_api(self) -> None: ...
    def skew(self, seconds: float) -> None: ...
    def refuse_writes(self, message: str, kind: str, name: str) -> None:
        """A validating webhook says no to objects of this kind, or to one of them."""

    def slow_webhook(self, kind: str) -> None:
        """A validating webhook takes longer than the API server waits for it."""

    def webhook_calls(self) -> int: ...
    def no_webhooks(self) -> None: ...


class SimulatedHost:
    def __init__(self, cluster: SimulatedCluster) -> None:
        self.name = cluster.name
        self.cluster = cluster
        self.faults = cluster.faults
        self.requests = cluster.requests

    def objects(self) -> list[Object]:
        return list(self.cluster.objects.values())

    def create(self, obj: Object) -> None:
        self.cluster.create(obj, manager="somebody")

    def die(self) -> None:
        self.cluster.stop()

    def revive(self) -> None:
        self.cluster.start()

    def freeze_store(self) -> None:
        self.cluster.pause()

    def thaw_store(self) -> None:
        self.cluster.resume()

    def break_aggregated_api(self) -> None:
        self.cluster.faults.fail_group(METRICS)

    def mend_aggregated_api(self) -> None:
        self.cluster.faults.mend_group(METRICS)

    def skew(self, seconds: float) -> None:
        self.cluster.faults.skew_clock(seconds)

    def refuse_writes(self, message: str, kind: str, name: str) -> None:
        self.faults.deny(message, path=f"/{kind}/{name}")

    def slow_webhook(self, kind: str) -> None:
        said = 'failed calling webhook "slow.example.com": context deadline exceeded'
        self.faults.error(500, message=said, method="PATCH", path=f"/{kind}/")

    def webhook_calls(self) -> int:
        # Counted as hits of the rules.
        return 0

    def no_webhooks(self) -> None:
        self.faults.clear()


class RealHost:
    """Reached through a proxy, which has the faults of the way."""

    def __init__(self, name: str, cluster: Cluster, proxy: FaultProxy, hook: Webhook) -> None:
        self.name = name
        self.cluster = cluster
        self.proxy = proxy
        self.faults = proxy.faults
        self.requests = proxy.requests
        self._hook = hook

    def objects(self) -> list[Object]:
        found = []
        for path in _LISTED:
            answer = self.cluster.call("GET", path)
            kind = answer["kind"].removesuffix("List")
            for item in answer["items"]:
                found.append({"apiVersion": answer["apiVersion"], "kind": kind, **item})
        return found

    def create(self, obj: Object) -> None:
        namespace = obj["metadata"].get("namespace", "")
        below = f"/namespaces/{namespace}" if namespace else ""
        path = f"/api/v1{below}/{obj['kind'].lower()}s"
        self.cluster.call("POST", path, obj, query={"fieldManager": "somebody"})

    def die(self) -> None:
        self.cluster.stop()

    def revive(self) -> None:
        self.cluster.start()

    def freeze_store(self) -> None:
        self.cluster.etcd.pause()

    def thaw_store(self) -> None:
        self.cluster.etcd.resume()
        # Leases and caches of the API servers need a moment after a pause.
        self.cluster.wait_ready()

    def break_aggregated_api(self) -> None:
        group, _, version = METRICS.partition("/")
        service = {"name": "nobody", "namespace": "kube-system", "port": 443}
        spec = {
            "group": group, "version": version, "service": service, "insecureSkipTLSVerify": True,
            "groupPriorityMinimum": 100, "versionPriority": 100,
        }  # fmt: skip
        metadata = {"name": f"{version}.{group}"}
        body = {"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService"}
        path = "/apis/apiregistration.k8s.io/v1/apiservices"
        self.cluster.call("POST", path, {**body, "metadata": metadata, "spec": spec})

    def mend_aggregated_api(self) -> None:
        group, _, version = METRICS.partition("/")
        path = f"/apis/apiregistration.k8s.io/v1/apiservices/{version}.{group}"
        self.cluster.request("DELETE", path)

    def skew(self, seconds: float) -> None:
        self.proxy.skew = seconds

    def refuse_writes(self, message: str, kind: str, name: str) -> None:
        self._hook.denial, self._hook.name = message, name
        self._hook.register(self.cluster, kind)

    def slow_webhook(self, kind: str) -> None:
        self._hook.silent = True
        self._hook.register(self.cluster, kind)

    def webhook_calls(self) -> int:
        return self._hook.calls

    def no_webhooks(self) -> None:
        self._hook.withdraw(self.cluster)


@contextmanager
def real_hosts(
    clusters: dict[str, Cluster], folder: Path
) -> Iterator[tuple[dict[str, Host], Path]]:
    """Each cluster behind a proxy of its own; and the kubeconfig that leads to the proxies."""
    with ExitStack() as stack:
        hosts: dict[str, Host] = {}
        certificates = {}
        for name, cluster in clusters.items():
            own = folder / f"{name}.pem"
            proxy = stack.enter_context(fault_proxy(cluster.url, cluster.certificate, own))
            hook = stack.enter_context(webhook(folder / f"{name}-hook.pem"))
            hosts[name] = RealHost(name, cluster, proxy, hook)
            certificates[name] = folder / f"{name}.crt"
            certificates[name].write_text(proxy.certificate)
        file = folder / "proxies.kubeconfig"
        servers = {
            name: host.proxy.url for name, host in hosts.items() if isinstance(host, RealHost)
        }
        tokens = {name: cluster.tokens["admin"] for name, cluster in clusters.items()}
        file.write_text(_kubeconfig(servers, certificates, tokens))
        yield hosts, file


def _kubeconfig(
    servers: dict[str, str], certificates: dict[str, Path], tokens: dict[str, str]
) -> str:
    def reached(name: str) -> Object:
        return {"server": servers[name], "certificate-authority": str(certificates[name])}

    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": next(iter(servers)),
        "clusters": [{"name": name, "cluster": reached(name)} for name in servers],
        "users": [{"name": name, "user": {"token": tokens[name]}} for name in servers],
        "contexts": [{"name": n, "context": {"cluster": n, "user": n}} for n in servers],
    }
    return yaml.safe_dump(config)


def without_values(objects: Sequence[Object]) -> str:
    """All objects as text but Secrets, where values belong."""
    return json.dumps([obj for obj in objects if obj["kind"] != "Secret"])
