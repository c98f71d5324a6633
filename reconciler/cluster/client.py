"""A member cluster's API in the verbs that the rest of the tool needs.

Nothing else talks HTTP to a member. Objects go in and come out as plain JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Protocol, TypeVar

import orjson

from reconciler.api.errors import (
    ApiError,
    ClusterError,
    ClusterUnauthorized,
    ClusterUnreachable,
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    NotFound,
    Throttled,
)
from reconciler.api.objects import GroupKind, Object, ObjectKey, key_of, map_of, maps_of
from reconciler.cluster.curl import Response
from reconciler.cluster.discovery import (
    AGGREGATED,
    Discovery,
    GroupVersionKind,
    RESTMapping,
    parse_aggregated,
    parse_groups,
    parse_resource_list,
)
from reconciler.cluster.http import TYPED_PATCH, Transport
from reconciler.cluster.refusals import is_by_admission, refusal_in_our_words, with_size_hint
from reconciler.cluster.responses import (
    ListPage,
    document_of,
    fault_of,
    page_of,
    reading_answers,
    unexpected_answer,
)
from reconciler.cluster.warnings import ServerWarnings, Subject, current_subject

T = TypeVar("T")

FIELD_MANAGER = "federation-reconciler"
PAGE = 1000
"""Objects that are asked for at a time."""
MAX_PAGES = 4000
"""Two million objects of a kind; a server that still has more will never end."""

DELETE_TRIES = 5

LONGEST_MESSAGE = 20_000
"""Of a refusal, in characters: an API server's own are a fraction of that."""

_APPLY = {"content-type": "application/apply-patch+yaml"}
_APPLYS_VALIDATION = "Ignore"
"""Unknown fields and wrong types are refused whatever it says. For Strict the server parses the
body once more, to find keys that are there twice: some 5 % of its time, and a dict has none."""
_JSON = {"content-type": "application/json"}
_JSON_PATCH = {"content-type": "application/json-patch+json"}
_METADATA_LIST = {
    "accept": "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json"
}


class KeptLists(Protocol):
    """Lists of one member that outlive a run, kept up by watches."""

    def read(
        self, member: Member, resource: RESTMapping, namespace: str, label_selector: str
    ) -> list[Object]:
        """What a LIST would give; from the member itself where it is not known. Raises as
        ``Member.list_with_version``."""
        ...

    def wrote(self, resource: RESTMapping, path: str, answer: Object | None) -> None:
        """A write was sent to ``path``, or may have been; ``answer`` is the object that came of it,
        None where that is not known."""
        ...

    def remembered(self, kind: type[T]) -> T:
        """The one of its kind, made without arguments: what others keep of this member between
        runs. Used by one thread of a run at a time."""
        ...


