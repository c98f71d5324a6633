"""What somebody wrote and what has no effect: told by ``validate`` with its line."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest

from reconciler.api.errors import BadInput
from reconciler.api.options import RunOptions
from reconciler.run import repository
from tests.definitions import definition_text

FLEET = """\
apiVersion: federation.reconciler.dev/v1alpha1
kind: Federation
metadata: {name: shop}
spec:
  defaults: {placement: {clusterSelector: {}}}
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: aws, labels: {cloud: aws, tier: one}}
spec: {provider: aws, region: eu-central-1}
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: gcp, labels: {cloud: gcp}}
spec: {provider: gcp, region: europe-west1}
"""
WEB = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: web, image: x}]}}
---
"""
PLACEMENT = """\
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {name: web}
spec:
  select: [{kind: Deployment}]
"""
FEDERATED = """\
apiVersion: types.kubefed.io/v1beta1
kind: FederatedDeployment
metadata: {name: web, namespace: default}
spec:
  template:
    spec: {replicas: 2, template: {spec: {containers: [{name: web, image: x}]}}}
"""
SCHEDULED = """\
---
apiVersion: scheduling.kubefed.io/v1alpha1
kind: ReplicaSchedulingPreference
metadata: {name: web, namespace: default}
spec:
  targetKind: FederatedDeployment
"""
SCALER = """\
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web, namespace: shop}
spec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: %s}, maxReplicas: 9}
"""
ASKED = 'namespace: shop, annotations: {federation.reconciler.dev/substitute: "true"}}'


def _placed(spec: str) -> str:
    return WEB + PLACEMENT + textwrap.indent(textwrap.dedent(spec), "  ") + "\n"


def _federated(spec: str) -> str:
    return FEDERATED + textwrap.indent(textwrap.dedent(spec), "  ") + "\n"


def _preferred(spec: str, placement: str = "clusterSelector: {}") -> str:
    rest = textwrap.indent(textwrap.dedent(spec), "  ") + "\n"
    return _federated(f"placement: {{{placement}}}") + SCHEDULED + rest


def _filled(image: str, asked: str = ASKED) -> str:
    return WEB.replace("namespace: shop}", asked).replace("image: x", f"image: '{image}'")


def _validate(folder: Path, text: str) -> tuple[list[str], list[str]]:
    """Problems and warnings."""
    (folder / "fleet.yaml").write_text(FLEET)
    (folder / "a.yaml").write_text(text)
    try:
        found = repository.validate_repository(RunOptions(repo=str(folder)))
    except BadInput as error:
        return [str(problem) for problem in error.problems], []
    return [], list(found.warnings)


