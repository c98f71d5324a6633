"""Folders with a kustomization, built by the real kubectl."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from reconciler.api.errors import BadInput
from reconciler.api.objects import Object
from reconciler.api.options import RunOptions
from reconciler.git.kustomize import kustomizations, roots
from reconciler.run.repository import read_repository
from tests.unit.git.programs import needed
from tests.unit.git.repositories import CLUSTER, FEDERATION, commit, config_map, write

TOP = {"federation.yaml": FEDERATION, "cluster.yaml": CLUSTER}
BASE = {
    "shop/base/kustomization.yaml": "resources: [settings.yaml]\n",
    "shop/base/settings.yaml": config_map("settings", colour="red"),
}
OVERLAY = {
    "shop/overlays/prod/kustomization.yaml": """\
resources: [../../base]
namePrefix: prod-
patches:
  - path: colour.yaml
    target: {kind: ConfigMap, name: settings}
""",
    "shop/overlays/prod/colour.yaml": "- {op: replace, path: /data/colour, value: blue}\n",
}


@pytest.fixture(autouse=True)
def kubectl(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    """The one of the development dependencies, before any other."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    needed("kubectl", "kubernetes-client")


def fleet(folder: Path, *parts: dict[str, str]) -> Path:
    write(folder, {**TOP, **{name: text for part in parts for name, text in part.items()}})
    return folder


def objects(folder: Path, **given: str) -> dict[str, Object]:
    state = read_repository(RunOptions(repo=str(folder), **given)).state  # type: ignore[arg-type]
    return {w.key.name: w.template for w in state.workloads}


def problems(folder: Path, **given: str) -> str:
    with pytest.raises(BadInput) as caught:
        objects(folder, **given)
    return "\n".join(str(problem) for problem in caught.value.problems)


def test_an_overlay_is_built_and_its_base_is_part_of_it(tmp_path: Path) -> None:
    found = objects(fleet(tmp_path, BASE, OVERLAY))
    assert list(found) == ["prod-settings"]
    assert found["prod-settings"]["data"] == {"colour": "blue"}


def test_plain_manifests_beside_it_are_read_as_ever(tmp_path: Path) -> None:
    beside = {"payments/plain.yaml": config_map("plain", a="b")}
    assert set(objects(fleet(tmp_path, BASE, beside))) == {"settings", "plain"}


def test_files_that_a_kustomization_leaves_out_are_not_applied(tmp_path: Path) -> None:
    stray = {"shop/base/stray.yaml": config_map("stray", a="b")}
    assert list(objects(fleet(tmp_path, BASE, stray))) == ["settings"]


def test_a_chosen_overlay_finds_its_base_outside_of_the_path(origin: Path) -> None:
    top = {f"shop/overlays/prod/{name}": text for name, text in TOP.items()}
    text = OVERLAY["shop/overlays/prod/kustomization.yaml"]
    whole = text.replace("../../base]", "../../base, federation.yaml, cluster.yaml]")
    files = {**BASE, **OVERLAY, **top, "shop/overlays/prod/kustomization.yaml": whole}
    commit(origin, {name: text.replace("namePrefix: prod-\n", "") for name, text in files.items()})
    for location, ref in ((origin.as_uri(), "main"), (str(origin), "main"), (str(origin), None)):
        found = read_repository(RunOptions(repo=location, ref=ref, path="shop/overlays/prod")).state
        assert [w.key.name for w in found.workloads] == ["settings"]
        assert [cluster.name for cluster in found.clusters] == ["one"]


def test_two_overlays_of_one_base_collide_and_both_are_named(tmp_path: Path) -> None:
    other = {
        "shop/overlays/test/kustomization.yaml": "resources: [../../base]\nnamePrefix: prod-\n"
    }
    said = problems(fleet(tmp_path, BASE, OVERLAY, other))
    assert "is defined twice" in said
    assert "shop/overlays/test/kustomization.yaml:1:1" in said
    assert "shop/overlays/prod/kustomization.yaml:1:1" in said


