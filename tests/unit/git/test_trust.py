"""What a head must be to be applied: signed by whom we knew before, and no step back."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from reconciler.api.errors import SourceError, UsageError
from reconciler.api.options import RunOptions
from reconciler.git.read import ReadSource, read_source
from reconciler.git.trust import LastApplied, check_trust
from tests.unit.git.repositories import FEDERATION, commit, config_map, git, write
from tests.unit.git.signing import Signer


def applied_now(source: ReadSource) -> LastApplied | None:
    """What to remember once this source is applied; None when it is no commit as it stands."""
    if not source.checkout.commit or source.checkout.dirty:
        return None
    demanded = source.rules.signature or source.demanded
    return LastApplied(source.checkout.commit, demanded is not None)


@pytest.fixture
def fleet(origin: Path, cache: Path) -> Path:
    """A repository with a Federation that demands nothing."""
    commit(origin, {"federation.yaml": FEDERATION})
    return origin


def rules(text: str) -> dict[str, str]:
    """A Federation with ``spec.source``."""
    return {"federation.yaml": FEDERATION + "  source:\n" + text}


def demanding(*signers: Signer) -> dict[str, str]:
    keys = "".join(
        "        - |\n" + "".join(f"          {line}\n" for line in s.public.splitlines())
        for s in signers
    )
    return rules(
        "    requireSignature:\n      type: gpg\n" + (f"      keys:\n{keys}" if keys else "")
    )


def request(fleet: Path, **given: object) -> RunOptions:
    plain = RunOptions(repo=fleet.as_uri(), ref="main", plan_only=False)
    return replace(plain, **given)  # type: ignore[arg-type]


def applied(fleet: Path, last: LastApplied | None = None, **given: object) -> LastApplied:
    """Reads and checks as a run does; what it would remember."""
    source = read_source(request(fleet, **given))
    notices = check_trust(source, last)
    assert not notices
    now = applied_now(source)
    assert now
    return now


def refused(fleet: Path, last: LastApplied | None = None, **given: object) -> str:
    with pytest.raises(SourceError) as caught:
        applied(fleet, last, **given)
    return f"{caught.value} ({caught.value.hint})"


@pytest.fixture
def trusted(tmp_path: Path, alice: Signer) -> str:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "alice.asc").write_text(alice.public)
    return str(tmp_path / "keys")


def test_a_history_that_goes_on_is_applied(fleet: Path) -> None:
    first = applied(fleet)
    for number in range(3):
        commit(fleet, {"shop/a.yaml": config_map("a", key=str(number))})
    assert applied(fleet, first).commit == git(fleet, "rev-parse", "HEAD")
    assert applied(fleet, applied(fleet)).commit == git(fleet, "rev-parse", "HEAD")


def test_a_long_way_back_is_found_by_deepening(fleet: Path, cache: Path) -> None:
    first = applied(fleet)
    for number in range(60):
        commit(fleet, {"shop/a.yaml": config_map("a", key=str(number))})
    assert applied(fleet, first)
    (clone,) = [place for place in (cache / "git").iterdir() if place.is_dir()]
    known = int(git(clone, "rev-list", "--count", git(fleet, "rev-parse", "HEAD")))
    assert known > 60


def test_a_force_push_is_refused(fleet: Path) -> None:
    commit(fleet, {"shop/a.yaml": config_map("a", key="two")})
    last = applied(fleet)
    git(fleet, "reset", "-q", "--hard", "HEAD~1")
    commit(fleet, {"shop/a.yaml": config_map("a", key="three")})
    said = refused(fleet, last)
    assert "does not come after" in said
    assert last.commit[:12] in said
    assert "--allow-rollback" in said


def test_a_mirror_that_is_behind_is_refused(fleet: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", "--bare", str(fleet), str(tmp_path / "mirror"))
    commit(fleet, {"shop/a.yaml": config_map("a", key="two")})
    last = applied(fleet)
    assert "does not come after" in refused(tmp_path / "mirror", last)


def test_a_local_repository_is_held_to_it_too(fleet: Path) -> None:
    commit(fleet, {"shop/a.yaml": config_map("a", key="two")})
    last = applied(fleet, repo=str(fleet), ref=None)
    git(fleet, "reset", "-q", "--hard", "HEAD~1")
    assert "does not come after" in refused(fleet, last, repo=str(fleet), ref=None)


def test_a_shallow_work_tree_is_told_what_it_lacks(fleet: Path, tmp_path: Path) -> None:
    last = applied(fleet)
    commit(fleet, {"shop/a.yaml": config_map("a", key="two")})
    commit(fleet, {"shop/a.yaml": config_map("a", key="three")})
    shallow = tmp_path / "shallow"
    git(tmp_path, "clone", "-q", "--depth=1", fleet.as_uri(), str(shallow))
    assert "fetch-depth: 0" in refused(fleet, last, repo=str(shallow), ref=None)


def test_a_rollback_is_applied_where_it_is_asked_for(fleet: Path) -> None:
    commit(fleet, {"shop/a.yaml": config_map("a", key="two")})
    last = applied(fleet)
    git(fleet, "reset", "-q", "--hard", "HEAD~1")
    assert applied(fleet, last, allow_rollback=True)
    commit(fleet, rules("    allowRollback: true\n"))
    assert applied(fleet, last)


def test_a_plan_tells_what_would_be_refused(fleet: Path) -> None:
    commit(fleet, {"shop/a.yaml": config_map("a", key="two")})
    last = applied(fleet)
    git(fleet, "reset", "-q", "--hard", "HEAD~1")
    (warning,) = check_trust(read_source(request(fleet, plan_only=True)), last)
    assert str(warning).startswith("this could not be applied: ")
    assert "does not come after" in str(warning)


def test_keys_of_the_commit_itself_are_not_taken(fleet: Path, mallory: Signer) -> None:
    """Whoever may push could name their own key, and sign with it."""
    write(fleet, demanding(mallory))
    mallory.commit(fleet)
    said = refused(fleet)
    assert "must be known from outside of the commit that is checked" in said
    assert "--trusted-keys" in said


def test_the_rule_holds_with_mounted_keys(
    fleet: Path, alice: Signer, mallory: Signer, trusted: str
) -> None:
    write(fleet, demanding())
    alice.commit(fleet)
    last = applied(fleet, trusted_keys=trusted)
    assert last.signature
    git(fleet, "commit", "-q", "--allow-empty", "-m", "unsigned")
    assert "is not signed" in refused(fleet, last, trusted_keys=trusted)
    mallory.commit(fleet)
    assert "not trusted" in refused(fleet, last, trusted_keys=trusted)


def test_later_runs_know_the_keys_from_the_last_applied_commit(
    fleet: Path, alice: Signer, mallory: Signer, trusted: str
) -> None:
    write(fleet, demanding(alice))
    alice.commit(fleet)
    last = applied(fleet, trusted_keys=trusted)
    alice.commit(fleet)
    assert applied(fleet, last)
    # A new key has to be brought by a commit that an old one signed.
    write(fleet, demanding(alice, mallory))
    mallory.commit(fleet)
    assert "not trusted" in refused(fleet, last)
    alice.commit(fleet)
    last = applied(fleet, last)
    mallory.commit(fleet)
    assert applied(fleet, last)


def test_leaving_the_rule_out_does_not_switch_it_off(
    fleet: Path, alice: Signer, trusted: str
) -> None:
    write(fleet, demanding(alice))
    alice.commit(fleet)
    last = applied(fleet, trusted_keys=trusted)
    commit(fleet, {"federation.yaml": FEDERATION})
    assert "is not signed" in refused(fleet, last)
    alice.commit(fleet)
    assert not applied(fleet, last).signature


def test_a_force_push_does_not_shake_off_the_rule(
    fleet: Path, alice: Signer, trusted: str, cache: Path
) -> None:
    """Neither by its own allowRollback, nor where the old commit is gone from the server."""
    write(fleet, demanding(alice))
    alice.commit(fleet)
    last = applied(fleet, trusted_keys=trusted)
    git(fleet, "checkout", "-q", "--orphan", "evil")
    commit(fleet, rules("    allowRollback: true\n"))
    git(fleet, "branch", "-f", "main", "evil")
    assert "is not signed" in refused(fleet, last)
    git(fleet, "reflog", "expire", "--expire=now", "--all")
    git(fleet, "gc", "-q", "--prune=now")
    fresh = cache.parent / "fresh"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(fresh))
        assert "is gone" in refused(fleet, last)
        assert applied(fleet, replace(last, signature=False))


def test_allowed_signers_may_be_a_file_of_the_repository(
    fleet: Path, bob: Signer, eve: Signer, tmp_path: Path
) -> None:
    demand = "    requireSignature: {type: ssh, allowedSigners: .trust/signers}\n"
    write(fleet, {**rules(demand), ".trust/signers": bob.public})
    bob.commit(fleet)
    (tmp_path / "signers").write_text(bob.public)
    last = applied(fleet, trusted_keys=str(tmp_path / "signers"))
    write(fleet, {".trust/signers": eve.public})
    eve.commit(fleet)
    assert "not trusted" in refused(fleet, last)
    bob.commit(fleet)
    assert applied(fleet, last)


def test_the_command_line_demands_whatever_the_repository_says(
    fleet: Path, alice: Signer, bob: Signer, trusted: str
) -> None:
    given = {"require_signature": "gpg", "trusted_keys": trusted}
    assert "is not signed" in refused(fleet, **given)
    # In plans, too: nothing of an untrusted commit is decrypted or built.
    assert "is not signed" in refused(fleet, **given, plan_only=True)
    bob.commit(fleet)
    assert "signed with ssh; gpg is demanded" in refused(fleet, **given)
    alice.commit(fleet)
    assert applied(fleet, **given).signature
    with pytest.raises(UsageError, match="needs keys"):
        read_source(request(fleet, require_signature="gpg"))


def test_tags_can_be_demanded(fleet: Path, alice: Signer, trusted: str) -> None:
    given = {"require_signature": "gpg", "signature_on": "tag", "trusted_keys": trusted}
    alice.tag(fleet, "v1")
    assert applied(fleet, ref="v1", **given)
    assert "a signed tag is demanded" in refused(fleet, ref="main", **given)


def test_files_beside_a_signed_commit_are_not_what_was_signed(
    fleet: Path, alice: Signer, trusted: str
) -> None:
    write(fleet, {**demanding(), ".gitignore": "ignored.yaml\n"})
    alice.commit(fleet)
    given = {"repo": str(fleet), "ref": None, "trusted_keys": trusted}
    # Git does not call the work tree changed, and yet this was never committed.
    write(fleet, {"ignored.yaml": config_map("smuggled")})
    source = read_source(request(fleet, **given))
    assert check_trust(source, None) == ()
    assert "ignored.yaml" not in [file.path for file in source.files]
    write(fleet, {"shop/a.yaml": config_map("a", key="changed")})
    assert "not committed" in refused(fleet, **given)
    assert read_source(request(fleet, **given, plan_only=True)).checkout.dirty


def test_a_folder_outside_of_git_cannot_fulfil_a_demand(tmp_path: Path, trusted: str) -> None:
    write(tmp_path / "plain", demanding())
    given = {"repo": str(tmp_path / "plain"), "ref": None, "trusted_keys": trusted}
    assert "is no Git repository" in refused(tmp_path, **given)


def test_an_edit_at_the_desk_does_not_switch_the_rule_off(
    fleet: Path, alice: Signer, trusted: str
) -> None:
    write(fleet, demanding(alice))
    alice.commit(fleet)
    given = {"repo": str(fleet), "ref": None}
    last = applied(fleet, trusted_keys=trusted, **given)
    write(fleet, {"federation.yaml": FEDERATION})
    assert "read as its files lie" in refused(fleet, last, **given)
