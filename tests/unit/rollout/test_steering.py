"""What a person tells a rollout, and what the next run finds of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from reconciler.rollout.steering import (
    CannotSteer,
    Steered,
    abort,
    hold,
    promote,
    remaining,
    resume,
)
from reconciler.state.memory import (
    ClusterMemory,
    FleetMemory,
    RolloutMemory,
    RolloutPhase,
    decode_memory,
    encode_memory,
)
from tests.unit.rollout.worlds import CANDIDATE, NEWER, NOW, STABLE, WAVES, down, in_wave_two

HELD, FAILED = RolloutPhase.HELD, RolloutPhase.FAILED


def rollout(steered: Steered) -> RolloutMemory:
    assert steered.memory.rollout is not None
    assert decode_memory(encode_memory(steered.memory)) == steered.memory
    return steered.memory.rollout


def test_promoting_lets_the_next_run_leave_the_wave() -> None:
    done = promote(in_wave_two("aws-eu"), WAVES, NOW)
    assert rollout(done).promoted
    assert not rollout(done).at_once
    assert 'leaves wave 2 of 3 "eu"' in done.says
    assert 'begins wave 3 of 3 "rest" (aws-us, gcp-us)' in done.says


def test_promoting_the_last_wave_ends_the_rollout() -> None:
    done = promote(in_wave_two(wave=2), WAVES, NOW)
    assert rollout(done).promoted
    assert "3f2c1ab becomes the stable commit" in done.says


def test_promoting_is_about_the_wave_in_which_rules_that_changed_put_it() -> None:
    waves = (("lab", ("gcp-us",)), WAVES[0], WAVES[1], ("rest", ("aws-us",)))
    memory = in_wave_two("aws-eu")
    done = promote(memory, waves, NOW)
    assert 'leaves wave 1 of 4 "lab"' in done.says
    assert 'begins wave 2 of 4 "canary"' in done.says
    assert (rollout(done).wave, rollout(done).promoted) == (0, True)
    assert 'is held in wave 1 of 4 "lab"' in hold(memory, waves, "", NOW).says
    failed = in_wave_two(phase=FAILED)
    assert 'tries wave 1 of 4 "lab" again' in resume(failed, waves, NOW).says


def test_promoting_now_names_every_cluster_that_is_left() -> None:
    memory = in_wave_two("aws-eu")
    assert remaining(memory, WAVES) == ("aws-us", "gcp-eu", "gcp-us")
    done = promote(memory, WAVES, NOW, at_once=True)
    assert rollout(done).at_once
    assert "aws-us, gcp-eu, gcp-us at once" in done.says


@pytest.mark.parametrize("at_once", [False, True])
def test_promoting_says_who_gets_it_later(at_once: bool) -> None:
    memory = down(in_wave_two("aws-eu"), "gcp-us")
    shut = {"aws-us": "waits until Monday", "canary": "waits until Monday"}
    says = promote(memory, WAVES, NOW, at_once=at_once, closed=shut).says
    assert says.endswith(" Later there: aws-us waits until Monday; gcp-us is down.")


def test_a_window_that_closes_many_clusters_is_told_once() -> None:
    shut = dict.fromkeys(("gcp-eu", "aws-us", "gcp-us"), "waits until Monday")
    says = promote(in_wave_two("aws-eu"), WAVES, NOW, at_once=True, closed=shut).says
    assert says.endswith(" Later there: aws-us, gcp-eu, gcp-us: waits until Monday.")


@pytest.mark.parametrize("wave", [1, 2])
def test_promoting_says_who_of_the_wave_that_is_left_gets_it_later(wave: int) -> None:
    memory = in_wave_two(*WAVES[wave][1][:1], wave=wave)
    last = WAVES[wave][1][-1]
    says = promote(memory, WAVES, NOW, closed={last: "waits until Monday"}).says
    assert says.endswith(f" Later there: {last} waits until Monday.")


def test_what_has_failed_is_promoted_and_what_is_held_is_not() -> None:
    done = promote(in_wave_two(phase=FAILED, reason="web is not ready"), WAVES, NOW)
    assert (rollout(done).phase, rollout(done).reason) == (RolloutPhase.PROGRESSING, "")
    with pytest.raises(CannotSteer, match="is held: checkout is slow") as stopped:
        promote(in_wave_two(phase=HELD, reason="checkout is slow"), WAVES, NOW, at_once=True)
    assert "resume" in (stopped.value.hint or "")


def test_what_reaches_all_clusters_at_once_has_no_wave_to_leave() -> None:
    with pytest.raises(CannotSteer, match="there is no wave to leave"):
        promote(in_wave_two(at_once=True, phase=FAILED), WAVES, NOW)
    assert rollout(
        promote(in_wave_two(at_once=True, phase=FAILED), WAVES, NOW, at_once=True)
    ).promoted


def test_holding_takes_back_what_was_promoted_before_a_run_did_it() -> None:
    promoted = promote(in_wave_two("aws-eu"), WAVES, NOW, at_once=True).memory
    done = hold(promoted, WAVES, "checkout is slow", NOW)
    found = rollout(done)
    assert (found.phase, found.reason) == (HELD, "checkout is slow")
    assert not found.promoted
    assert not found.at_once
    assert "aws-eu, canary keep it" in done.says


def test_what_has_failed_is_not_held() -> None:
    with pytest.raises(CannotSteer, match="has failed"):
        hold(in_wave_two(phase=FAILED), WAVES, "", NOW)


@pytest.mark.parametrize("phase", [HELD, FAILED])
def test_resuming_gives_the_wave_a_new_deadline(phase: RolloutPhase) -> None:
    done = resume(in_wave_two("aws-eu", phase=phase, reason="so"), WAVES, NOW)
    found = rollout(done)
    assert (found.phase, found.reason, found.progress) == (RolloutPhase.PROGRESSING, "", NOW)
    assert found.commits["aws-eu"] == CANDIDATE
    assert 'wave 2 of 3 "eu"' in done.says


def test_what_a_lost_memory_holds_is_resumed_without_a_candidate() -> None:
    lost = FleetMemory(rollout=RolloutMemory(stable=STABLE, phase=HELD, reason="memory was lost"))
    assert rollout(resume(lost, WAVES, NOW)).phase is RolloutPhase.PROGRESSING


def test_what_goes_on_is_not_resumed() -> None:
    with pytest.raises(CannotSteer, match="is not held"):
        resume(in_wave_two(), WAVES, NOW)


def test_aborting_brings_every_cluster_back_and_refuses_the_commit() -> None:
    done = abort(in_wave_two("aws-eu"))
    assert rollout(done) == RolloutMemory(stable=STABLE, refused=CANDIDATE)
    assert "brings aws-eu, canary back to 9be01d2" in done.says


def test_aborting_says_who_goes_back_later() -> None:
    memory = down(in_wave_two("aws-eu"), "canary")
    says = abort(memory, closed={"aws-eu": "waits until Monday"}).says
    assert "Later there: aws-eu waits until Monday; canary is down." in says


def test_aborting_says_that_a_newer_commit_waits() -> None:
    done = abort(in_wave_two(waiting=(NEWER,)))
    assert rollout(done).waiting == (NEWER,)
    assert "77ce210, which waits, may begin in the next run" in done.says


def test_nothing_is_aborted_where_there_is_nothing_to_go_back_to() -> None:
    with pytest.raises(CannotSteer, match="no stable commit is known"):
        abort(in_wave_two(stable=""))


@pytest.mark.parametrize(
    ("verb", "steer"),
    [
        ("promote", lambda memory: promote(memory, WAVES, NOW)),
        ("hold", lambda memory: hold(memory, WAVES, "", NOW)),
        ("resume", lambda memory: resume(memory, WAVES, NOW)),
        ("abort", abort),
    ],
)
@pytest.mark.parametrize("memory", [FleetMemory(), FleetMemory(rollout=RolloutMemory(STABLE))])
def test_without_a_rollout_nothing_is_steered(
    verb: str, steer: Callable[[FleetMemory], Steered], memory: FleetMemory
) -> None:
    with pytest.raises(CannotSteer, match=f"there is no rollout to {verb}"):
        steer(memory)


def test_everything_else_that_is_remembered_stays() -> None:
    memory = FleetMemory({"aws-eu": ClusterMemory(known=True)}, rollout=in_wave_two().rollout)
    assert abort(memory).memory.clusters == memory.clusters
