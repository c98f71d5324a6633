"""What kubelets and Prometheus are told of a process that stays."""

from __future__ import annotations

import socket

import pytest
import urllib3

from reconciler.api.errors import UsageError
from reconciler.serve.endpoints import parse_address, serve_endpoints
from reconciler.serve.journal import Journal


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Figures:
    def render(self) -> bytes:
        return b"cars_total 3\n"


def get(port: int, path: str, method: str = "GET") -> tuple[int, str]:
    answer = urllib3.request(method, f"http://127.0.0.1:{port}{path}", retries=False, timeout=10)
    return answer.status, answer.data.decode()


def test_a_new_process_is_alive_but_not_ready() -> None:
    with serve_endpoints("127.0.0.1:0", Journal(60), []) as port:
        assert get(port, "/healthz")[0] == 200
        status, words = get(port, "/readyz")
    assert (status, words) == (503, "no run has ended so far\n")


def test_it_is_ready_once_a_run_could_be_made_even_if_that_failed_somewhere() -> None:
    journal = Journal(60)
    journal.begin()
    journal.end("failed", "the repository cannot be read")
    with serve_endpoints("127.0.0.1:0", journal, []) as port:
        assert get(port, "/readyz") == (503, "the repository cannot be read\n")
        journal.begin()
        journal.end("failed")
        assert get(port, "/readyz")[0] == 200
        journal.begin()
        journal.end("failed", "the repository cannot be read")
        status, words = get(port, "/readyz")
    assert status == 200, "an outage of Git is no reason to call the pod unready"
    assert "the repository cannot be read" in words


def test_standing_by_for_another_run_is_ready() -> None:
    journal = Journal(60)
    journal.begin()
    journal.end("locked", "another run holds the lock")
    assert journal.ready()[0]


def test_a_run_that_never_ends_is_not_alive() -> None:
    clock = Clock()
    journal = Journal(60, clock)
    journal.begin()
    clock.now += 59
    assert journal.alive()[0]
    clock.now += 2
    assert journal.alive() == (False, "a run has not ended for 61 s")
    journal.end("ok")
    clock.now += 10_000
    assert journal.alive()[0], "waiting is not being stuck"


def test_metrics_are_the_loops_own_and_whatever_is_plugged_in() -> None:
    clock = Clock()
    journal = Journal(60, clock)
    for outcome in ("ok", "ok", "failed"):
        journal.begin()
        journal.end(outcome)  # type: ignore[arg-type]
    clock.now += 5
    with serve_endpoints("127.0.0.1:0", journal, [Figures()]) as port:
        status, text = get(port, "/metrics?x=1")
    assert status == 200
    lines = text.splitlines()
    assert 'federation_reconciler_loop_runs_total{outcome="ok"} 2' in lines
    assert 'federation_reconciler_loop_runs_total{outcome="failed"} 1' in lines
    assert "federation_reconciler_loop_seconds_since_run 5.000" in lines
    assert lines[-1] == "cars_total 3"


def test_other_paths_and_methods_do_nothing() -> None:
    with serve_endpoints("127.0.0.1:0", Journal(60), []) as port:
        assert get(port, "/etc/passwd")[0] == 404
        assert get(port, "/healthz", "POST")[0] == 405
        assert get(port, "/webhook")[0] == get(port, "/webhook", "POST")[0] == 404
        assert get(port, "/healthz", "HEAD") == (200, "")


def test_without_a_host_it_listens_on_ipv4_and_ipv6() -> None:
    with serve_endpoints(":0", Journal(60), []) as port:
        assert get(port, "/healthz")[0] == 200
        if socket.has_dualstack_ipv6():
            with socket.create_connection(("::1", port), timeout=5):
                pass


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        (":8080", ("", 8080)),
        ("8080", ("", 8080)),
        ("127.0.0.1:80", ("127.0.0.1", 80)),
        ("[::1]:80", ("::1", 80)),
    ],
)
def test_addresses(text: str, parsed: tuple[str, int]) -> None:
    assert parse_address(text) == parsed


@pytest.mark.parametrize("text", ["", "here", ":http", ":70000", "127.0.0.1", ":-1"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(UsageError):
        parse_address(text)


def test_a_port_that_is_taken_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(UsageError, match="in use"), serve_endpoints(address, Journal(60), []):
            pass
