"""What the manifests of cronjob/ say, and that they agree with one another and with the tool."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from reconciler import __version__
from reconciler.api.options import GRACE_SECONDS, declarations
from reconciler.cli.settings import DURATION

from .conftest import CRONJOB, kustomized
from .dockerfile import stages
from .pods import template_of

FOLDERS = sorted(
    str(file.parent.relative_to(CRONJOB)) for file in CRONJOB.rglob("kustomization.yaml")
)
NO_PODS = ("kept-commit", "observability")
WORKLOADS = ("CronJob", "Deployment")


def workloads(folder: str) -> list[dict[str, Any]]:
    return [one for one in kustomized(CRONJOB / folder) if one["kind"] in WORKLOADS]


def options(folder: str) -> dict[str, str]:
    found = [one for one in kustomized(CRONJOB / folder) if "RECONCILE_REPO" in one.get("data", {})]
    (config,) = found
    return dict(config["data"])


def test_there_is_a_base_and_an_overlay_for_each_way_to_run_it() -> None:
    overlays = {folder.removeprefix("overlays/") for folder in FOLDERS if "overlays" in folder}
    assert "base" in FOLDERS
    seats = {f"seats/{name}" for name in ("base", "seat-1", "seat-2", "seat-3")}
    assert overlays == {"cluster-profiles", "continuous", "eks", "gke", "sharded", *seats}


@pytest.mark.parametrize("folder", FOLDERS)
def test_it_is_built_without_a_warning(folder: str) -> None:
    assert kustomized(CRONJOB / folder)


def test_every_option_in_the_file_is_one_that_the_tool_has() -> None:
    text = (CRONJOB / "base" / "options.env").read_text()
    named = set(re.findall(r"^#?(RECONCILE_\w+)=", text, re.MULTILINE))
    known = {option.variable for option in declarations().values()}
    assert "RECONCILE_TRUSTED_KEYS" in named
    assert named <= known


@pytest.mark.parametrize("folder", [name for name in FOLDERS if name not in NO_PODS])
def test_all_pods_are_confined_alike(folder: str) -> None:
    (first,) = [one for one in workloads("base") if one["metadata"]["name"] == "reconcile"]
    expected = template_of(first)["spec"]
    (container,) = expected["containers"]
    found = workloads(folder)
    assert found
    for workload in found:
        spec = template_of(workload)["spec"]
        for key in ("securityContext", "enableServiceLinks", "terminationGracePeriodSeconds"):
            assert spec[key] == expected[key], (folder, key)
        (one,) = spec["containers"]
        for key in ("image", "imagePullPolicy", "resources", "securityContext"):
            assert one[key] == container[key], (folder, key)
        assert all(variable in one["env"] for variable in container["env"])
        mounts = {mount["mountPath"] for mount in one["volumeMounts"]}
        assert mounts >= {"/cache", "/tmp"}
        # The image's own entry point: nothing that an overlay could forget.
        assert "command" not in one


def test_only_the_runs_have_what_members_and_providers_are_opened_with() -> None:
    by_name = {one["metadata"]["name"]: template_of(one)["spec"] for one in workloads("base")}
    assert set(by_name) == {"reconcile", "reconcile-rotate"}
    rotation = by_name["reconcile-rotate"]
    assert "fleet" not in {volume["name"] for volume in rotation["volumes"]}
    assert not [one for one in rotation["containers"][0]["envFrom"] if "secretRef" in one]


def test_a_run_ends_itself_before_kubernetes_would() -> None:
    found = workloads("base")
    assert found
    for workload in found:
        job = workload["spec"]["jobTemplate"]["spec"]
        deadline = DURATION.convert(options("base")["RECONCILE_DEADLINE"], None, None)
        grace = template_of(workload)["spec"]["terminationGracePeriodSeconds"]
        assert deadline + grace <= job["activeDeadlineSeconds"]
        assert grace > GRACE_SECONDS
        assert job["backoffLimit"] == 0
        assert workload["spec"]["concurrencyPolicy"] == "Forbid"
        # A controller that looks every 10 s would never start it otherwise.
        assert workload["spec"]["startingDeadlineSeconds"] > 10


def test_the_shards_of_a_job_are_as_many_as_each_of_them_is_told() -> None:
    (sharded,) = [
        one for one in workloads("overlays/sharded") if one["metadata"]["name"] == "reconcile"
    ]
    job = sharded["spec"]["jobTemplate"]["spec"]
    (container,) = job["template"]["spec"]["containers"]
    told = {variable["name"]: variable.get("value") for variable in container["env"]}
    assert told["JOB_COMPLETIONS"] == str(job["completions"]) == str(job["parallelism"])
    # backoffLimit counts over all pods: the first that fails would take the others down.
    assert "backoffLimit" not in job
    assert job["backoffLimitPerIndex"] == 0


def test_webhooks_reach_the_pods_that_stay_and_their_secret_is_where_the_options_say() -> None:
    found = kustomized(CRONJOB / "overlays" / "continuous")
    (service,) = [one for one in found if one["kind"] == "Service"]
    (deployment,) = [one for one in found if one["kind"] == "Deployment"]
    template = deployment["spec"]["template"]
    assert service["spec"]["selector"].items() <= template["metadata"]["labels"].items()
    (container,) = template["spec"]["containers"]
    (port,) = service["spec"]["ports"]
    assert port["targetPort"] in {one["name"] for one in container["ports"]}
    text = (CRONJOB / "base" / "options.env").read_text()
    (file,) = re.findall(r"^#RECONCILE_WEBHOOK_SECRET=(.*)$", text, re.MULTILINE)
    mounted = {one["mountPath"]: one["name"] for one in container["volumeMounts"]}
    (volume,) = [
        one for one in template["spec"]["volumes"] if one["name"] == mounted[str(Path(file).parent)]
    ]
    assert volume["secret"]["secretName"] == "webhook"
    assert volume["secret"]["optional"] is True


SEATS = ("seat-1", "seat-2", "seat-3")


def minutes(seat: str) -> set[int]:
    """Those of an hour in which a seat's CronJob starts a run."""
    (job,) = [
        one for one in workloads(f"overlays/seats/{seat}") if one["metadata"]["name"] == "reconcile"
    ]
    minute, *rest = job["spec"]["schedule"].split()
    assert rest == ["*"] * 4
    first, last, step = map(int, re.split("[-/]", minute))
    return set(range(first, last + 1, step))


