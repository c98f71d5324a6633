"""Helm charts: what they render is planned, written and pruned like any other manifest."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from kubesim.fleet import Sandbox
from kubesim.server import ClusterSettings
from reconciler.api.errors import BadInput
from reconciler.api.options import RunOptions
from reconciler.run.repository import validate_repository
from tests.definitions import UNSERVED_GROUP
from tests.scenarios.chart_world import (
    WEB,
    chart,
    use_helm,
    with_chart,
)
from tests.scenarios.conftest import World

# The first run on a machine builds helm.
pytestmark = pytest.mark.timeout(1500)


@pytest.fixture(autouse=True)
def helm(monkeypatch: pytest.MonkeyPatch) -> Path:
    return use_helm(monkeypatch)


def changed(world: World, cluster: str = "aws", **options: Any) -> dict[str, str]:
    changes = world.changes(cluster, **options)
    return {f"{c.key.kind} {c.key.name}": str(c.action) for c in changes}


def problems(world: World) -> list[str]:
    with pytest.raises(BadInput) as caught:
        validate_repository(RunOptions(repo=str(world.repository)))
    return [
        f"{p.position.file}:{p.position.line}: {p.message} {p.hint}" for p in caught.value.problems
    ]


def notices(world: World) -> str:
    return "\n".join(map(str, world.plan().notices))


def test_a_chart_is_created_changed_and_pruned(world: World) -> None:
    with_chart(world, "values: {replicas: 2}\n")
    assert world.apply().ok
    assert world.get("deployment", "web-web")["spec"]["replicas"] == 2
    assert not world.changes()

    world.write("web.yaml", chart(rest="values: {replicas: 2, colour: blue}\n"))
    (change,) = world.changes()
    assert [(str(f.path), f.before, f.after) for f in change.fields] == [
        ("spec.template.spec.containers[name=web].image", "nginx:red", "nginx:blue")
    ]
    assert world.apply().ok

    world.remove("web.yaml")
    assert changed(world) == {"Deployment web-web": "prune"}
    assert world.apply().ok
    assert not world.exists("deployment", "web-web")
    assert not [
        s for s in world.kubectl("get", "secrets", "-A", "-o", "name").split() if "helm" in s
    ]


def test_clusters_get_their_own_values(simulated_world: World) -> None:
    world = simulated_world
    world.write("values/base.yaml", "replicas: 2\ncolour: green\n")
    world.write("values/gcp.yaml", "replicas: 3\n")
    with_chart(
        world,
        """\
        valuesFiles: [values/base.yaml]
        values: {colour: blue}
        overrides:
          - clusterSelector: {matchLabels: {cloud: gcp}}
            valuesFiles: [values/gcp.yaml]
          - clusters: [aws]
            values: {extra: true}
        """,
        {"templates/extra.yaml": "{{ if .Values.extra }}\n" + config("extra") + "{{ end }}\n"},
    )
    assert world.apply().ok
    aws, gcp = (world.get("deployment", "web-web", cluster=name)["spec"] for name in ("aws", "gcp"))
    assert (aws["replicas"], gcp["replicas"]) == (2, 3)
    assert aws["template"]["spec"]["containers"][0]["image"] == "nginx:blue"
    assert world.exists("configmap", "extra")
    assert not world.exists("configmap", "extra", cluster="gcp")
    assert not world.changes("aws")
    assert not world.changes("gcp")


def config(name: str, **data: str) -> str:
    inner = ", ".join(f"{key}: {value}" for key, value in data.items())
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{{inner}}}\n"


def test_a_placement_of_the_chart_holds_for_what_it_renders(simulated_world: World) -> None:
    world = simulated_world
    with_chart(world, "", {"templates/extra.yaml": config("extra")})
    world.write(
        "placement.yaml",
        """\
        apiVersion: federation.reconciler.dev/v1alpha1
        kind: Placement
        metadata: {name: only-aws}
        spec:
          select: [{kind: Chart, name: web}]
          clusters: [aws]
          overrides:
            - patch: [{op: add, path: /metadata/labels, value: {by: placement}}]
        """,
    )
    assert set(changed(world)) == {"Namespace shop", "ConfigMap extra", "Deployment web-web"}
    assert set(changed(world, "gcp")) == {"Namespace shop"}
    (extra,) = [c for c in world.changes() if c.key.name == "extra"]
    assert extra.request["metadata"]["labels"]["by"] == "placement"  # type: ignore[index]


def test_a_chart_sees_the_version_and_apis_of_each_cluster(simulated_world: World) -> None:
    world = simulated_world
    sees = config(
        "sees",
        version="{{ .Capabilities.KubeVersion.Version | quote }}",
        deployments='{{ .Capabilities.APIVersions.Has "apps/v1/Deployment" | quote }}',
        monitors='{{ .Capabilities.APIVersions.Has "monitoring.coreos.com/v1" | quote }}',
    )
    with_chart(world, "", {"templates/sees.yaml": sees})
    assert world.apply().ok
    version = json.loads(world.kubectl("get", "--raw", "/version"))["gitVersion"]
    assert world.get("configmap", "sees")["data"] == {
        "version": version,
        "deployments": "true",
        "monitors": "false",
    }


def test_a_cluster_that_cannot_be_asked_keeps_what_it_has(
    simulated_world: World, sandbox: Sandbox
) -> None:
    world = simulated_world
    sees = config("sees", version="{{ .Capabilities.KubeVersion.Version | quote }}")
    with_chart(world, "", {"templates/sees.yaml": sees})
    assert world.apply().ok
    world.write("web.yaml", chart(rest="values: {colour: blue}\n"))
    sandbox.cluster("gcp").stop()
    plan = world.plan()
    there = {c.name: c for c in plan.clusters}
    assert not there["gcp"].reachable
    assert [c.key.name for c in there["aws"].changes] == ["web-web"]
    world.apply()
    sandbox.cluster("gcp").start()
    assert changed(world, "gcp") == {"Deployment web-web": "update"}


def test_a_version_that_a_chart_refuses_is_that_clusters_trouble(
    simulated_world: World,
) -> None:
    world = simulated_world
    with_chart(world, "", {"Chart.yaml": WEB["Chart.yaml"] + "kubeVersion: '<1.20'\n"})
    world.write("web.yaml", chart(rest="kubeVersion: v1.19.0\n"))
    assert changed(world)["Deployment web-web"] == "create"
    world.write("web.yaml", chart())
    (problem,) = problems(world)
    assert "web.yaml:5: Chart web: helm: chart requires kubeVersion: <1.20" in problem


CRD = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: shops.example.org}
spec:
  group: example.org
  scope: Cluster
  names: {kind: Shop, plural: shops, singular: shop, listKind: ShopList}
  versions:
    - name: v1
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
"""
SHOP = "apiVersion: example.org/v1\nkind: Shop\nmetadata: {name: one}\n"