def test_a_fault_in_what_is_built_names_the_kustomization_and_the_object(tmp_path: Path) -> None:
    placement = """\
apiVersion: federation.reconciler.dev/v1alpha1
kind: Placement
metadata: {name: web}
spec: {clusters: [nowhere], priority: high}
"""
    files = {"shop/kustomization.yaml": "resources: [p.yaml]\n", "shop/p.yaml": placement}
    said = problems(fleet(tmp_path, files))
    assert "shop/kustomization.yaml:1:1: $.spec.priority" in said
    assert "Placement web, from line 1 of what `kustomize build shop` prints" in said
    files["shop/p.yaml"] = placement.replace(", priority: high", "")
    said = problems(fleet(tmp_path, files))
    assert "there is no cluster 'nowhere'" in said
    assert "Placement web, from line 1 of what `kustomize build shop` prints" in said


def test_a_build_that_fails_names_the_file(tmp_path: Path) -> None:
    wrong = {
        **OVERLAY,
        "shop/overlays/prod/colour.yaml": "- {op: replace, path: /data/x/y, value: 1}\n",
    }
    said = problems(fleet(tmp_path, BASE, wrong))
    assert "shop/overlays/prod/kustomization.yaml:1:1: cannot be built" in said
    assert "reconcile-kustomize" not in said, "no path of a directory that is gone"
    assert "command failed" not in said, "no line of a log"


@pytest.mark.parametrize(
    "files",
    [
        {"kustomization.yaml": "secretGenerator: [{name: a, literals: [c4nary]}]\n"},
        {"kustomization.yaml": "secretGenerator:\n- name: a\n  literals: [!c4nary a]\n"},
        {"kustomization.yaml": "secretGenerator:\n- name: a: c4nary\n"},
        {
            "kustomization.yaml": "resources: [s.yaml]\n",
            "s.yaml": "kind: Secret\napiVersion: v1\nstringData: {a: c4nary: c4nary}\n",
        },
        {
            "kustomization.yaml": "secretGenerator: [{name: a, literals: ['https://u:c4nary@h']}]\n",
        },
    ],
)
def test_a_build_that_reads_secrets_and_fails_quotes_nothing(
    tmp_path: Path, files: dict[str, str]
) -> None:
    said = problems(fleet(tmp_path, {f"shop/{name}": text for name, text in files.items()}))
    assert said.startswith("shop/kustomization.yaml:1:1: ")
    assert "c4nary" not in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "resources: ['https://example.com/x.yaml']",
            "is outside the repository, and nothing is fetched",
        ),
        ("resources: ['github.com/org/repo//base?ref=v1']", "outside the repository"),
        ("resources: ['git@github.com:org/repo.git']", "outside the repository"),
        ("resources: [/etc]", "leads out of the repository"),
        ("resources: [../../../../../etc]", "leads out of the repository"),
        ("resources: [missing.yaml]", "the repository has no 'shop/missing.yaml'"),
        ("components: ['../../elsewhere']", "leads out of the repository"),
        ("patches: [{path: 'https://example.com/p.yaml'}]", "outside the repository"),
        (
            "configMapGenerator: [{name: a, files: ['https://example.com/f']}]",
            "outside the repository",
        ),
        ("configMapGenerator: [{name: a, files: [/etc/passwd]}]", "cannot be built"),
        ("helmCharts: [{name: x, repo: 'https://example.com'}]", "charts are not rendered"),
        ("resources: [a.yaml", "not valid YAML"),
        ("[a, b]", "not a map"),
        ("nonsense: true", "cannot be built"),
        ("a: &a [*a]\npatches: *a", "cannot be built"),
        ("resources: [" * 2000, "not valid YAML"),
    ],
)
def test_what_cannot_be_built_here_is_refused(tmp_path: Path, text: str, said: str) -> None:
    found = problems(fleet(tmp_path, {"shop/kustomization.yaml": text + "\n"}))
    assert found.startswith("shop/kustomization.yaml:1:1: ")
    assert said in found


