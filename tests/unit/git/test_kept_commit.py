"""A commit packed into pieces: the same comes out, or nothing does."""

from __future__ import annotations

import os
import random
import sys
import zlib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from reconciler.api.errors import SourceUnreachable
from reconciler.api.options import RunOptions
from reconciler.git.kept_commit import (
    PIECE_BYTES,
    VERSION,
    DamagedCommit,
    KeptCommit,
    KeptFile,
    Packed,
    TooLarge,
    digest_of_piece,
    kept_files,
    pack,
    unpack,
)
from reconciler.git.read import read_kept, read_source
from reconciler.git.source_rules import parse_source_rules
from tests.strategies import KEPT_COMMITS
from tests.unit.git.programs import needed
from tests.unit.git.repositories import CLUSTER, FEDERATION, config_map, new_repository
from tests.unit.git.test_kustomize import BASE, OVERLAY
from tests.unit.git.test_sops import Encrypt
from tests.unit.git.test_sops import age_key as age_key
from tests.unit.git.test_sops import encrypt as encrypt

CONTINUE = FEDERATION + "  source: {whenUnreachable: Continue, sops: {enabled: true}}\n"
SILENCE = SourceUnreachable("https://git.example.com/fleet: no connection")
NOISE = random.Random(7).randbytes(2 * PIECE_BYTES)


def large(commit: str = "a" * 40) -> KeptCommit:
    """Of three pieces."""
    return KeptCommit(commit, (KeptFile("noise.yaml", commit.encode() + NOISE),))


@given(KEPT_COMMITS)
def test_what_was_packed_comes_out_the_same(kept: KeptCommit) -> None:
    packed = pack(kept)
    assert unpack(packed) == kept
    assert pack(kept) == packed


def test_what_an_earlier_version_kept_is_still_read() -> None:
    """It had sentences of submodules where there are paths now."""
    told = {"commit": "a" * 40, "files": [], "warnings": ["vendor is a submodule: ..."]}
    data = zlib.compress(bytes([VERSION]) + msgspec.msgpack.encode(told))
    digest = digest_of_piece(data)
    assert unpack(Packed("a" * 40, digest, (data,), (digest,))) == KeptCommit("a" * 40, ())


def test_a_large_commit_is_several_pieces_none_of_them_too_large() -> None:
    packed = pack(large())
    assert len(packed.pieces) == 3
    assert all(len(piece) <= PIECE_BYTES for piece in packed.pieces)
    assert unpack(packed) == large()


@given(st.data())
def test_any_other_bytes_are_refused(data: st.DataObject) -> None:
    packed = pack(KeptCommit("a" * 40, (KeptFile("a.yaml", b"kind: ConfigMap" * 20),)))
    (piece,) = packed.pieces
    at = data.draw(st.integers(0, len(piece) - 1))
    other = piece[:at] + bytes([piece[at] ^ data.draw(st.integers(1, 255))]) + piece[at + 1 :]
    cut = piece[:at]
    for wrong in (other, cut, piece + b"x", b""):
        with pytest.raises(DamagedCommit, match="piece 1 is not what was written"):
            unpack(replace(packed, pieces=(wrong,)))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda one, two: {"pieces": one.pieces[:2]}, "2 of 3 pieces"),
        (lambda one, two: {"pieces": (one.pieces[0], *two.pieces[1:])}, "piece"),
        (
            lambda one, two: {
                "pieces": (*two.pieces[:1], *one.pieces[1:]),
                "digests": (*two.digests[:1], *one.digests[1:]),
            },
            "do not make the whole",
        ),
        (lambda one, two: {"pieces": one.pieces[::-1]}, "piece 1"),
        (
            lambda one, two: {"pieces": one.pieces[::-1], "digests": one.digests[::-1]},
            "do not make the whole",
        ),
        (lambda one, two: {"commit": two.commit}, "holds commit"),
    ],
    ids=["missing", "mixed", "mixed with digests", "order", "order with digests", "name"],
)
def test_mixed_pieces_are_refused(change: object, words: str) -> None:
    one, two = pack(large("a" * 40)), pack(large("b" * 40))
    assert callable(change)
    mixed: Packed = replace(one, **change(one, two))
    with pytest.raises(DamagedCommit, match=words):
        unpack(mixed)


