"""Fetching over http: credentials, trouble on the way, and what must not leak."""

from __future__ import annotations

import base64
import os
import re
import time
from pathlib import Path

import pytest

from reconciler.api.errors import SourceError
from reconciler.api.files import Checkout
from reconciler.git.credentials import SourceCredentials, read_credentials, split_url
from reconciler.git.local import git_environment
from tests.unit.git.opening import open_source
from tests.unit.git.repositories import commit, config_map, git
from tests.unit.git.servers import HttpServer, http_server, own_certificate, silent_server

TOKEN = "c4nary-t0ken"


def fetched(
    url: str, cache: Path, secret: Path | None = None, *, ref: str = "main", seconds: float = 60
) -> Checkout:
    credentials = read_credentials(secret) if secret else None
    return open_source(url, ref=ref, cache=cache, credentials=credentials, seconds=seconds)


def refused(url: str, cache: Path, secret: Path | None = None, **given: object) -> SourceError:
    with pytest.raises(SourceError) as caught:
        fetched(url, cache, secret, **given)  # type: ignore[arg-type]
    assert TOKEN not in f"{caught.value} {caught.value.hint}"
    return caught.value


def test_a_password_of_a_mounted_secret_opens_the_repository(
    http: HttpServer, cache: Path, secret: Path, origin: Path
) -> None:
    checkout = fetched(http.url("fleet"), cache, secret)
    assert [file.path for file in checkout.files] == ["shop/a.yaml"]
    assert checkout.commit == git(origin, "rev-parse", "HEAD")
    assert checkout.ref == "refs/heads/main"
    assert checkout.description == http.url("fleet")


def test_a_token_alone_is_enough(origin: Path, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "mounted").mkdir()
    (tmp_path / "mounted" / "token").write_text(TOKEN)
    with http_server(origin.parent, "x-access-token", TOKEN) as server:
        assert fetched(server.url("fleet"), cache, tmp_path / "mounted").files