DIVIDED = "replicas: {mode: Divided, total: 4, clusters: [%s]}"
NO_EFFECT = {
    "an override of replicas that are divided": (
        _placed("replicas: {mode: Divided}\noverrides: [{clusters: [aws], replicas: 3}]"),
        "a.yaml:15: Placement web divides the replicas: this override of them has no effect",
    ),
    "the same within a whole spec": (
        _placed(
            "replicas: {mode: Divided}\n"
            "overrides: [{clusters: [aws], patch: [{op: add, path: /spec, value: {replicas: 3, "
            "template: {spec: {}}}}]}]"
        ),
        "a.yaml:15: Placement web divides the replicas",
    ),
    "autoscalers that are divided, and none is there": (
        _placed("replicas: {mode: Divided, autoscalers: Divided}"),
        "a.yaml:14: Placement web: no HorizontalPodAutoscaler of Git scales what it selects",
    ),
    "an autoscaler that has no bounds to divide": (
        _placed("replicas: {mode: Divided, autoscalers: Divided}")
        + SCALER.replace("autoscaling/v2", "keda.sh/v1alpha1").replace(
            "HorizontalPodAutoscaler", "ScaledObject"
        )
        % "web",
        "a.yaml:14: Placement web: only a HorizontalPodAutoscaler is divided, not ScaledObject",
    ),
    "an override of bounds that are divided": (
        _placed("replicas: {mode: Divided, autoscalers: Divided}")
        + SCALER % "web"
        + "---\n"
        + PLACEMENT.replace("name: web", "name: scaler").replace("Deployment", "Horizontal*")
        + "  overrides: [{clusters: [aws], patch: [{path: /spec/maxReplicas, value: 3}]}]\n",
        "a.yaml:26: .*its bounds are divided: this override of /spec/maxReplicas has no effect",
    ),
    "bounds that are too few for the clusters": (
        _placed("replicas: {mode: Divided, autoscalers: Divided}")
        + SCALER.replace("maxReplicas: 9", "maxReplicas: 1") % "web",
        "a.yaml:16: .*maxReplicas 1 is less than 1 for each of 2 clusters: each gets 1",
    ),
    "minima above the count": (
        _placed("replicas: {mode: Divided, clusters: [{selector: {}, min: 2}]}"),
        "a.yaml:1: .*the minima of its clusters add up to 4, more than its 2 replicas",
    ),
    "a total above the maxima": (
        _placed(DIVIDED % "{selector: {}, max: 1}"),
        "a.yaml:1: .*2 replicas fit nowhere",
    ),
    "weights of nothing": (
        _placed(DIVIDED % "{selector: {}, weight: 0}"),
        "4 replicas fit nowhere",
    ),
    "a weight that divides nothing": (
        _placed("replicas: {clusters: [{name: aws, weight: 2}]}"),
        "a.yaml:14: Placement web: weight has no effect without mode: Divided",
    ),
    "a share of a cluster that is not selected": (
        _placed("clusters: [aws]\n" + DIVIDED % "{name: gcp, weight: 2}"),
        "a.yaml:15: Placement web: no effect: the placement does not choose gcp",
    ),
    "a share that another one has taken": (
        _placed(DIVIDED % "{selector: {}}, {name: aws, weight: 9}"),
        "a.yaml:14: .*the entries before it have aws already",
    ),
    "a share whose selector matches nothing": (
        _placed(DIVIDED % "{selector: {matchLabels: {cloud: azure}}}"),
        "a.yaml:14: .*this selector matches no cluster",
    ),
    "a share by name and selector": (
        _placed(DIVIDED % "{name: aws, selector: {}}"),
        "a.yaml:14: .*selector has no effect beside name",
    ),
    "capacities that nobody gives": (
        _placed("replicas: {mode: Divided, weighBy: Capacity}"),
        "a.yaml:14: .*aws, gcp: no capacity is known, the weight counts",
    ),
    "an override whose selector matches nothing": (
        _placed("overrides: [{clusterSelector: {matchLabels: {cloud: azure}}, replicas: 3}]"),
        "a.yaml:14: .*this override has no effect: it matches no cluster",
    ),
    "an override for a cluster that is not selected": (
        _placed("clusters: [aws]\noverrides: [{clusters: [gcp], replicas: 3}]"),
        "a.yaml:15: .*the placement does not choose gcp",
    ),
    "an override for no cluster": (
        _placed("overrides: [{clusters: [], replicas: 3}]"),
        "a.yaml:14: .*it names no cluster",
    ),
    "an override of nothing": (
        _placed("overrides: [{clusters: [aws]}]"),
        "a.yaml:14: .*this override changes nothing",
    ),
    "a variable in an override": (
        _placed("overrides: [{images: {web: 'x:${cluster.region}'}}]"),
        "a.yaml:14: .*variables in overrides are not filled in",
    ),
    "names and a selector": (
        _placed("clusters: [gcp]\nclusterSelector: {matchLabels: {cloud: aws}}"),
        "a.yaml:15: .*clusterSelector has no effect beside clusters",
    ),
    "a preference without choice": (
        _placed("affinity: {preferred: [{weight: 1, selector: {matchLabels: {cloud: aws}}}]}"),
        "a.yaml:14: .*preferences have no effect without spread",
    ),
    "a spread over places that are not given": (
        _placed("spread: [{by: zone, maxGroups: 1}]"),
        "a.yaml:14: .*aws, gcp: no zone is given, so each is a group of its own",
    ),
    "a spread over more groups than there are": (
        _placed("spread: [{by: provider, minGroups: 5}]"),
        "a.yaml:1: .*only 2 of at least 5 provider groups",
    ),
    "a selection of nothing among others": (
        _placed("").replace("[{kind: Deployment}]", "[{kind: Deploymnt}, {kind: Deployment}]"),
        "a.yaml:13: Placement web: this selects no manifest",
    ),
    "a Placement that nobody follows": (
        WEB + PLACEMENT.replace("  select: [{kind: Deployment}]\n", "  priority: 1\n"),
        "a.yaml:9: Placement web has no select, and no manifest asks for it",
    ),
    "an autoscaler of nothing": (
        WEB[:-4] + SCALER % "wbe",
        "a.yaml:12: .*the repository has no Deployment shop/wbe to scale",
    ),
    "an autoscaler in some of the clusters": (
        WEB[:-4] + SCALER % "web" + "---\n"
        + PLACEMENT.replace("Deployment", "HorizontalPodAutoscaler") + "  clusters: [aws]\n",
        "a.yaml:9: .*does not go to gcp, where nothing else scales Deployment.apps shop/web "
        "\\(a.yaml:\\d+\\)",
    ),
    "an autoscaler in more clusters": (
        _placed("clusters: [aws]") + SCALER % "web",
        "has nothing to scale in gcp: Deployment.apps shop/web \\(a.yaml:\\d+\\) does not go there",
    ),
    "a Namespace in some of the clusters": (
        WEB + "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n---\n"
        + PLACEMENT.replace("kind: Deployment", "kind: Namespace") + "  clusters: [aws]\n",
        "a.yaml:9: Namespace shop does not go to gcp, where Deployment.apps shop/web goes",
    ),
    "KubeFed: names and a selector": (
        _federated("placement: {clusters: [{name: aws}], clusterSelector: {}}"),
        "a.yaml:7: .*web: clusterSelector has no effect beside clusters",
    ),
    "KubeFed: an override elsewhere": (
        _federated(
            "placement: {clusters: [{name: aws}]}\n"
            "overrides: [{clusterName: gcp, clusterOverrides: [{path: /spec/x, value: 1}]}]"
        ),
        "a.yaml:8: .*web: no effect: the placement does not choose gcp",
    ),
    "KubeFed: another name in the template": (
        _federated("placement: {clusters: [{name: aws}]}").replace(
            "  template:\n", "  template:\n    metadata: {name: other}\n"
        ),
        "a.yaml:6: .*web: the template's name has no effect",
    ),
    "a preference's override of replicas": (
        _preferred("totalReplicas: 4").replace(
            "placement:",
            "overrides: [{clusterName: aws, clusterOverrides: [{path: /spec/replicas, value: 3}]}]"
            "\n  placement:",
        ),
        "ReplicaSchedulingPreference web divides the replicas: this override of them",
    ),
    "a preference for a cluster that is not placed": (
        _preferred(
            "totalReplicas: 4\nintersectWithClusterSelector: true\n"
            "clusters: {aws: {weight: 1}, gcp: {weight: 1}}",
            "clusters: [{name: aws}]",
        ),
        "the placement does not choose gcp",
    ),
    "a preference's minima": (
        _preferred("totalReplicas: 1\nclusters: {aws: {minReplicas: 3}}"),
        "the minima of its clusters add up to 3, more than its 1 replicas",
    ),
    "a variable that is empty": (
        _filled("x:${cluster.zone}"),
        r"a.yaml:7: .*\$\{cluster.zone\} is empty in aws, gcp",
    ),
    "a variable that some clusters lack": (
        _filled("x:${cluster.labels.tier}"),
        r"a.yaml:7: .*\$\{cluster.labels.tier\} stays as it is in gcp",
    ),
    "a variable that nobody asked to fill in": (
        _filled("x:${cluster.region}", "namespace: shop}"),
        "a.yaml:7: a variable that is not filled in",
    ),
    "an annotation without variables": (
        _filled("x"),
        "a.yaml:3: .*web: federation.reconciler.dev/substitute has no effect",
    ),
    "an unknown field": (
        WEB.replace("replicas: 2", "replcas: 2"),
        "a.yaml:5: Kubernetes 1.37 knows no spec.replcas; did you mean replicas?",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", NO_EFFECT)
def test_what_has_no_effect_is_told_with_its_line(tmp_path: Path, case: str) -> None:
    text, said = NO_EFFECT[case]
    problems, warnings = _validate(tmp_path, text)
    assert not problems
    assert any(re.search(said, warning) for warning in warnings), warnings


CANNOT_BE_MEANT = {
    "autoscalers that are divided where replicas are not": (
        _placed("replicas: {autoscalers: Divided}"),
        "a.yaml:14:27: .*autoscalers are divided where replicas are not.*mode: Divided",
    ),
    "a selector without values": (
        _placed(DIVIDED % "{selector: {matchExpressions: [{key: a, operator: In}]}}"),
        "a.yaml:14:81: .*In without values",
    ),
    "a toleration with a value too many": (
        _placed("tolerations: [{key: a, operator: Exists, value: b}]"),
        "a.yaml:14:51: .*a value beside operator: Exists",
    ),
    "a toleration of every key": (
        _placed("tolerations: [{value: b}]"),
        "a.yaml:14:17: .*a toleration without a key",
    ),
    "a variable of nobody": (
        _filled("x:${cluster.regoin}"),
        r"a.yaml:7:\d+: .*is no variable.*did you mean \$\{cluster.region\}",
    ),
    "a variable in another case": (_filled("x:${ Cluster.name }"), "is no variable"),
    "a label that no cluster has": (
        _filled("x:${cluster.labels.teir}"),
        "no cluster that this goes to has the label teir.*did you mean tier",
    ),
    "a template of another kind": (
        _federated("placement: {}").replace("  template:\n", "  template:\n    kind: Job\n"),
        "a.yaml:6:11: .*a FederatedDeployment with a template of another kind",
    ),
    "an unknown key in a KubeFed placement": (
        _federated("placement: {clusterselector: {}}"),
        "unknown key 'clusterselector'.*did you mean clusterSelector",
    ),
    "an unknown key in metadata": (
        WEB.replace("namespace: shop", "namspace: shop"),
        "a.yaml:3:23: .*unknown key 'namspace'.*did you mean namespace",
    ),
    "an override of another type": (
        _placed("overrides: [{clusters: [aws], patch: [{path: /spec/replicas, value: '3'}]}]"),
        "a.yaml:14:41: /spec/replicas of .* in aws: the value is text; expected a whole number",
    ),
    "an override of another type where only an outage takes it": (
        _placed(
            "spread: [{by: cluster, maxGroups: 1}]\n"
            "affinity: {preferred: [{weight: 1, selector: {matchLabels: {cloud: aws}}}]}\n"
            "overrides: [{clusters: [gcp], patch: [{path: /spec/replicas, value: yes}]}]"
        ),
        "a.yaml:16:41: /spec/replicas of .* in gcp: the value is a boolean",
    ),
}


@pytest.mark.parametrize("case", CANNOT_BE_MEANT)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, case: str) -> None:
    text, said = CANNOT_BE_MEANT[case]
    problems, _ = _validate(tmp_path, text)
    assert len(problems) == 1, problems
    assert re.search(said, problems[0]), problems


def test_minima_of_clusters_that_are_not_selected_do_not_count(tmp_path: Path) -> None:
    text = _placed("clusters: [aws]\n" + DIVIDED % "{name: aws, min: 3}, {name: gcp, min: 3}")
    assert not _validate(tmp_path, text)[0]


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ("prune: {protect: {kinds: [Deployment]}}", "write Deployment.apps"),
        ("prune: {protect: {kinds: [PersistentVolumeClaims]}}", "mean PersistentVolumeClaim?"),
        ("recreation: {allowDataLoss: [StatefulSet]}", "write StatefulSet.apps"),
        ("sensitive: [{kind: Deploymnt.apps}]", "did you mean Deployment?"),
        ("prune: {protect: {labels: {matchExpressions: [{key: a, operator: In}]}}}", "In without"),
    ],
)
def test_rules_for_kinds_that_are_not_there_are_refused(
    tmp_path: Path, rules: str, said: str
) -> None:
    (tmp_path / "rules.yaml").write_text(FLEET.replace("  defaults", f"  {rules}\n  defaults", 1))
    with pytest.raises(BadInput) as error:
        repository.validate_repository(RunOptions(repo=str(tmp_path)))
    [problem] = error.value.problems
    assert problem.position.line == 5
    assert said in str(problem)


