"""Clusters on different commits: nothing is in neither of two commits, and no sum falls."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given

from reconciler.api.errors import Position
from reconciler.api.manifest import Manifest
from reconciler.api.objects import ObjectKey
from reconciler.federation.model import (
    Cluster,
    DesiredState,
    Federation,
    PlacementTarget,
    ReplicaRule,
    ReplicaShare,
    Workload,
    WorkloadRules,
)
from reconciler.render.render import render
from reconciler.scheduler.commits import removed_in, version_in, with_commits
from reconciler.scheduler.model import Assignment, FleetView
from reconciler.scheduler.placement_warnings import why_unplaced
from reconciler.scheduler.schedule import schedule
from tests.strategies import MIXED_COMMITS, MixedCommits

HERE = Position("web.yaml", 1, 1)
CLUSTERS = tuple(Cluster(name, HERE) for name in "abcd")
WEB = ObjectKey("apps", "Deployment", "shop", "web")
SETTINGS = ObjectKey("", "ConfigMap", "shop", "settings")
SPACE = ObjectKey("", "Namespace", "", "shop")


def _workload(key: ObjectKey, clusters: str, image: str, **more: object) -> Workload:
    metadata = {"name": key.name, **({"namespace": key.namespace} if key.namespace else {})}
    template = {
        "apiVersion": "apps/v1" if key.group else "v1",
        "kind": key.kind,
        "metadata": metadata,
        "spec": {"image": image},
    }
    target = PlacementTarget(clusters=tuple(clusters))
    rules = WorkloadRules(target, **more)  # type: ignore[arg-type]
    return Workload(key, Manifest(template), HERE, rules)


def _state(*workloads: Workload) -> DesiredState:
    return DesiredState(Federation("shop", HERE), CLUSTERS, tuple(workloads))


def _divided(weights: Mapping[str, int], total: int, image: str) -> Workload:
    rule = ReplicaRule("Divided", total, shares={n: ReplicaShare(w) for n, w in weights.items()})
    return _workload(WEB, "".join(weights), image, replicas=rule)


def _mixed(commits: Mapping[str, str], **states: DesiredState) -> DesiredState:
    of_cluster = {name: commits.get(name, "old") for name in "abcd"}
    newest = list(states.values())[-1]
    return with_commits(newest, "old", of_cluster, states)


def _of(state: DesiredState, key: ObjectKey) -> Assignment:
    return next(one for one in schedule(state) if one.workload == key)


def _images(state: DesiredState, key: ObjectKey) -> dict[str, str]:
    objects = render(state, schedule(state)).objects
    return {
        name: one.body["spec"]["image"]
        for name, found in objects.items()
        for one in found
        if one.key == key
    }


def test_each_cluster_gets_what_its_own_commit_says() -> None:
    state = _mixed(
        {"a": "new"},
        old=_state(_workload(WEB, "ab", "1"), _workload(SETTINGS, "ab", "1")),
        new=_state(_workload(WEB, "abc", "2")),
    )
    assert _images(state, WEB) == {"a": "2", "b": "1"}
    assert _images(state, SETTINGS) == {"b": "1"}


def test_what_a_commit_removes_is_gone_from_git_for_its_clusters_alone() -> None:
    state = _mixed({"a": "new"}, old=_state(_workload(WEB, "ab", "1")), new=_state())
    assert WEB in removed_in(state)["a"]
    assert WEB not in removed_in(state)["b"]
    reason = why_unplaced(state, schedule(state)).reason(WEB, "a")
    assert str(reason.cause) == str(why_unplaced(_state(), ()).reason(WEB, "a").cause)


@pytest.mark.parametrize("first", ["a", "b"])
def test_a_workload_that_moves_is_never_in_neither_cluster(first: str) -> None:
    old, new = _state(_workload(WEB, "a", "1")), _state(_workload(WEB, "b", "2"))
    state = _mixed({first: "new"}, old=old, new=new)
    expected = {"a": {"a": "1"}, "b": {"a": "1", "b": "2"}}
    assert _images(state, WEB) == expected[first]
    assert _images(_mixed({"a": "new", "b": "new"}, old=old, new=new), WEB) == {"b": "2"}


def test_what_a_workload_needs_stays_with_it() -> None:
    old = _state(_workload(WEB, "a", "1"), _workload(SETTINGS, "a", "1"), _workload(SPACE, "a", ""))
    new = _state(_workload(WEB, "b", "2"), _workload(SPACE, "b", ""))
    state = _mixed({"a": "new"}, old=old, new=new)
    assert _images(state, SETTINGS) == {"a": "1"}
    assert set(_of(state, SPACE).replicas) == {"a"}
    assert _of(state, WEB).as_stable == {"a"}


def test_shares_that_move_to_a_later_wave_wait_for_it() -> None:
    old, new = _divided({"a": 1, "b": 1}, 6, "1"), _divided({"a": 1, "b": 5}, 6, "2")
    first = _mixed({"a": "new"}, old=_state(old), new=_state(new))
    assert _of(first, WEB).replicas == {"a": 3, "b": 3}
    assert _images(first, WEB) == {"a": "2", "b": "1"}
    second = _mixed({"a": "new", "b": "new"}, old=_state(old), new=_state(new))
    assert _of(second, WEB).replicas == {"a": 1, "b": 5}


def test_fewer_replicas_in_all_are_fewer_wave_by_wave() -> None:
    old, new = _divided({"a": 1, "b": 1}, 8, "1"), _divided({"a": 1, "b": 1}, 2, "2")
    assert _of(_mixed({"a": "new"}, old=_state(old), new=_state(new)), WEB).replicas == {
        "a": 1,
        "b": 4,
    }


def test_a_workload_that_stays_as_the_stable_commit_has_it_is_that_version() -> None:
    old, new = _divided({"a": 1}, 4, "1"), _divided({"b": 1}, 4, "2")
    state = _mixed({"a": "new"}, old=_state(old), new=_state(new))
    one = _of(state, WEB)
    assert one.replicas == {"a": 4}
    assert version_in(state, new, one, "a") is old


@given(MIXED_COMMITS)
def test_nothing_falls_between_commits(world: MixedCommits) -> None:
    states = {
        commit: _state(
            *(
                [_divided(weights, world.totals[commit], commit)]
                if (weights := world.weights[commit])
                else []
            ),
            *(
                [_workload(SETTINGS, "".join(placed), commit)]
                if (placed := world.placed[commit])
                else []
            ),
        )
        for commit in world.commits
    }
    of_cluster = dict(zip("abcd", world.of_cluster, strict=True))
    state = with_commits(states[world.commits[-1]], world.commits[0], of_cluster, states)
    view = FleetView(unavailable=dict.fromkeys(world.down, "down"))
    found = {one.workload: one for one in schedule(state, view)}
    in_use = {world.commits[0], *of_cluster.values()}
    totals = {c: _placed_alone(states[c], view) for c in in_use}
    if min(totals.values()) > 0:
        assert sum(n or 0 for n in found[WEB].replicas.values()) >= min(totals.values())
    if all(world.placed[commit] for commit in in_use):
        assert found[SETTINGS].replicas
    for one in found.values():
        for name in one.replicas:
            # Nobody has what no commit of his own, nor the stable one, places there.
            own = {SETTINGS: world.placed, WEB: world.weights}[one.workload]
            assert name in own[of_cluster[name]] or name in own[world.commits[0]]  # type: ignore[index]


def _placed_alone(state: DesiredState, view: FleetView) -> int:
    placed = [one for one in schedule(state, view) if one.workload == WEB]
    return sum(n or 0 for one in placed for n in one.replicas.values())