def test_crds_come_first_and_may_be_left_out(world: World) -> None:
    with_chart(world, "", {"crds/shop.yaml": CRD, "templates/shop.yaml": SHOP})
    world.write("web.yaml", chart(rest="includeCRDs: false\n"))
    assert "CustomResourceDefinition shops.example.org" not in changed(world)
    world.write("web.yaml", chart())
    assert changed(world)["CustomResourceDefinition shops.example.org"] == "create"
    assert world.apply().ok
    assert "one" in world.kubectl("get", "shops", "-o", "name")
    assert not world.changes()


def test_a_crd_that_a_chart_keeps_is_released_with_all_that_is_of_it(world: World) -> None:
    keep = "metadata: {annotations: {helm.sh/resource-policy: keep}, "
    with_chart(world, "", {"templates/crd.yaml": CRD.replace("metadata: {", keep)})
    world.write("one.yaml", SHOP)
    world.write("broken.yaml", UNSERVED_GROUP)
    assert world.apply().ok
    other = world.repository.parent / "two.yaml"
    other.write_text(SHOP.replace("one", "two"))
    world.kubectl("apply", "--server-side", "-f", str(other))

    # Nothing of it goes: neither ours nor others' stand against that, nor what cannot be listed.
    world.remove("web.yaml")
    assert changed(world)["CustomResourceDefinition shops.example.org"] == "orphan"
    assert world.apply().ok
    assert world.kubectl("get", "shops", "-o", "name").split() == [
        "shop.example.org/one",
        "shop.example.org/two",
    ]
    world.remove("one.yaml")
    assert changed(world) == {"Shop one": "prune"}


def test_values_for_no_cluster_are_told(simulated_world: World) -> None:
    with_chart(
        simulated_world,
        """\
        overrides:
          - {clusterSelector: {matchLabels: {env: nowhere}}, values: {replicas: 2}}
          - {clusters: [], values: {replicas: 3}}
        """,
    )
    told = notices(simulated_world)
    assert "web.yaml:7: Chart web: this override has no effect: it matches no cluster" in told
    assert "web.yaml:8: Chart web: this override has no effect: it names no cluster" in told


