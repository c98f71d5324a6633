"""What holds for any repository and any members: plans are true, complete, and always the same.

Each seed is one fleet with a past: RECONCILER_RANDOM_FLEETS=500 tries more of them.
"""

from __future__ import annotations

import json
import os
import random
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kubesim.cluster import LoggedRequest, SimulatedCluster
from kubesim.fleet import Sandbox
from kubesim.server import ClusterSettings
from reconciler.api.errors import Position
from reconciler.api.moves import KeptUntilReady
from reconciler.api.options import RunOptions
from reconciler.cluster.connect import Connector
from reconciler.federation.model import Cluster as MemberCluster
from reconciler.plan.fields import changed_fields
from reconciler.plan.ignored import without_ignored
from reconciler.plan.model import Action, Change, Plan, RunResult
from reconciler.report.json_report import plan_document, report_as_json
from reconciler.run.pipeline import apply_plan, make_plan
from tests.chaos import chance
from tests.chaos.chance import NAMES, Draw, Object
from tests.chaos.invariants import SYSTEM
from tests.chaos.world import is_write
from tests.controlplane.audit import AuditedRequest
from tests.controlplane.cluster import Cluster
from tests.controlplane.plane import ControlPlane
from tests.scenarios.conftest import CLUSTERS, World
from tests.scenarios.conftest import FEDERATION as GROUND
from tests.scenarios.test_additions_at_random import (
    OBJECTS,
    SHOP,
    bodies,
    looked_at,
    part,
    write,
)
from tests.scenarios.test_additions_at_random import told as shown
from tests.scenarios.test_left_to_others_at_random import PATHS, SAID

SEEDS = range(int(os.environ.get("RECONCILER_RANDOM_FLEETS", "20")))
HANDS = int(os.environ.get("RECONCILER_FUZZ_ROUNDS", "6"))


@dataclass(frozen=True)
class Fleet:
    """Two clusters, and a repository of random files; ``sandbox`` where they are simulated."""

    folder: Path
    kubeconfig: Path
    sandbox: Sandbox | None = None

    def cluster(self, name: str) -> SimulatedCluster:
        assert self.sandbox is not None
        return self.sandbox.cluster(name)

    def write(self, documents: Sequence[Object], shares: Any = lambda number: number % 3) -> None:
        for old in self.folder.glob("*.yaml"):
            old.unlink()
        for name, text in chance.files(documents, shares).items():
            (self.folder / name).write_text(text, encoding="utf-8")

    def options(self, *, force: bool = False) -> RunOptions:
        return RunOptions(
            repo=str(self.folder),
            kubeconfig=str(self.kubeconfig),
            state=str(self.folder.parent / "state.json"),
            lock="none",
            max_deletions=1000,
            force_conflicts=force,
        )

    def plan(self, *, force: bool = False) -> Plan:
        return make_plan(self.options(force=force)).plan

    def apply(self, *, force: bool = False) -> RunResult:
        return apply_plan(make_plan(self.options(force=force)))

    def requests(self, name: str) -> list[LoggedRequest]:
        return list(self.cluster(name).requests)


@contextmanager
def fleet() -> Iterator[Fleet]:
    with (
        tempfile.TemporaryDirectory() as folder,
        Sandbox(NAMES, settings=ClusterSettings(nodes=1, ready_after=0.0)) as sandbox,
    ):
        (Path(folder) / "repository").mkdir()
        yield Fleet(Path(folder) / "repository", sandbox.kubeconfig, sandbox)


@contextmanager
def lived_in(draw: Draw) -> Iterator[tuple[Fleet, list[Object]]]:
    """A fleet to which one repository was applied, in which others had their hands, before the next
    repository is to be applied; and that one's documents."""
    with fleet() as found:
        found.write(chance.repository(draw))
        if draw.maybe():
            for name in NAMES:
                chance.meddle(draw, found.cluster(name))
        found.apply()
        for name in NAMES:
            chance.meddle(draw, found.cluster(name))
        documents = chance.repository(draw)
        found.write(documents)
        yield found, documents


def planned(plan: Plan, result: RunResult, fleet: Fleet, name: str) -> set[tuple[str, str]]:
    """(verb, path) of what the plan lists for a cluster, but for what was skipped in the end."""
    skipped = {(o.key, o.action) for o in result.outcomes if o.status == "skipped"}
    cluster = fleet.cluster(name)
    found = set()
    for change in next(c for c in plan.clusters if c.name == name).changes:
        key = change.key
        if change.action is Action.FAILED or (key, change.action) in skipped:
            continue
        path = cluster.path(str(key.group_kind), key.name, key.namespace)
        if change.action in (Action.PRUNE, Action.RECREATE):
            found.add(("DELETE", path))
        if change.action is not Action.PRUNE:
            found.add(("PATCH", path))
    return found