class Member:
    """One member cluster. ``fence`` is called before each try of each write and may raise.
    ``kept`` has lists of former runs, where there are such."""

    def __init__(
        self,
        name: str,
        transport: Transport,
        *,
        fence: Callable[[], None] | None = None,
        kept: KeptLists | None = None,
    ) -> None:
        self.name = name
        self._kept = kept
        self.fence = fence
        self._transport = transport
        self._heard: set[tuple[Subject, str]] = set()

    @property
    def keeps_lists(self) -> bool:
        """Whether lists of former runs may tell what there is, instead of a LIST."""
        return self._kept is not None

    def remembered(self, kind: type[T]) -> T | None:
        """As ``KeptLists.remembered``; None in a process that ends with its run."""
        return self._kept.remembered(kind) if self._kept is not None else None

    @property
    def requests(self) -> int:
        """How many requests were sent so far, retries included."""
        return self._transport.requests

    @property
    def server_warnings(self) -> ServerWarnings:
        """What the API server has warned of so far, and of what object or kind."""
        return frozenset(self._heard)

    def close(self) -> None:
        self._transport.close()

    def rest(self) -> None:
        """Nothing much is asked for a while."""
        self._transport.rest()

    # -- reading ---------------------------------------------------------------------------

    def get(
        self, resource: RESTMapping, key: ObjectKey, *, timeout: float | None = None
    ) -> Object | None:
        """One object, or None when there is none. With ``timeout`` (seconds) it is tried once."""
        try:
            answer = self._parsed(self._body("GET", resource.item(key), timeout=timeout))
            return self._one(_kind(resource), key, answer)
        except NotFound:
            return None

    def labelled(
        self, resource: RESTMapping, label_selector: str, *, namespace: str = ""
    ) -> list[Object]:
        """All objects with these labels: as a watch has them, where one is kept, else by a LIST.
        They are not to be changed. Raises as ``list_objects``."""
        if self._kept is not None:
            return self._kept.read(self, resource, namespace, label_selector)
        return self.list_objects(resource, namespace=namespace, label_selector=label_selector)

    def list_objects(
        self,
        resource: RESTMapping,
        *,
        namespace: str = "",
        label_selector: str = "",
        metadata_only: bool = False,
        keep: Callable[[Object], Object] = lambda obj: obj,
    ) -> list[Object]:
        """As ``list_with_version``, the objects alone."""
        return self.list_with_version(
            resource,
            namespace=namespace,
            label_selector=label_selector,
            metadata_only=metadata_only,
            keep=keep,
        )[0]

    def list_with_version(
        self,
        resource: RESTMapping,
        *,
        namespace: str = "",
        label_selector: str = "",
        metadata_only: bool = False,
        keep: Callable[[Object], Object] = lambda obj: obj,
    ) -> tuple[list[Object], str]:
        """All objects that match, from a consistent read, and the resourceVersion of that.

        ``keep`` says of each, as it comes, what of it is wanted: all of many would take much room.
        Raises NotFound when the server does not serve the resource.
        """

        def parse(pages: Iterator[ListPage]) -> tuple[list[Object], str]:
            found: list[Object] = []
            version = ""
            for page in pages:
                for item in page.items:
                    obj: Object = orjson.loads(memoryview(item))
                    if fault := fault_of(obj):
                        raise unexpected_answer(self.name, f"a list with {fault}")
                    # Lists leave these out of their items, unlike GET.
                    obj["apiVersion"], obj["kind"] = resource.api_version, resource.kind
                    found.append(keep(obj))
                version = page.version
            return found, version

        with reading_answers(self.name):
            return self.read_list(
                resource,
                parse,
                namespace=namespace,
                label_selector=label_selector,
                metadata_only=metadata_only,
            )

    def read_list(
        self,
        resource: RESTMapping,
        read: Callable[[Iterator[ListPage]], T],
        *,
        namespace: str = "",
        label_selector: str = "",
        metadata_only: bool = False,
    ) -> T:
        """What ``read`` makes of all objects that match, which it is given page by page, as JSON.

        All pages are of one state of the server. Where that is lost between two of them (the token
        has expired, or the next page is of another state), ``read`` is called anew, with the first
        page; then, where a label narrows the list, with a single page that holds all. Raises
        NotFound when the server does not serve the resource, Gone when every try loses its state,
        and what ``read`` raises.
        """
        pages = {"limit": str(PAGE)}
        queries = [pages, pages]
        if label_selector:
            queries = [{"labelSelector": label_selector, **one} for one in (pages, pages, {})]
        headers = _METADATA_LIST if metadata_only else {}
        path = resource.collection(namespace)
        kind = _kind(resource).group_kind
        for query in queries[:-1]:
            with suppress(Gone):
                return read(self._pages(path, query, headers, kind))
        return read(self._pages(path, queries[-1], headers, kind))

    def for_each(self, resource: RESTMapping, look: Callable[[Object], None]) -> None:
        """Look at all objects of a kind, of which no more than a page is kept at a time.

        Raises Gone when a page token expired, after objects were looked at.
        """
        kind = _kind(resource).group_kind
        pages = self._pages(resource.collection(""), {"limit": str(PAGE)}, {}, kind)
        with reading_answers(self.name):
            for page in pages:
                for item in page.items:
                    obj = orjson.loads(memoryview(item))
                    if fault := fault_of(obj):
                        raise unexpected_answer(self.name, f"a list with {fault}")
                    look(obj)

    def _pages(
        self, path: str, query: dict[str, str], headers: Mapping[str, str], kind: GroupKind
    ) -> Iterator[ListPage]:
        """Raises Gone where the pages would not be of one state."""
        page = self._page(path, query, headers, kind)
        version = page.version
        for _ in range(MAX_PAGES):
            yield page
            if not page.token:
                return
            page = self._page(path, {**query, "continue": page.token}, headers, kind)
            if page.version != version:
                raise Gone(self.name, "the next page of a list is of another state", code=410)
        raise unexpected_answer(self.name, "a list without end")

    def _page(
        self, path: str, query: dict[str, str], headers: Mapping[str, str], kind: GroupKind
    ) -> ListPage:
        body = self._body("GET", path, query=query, headers=headers, subject=kind)
        return page_of(self.name, body)

    def discover(self) -> Discovery:
        """Everything that the member serves: two requests, or one per group version before 1.26."""
        found: dict[GroupVersionKind, RESTMapping] = {}
        failed: list[str] = []
        for root in ("/api", "/apis"):
            document = self._root(root)
            with reading_answers(self.name):
                if document.get("kind") == "APIGroupDiscoveryList":
                    resources, broken = parse_aggregated(document)
                else:
                    resources, broken = self._discover_one_by_one(root, document)
            failed += broken
            for resource in resources:
                found.setdefault(GroupVersionKind(resource.api_version, resource.kind), resource)
        return Discovery(found, tuple(sorted(set(failed))))

    def _root(self, root: str) -> Object:
        try:
            return self._parsed(self._body("GET", root, headers={"accept": AGGREGATED}))
        except ApiError as error:
            what = f"what it serves ({root}) could not be listed"
            raise error.described_for(lambda text: f"{what}: {text}") from None

    def _discover_one_by_one(
        self, root: str, document: Object
    ) -> tuple[list[RESTMapping], list[str]]:
        resources: list[RESTMapping] = []
        failed = []
        for path, api_version in parse_groups(root, document):
            try:
                resources += parse_resource_list(api_version, self._parsed(self._body("GET", path)))
            except ApiError:
                failed.append(api_version.partition("/")[0])
        return resources, failed

    def get_raw(
        self,
        path: str,
        *,
        timeout: float,
        query: Mapping[str, str] | None = None,
        accept: str = "application/json",
    ) -> Response:
        """One try without judgement, for health probes.

        Raises ClusterUnreachable when there was no answer in ``timeout`` seconds.
        """
        return self._transport.request(
            "GET",
            path,
            query=query,
            headers={"accept": accept},
            timeout=timeout,
            retry=False,
            is_probe=True,
        )

    # -- writing ---------------------------------------------------------------------------

    def apply(
        self,
        resource: RESTMapping,
        key: ObjectKey,
        body: Object,
        *,
        force: bool = False,
        dry_run: bool = False,
        manager: str = FIELD_MANAGER,
    ) -> Object:
        """Server-side apply; the object as the server now has it (or, dry, would have it).

        Raises Conflict with ``causes`` when another manager owns a field, Invalid, Forbidden.
        """
        query = {"fieldManager": manager, "fieldValidation": _APPLYS_VALIDATION}
        if force:
            query["force"] = "true"
        path = resource.item(key)
        answer = self._write("PATCH", resource, path, body, _APPLY, query, dry_run=dry_run)
        return self._one(_kind(resource), key, answer)

    def create(
        self,
        resource: RESTMapping,
        body: Object,
        *,
        namespace: str = "",
        dry_run: bool = False,
        timeout: float | None = None,
    ) -> Object:
        """POST. Raises Conflict when there is one of that name already. With ``timeout`` (seconds)
        it is tried once."""
        query = {"fieldManager": FIELD_MANAGER, "fieldValidation": "Strict"}
        path = resource.collection(namespace)
        try:
            answer = self._write(
                "POST", resource, path, body, _JSON, query, dry_run=dry_run, timeout=timeout
            )
        except Conflict as conflict:
            answer = self._done_already(conflict, resource, key_of(body), body)
        # A subresource (TokenRequest) is of another group than the path that it is posted to.
        return self._one(GroupVersionKind.of(body), None, answer)

    def replace(
        self, resource: RESTMapping, key: ObjectKey, body: Object, *, timeout: float | None = None
    ) -> Object:
        """PUT; ``metadata.resourceVersion`` in the body makes it conditional (Conflict). With
        ``timeout`` (seconds) it is tried once."""
        query = {"fieldManager": FIELD_MANAGER}
        path = resource.item(key)
        try:
            answer = self._write("PUT", resource, path, body, _JSON, query, timeout=timeout)
        except Conflict as conflict:
            answer = self._done_already(conflict, resource, key, body)
        return self._one(_kind(resource), key, answer)

    def _done_already(
        self, conflict: Conflict, resource: RESTMapping, key: ObjectKey, body: Object
    ) -> Object:
        """The object as it is, where a first try wrote ``body`` and only its answer was lost.

        Raises the conflict where it is another's.
        """
        live = self.get(resource, key) if conflict.repeated else None
        if live is None or not _holds(live, body):
            raise conflict
        return live

    def json_patch(
        self,
        resource: RESTMapping,
        key: ObjectKey,
        operations: list[dict[str, Any]],
        *,
        dry_run: bool = False,
    ) -> Object:
        """A patch by JSON pointers (RFC 6902). One that replaces ``/metadata/resourceVersion``
        raises Conflict where the object has another."""
        query = {"fieldManager": FIELD_MANAGER}
        path = resource.item(key)
        answer = self._write(
            "PATCH", resource, path, operations, _JSON_PATCH, query, dry_run=dry_run
        )
        return self._one(_kind(resource), key, answer)

    def delete(
        self,
        resource: RESTMapping,
        key: ObjectKey,
        *,
        uid: str,
        resource_version: str,
        propagation: str = "Background",
    ) -> Object | None:
        """Delete exactly the object that was seen; None when it is gone already.

        The answer is the object where it stays until its finalizers are done, else a Status.
        Raises Conflict when the object there now has another UID or resourceVersion.
        """
        body: Object = {
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "preconditions": {"uid": uid, "resourceVersion": resource_version},
            "propagationPolicy": propagation,
        }
        try:
            return self._write("DELETE", resource, resource.item(key), body, _JSON)
        except NotFound:
            return None

    def delete_as_decided(
        self,
        resource: RESTMapping,
        key: ObjectKey,
        otherwise: Callable[[Object], str],
        *,
        uid: str,
        resource_version: str,
        propagation: str = "Background",
    ) -> Object | None:
        """Delete the object that was seen; one that was written to since is looked at again.

        Status updates move the resourceVersion all the time, so a mismatch is no reason to give up.
        ``otherwise`` says why the object as it is now must stay, or nothing. None when it is gone
        already. Raises ClusterError when it stays.
        """
        version = resource_version
        for _ in range(DELETE_TRIES):
            try:
                return self.delete(
                    resource, key, uid=uid, resource_version=version, propagation=propagation
                )
            except Conflict as conflict:
                live = self.get(resource, key)
                if live is None:
                    return None
                if live["metadata"].get("uid") != uid:
                    if conflict.repeated:
                        return live
                    reason = "it was deleted and made again meanwhile"
                elif live["metadata"].get("deletionTimestamp"):
                    # It goes, by a first try whose answer was lost, or by another's hand.
                    return live
                else:
                    reason = otherwise(live)
                if reason:
                    raise ClusterError(
                        self.name,
                        f"{key} is not deleted: {reason}",
                        hint="run again: the next plan decides again",
                    ) from None
                version = str(live["metadata"].get("resourceVersion", ""))
        raise ClusterError(
            self.name,
            f"{key} is written to too often to be deleted safely",
            hint="a later run tries again",
        )

    # -- one request -----------------------------------------------------------------------

    def _write(
        self,
        method: str,
        resource: RESTMapping,
        path: str,
        body: Any,
        headers: Mapping[str, str],
        query: Mapping[str, str] | None = None,
        *,
        dry_run: bool = False,
        timeout: float | None = None,
    ) -> Object:
        """What writes, or would: fenced unless it is dry, and no refusal of it quotes a Secret."""
        answer: Object | None = None
        try:
            given = self._body(
                method,
                path,
                query={**(query or {}), "dryRun": "All"} if dry_run else query,
                body=body,
                headers=headers,
                write=not dry_run,
                subject=current_subject(),
                quoted=(resource.api_version, resource.kind) != ("v1", "Secret"),
                timeout=timeout,
            )
            answer = self._parsed(given)
        finally:
            if self._kept is not None and not dry_run:
                self._kept.wrote(resource, path, answer)
        return answer

    def _parsed(self, body: bytes) -> Object:
        return document_of(self.name, body)

    def _body(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        write: bool = False,
        subject: Subject | None = None,
        quoted: bool = True,
        timeout: float | None = None,
    ) -> bytes:
        """``quoted`` False: what the server says of a refusal may quote a Secret. ``subject`` is
        what a warning is about."""
        try:
            answer = self._transport.request(
                method,
                path,
                query=query,
                body=None if body is None else orjson.dumps(body),
                headers=headers,
                before_each_try=self.fence if write else None,
                timeout=timeout,
                retry=timeout is None,
            )
        except ClusterUnreachable as error:
            if not (write and error.sent):
                raise
            words = f"{error}; whether it was carried out is not known"
            raise ClusterUnreachable(
                self.name, words, cause=error.cause, hint=error.hint, sent=True
            ) from error
        if subject is not None:
            self._heard.update((subject, text) for text in answer.warnings)
        if answer.status >= 300:
            raise _refusal(self.name, answer, None if quoted else map_of(body))
        return answer.body

    def _one(self, kind: GroupVersionKind, key: ObjectKey | None, answer: Object) -> Object:
        """The answer, which must be an object of that kind, with the key's name."""
        fault = fault_of(answer)
        if not fault and (answer.get("apiVersion"), answer.get("kind")) != kind:
            fault = f"something else than a {kind.kind}"
        if not fault and key is not None and answer["metadata"]["name"] != key.name:
            fault = f"another {kind.kind} than {key.name}"
        if fault:
            raise unexpected_answer(self.name, fault)
        return answer


