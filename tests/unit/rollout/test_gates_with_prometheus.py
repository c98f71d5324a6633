"""Gates as Prometheus itself answers them, while what it measures changes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from reconciler.federation.model import Gate
from reconciler.rollout.gates import GateAnswer, ask_gates
from tests.controlplane.process import eventually
from tests.e2e.cronjob.prometheus import Prometheus, prometheus

Ask = Callable[..., GateAnswer]


class Shop:
    """Something that is measured: requests that fail, by cluster."""

    def __init__(self) -> None:
        self.failing = {"aws-eu": 0.0, "gcp-eu": 0.0}

    def metrics(self) -> bytes:
        lines = [f'failing{{cluster="{name}"}} {value}' for name, value in self.failing.items()]
        return "\n".join(["# TYPE failing gauge", *lines, ""]).encode()


@pytest.fixture(scope="module")
def shop() -> Shop:
    return Shop()


@pytest.fixture(scope="module")
def server(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = shop.metrics()
            self.send_response(200)
            self.send_header("content-type", "text/plain; version=0.0.4")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as metrics:
        threading.Thread(target=metrics.serve_forever, daemon=True).start()
        target = f"127.0.0.1:{metrics.server_address[1]}"
        with prometheus(tmp_path_factory.mktemp("prometheus"), target) as found:
            eventually(lambda: len(found.query("failing")) == 2, "both are scraped", timeout=120)
            yield found
        metrics.shutdown()


@pytest.fixture
def ask(server: Prometheus, monkeypatch: pytest.MonkeyPatch) -> Ask:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)

    def one(query: str, **threshold: float) -> GateAnswer:
        gate = Gate("failing", f"http://127.0.0.1:{server.port}", query, **threshold)
        return ask_gates([gate])[gate]

    return one


def test_a_gate_holds_until_one_cluster_fails_and_again_afterwards(ask: Ask, shop: Shop) -> None:
    assert ask("failing", at_most=0.01).holds
    shop.failing["gcp-eu"] = 0.25
    eventually(lambda: not ask("failing", at_most=0.01).holds, "it is noticed", timeout=120)
    answer = ask("failing", at_most=0.01)
    assert answer.value == 0.25
    assert answer.why.startswith("0.25 is more than 0.01 ({__name__=failing, cluster=gcp-eu,")
    shop.failing["gcp-eu"] = 0.0
    eventually(lambda: ask("failing", at_most=0.01).holds, "it is over", timeout=120)


def test_sums_and_scalars_are_samples_as_well(ask: Ask) -> None:
    assert ask("sum(up)", at_least=1).why == "1 is at least 1"
    assert ask("scalar(sum(up))", at_least=1).value == 1
    assert not ask("vector(3) + 1", at_most=3.5).holds


def test_a_comparison_that_filters_all_away_does_not_hold(ask: Ask) -> None:
    filtered = ask("failing > 0.9", at_most=1)
    assert (filtered.holds, filtered.why) == (False, "not known: the query finds no sample")
    assert ask("count(failing > 0.9) or vector(0)", at_most=0).holds


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("missing_metric", "the query finds no sample"),
        ("vector(0) / vector(0)", "NaN"),
        ("failing[1m]", "with a matrix"),
        ('"text"', "with a string"),
        ("failing{", "HTTP 400: invalid parameter"),
        ("failing / on() failing", "HTTP 422: "),
    ],
)
def test_what_is_no_value_is_told_and_does_not_hold(ask: Ask, query: str, said: str) -> None:
    answer = ask(query, at_least=-1)
    assert (answer.holds, answer.value) == (False, None)
    assert said in answer.why