def sent(requests: Sequence[LoggedRequest]) -> set[tuple[str, str]]:
    """(verb, path) of every write that is not the tool's own housekeeping."""
    writes = {(r.method, r.path) for r in requests if is_write(r)}
    return {(verb, path) for verb, path in writes if f"/namespaces/{SYSTEM}" not in path} - {
        # The Namespace for the inventory.
        ("POST", "/api/v1/namespaces")
    }


@pytest.mark.parametrize("seed", SEEDS)
def test_a_run_does_what_its_plan_lists_and_leaves_nothing_to_do(seed: int) -> None:
    draw = Draw(seed)
    with lived_in(draw) as (fleet, _):
        force = draw.maybe()
        before = {name: len(fleet.requests(name)) for name in NAMES}
        prepared = make_plan(fleet.options(force=force))
        result = apply_plan(prepared)
        for name in NAMES:
            requests = fleet.requests(name)[before[name] :]
            assert sent(requests) == planned(prepared.plan, result, fleet, name)
        refused = {
            (cluster.name, change.key)
            for cluster in prepared.plan.clusters
            for change in cluster.changes
            if change.action is Action.FAILED
        }
        refused |= {(o.cluster, o.key) for o in result.outcomes if o.status != "done"}
        # What moves leaves a cluster in a later run, when it is ready elsewhere.
        waits = {
            (move.cluster, key)
            for move in prepared.plan.moves
            if isinstance(move, KeptUntilReady)
            for key in move.objects
        }
        left = {
            (cluster.name, change.key)
            for cluster in fleet.plan(force=force).clusters
            for change in cluster.changes
            # A Namespace takes its time to go.
            if change.action is not Action.TERMINATING and (cluster.name, change.key) not in waits
        }
        assert left <= refused
        assert result.ok is not bool(refused)


@pytest.mark.parametrize("seed", range(2))
def test_a_real_server_is_sent_what_the_plan_lists_to_the_letter(
    seed: int, tmp_path: Path, two_audited: Mapping[str, Cluster], control_plane: ControlPlane
) -> None:
    draw = Draw(seed)
    (tmp_path / "repository").mkdir()
    fleet = Fleet(tmp_path / "repository", control_plane.kubeconfig(two_audited))
    for step in range(2):
        fleet.write(chance.repository(draw))
        prepared = make_plan(fleet.options())
        with ExitStack() as stack:
            recorded = {n: stack.enter_context(c.recorded()) for n, c in two_audited.items()}
            result = apply_plan(prepared)
        assert result.ok, (step, result.outcomes, result.errors)
        for cluster in prepared.plan.clusters:
            listed = sorted(told(change) for change in cluster.changes)
            assert listed, "nothing to do is nothing to compare"
            assert sorted(seen(r) for r in recorded[cluster.name] if is_of_a_plan(r)) == listed
    left = [c for cluster in fleet.plan().clusters for c in cluster.changes]
    assert {change.action for change in left} <= {Action.TERMINATING}


@pytest.mark.parametrize("seed", range(2))
def test_of_what_other_hands_did_a_real_server_is_sent_what_the_plan_shows(
    seed: int, tmp_path: Path, two_audited: Mapping[str, Cluster], control_plane: ControlPlane
) -> None:
    """People and controllers add to our objects and change them; rules remove, report, ignore."""
    chance = random.Random(seed)
    (tmp_path / "repository").mkdir()
    world = World(tmp_path / "repository", control_plane.kubeconfig(two_audited))
    world.write("clusters.yaml", CLUSTERS)
    world.write("federation.yaml", GROUND)
    world.write("shop.yaml", SHOP)
    assert world.apply().ok
    connector = Connector.from_file(str(world.kubeconfig), SYSTEM)
    member = connector.member(MemberCluster("aws", Position("", 1, 1)))
    written = 0
    for _ in range(HANDS):
        rules = [
            {"select": [{"kind": kind}], "paths": [chance.choice(paths)]}
            for kind, paths in PATHS.items()
            if chance.random() < 0.5
        ]
        additions = chance.choice(("Remove", "Remove", "Report", "Ignore"))
        spec = f"  ignore: {json.dumps(rules)}\n  drift: {{additions: {additions}}}\n"
        world.write("federation.yaml", GROUND + spec)
        text = SHOP
        for old, new in SAID:
            text = text.replace(old, new, 1) if chance.random() < 0.3 else text
        world.write("shop.yaml", text)
        for key in OBJECTS:
            for _ in range(chance.randrange(4)):
                write(member, key, chance)
        before = {key: looked_at(member, key) for key in OBJECTS}
        prepared = world.prepare(force_conflicts=True)
        with two_audited["aws"].recorded() as recorded:
            result = apply_plan(prepared)
        assert result.ok, result.outcomes
        changes = {change.key: change for change in part(prepared.plan).changes}
        for request in filter(is_of_a_plan, recorded):
            assert any(is_planned(request, change) for change in changes.values()), request
            written += 1
        for key in OBJECTS:
            planned = changes[key].fields if key in changes else ()
            assert shown(changed_fields(before[key], looked_at(member, key))) == shown(planned)
        again = world.prepare(force_conflicts=True)
        assert part(again.plan).changes == ()
        for one in bodies(again):
            if one.key in OBJECTS:
                # What is unchanged is so as Git says: its apply changes nothing.
                live = looked_at(member, one.key)
                sent = without_ignored(one.body, live, one.rules.ignore)
                answer = member.apply(OBJECTS[one.key], one.key, sent, force=True, dry_run=True)
                assert changed_fields(live, answer) == ()
    assert written


