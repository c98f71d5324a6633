"""Charts for clusters of different versions; libraries, dependencies and archives."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Sequence

import pytest

from reconciler.api.files import SourceFile
from reconciler.federation.compile import compile_documents
from reconciler.federation.model import Cluster
from reconciler.manifests.load import load
from reconciler.run.charts import ClusterVersions, RenderedCharts, Versions, render_charts
from tests.definitions import definition_text
from tests.unit.git.programs import HELM, built

# The first run on a machine builds helm.
pytestmark = pytest.mark.timeout(1500)

FLEET = """\
apiVersion: federation.reconciler.dev/v1alpha1
kind: Federation
metadata: {name: shop}
spec: {defaults: {placement: {clusterSelector: {}}}}
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: aws}
spec: {}
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: gcp}
spec: {}
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Chart
metadata: {name: web, namespace: shop}
spec:
  path: web
"""
CHART = "apiVersion: v2\nname: web\nversion: 1.0.0\n"
SEES = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: sees}
data: {version: {{ .Capabilities.KubeVersion.Version | quote }}}
{{- if .Capabilities.APIVersions.Has "example.org/v1/Shop" }}
---
apiVersion: example.org/v1
kind: Shop
metadata: {name: one}
{{- end }}
"""


@pytest.fixture(autouse=True)
def helm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{built(*HELM).parent}:{os.environ['PATH']}")


def rendered(versions: Versions | None, fleet: str = FLEET, **files: str | bytes) -> RenderedCharts:
    """Names of files have ``/`` for ``__`` and ``.`` for the last ``_``."""
    found = [
        SourceFile(
            ".".join(name.replace("__", "/").rsplit("_", 1)),
            text.encode() if isinstance(text, str) else text,
        )
        for name, text in files.items()
    ]
    documents = load([SourceFile("fleet.yaml", fleet.encode())]).documents
    compiled = compile_documents(documents)

    def ask(clusters: Sequence[Cluster]) -> Versions:
        assert versions is not None
        return {cluster.name: versions[cluster.name] for cluster in clusters}

    return render_charts(
        compiled.charts,
        compiled.clusters,
        documents,
        found,
        None if versions is None else ask,
    )


def forms(found: RenderedCharts) -> dict[str, dict[str, str]]:
    return {
        str(one.key): {
            name: str(one.forms.get(name, one.document.manifest).object.get("data"))
            for name in sorted(one.clusters)
        }
        for one in found.objects
    }


NEW = ClusterVersions("v1.37.2", ("example.org/v1", "example.org/v1/Shop", "v1"))
OLD = ClusterVersions("v1.30.0", ("v1",))


def test_each_cluster_gets_what_is_rendered_for_its_version() -> None:
    found = rendered({"aws": NEW, "gcp": OLD}, web__Chart_yaml=CHART, web__templates__a_yaml=SEES)
    assert forms(found) == {
        "ConfigMap shop/sees": {
            "aws": "{'version': 'v1.37.2'}",
            "gcp": "{'version': 'v1.30.0'}",
        },
        "Shop.example.org shop/one": {"aws": "None"},
    }
    assert not found.unrendered


def test_a_cluster_that_does_not_answer_stands_with_another_and_is_left_alone() -> None:
    found = rendered(
        {"aws": "no answer", "gcp": OLD}, web__Chart_yaml=CHART, web__templates__a_yaml=SEES
    )
    assert forms(found)["ConfigMap shop/sees"]["aws"] == "{'version': 'v1.30.0'}"
    assert found.unrendered == {
        "aws": "Chart web is rendered by its version and APIs, and: no answer"
    }


def test_a_version_that_the_chart_refuses_is_that_clusters_own_trouble() -> None:
    chart = f"{CHART}kubeVersion: '>=1.36'\n"
    found = rendered({"aws": NEW, "gcp": OLD}, web__Chart_yaml=chart, web__templates__a_yaml=SEES)
    assert not found.problems
    assert found.unrendered["gcp"].startswith("Chart web cannot be rendered for v1.30.0: helm: ")
    assert {name for one in found.objects for name in one.clusters} == {"aws"}