def test_a_file_that_is_passed_over_by_its_suffix_is_told(tmp_path: Path) -> None:
    (tmp_path / "b.YAML").write_text(WEB)
    _, warnings = _validate(tmp_path, WEB[:-4])
    assert warnings == ["b.YAML:1: not read: names of manifests end in .yaml, .yml, .json"]


CUSTOM = f"""\
---{definition_text("Widget", schema="properties: {size: {type: integer}}")}---
apiVersion: example.com/v1
kind: Widget
metadata: {{name: one, namespace: shop}}
size: "2"
"""


def test_all_that_is_wrong_is_told_at_once_whatever_finds_it(tmp_path: Path) -> None:
    override = "  overrides: [{patch: [{op: add, path: /spec/paused, value: x}]}]\n"
    nowhere = PLACEMENT.replace("{name: web}", "{name: elsewhere}").replace("Deployment", "Secret")
    for name, text in {
        "fleet": FLEET,
        "widget": CUSTOM,
        "label": WEB.replace("name: web,", "name: other, labels: {v: 1},", 1),
        "web": WEB,
        "override": PLACEMENT + override,
        "placement": nowhere + "  clusters: [nowhere]\n",
    }.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    with pytest.raises(BadInput) as caught:
        repository.validate_repository(RunOptions(repo=str(tmp_path)))
    assert {(p.position.file, p.position.line) for p in caught.value.problems} == {
        ("label.yaml", 3),
        ("override.yaml", 6),
        ("placement.yaml", 6),
        ("widget.yaml", 7),
    }
