"""Where the programs of a member cluster are taken from."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.controlplane import build


def programs_in(directory: Path, *names: str) -> Path:
    directory.mkdir(parents=True)
    for name in names:
        (directory / name).touch(mode=0o755)
    return directory


def without_go(tmp_path: Path, **settings: str) -> dict[str, str]:
    return {"PATH": str(tmp_path / "empty"), "XDG_CACHE_HOME": str(tmp_path / "cache"), **settings}


def test_without_go_and_without_binaries_there_is_no_control_plane(tmp_path: Path) -> None:
    with pytest.raises(build.Unavailable, match="neither Go"):
        build.ensure(without_go(tmp_path))


def test_binaries_of_kubebuilder_serve_without_go(tmp_path: Path) -> None:
    assets = programs_in(tmp_path / "assets", "etcd", "kube-apiserver", "kubectl")
    programs = build.ensure(without_go(tmp_path, KUBEBUILDER_ASSETS=str(assets)))
    assert programs.kube_apiserver == assets / "kube-apiserver"
    assert programs.kube_controller_manager is None
    assert not programs.runs_pods


def test_a_directory_that_lacks_etcd_is_named(tmp_path: Path) -> None:
    assets = programs_in(tmp_path / "assets", "kube-apiserver")
    with pytest.raises(build.Unavailable, match="assets lacks etcd"):
        build.ensure(without_go(tmp_path, KUBEBUILDER_ASSETS=str(assets)))


def test_an_earlier_build_of_the_same_sources_serves_without_go(tmp_path: Path) -> None:
    environment = without_go(tmp_path)
    cache = tmp_path / "cache" / "federation-reconciler" / "controlplane"
    programs_in(cache / "0123456789abcdef-go1.26.0", *build.LINKED)
    with pytest.raises(build.Unavailable):
        build.ensure(environment)
    names = (*build.LINKED, "kwok", "stages.yaml")
    built = programs_in(cache / f"{build.sources_digest()}-go1.26.0", *names)
    programs = build.ensure(environment)
    assert programs.etcd == built / "etcd"
    assert programs.runs_pods


def test_binaries_of_kubebuilder_go_before_a_build(tmp_path: Path) -> None:
    cache = tmp_path / "cache" / "federation-reconciler" / "controlplane"
    built = programs_in(cache / f"{build.sources_digest()}-go1.26.0", *build.LINKED)
    assets = programs_in(tmp_path / "assets", "etcd", "kube-apiserver")
    programs = build.ensure(without_go(tmp_path, KUBEBUILDER_ASSETS=str(assets)))
    assert programs.etcd == assets / "etcd"
    assert programs.kube_scheduler == built / "kube-scheduler"


def test_another_version_of_kubernetes_has_a_build_of_its_own(tmp_path: Path) -> None:
    environment = without_go(tmp_path, KUBERNETES="1.33.13")
    cache = tmp_path / "cache" / "federation-reconciler" / "controlplane"
    programs_in(cache / f"{build.sources_digest()}-go1.26.0", *build.LINKED)
    with pytest.raises(build.Unavailable):
        build.ensure(environment)
    built = programs_in(cache / f"{build.sources_digest('1.33.13')}-go1.26.0", *build.LINKED)
    assert build.ensure(environment).etcd == built / "etcd"


def test_several_versions_of_kubernetes_have_a_build_each(tmp_path: Path) -> None:
    cache = tmp_path / "cache" / "federation-reconciler" / "controlplane"
    built = [
        programs_in(cache / f"{build.sources_digest(version)}-go1.26.0", *build.LINKED)
        for version in ("1.33.13", "1.34.4")
    ]
    programs = build.ensure_each(without_go(tmp_path, KUBERNETES="1.33.13,1.34.4"))
    assert [each.kube_apiserver.parent for each in programs] == built


@pytest.mark.parametrize("text", ["1.34", "v1.34.4", "latest", "1.34.4 "])
def test_what_is_no_version_of_kubernetes_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"a version such as 1\.\d+\.\d+ is wanted"):
        build.kubernetes_version({"KUBERNETES": text})


def test_the_parts_of_kubernetes_are_taken_in_the_version_of_the_whole() -> None:
    own = "require (\n\tk8s.io/api v0.0.0\n\tk8s.io/utils v0.0.0-2026\n)\n"
    written = build.module_file("1.38.0-beta.0", own)
    assert "k8s.io/kubernetes v1.38.0-beta.0" in written
    assert "replace k8s.io/api => k8s.io/api v0.38.0-beta.0" in written
    assert "k8s.io/utils" not in written
