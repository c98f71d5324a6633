"""Several addresses of one repository: which of their heads counts, and who is told of the rest."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from reconciler.api.errors import SourceError, SourceUnreachable, UsageError
from reconciler.api.options import RunOptions
from reconciler.git.fetch import Fetched
from reconciler.git.location import SourceLocation
from reconciler.git.mirrors import Head, choose_head
from reconciler.git.owner import claimant_of
from reconciler.git.read import read_source
from reconciler.git.trust import LastApplied, check_trust, newest_trusted
from reconciler.state.run_memory import default_file, digest_of
from tests.strategies import commit_histories
from tests.unit.git.repositories import (
    CLUSTER,
    FEDERATION,
    commit,
    config_map,
    git,
    new_repository,
    write,
)
from tests.unit.git.servers import HttpServer, http_server
from tests.unit.git.signing import Signer

# -- the choice, pure ------------------------------------------------------------------------------


def head(number: int, commit: int) -> Head:
    where = SourceLocation(f"https://m{number}.example.com/fleet", None, "", Path())
    return Head(where, Fetched(str(commit)))


@given(st.data(), commit_histories())
def test_the_newest_trusted_head_wins_whatever_else_is_there(
    data: st.DataObject, ancestors: list[set[int]]
) -> None:
    every = st.integers(0, len(ancestors) - 1)
    heads = [head(i, c) for i, c in enumerate(data.draw(st.lists(every, min_size=1, max_size=5)))]
    untrusted = data.draw(st.sets(every))
    last = data.draw(st.one_of(st.none(), every))

    def comes_after(one: Head, commit: str) -> bool:
        return int(commit) in ancestors[int(one.commit)]

    def refusal(one: Head) -> SourceError | None:
        return SourceError("untrusted") if int(one.commit) in untrusted else None

    found = choose_head(heads, comes_after, refusal, "" if last is None else str(last))
    trusted = [one for one in heads if int(one.commit) not in untrusted]
    # Nobody is chosen who is not trusted, and somebody is if one is.
    assert all(one in trusted for one in found.rivals)
    assert bool(found.rivals) == bool(trusted)
    # Nothing trusted descends from what is chosen.
    for rival in found.rivals:
        assert not any(
            one.commit != rival.commit and comes_after(one, rival.commit) for one in trusted
        )
    # Rivals went different ways; where one of the newest continues what was applied, all do.
    assert len({one.commit for one in found.rivals}) == len(found.rivals)
    if last is not None and len(found.rivals) > 1:
        continuing = [one for one in found.rivals if comes_after(one, str(last))]
        assert continuing in ([], list(found.rivals))
    # Everybody else is told of, and nobody twice.
    told = [*found.behind, *found.diverged_heads, *(one for one, _ in found.refused)]
    assert len(set(told)) == len(told)
    same = {one.commit for one in found.rivals}
    assert set(heads) == {*told, *(one for one in heads if one.commit in same)}
    for one in found.behind:
        assert any(comes_after(other, one.commit) for other in trusted if other is not one)


# -- mirrors that are served -----------------------------------------------------------------------


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    return new_repository(
        tmp_path / "one" / "fleet",
        {"fleet.yaml": f"{FEDERATION}---\n{CLUSTER}", "a.yaml": config_map("a", key="one")},
    )


@pytest.fixture
def copy(fleet: Path, tmp_path: Path) -> Path:
    there = tmp_path / "two" / "fleet"
    there.parent.mkdir()
    subprocess.run(["git", "clone", "-q", fleet, there], check=True)
    return there


@pytest.fixture
def servers(fleet: Path, copy: Path) -> Iterator[tuple[HttpServer, HttpServer]]:
    with ExitStack() as stack:
        yield (
            stack.enter_context(http_server(fleet.parent, "robot", "c4nary-0ne")),
            stack.enter_context(http_server(copy.parent, "robot", "c4nary-tw0")),
        )


def secret(tmp_path: Path, password: str) -> str:
    folder = tmp_path / password
    folder.mkdir(exist_ok=True)
    (folder / "username").write_text("robot")
    (folder / "password").write_text(password)
    return str(folder)


@pytest.fixture
def options(servers: tuple[HttpServer, HttpServer], tmp_path: Path, cache: Path) -> RunOptions:
    one, two = servers
    return RunOptions(
        plan_only=False,
        repo=one.url("fleet"),
        mirrors=(two.url("fleet"),),
        ref="main",
        git_credentials=secret(tmp_path, "c4nary-0ne"),
        mirror_credentials=(secret(tmp_path, "c4nary-tw0"),),
        git_timeout=20,
    )


def test_mirrors_that_agree_are_read_like_one(options: RunOptions, fleet: Path) -> None:
    source = read_source(options)
    assert source.checkout.commit == git(fleet, "rev-parse", "HEAD")
    assert source.notices == ()
    assert source.mirrors
    assert not source.mirrors.differ


def test_a_credential_is_sent_to_its_own_mirror_only(
    options: RunOptions, servers: tuple[HttpServer, HttpServer]
) -> None:
    read_source(options)
    one, two = ({header for _, _, header in server.seen if header} for server in servers)
    assert len(one) == len(two) == 1
    assert one != two


def test_one_credential_for_two_servers_is_refused_before_anything_is_sent(
    options: RunOptions, servers: tuple[HttpServer, HttpServer]
) -> None:
    with pytest.raises(UsageError, match="no other server than the one that it is for"):
        read_source(replace(options, mirror_credentials=()))
    assert not servers[0].seen
    assert not servers[1].seen


def test_a_mirror_that_is_ahead_wins_and_the_other_is_told(options: RunOptions, copy: Path) -> None:
    newer = commit(copy, {"a.yaml": config_map("a", key="two")})
    source = read_source(options)
    assert source.checkout.commit == newer
    (mirror_warnings,) = map(str, source.notices)
    assert "is behind" in mirror_warnings
    assert newer[:12] in mirror_warnings


def test_a_dead_mirror_is_a_warning(
    options: RunOptions, servers: tuple[HttpServer, HttpServer], fleet: Path
) -> None:
    dead = replace(options, mirrors=("http://127.0.0.1:9/fleet",), mirror_credentials=("-",))
    source = read_source(dead)
    assert source.checkout.commit == git(fleet, "rev-parse", "HEAD")
    (mirror_warnings,) = map(str, source.notices)
    assert "does not answer" in mirror_warnings
    assert "no connection" in mirror_warnings


def test_when_none_answers_that_is_told_as_silence(options: RunOptions) -> None:
    dead = replace(
        options,
        repo="http://127.0.0.1:9/fleet",
        mirrors=("http://127.0.0.1:9/copy",),
        git_credentials="",
        mirror_credentials=(),
    )
    with pytest.raises(SourceUnreachable, match=r"fleet: no connection.*copy: no connection"):
        read_source(dead)


def test_an_answer_that_refuses_is_no_silence(
    options: RunOptions, servers: tuple[HttpServer, HttpServer]
) -> None:
    """One server is gone, the other one says no: somebody answered."""
    asked = replace(options, repo="http://127.0.0.1:9/fleet", git_credentials="-", ref="nowhere")
    with pytest.raises(SourceError, match="has no ref 'nowhere'") as told:
        read_source(asked)
    assert not isinstance(told.value, SourceUnreachable)


@pytest.mark.parametrize("fault", ["500", "cut"])
def test_a_server_in_trouble_is_silent(
    options: RunOptions, servers: tuple[HttpServer, HttpServer], fault: str
) -> None:
    one, _ = servers
    one.faults += [fault] * 20
    with pytest.raises(SourceUnreachable):
        read_source(replace(options, mirrors=(), mirror_credentials=()))


def test_of_two_ways_the_one_that_continues_what_was_applied_wins(
    options: RunOptions, fleet: Path, copy: Path
) -> None:
    last = commit(fleet, {"a.yaml": config_map("a", key="applied")})
    here = commit(fleet, {"a.yaml": config_map("a", key="here")})
    there = commit(copy, {"a.yaml": config_map("a", key="there")})
    source = newest_trusted(read_source(options), LastApplied(last))
    assert source.checkout.commit == here
    mirror_warnings = " ".join(map(str, source.notices))
    assert there[:12] in mirror_warnings
    assert "left out" in mirror_warnings
    check_trust(source, LastApplied(last))


def test_two_ways_of_which_nothing_tells_which_is_meant_are_refused(
    options: RunOptions, fleet: Path, copy: Path
) -> None:
    last = git(fleet, "rev-parse", "HEAD")
    commit(fleet, {"a.yaml": config_map("a", key="here")})
    commit(copy, {"a.yaml": config_map("a", key="there")})
    for known in (None, LastApplied(last)):
        with pytest.raises(SourceError, match="went different ways") as told:
            newest_trusted(read_source(options), known)
        assert "--repo" in told.value.hint


def test_a_plan_of_two_ways_shows_the_first_and_says_so(
    options: RunOptions, fleet: Path, copy: Path
) -> None:
    here = commit(fleet, {"a.yaml": config_map("a", key="here")})
    commit(copy, {"a.yaml": config_map("a", key="there")})
    source = newest_trusted(read_source(replace(options, plan_only=True)), None)
    assert source.checkout.commit == here
    assert any("went different ways" in text for text in map(str, source.notices))


def test_a_newer_head_that_nobody_trusted_signed_is_left_out_and_told(
    options: RunOptions, fleet: Path, copy: Path, bob: Signer, eve: Signer, tmp_path: Path
) -> None:
    (tmp_path / "bob.pub").write_text(bob.public)
    signed = replace(options, require_signature="ssh", trusted_keys=str(tmp_path / "bob.pub"))
    write(fleet, {"a.yaml": config_map("a", key="signed")})
    trusted = bob.commit(fleet)
    git(copy, "pull", "-q", "--ff-only")
    write(copy, {"a.yaml": config_map("a", key="forged")})
    forged = eve.commit(copy)
    source = read_source(signed)
    assert source.checkout.commit == trusted
    mirror_warnings = " ".join(map(str, source.notices))
    assert forged[:12] in mirror_warnings
    assert "not trusted" in mirror_warnings


def test_a_head_behind_the_last_applied_commit_is_not_gone_back_to(
    options: RunOptions, fleet: Path, copy: Path
) -> None:
    """The mirror that had it is dead: what is left may not be applied."""
    last = commit(copy, {"a.yaml": config_map("a", key="applied")})
    read_source(options)
    git(copy, "reset", "-q", "--hard", "HEAD~1")
    source = read_source(options)
    for judge in (newest_trusted, check_trust):
        with pytest.raises(SourceError, match="does not come after"):
            judge(source, LastApplied(last))


def test_a_mirror_changes_no_name_of_what_is_remembered(options: RunOptions) -> None:
    alone = replace(options, mirrors=(), mirror_credentials=())
    assert digest_of(options) == digest_of(alone)
    assert default_file(options, "shop") == default_file(alone, "shop")


def test_a_directory_has_no_mirrors(fleet: Path) -> None:
    with pytest.raises(UsageError, match="only Git URLs have mirrors"):
        read_source(RunOptions(repo=str(fleet), mirrors=("https://git.example.com/fleet",)))


def test_every_mirror_is_the_same_repository_to_whoever_recorded_one(options: RunOptions) -> None:
    names = []
    for repo, mirrors in (
        (options.repo, ()),
        (options.repo, options.mirrors),
        (options.mirrors[0], (options.repo,)),
    ):
        where = SourceLocation(repo, "main", ".", Path())
        names.append(claimant_of(where, "", addresses=(repo, *mirrors)))
    alone, first, second = names
    # Recorded once, by whichever address; a mirror that is added changes nothing of it.
    assert first.owner == alone.owner
    for owner in (alone.owner, second.owner):
        assert first.is_of(owner, "")
        assert second.is_of(owner, "")
        assert first.recorded_over(owner, "") == owner


def test_another_repository_is_not_taken_for_a_mirror(
    options: RunOptions, servers: tuple[HttpServer, HttpServer], fleet: Path, tmp_path: Path
) -> None:
    """Its address is no name of this one: what it has recorded as its own stays its own."""
    last = git(fleet, "rev-parse", "HEAD")
    stranger = new_repository(tmp_path / "two" / "stranger", {"b.yaml": config_map("b")})
    mixed = replace(options, mirrors=(servers[1].url("stranger"),))
    source = newest_trusted(read_source(mixed), LastApplied(last))
    assert source.checkout.commit == last
    assert source.addresses == (options.repo,)
    assert git(stranger, "rev-parse", "HEAD")[:12] in " ".join(map(str, source.notices))
    # One that has the same is.
    assert read_source(options).addresses == (options.repo, *options.mirrors)