def test_no_file_and_no_argument_ever_holds_the_password(
    http: HttpServer, cache: Path, secret: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spy = tmp_path / "bin" / "git"
    spy.parent.mkdir()
    told = tmp_path / "arguments"
    real = git(tmp_path, "--exec-path") + "/git"
    spy.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >> {told}\nexec {real} "$@"\n')
    spy.chmod(0o755)
    monkeypatch.setenv("PATH", f"{spy.parent}:{os.environ['PATH']}")
    fetched(http.url("fleet"), cache, secret)
    assert "fetch" in told.read_text()
    assert TOKEN not in told.read_text()
    kept = [file for file in cache.rglob("*") if file.is_file()]
    assert kept
    assert not [file for file in kept if TOKEN.encode() in file.read_bytes()]


def test_a_password_in_the_url_is_taken_out_of_it(http: HttpServer, cache: Path) -> None:
    url = http.url("fleet").replace("http://", f"http://robot:{TOKEN}@")
    checkout = fetched(url, cache)
    assert checkout.files
    assert TOKEN not in checkout.description
    wrong = http.url("fleet").replace("http://", f"http://robot:{TOKEN}x@")
    assert "does not accept the credential" in str(refused(wrong, cache))


@pytest.mark.parametrize(
    ("password", "said"),
    [("another-t0ken", "does not accept the credential"), (None, "wants a credential")],
)
def test_a_wrong_or_missing_credential_is_told_from_other_trouble(
    http: HttpServer, cache: Path, secret: Path, password: str | None, said: str
) -> None:
    if password:
        (secret / "password").write_text(password)
    error = refused(http.url("fleet"), cache, secret if password else None)
    assert said in str(error)
    assert len(http.seen) <= 3, "a refused credential is not tried again"


def test_the_password_does_not_follow_a_redirect_to_another_server(
    http: HttpServer, cache: Path, secret: Path, origin: Path
) -> None:
    with http_server(origin.parent, "robot", TOKEN) as other:
        http.faults = [f"http://localhost:{other.port}"] * 10
        refused(http.url("fleet"), cache, secret)
        assert http.seen
        assert not [header for _, _, header in other.seen if header]


def test_a_redirect_within_the_server_is_followed(
    http: HttpServer, cache: Path, secret: Path
) -> None:
    http.faults = [http.url("").rstrip("/")]
    assert fetched(http.url("fleet"), cache, secret).files


def test_https_wants_an_authority_that_is_trusted(
    origin: Path, cache: Path, secret: Path, tmp_path: Path
) -> None:
    authority = own_certificate(tmp_path / "server.pem")
    with http_server(origin.parent, "robot", TOKEN, tmp_path / "server.pem") as server:
        error = refused(server.url("fleet"), cache, secret)
        assert "certificate is not trusted" in str(error)
        assert "ca.crt" in error.hint
        assert not server.seen, "nothing was sent to it"
        (secret / "ca.crt").write_text(authority)
        assert fetched(server.url("fleet"), cache, secret).files


def test_a_password_is_not_sent_over_plain_http_to_another_machine() -> None:
    credentials = SourceCredentials("robot", TOKEN)
    with pytest.raises(SourceError, match="not sent over plain http"):
        git_environment(credentials, "http://git.example.com/fleet.git")
    assert git_environment(credentials, "https://git.example.com/fleet.git")


def test_trouble_that_passes_is_tried_again(http: HttpServer, cache: Path, secret: Path) -> None:
    http.faults = ["500", "cut"]
    assert fetched(http.url("fleet"), cache, secret).files


def test_trouble_that_stays_ends_in_words(http: HttpServer, cache: Path, secret: Path) -> None:
    http.faults = ["500"] * 10
    assert "trouble of its own" in str(refused(http.url("fleet"), cache, secret))


@pytest.mark.parametrize("fault", ["cut", "garble"])
def test_a_damaged_pack_is_not_read(
    http: HttpServer, cache: Path, secret: Path, fault: str
) -> None:
    http.pack_fault = fault
    error = refused(http.url("fleet"), cache, secret)
    assert re.search("broke off|is damaged", str(error))
    http.pack_fault = ""
    assert fetched(http.url("fleet"), cache, secret).files


def test_a_server_that_hangs_does_not_hold_the_run(
    http: HttpServer, cache: Path, secret: Path
) -> None:
    http.faults = ["hang"]
    began = time.monotonic()
    error = refused(http.url("fleet"), cache, secret, seconds=1)
    assert "did not finish within 1 s" in str(error)
    assert time.monotonic() - began < 20


def test_a_port_that_never_answers_does_not_hold_the_run(cache: Path) -> None:
    with silent_server() as port:
        error = refused(f"http://127.0.0.1:{port}/fleet", cache, seconds=1)
    assert "did not finish within 1 s" in str(error)


def test_nobody_listening_is_no_connection(cache: Path) -> None:
    with silent_server() as port:
        pass
    assert "no connection" in str(refused(f"http://127.0.0.1:{port}/fleet", cache))


def test_a_missing_repository_or_ref_is_named(
    http: HttpServer, cache: Path, secret: Path, origin: Path
) -> None:
    assert "no such repository" in str(refused(http.url("nothing"), cache, secret))
    git(origin, "branch", "production")
    error = refused(http.url("fleet"), cache, secret, ref="prodution")
    assert "has no ref 'prodution'" in str(error)
    assert error.hint == "did you mean production?"
    short = git(origin, "rev-parse", "--short=10", "HEAD")
    assert "whole id" in refused(http.url("fleet"), cache, secret, ref=short).hint


@pytest.mark.parametrize("ref", ["--upload-pack=touch /tmp/x", "main:other", "a b", "..", "HEAD~1"])
def test_a_ref_that_git_could_misread_is_refused(http: HttpServer, cache: Path, ref: str) -> None:
    assert "--ref" in str(refused(http.url("fleet"), cache, ref=ref))
    assert not http.seen


def test_branch_tag_and_commit_can_be_named(
    http: HttpServer, cache: Path, secret: Path, origin: Path
) -> None:
    first = git(origin, "rev-parse", "HEAD")
    git(origin, "tag", "-a", "v1", "-m", "one")
    second = commit(origin, {"shop/a.yaml": config_map("a", key="two")})
    url = http.url("fleet")
    assert fetched(url, cache, secret, ref="v1").commit == first
    assert fetched(url, cache, secret, ref="v1").tag == git(origin, "rev-parse", "v1")
    assert fetched(url, cache, secret, ref=first).commit == first
    assert fetched(url, cache, secret, ref="main").commit == second
    assert fetched(url, cache, secret, ref="refs/heads/main").commit == second


def test_a_tag_cannot_divert_a_branch_of_its_name(
    http: HttpServer, cache: Path, secret: Path, origin: Path
) -> None:
    head = commit(origin, {"shop/a.yaml": config_map("a", key="two")})
    git(origin, "tag", "main", "HEAD~1")
    assert fetched(http.url("fleet"), cache, secret).commit == head


def test_an_unchanged_repository_is_not_sent_again(
    http: HttpServer, cache: Path, secret: Path, origin: Path
) -> None:
    commit(origin, {"big.txt": os.urandom(150_000).hex()})
    first = fetched(http.url("fleet"), cache, secret)
    before = http.sent
    assert fetched(http.url("fleet"), cache, secret).files == first.files
    commit(origin, {"shop/b.yaml": config_map("b")})
    assert len(fetched(http.url("fleet"), cache, secret).files) == 3
    assert http.sent - before < 20_000


def test_a_force_pushed_branch_is_followed(
    http: HttpServer, cache: Path, secret: Path, origin: Path
) -> None:
    fetched(http.url("fleet"), cache, secret)
    git(origin, "checkout", "-q", "--orphan", "other")
    head = commit(origin, {"shop/a.yaml": config_map("a", key="two")})
    git(origin, "branch", "-f", "main", "other")
    assert fetched(http.url("fleet"), cache, secret).commit == head


@pytest.mark.parametrize("damage", ["objects", "refs", "everything", "not a repository"])
def test_a_damaged_clone_is_thrown_away_and_made_anew(
    http: HttpServer, cache: Path, secret: Path, damage: str
) -> None:
    whole = fetched(http.url("fleet"), cache, secret)
    (clone,) = [place for place in (cache / "git").iterdir() if place.is_dir()]
    for file in [file for file in clone.rglob("*") if file.is_file()]:
        name = file.relative_to(clone).parts[0]
        if damage == "everything" or name == damage:
            file.chmod(0o600)
            file.write_bytes(b"\0" * 20)
        elif damage == "not a repository" and name == "HEAD":
            file.unlink()
    assert fetched(http.url("fleet"), cache, secret).files == whole.files


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({}, "holds no credential"),
        ({"identity": "x"}, "no known_hosts"),
        ({"password": "a\nhost=evil.example.com"}, "more than one line"),
        ({"password": b"\xff\xfe"}, "cannot be read as text"),
    ],
)
def test_a_secret_that_cannot_be_meant_is_refused(
    tmp_path: Path, content: dict[str, str | bytes], said: str
) -> None:
    for name, value in content.items():
        (tmp_path / name).write_bytes(value if isinstance(value, bytes) else value.encode())
    with pytest.raises(SourceError, match=said):
        read_credentials(tmp_path)


def test_urls_are_split_from_their_passwords() -> None:
    assert split_url("https://git.example.com/x") == (
        "https://git.example.com/x",
        SourceCredentials(),
    )
    url, credentials = split_url("https://me:p%40ss@git.example.com:8443/x.git")
    assert url == "https://git.example.com:8443/x.git"
    assert (credentials.username, credentials.password) == ("me", "p@ss")
    assert split_url("https://t0ken@git.example.com/x")[1].password == "t0ken"
    assert split_url("ssh://git@git.example.com/x")[0] == "ssh://git@git.example.com/x"


def test_errors_hold_no_form_of_the_password() -> None:
    credentials = SourceCredentials("me", "p@ss w0rd")
    encoded = base64.b64encode(b"me:p@ss w0rd").decode()
    said = credentials.redact(f"p@ss w0rd, p%40ss%20w0rd, Basic {encoded}; {credentials!r}")
    assert "***, ***, Basic ***" in said
    assert "w0rd" not in said
