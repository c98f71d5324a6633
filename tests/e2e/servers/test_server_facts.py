"""What the API server does, in plain requests: the facts that telling "unchanged" is built on.

None of this project's code runs here. Records of applied objects are sound because of these: the
fields that we own (E, our entry in ``managedFields``) do not tell whether their values are still
ours, so the values (V) are compared, too; and an apply need not end where the next would begin.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.controlplane.cluster import JSON_PATCH, Cluster
from tests.controlplane.fixtures import Fleet
from tests.controlplane.process import eventually

US = "federation-reconciler"
Object = dict[str, Any]

WEB = "/apis/apps/v1/namespaces/default/deployments/web"
SETTINGS = "/api/v1/namespaces/default/configmaps/settings"
RESET: Object = {"metadata": {"managedFields": [{}]}}


@pytest.fixture
def cluster(fleet: Fleet) -> Cluster:
    return fleet(1)[0]


def deployment(*containers: Object, replicas: int = 2, **pod: Any) -> Object:
    if not containers:
        containers = ({"name": "web", "image": "registry.example/web:1"},)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": list(containers), **pod},
            },
        },
    }


def settings(data: dict[str, str]) -> Object:
    metadata = {"name": "settings", "namespace": "default"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def entry(obj: Object, manager: str = US, operation: str = "Apply") -> Object | None:
    """A manager's entry without its time: E."""
    for found in obj["metadata"].get("managedFields", ()):
        if (found["manager"], found["operation"]) == (manager, operation):
            return {key: value for key, value in found.items() if key != "time"}
    return None


def owned(obj: Object, *path: str) -> bool:
    fields = (entry(obj) or {})["fieldsV1"]
    for step in path:
        if step not in fields:
            return False
        fields = fields[step]
    return True


def containers(obj: Object) -> list[Object]:
    found: list[Object] = obj["spec"]["template"]["spec"]["containers"]
    return found


def without_bookkeeping(obj: Object) -> Object:
    """What a reader of the object cares about."""
    obj = copy.deepcopy(obj)
    for key in ("managedFields", "resourceVersion", "generation"):
        obj["metadata"].pop(key, None)
    return obj


# -- what stays the same ------------------------------------------------------------------------


def test_an_apply_that_changes_nothing_leaves_even_the_resource_version(cluster: Cluster) -> None:
    first = cluster.apply(WEB, deployment(), manager=US)
    assert cluster.apply(WEB, deployment(), manager=US) == first


def test_a_dry_run_answers_as_the_apply_would_and_changes_nothing(cluster: Cluster) -> None:
    live = cluster.apply(WEB, deployment(replicas=2), manager=US)
    answer = cluster.apply(WEB, deployment(replicas=3), manager=US, dry_run=True)
    assert answer["spec"]["replicas"] == 3
    assert cluster.call("GET", WEB) == live


def test_the_server_keeps_its_own_form_of_quantities_and_defaults(cluster: Cluster) -> None:
    limits = {"cpu": "1000m", "memory": "1024Mi"}
    container = {"name": "web", "image": "web:1", "resources": {"limits": limits}}
    live = cluster.apply(WEB, deployment(container), manager=US)
    assert containers(live)[0]["resources"]["limits"] == {"cpu": "1", "memory": "1Gi"}
    assert containers(live)[0]["terminationMessagePath"] == "/dev/termination-log"
    assert cluster.apply(WEB, deployment(container), manager=US) == live


@pytest.mark.parametrize(
    ("path", "obj", "counted"),
    [
        (WEB, deployment(), True),
        (SETTINGS, settings({"a": "1"}), False),
        (
            "/api/v1/namespaces/default/services/web",
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": "web"},
                "spec": {"ports": [{"port": 80}]},
            },
            False,
        ),
    ],
    ids=["Deployment", "ConfigMap", "Service"],
)
def test_not_every_kind_counts_its_generations(
    cluster: Cluster, path: str, obj: Object, counted: bool
) -> None:
    live = cluster.apply(path, obj, manager=US)
    assert ("generation" in live["metadata"]) is counted


