"""Webhooks of Git servers: who is believed, what is read of them, and what they may cost."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
import urllib3

from reconciler.api.errors import ReconcileError
from reconciler.serve import endpoints, webhooks
from reconciler.serve.endpoints import serve_endpoints
from reconciler.serve.journal import Journal
from reconciler.serve.webhooks import Webhooks, concerns, pushed_refs, read_secrets, signature_of

SECRET = "a-made-up-secret-of-tests"
SIGNING_TOKEN = "whsec_" + base64.b64encode(bytes(range(32))).decode()

PUSHER = {"name": "ada", "email": "ada@example.com"}
COMMIT = {
    "id": "4f1c0de5b7a14c1ba9a3e1c6f1b4d2a1f0e9d8c7",
    "message": "Blue\n",
    "timestamp": "2026-11-28T10:00:00Z",
    "author": PUSHER,
    "added": [],
    "removed": [],
    "modified": ["shop/settings.yaml"],
}
REPOSITORY = {"id": 7, "name": "fleet", "full_name": "platform/fleet", "default_branch": "main"}


def github(ref: str) -> dict[str, Any]:
    return {
        "ref": ref,
        "before": "0" * 40,
        "after": COMMIT["id"],
        "repository": REPOSITORY,
        "pusher": PUSHER,
        "sender": {"login": "ada", "id": 1},
        "created": False,
        "deleted": False,
        "forced": False,
        "base_ref": None,
        "commits": [COMMIT],
        "head_commit": COMMIT,
    }


def gitlab(ref: str) -> dict[str, Any]:
    return {
        "object_kind": "push",
        "event_name": "push",
        "before": "0" * 40,
        "after": COMMIT["id"],
        "ref": ref,
        "ref_protected": True,
        "checkout_sha": COMMIT["id"],
        "user_name": "Ada",
        "project_id": 7,
        "project": {"id": 7, "path_with_namespace": "platform/fleet"},
        "commits": [COMMIT],
        "total_commits_count": 1,
        "push_options": {},
    }


def gitea(ref: str) -> dict[str, Any]:
    return {
        "ref": ref,
        "before": "0" * 40,
        "after": COMMIT["id"],
        "compare_url": "",
        "commits": [COMMIT],
        "total_commits": 1,
        "head_commit": COMMIT,
        "repository": REPOSITORY,
        "pusher": PUSHER,
        "sender": PUSHER,
    }


def bitbucket_cloud(ref: str) -> dict[str, Any]:
    _, place, name = ref.split("/", 2)
    target = {"type": "commit", "hash": COMMIT["id"]}
    branch = {"type": {"heads": "branch", "tags": "tag"}[place], "name": name, "target": target}
    return {
        "actor": {"type": "user", "display_name": "Ada"},
        "repository": {"type": "repository", "full_name": "platform/fleet"},
        "push": {
            "changes": [
                {
                    "new": branch,
                    "old": None,
                    "created": True,
                    "closed": False,
                    "forced": False,
                    "commits": [target],
                    "truncated": False,
                }
            ]
        },
    }


def bitbucket_data_center(ref: str) -> dict[str, Any]:
    name = ref.split("/", 2)[2]
    return {
        "eventKey": "repo:refs_changed",
        "date": "2026-11-28T10:00:00+0000",
        "actor": {"name": "ada", "emailAddress": "ada@example.com", "id": 1},
        "repository": {"slug": "fleet", "id": 7, "project": {"key": "PLATFORM"}},
        "changes": [
            {
                "ref": {"id": ref, "displayId": name, "type": "BRANCH"},
                "refId": ref,
                "fromHash": "0" * 40,
                "toHash": COMMIT["id"],
                "type": "UPDATE",
            }
        ],
        "commits": [{"id": COMMIT["id"], "displayId": "4f1c0de5b7a"}],
    }


PAYLOADS = {
    "github": github,
    "gitlab": gitlab,
    "gitea": gitea,
    "bitbucket": bitbucket_cloud,
    "bitbucket-data-center": bitbucket_data_center,
}


def digest(body: bytes, secret: str = SECRET, method: str = "sha256") -> str:
    return hmac.new(secret.encode(), body, method).hexdigest()


def standard(body: bytes, token: str = SIGNING_TOKEN, stamp: str = "1796000000") -> dict[str, str]:
    """As GitLab signs with a signing token."""
    key = base64.b64decode(token.removeprefix("whsec_"))
    said = b".".join((b"5d0f", stamp.encode(), body))
    mine = base64.b64encode(hmac.new(key, said, hashlib.sha256).digest()).decode()
    return {"webhook-id": "5d0f", "webhook-timestamp": stamp, "webhook-signature": f"v1,{mine}"}


def headers_of(server: str, body: bytes, secret: str = SECRET) -> dict[str, str]:
    """What each server sends, but for what every HTTP client does."""
    hex_digest = digest(body, secret)
    return {
        "github": {
            "X-GitHub-Event": "push",
            "X-GitHub-Delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
            "X-Hub-Signature": f"sha1={digest(body, secret, 'sha1')}",
            "X-Hub-Signature-256": f"sha256={hex_digest}",
        },
        "gitlab": {
            "X-Gitlab-Event": "Push Hook",
            "X-Gitlab-Token": secret,
            "webhook-id": "5d0f",
            "webhook-timestamp": "1796000000",
        },
        "gitea": {
            "X-Gitea-Event": "push",
            "X-Gitea-Signature": hex_digest,
            "X-Gogs-Signature": hex_digest,
            "X-GitHub-Event": "push",
            "X-Hub-Signature": f"sha1={digest(body, secret, 'sha1')}",
            "X-Hub-Signature-256": f"sha256={hex_digest}",
        },
        "forgejo": {
            "X-Forgejo-Event": "push",
            "X-Forgejo-Signature": hex_digest,
            "X-Gitea-Signature": hex_digest,
        },
        "bitbucket": {"X-Event-Key": "repo:push", "X-Hub-Signature": f"sha256={hex_digest}"},
        "bitbucket-data-center": {
            "X-Event-Key": "repo:refs_changed",
            "X-Hub-Signature": f"sha256={hex_digest}",
        },
    }[server]


SERVERS = ("github", "gitlab", "gitea", "forgejo", "bitbucket", "bitbucket-data-center")


def payload(server: str, ref: str) -> bytes:
    return json.dumps(PAYLOADS["gitea" if server == "forgejo" else server](ref)).encode()


def message(headers: Mapping[str, str]) -> Message:
    made = Message()
    for name, value in headers.items():
        made[name] = value
    return made


def believed(body: bytes, headers: Mapping[str, str], *secrets: str) -> tuple[str, bool]:
    given = [one.encode() for one in secrets or (SECRET,)]
    provider, signature = signature_of(message(headers), given)
    signature.update(body[:5])
    signature.update(body[5:])
    return provider, signature.holds()


# -- who is believed -------------------------------------------------------------------------------


@pytest.mark.parametrize("server", SERVERS)
def test_what_each_server_signs_is_believed_and_nothing_beside_it(server: str) -> None:
    body = payload(server, "refs/heads/main")
    provider = {"forgejo": "gitea", "bitbucket-data-center": "bitbucket"}.get(server, server)
    headers = headers_of(server, body)
    assert believed(body, headers) == (provider, True)
    assert believed(body, headers, "another-secret-of-theirs") == (provider, False)
    assert believed(body, headers, "another-secret-of-theirs", SECRET) == (provider, True)
    if server != "gitlab":
        assert believed(body + b" ", headers) == (provider, False)


def test_gitlabs_signing_token_covers_id_time_and_body() -> None:
    body = payload("gitlab", "refs/heads/main")
    headers = standard(body)
    assert believed(body, headers, SIGNING_TOKEN) == ("gitlab", True)
    for name, other in (("webhook-id", "5d0e"), ("webhook-timestamp", "1796000001")):
        assert believed(body, {**headers, name: other}, SIGNING_TOKEN) == ("gitlab", False)
    assert believed(body + b" ", headers, SIGNING_TOKEN) == ("gitlab", False)
    rotated = {**headers, "webhook-signature": f"v1,bm90aGluZw== {headers['webhook-signature']}"}
    assert believed(body, rotated, SIGNING_TOKEN) == ("gitlab", True)
    later = headers["webhook-signature"].replace("v1,", "v1a,")
    assert believed(body, {**headers, "webhook-signature": later}, SIGNING_TOKEN)[1] is False


def test_where_there_is_a_signature_the_token_beside_it_does_not_count() -> None:
    body = payload("gitlab", "refs/heads/main")
    wrong = {**standard(b"another body"), "X-Gitlab-Token": SECRET}
    assert believed(body, wrong, SECRET, SIGNING_TOKEN) == ("gitlab", False)


@pytest.mark.parametrize(
    ("headers", "provider"),
    [
        ({}, "unknown"),
        ({"X-GitHub-Event": "push"}, "unknown"),
        ({"X-Hub-Signature": "sha1=" + digest(b"{}", method="sha1")}, "bitbucket"),
        ({"X-Hub-Signature-256": "md5=" + digest(b"{}", method="md5")}, "github"),
        ({"X-Hub-Signature-256": digest(b"{}")}, "github"),
        ({"X-Hub-Signature-256": "sha256="}, "github"),
        ({"X-Hub-Signature-256": "sha256=é"}, "github"),
        ({"X-Gitea-Signature": ""}, "gitea"),
        ({"X-Gitea-Signature": digest(b"{}")[:-2]}, "gitea"),
        ({"X-Gitlab-Token": ""}, "gitlab"),
        ({"X-Gitlab-Token": SECRET[:-1]}, "gitlab"),
        ({"X-Gitlab-Token": "é"}, "gitlab"),
        ({"webhook-signature": "v1,"}, "gitlab"),
        ({"webhook-signature": "v1,é"}, "gitlab"),
        ({"webhook-signature": "v1"}, "gitlab"),
    ],
)
def test_what_is_no_signature_of_ours(headers: dict[str, str], provider: str) -> None:
    assert believed(b"{}", headers, SECRET, SIGNING_TOKEN) == (provider, False)


def test_of_two_signatures_neither_is_believed() -> None:
    headers = message({"X-Gitea-Signature": digest(b"{}")})
    headers["X-Gitea-Signature"] = digest(b"{}")
    assert not signature_of(headers, [SECRET.encode()])[1].holds()


def test_every_comparison_is_one_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def equal(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return False

    monkeypatch.setattr("reconciler.serve.webhooks.hmac.compare_digest", equal)
    for server in SERVERS:
        body = payload(server, "refs/heads/main")
        assert not believed(body, headers_of(server, body), SECRET, "another-secret-of-theirs")[1]
    assert not believed(b"{}", standard(b"{}"), SIGNING_TOKEN)[1]
    assert len(compared) == 2 * len(SERVERS) + 1, "with each secret, none is left out"
    assert {len(one) for one, _ in compared} == {32}, "of digests, as the length tells as well"


# -- the file of secrets ---------------------------------------------------------------------------


def test_a_file_has_a_secret_a_line_so_that_a_new_one_can_come_beside_the_old(
    tmp_path: Path,
) -> None:
    file = tmp_path / "secret"
    file.write_text(f"\n{SECRET}\r\n  {SIGNING_TOKEN}\n\n")
    assert read_secrets(file) == (SECRET.encode(), SIGNING_TOKEN.encode())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "No such file"),
        ("", "0 secrets"),
        ("\n \n", "0 secrets"),
        (f"{SECRET}\nhunter2\n", ":2:1: a secret of 7 characters can be guessed"),
        ("whsec_not-base64-at-all\n", ":1:1: not a signing token"),
        (f"{SECRET}\n" * 9, "9 secrets"),
    ],
)
def test_a_file_of_no_use_is_told_without_what_is_in_it(
    tmp_path: Path, text: str | None, said: str
) -> None:
    file = tmp_path / "secret"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ReconcileError) as found:
        read_secrets(file)
    assert said in str(found.value)
    assert found.value.hint
    assert "hunter2" not in f"{found.value} {found.value.hint}"


# -- what is read of a body ------------------------------------------------------------------------


@pytest.mark.parametrize("server", PAYLOADS)
@pytest.mark.parametrize("ref", ["refs/heads/main", "refs/heads/a/b", "refs/tags/v1"])
def test_what_was_pushed_is_read_from_each_servers_body(server: str, ref: str) -> None:
    assert pushed_refs(payload(server, ref)) == {ref}


def test_a_branch_that_bitbucket_deleted_is_named_by_what_it_was() -> None:
    told = bitbucket_cloud("refs/heads/main")
    (change,) = told["push"]["changes"]
    change["old"], change["new"] = change["new"], None
    assert pushed_refs(json.dumps(told).encode()) == {"refs/heads/main"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b"[" * 100_000,
        b"{}",
        b'{"zen": "Keep it logically awesome.", "hook_id": 7}',
        b'{"ref": "main", "ref_type": "branch"}',
        b'{"ref": 5}',
        b'{"changes": {"title": {"from": "a"}}}',
        b'{"changes": [{"ref": {"id": "refs/heads/other"}}, {}]}',
        b'{"push": {"changes": [{"new": {"type": "bookmark", "name": "other"}}]}}',
        b"payload=%7B%22ref%22%3A%22refs%2Fheads%2Fother%22%7D",
    ],
)
def test_what_does_not_say_beyond_doubt_what_was_pushed_may_be_ours(body: bytes) -> None:
    assert pushed_refs(body) == frozenset()
    assert concerns(pushed_refs(body), "main")


@pytest.mark.parametrize(
    ("ref", "pushed", "ours"),
    [
        ("main", "refs/heads/main", True),
        ("main", "refs/tags/main", True),
        ("main", "refs/heads/other/main", False),
        ("main", "refs/heads/maintenance", False),
        ("refs/heads/main", "refs/heads/main", True),
        ("refs/heads/main", "refs/heads/other", False),
        ("v1", "refs/tags/v1", True),
        ("0" * 40, "refs/heads/main", False),
        (None, "refs/heads/other", True),
        ("HEAD", "refs/heads/other", True),
        ("refs/pull/7/head", "refs/heads/other", True),
    ],
)
def test_a_push_is_left_out_only_where_it_is_certainly_of_another_ref(
    ref: str | None, pushed: str, ours: bool
) -> None:
    assert concerns(frozenset({pushed}), ref) is ours


# -- over HTTP -------------------------------------------------------------------------------------


@dataclass
class Receiver:
    """What was asked for and told. ``ending``: the process is about to end."""

    secrets: Path
    port: int = 0
    looks: int = 0
    told: list[str] = field(default_factory=list)
    ending: bool = False
    now: float = 0.0

    def look(self) -> bool:
        self.looks += not self.ending
        return not self.ending

    def post(
        self, body: bytes, headers: Mapping[str, str], path: str = "/webhook", method: str = "POST"
    ) -> int:
        url = f"http://127.0.0.1:{self.port}{path}"
        answer = urllib3.request(method, url, body=body, headers=headers, retries=False, timeout=20)
        return answer.status

    def push(self, server: str, ref: str = "refs/heads/main", secret: str = SECRET) -> int:
        body = payload(server, ref)
        return self.post(body, headers_of(server, body, secret))

    def counted(self, provider: str, result: str) -> int:
        url = f"http://127.0.0.1:{self.port}/metrics"
        text = urllib3.request("GET", url, timeout=20).data.decode()
        labels = f'{{provider="{provider}",result="{result}"}} '
        name = "federation_reconciler_webhooks_total"
        return int(text.partition(name + labels)[2].partition("\n")[0])


@contextmanager
def receiving(secrets: Path, ref: str | None = "main") -> Iterator[Receiver]:
    receiver = Receiver(secrets)
    hooks = Webhooks(secrets, ref, receiver.look, receiver.told.append, lambda: receiver.now)
    with serve_endpoints("127.0.0.1:0", Journal(60), [], hooks) as port:
        receiver.port = port
        yield receiver


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n")
    return file


@pytest.fixture
def receiver(secrets: Path) -> Iterator[Receiver]:
    with receiving(secrets) as receiver:
        yield receiver


@pytest.mark.parametrize("server", SERVERS)
def test_a_signed_push_of_our_branch_asks_for_a_look(receiver: Receiver, server: str) -> None:
    assert receiver.push(server) == 202
    assert receiver.looks == 1
    assert receiver.push(server, "refs/heads/feature") == 202
    assert receiver.looks == 1, "of another branch there is nothing to see"
    assert receiver.push(server, secret="another-secret-of-theirs") == 401
    assert receiver.looks == 1
    name = {"forgejo": "gitea", "bitbucket-data-center": "bitbucket"}.get(server, server)
    assert [receiver.counted(name, one) for one in ("accepted", "ignored", "refused")] == [1, 1, 1]


def test_a_replay_only_makes_us_look_again(receiver: Receiver) -> None:
    assert [receiver.push("github") for _ in range(3)] == [202] * 3
    assert receiver.looks == 3


def test_while_the_process_ends_the_sender_is_told_to_come_again(receiver: Receiver) -> None:
    receiver.ending = True
    assert receiver.push("github") == 503
    assert receiver.push("github", secret="another-secret-of-theirs") == 401, "and nobody else"
    assert receiver.counted("github", "accepted") == 0


def test_without_a_signature_nothing_is_told_but_that(receiver: Receiver) -> None:
    assert receiver.post(b"{}", {}) == 401
    assert receiver.counted("unknown", "refused") == 1
    assert receiver.post(b"{}", {}, method="PUT") == 501
    assert receiver.post(b"", {}, method="GET") == 405
    assert receiver.post(b"{}", {}, path="/webhook/github") == 404
    assert receiver.looks == 0


def test_without_a_secret_there_is_no_such_path() -> None:
    with serve_endpoints("127.0.0.1:0", Journal(60), []) as port:
        receiver = Receiver(Path(), port)
        body = payload("github", "refs/heads/main")
        assert receiver.post(body, headers_of("github", body)) == 404
        assert receiver.post(b"", {}, method="GET") == 404
        text = urllib3.request("GET", f"http://127.0.0.1:{port}/metrics").data.decode()
        assert "webhooks_total" not in text


def test_a_new_secret_holds_at_once_and_a_removed_one_no_longer(
    receiver: Receiver, secrets: Path
) -> None:
    new = "the-secret-of-next-month"
    assert receiver.push("github", secret=new) == 401
    secrets.write_text(f"{SECRET}\n{new}\n")
    assert receiver.push("github", secret=new) == receiver.push("github") == 202
    secrets.write_text(f"{new}\n")
    assert receiver.push("github") == 401
    secrets.unlink()
    receiver.now += 60
    assert receiver.push("github", secret=new) == 401
    assert "No such file" in receiver.told[-1]


def test_refusals_are_told_but_not_each_of_thousands(receiver: Receiver) -> None:
    for _ in range(50):
        receiver.push("gitlab", secret="another-secret-of-theirs")
    assert len(receiver.told) == 1
    assert "gitlab's webhook is not signed" in receiver.told[0]
    receiver.now += 60
    receiver.push("gitlab", secret="another-secret-of-theirs")
    assert "49 others were refused" in receiver.told[1]
    assert not [line for line in receiver.told if SECRET in line or "theirs" in line]


# -- what a client may cost ------------------------------------------------------------------------


def talk(port: int, *pieces: bytes, pause: float = 0.0) -> bytes:
    """What is answered to these bytes, sent piece by piece."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        answer = b""
        # A server that has heard enough hangs up, and what it said before can still be read.
        with suppress(ConnectionError):
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(pause)
        with suppress(ConnectionError):
            while more := connection.recv(65536):
                answer += more
        return answer