def is_planned(request: AuditedRequest, change: Change) -> bool:
    """Whether it sends what the change says to that object, or tells there whose fields are."""
    plural = f"{change.key.kind.lower()}s"
    if (request.resource, request.name) != (plural, change.key.name):
        return False
    body: Any = request.body
    if isinstance(body, list):
        marks = {"/metadata/resourceVersion", "/metadata/managedFields"}
        return bool(change.claim or change.take_over or change.ignored) and marks == {
            operation["path"] for operation in body
        }
    assert change.request is not None
    held = {name: body["metadata"][name] for name in ("uid", "resourceVersion")}
    asked = {**change.request, "metadata": {**change.request["metadata"], **held}}
    return bool(asked == body)


@pytest.fixture
def two_audited(audited_cluster: Callable[..., Cluster]) -> Mapping[str, Cluster]:
    """Whose audit logs have the bodies of requests."""
    return {name: audited_cluster("Request") for name in NAMES}


def told(change: Change) -> tuple[str, ...]:
    verb = "delete" if change.action is Action.PRUNE else "patch"
    request = change.request
    if request is not None and change.action in (Action.UPDATE, Action.ADOPT):
        # Only the very object that was looked at is written.
        looked_at = {"uid": change.uid, "resourceVersion": change.resource_version}
        request = {**request, "metadata": {**request["metadata"], **looked_at}}
    elif request is not None:
        # Where there is an object by then, this is not its version.
        request = {**request, "metadata": {**request["metadata"], "resourceVersion": "1"}}
    body = "" if change.action is Action.PRUNE else json.dumps(request, sort_keys=True)
    return (verb, *change.key[:1], *change.key[2:], body)


def seen(request: AuditedRequest) -> tuple[str, ...]:
    body = json.dumps(request.body, sort_keys=True) if request.verb == "patch" else ""
    # A Namespace is within itself to an API server.
    namespace = "" if request.resource == "namespaces" else request.namespace
    return (request.verb, request.group, namespace, request.name, body)


def is_of_a_plan(request: AuditedRequest) -> bool:
    """The inventory, and the Namespace for it, are the tool's own."""
    housekeeping = SYSTEM in (request.namespace, request.name) or request.verb == "create"
    return request.writes and not housekeeping


@pytest.mark.parametrize("seed", SEEDS)
def test_the_same_world_gives_the_same_plan_in_whatever_files_it_is_written(
    seed: int,
) -> None:
    draw = Draw(seed)
    with lived_in(draw) as (fleet, documents):
        first = plan_document(fleet.plan())
        assert report_as_json(plan_document(fleet.plan())) == report_as_json(first)
        shuffled = draw.shuffled(documents)
        fleet.write(shuffled, lambda number: number * 7 % 4)
        assert without_places(plan_document(fleet.plan())) == without_places(first)


def without_places(document: dict[str, Any]) -> dict[str, Any]:
    """Where in Git something stands is what does differ, and with it the order of warnings."""
    text = re.sub(r"\b\d\.yaml:\d+(:\d+)?", "somewhere", report_as_json(document))
    found: dict[str, Any] = json.loads(text)
    notices = sorted(found["notices"], key=json.dumps)
    return found | {"warnings": sorted(found["warnings"]), "notices": notices}
