"""Servers, repositories and keys that the tests of sources share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.cli.conftest import environment, reconcile  # noqa: F401
from tests.unit.git.repositories import config_map, new_repository
from tests.unit.git.servers import HttpServer, SshServer, http_server, ssh_server
from tests.unit.git.signing import Signer, gpg_signer, ssh_signer


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Clones are kept here, and nowhere in the home of whoever runs the tests."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "federation-reconciler"


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    """A repository of one commit in a folder that servers can serve."""
    return new_repository(
        tmp_path / "served" / "fleet", {"shop/a.yaml": config_map("a", key="one")}
    )


@pytest.fixture
def http(origin: Path) -> Iterator[HttpServer]:
    with http_server(origin.parent, "robot", "c4nary-t0ken") as server:
        yield server


@pytest.fixture(scope="session")
def ssh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    with ssh_server(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """The mounted Secret that the http server accepts."""
    folder = tmp_path / "secret"
    folder.mkdir()
    (folder / "username").write_text("robot\n")
    (folder / "password").write_text("c4nary-t0ken\n")
    return folder


@pytest.fixture(scope="session")
def alice() -> Iterator[Signer]:
    """Signs with GPG."""
    with gpg_signer("alice") as signer:
        yield signer


@pytest.fixture(scope="session")
def mallory() -> Iterator[Signer]:
    """Signs with GPG, and is trusted by nobody."""
    with gpg_signer("mallory") as signer:
        yield signer


@pytest.fixture(scope="session")
def bob(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    """Signs with ssh."""
    return ssh_signer(tmp_path_factory.mktemp("bob"), "bob")


@pytest.fixture(scope="session")
def eve(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    """Signs with ssh, and is trusted by nobody."""
    return ssh_signer(tmp_path_factory.mktemp("eve"), "eve")
