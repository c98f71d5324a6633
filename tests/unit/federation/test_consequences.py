"""A fault is told once, where it is: who refers to what is broken is not at fault."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.api.errors import BadInput
from reconciler.api.options import RunOptions
from reconciler.run import repository

FEDERATION = """\
apiVersion: federation.reconciler.dev/v1alpha1
kind: Federation
metadata: {name: shop}
spec:
  failover: {enabled: true, maxUnhealthy: 1, minAvailableClusters: 1}
"""
CLUSTERS = """\
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata: {name: aws, labels: {cloud: aws}}
---
apiVersion: federation.reconciler.dev/v1alpha1
kind: Cluster
metadata:
  name: gcp
"""
PLACEMENT = """\
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {name: web}
spec:
  clusters: [aws, gcp]
  failover: {action: None}
"""
WEB = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop, annotations: {federation.reconciler.dev/placement: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: web, image: x}]}}
"""
FILES = {"a.yaml": FEDERATION, "b.yaml": CLUSTERS, "c.yaml": PLACEMENT, "d.yaml": WEB}


def _problems(folder: Path, files: dict[str, str]) -> list[str]:
    for name, text in files.items():
        (folder / name).write_text(text)
    with pytest.raises(BadInput) as error:
        repository.validate_repository(RunOptions(repo=str(folder)))
    return [str(problem) for problem in error.value.problems]


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("c.yaml", "action: None", "acton: None", "c.yaml:6:14: .*unknown key 'acton'"),
        ("c.yaml", "clusters: [aws, gcp]", "clusters: [aws, gcp", "c.yaml:6:"),
        ("b.yaml", "  name: gcp", "  name: gcp\nspec: {wieght: 2}", "unknown key 'wieght'"),
        ("b.yaml", "  name: gcp", "  name: gcp\n\tspec: {}", "b.yaml:"),
        ("b.yaml", "  name: gcp", "  name: gcp\n  lables: {}", "unknown key 'lables'"),
        ("a.yaml", "enabled: true", "enabld: true", "unknown key 'enabld'"),
        ("a.yaml", "enabled: true", "enabled: true: true", "a.yaml:5:"),
    ],
)
@pytest.mark.parametrize("one_file", [True, False])
def test_only_the_fault_itself_is_told(
    tmp_path: Path, file: str, old: str, new: str, said: str, one_file: bool
) -> None:
    import re

    files = {**FILES, file: FILES[file].replace(old, new)}
    assert files != FILES
    syntax = "unknown" not in said
    if one_file and syntax:
        pytest.skip("nothing after it can be read")
    if one_file:
        files = {"all.yaml": "---\n".join(files.values())}
    [told] = _problems(tmp_path, files)
    assert re.search(said if not one_file else said.rpartition(".*")[2], told)


def test_true_faults_of_others_are_told_all_the_same(tmp_path: Path) -> None:
    asks = "annotations: {federation.reconciler.dev/placement: web}"
    lost = WEB.replace("name: web,", "name: lost,").replace(asks, asks.replace("web", "wbe"))
    free = WEB.replace("name: web,", "name: free,").replace(", " + asks, "")
    rules = "  select: [{name: free}]\n  overrides: [{images: {wbe: z}}]"
    told = _problems(
        tmp_path,
        {
            **FILES,
            "c.yaml": PLACEMENT.replace("action", "acton"),
            "d.yaml": "---\n".join([WEB, lost, free]),
            "e.yaml": PLACEMENT.replace("name: web", "name: e").replace("gcp]", "gpc]"),
            "f.yaml": PLACEMENT.replace("name: web", "name: f").replace(
                "  failover: {action: None}", rules
            ),
        },
    )
    assert len(told) == 4, told
    assert "unknown key 'acton'" in told[0]
    assert "there is no Placement 'wbe'" in told[1]
    assert "there is no cluster 'gpc'" in told[2]
    assert "there is no container 'wbe'" in told[3]


def test_manifests_before_a_broken_one_of_the_file_are_there(tmp_path: Path) -> None:
    text = FEDERATION + "---\n" + CLUSTERS + "---\n" + PLACEMENT + "---\n" + WEB
    text += "---\n" + PLACEMENT.replace("name: web", "name: late").replace("action", "acton")
    [told] = _problems(tmp_path, {"all.yaml": text})
    assert "unknown key 'acton'" in told
