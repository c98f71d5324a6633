"""Karmada's override policies: which manifests they change, where, and in which order."""

from __future__ import annotations

import json

import pytest

from reconciler.api.files import SourceFile
from reconciler.federation.compile import Compiled, compile_documents
from reconciler.manifests.load import load
from reconciler.render.render import Rendering, render
from reconciler.scheduler.schedule import schedule

BASE = """
apiVersion: cluster.karmada.io/v1alpha1
kind: Cluster
metadata: {name: aws}
spec: {provider: aws}
---
apiVersion: cluster.karmada.io/v1alpha1
kind: Cluster
metadata: {name: gcp}
spec: {provider: gcp}
---
apiVersion: policy.karmada.io/v1alpha1
kind: ClusterPropagationPolicy
metadata: {name: all}
spec:
  resourceSelectors:
    - {apiVersion: apps/v1, kind: Deployment}
    - {apiVersion: batch/v1, kind: CronJob}
    - {apiVersion: v1, kind: ConfigMap}
    - {apiVersion: v1, kind: Secret}
---
"""
WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop, labels: {app: web, tier: front}}
spec:
  replicas: 2
  template:
    spec:
      initContainers: [{name: init, image: "init:1"}]
      containers:
        - {name: web, image: "IMAGE", command: [serve, --debug], args: [--port, "80", --debug]}
        - {name: side, image: "docker.io/library/side@sha256:%s"}
---
""" % ("0" * 64)
FILES = """
apiVersion: v1
kind: ConfigMap
metadata: {name: files, namespace: shop}
data:
  app.json: '{"b": 1, "a": {"x": ["one"]}}'
  app.yaml: |
    size: 3
    "n": "1e3"
    words: [alpha]