def test_a_group_that_cannot_be_listed_counts_where_the_chart_asks_for_it() -> None:
    unsure = ClusterVersions("v1.30.0", ("v1",), ("example.org", "metrics.k8s.io"))
    found = rendered(
        {"aws": NEW, "gcp": unsure}, web__Chart_yaml=CHART, web__templates__a_yaml=SEES
    )
    assert found.unrendered == {
        "gcp": "Chart web asks whether it serves example.org, which cannot be listed"
    }


def test_a_chart_that_asks_for_nothing_asks_nobody() -> None:
    plain = SEES.partition("\ndata:")[0]
    found = rendered({"none": "to be asked"}, web__Chart_yaml=CHART, web__templates__a_yaml=plain)
    assert not found.problems
    assert list(forms(found)) == ["ConfigMap shop/sees"]


def test_a_chart_that_goes_nowhere_is_in_git_all_the_same() -> None:
    fleet = FLEET.replace("clusterSelector: {}", "clusters: []")
    found = rendered(None, fleet, web__Chart_yaml=CHART, web__templates__a_yaml=SEES)
    assert forms(found) == {"ConfigMap shop/sees": {}}


def test_libraries_and_dependencies_are_rendered_with_what_uses_them() -> None:
    needs = "dependencies: [{name: names, version: 1.0.0}, {name: cache, version: 1.0.0}]\n"
    names = '{{ define "names.of" }}{{ .Chart.Name }}-made{{ end }}\n'
    made = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ include "names.of" . }}}\n'
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for name, text in {
            "cache/Chart.yaml": CHART.replace("web", "cache"),
            "cache/templates/a.yaml": made,
        }.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))
    files: dict[str, str | bytes] = {
        "web__Chart_yaml": CHART + needs,
        "web__templates__a_yaml": made,
        "web__charts__names__Chart_yaml": CHART.replace("web", "names") + "type: library\n",
        "web__charts__names__templates___names_tpl": names,
        "web__charts__cache-1.0.0_tgz": archive.getvalue(),
    }
    found = rendered(None, **files)
    assert list(forms(found)) == ["ConfigMap shop/cache-made", "ConfigMap shop/web-made"]

    del files["web__charts__cache-1.0.0_tgz"]
    (problem,) = rendered(None, **files).problems
    assert "missing in charts/ directory: cache" in problem.message
    assert "helm dependency build" in problem.hint

    (problem,) = rendered(None, web__Chart_yaml=CHART + "type: library\n").problems
    assert "a library is a dependency of other charts" in problem.hint


def test_a_value_that_a_charts_schema_refuses_is_told_where_it_is_written() -> None:
    schema = '{"properties": {"a": {"type": "integer"}, "b": {"items": {"enum": ["x"]}}}}'
    part = '{"properties": {"deep": {"properties": {"c": {"type": "integer"}}}}}'
    values = "  valuesFiles: [all.yaml]\n  values: {a: 1}\n  overrides:\n"
    values += "    - {clusters: [gcp], values: {a: one, token: s3cret-word}}\n"
    files = {
        "web__Chart_yaml": CHART,
        "web__values.schema_json": schema,
        "web__charts__part__Chart_yaml": CHART.replace("web", "part"),
        "web__charts__part__values.schema_json": part,
        "all_yaml": "a: 0\nb:\n  - x\n  - s3cret-word\npart:\n  deep:\n    c: [1]\n",
    }
    found = rendered(None, FLEET + values, **files)
    told = [str(one) for one in sorted(set(found.problems))]
    assert [line.partition(" Chart web: ")[0] for line in told] == [
        "all.yaml:4:5: $.b[1]:",
        "all.yaml:7:8: $.part.deep.c:",
        "fleet.yaml:24:37: $.spec.overrides[0].values.a:",
    ]
    assert told[2].endswith("got string, want integer, says values.schema.json of the chart web")
    assert "s3cret" not in " ".join(told)

    needs = {"web__Chart_yaml": CHART, "web__values.schema_json": '{"required": ["colour"]}'}
    (problem,) = set(rendered(None, **needs).problems)
    assert "missing property 'colour'" in problem.message
    assert problem.position.line == 20


