"""What holds for every verb: the lock, refusals, lost members."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kubesim.cluster import SimulatedCluster
from reconciler.api.errors import LeaseLost
from reconciler.cluster.client import Member
from reconciler.plan.model import Action, Change
from tests.unit.apply.changes import (
    CONFIG_MAPS,
    KEY,
    carry_out,
    creation,
    failure,
    now,
    recorded,
    removal,
    settings,
    update,
    writes,
)


def changes_of_every_action(member: Member) -> dict[Action, Change]:
    live = member.apply(CONFIG_MAPS, KEY, settings(colour="red"))
    changed = update(member, live, settings(colour="blue"))
    return {
        Action.UPDATE: changed,
        Action.ADOPT: replace(changed, action=Action.ADOPT),
        Action.RECREATE: replace(changed, action=Action.RECREATE),
        Action.PRUNE: removal(live),
        Action.ORPHAN: removal(live, Action.ORPHAN),
    }


ACTIONS = [Action.UPDATE, Action.ADOPT, Action.RECREATE, Action.PRUNE, Action.ORPHAN]


@pytest.mark.parametrize("action", ACTIONS)
def test_who_has_lost_the_lock_writes_nothing(
    member: Member, cluster: SimulatedCluster, action: Action
) -> None:
    change = changes_of_every_action(member)[action]
    before = now(cluster)

    def fence() -> None:
        raise LeaseLost("another run holds the lock")

    member.fence = fence
    with pytest.raises(LeaseLost), recorded(cluster) as requests:
        carry_out(member, change)
    assert writes(requests) == []
    assert now(cluster) == before


@pytest.mark.parametrize("action", ACTIONS)
def test_a_refusal_is_a_failed_outcome_that_names_member_object_and_reason(
    member: Member, cluster: SimulatedCluster, action: Action
) -> None:
    change = changes_of_every_action(member)[action]
    before = now(cluster)
    cluster.faults.deny("not on a Friday")
    result = carry_out(member, change)
    assert "not on a Friday" in failure(result)
    assert (result.outcome.cluster, result.outcome.action) == (member.name, action)
    assert result.outcome.key == KEY
    assert not result.lost
    assert not result.already_exists
    assert now(cluster) == before


@pytest.mark.parametrize("action", ACTIONS)
def test_a_credential_that_is_refused_means_that_the_member_is_lost(
    member: Member, cluster: SimulatedCluster, action: Action
) -> None:
    change = changes_of_every_action(member)[action]
    cluster.faults.unauthorized()
    result = carry_out(member, change)
    assert "the credential was refused" in failure(result)
    assert result.lost == result.outcome.message


def test_an_answer_that_makes_no_sense_is_the_members_trouble(
    member: Member, cluster: SimulatedCluster
) -> None:
    cluster.faults.answer({"kind": "Nonsense"}, method="PATCH")
    result = carry_out(member, creation(colour="red"))
    assert "the server answered" in failure(result)
    assert result.lost


def test_an_outcome_tells_how_long_it_took(member: Member, cluster: SimulatedCluster) -> None:
    cluster.faults.latency(0.2, method="PATCH")
    result = carry_out(member, creation(colour="red"))
    assert 0.2 <= result.outcome.seconds < 30