def test_a_chart_that_a_windows_program_wrote_is_one(simulated_world: World) -> None:
    text = "\ufeff" + WEB["Chart.yaml"].replace("\n", "\r\n")
    with_chart(simulated_world, files={"Chart.yaml": text})
    assert simulated_world.apply().ok
    assert changed(simulated_world) == {}


def test_faults_are_told_with_their_place(simulated_world: World) -> None:
    world = simulated_world
    with_chart(world)
    world.write("web.yaml", chart(rest="valuesFile: [x]\n"))
    assert "did you mean valuesFiles?" in problems(world)[0]

    world.write(
        "web.yaml",
        chart(rest="valuesFiles: [missing.yaml]\noverrides: [{clusters: [nope], values: {}}]\n"),
    )
    found = problems(world)
    assert any(p.startswith("web.yaml:6: Chart web: the repository has no file") for p in found)
    assert any("there is no cluster 'nope'" in p for p in found)

    world.write("missing.yaml", "colour: red\n")
    world.write("web.yaml", chart(rest="valuesFiles: [missing.yaml]\noverrides: [{}]\n"))
    assert problems(world) == ["web.yaml:7: values or valuesFiles is missing "]
    world.remove("missing.yaml")
    world.write("web.yaml", chart(rest="oci: oci://x.example/web@sha256:" + 64 * "a" + "\n"))
    assert problems(world) == ["web.yaml:5: path and oci at once "]

    world.write("bad.yaml", "a: 1\na: 2\n")
    world.write("web.yaml", chart(rest="valuesFiles: [bad.yaml]\n"))
    assert problems(world) == ["bad.yaml:2: the key 'a' is there twice first at line 1, column 1"]
    world.remove("bad.yaml")

    world.write("web.yaml", chart().replace("charts/web", "../elsewhere"))
    assert "leads out of what is read" in problems(world)[0]
    world.write("web.yaml", chart().replace("charts/web", "charts"))
    assert "there is no chart in 'charts'" in problems(world)[0]

    world.write("web.yaml", chart())
    world.write(
        "charts/web/templates/deployment.yaml", '\n\n{{ required "no colour" .Values.none }}\n'
    )
    (problem,) = problems(world)
    assert problem.startswith(
        "charts/web/templates/deployment.yaml:3: Chart web: helm: execution error"
    )
    assert "no colour" in problem
    world.write("charts/web/templates/deployment.yaml", "a: {{ .Values.none.what }}\n")
    assert problems(world)[0].startswith(
        "charts/web/templates/deployment.yaml:1: Chart web: helm: "
    )


def test_what_a_chart_renders_twice_or_must_not_render_is_a_problem(simulated_world: World) -> None:
    world = simulated_world
    with_chart(world, "", {"templates/extra.yaml": config("extra")})
    world.write(
        "extra.yaml", config("extra").replace("name: extra", "name: extra, namespace: shop")
    )
    (problem,) = problems(world)
    assert "renders ConfigMap shop/extra, which is there already" in problem
    assert "extra.yaml:1" in problem
    world.remove("extra.yaml")
    own = "apiVersion: federation.reconciler.dev/v1alpha1\nkind: Cluster\nmetadata: {name: evil}\n"
    world.write("charts/web/templates/extra.yaml", own)
    (problem,) = problems(world)
    assert "it renders a Cluster" in problem