# -- what E does not tell -----------------------------------------------------------------------


def test_reordered_containers_are_still_ours_and_yet_not_as_applied(cluster: Cluster) -> None:
    web, proxy = {"name": "web", "image": "web:1"}, {"name": "proxy", "image": "proxy:1"}
    applied = cluster.apply(WEB, deployment(web, proxy), manager=US)
    swapped = [*reversed(containers(applied))]
    patch = [{"op": "replace", "path": "/spec/template/spec/containers", "value": swapped}]
    live = cluster.patch(WEB, patch, content_type=JSON_PATCH)

    assert entry(live) == entry(applied)
    assert [item["name"] for item in containers(live)] == ["proxy", "web"]
    again = cluster.apply(WEB, deployment(web, proxy), manager=US, dry_run=True)
    assert [item["name"] for item in containers(again)] == ["web", "proxy"]


def test_reordered_environment_variables_are_still_ours(cluster: Cluster) -> None:
    variables = [{"name": "A", "value": "1"}, {"name": "B", "value": "$(A)2"}]
    web = {"name": "web", "image": "web:1", "env": variables}
    applied = cluster.apply(WEB, deployment(web), manager=US)
    path = "/spec/template/spec/containers/0/env"
    patch = [{"op": "replace", "path": path, "value": [*reversed(variables)]}]
    live = cluster.patch(WEB, patch, content_type=JSON_PATCH)

    assert entry(live) == entry(applied)
    assert containers(live)[0]["env"] != containers(applied)[0]["env"]


def test_admission_changes_our_field_under_the_request_of_somebody_else(cluster: Cluster) -> None:
    applied = cluster.apply(WEB, deployment(replicas=2), manager=US)
    touch = {"metadata": {"annotations": {"touched": "yes"}}}
    _set_replicas_of_whatever_is_touched(cluster, replicas=42, probe=touch)
    live = cluster.patch(WEB, touch)

    assert live["spec"]["replicas"] == 42
    assert entry(live) == entry(applied)
    assert owned(live, "f:spec", "f:replicas")


def test_an_apply_under_our_name_by_somebody_else_leaves_the_entry_alike(cluster: Cluster) -> None:
    ours = cluster.apply(SETTINGS, settings({"colour": "red"}), manager=US)
    theirs = cluster.apply(SETTINGS, settings({"colour": "blue"}), manager=US)
    assert entry(theirs) == entry(ours)
    assert theirs["data"] == {"colour": "blue"}


def test_an_update_of_our_field_by_somebody_else_takes_it_out_of_the_entry(
    cluster: Cluster,
) -> None:
    cluster.apply(WEB, deployment(replicas=2), manager=US)
    live = cluster.patch(WEB, {"spec": {"replicas": 5}}, manager="kubectl-scale")
    assert not owned(live, "f:spec", "f:replicas")


def test_an_update_to_the_value_that_we_applied_leaves_the_entry_alone(cluster: Cluster) -> None:
    applied = cluster.apply(WEB, deployment(replicas=2), manager=US)
    live = cluster.patch(WEB, {"spec": {"replicas": 2}}, manager="kubectl-scale")
    assert live == applied


def test_fields_that_nobody_applied_may_change_unseen(cluster: Cluster) -> None:
    applied = cluster.apply(SETTINGS, settings({"colour": "red"}), manager=US)
    live = cluster.patch(SETTINGS, {"data": {"size": "large"}})
    assert entry(live) == entry(applied)
    again = cluster.apply(SETTINGS, settings({"colour": "red"}), manager=US, dry_run=True)
    assert again["data"] == {"colour": "red", "size": "large"}


# -- where an apply does not end where the next would begin -------------------------------------


