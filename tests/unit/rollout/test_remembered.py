"""What `reconcile rollout` shows of what the last run left."""

from __future__ import annotations

from msgspec.structs import replace

from reconciler.federation.model import RolloutRules, Wave
from reconciler.report.rollout import headline
from reconciler.report.text import render_rollout
from reconciler.rollout.model import ClusterStep
from reconciler.rollout.remembered import remembered_view
from reconciler.state.memory import FleetMemory, RolloutMemory, RolloutPhase
from tests.unit.rollout.worlds import (
    CANDIDATE,
    CLUSTERS,
    NEWER,
    NOW,
    RULES,
    STABLE,
    WAVES,
    down,
    in_wave_two,
    view,
)


def test_clusters_that_no_wave_takes_are_in_the_last_one() -> None:
    first, *_ = RULES.waves
    for rules in (RULES, RolloutRules((first,))):
        found = remembered_view(rules, CLUSTERS, in_wave_two(), NOW)
        named = [(one.name, tuple(c.name for c in one.clusters)) for one in found.waves]
        assert named[0] == ("canary", ("canary",))
        assert named[-1][0] == "rest"
        assert {name for _, names in named for name in names} == {c.name for c in CLUSTERS}
    assert [(w.name, [c.name for c in w.clusters]) for w in view(in_wave_two()).waves] == [
        (name, list(names)) for name, names in WAVES
    ]


def test_each_cluster_is_shown_with_its_commit_and_step() -> None:
    found = view(in_wave_two("aws-eu", arrived=("aws-eu",)))
    steps = {one.name: (one.commit, one.step) for wave in found.waves for one in wave.clusters}
    assert steps == {
        "canary": (CANDIDATE, ClusterStep.WELL),
        "aws-eu": (CANDIDATE, ClusterStep.WELL),
        "gcp-eu": (STABLE, ClusterStep.WAITS),
        "aws-us": (STABLE, ClusterStep.WAITS),
        "gcp-us": (STABLE, ClusterStep.WAITS),
    }


def test_a_wave_waits_for_its_clusters_then_its_soak_then_its_gates() -> None:
    head = 'Rollout of 3f2c1ab (stable 9be01d2): wave 2 of 3 "eu", waits for '
    assert headline(view(in_wave_two("aws-eu"))) == head + "aws-eu to become well, gcp-eu to begin"
    both = ("aws-eu", "gcp-eu")
    soaking = in_wave_two(*both, arrived=both, well=NOW - 180)
    assert headline(view(soaking)) == head + "soak (12 min left), its gates (errors)"
    soaked = in_wave_two(*both, arrived=both, well=NOW - 1000)
    assert headline(view(soaked)) == head + "its gates (errors)"


def test_a_manual_wave_waits_for_a_person_and_names_the_command() -> None:
    all_of_them = ("aws-eu", "gcp-eu", "aws-us", "gcp-us")
    memory = in_wave_two(*all_of_them, arrived=all_of_them, wave=2, well=NOW)
    text = render_rollout(view(memory))
    assert 'wave 3 of 3 "rest", waits for a person\n' in text
    assert "Next: reconcile rollout promote\n" in text


def test_a_cluster_that_is_down_is_not_waited_for() -> None:
    memory = down(in_wave_two("aws-eu", arrived=("aws-eu",), well=NOW), "gcp-eu")
    found = view(memory)
    assert found.waves[1].clusters[1].step is ClusterStep.DOWN
    assert found.waves[1].waits.startswith("soak (15 min left)")


def test_what_is_closed_is_said_with_the_time_until_then() -> None:
    until = "waits until 2026-12-01 02:00 CET (Cluster aws-eu: maintenance)"
    memory = in_wave_two()
    shut = {"aws-eu": until, "gcp-eu": until, "canary": until}
    found = remembered_view(RULES, CLUSTERS, memory, NOW, shut)
    text = " ".join(render_rollout(found).split())
    assert f'wave 2 of 3 "eu", waits for aws-eu, which {until}' in text
    assert f"aws-eu, gcp-eu: on 9be01d2, {until}" in text
    assert "canary: on 3f2c1ab, well 2 eu" in text, "it has it already"
    del shut["gcp-eu"]
    found = remembered_view(RULES, CLUSTERS, memory, NOW, shut)
    assert found.waves[1].waits == "gcp-eu to begin"


