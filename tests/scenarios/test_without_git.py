"""The Git server is gone: runs go on from the commit that was kept, and from nothing else."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from reconciler.api.errors import SourceError, SourceUnreachable
from reconciler.plan.model import Action, RunResult
from reconciler.report.json_report import plan_document
from reconciler.run.pipeline import apply_plan
from reconciler.saved_plans.file import check_fresh, read_plan, save_plan
from reconciler.state.memory import FleetMemory, decode_memory
from tests.controlplane.cluster import Cluster
from tests.controlplane.fixtures import Fleet
from tests.controlplane.plane import ControlPlane
from tests.scenarios.conftest import FEDERATION, World
from tests.scenarios.manifests import SETTINGS, SHOP
from tests.unit.git.repositories import commit, git
from tests.unit.git.servers import HttpServer, http_server

CONTINUE = FEDERATION + "  source: {whenUnreachable: Continue}\n"
STOP = FEDERATION + "  source: {whenUnreachable: Stop}\n"
NAMESPACE = "federation-system"
CRONJOB = Path(__file__).resolve().parents[2] / "cronjob"
MORE = SETTINGS.replace("settings", "more")


@dataclass
class RemoteWorld:
    """A fleet whose repository is served over http; what is remembered lies in the cluster aws."""

    world: World
    stack: ExitStack
    server: HttpServer
    now: float = field(default_factory=time.time)

    def __post_init__(self) -> None:
        self.world.options |= {
            "repo": self.server.url("repository"),
            "host_context": "aws",
            "clock": lambda: self.now,
            "plan_only": False,
        }

    def commit(self, **files: str) -> str:
        """Files of the repository by their names without ``.yaml``."""
        return commit(self.world.repository, {f"{name}.yaml": text for name, text in files.items()})

    def apply(self, **options: Any) -> RunResult:
        return self.world.apply(**options)

    def git_is_gone(self) -> None:
        """Nobody listens there any more."""
        self.stack.close()

    def memory(self) -> FleetMemory:
        text = self.world.kubectl(
            *("get", "configmap", "federation-shop-memory", "-n", NAMESPACE),
            *("-o", "jsonpath={.data.memory\\.json}"),
        )
        return decode_memory(text.encode())

    def secrets(self) -> dict[str, Any]:
        """What is kept, by name."""
        text = self.world.kubectl("get", "secrets", "-n", NAMESPACE, "-o", "json")
        return {
            one["metadata"]["name"]: one
            for one in json.loads(text)["items"]
            if one["metadata"]["name"].startswith("federation-commit-")
        }

    def replace_secret(self, secret: dict[str, Any]) -> None:
        """As somebody with the rights could: deleted, and made with another content."""
        name = secret["metadata"]["name"]
        self.world.kubectl("delete", "secret", name, "-n", NAMESPACE)
        kept = {key: secret["metadata"].get(key) for key in ("name", "namespace", "labels")}
        self.make({**secret, "metadata": kept})

    def make(self, body: dict[str, Any]) -> None:
        """As somebody else does."""
        path = self.world.repository.parent / "made.json"
        path.write_text(json.dumps(body))
        self.world.kubectl("apply", "--server-side", "-f", str(path))


@pytest.fixture
def remote(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RemoteWorld]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    git(world.repository, "init", "-q", "-b", "main")
    with ExitStack() as stack:
        server = stack.enter_context(http_server(tmp_path))
        found = RemoteWorld(world, stack, server)
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        found.make(body)
        yield found


def colour(world: World, cluster: str = "aws") -> str:
    return str(world.get("configmap", "settings", cluster)["data"]["colour"])


def drift(world: World, cluster: str = "aws") -> None:
    """Somebody deletes one object of ours, and changes another one."""
    world.kubectl("delete", "service", "web", "-n", "shop", cluster=cluster)
    patch = '{"data": {"colour": "pink"}}'
    world.kubectl("patch", "configmap", "settings", "-n", "shop", "-p", patch, cluster=cluster)


def test_without_git_drift_is_repaired_from_the_kept_commit(remote: RemoteWorld) -> None:
    world = remote.world
    head = remote.commit(federation=CONTINUE, shop=SHOP)
    assert remote.apply().ok
    remote.git_is_gone()
    drift(world)
    result = remote.apply()
    assert result.ok
    assert result.plan.commit == head
    assert colour(world) == "green"
    assert world.exists("service", "web")
    # Everybody is told, and since when.
    assert result.plan.without_git
    began = remote.now
    assert result.plan.without_git.since == began
    assert f"goes on from commit {head[:12]}" in result.plan.warnings[0]
    assert "no connection" in plan_document(result.plan)["withoutGit"]["reason"]
    remote.now += 600
    later = remote.apply().plan
    assert later.without_git
    assert later.without_git.since == remote.memory().without_git_since == began
    # A plan at a desk that can reach the host cluster shows the same.
    plan = world.plan(plan_only=True)
    assert plan.without_git
    assert plan.commit == head


def test_when_git_answers_again_nothing_is_said_of_it_any_more(
    remote: RemoteWorld,
) -> None:
    remote.commit(federation=CONTINUE, shop=SHOP)
    assert remote.apply().ok
    remote.server.faults += ["500"] * 4
    assert remote.apply().plan.without_git
    assert remote.memory().without_git_since
    remote.server.faults.clear()
    newer = remote.commit(more=MORE)
    result = remote.apply()
    assert result.plan.without_git is None
    assert remote.memory().without_git_since == 0
    assert remote.memory().begun == newer
    assert remote.world.exists("configmap", "more")


def test_a_commit_is_kept_once_and_the_one_before_it_goes(remote: RemoteWorld) -> None:
    first = remote.commit(federation=CONTINUE, shop=SHOP)
    assert remote.apply().ok
    kept = remote.secrets()
    assert len(kept) == 2
    assert any(first[:12] in name for name in kept)
    # A run with nothing new does not even look: what somebody did there stays.
    index = next(one for name, one in kept.items() if first[:12] not in name)
    remote.world.kubectl("delete", "secret", index["metadata"]["name"], "-n", NAMESPACE)
    assert remote.apply().ok
    assert len(remote.secrets()) == 1
    second = remote.commit(more=MORE)
    assert remote.apply().ok
    names = remote.secrets()
    assert any(second[:12] in name for name in names)


def test_a_commit_that_was_applied_in_part_is_not_taken_back(remote: RemoteWorld) -> None:
    """A cluster was down when the newest commit was applied, so it did not end well; it is gone on
    from all the same, and the older one that did is not."""
    world = remote.world
    remote.commit(federation=CONTINUE, shop=SHOP)
    assert remote.apply().ok
    clusters = (world.repository / "clusters.yaml").read_text()
    gone = clusters.replace(
        "{provider: gcp, region: europe-west1}",
        "{provider: gcp, region: europe-west1, access: {context: nowhere}}",
    )
    newer = remote.commit(more=MORE, clusters=gone)
    assert not remote.apply().ok
    assert world.exists("configmap", "more")
    assert remote.memory().commit != newer
    remote.git_is_gone()
    result = remote.apply()
    assert result.plan.commit == newer
    assert not [c for _, c in result.plan.writes() if c.action is Action.PRUNE]
    assert world.exists("configmap", "more")


def test_a_kept_commit_that_is_older_than_what_was_begun_is_not_gone_on_from(
    remote: RemoteWorld,
) -> None:
    world = remote.world
    first = remote.commit(federation=CONTINUE, shop=SHOP)
    assert remote.apply().ok
    # Somebody takes the name of the index: it is theirs, and stays.
    index = next(one for name, one in remote.secrets().items() if first[:12] not in name)
    stolen = {**index, "type": "Opaque"}
    remote.replace_secret(stolen)
    newer = remote.commit(more=MORE)
    result = remote.apply()
    assert result.ok, result.errors
    assert any("could not be kept" in text for text in result.warnings)
    assert remote.memory().begun == newer
    # The older one is put back as it was.
    remote.replace_secret(index)
    remote.git_is_gone()
    with pytest.raises(SourceError, match=f"then commit {newer[:12]} was begun"):
        remote.apply()
    assert world.exists("configmap", "more")
    (told,) = [w for w in world.plan(plan_only=True).warnings if "could not be applied" in w]
    assert newer[:12] in told


def test_mixed_or_damaged_pieces_are_refused_and_nothing_is_written(remote: RemoteWorld) -> None:
    world = remote.world
    head = remote.commit(federation=CONTINUE, shop=SHOP)
    assert remote.apply().ok
    piece = next(one for name, one in remote.secrets().items() if head[:12] in name)
    content = bytearray(base64.b64decode(piece["data"]["piece"]))
    content[len(content) // 2] ^= 1
    piece["data"]["piece"] = base64.b64encode(bytes(content)).decode()
    remote.replace_secret(piece)
    remote.git_is_gone()
    drift(world)
    with pytest.raises(SourceUnreachable, match="piece 1 is not what was written"):
        remote.apply()
    assert colour(world) == "pink"
    world.kubectl("delete", "secret", piece["metadata"]["name"], "-n", NAMESPACE)
    with pytest.raises(SourceUnreachable, match="of it is missing"):
        remote.apply()


@pytest.mark.parametrize("federation", [STOP, FEDERATION], ids=["stop", "default"])
def test_with_stop_and_by_default_nothing_is_kept_and_a_run_fails(
    remote: RemoteWorld, federation: str
) -> None:
    remote.commit(federation=federation, shop=SHOP)
    assert remote.apply().ok
    assert remote.secrets() == {}
    assert remote.memory().begun == ""
    remote.git_is_gone()
    drift(remote.world)
    with pytest.raises(SourceUnreachable, match="no connection"):
        remote.apply()
    assert colour(remote.world) == "pink"


def test_what_was_kept_goes_when_the_rule_is_taken_away(remote: RemoteWorld) -> None:
    remote.commit(federation=CONTINUE, shop=SHOP)
    assert remote.apply().ok
    assert len(remote.secrets()) == 2
    remote.commit(federation=STOP)
    assert remote.apply().ok
    # The index stays, and names nothing.
    (index,) = remote.secrets().values()
    assert json.loads(base64.b64decode(index["data"]["index.json"]))["pieces"] == []
    assert remote.memory().kept == {}


def test_too_large_is_told_and_not_kept(remote: RemoteWorld) -> None:
    head = remote.commit(federation=CONTINUE, shop=SHOP)
    (remote.world.repository / "noise.bin").write_bytes(os.urandom(9 * 1024 * 1024))
    head = remote.commit()
    for _ in range(2):
        result = remote.apply()
        assert result.ok
        assert any(f"commit {head[:12]} is not kept" in text for text in result.warnings)
    assert not any(head[:12] in name for name in remote.secrets())
    remote.git_is_gone()
    with pytest.raises(SourceUnreachable):
        remote.apply()


def test_several_pieces_make_one_commit(remote: RemoteWorld) -> None:
    (remote.world.repository / "noise.bin").write_bytes(os.urandom(2 * 1024 * 1024))
    head = remote.commit(federation=CONTINUE, shop=SHOP)
    assert remote.apply().ok
    assert sum(head[:12] in name for name in remote.secrets()) == 3
    remote.git_is_gone()
    drift(remote.world)
    assert remote.apply().ok
    assert colour(remote.world) == "green"


def test_an_answer_that_refuses_is_no_reason_to_go_on(remote: RemoteWorld) -> None:
    """The branch is gone, and the server says so."""
    remote.commit(federation=CONTINUE, shop=SHOP)
    assert remote.apply(ref="main").ok
    git(remote.world.repository, "branch", "-m", "main", "trunk")
    drift(remote.world)
    with pytest.raises(SourceError, match="has no ref 'main'"):
        remote.apply(ref="main")
    assert colour(remote.world) == "pink"


def test_a_step_back_is_no_reason_to_go_on(remote: RemoteWorld) -> None:
    remote.commit(federation=CONTINUE, shop=SHOP)
    remote.commit(more=MORE)
    assert remote.apply().ok
    git(remote.world.repository, "reset", "-q", "--hard", "HEAD~1")
    with pytest.raises(SourceError, match="does not come after"):
        remote.apply()


def test_the_kept_commit_is_of_the_branch_that_is_asked_for(remote: RemoteWorld) -> None:
    head = remote.commit(federation=CONTINUE, shop=SHOP)
    assert remote.apply(ref="main").ok
    remote.git_is_gone()
    with pytest.raises(SourceUnreachable, match="is of --ref main, and --ref release is asked"):
        remote.apply(ref="release")
    assert remote.apply(ref=head).plan.without_git


def test_one_mirror_dead_is_a_warning_and_both_dead_is_silence(
    remote: RemoteWorld, tmp_path: Path
) -> None:
    copies = tmp_path / "copies"
    copies.mkdir()
    remote.commit(federation=CONTINUE, shop=SHOP)
    with http_server(copies) as other:
        copy = copies / "repository"
        subprocess.run(["git", "clone", "-q", remote.world.repository, copy], check=True)
        mirrors = {"mirrors": (other.url("repository"),)}
        assert remote.apply(**mirrors).ok
        remote.git_is_gone()
        # What the mirror alone has by now is applied.
        newer = commit(copy, {"more.yaml": MORE})
        result = remote.apply(**mirrors)
        assert result.ok
        assert result.plan.commit == newer
        assert result.plan.without_git is None
        assert any("does not answer" in text for text in result.plan.warnings)
        assert remote.world.exists("configmap", "more")
    result = remote.apply(**mirrors)
    assert result.plan.without_git
    assert result.plan.commit == newer
    # Without the mirror it is the same repository: nothing changes its name.
    assert remote.apply().plan.commit == newer


def test_a_saved_plan_of_the_kept_commit_says_so_and_is_applied_with_git_or_without(
    remote: RemoteWorld, tmp_path: Path
) -> None:
    remote.commit(federation=CONTINUE, shop=SHOP)
    assert remote.apply().ok
    drift(remote.world)
    file = tmp_path / "plan.json"
    remote.server.faults += ["500"] * 50
    prepared = remote.world.prepare(plan_only=True)
    save_plan(file, prepared, prepared.repository.source.options)
    assert json.loads(file.read_text())["plan"]["withoutGit"]["reason"]
    saved = read_plan(file)
    at = {"sample_at": saved.seal.made_at}
    for faults in (["500"] * 50, []):
        remote.server.faults[:] = faults
        again = remote.world.prepare(**at)
        assert bool(again.plan.without_git) == bool(faults)
        check_fresh(saved, again, again.repository.source.options)
    assert apply_plan(again, unattended=False).ok
    assert colour(remote.world) == "green"


# -- on real servers only --------------------------------------------------------------------------


@pytest.mark.integration
def test_a_run_with_nothing_new_sends_no_request_for_what_is_kept(
    repository: Path,
    fleet: Fleet,
    control_plane: ControlPlane,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    aws, gcp = fleet(2)
    world = World(repository, control_plane.kubeconfig({"aws": aws, "gcp": gcp}))
    git(repository, "init", "-q", "-b", "main")
    with ExitStack() as stack:
        remote = RemoteWorld(world, stack, stack.enter_context(http_server(tmp_path)))
        remote.make({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        remote.commit(federation=CONTINUE, shop=SHOP)
        with aws.recorded() as first:
            assert remote.apply().ok
        with aws.recorded() as second:
            assert remote.apply().ok
        remote.git_is_gone()
        assert remote.apply().ok
        with aws.recorded() as silent:
            assert remote.apply().ok
    assert [r for r in first if "federation-commit" in r.path]
    assert not [r for r in second if "federation-commit" in r.path]
    assert not [r for r in second if r.writes]
    # Without Git the copy is read: the index and one piece.
    assert len([r for r in silent if "federation-commit" in r.path]) == 2
    assert not [r for r in silent if r.writes]


@pytest.mark.integration
def test_a_job_without_the_rights_says_so_and_goes_on(
    repository: Path,
    fleet: Fleet,
    control_plane: ControlPlane,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The account has the rights of ``cronjob/base`` first, and those of ``kept-commit`` later."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    aws, gcp, host = fleet(3)
    admin = control_plane.kubeconfig({"aws": aws, "gcp": gcp, "host": host})
    world = World(repository, admin)
    merged = yaml.safe_load(admin.read_text())
    limited = yaml.safe_load(host.kubeconfig("reconciler").read_text())
    for part in ("clusters", "users", "contexts"):
        for one in limited[part]:
            merged[part].append({**one, "name": "limited"})
    merged["contexts"][-1]["context"] = {"cluster": "limited", "user": "limited"}
    kubeconfig = tmp_path / "limited.kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(merged))
    world.kubeconfig = kubeconfig
    git(repository, "init", "-q", "-b", "main")
    with ExitStack() as stack:
        remote = RemoteWorld(world, stack, stack.enter_context(http_server(tmp_path)))
        world.options["host_context"] = "limited"
        host.call("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        grant(host, "base/access.yaml", "reconcile")
        head = remote.commit(federation=CONTINUE, shop=SHOP)
        result = remote.apply()
        assert result.ok
        (told,) = [text for text in result.warnings if "could not be kept" in text]
        assert "cronjob/kept-commit has the rights that this takes" in told
        grant(host, "kept-commit/rights.yaml", "reconcile-kept-commit")
        with host.recorded() as requests:
            assert not remote.apply().warnings
            remote.commit(more=MORE)
            assert not remote.apply().warnings
        assert not [r for r in requests if r.code in (401, 403)]
        remote.git_is_gone()
        assert remote.apply().plan.without_git
        assert head


def grant(host: Cluster, file: str, role: str) -> None:
    """The Role of that name, to the user ``reconciler``."""
    documents = yaml.safe_load_all((CRONJOB / file).read_text())
    roles = {one["metadata"]["name"]: one for one in documents if one["kind"] == "Role"}
    path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}"
    host.call("POST", f"{path}/roles", roles[role])
    binding = {
        "metadata": {"name": role},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role},
        "subjects": [
            {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "reconciler"}
        ],
    }
    host.call("POST", f"{path}/rolebindings", binding)


IN_WAVES = CONTINUE + "  rollout: {waves: [{name: first, clusters: [aws], soak: 5m}]}\n"


def test_each_cluster_of_a_rollout_stays_on_its_own_commit_without_git(
    remote: RemoteWorld,
) -> None:
    world = remote.world
    remote.commit(federation=IN_WAVES, shop=SHOP)
    assert remote.apply().ok
    remote.commit(shop=SHOP.replace("colour: green", "colour: violet"))
    assert remote.apply().ok
    assert (colour(world, "aws"), colour(world, "gcp")) == ("violet", "green")
    remote.git_is_gone()
    drift(world, "aws")
    drift(world, "gcp")
    assert remote.apply().ok
    assert (colour(world, "aws"), colour(world, "gcp")) == ("violet", "green")
    remote.now += 10
    assert remote.apply().ok
    remote.now += 301
    assert remote.apply().ok
    assert colour(world, "gcp") == "violet"