def test_three_seats_make_a_run_a_minute_and_two_of_them_two_in_three() -> None:
    assert [len(minutes(seat)) for seat in SEATS] == [20, 20, 20]
    assert set[int]().union(*map(minutes, SEATS)) == set(range(60))


def test_the_overlays_of_seats_differ_in_their_name_and_schedule_alone() -> None:
    names = [options(f"overlays/seats/{seat}")["RECONCILE_SEAT"] for seat in SEATS]
    assert len(set(names)) == len(SEATS)
    alike = []
    for seat in SEATS:
        text = repr(kustomized(CRONJOB / "overlays" / "seats" / seat))
        text = re.sub(r"'\d-59/3 ", "'0-59/3 ", re.sub(r"reconcile-options-\w+", "options", text))
        alike.append(re.sub(r"'RECONCILE_SEAT': '[-a-z]+'", "", text))
    assert alike[0] == alike[1] == alike[2]


def test_the_image_that_is_named_is_the_one_that_is_built() -> None:
    (container,) = template_of(workloads("base")[0])["spec"]["containers"]
    assert container["image"].endswith(f"/federation-reconciler:{__version__}")
    image = stages()["slim"]
    assert f"VERSION={__version__}" in [one.text for one in image.of("ARG")]


def test_no_manifest_holds_a_credential() -> None:
    assert not [one for name in FOLDERS for one in kustomized(CRONJOB / name) if _secret(one)]


def _secret(one: dict[str, Any]) -> bool:
    return one["kind"] == "Secret"


def test_the_readme_shows_every_folder() -> None:
    text = (CRONJOB / "README.md").read_text()
    assert all(Path(folder).name in text for folder in FOLDERS)