def test_what_is_too_large_says_so_with_figures() -> None:
    with pytest.raises(TooLarge, match=r"1,8\d\d,\d\d\d bytes, 1,000,000 at most") as told:
        pack(large(), 1_000_000)
    assert "--path" in told.value.hint


def kept_of(options: RunOptions) -> KeptCommit:
    """What a run would keep, through its packed form."""
    source = read_source(options)
    kept = KeptCommit(
        source.checkout.commit,
        kept_files(source.checkout.files),
        options.ref,
        source.checkout.ref,
        whole=kept_files(source.whole),
    )
    return unpack(pack(kept))


def test_what_is_encrypted_stays_so_and_is_read_in_clear(tmp_path: Path, encrypt: Encrypt) -> None:
    clear = (
        "apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: shop}\n"
        "stringData: {word: c4nary-w0rd}\n"
    )
    files = {"f.yaml": f"{CONTINUE}---\n{CLUSTER}", "s.yaml": encrypt(clear)}
    options = RunOptions(repo=f"file://{new_repository(tmp_path / 'fleet', files)}", ref="main")
    kept = kept_of(options)
    assert not any(b"c4nary" in file.content for file in (*kept.files, *kept.whole))
    assert "c4nary" not in repr(kept)
    source = read_kept(options, kept, SILENCE)
    assert source.files == read_source(options).files
    assert any(b"c4nary-w0rd" in file.content for file in source.files)


def test_a_kustomization_that_needs_other_folders_has_them(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    needed("kubectl", "kubernetes-client")
    # The rules are beside the kustomization, in a folder that it does not build.
    files = {**BASE, **OVERLAY, "shop/overlays/fleet.yaml": f"{CONTINUE}---\n{CLUSTER}"}
    folder = new_repository(tmp_path / "fleet", files)
    options = RunOptions(repo=f"file://{folder}", ref="main", path="shop/overlays")
    kept = kept_of(options)
    assert {file.path for file in kept.whole} >= {"shop/base/settings.yaml"}
    assert read_kept(options, kept, SILENCE).files == read_source(options).files


def test_a_newly_demanded_signature_is_not_satisfied_by_what_was_not_checked(
    tmp_path: Path, cache: Path
) -> None:
    files = {"f.yaml": f"{CONTINUE}---\n{CLUSTER}", "a.yaml": config_map("a")}
    options = RunOptions(repo=f"file://{new_repository(tmp_path / 'fleet', files)}", ref="main")
    kept = kept_of(options)
    (tmp_path / "keys.pub").write_text("alice@example.com ssh-ed25519 AAAA\n")
    demanding = replace(options, require_signature="ssh", trusted_keys=str(tmp_path / "keys.pub"))
    with pytest.raises(SourceUnreachable, match="was not checked for a commit signed with ssh"):
        read_kept(demanding, kept, SILENCE)
    checked = replace(kept, signed="ssh-commit", signer="alice")
    assert read_kept(demanding, checked, SILENCE).signer == "alice"


def test_the_rule_is_that_of_the_kept_commit(tmp_path: Path, cache: Path) -> None:
    files = {"f.yaml": f"{FEDERATION}---\n{CLUSTER}"}
    options = RunOptions(repo=f"file://{new_repository(tmp_path / 'fleet', files)}", ref="main")
    with pytest.raises(SourceUnreachable, match="whenUnreachable is Stop"):
        read_kept(options, kept_of(options), SILENCE)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, "Stop"),
        ({"seats": ["a", "b", "c"]}, "Continue"),
        ({"seats": ["a", "b", "c"], "source": {"whenUnreachable": "Stop"}}, "Stop"),
        ({"source": {"whenUnreachable": "Continue"}}, "Continue"),
        ({"seats": [], "source": {}}, "Stop"),
    ],
)
def test_with_seats_runs_go_on_unless_the_rule_says_otherwise(
    spec: dict[str, object], expected: str
) -> None:
    assert parse_source_rules(spec).unreachable == expected
