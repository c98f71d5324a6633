"""The page of the fleet over HTTP: who may read it, how it is renewed, and what bounds it."""

from __future__ import annotations

import gzip
import json
import re
import socket
import time
from collections.abc import Iterator

import pytest
import urllib3

from reconciler.api.errors import UsageError
from reconciler.serve import endpoints, page_server
from reconciler.serve.fleet_snapshot import FleetSnapshot
from reconciler.serve.journal import Journal
from reconciler.serve.live_page import LivePage
from reconciler.serve.page_server import page_address, serve_page
from tests.unit.report.changes import CANARY
from tests.unit.report.fleets import run_of_web_shop, web_shop
from tests.unit.serve.live_fleets import calm_fleet, snapshot, with_one_down


class Site:
    """A page that is served."""

    def __init__(self, page: LivePage, journal: Journal, port: int) -> None:
        self.page, self.journal, self.port = page, journal, port

    def get(self, path: str = "/", method: str = "GET", **headers: str) -> urllib3.BaseHTTPResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        url = f"http://127.0.0.1:{self.port}{path}"
        return urllib3.request(
            method, url, headers=named, retries=False, redirect=False, timeout=10
        )

    def text(self, path: str = "/") -> str:
        return self.get(path).data.decode()

    def show(self, *snapshots: FleetSnapshot) -> None:
        for one in snapshots:
            self.page.show(one)
        self.page.flush()

    def listen(self, since: int | None = None, epoch: str = "", last: str = "") -> Stream:
        version = self.page.fragments.version if since is None else since
        return Stream(self.port, f"epoch={epoch or self.page.epoch}&since={version}", last)


class Stream:
    """A browser that listens for news."""

    def __init__(self, port: int, query: str, last: str = "") -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        more = f"Last-Event-ID: {last}\r\n" if last else ""
        request = f"GET /events?{query} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n"
        self.socket.sendall(request.encode())
        self.file = self.socket.makefile("rb")
        self.status = int(self.file.readline().split()[1])
        self.headers = {}
        while line := self.file.readline().strip():
            name, _, value = line.decode().partition(":")
            self.headers[name.lower()] = value.strip()

    def next(self) -> tuple[str, object]:
        """The next event: its sort and data."""
        found = {}
        while True:
            line = self.file.readline().decode()
            assert line, "the stream has ended"
            name, _, value = line.rstrip("\n").partition(": ")
            found[name] = value
            if line == "\n" and "event" in found:
                return found["event"], json.loads(found["data"])

    def news(self) -> dict[str, str]:
        """The next pieces."""
        kind, data = self.next()
        assert kind == "news"
        assert isinstance(data, dict)
        return dict(data["pieces"])

    def close(self) -> None:
        self.file.close()
        self.socket.close()


@pytest.fixture
def site() -> Iterator[Site]:
    page, journal = LivePage(print), Journal(60)
    with serve_page("0", page, journal, ["fleet.example.com"]) as port:
        yield Site(page, journal, port)


def test_before_the_first_run_it_says_so(site: Site) -> None:
    assert "The first run has not come to a plan yet." in site.text()


def test_it_shows_what_is_down_and_what_waits(site: Site) -> None:
    plan = calm_fleet(9)
    site.show(snapshot(with_one_down(plan, plan.clusters[2].name)))
    text = site.text()
    assert f'<span id="headline">{plan.clusters[2].name} is ' in text
    assert "10.0.0.1:6443 refused the connection" in text


def test_its_reports_are_those_of_the_runs(site: Site) -> None:
    site.show(snapshot(web_shop(), result=run_of_web_shop(), plan_only=False))
    (href,) = set(re.findall(r'href="(runs/[^"#]+)"', site.text()))
    report = site.get(f"/{href}")
    assert "Run of the federation" in report.data.decode()
    assert '<a href="..">The fleet now</a>' in report.data.decode()
    anchors = set(re.findall(rf'href="{href}#([^"]+)"', site.text()))
    assert anchors, "objects lead to their entries"
    assert all(f'id="{anchor}"' in report.data.decode() for anchor in anchors)
    assert site.get("/runs/20260301T120000Z-ffffff").status == 404


def test_a_cluster_has_a_page_with_commands(site: Site) -> None:
    site.show(snapshot(web_shop()))
    text = site.text("/clusters/aws-eu")
    assert "kubectl --context aws-eu --namespace shop describe deployment.apps catalog" in text
    assert "reconcile status deployment/catalog --namespace shop" in text
    assert re.search(r'href="../runs/[^"]+#change-\d+-\d+">in the plan', text)
    assert site.get("/clusters/nowhere").status == 404
    assert site.get("/clusters/..%2f..%2fetc%2fpasswd").status == 404