_ERRORS: dict[int, type[ApiError]] = {
    400: Invalid,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    422: Invalid,
    429: Throttled,
    503: Throttled,
}


def _holds(live: Any, sent: Any) -> bool:
    """Whether an object is what was sent: all of it but the version is there; defaults may be,
    besides."""
    if isinstance(sent, dict) and isinstance(live, dict):
        return all(
            name == "resourceVersion" or (name in live and _holds(live[name], value))
            for name, value in sent.items()
        )
    if isinstance(sent, list) and isinstance(live, list):
        return len(sent) == len(live) and all(map(_holds, live, sent))
    return bool(live == sent)


def _kind(resource: RESTMapping) -> GroupVersionKind:
    return GroupVersionKind(resource.api_version, resource.kind)


def _refusal(
    cluster: str, answer: Response, unquoted: Object | None = None
) -> ApiError | ClusterUnauthorized:
    """``unquoted`` is what was sent where no value of it may be told."""
    try:
        status = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        status = None
    if not isinstance(status, dict):
        status = {"message": answer.body[:200].decode(errors="replace").strip()}
    message = str(status.get("message") or f"HTTP {answer.status}")[:LONGEST_MESSAGE]
    causes = maps_of(map_of(status.get("details")).get("causes"))
    by_admission = is_by_admission(message)
    if unquoted is not None:
        message = refusal_in_our_words(answer.status, message, causes, unquoted)
    else:
        message = with_size_hint(message)
    if answer.status == 401:
        return ClusterUnauthorized(
            cluster,
            f"the credential was refused: {message}",
            hint="renew the credential; the cluster itself answers",
        )
    kind = Invalid if TYPED_PATCH in answer.body else _ERRORS.get(answer.status, ApiError)
    return kind(
        cluster,
        message,
        code=answer.status,
        reason=str(status.get("reason") or ""),
        causes=causes,
        retry_after=answer.retry_after,
        in_our_words=unquoted is not None,
        by_admission=by_admission,
        repeated=answer.repeated,
    )
