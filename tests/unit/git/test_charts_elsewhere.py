"""Charts in a registry and in a repository over https: by their digest, and with no credential but
their own."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import ssl
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from msgspec.structs import replace

from reconciler.api.errors import BadInput, SourceError, SourceUnreachable
from reconciler.api.options import RunOptions
from reconciler.git import helm
from reconciler.run.repository import read_repository
from tests.unit.git.programs import HELM, built
from tests.unit.git.repositories import CLUSTER, FEDERATION, write
from tests.unit.git.servers import own_certificate

# The first run on a machine builds helm.
pytestmark = pytest.mark.timeout(1500)

CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Release.Name }}}\ndata: {a: b}\n"
TYPES = "application/vnd.cncf.helm"


def archive(**files: str) -> bytes:
    """A chart as ``helm package`` makes it; names have ``/`` for ``__``."""
    whole = {
        "Chart.yaml": "apiVersion: v2\nname: web\nversion: 1.0.0\n",
        "templates/config.yaml": CONFIG,
        **{name.replace("__", "/"): text for name, text in files.items()},
    }
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, text in whole.items():
            entry = tarfile.TarInfo(f"web/{name}")
            entry.size = len(text.encode())
            tar.addfile(entry, io.BytesIO(text.encode()))
    return out.getvalue()


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@dataclass
class Server:
    """``files`` by path; ``seen`` are the requests as (path, Authorization). ``login``: the only
    Authorization that it answers. ``redirects``: path -> where to."""

    files: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    login: str = ""
    seen: list[tuple[str, str]] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def push(self, content: bytes) -> str:
        """As a registry has it; the reference."""
        config = b'{"name":"web","version":"1.0.0","apiVersion":"v2"}'
        manifest = json.dumps(
            {
                "schemaVersion": 2,
                "config": {
                    "mediaType": f"{TYPES}.config.v1+json",
                    "digest": digest(config),
                    "size": len(config),
                },
                "layers": [
                    {
                        "mediaType": f"{TYPES}.chart.content.v1.tar+gzip",
                        "digest": digest(content),
                        "size": len(content),
                    }
                ],
            }
        ).encode()
        for blob in (config, content):
            self.files[f"/v2/web/blobs/{digest(blob)}"] = ("application/octet-stream", blob)
        kind = "application/vnd.oci.image.manifest.v1+json"
        self.files[f"/v2/web/manifests/{digest(manifest)}"] = (kind, manifest)
        return f"oci://127.0.0.1:{self.port}/web@{digest(manifest)}"

    def publish(self, content: bytes, place: str = "web-1.0.0.tgz") -> None:
        """As a chart repository has it."""
        index = f"""\
apiVersion: v1
entries:
  web: [{{apiVersion: v2, name: web, version: 1.0.0, urls: ['{place}']}}]
