"""Overrides: done one after the other, containers found by name in the object as it then is."""

from __future__ import annotations

import textwrap

import pytest

from reconciler.api.files import SourceFile
from reconciler.api.objects import Object
from reconciler.federation.compile import compile_documents
from reconciler.manifests.load import load
from reconciler.render.render import Rendering, render
from reconciler.scheduler.schedule import schedule

FLEET = """\
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: aws}
spec: {provider: aws}
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: gcp}
spec: {provider: gcp}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: shop
  annotations: {federation.reconciler.dev/substitute: "true"}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      initContainers: [{name: init, image: "init:1"}]
      containers:
        - name: s
          image: s:1
          env:
            - {name: HERE, value: "${cluster.name}"}
            - {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
        - {name: other, image: "other:1"}
---
"""
INSERT = "{op: add, path: /spec/template/spec/containers/0, value: {name: proxy, image: 'proxy:1'}}"


def rendering(overrides: str, more: str = "clusters: [aws]", fleet: str = FLEET) -> Rendering:
    placement = (
        "apiVersion: federation.reconciler.dev/v1alpha1\nkind: Placement\nmetadata: {name: web}\n"
        f"spec:\n  select: [{{name: web}}]\n  {more}\n  overrides:\n"
    )
    text = fleet + placement + textwrap.indent(textwrap.dedent(overrides), "    ")
    manifests = load([SourceFile("fleet.yaml", text.encode())])
    found = compile_documents(manifests.documents)
    assert found.state, [*manifests.problems, *found.problems]
    return render(found.state, schedule(found.state))


def body(overrides: str, more: str = "clusters: [aws]", fleet: str = FLEET) -> Object:
    found = rendering(overrides, more, fleet)
    assert not found.problems, [str(problem) for problem in found.problems]
    return dict(found.objects["aws"][0].body)


def pod(overrides: str) -> dict[str, Object]:
    """Container name -> container."""
    spec = body(overrides)["spec"]["template"]["spec"]
    return {one["name"]: one for part in ("initContainers", "containers") for one in spec[part]}


@pytest.mark.parametrize(
    "overrides",
    [
        f"- {{patch: [{INSERT}], images: {{s: 's:2'}}}}",
        f"- {{images: {{s: 's:2'}}, patch: [{INSERT}]}}",
        f"- {{patch: [{INSERT}]}}\n- {{images: {{s: 's:2'}}}}",
        f"- {{images: {{s: 's:2'}}}}\n- {{patch: [{INSERT}]}}",
    ],
)
def test_an_image_lands_in_the_container_of_its_name(overrides: str) -> None:
    found = {name: one["image"] for name, one in pod(overrides).items()}
    assert found == {"init": "init:1", "proxy": "proxy:1", "s": "s:2", "other": "other:1"}


def test_a_container_that_a_patch_brings_is_found_by_name() -> None:
    assert pod(f"- {{patch: [{INSERT}], images: {{proxy: 'proxy:2'}}}}")["proxy"]["image"] == (
        "proxy:2"
    )


def test_init_containers_are_found_too() -> None:
    assert pod("- {images: {init: 'init:2'}, args: {init: [a]}}")["init"] == {
        "name": "init",
        "image": "init:2",
        "args": ["a"],
    }


def test_entries_of_env_add_up_and_variables_are_filled_in_first() -> None:
    found = pod(
        """\
        - {env: {s: {A: "1", B: "1"}}}
        - {clusters: [aws], env: {s: {B: "2", NODE: fixed}}}
        """
    )
    assert found["s"]["env"] == [
        {"name": "HERE", "value": "aws"},
        {"name": "NODE", "value": "fixed"},
        {"name": "A", "value": "1"},
        {"name": "B", "value": "2"},
    ]


def test_env_stands_on_what_a_patch_made_of_it() -> None:
    found = pod(
        """\
        - patch:
            - op: add
              path: /spec/template/spec/containers/1/env
              value: [{name: X, value: x}]
          env: {other: {Y: "y"}}
        """
    )
    assert [one["name"] for one in found["other"]["env"]] == ["X", "Y"]


def test_a_container_that_is_not_there_any_more_is_told_at_the_override() -> None:
    found = rendering(
        """\
        - patch: [{op: remove, path: /spec/template/spec/containers/1}]
        - images: {othre: "other:2"}
        - images: {other: "other:2"}
        """
    )
    assert [str(problem) for problem in found.problems] == [
        f"fleet.yaml:{place}:23: Deployment.apps shop/web: there is no container {name!r}; "
        "expected s, init"
        for place, name in ((39, "othre"), (40, "other"))
    ]


def test_removing_twice_is_told() -> None:
    patch = "{op: remove, path: /spec/template/spec/initContainers}"
    (problem,) = rendering(f"- {{patch: [{patch}, {patch}]}}").problems
    assert "path /spec/template/spec/initContainers does not exist" in problem.message


@pytest.mark.parametrize(
    "more",
    [
        "spread: [{by: cluster, maxGroups: 1}]",
        "replicas: {mode: Divided, total: 0}",
        "spread: [{by: provider, maxGroups: 1}]\n"
        "  affinity: {preferred: [{weight: 9, selector: {matchLabels: {a: b}}}]}",
    ],
)
@pytest.mark.parametrize("cluster", ["aws", "gcp"])
@pytest.mark.parametrize(
    "fault", ["images: {wbe: 'x:1'}", "patch: [{path: /spec/paused, value: true}]"]
)
def test_overrides_are_checked_for_clusters_that_only_an_outage_would_use(
    more: str, cluster: str, fault: str
) -> None:
    (problem,) = rendering(f"- {{clusters: [{cluster}], {fault}}}", more).problems
    assert "Deployment.apps shop/web" in problem.message


CRON = FLEET[: FLEET.index("apiVersion: apps/v1")] + (
    "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: web, namespace: shop}\n"
    "spec: {schedule: '0 0 * * *', jobTemplate: {spec: {template: {spec: "
    "{containers: [{name: a, image: 'a:1'}]}}}}}\n---\n"
)
POD = CRON.replace("batch/v1", "v1").replace("CronJob", "Pod")
POD = POD[: POD.index("spec: {schedule")] + "spec: {containers: [{name: a, image: 'a:1'}]}\n---\n"


def test_cron_jobs_and_pods_have_containers_too() -> None:
    digest = "a@sha256:" + "0" * 64
    override = f"- {{images: {{a: '{digest}'}}}}"
    cron = body(override, fleet=CRON)["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert cron["containers"] == [{"name": "a", "image": digest}]
    assert body(override, fleet=POD)["spec"]["containers"] == [{"name": "a", "image": digest}]


def test_an_override_of_replicas_that_are_divided_is_told() -> None:
    text = FLEET + (
        "apiVersion: federation.reconciler.dev/v1alpha1\nkind: Placement\nmetadata: {name: web}\n"
        "spec:\n  select: [{name: web}]\n  replicas: {mode: Divided, total: 2}\n"
        "  overrides: [{replicas: 3}]\n"
    )
    found = compile_documents(load([SourceFile("fleet.yaml", text.encode())]).documents)
    assert found.state
    assert any("fleet.yaml:37: Placement web divides" in one for one in found.state.warnings)


def test_an_annotation_that_an_override_sets_counts() -> None:
    mark = "federation.reconciler.dev/recreate"
    found = rendering(f"- annotations: {{{mark}: 'true'}}\n  clusters: [aws]", "")
    assert {name: one[0].rules.recreate for name, one in found.objects.items()} == {
        "aws": True,
        "gcp": False,
    }