def test_an_apply_is_not_always_idempotent(cluster: Cluster) -> None:
    def with_security(context: Object) -> Object:
        return deployment({"name": "web", "image": "web:1", "securityContext": context})

    cluster.apply(WEB, with_security({"runAsUser": 0}), manager=US)
    first = cluster.apply(WEB, with_security({}), manager=US)
    second = cluster.apply(WEB, with_security({}), manager=US)

    template = ("f:spec", "f:template", "f:spec", "f:containers")
    assert owned(first, *template, 'k:{"name":"web"}', "f:securityContext")
    assert "securityContext" not in containers(first)[0]
    assert containers(second)[0]["securityContext"] == {}


def test_after_a_reset_of_managed_fields_the_next_apply_drops_nothing(cluster: Cluster) -> None:
    cluster.apply(SETTINGS, settings({"kept": "1", "dropped": "1"}), manager=US)
    reset = cluster.patch(SETTINGS, RESET)
    assert entry(reset) is None

    live = cluster.apply(SETTINGS, settings({"kept": "1"}), manager=US)
    assert live["data"] == {"kept": "1", "dropped": "1"}


def test_after_a_reset_everything_belongs_to_a_manager_that_never_comes_back(
    cluster: Cluster,
) -> None:
    both = settings({"kept": "1", "dropped": "1"})
    cluster.apply(SETTINGS, both, manager=US)
    reset = cluster.patch(SETTINGS, RESET)
    live = cluster.apply(SETTINGS, both, manager=US)
    assert without_bookkeeping(live) == without_bookkeeping(reset)
    assert owned(live, "f:data", "f:dropped")
    assert entry(live, "before-first-apply", "Update") is not None

    # Owning the field again is not enough while that manager is a second owner ...
    live = cluster.apply(SETTINGS, settings({"kept": "1"}), manager=US)
    assert live["data"] == {"kept": "1", "dropped": "1"}

    # ... it is when that entry has gone.
    live = cluster.apply(SETTINGS, both, manager=US)
    ours = [item for item in live["metadata"]["managedFields"] if item["manager"] == US]
    cluster.patch(SETTINGS, {"metadata": {"managedFields": ours}})
    live = cluster.apply(SETTINGS, settings({"kept": "1"}), manager=US)
    assert live["data"] == {"kept": "1"}


def _set_replicas_of_whatever_is_touched(cluster: Cluster, *, replicas: int, probe: Object) -> None:
    """Installs a mutating admission policy; returns when the server acts by it."""
    version = cluster.mutating_policy_version
    base = "/apis/admissionregistration.k8s.io/" + version.rpartition("/")[2]
    expression = f"Object{{spec: Object.spec{{replicas: {replicas}}}}}"
    policy = {
        "apiVersion": version,
        "kind": "MutatingAdmissionPolicy",
        "metadata": {"name": "more"},
        "spec": {
            "matchConstraints": {
                "resourceRules": [
                    {
                        "apiGroups": ["apps"],
                        "apiVersions": ["v1"],
                        "operations": ["UPDATE"],
                        "resources": ["deployments"],
                    }
                ]
            },
            "matchConditions": [
                {
                    "name": "touched",
                    "expression": "has(object.metadata.annotations) && "
                    "'touched' in object.metadata.annotations",
                }
            ],
            "failurePolicy": "Fail",
            "reinvocationPolicy": "Never",
            "mutations": [
                {
                    "patchType": "ApplyConfiguration",
                    "applyConfiguration": {"expression": expression},
                }
            ],
        },
    }
    binding = {
        "apiVersion": version,
        "kind": "MutatingAdmissionPolicyBinding",
        "metadata": {"name": "more"},
        "spec": {"policyName": "more"},
    }
    cluster.call("POST", f"{base}/mutatingadmissionpolicies", policy)
    cluster.call("POST", f"{base}/mutatingadmissionpolicybindings", binding)

    def acts() -> bool:
        query = {"dryRun": "All", "fieldManager": "somebody"}
        media = "application/merge-patch+json"
        answer = cluster.call("PATCH", WEB, probe, content_type=media, query=query)
        return bool(answer["spec"]["replicas"] == replicas)

    eventually(acts, "the admission policy acts")