def test_without_helm_a_chart_is_a_problem_that_names_it(
    simulated_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_chart(simulated_world, "values: {only: here}\n")
    monkeypatch.setenv("PATH", "/nowhere")
    (problem,) = problems(simulated_world)
    assert "web.yaml:5: Chart web: a chart has to be rendered, and there is no helm" in problem
    assert "install helm 4" in problem


JOB = """\
apiVersion: batch/v1
kind: Job
metadata:
  name: migrate
  annotations: {helm.sh/hook: "pre-install,pre-upgrade", helm.sh/hook-weight: "-5"}
spec:
  template:
    spec:
      restartPolicy: Never
      containers: [{name: migrate, image: "migrate:{{ .Values.colour }}"}]
"""


def hooked(name: str, hook: str) -> str:
    return config(name).replace("}\ndata", f', annotations: {{helm.sh/hook: "{hook}"}}}}\ndata')


HOOKS = {
    "templates/migrate.yaml": JOB,
    "templates/test.yaml": hooked("tested", "test"),
    "templates/after.yaml": hooked("after", "post-install"),
    "templates/settings.yaml": hooked("settings", "pre-install"),
}


def test_hooks_run_once_for_each_content_and_tests_never(simulated_world: World) -> None:
    world = simulated_world
    with_chart(world, "", HOOKS)
    assert set(changed(world)) == {
        *("Namespace shop", "ConfigMap settings", "Job migrate", "Deployment web-web")
    }
    told = notices(world)
    assert "ConfigMap after is left out: it is a hook (post-install)" in told
    assert "tested" not in told
    assert world.apply().ok
    assert not world.changes()
    assert world.apply().ok  # Has seen that it is done.

    world.kubectl("delete", "job", "migrate", "-n", "shop")
    assert not world.changes()
    world.write("web.yaml", chart(rest="values: {colour: blue}\n"))
    assert changed(world) == {"Deployment web-web": "update", "Job migrate": "create"}
    assert world.apply().ok
    world.write("web.yaml", chart(rest="values: {colour: green}\n"))
    assert changed(world) == {"Deployment web-web": "update", "Job migrate": "recreate"}


def test_a_release_waits_for_its_hook(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reconciler.apply.cluster.HOOK_TIMEOUT_SECONDS", 1.0)
    slow = ClusterSettings(nodes=1, ready_after=3600)
    with Sandbox(["aws", "gcp"], settings=slow) as sandbox:
        world = World(repository, sandbox.kubeconfig)
        with_chart(world, "", HOOKS)
        world.write("other.yaml", config("other").replace("other}", "other, namespace: shop}"))
        for _ in range(2):  # In the second run the Job is as wanted, and still not done.
            result = world.apply()
            assert not result.ok
            waiting = {o.key.name: o.message for o in result.outcomes if o.status != "done"}
            assert waiting == {
                "web-web": "its hook Job.batch shop/migrate has not ended yet; a later run goes on"
            }
        assert world.exists("configmap", "other")
        assert not world.exists("deployment", "web-web")


RANDOM = """\
{{ $ca := genCA "shop" 365 }}
apiVersion: v1
kind: Secret
metadata: {name: tls}
stringData: {password: {{ randAlphaNum 24 | quote }}, user: shop}
data: {ca.crt: {{ $ca.Cert | b64enc }}}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: shop}
webhooks:
  - name: one.example.org
    admissionReviewVersions: [v1]
    sideEffects: None
    failurePolicy: Ignore
    clientConfig:
      service: {name: web, namespace: shop}
      caBundle: {{ $ca.Cert | b64enc }}
{{ with lookup "v1" "Secret" "shop" "tls" }}{{ fail "looked up" }}{{ end }}
"""


def test_what_is_random_is_told_and_stays_as_it_runs(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_chart(world, "", {"templates/random.yaml": RANDOM})
    told = notices(world)
    assert "Chart web gives other values at each rendering: Secret shop/tls" in told
    assert "Chart web looks up objects of the cluster at templates/random.yaml:19" in told
    assert world.apply().ok

    def values() -> tuple[Any, Any]:
        secret = world.get("secret", "tls")["data"]
        webhooks = world.get("validatingwebhookconfiguration", "shop")["webhooks"]
        return secret, webhooks[0]["clientConfig"]["caBundle"]

    first = values()
    assert first[0]["ca.crt"] == first[1]
    # Another process renders anew.
    monkeypatch.setattr("reconciler.git.helm._RENDERED", {})
    assert not world.changes()
    world.write("charts/web/templates/random.yaml", RANDOM.replace("user: shop", "user: web"))
    assert changed(world) == {"Secret tls": "update"}
    shown = world.plan()
    assert first[0]["password"] not in repr(shown.notices)
    assert world.apply().ok
    now = values()
    assert now[0] == {**first[0], "user": "d2Vi"}
    assert now[1] == first[1]

    # What belongs together is no longer of one rendering where a part of it is lost.
    beside = "Secret shop/tls will be of a new rendering beside ValidatingWebhookConfiguration"
    assert beside not in notices(world)
    world.kubectl("delete", "secret", "tls", "-n", "shop")
    assert f"aws: of the release shop/web, {beside}" in notices(world)
    world.kubectl("delete", "validatingwebhookconfiguration", "shop")
    assert beside not in notices(world)
    assert world.apply().ok
    again = values()
    assert again[0]["ca.crt"] == again[1] != first[1]


def test_random_names_are_a_problem(simulated_world: World) -> None:
    world = simulated_world
    with_chart(world, "", {"templates/x.yaml": config("x-{{ randAlpha 5 | lower }}")})
    (problem,) = problems(world)
    assert "each rendering makes other objects: ConfigMap" in problem


def helm_install(world: World, helm: Path, *options: str) -> None:
    world.kubectl("create", "namespace", "shop", check=False)
    subprocess.run(
        [
            *(helm, "install", "web", world.repository / "charts/web", "--namespace", "shop"),
            *("--kubeconfig", world.kubeconfig, "--kube-context", "aws", *options),
        ],
        check=True,
        capture_output=True,
        timeout=120,
    )


@pytest.mark.integration
@pytest.mark.parametrize("how", ["--server-side=true", "--server-side=false"])
def test_what_helm_installed_is_adopted_and_its_record_goes_if_asked(
    repository: Path, real_kubeconfig: Path, helm: Path, how: str
) -> None:
    world = World(repository, real_kubeconfig)
    secret = config("made", a="{{ randAlpha 8 | b64enc }}").replace("ConfigMap", "Secret")
    with_chart(world, "values: {colour: blue}\n", {"templates/made.yaml": secret})
    helm_install(world, helm, how)
    made = world.get("secret", "made")["data"]
    plan = world.plan()
    (aws,) = [c for c in plan.clusters if c.name == "aws"]
    assert {f"{c.key.kind} {c.key.name}": str(c.action) for c in aws.changes} == {
        "Namespace shop": "adopt",
        "Secret made": "adopt",
        "Deployment web-web": "adopt",
    }
    told = "\n".join(map(str, plan.notices))
    assert "aws: the release shop/web is taken over from helm, whose record of it stays" in told
    assert world.apply().ok
    live = world.get("deployment", "web-web")
    text = world.kubectl(
        "get", "deployment", "web-web", "-n", "shop", "-o", "json", "--show-managed-fields"
    )
    entries = {e["manager"]: e["fieldsV1"] for e in json.loads(text)["metadata"]["managedFields"]}
    assert '"f:image"' in json.dumps(entries["federation-reconciler"])
    assert '"f:image"' not in json.dumps(entries["helm"])  # Its marks stay: Git never had them.
    assert live["spec"]["template"]["spec"]["containers"][0]["image"] == "nginx:blue"
    assert world.get("secret", "made")["data"] == made
    assert not world.changes()
    assert world.exists("secret", "sh.helm.release.v1.web.v1")

    world.write("web.yaml", chart(rest="values: {colour: blue}\nreleaseRecord: Remove\n"))
    assert changed(world) == {"Secret sh.helm.release.v1.web.v1": "adopt"}
    assert world.apply().ok
    assert changed(world) == {"Secret sh.helm.release.v1.web.v1": "prune"}
    assert world.apply().ok
    assert not world.exists("secret", "sh.helm.release.v1.web.v1")
    assert not world.changes()
    assert world.exists("deployment", "web-web")


def test_what_a_chart_tells_helm_to_ignore_is_not_rendered(simulated_world: World) -> None:
    world = simulated_world
    config = """\
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: NAME}
    data: {files: '{{ range $path, $_ := .Files.Glob "files/*" }}{{ $path }} {{ end }}'}
    """
    files = {
        "templates/config.yaml": config.replace("NAME", "config"),
        "templates/old/config.yaml": config.replace("NAME", "old"),
        "templates/draft.yaml": '{{ fail "not ready" }}\n',
        "files/one.txt": "1\n",
        "files/two.bak": "2\n",
        ".helmignore": "# as .gitignore\n/templates/old/\ndraft.yaml\n*.bak\n",
    }
    with_chart(world, "", files)
    git = ["git", "-C", str(world.repository), "-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "first"]):
        subprocess.run([*git, *command], check=True)
    created = {"ConfigMap config": "create", "Deployment web-web": "create"}
    assert changed(world) == created | {"Namespace shop": "create"}
    assert changed(world, ref="HEAD") == changed(world)
    assert world.plan().commit
    workloads = world.prepare().repository.state.workloads
    (config_map,) = [w for w in workloads if w.key.name == "config"]
    assert config_map.template["data"] == {"files": "files/one.txt "}

    world.write("charts/web/.helmignore", "draft.yaml\n")
    assert not world.plan().commit
    assert "ConfigMap old" in changed(world)
    assert "ConfigMap old" not in changed(world, ref="HEAD")


def test_a_template_that_is_not_committed_makes_a_work_tree_of_no_commit(
    simulated_world: World,
) -> None:
    world = simulated_world
    with_chart(world, "", {"templates/_more.tpl": "{{/* nothing */}}\n"})
    git = ["git", "-C", str(world.repository), "-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "first"]):
        subprocess.run([*git, *command], check=True)
    assert world.plan().commit
    subprocess.run(
        [*git, "update-index", "--assume-unchanged", "charts/web/templates/_more.tpl"], check=True
    )
    world.write("charts/web/templates/_more.tpl", "{{/* something */}}\n")
    assert not world.plan().commit
