"""One simulated member cluster, as tests and the command line handle it."""

from __future__ import annotations

import asyncio
import errno
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import orjson

from kubesim import bootstrap, routes
from kubesim.controllers import NODES, Controllers, definition_changed
from kubesim.faults import FaultInjector
from kubesim.http import Connection, http_date
from kubesim.kinds import Resource
from kubesim.messages import APPLY, JSON, Request, Response
from kubesim.objects import Object, ObjectKey
from kubesim.server import ApiServer, Clock, ClusterSettings
from kubesim.statuses import Refusal

_LOG_LENGTH = 100_000
_PORT_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """One request that reached the cluster. ``status`` is 0 when it was never answered, or not to
    the end.

    ``bytes`` is the length of the body as it was sent (compressed, if so).
    """

    method: str
    path: str
    query: dict[str, str]
    status: int
    bytes: int
    user_agent: str
    accept: str = ""


class Rejected(AssertionError):
    """What a test did by ``edit``, ``apply`` and the like was refused; ``body`` is the Status."""

    def __init__(self, status: int, body: Object) -> None:
        super().__init__(f"{status}: {body.get('message')}")
        self.status = status
        self.body = body


class SimulatedCluster:
    """Inspect and change it from any thread; it serves on ``url`` from the sandbox's own."""

    def __init__(
        self,
        name: str,
        settings: ClusterSettings,
        number: int,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.name = name
        self.server = ApiServer(name, settings, number)
        self.faults = FaultInjector(self.server)
        self.controllers = Controllers(self.server)
        self.requests: deque[LoggedRequest] = deque(maxlen=_LOG_LENGTH)
        self.connections: set[Connection] = set()
        self.paused = False
        self.silent = False
        self.port = 0
        self._loop = loop
        self._listener: asyncio.Server | None = None
        self._has_defaults = False
        self._date = (0, "")
        self.server.on_due = self._wake_up

    # -- serving ------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def token(self) -> str:
        return f"sandbox-token-{self.name}"

    @property
    def clock(self) -> Clock:
        return self.server.clock

    @property
    def running(self) -> bool:
        return self._listener is not None

    async def listen(self) -> None:
        """Opens the port; the first time any free one, later the same again.

        Meanwhile somebody's connection may have got that port for its own end: it is waited for.
        """
        give_up = self._loop.time() + _PORT_SECONDS
        while self._listener is None:
            try:
                self._listener = await self._loop.create_server(
                    lambda: Connection(self, self._loop), "127.0.0.1", self.port, backlog=512
                )
            except OSError as error:
                if error.errno != errno.EADDRINUSE or self._loop.time() > give_up:
                    raise
                await asyncio.sleep(0.1)
                continue
            self.port = self._listener.sockets[0].getsockname()[1]

    async def shut(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for connection in tuple(self.connections):
            connection.abort()

    def start(self) -> None:
        """After ``stop``: the same port, the same objects."""
        self._run(self.listen())

    def stop(self) -> None:
        """Connections break, new ones are refused."""
        self._run(self.shut())

    def sever(self) -> None:
        """Connections break; new ones are accepted."""

        async def abort() -> None:
            for connection in tuple(self.connections):
                connection.abort()

        self._run(abort())

    def pause(self) -> None:
        """Connections are accepted and requests taken, but nothing is ever answered."""
        self.paused = True

    def resume(self) -> None:
        """Answers what has arrived in the meantime, as a process after SIGCONT."""
        self.paused = False
        self._loop.call_soon_threadsafe(self._proceed)

    def _proceed(self) -> None:
        for connection in tuple(self.connections):
            connection.proceed()

    def _run(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def _wake_up(self, delay: float) -> None:
        """Due work is done at the next request anyway; this is for those who only watch."""
        if len(self.server.store.listeners) > 1:
            self._loop.call_soon_threadsafe(self._loop.call_later, delay + 0.001, self._catch_up)

    def _catch_up(self) -> None:
        with self.server.lock:
            self.server.catch_up()

    def handle(self, request: Request) -> Response:
        """Answers one request of a client."""
        with self.server.lock:
            self.create_defaults()
            try:
                routes.authenticate(self.server, request)
            except Refusal as refusal:
                return Response.refusal(refusal)
            response = routes.handle_request(self.server, request)
            if response.stream is not None:
                self._loop.call_later(0.001, self._catch_up_often)
            return response

    def _catch_up_often(self) -> None:
        """While somebody watches, due work does not wait for the next request."""
        if len(self.server.store.listeners) > 1 and self.running:
            self._catch_up()
            self._loop.call_later(0.02, self._catch_up_often)

    def create_defaults(self) -> None:
        """Puts in what every cluster has, before the first look at it."""
        if not self._has_defaults:
            self._has_defaults = True
            bootstrap.create_defaults(self.server)
            self.server.catch_up()

    def note(self, request: Request, status: int, size: int) -> None:
        self.requests.append(
            LoggedRequest(
                request.method,
                request.path,
                request.query,
                status,
                size,
                request.headers.get("user-agent", ""),
                request.headers.get("accept", ""),
            )
        )

    def date(self) -> str:
        """The Date header, made anew once a second."""
        moment = int(self.server.clock.now() + self.server.clock.skew)
        if self._date[0] != moment:
            self._date = (moment, http_date(moment))
        return self._date[1]

    # -- looking into it ----------------------------------------------------------------------

    @property
    def objects(self) -> dict[ObjectKey, Object]:
        """Everything that is stored, as copies; due work is done before."""
        with self.server.lock:
            self.create_defaults()
            self.server.catch_up()
            found: dict[ObjectKey, Object] = {}
            for table, record in self.server.store:
                obj = record.obj
                key = ObjectKey(table[0], obj["kind"], record.namespace, record.name)
                found[key] = obj
            return found

    def find(self, kind: str, name: str, namespace: str = "") -> Object | None:
        """One object, by ``Deployment`` or ``Deployment.apps``; None when it is not there."""
        with self.server.lock:
            self.create_defaults()
            self.server.catch_up()
            resource = self.resource(kind)
            record = self.server.store.get(resource.table, namespace, name)
            return record.obj if record else None

    def get(self, kind: str, name: str, namespace: str = "") -> Object:
        """As ``find``. Raises KeyError when it is not there."""
        found = self.find(kind, name, namespace)
        if found is None:
            raise KeyError(f"{kind} {namespace}/{name} in {self.name}")
        return found

    def resource(self, kind: str) -> Resource:
        """Raises KeyError for a kind that the cluster does not serve."""
        name, _, group = kind.partition(".")
        for resource in self.server.kinds.all():
            if resource.kind == name and (not group or resource.group == group):
                return resource
        raise KeyError(kind)

    # -- changing it as somebody else ---------------------------------------------------------

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content_type: str = JSON,
        **query: str,
    ) -> tuple[int, Any]:
        """A request past authentication, faults and the log: (status, parsed body)."""
        raw = b"" if body is None else orjson.dumps(body)
        target = f"{path}?{urlencode(query)}" if query else path
        headers = {"content-type": content_type, "user-agent": "sandbox"}
        request = Request.parse(method, target, headers, raw)
        with self.server.lock:
            self.create_defaults()
            response = routes.handle_request(self.server, request)
        return response.status, orjson.loads(response.body) if response.body else None

    def path(self, kind: str, name: str = "", namespace: str = "") -> str:
        """``/apis/apps/v1/namespaces/shop/deployments/web``."""
        resource = self.resource(kind)
        path = f"/apis/{resource.api_version}" if resource.group else f"/api/{resource.version}"
        if resource.namespaced and namespace:
            path += f"/namespaces/{namespace}"
        path += f"/{resource.plural}"
        return f"{path}/{name}" if name else path

    def create(self, obj: Object, *, manager: str = "kubectl-create") -> Object:
        """As ``kubectl create``. Raises Rejected."""
        metadata = obj["metadata"]
        kind = f"{obj['kind']}.{obj['apiVersion'].rpartition('/')[0]}".rstrip(".")
        path = self.path(kind, "", metadata.get("namespace", ""))
        return self._write("POST", path, obj, JSON, fieldManager=manager)

    def apply(self, obj: Object, *, manager: str = "kubectl", force: bool = False) -> Object:
        """As ``kubectl apply --server-side``. Raises Rejected."""
        metadata = obj["metadata"]
        kind = f"{obj['kind']}.{obj['apiVersion'].rpartition('/')[0]}".rstrip(".")
        path = self.path(kind, metadata["name"], metadata.get("namespace", ""))
        forced = "true" if force else "false"
        return self._write("PATCH", path, obj, APPLY, fieldManager=manager, force=forced)

    def edit(
        self,
        kind: str,
        name: str,
        change: Object | Callable[[Object], None],
        *,
        namespace: str = "",
        manager: str = "kubectl-edit",
        subresource: str = "",
    ) -> Object:
        """As a person or a controller: a merge patch, or a function that changes the object.

        The change is owned by ``manager``, as an update. Returns the object after it.
        Raises KeyError when there is no such object, Rejected when the server refuses.
        """
        path = self.path(kind, name, namespace) + (f"/{subresource}" if subresource else "")
        if callable(change):
            obj = self.get(kind, name, namespace)
            change(obj)
            return self._write("PUT", path, obj, JSON, fieldManager=manager)
        self.get(kind, name, namespace)
        merge = "application/merge-patch+json"
        return self._write("PATCH", path, change, merge, fieldManager=manager)

    def delete(
        self, kind: str, name: str, *, namespace: str = "", propagation: str = "Background"
    ) -> None:
        """As ``kubectl delete``. Raises Rejected."""
        path = self.path(kind, name, namespace)
        self._write("DELETE", path, {"propagationPolicy": propagation}, JSON)

    def _write(self, method: str, path: str, body: Any, content_type: str, **query: str) -> Object:
        status, answer = self.request(method, path, body, content_type=content_type, **query)
        if status >= 400:
            raise Rejected(status, answer)
        result: Object = answer
        return result

    def set_ready_nodes(self, count: int) -> None:
        """The first ``count`` nodes are Ready, the others not; workloads follow."""
        with self.server.lock:
            self.create_defaults()
            for number, record in enumerate(list(self.server.store.records(NODES))):
                bootstrap.set_node_ready(self.server, record.name, ready=number < count)
            self.server.catch_up()

    def revoke(self) -> None:
        """Every token so far is refused (401)."""
        self.server.tokens.clear()
        self.server.anonymous = False

    def accept(self, token: str = "") -> None:
        """Takes this token from now on; without one, the kubeconfig's own."""
        self.server.tokens.add(token or self.token)

    # -- keeping it ---------------------------------------------------------------------------

    def dump(self) -> bytes:
        """The cluster's contents, for ``load`` in a later process."""
        with self.server.lock:
            self.create_defaults()
            self.server.catch_up()
            objects = [
                [list(table), orjson.Fragment(record.raw)] for table, record in self.server.store
            ]
            return orjson.dumps({"format": 1, "objects": objects})

    def load(self, data: bytes) -> None:
        """Raises ValueError when it is not what ``dump`` wrote."""
        saved = orjson.loads(data)
        if saved.get("format") != 1:
            raise ValueError("unknown format of saved sandbox state")
        with self.server.lock:
            self._has_defaults = True
            self.server.store.clear()
            for table, obj in saved["objects"]:
                self.server.store.load((table[0], table[1]), obj)
            definition_changed(self.server, "")
            self.server.catch_up()
            self.controllers.settle_all()
