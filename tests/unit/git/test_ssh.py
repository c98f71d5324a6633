"""Fetching over ssh: the right host, the right key, and an end in every case."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.api.errors import SourceError
from reconciler.api.files import Checkout
from reconciler.git.credentials import read_credentials
from tests.unit.git.opening import open_source
from tests.unit.git.servers import SshServer, silent_server, ssh_key


def fetched(url: str, cache: Path, secret: Path, seconds: float = 60) -> Checkout:
    return open_source(
        url, ref="main", cache=cache, credentials=read_credentials(secret), seconds=seconds
    )


def refused(url: str, cache: Path, secret: Path, seconds: float = 60) -> SourceError:
    with pytest.raises(SourceError) as caught:
        fetched(url, cache, secret, seconds)
    assert not list((cache / "git").glob("*/refs/reconcile/*"))
    return caught.value


def test_a_key_and_known_hosts_open_the_repository(
    ssh: SshServer, origin: Path, cache: Path, tmp_path: Path
) -> None:
    # A Secret may be mounted anywhere.
    secret = ssh.secret(tmp_path / "a secret's place, 100%")
    checkout = fetched(ssh.url(origin), cache, secret)
    assert [file.path for file in checkout.files] == ["shop/a.yaml"]


def test_the_short_form_of_an_address_is_known(
    ssh: SshServer, origin: Path, cache: Path, tmp_path: Path
) -> None:
    short = f"root@127.0.0.1:{origin}"
    # It has no place for a port: nobody listens at ssh's own here.
    error = refused(short, cache, ssh.secret(tmp_path / "secret"), seconds=20)
    assert "127.0.0.1" in str(error)


def test_another_key_is_refused(ssh: SshServer, origin: Path, cache: Path, tmp_path: Path) -> None:
    ssh_key(tmp_path / "stranger")
    secret = ssh.secret(tmp_path / "secret", identity=(tmp_path / "stranger").read_text())
    assert "does not accept the ssh key" in str(refused(ssh.url(origin), cache, secret))


def test_a_changed_host_key_is_refused(
    ssh: SshServer, origin: Path, cache: Path, tmp_path: Path
) -> None:
    other = ssh_key(tmp_path / "other")
    secret = ssh.secret(tmp_path / "secret", known_hosts=ssh.known_hosts(other))
    error = refused(ssh.url(origin), cache, secret)
    assert "another host key" in str(error)
    assert "known_hosts" in error.hint


def test_an_unknown_host_is_refused_and_not_remembered(
    ssh: SshServer, origin: Path, cache: Path, tmp_path: Path
) -> None:
    other = ssh_key(tmp_path / "other")
    secret = ssh.secret(tmp_path / "secret", known_hosts=f"git.example.com {other}\n")
    error = refused(ssh.url(origin), cache, secret)
    assert "is not in known_hosts" in str(error)
    assert ssh.host_key not in (secret / "known_hosts").read_text()


def test_a_key_without_known_hosts_is_refused_before_any_connection(
    ssh: SshServer, tmp_path: Path
) -> None:
    with pytest.raises(SourceError, match="no known_hosts"):
        read_credentials(ssh.secret(tmp_path / "secret", known_hosts=None))


def test_a_damaged_key_is_named(ssh: SshServer, origin: Path, cache: Path, tmp_path: Path) -> None:
    secret = ssh.secret(tmp_path / "secret", identity="not a key\n")
    assert "ssh key cannot be read" in str(refused(ssh.url(origin), cache, secret))


def test_a_key_that_others_may_read_is_named(
    ssh: SshServer, origin: Path, cache: Path, tmp_path: Path
) -> None:
    secret = ssh.secret(tmp_path / "secret")
    (secret / "identity").chmod(0o644)
    error = refused(ssh.url(origin), cache, secret)
    assert "others may read its file" in str(error)
    assert "0400" in error.hint


def test_a_missing_repository_is_named(ssh: SshServer, cache: Path, tmp_path: Path) -> None:
    secret = ssh.secret(tmp_path / "secret")
    error = refused(ssh.url(tmp_path / "nothing"), cache, secret)
    assert "no such repository" in str(error)


def test_a_server_that_says_nothing_does_not_hold_the_run(
    ssh: SshServer, origin: Path, cache: Path, tmp_path: Path
) -> None:
    secret = ssh.secret(tmp_path / "secret")
    with silent_server() as port:
        error = refused(f"ssh://git@127.0.0.1:{port}/fleet", cache, secret, seconds=1)
    assert "did not finish within 1 s" in str(error)


def test_settings_of_the_user_play_no_part(
    ssh: SshServer, origin: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mounted key means that key: not an agent's, and no proxy of a configuration file."""
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "config").write_text("Host *\n  ProxyCommand false\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "nobody"))
    monkeypatch.setenv("GIT_SSH_COMMAND", "false")
    assert fetched(ssh.url(origin), cache, ssh.secret(tmp_path / "secret")).files