def test_plugins_do_not_run(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    program = tmp_path / "fleet" / "shop" / "evil.sh"
    generator = """\
apiVersion: example.com/v1
kind: Evil
metadata:
  name: evil
  annotations:
    config.kubernetes.io/function: |
      exec: {path: ./evil.sh}
"""
    files = {
        "shop/kustomization.yaml": "generators: [evil.yaml]\n",
        "shop/evil.yaml": generator,
        "shop/evil.sh": f"#!/bin/sh\ntouch {trap}\n",
    }
    folder = fleet(tmp_path / "fleet", files)
    program.chmod(0o755)
    assert "cannot be built" in problems(folder)
    assert not trap.exists()


def test_nothing_is_left_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    assert objects(fleet(tmp_path / "fleet", BASE, OVERLAY))
    assert list(scratch.iterdir()) == []


def test_the_rule_can_forbid_it(tmp_path: Path) -> None:
    rule = FEDERATION + "  source: {kustomize: {enabled: false}}\n"
    folder = fleet(tmp_path, BASE, OVERLAY, {"federation.yaml": rule})
    said = problems(folder)
    assert "shop/overlays/prod/kustomization.yaml:1:1: a kustomization" in said
    assert "spec.source.kustomize.enabled" in said


def test_without_the_programs_their_names_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "neither kustomize nor kubectl" in problems(fleet(tmp_path / "fleet", BASE))


def test_encrypted_files_in_it_are_refused(tmp_path: Path) -> None:
    """kustomize reads from the disk, where clear text has no business."""
    block = "data: {a: 'ENC[AES256_GCM,data:x]'}\nsops:\n  mac: x\n"
    rule = FEDERATION + "  source: {sops: {enabled: true}}\n"
    files = {"federation.yaml": rule, "shop/base/secret.yaml": config_map("a") + block}
    said = problems(fleet(tmp_path, BASE, files))
    assert "shop/base/secret.yaml:1:1: encrypted by sops and in a folder that kustomize" in said


def test_a_federation_that_is_built_cannot_bring_rules_of_its_own(tmp_path: Path) -> None:
    """They would be known only after files had been decrypted and built by others."""
    rule = FEDERATION.replace("metadata: {name: shop}", "metadata: {name: a}")
    patch = '[{"op": "add", "path": "/spec/source", "value": {"allowRollback": true}}]'
    files = {
        "kustomization.yaml": "resources: [federation.yaml, cluster.yaml]\n"
        f"patches: [{{patch: '{patch}', target: {{kind: Federation}}}}]\n",
        "federation.yaml": rule,
    }
    assert "were not found when the repository was read" in problems(fleet(tmp_path, files))


def test_components_and_parts_are_not_built_by_themselves(tmp_path: Path) -> None:
    component = "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nnamePrefix: c-\n"
    used = {
        **BASE,
        "shop/parts/c/kustomization.yaml": component,
        "shop/base/kustomization.yaml": BASE["shop/base/kustomization.yaml"]
        + "components: [../parts/c]\n",
    }
    assert list(objects(fleet(tmp_path, used))) == ["c-settings"]
    circle = {
        "a/kustomization.yaml": "resources: [../b]\n",
        "b/kustomization.yaml": "resources: [../a]\n",
    }
    assert "nothing to build" in problems(fleet(tmp_path / "circle", circle))


def test_roots_are_those_that_nobody_refers_to() -> None:
    from reconciler.api.files import SourceFile

    texts = {
        "kustomization.yaml": "resources: [a, b/c]",
        "a/kustomization.yml": "resources: [x.yaml]",
        "a/x.yaml": "",
        "b/c/Kustomization": "bases: [../d]",
        "b/d/kustomization.yaml": "{}",
        "e/kustomization.yaml": "{}",
    }
    found = kustomizations([SourceFile(path, text.encode()) for path, text in texts.items()])
    assert [one.folder for one in roots(found)] == ["", "e"]
    assert not [one for one in found.values() if one.error]