def test_no_value_of_a_secret_is_in_it(site: Site) -> None:
    site.show(snapshot(web_shop(), result=run_of_web_shop(), plan_only=False))
    pages = ["/", *(f"/clusters/{name}" for name in ("aws-eu", "gcp-eu", "gcp-us"))]
    pages += [f"/{href}" for href in re.findall(r'href="(runs/[^"#]+)"', site.text())]
    assert len(pages) > 4
    for page in pages:
        assert CANARY not in site.text(page)


# -- who may read it -------------------------------------------------------------------------------


def test_it_answers_by_names_that_it_has(site: Site) -> None:
    hosts = ("localhost", "LOCALHOST:8081", "127.0.0.1:8081", "[::1]:8081", "fleet.example.com")
    assert {site.get(Host=host).status for host in hosts} == {200}


OTHERS = (
    *("evil.example", "evil.example:8081", "localhost.evil.example"),
    *("fleet.example.com.evil", "[x]"),
)


def test_a_name_that_somebody_made_lead_here_is_refused(site: Site) -> None:
    site.show(snapshot(web_shop()))
    for host in OTHERS:
        for path in ("/", "/events", "/clusters/aws-eu"):
            answer = site.get(path, Host=host)
            assert answer.status == 421
            assert b"shop" not in answer.data


def test_two_names_or_none_are_refused(site: Site) -> None:
    for hosts in ("", "Host: localhost\r\nHost: evil.example\r\n"):
        with socket.create_connection(("127.0.0.1", site.port), timeout=10) as connection:
            connection.sendall(f"GET / HTTP/1.1\r\n{hosts}\r\n".encode())
            assert b" 421 " in connection.recv(64)


PATHS = ("/", "/runs/x", "/events?epoch=x&since=1", "/nothing")


def test_every_answer_is_closed_to_other_sites(site: Site) -> None:
    for path in PATHS:
        _is_closed(site, path)


def _is_closed(site: Site, path: str) -> None:
    headers = site.get(path, Origin="https://evil.example").headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Referrer-Policy"] == "no-referrer"
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert not [name for name in headers if name.lower().startswith("access-control-")]


def test_it_only_answers_those_who_ask(site: Site) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        answer = site.get("/", method)
        assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")


def test_metrics_and_health_are_not_here(site: Site) -> None:
    assert {site.get(path).status for path in ("/metrics", "/healthz", "/webhook")} == {404}


def test_without_a_host_it_is_on_loopback() -> None:
    assert page_address("8081") == page_address(":8081") == ("127.0.0.1", 8081)
    assert page_address("0.0.0.0:8081") == ("0.0.0.0", 8081)
    with pytest.raises(UsageError, match="--page"):
        page_address("eighty")


def test_an_address_that_is_taken_is_an_error(site: Site) -> None:
    with (
        pytest.raises(UsageError, match=f"--page {site.port}: Address already in use"),
        serve_page(str(site.port), LivePage(print), Journal(60)),
    ):
        pass


# -- caches and compression ------------------------------------------------------------------------


def test_who_has_the_newest_version_gets_nothing_anew(site: Site) -> None:
    site.show(snapshot(web_shop()))
    first = site.get()
    tag = first.headers["ETag"]
    again = site.get(If_None_Match=f'"other", W/{tag}')
    assert (again.status, again.data) == (304, b"")
    site.show(snapshot(calm_fleet(8), 2))
    assert site.get(If_None_Match=tag).status == 200


def test_it_is_compressed_for_those_who_can_read_that(site: Site) -> None:
    site.show(snapshot(calm_fleet(40)))
    plain = site.get()
    packed = urllib3.request(
        "GET",
        f"http://127.0.0.1:{site.port}/",
        headers={"Accept-Encoding": "br, gzip;q=0.8"},
        decode_content=False,
    )
    assert packed.headers["Content-Encoding"] == "gzip"
    assert len(packed.data) < len(plain.data) / 5
    assert gzip.decompress(packed.data) == plain.data
    assert site.get(method="HEAD").data == b""
    for refused in ("gzip;q=0", "br, gzip; q=0.0", "identity"):
        answer = site.get(Accept_Encoding=refused)
        assert "Content-Encoding" not in answer.headers
        assert answer.data == plain.data


# -- news ------------------------------------------------------------------------------------------


def test_a_browser_gets_what_has_changed_and_no_more(site: Site) -> None:
    plan = calm_fleet(40)
    site.show(snapshot(plan, 1))
    stream = site.listen()
    assert stream.headers["content-type"].startswith("text/event-stream")
    site.show(snapshot(with_one_down(plan, plan.clusters[7].name), 2))
    pieces = stream.news()
    rows = {name for name in pieces if re.fullmatch(r"cluster-\d+|(wide|medium|narrow)-\d+", name)}
    assert rows == {"cluster-7", "wide-7", "medium-7", "narrow-7"}
    assert "unreachable" in pieces["cluster-7"]
    assert {"top", "summary", "attention", "runs"} <= pieces.keys()
    assert "pictures" not in pieces
    stream.close()