def test_a_chart_that_nothing_renders_is_told_unless_others_take_it_in() -> None:
    files = {
        "web__Chart_yaml": CHART + 'dependencies: [{name: a, repository: "file://../common/a"}]\n',
        "web__charts__a__Chart_yaml": CHART.replace("web", "a"),
        "common__a__Chart_yaml": CHART.replace("web", "a"),
        "common__b__Chart_yaml": CHART.replace("web", "b") + "type: library\n",
        "common__c__Chart_yaml": CHART.replace("web", "c"),
    }
    told = [str(one) for one in rendered(None, **files).notices]
    assert told == ["common/c is a Helm chart that no Chart renders: nothing in it is read"]


def test_of_a_key_that_a_chart_prints_twice_the_last_counts() -> None:
    twice = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {x: one, x: two}\n"
    found = rendered(None, web__Chart_yaml=CHART, web__templates__a_yaml=twice)
    assert forms(found)["ConfigMap shop/a"]["aws"] == "{'x': 'two'}"


def test_what_helm_always_says_is_served_is_told_where_it_is_not() -> None:
    asks = SEES.replace("example.org/v1/Shop", "policy/v1beta1")
    found = rendered({"aws": NEW, "gcp": OLD}, web__Chart_yaml=CHART, web__templates__a_yaml=asks)
    (told,) = map(str, found.notices)
    assert "asks at templates/a.yaml:5 whether the cluster serves policy/v1beta1" in told
    assert "aws, gcp do not serve it" in told


def test_what_is_wrong_in_a_rendering_names_the_template_and_no_line_of_another_file() -> None:
    made = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, labels: {v: 1.10}}\ndata: {n: x}\n"
    old = "apiVersion: policy/v1beta1\nkind: PodDisruptionBudget\nmetadata: {name: b}\n"
    files = {"web__templates__a_yaml": made, "web__templates__old_yaml": old}
    found = rendered(None, web__Chart_yaml=CHART, **files).problems
    assert {str(problem.position) for problem in found} == {"fleet.yaml:16:1"}
    hints = {problem.message.split()[2]: problem.hint for problem in found}
    template = "of what `helm template web` prints (web/templates/a.yaml)"
    assert hints["n"] == f'quote it: "n"; from line 12 {template}'
    assert hints["is"] == f"quote it; ConfigMap a, from line 9 {template}"
    assert hints["policy/v1beta1:"].startswith("change the chart's template; ")


def test_values_of_a_chart_that_are_no_yaml_are_told_with_their_line() -> None:
    files = {"web__values_yaml": "a: 1\nb: [\nc: 2\n", "web__Chart_yaml": CHART}
    (problem,) = rendered(None, **files).problems
    assert problem.position.file == "web/values.yaml"
    assert problem.position.line > 1


CRD = definition_text("Shop", "example.org", schema="properties: {owner: {type: string}}")


def test_custom_resources_are_checked_as_each_cluster_gets_them() -> None:
    shop = (
        "apiVersion: example.org/v1\nkind: Shop\nmetadata: {name: a}\nowner: {{ .Values.owner }}\n"
    )
    files = {"web__Chart_yaml": CHART, "web__crds__shops_yaml": CRD, "web__templates__a_yaml": shop}
    values = "  values: {owner: me}\n  overrides: [{clusters: [gcp], values: {owner: n}}]\n"
    (problem,) = set(rendered(None, FLEET + values, **files).problems)
    assert problem.path == "$.owner"
    assert "(web/templates/a.yaml)" in problem.hint
    assert rendered(None, FLEET + values.replace(": n", ": her"), **files).problems == ()
