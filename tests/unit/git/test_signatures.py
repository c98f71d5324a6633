"""Signatures on commits and tags, by GPG and ssh, with keys that are nobody's but the test's."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.api.errors import SourceError
from reconciler.git.signatures import verify_signature
from reconciler.git.source_rules import SignatureRule
from reconciler.git.trusted_keys import TrustedKeys, read_trusted_keys
from tests.unit.git.repositories import commit, git
from tests.unit.git.signing import Signer, gpg_signer, ssh_signer

GPG, SSH = SignatureRule("gpg"), SignatureRule("ssh")
GPG_TAG, SSH_TAG = SignatureRule("gpg", "tag"), SignatureRule("ssh", "tag")


def trusted(*signers: Signer) -> TrustedKeys:
    return TrustedKeys(tuple(one.public.encode() for one in signers), "the test")


def verified(folder: Path, rule: SignatureRule, keys: TrustedKeys, tag: str = "") -> str:
    """Verifies HEAD, or a tag by its name."""
    head = git(folder, "rev-parse", f"{tag or 'HEAD'}^{{commit}}")
    found = git(folder, "rev-parse", tag) if tag else ""
    ref = f"refs/tags/{tag}" if tag else "refs/heads/main"
    return verify_signature(folder / ".git", head, "" if found == head else found, ref, rule, keys)


def refused(folder: Path, rule: SignatureRule, keys: TrustedKeys, tag: str = "") -> str:
    with pytest.raises(SourceError) as caught:
        verified(folder, rule, keys, tag)
    return str(caught.value)


def test_a_commit_signed_with_gpg_tells_its_signer(
    origin: Path, alice: Signer, mallory: Signer
) -> None:
    alice.commit(origin)
    assert "alice@example.com" in verified(origin, GPG, trusted(mallory, alice))


def test_a_commit_signed_with_ssh_tells_its_signer(origin: Path, bob: Signer, eve: Signer) -> None:
    bob.commit(origin)
    assert "bob@example.com" in verified(origin, SSH, trusted(eve, bob))


@pytest.mark.parametrize("rule", [GPG, SSH])
def test_an_unsigned_commit_is_refused(
    origin: Path, alice: Signer, bob: Signer, rule: SignatureRule
) -> None:
    assert "is not signed" in refused(origin, rule, trusted(alice if rule == GPG else bob))


def test_a_stranger_is_refused_by_name_of_the_key(
    origin: Path, alice: Signer, bob: Signer, mallory: Signer, eve: Signer
) -> None:
    mallory.commit(origin)
    assert "a key that is not trusted" in refused(origin, GPG, trusted(alice))
    eve.commit(origin)
    assert "a key that is not trusted: SHA256:" in refused(origin, SSH, trusted(bob))


def test_the_other_kind_of_signature_does_not_count(
    origin: Path, alice: Signer, bob: Signer
) -> None:
    bob.commit(origin)
    assert "signed with ssh; gpg is demanded" in refused(origin, GPG, trusted(alice, bob))
    alice.commit(origin)
    assert "signed with gpg; ssh is demanded" in refused(origin, SSH, trusted(alice, bob))


@pytest.mark.parametrize("rule", [GPG, SSH])
def test_a_signature_of_something_else_is_refused(
    origin: Path, alice: Signer, bob: Signer, rule: SignatureRule
) -> None:
    """The signature of an honest commit, pasted onto another one."""
    signer = alice if rule == GPG else bob
    honest = signer.commit(origin, "honest")
    raw = git(origin, "cat-file", "commit", honest)
    (origin / "forged").write_text(raw.replace("honest", "forged") + "\n")
    forged = git(origin, "hash-object", "-t", "commit", "-w", "forged")
    git(origin, "update-ref", "refs/heads/main", forged)
    assert "does not fit" in refused(origin, rule, trusted(signer))


def test_a_text_that_looks_like_a_signature_is_none(origin: Path, alice: Signer) -> None:
    message = "x\n\ngpgsig -----BEGIN PGP SIGNATURE-----\n"
    git(origin, "commit", "-q", "--allow-empty", "-m", message)
    assert "is not signed" in refused(origin, GPG, trusted(alice))


def test_an_expired_key_is_refused(origin: Path, alice: Signer) -> None:
    with gpg_signer("carol", expires="2020-02-01") as carol:
        carol.commit(origin)
        assert "has expired" in refused(origin, GPG, trusted(alice, carol))


def test_an_ssh_key_counts_only_while_it_is_valid(origin: Path, tmp_path: Path) -> None:
    dave = ssh_signer(tmp_path, "dave")
    dave.commit(origin)
    line = dave.public.replace('namespaces="git"', 'namespaces="git",valid-before="20200101"')
    assert "not trusted" in refused(origin, SSH, TrustedKeys((line.encode(),), "the test"))


def test_an_ssh_key_for_other_things_does_not_count(origin: Path, bob: Signer) -> None:
    bob.commit(origin)
    line = bob.public.replace('namespaces="git"', 'namespaces="file"')
    assert "cannot be checked with the trusted keys" in refused(
        origin, SSH, TrustedKeys((line.encode(),), "the test")
    )


@pytest.mark.parametrize("rule", [GPG_TAG, SSH_TAG])
def test_a_signed_tag_is_enough_where_tags_are_signed(
    origin: Path, alice: Signer, bob: Signer, mallory: Signer, eve: Signer, rule: SignatureRule
) -> None:
    good, bad = (alice, mallory) if rule == GPG_TAG else (bob, eve)
    good.tag(origin, "v1")
    bad.tag(origin, "v2")
    git(origin, "tag", "-a", "-m", "unsigned", "v3")
    git(origin, "tag", "v4")
    assert verified(origin, rule, trusted(good), "v1")
    assert "not trusted" in refused(origin, rule, trusted(good), "v2")
    assert "tag v3 is not signed" in refused(origin, rule, trusted(good), "v3")
    assert "a signed tag is demanded" in refused(origin, rule, trusted(good), "v4")
    assert "a signed tag is demanded" in refused(origin, rule, trusted(good))


def test_a_signed_tag_does_not_stand_for_a_signed_commit(origin: Path, alice: Signer) -> None:
    alice.tag(origin, "v1")
    assert "is not signed" in refused(origin, GPG, trusted(alice), "v1")


def test_an_old_tag_under_a_new_name_is_refused(origin: Path, alice: Signer) -> None:
    alice.tag(origin, "v1")
    commit(origin, {"shop/b.yaml": "b: 1\n"})
    git(origin, "update-ref", "refs/tags/v2", git(origin, "rev-parse", "v1"))
    assert "calls itself 'v1'" in refused(origin, GPG_TAG, trusted(alice), "v2")


def test_the_keyring_of_the_user_plays_no_part(
    origin: Path, alice: Signer, mallory: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    mallory.commit(origin)
    monkeypatch.setenv("GNUPGHOME", str(mallory.home))
    assert verified(origin, GPG, trusted(mallory))
    assert "not trusted" in refused(origin, GPG, trusted(alice))


def test_a_repository_cannot_bring_its_own_verifier(
    origin: Path, alice: Signer, mallory: Signer, tmp_path: Path
) -> None:
    """Settings inside of a repository name the programs that git calls."""
    liar = tmp_path / "liar"
    status = "[GNUPG:] GOODSIG 0 alice\\n[GNUPG:] VALIDSIG 0\\n"
    liar.write_text(f'#!/bin/sh\nprintf "{status}"\nprintf "{status}" >&2\n')
    liar.chmod(0o755)
    for name in ("gpg.program", "gpg.openpgp.program", "gpg.ssh.program"):
        git(origin, "config", name, str(liar))
    mallory.commit(origin)
    assert "not trusted" in refused(origin, GPG, trusted(alice))


def test_keys_are_read_from_a_mounted_directory(
    origin: Path, alice: Signer, mallory: Signer, tmp_path: Path
) -> None:
    mounted = tmp_path / "mounted"
    (mounted / "..data").mkdir(parents=True)
    for name, signer in (("alice.asc", alice), ("mallory.asc", mallory)):
        # As the kubelet does it: files that are links into a hidden directory.
        (mounted / "..data" / name).write_text(signer.public)
        (mounted / name).symlink_to(Path("..data") / name)
    mallory.commit(origin)
    assert verified(origin, GPG, read_trusted_keys(mounted))
    (mounted / "mallory.asc").unlink()
    assert "not trusted" in refused(origin, GPG, read_trusted_keys(mounted))


def test_bare_ssh_public_keys_are_signers(origin: Path, bob: Signer, tmp_path: Path) -> None:
    bob.commit(origin)
    bare = bob.public.split('"git" ')[1]
    (tmp_path / "bob.pub").write_text(bare)
    assert verified(origin, SSH, read_trusted_keys(tmp_path / "bob.pub"))


def test_keys_that_are_none_are_told(origin: Path, alice: Signer, tmp_path: Path) -> None:
    alice.commit(origin)
    with pytest.raises(SourceError, match="there are no keys"):
        read_trusted_keys(tmp_path / "nothing")
    (tmp_path / "keys").write_text("hello\n")
    assert "holds no GPG public key" in refused(origin, GPG, read_trusted_keys(tmp_path / "keys"))
    alice_signed_with_nothing = TrustedKeys((b"hello\n",), "the test")
    git(origin, "commit", "-q", "--allow-empty", "-m", "x")
    assert "is not signed" in refused(origin, SSH, alice_signed_with_nothing)