def test_a_wave_that_is_down_as_a_whole_waits_for_one_of_it_or_for_a_person() -> None:
    found = view(down(down(in_wave_two("aws-eu", arrived=("aws-eu",)), "gcp-eu"), "aws-eu"))
    text = " ".join(render_rollout(found).split())
    assert "waits for one of aws-eu, gcp-eu to come back, or a person" in text
    assert "Next: reconcile rollout promote" in text


def test_held_and_failed_say_why_and_what_next() -> None:
    held = render_rollout(view(in_wave_two(phase=RolloutPhase.HELD, reason="checkout is slow")))
    assert 'is held in wave 2 of 3 "eu": checkout is slow' in held
    assert "Next: reconcile rollout resume" in held
    failed = render_rollout(
        view(in_wave_two(phase=RolloutPhase.FAILED, reason="wave 2, eu: web: 0 of 3"))
    )
    assert "has failed in wave 2, eu: web: 0 of 3" in failed
    assert "git revert" in failed


def test_without_a_candidate_every_cluster_is_on_the_stable_commit() -> None:
    found = view(FleetMemory(rollout=RolloutMemory(STABLE)))
    assert found.phase == "Steady"
    assert "No rollout is on its way; every cluster is on 9be01d2" in render_rollout(found)


def test_where_nothing_is_remembered_no_commit_is_made_up() -> None:
    found = view(FleetMemory())
    assert headline(found) == (
        "Nothing is remembered of rollouts: the next run finds each cluster's commit"
    )


def test_a_commit_that_was_aborted_is_named() -> None:
    found = view(FleetMemory(rollout=RolloutMemory(STABLE, refused=CANDIDATE)))
    assert "; 3f2c1ab was aborted, and does not begin again" in headline(found)


def test_a_lost_memory_is_held_and_not_steady() -> None:
    lost = RolloutMemory(phase=RolloutPhase.HELD, reason="what was remembered is lost")
    assert "Rollouts are held: what was remembered is lost" in render_rollout(
        view(FleetMemory(rollout=lost))
    )


def test_all_at_once_is_one_wave_once_a_run_has_begun_it() -> None:
    asked = in_wave_two("aws-eu", at_once=True, promoted=True)
    assert view(asked).waves[1].waits == "the next run, which promotes it"
    assert len(view(asked).waves) == 3
    begun = view(in_wave_two("aws-eu", at_once=True, wave=0))
    assert [(one.name, one.state, len(one.clusters)) for one in begun.waves] == [
        ("all at once", "current", 5)
    ]


def test_commits_that_wait_are_named() -> None:
    text = render_rollout(view(in_wave_two(waiting=(NEWER,))))
    assert "Newer commits that wait until it ends: 77ce210." in text


def test_a_wave_that_rules_no_longer_have_is_at_the_end() -> None:
    assert "at its end" in headline(view(in_wave_two(wave=7)))


def test_a_wave_that_rules_put_in_front_is_the_one_that_it_is_in() -> None:
    lab = RolloutRules((Wave("lab", clusters=("gcp-us",)), *RULES.waves))
    found = remembered_view(lab, CLUSTERS, in_wave_two("aws-eu", well=NOW - 60), NOW)
    assert [one.state for one in found.waves] == ["current", "coming", "coming", "coming"]
    assert headline(found).endswith('wave 1 of 4 "lab", waits for gcp-us to begin')
    assert found.waves[1].clusters[0].step is ClusterStep.WELL, "it was left before"
    assert found.waves[2].least == 900, "it soaks anew when it is its turn"


def test_what_was_not_well_when_it_was_promoted_is_not_called_well() -> None:
    rollout = in_wave_two("aws-eu").rollout
    assert rollout is not None
    found = view(FleetMemory(rollout=replace(rollout, arrived=())))
    assert (found.waves[0].state, found.waves[0].clusters[0].step) == ("done", ClusterStep.BEGUN)


def test_a_wave_without_clusters_says_so() -> None:
    rules = RolloutRules((Wave("none", clusters=()), *RULES.waves))
    assert "1 none    done\n      no cluster" in render_rollout(
        remembered_view(rules, CLUSTERS, in_wave_two(), NOW)
    )