def test_a_browser_that_was_away_gets_all_that_it_missed(site: Site) -> None:
    plan = calm_fleet(10)
    site.show(snapshot(plan, 1))
    version = site.page.fragments.version
    site.show(snapshot(with_one_down(plan, plan.clusters[1].name), 2))
    site.show(snapshot(with_one_down(plan, plan.clusters[3].name), 3))
    for stream in (
        site.listen(version),
        site.listen(1, epoch="another", last=f"{site.page.epoch}-{version}"),
    ):
        pieces = stream.news()
        assert "unreachable" not in pieces["cluster-1"]
        assert "unreachable" in pieces["cluster-3"]
        stream.close()


def test_a_new_cluster_sends_what_holds_it(site: Site) -> None:
    site.show(snapshot(calm_fleet(10), 1))
    stream = site.listen()
    site.show(snapshot(calm_fleet(11), 2))
    pieces = stream.news()
    assert {"pictures", "clusters"} <= pieces.keys()
    assert not [name for name in pieces if name.startswith("cluster-")], "they are in it"
    assert pieces["clusters"].count("<tr id=") == 11
    stream.close()


def test_a_page_of_another_process_is_loaded_anew(site: Site) -> None:
    for query in ("epoch=another&since=1", "", "epoch=&since=-1", "since=999"):
        stream = Stream(site.port, query)
        assert stream.next() == ("anew", "")
        stream.close()


def test_what_the_process_does_is_told(site: Site) -> None:
    stream = site.listen()
    site.journal.begin()
    assert stream.next() == ("now", "a run is on its way")
    site.journal.end("locked", "another run holds the lock")
    assert stream.next() == ("now", "the last run stood by: another run holds the lock")
    stream.close()


# -- bounds ----------------------------------------------------------------------------------------


def test_so_many_browsers_listen_and_no_more(site: Site) -> None:
    streams = [site.listen() for _ in range(page_server.MOST_LISTENERS)]
    assert {one.status for one in streams} == {200}
    refused = site.listen()
    assert (refused.status, refused.headers["retry-after"]) == (503, "30")
    assert site.get().status == 200, "the page itself is still served"
    streams[0].close()
    site.show(snapshot(calm_fleet(8)))
    ends = time.monotonic() + 10
    while (again := site.listen()).status != 200:
        assert time.monotonic() < ends, "the place of one that left is free again"
        again.close()
        site.show(snapshot(calm_fleet(8), 2))
    for one in (*streams, refused, again):
        one.close()


def test_one_that_reads_nothing_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_server, "SLOW_CLIENT_SECONDS", 0.5)
    monkeypatch.setattr(page_server, "MOST_LISTENERS", 1)
    page, journal = LivePage(print), Journal(60)
    with serve_page("0", page, journal) as port:
        site = Site(page, journal, port)
        slow = site.listen()
        for number in range(1, 6):
            site.show(snapshot(calm_fleet(250 + number), number))
        ends = time.monotonic() + 20
        while (quick := site.listen()).status != 200:
            assert time.monotonic() < ends, "its place is free again"
            quick.close()
            time.sleep(0.1)
        slow.close()
        quick.close()


def test_many_that_ask_for_nothing_keep_nobody_away(site: Site) -> None:
    site.show(snapshot(calm_fleet(2)))
    stream = site.listen()
    place = ("127.0.0.1", site.port)
    many = [
        socket.create_connection(place, timeout=10)
        for _ in range(page_server.MOST_CONNECTIONS + 20)
    ]
    try:
        assert site.get().status == 200
        site.show(snapshot(calm_fleet(3), 2))
        assert stream.news(), "who listens keeps the place"
    finally:
        stream.close()
        for one in many:
            one.close()


def test_a_request_that_does_not_end_is_cut(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "SLOW_CLIENT_SECONDS", 0.3)
    with socket.create_connection(("127.0.0.1", site.port), timeout=10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: local")
        assert connection.recv(64) == b""


def test_a_header_without_end_is_not_kept(site: Site) -> None:
    with socket.create_connection(("127.0.0.1", site.port), timeout=10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
        sent = 0
        try:
            while sent < 16_000_000:
                sent += connection.send(b"X-Long: " + b"x" * 8_000 + b"\r\n")
        except OSError:
            pass
        assert sent < 16_000_000, "the server hung up"


def test_the_end_lets_go_of_who_listens() -> None:
    page = LivePage(print)
    with serve_page("0", page, Journal(60)) as port:
        stream = Stream(port, f"epoch={page.epoch}&since={page.fragments.version}")
    began = time.monotonic()
    assert stream.file.read() == b""
    assert time.monotonic() - began < 5


def test_a_defect_of_the_page_is_told_and_the_next_run_is_drawn() -> None:
    said: list[str] = []
    page = LivePage(said.append)
    page.show(42)  # type: ignore[arg-type]
    page.show(snapshot(web_shop()))
    page.flush()
    page.update(42, None)  # type: ignore[arg-type]
    assert said == ["The page was not renewed: a defect, AttributeError"] * 2
    assert page.fragments.content.view is not None
    page.close()
