"""What can go wrong on purpose: per request, by method and path, for a number of times."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypedDict, Unpack

import orjson

from kubesim import statuses
from kubesim.messages import Request
from kubesim.objects import Object
from kubesim.server import ApiServer, Mutation
from kubesim.statuses import Refusal

_WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})

FaultKind = Literal[
    "latency",
    "refusal",
    "answer",
    "distort",
    "reset-before",
    "reset-after",
    "truncate",
    "hang",
    "hold-before",
    "hold-after",
    "small-pages",
]


@dataclass(slots=True)
class InjectedFault:
    """One rule. ``method`` and ``path`` (a regular expression, searched for) limit it; the first
    ``skip`` matching requests are spared, the next ``count`` are hit (None: all of them).
    ``writes_only`` spares dry runs as well, ``admission`` hits them like other writes. A request
    that is held sets ``reached``, and goes on when somebody sets ``released``.
    """

    kind: FaultKind
    method: str = ""
    path: str = ""
    count: int | None = None
    skip: int = 0
    seconds: float = 0.0
    share: float = 0.5
    refusal: Refusal | None = None
    body: bytes = b""
    change: Callable[[Object], Object] | None = None
    limit: int = 0
    writes_only: bool = False
    admission: bool = False
    hits: int = 0
    reached: threading.Event = field(default_factory=threading.Event, repr=False)
    released: threading.Event = field(default_factory=threading.Event, repr=False)

    def strikes(self, request: Request) -> bool:
        if self.method and request.method != self.method:
            return False
        if (self.writes_only or self.admission) and request.method not in _WRITES:
            return False
        if self.writes_only and request.dry_run:
            return False
        if self.path:
            query = "&".join(f"{key}={value}" for key, value in request.query.items())
            if not re.search(self.path, f"{request.path}?{query}"):
                return False
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.count is not None and self.hits >= self.count:
            return False
        self.hits += 1
        return True


class Matching(TypedDict, total=False):
    """Which requests a rule is for, as ``InjectedFault`` has it; without any: all of them."""

    method: str
    path: str
    count: int | None
    skip: int
    writes_only: bool


class Rules:
    """What can befall requests on their way. Each verb adds a rule and returns it (``rule.hits``
    counts)."""

    def __init__(self) -> None:
        self._rules: list[InjectedFault] = []

    def __bool__(self) -> bool:
        return bool(self._rules)

    def striking(self, request: Request) -> list[InjectedFault]:
        """The rules that hit this request; counts them."""
        return [rule for rule in self._rules if rule.strikes(request)]

    @property
    def hits(self) -> int:
        """How many faults have been injected since the last ``clear``."""
        return sum(rule.hits for rule in self._rules)

    def add(self, fault: InjectedFault) -> InjectedFault:
        self._rules.append(fault)
        return fault

    def remove(self, fault: InjectedFault) -> None:
        self._rules.remove(fault)

    def clear(self) -> None:
        """No rules any more; what is held goes on."""
        for rule in self._rules:
            rule.released.set()
        self._rules.clear()

    def latency(self, seconds: float, **matching: Unpack[Matching]) -> InjectedFault:
        """Answers come ``seconds`` late; other requests are not held up."""
        return self.add(InjectedFault("latency", **matching, seconds=seconds))

    def hang(self, **matching: Unpack[Matching]) -> InjectedFault:
        """The request is read and never answered; the connection stays open."""
        return self.add(InjectedFault("hang", **matching))

    def hold_write(
        self, number: int, *, when: Literal["before", "after"] = "before"
    ) -> InjectedFault:
        """The write of this number (from 1) waits to be processed, or its answer to be sent, until
        ``rule.released`` is set; ``rule.reached`` tells that it has come so far."""
        kind: FaultKind = "hold-before" if when == "before" else "hold-after"
        return self.add(InjectedFault(kind, count=1, skip=number - 1, writes_only=True))

    def small_pages(self, limit: int, *, path: str = "") -> InjectedFault:
        """Lists that are asked for in pages come in smaller ones."""
        return self.add(InjectedFault("small-pages", "GET", path + r".*[?&]limit=", limit=limit))

    def throttle(self, retry_after: float = 1, **matching: Unpack[Matching]) -> InjectedFault:
        """429 with Retry-After (whole seconds)."""
        return self._refuse(statuses.too_many_requests(retry_after), **matching)

    def error(
        self,
        code: int = 500,
        *,
        message: str = "",
        reason: str = "",
        retry_after: float | None = None,
        **matching: Unpack[Matching],
    ) -> InjectedFault:
        """Any other refusal: 500, 503, 504, 409 ..."""
        known = {
            500: ("InternalError", "Internal error occurred: injected"),
            503: ("ServiceUnavailable", "the server is currently unable to handle the request"),
            504: ("Timeout", "Timeout: request did not complete within the allotted timeout"),
            409: ("Conflict", "the object has been modified"),
        }.get(code, ("", "injected"))
        headers = {} if retry_after is None else {"Retry-After": str(max(1, round(retry_after)))}
        refusal = Refusal(code, reason or known[0], message or known[1], headers=headers)
        return self._refuse(refusal, **matching)

    def answer(self, body: Object, **matching: Unpack[Matching]) -> InjectedFault:
        """This, with 200, whatever was asked: a server that lies."""
        return self.add(InjectedFault("answer", **matching, body=orjson.dumps(body)))

    def distort(
        self,
        change: Callable[[Object], Object],
        **matching: Unpack[Matching],
    ) -> InjectedFault:
        """The true answer, as ``change`` makes it: a server that lies in one place."""
        return self.add(InjectedFault("distort", **matching, change=change))

    def reset(
        self,
        *,
        when: Literal["before", "after"] = "before",
        **matching: Unpack[Matching],
    ) -> InjectedFault:
        """The connection breaks: before the request is processed, or after it, unanswered."""
        kind: FaultKind = "reset-before" if when == "before" else "reset-after"
        return self.add(InjectedFault(kind, **matching))

    def truncate(self, share: float = 0.5, **matching: Unpack[Matching]) -> InjectedFault:
        """Only this share of the body is sent, then the connection closes."""
        return self.add(InjectedFault("truncate", **matching, share=share))

    def unauthorized(self, **matching: Unpack[Matching]) -> InjectedFault:
        """401, whatever the token."""
        return self._refuse(statuses.unauthorized(), **matching)

    def forbid(self, **matching: Unpack[Matching]) -> InjectedFault:
        """403, as RBAC gives it."""
        message = 'User "sandbox" cannot do that: RBAC: injected'
        return self._refuse(Refusal(403, "Forbidden", message, details={}), **matching)

    def expire_lists(
        self, *, path: str = "", count: int | None = None, skip: int = 0
    ) -> InjectedFault:
        """410 for the later pages of a paginated LIST."""
        pattern = f"{path}.*[?&]continue="
        return self._refuse(
            statuses.expired_page(), method="GET", path=pattern, count=count, skip=skip
        )

    def deny(
        self,
        message: str = "not allowed",
        *,
        webhook: str = "policy.example.com",
        code: int = 403,
        **matching: Unpack[Matching],
    ) -> InjectedFault:
        """A validating webhook refuses writes."""
        reason = {403: "Forbidden", 400: "BadRequest"}.get(code, "")
        text = f'admission webhook "{webhook}" denied the request: {message}'
        return self._refuse(Refusal(code, reason, text), admission=True, **matching)

    def _refuse(
        self, refusal: Refusal, *, admission: bool = False, **matching: Unpack[Matching]
    ) -> InjectedFault:
        return self.add(InjectedFault("refusal", **matching, refusal=refusal, admission=admission))


class FaultInjector(Rules):
    """The fault controls of one simulated cluster: what befalls requests, and the server itself."""

    def __init__(self, server: ApiServer) -> None:
        super().__init__()
        self._server = server

    def clear(self) -> None:
        """No faults, no mutations, no failing groups, no skew; tokens and pauses stay."""
        super().clear()
        self._server.mutations.clear()
        self._server.failing_groups = frozenset()
        self._server.clock.skew = 0.0

    def mutate(self, mutation: Mutation) -> None:
        """A mutating webhook: gets a copy of each object written, returns it changed, or None."""
        self._server.mutations.append(mutation)

    def fail_group(self, group: str = "metrics.k8s.io/v1beta1") -> None:
        """An aggregated API whose own server is away: stale in discovery, 503 below its path."""
        self._server.failing_groups |= {group}

    def mend_group(self, group: str = "metrics.k8s.io/v1beta1") -> None:
        self._server.failing_groups -= {group}

    def skew_clock(self, seconds: float) -> None:
        """What the server writes as times, and its Date header, are off by this much."""
        self._server.clock.skew = seconds