def head(*lines: str) -> bytes:
    return "\r\n".join(["POST /webhook HTTP/1.1", "Host: x", *lines, "", ""]).encode()


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ((f"Content-Length: {webhooks.MOST_BYTES + 1}",), 413),
        (("Content-Length: " + "9" * 15,), 413),
        (("Content-Length: " + "9" * 9000,), 411),
        (("Content-Length: -1",), 411),
        (("Content-Length: ²",), 411),
        (("Content-Length: 2", "Content-Length: 3"), 411),
        (("Content-Length: 2", "Transfer-Encoding: chunked"), 411),
        (("Transfer-Encoding: chunked",), 411),
        ((), 411),
        (tuple(f"X-{n}: y" for n in range(200)), 431),
        (("X-Long: " + "y" * 40_000,), 431),
        (("X-Long: " + "y" * 70_000,), 431),
    ],
)
def test_a_body_whose_length_is_not_said_or_too_large_is_not_read(
    receiver: Receiver, lines: tuple[str, ...], status: int
) -> None:
    assert f" {status} ".encode() in talk(receiver.port, head(*lines)).partition(b"\r\n")[0]
    assert receiver.looks == 0


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("POST", "/webhook", 413), ("POST", "/metrics", 405), ("POST", "/no", 404), ("PUT", "/", 501)],
)
def test_who_sends_all_before_reading_hears_why_it_is_refused(
    receiver: Receiver, method: str, path: str, status: int
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", receiver.port, timeout=20)
    connection.request(method, path, bytes(webhooks.MOST_BYTES + 1))
    assert connection.getresponse().status == status
    connection.close()


def test_a_push_of_thousands_of_commits_is_believed_though_nobody_reads_its_refs(
    receiver: Receiver,
) -> None:
    told = {**github("refs/heads/feature"), "commits": [COMMIT] * 8000}
    body = json.dumps(told).encode()
    assert webhooks.READ_BYTES < len(body) < webhooks.MOST_BYTES
    assert receiver.post(body, headers_of("github", body)) == 202
    assert receiver.looks == 1


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "SLOW_CLIENT_SECONDS", 0.5)


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("first", [b"POST /webhook", head("Content-Length: 100000")])
def test_who_sends_a_byte_now_and_then_is_hung_up_on(receiver: Receiver, first: bytes) -> None:
    began = time.monotonic()
    assert talk(receiver.port, first, *[b"a"] * 200, pause=0.05) == b""
    assert time.monotonic() - began < 9, "the time is that of the whole request"
    assert receiver.push("github") == 202, "others are served"