"""
        self.files["/charts/index.yaml"] = ("text/yaml", index.encode())
        self.files["/charts/web-1.0.0.tgz"] = ("application/gzip", content)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> Iterator[Server]:
    program = built(*HELM)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    certificate = tmp_path / "certificate.pem"
    trusted = tmp_path / "ca.pem"
    trusted.write_text(own_certificate(certificate))
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    with serving(certificate) as found:
        yield found


@pytest.fixture
def other(server: Server, tmp_path: Path) -> Iterator[Server]:
    """The same host at another port."""
    with serving(tmp_path / "certificate.pem") as found:
        yield found


@contextmanager
def serving(certificate: Path) -> Iterator[Server]:
    found = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            login = self.headers.get("Authorization", "")
            found.seen.append((self.path, login))
            kind, content = found.files.get(self.path, ("", b""))
            if found.login and login != found.login:
                self.send_response(401)
                self.send_header("WWW-Authenticate", "Basic realm=charts")
                kind = ""
            elif leads_to := found.redirects.get(self.path):
                self.send_response(302)
                self.send_header("Location", leads_to)
            else:
                self.send_response(200 if kind else 404)
            self.send_header("Content-Type", kind or "text/plain")
            self.send_header("Content-Length", str(len(content) if kind else 0))
            if kind:
                self.send_header("Docker-Content-Digest", digest(content))
            self.end_headers()
            if self.command == "GET" and kind:
                self.wfile.write(content)

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    http.socket = context.wrap_socket(http.socket, server_side=True)
    found.port = http.server_port
    threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield found
    finally:
        http.shutdown()
        http.server_close()


def fleet(folder: Path, source: str) -> RunOptions:
    head = "apiVersion: federation.reconciler.dev/v1alpha1\nkind: Chart\nmetadata: {name: shop}\n"
    chart = f"{head}spec:\n  namespace: shop\n  {source}\n"
    write(folder, {"federation.yaml": FEDERATION, "cluster.yaml": CLUSTER, "chart.yaml": chart})
    return RunOptions(repo=str(folder))


def rendered(options: RunOptions) -> list[str]:
    return [str(w.key) for w in read_repository(options).state.workloads]


def test_a_chart_comes_from_a_registry_by_its_digest(server: Server, tmp_path: Path) -> None:
    options = fleet(tmp_path / "fleet", f"oci: {server.push(archive())}")
    assert rendered(options) == ["ConfigMap shop/shop"]
    assert {login for _, login in server.seen} == {""}
    # What has a digest is fetched once.
    server.files.clear()
    assert rendered(options) == ["ConfigMap shop/shop"]


def test_a_chart_comes_from_a_repository_by_the_digest_of_its_archive(
    server: Server, tmp_path: Path
) -> None:
    content = archive()
    server.publish(content)
    given = f"url: {server.url}/charts, name: web, version: 1.0.0, digest: '{{}}'"
    source = f"repository: {{{given.format(digest(content))}}}"
    options = fleet(tmp_path / "fleet", source)
    assert rendered(options) == ["ConfigMap shop/shop"]
    assert {login for _, login in server.seen} == {""}

    other = f"repository: {{{given.format('sha256:' + 64 * '0')}}}"
    with pytest.raises(SourceError, match="and not sha256:0000"):
        rendered(fleet(tmp_path / "other", other))


LOGIN = "Basic " + base64.b64encode(b"fleet:s3cret-word").decode()


def private_chart(folder: Path, server: Server, content: bytes) -> RunOptions:
    """A Chart of a repository, and a file with the login for its server."""
    given = f"url: {server.url}/charts, name: web, version: 1.0.0, digest: '{digest(content)}'"
    return with_login(fleet(folder, f"repository: {{{given}}}"), server)


def with_login(options: RunOptions, server: Server) -> RunOptions:
    """With a file that has the login for a server, and others."""
    logins = Path(options.repo).parent / "config.json"
    entries = {f"127.0.0.1:{server.port}": {"auth": LOGIN.partition(" ")[2]}}
    logins.write_text(json.dumps({"auths": {"https://index.docker.io/v1/": {}, **entries}}))
    return replace(options, chart_credentials=logins)


def test_a_private_repository_gets_the_login_of_its_own_server(
    server: Server, tmp_path: Path
) -> None:
    content = archive()
    server.publish(content)
    server.login = LOGIN
    options = private_chart(tmp_path / "fleet", server, content)
    assert rendered(options) == ["ConfigMap shop/shop"]
    assert server.seen == [("/charts/index.yaml", LOGIN), ("/charts/web-1.0.0.tgz", LOGIN)]
    # What has a digest is fetched once.
    assert rendered(options) == ["ConfigMap shop/shop"]
    assert len(server.seen) == 2


@pytest.mark.parametrize("by", ["index", "redirect", "redirected index"])
def test_the_login_follows_to_no_other_port(
    server: Server, other: Server, tmp_path: Path, by: str
) -> None:
    content = archive()
    other.publish(content)
    there = f"{other.url}/charts/web-1.0.0.tgz"
    server.publish(content, there if by == "index" else "moved.tgz")
    if by == "redirect":
        server.redirects["/charts/moved.tgz"] = there
    elif by == "redirected index":
        server.redirects |= {
            "/charts/index.yaml": f"{other.url}/charts/index.yaml",
            "/charts/web-1.0.0.tgz": "/charts/here.tgz",
        }
        server.files["/charts/here.tgz"] = ("application/gzip", content)
    server.login = LOGIN
    options = private_chart(tmp_path / "fleet", server, content)
    assert rendered(options) == ["ConfigMap shop/shop"]
    assert {login for _, login in server.seen} == {LOGIN}
    assert {login for _, login in other.seen} == {""}


def test_the_login_of_a_registry_follows_to_no_other_port(
    server: Server, other: Server, tmp_path: Path
) -> None:
    content = archive()
    reference = server.push(content)
    server.login = LOGIN
    blob = f"/v2/web/blobs/{digest(content)}"
    other.files[blob] = server.files[blob]
    server.redirects[blob] = f"{other.url}{blob}"
    options = with_login(fleet(tmp_path / "fleet", f"oci: {reference}"), server)
    assert rendered(options) == ["ConfigMap shop/shop"]
    assert (blob, LOGIN) in server.seen
    assert other.seen == [(blob, "")]


def test_a_server_without_a_login_of_its_own_is_told_none(
    server: Server, other: Server, tmp_path: Path
) -> None:
    content = archive()
    other.publish(content)
    options = private_chart(tmp_path / "fleet", server, content)
    text = (tmp_path / "fleet" / "chart.yaml").read_text()
    (tmp_path / "fleet" / "chart.yaml").write_text(text.replace(server.url, other.url))
    assert rendered(options) == ["ConfigMap shop/shop"]
    assert {login for _, login in other.seen} == {""}
    assert not server.seen


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("http://127.0.0.1:{port}/charts/web-1.0.0.tgz", "only https:// is asked"),
        ("missing.tgz", "answers HTTP 404"),
        ("around.tgz", "redirects more than 5 times"),
    ],
)
def test_why_a_private_chart_cannot_be_had(
    server: Server, tmp_path: Path, place: str, told: str
) -> None:
    content = archive()
    server.publish(content, place.format(port=server.port))
    server.redirects["/charts/around.tgz"] = "around.tgz"
    with pytest.raises(SourceUnreachable, match=told):
        rendered(private_chart(tmp_path / "fleet", server, content))


def test_a_refused_login_is_told_without_it(server: Server, tmp_path: Path) -> None:
    server.login = "Basic another"
    with pytest.raises(SourceUnreachable, match="answers HTTP 401") as caught:
        rendered(private_chart(tmp_path / "fleet", server, archive()))
    assert "refuses the login that --chart-credentials has" in caught.value.hint
    assert "s3cret" not in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize(
    ("index", "told"),
    [
        ("entries: {other: []}", "has no chart 'web'"),
        ("entries: {web: [{version: 0.9.0, urls: [a.tgz]}]}", "has no version 1.0.0"),
        ("<html>", "no repository of charts"),
        ("a: [", "no repository of charts"),
    ],
)
def test_an_index_without_the_chart_is_told(
    server: Server, tmp_path: Path, index: str, told: str
) -> None:
    server.files["/charts/index.yaml"] = ("text/yaml", index.encode())
    with pytest.raises(SourceError, match=told):
        rendered(private_chart(tmp_path / "fleet", server, archive()))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "No such file"),
        ("{", "it is no JSON"),
        ('{"auths": {"127.0.0.1:PORT": {"auth": "no base64"}}}', "holds no user and password"),
        ('{"auths": {"127.0.0.1:PORT": {}}}', "holds no user and password"),
    ],
)
def test_a_file_of_logins_that_cannot_be_used_is_told(
    server: Server, tmp_path: Path, text: str | None, told: str
) -> None:
    options = private_chart(tmp_path / "fleet", server, archive())
    logins = tmp_path / "config.json"
    if text is None:
        logins.unlink()
    else:
        logins.write_text(text.replace("PORT", str(server.port)))
    with pytest.raises(SourceError, match=told):
        rendered(options)
    assert not server.seen


def test_a_chart_that_cannot_be_had_fails_as_a_source(server: Server, tmp_path: Path) -> None:
    reference = server.push(archive())
    server.files.clear()
    with pytest.raises(SourceUnreachable, match="cannot be fetched"):
        rendered(fleet(tmp_path / "fleet", f"oci: {reference}"))


def test_a_kept_archive_that_was_changed_is_fetched_again(
    server: Server, tmp_path: Path, cache: Path
) -> None:
    options = fleet(tmp_path / "fleet", f"oci: {server.push(archive())}")
    assert rendered(options)
    (kept,) = (cache / "charts").glob("*.tgz")
    kept.write_bytes(archive(templates__evil="kind: Evil"))
    before = len(server.seen)
    assert rendered(options) == ["ConfigMap shop/shop"]
    assert len(server.seen) > before


@pytest.mark.parametrize(
    "source",
    [
        "oci: oci://registry.example.org/web:1.0.0",
        "repository: {url: 'http://charts.example.org', name: web, version: 1.0.0, digest: x}",
        "{path: a, oci: b}",
    ],
)
def test_what_is_not_pinned_or_not_https_is_a_problem(
    server: Server, tmp_path: Path, source: str
) -> None:
    with pytest.raises(BadInput) as caught:
        rendered(fleet(tmp_path / "fleet", source))
    assert all(problem.position.file == "chart.yaml" for problem in caught.value.problems)
    assert not server.seen


def test_nothing_of_a_chart_runs_and_nothing_is_asked_while_it_is_rendered(
    server: Server, tmp_path: Path
) -> None:
    options = fleet(tmp_path / "fleet", "path: web")
    asks = '{{ getHostByName "localhost" | quote }}'
    write(
        tmp_path / "fleet",
        {
            "web/Chart.yaml": "apiVersion: v2\nname: web\nversion: 1.0.0\n",
            "web/plugin.yaml": "name: evil\nversion: 1.0.0\ncommand: /bin/false\n",
            "web/templates/config.yaml": CONFIG.replace("a: b", f"a: {asks}"),
        },
    )
    (workload,) = read_repository(options).state.workloads
    assert workload.template["data"] == {"a": ""}


def test_a_chart_that_renders_without_end_is_ended(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(helm, "MAX_OUTPUT_BYTES", 10_000)
    options = fleet(tmp_path / "fleet", "path: web")
    loop = "{{ range untilStep 0 2000 1 }}# {{ . }} and more\n{{ end }}"
    write(
        tmp_path / "fleet",
        {
            "web/Chart.yaml": "apiVersion: v2\nname: web\nversion: 1.0.0\n",
            "web/templates/config.yaml": CONFIG + loop,
        },
    )
    with pytest.raises(BadInput) as caught:
        read_repository(options)
    assert "it renders to more than 10,000 bytes" in str(caught.value.problems[0])
    monkeypatch.setattr(helm, "MAX_OUTPUT_BYTES", 10_000_000)
    monkeypatch.setattr(helm, "SECONDS", 0.01)
    with pytest.raises(BadInput) as caught:
        read_repository(options)
    assert "helm template did not end in 0.01 s" in str(caught.value.problems[0])