---
"""
HEAD = "apiVersion: policy.karmada.io/v1alpha1\nkind: "


def policy(
    overriders: str, name: str = "o", kind: str = "OverridePolicy", more: str = "", target: str = ""
) -> str:
    metadata = f"name: {name}" + ("" if kind.startswith("Cluster") else ", namespace: shop")
    where = f"targetCluster: {target}, " if target else ""
    return (
        f"{HEAD}{kind}\nmetadata: {{{metadata}}}\nspec:\n{more}"
        f"  overrideRules: [{{{where}overriders: {{{overriders}}}}}]\n---\n"
    )


def read(text: str) -> tuple[Compiled, Rendering | None]:
    manifests = load([SourceFile("all.yaml", (BASE + text).encode())])
    assert not manifests.problems, [str(problem) for problem in manifests.problems]
    found = compile_documents(manifests.documents)
    return found, render(found.state, schedule(found.state)) if found.state else None


def body(text: str, name: str = "web", cluster: str = "aws") -> dict:
    found, rendering = read(text)
    assert rendering is not None, [str(problem) for problem in found.problems]
    assert not rendering.problems, [str(problem) for problem in rendering.problems]
    return next(d.body for d in rendering.objects[cluster] if d.key.name == name)


def problems_of(text: str) -> list[str]:
    manifests = load([SourceFile("all.yaml", (BASE + text).encode())])
    found, rendering = (None, None) if manifests.problems else read(text)
    more = (*found.problems, *(rendering.problems if rendering else ())) if found else ()
    return [str(problem) for problem in (*manifests.problems, *more)]


def containers(text: str, cluster: str = "aws") -> list[dict]:
    return body(text, cluster=cluster)["spec"]["template"]["spec"]["containers"]


@pytest.mark.parametrize(
    ("image", "change", "expected"),
    [
        ("web:1", "component: Registry, operator: add, value: eu.example", "eu.example/web:1"),
        ("a.b/web:1", "component: Registry, operator: add, value: .eu", "a.b.eu/web:1"),
        ("a.b:5000/x/web", "component: Registry, operator: replace, value: c", "c/x/web"),
        ("localhost/web:1", "component: Registry, operator: remove", "web:1"),
        ("team/web:1", "component: Registry, operator: replace, value: c.d", "c.d/team/web:1"),
        ("a.b/web:1", "component: Repository, operator: add, value: -arm", "a.b/web-arm:1"),
        ("web", "component: Repository, operator: replace, value: x/y", "x/y"),
        ("web:1", "component: Tag, operator: add, value: -arm", "web:1-arm"),
        ("web:1", "component: Tag, operator: remove", "web"),
        ("web", "component: Tag, operator: replace, value: v2", "web:v2"),
        (
            "web:1",
            f"component: Tag, operator: replace, value: 'sha256:{'a' * 64}'",
            f"web@sha256:{'a' * 64}",
        ),
    ],
)
def test_one_part_of_an_image_is_changed(image: str, change: str, expected: str) -> None:
    path = "/spec/template/spec/containers/0/image"
    text = policy(f"imageOverrider: [{{predicate: {{path: {path}}}, {change}}}]")
    assert containers(text + WEB.replace("IMAGE", image))[0]["image"] == expected


def test_without_a_path_the_images_of_all_containers_are_changed_and_no_others() -> None:
    change = "component: Registry, operator: replace, value: eu.example"
    found = body(policy(f"imageOverrider: [{{{change}}}]") + WEB)["spec"]["template"]["spec"]
    assert [c["image"].partition("/")[0] for c in found["containers"]] == ["eu.example"] * 2
    assert found["initContainers"][0]["image"] == "init:1"
    cron = (
        "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: web, namespace: shop}\nspec:\n"
        "  jobTemplate: {spec: {template: {spec: {containers: [{name: a, image: a}]}}}}\n"
    )
    there = body(policy(f"imageOverrider: [{{{change}}}]") + cron)["spec"]["jobTemplate"]
    assert there["spec"]["template"]["spec"]["containers"][0]["image"] == "a"


def test_command_and_args_are_lists_to_add_to_and_to_take_from() -> None:
    text = policy(
        "commandOverrider: [{containerName: web, operator: remove, value: [--debug]}], "
        "argsOverrider: [{containerName: web, operator: remove, value: [--debug]}, "
        "{containerName: web, operator: add, value: [--fast]}, "
        "{containerName: side, operator: add, value: [-v]}, "
        "{containerName: other, operator: add, value: [-v]}]"
    )
    web, side = containers(text + WEB)
    assert (web["command"], web["args"]) == (["serve"], ["--port", "80", "--fast"])
    assert side["args"] == ["-v"]


def test_labels_and_annotations_are_changed_where_they_are() -> None:
    text = policy(
        "labelsOverrider: [{operator: remove, value: {tier: any}}, "
        "{operator: replace, value: {app: shop, none: x}}], "
        "annotationsOverrider: [{operator: add, value: {team: a}}]"
    )
    metadata = body(text + WEB)["metadata"]
    assert metadata["labels"] == {"app": "shop"}
    assert metadata["annotations"] == {"team": "a"}


def test_a_document_within_a_text_is_changed() -> None:
    text = policy(
        "fieldOverrider: [{fieldPath: /data/app.json, json: ["
        "{subPath: /a/x/0, operator: replace, value: two}, {subPath: /b, operator: remove}]}, "
        "{fieldPath: /data/app.yaml, yaml: [{subPath: /words/-, operator: add, value: beta}]}]"
    )
    data = body(text + FILES, "files")["data"]
    assert data["app.json"] == '{"a":{"x":["two"]}}'
    # Whatever kubectl would read as something else is quoted.
    assert data["app.yaml"] == '"n": "1e3"\nsize: 3\nwords:\n- alpha\n- beta\n'


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("plain text", "plain text"),
        ("on", '"on"'),
        ("1:30", '"1:30"'),
        ("", '""'),
        ("2024-01-01", '"2024-01-01"'),
        ("a: b", "'a: b'"),
        ("'a'", "'''a'''"),
        ("tab\t", '"tab\\t"'),
        ("one\ntwo", "|-\n  one\n  two"),
        ("one\n\n", "|+\n  one\n"),
        (" one\ntwo\n", "|2\n   one\n  two"),
    ],
)
def test_yaml_within_a_text_is_written_as_karmada_does(value: str, written: str) -> None:
    """So that what it made is adopted without a change; the texts are from Karmada 1.16.0."""
    change = f"{{subPath: /x, operator: add, value: {json.dumps(value)}}}"
    text = policy(f"fieldOverrider: [{{fieldPath: /data/app.yaml, yaml: [{change}]}}]")
    data = body(text + FILES, "files")["data"]
    assert data["app.yaml"].endswith(f"\nx: {written}\n")


def test_overriders_are_done_in_karmadas_order_within_a_rule() -> None:
    text = policy(
        "plaintext: [{path: /metadata/labels/app, operator: replace, value: last}], "
        "labelsOverrider: [{operator: replace, value: {app: first}}]"
    )
    assert body(text + WEB)["metadata"]["labels"]["app"] == "last"


NAMED = "  resourceSelectors: [{apiVersion: apps/v1, kind: Deployment, name: web}]\n"
LABELLED = (
    "  resourceSelectors: [{apiVersion: apps/v1, kind: Deployment, "
    "labelSelector: {matchLabels: {app: web}}}]\n"
)


def says(value: str, name: str, kind: str = "OverridePolicy", more: str = "") -> str:
    add = f"annotationsOverrider: [{{operator: add, value: {{who: {value}}}}}]"
    return policy(add, name, kind, more)


@pytest.mark.parametrize(
    ("policies", "last"),
    [
        ((says("fleet", "z", "ClusterOverridePolicy", NAMED), says("space", "a")), "space"),
        ((says("named", "a", more=NAMED), says("any", "z")), "named"),
        ((says("named", "a", more=NAMED), says("labelled", "z", more=LABELLED)), "named"),
        ((says("labelled", "a", more=LABELLED), says("any", "z")), "labelled"),
        ((says("z", "z"), says("a", "a")), "z"),
    ],
)
def test_the_most_exact_policy_has_the_last_word(policies: tuple[str, str], last: str) -> None:
    for text in (policies[0] + policies[1], policies[1] + policies[0]):
        assert body(text + WEB)["metadata"]["annotations"]["who"] == last


def test_a_rule_is_for_its_clusters_only() -> None:
    field = "{fieldSelector: {matchExpressions: [{key: provider, operator: In, values: [gcp]}]}}"
    change = "plaintext: [{path: /spec/paused, operator: add, value: true}]"
    text = policy(change, target=field) + WEB
    assert "paused" not in body(text)["spec"]
    assert body(text, cluster="gcp")["spec"]["paused"]


def test_the_former_form_of_one_rule_is_understood() -> None:
    former = (
        f"{HEAD}OverridePolicy\nmetadata: {{name: o, namespace: shop}}\nspec:\n"
        "  targetCluster: {clusterNames: [aws]}\n"
        "  overriders: {labelsOverrider: [{operator: add, value: {old: form}}]}\n---\n"
    )
    assert body(former + WEB)["metadata"]["labels"]["old"] == "form"
    assert "old" not in body(former + WEB, cluster="gcp")["metadata"]["labels"]


def test_a_policy_of_another_namespace_changes_nothing() -> None:
    elsewhere = says("other", "o").replace("namespace: shop", "namespace: other")
    assert "annotations" not in body(elsewhere + WEB)["metadata"]


@pytest.mark.parametrize(
    ("overriders", "words"),
    [
        ("plaintext: [{path: /metadata/name, operator: replace, value: x}]", "may not be"),
        ("plaintext: [{path: /spec/none, operator: replace, value: x}]", "does not exist"),
        ("plaintext: [{path: /spec/paused, operator: add}]", "add without a value"),
        ("plaintext: [{path: /spec, operator: move, value: x}]", "unknown value"),
        ("imageOverrider: [{component: Tag, operator: add}]", "add without a value"),
        ("imageOverrider: [{component: Repository, operator: remove}]", "without its repository"),
        ("imageOverrider: [{component: Host, operator: remove}]", "unknown value"),
        ("imageOverrider: [{component: Tag, operator: replace, value: 'a b'}]", "neither a tag"),
        (
            "imageOverrider: [{component: Tag, operator: remove, predicate: {path: /spec/none}}]",
            "does not exist",
        ),
        ("imageOverider: []", "did you mean imageOverrider?"),
        ("fieldOverrider: [{fieldPath: /spec/x}]", "neither json nor yaml"),
        ("labelsOverrider: [{operator: add, value: {a: 1}}]", "text"),
    ],
)
def test_what_does_not_fit_is_an_error_with_its_line(overriders: str, words: str) -> None:
    found = problems_of(policy(overriders) + WEB)
    assert any(words in one and one.startswith("all.yaml:2") for one in found), found


def test_an_image_with_a_tag_and_a_digest_is_refused() -> None:
    change = "imageOverrider: [{component: Registry, operator: replace, value: c.d}]"
    both = WEB.replace("IMAGE", f"web:1@sha256:{'b' * 64}")
    assert "both a tag and a digest" in problems_of(policy(change) + both)[0]


def test_no_value_of_a_secret_is_in_an_error() -> None:
    secret = (
        "apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: shop}\n"
        "stringData: {conf: 'hunter2: [': x}\n"
    ).replace("{conf: 'hunter2: [': x}", '{conf: "hunter2: ["}')
    change = (
        "fieldOverrider: [{fieldPath: /stringData/conf, FORM: [{subPath: /a, operator: remove}]}]"
    )
    for form in ("json", "yaml"):
        (problem, *_) = problems_of(policy(change.replace("FORM", form)) + secret)
        assert "hunter2" not in problem
        assert "is not" in problem


def test_replicas_that_are_divided_are_not_overridden() -> None:
    divides = (
        f"{HEAD}PropagationPolicy\nmetadata: {{name: d, namespace: shop}}\nspec:\n"
        "  resourceSelectors: [{apiVersion: apps/v1, kind: Deployment}]\n"
        "  placement: {replicaScheduling: {replicaDivisionPreference: Weighted}}\n---\n"
    )
    change = policy("plaintext: [{path: /spec/replicas, operator: replace, value: 9}]")
    (problem,) = problems_of(divides + change + WEB)
    assert "an override of them would break the sum" in problem
    assert body(change + WEB)["spec"]["replicas"] == 9


def test_what_has_no_effect_is_told() -> None:
    missing = "argsOverrider: [{containerName: wbe, operator: add, value: [-v]}]"
    ours = (
        "apiVersion: federation.reconciler.dev/v1alpha1\nkind: Placement\nmetadata: {name: p}\n"
        "spec: {select: [{kind: Deployment}]}\n---\n"
    )
    for text, words in (
        (policy(missing, more=NAMED), "there is no container wbe"),
        (policy(""), "this policy changes nothing"),
        (says("x", "o").replace("namespace: shop", "namespace: other"), "selects no manifest"),
        (ours + says("x", "o", more=NAMED), "which none of Karmada's policies places"),
    ):
        found, _ = read(text + WEB)
        assert found.state is not None
        assert any(words in str(notice) for notice in found.state.notices), words