def test_slow_clients_keep_nobody_waiting(receiver: Receiver) -> None:
    slow = [socket.create_connection(("127.0.0.1", receiver.port)) for _ in range(20)]
    for one in slow:
        one.sendall(head("Content-Length: 1000"))
    began = time.monotonic()
    assert receiver.push("github") == 202
    assert time.monotonic() - began < 8
    for one in slow:
        one.close()


def test_whoever_opens_many_connections_takes_neither_files_nor_places_from_others(
    receiver: Receiver,
) -> None:
    crowd = []
    for _ in range(endpoints.MOST_CONNECTIONS + 20):
        crowd.append(socket.create_connection(("127.0.0.1", receiver.port), timeout=20))
        crowd[-1].sendall(head("Content-Length: 1000"))
    assert receiver.push("github") == 202
    for one in crowd[:20]:
        one.settimeout(endpoints.SLOW_CLIENT_SECONDS / 2)
        assert one.recv(64) == b"", "those that have been there for the longest are hung up on"
    for one in crowd:
        one.close()


def test_a_header_without_end_is_not_kept(receiver: Receiver) -> None:
    with socket.create_connection(("127.0.0.1", receiver.port), timeout=20) as connection:
        connection.sendall(b"POST /webhook HTTP/1.1\r\n")
        sent = 0
        with suppress(OSError):
            while sent < 16_000_000:
                sent += connection.send(b"X-Long: " + b"x" * 60_000 + b"\r\n")
        assert sent < 16_000_000, "the server hung up"


def test_many_at_once_are_all_answered(receiver: Receiver) -> None:
    answers: list[int] = []
    threads = [
        threading.Thread(target=lambda: answers.append(receiver.push("gitea"))) for _ in range(20)
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join(30)
    assert answers == [202] * 20
    assert receiver.counted("gitea", "accepted") == 20
