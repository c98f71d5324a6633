"""Watches: where they begin, what they tell, how they end, and what they say of versions that are
forgotten."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import pytest

from tests.contract.sides import Api
from tests.definitions import definition

MAPS = "/api/v1/namespaces/default/configmaps"
CLAIMS = "/apis/watched.example.com/v1/namespaces/default/claims"
OF_SHOP = {"labelSelector": "app=shop"}
Object = dict[str, Any]


def settings(name: str, value: str = "b", **labels: str) -> Object:
    metadata = {"name": name, "namespace": "default", "labels": labels}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": value}}


def version_of(api: Api, path: str = MAPS) -> str:
    found: str = api("GET", path).body["metadata"]["resourceVersion"]
    return found


def watched(api: Api, version: str, path: str = MAPS, seconds: int = 1, **query: Any) -> list[Any]:
    """All events of a watch that lasts so long."""
    answer = api("GET", path, watch="1", resourceVersion=version, timeoutSeconds=seconds, **query)
    assert answer.status == 200, answer.body
    text = json.dumps(answer.body) if isinstance(answer.body, dict) else answer.body
    return [json.loads(line) for line in text.splitlines()]


def told(events: list[Any]) -> list[tuple[str, str, str]]:
    return [(e["type"], e["object"]["metadata"]["name"], e["object"]["data"]["a"]) for e in events]


@pytest.fixture
def history(api: Api) -> tuple[str, list[Any]]:
    """The version before some changes of one object, and the events of them that have its label."""
    before = version_of(api)
    for value, app in (("1", "shop"), ("2", "shop"), ("3", "blog"), ("4", "shop")):
        assert api.apply(settings("watched", value, app=app)).status in (200, 201)
    assert api.delete(settings("watched")).status == 200
    return before, watched(api, before, **OF_SHOP)


def test_each_change_is_told_once_and_in_order(history: tuple[str, list[Any]]) -> None:
    _, events = history
    assert told(events) == [
        ("ADDED", "watched", "1"),
        ("MODIFIED", "watched", "2"),
        # It left the selection: as it was in it.
        ("DELETED", "watched", "2"),
        ("ADDED", "watched", "4"),
        ("DELETED", "watched", "4"),
    ]
    versions = [int(event["object"]["metadata"]["resourceVersion"]) for event in events]
    assert versions == sorted(set(versions))


def test_a_watch_goes_on_after_any_event(api: Api, history: tuple[str, list[Any]]) -> None:
    _, events = history
    for number, event in enumerate(events):
        version = event["object"]["metadata"]["resourceVersion"]
        assert told(watched(api, version, **OF_SHOP)) == told(events[number + 1 :])


def test_without_a_version_it_begins_with_what_there_is(api: Api) -> None:
    api.apply(settings("watched", app="shop"))
    for version in ("", "0"):
        assert told(watched(api, version, **OF_SHOP)) == [("ADDED", "watched", "b")]


def test_a_version_that_is_none_is_refused(api: Api) -> None:
    answer = api("GET", MAPS, watch="1", resourceVersion="abc", timeoutSeconds=1)
    assert answer.status == 500
    assert "reason" not in answer.body
    assert answer.body["message"] == (
        'resourceVersion: Invalid value: "abc": strconv.ParseUint: parsing "abc": invalid syntax'
    )


def test_a_bookmark_comes_before_the_end_of_what_moved_on(api: Api) -> None:
    before = version_of(api)
    later = threading.Timer(1, lambda: api.apply(settings("other", app="blog")))
    later.start()
    events = watched(api, before, seconds=6, allowWatchBookmarks="true", **OF_SHOP)
    later.join()
    now = version_of(api)
    assert {event["type"] for event in events} == {"BOOKMARK"}
    mark = events[-1]["object"]
    assert (mark["kind"], mark["apiVersion"]) == ("ConfigMap", "v1")
    assert int(before) < int(mark["metadata"]["resourceVersion"]) <= int(now)
    assert "name" not in mark["metadata"]
    # Nothing is told twice of what it has passed.
    version = mark["metadata"]["resourceVersion"]
    api.apply(settings("watched", "c", app="shop"))
    assert told(watched(api, version, **OF_SHOP)) == [("ADDED", "watched", "c")]


def test_nobody_gets_bookmarks_who_did_not_ask(api: Api) -> None:
    before = version_of(api)
    later = threading.Timer(0.5, lambda: api.apply(settings("other", app="blog")))
    later.start()
    assert watched(api, before, seconds=4, **OF_SHOP) == []
    later.join()


def test_a_bookmark_tells_only_what_happened_since_the_watch_began(api: Api) -> None:
    before = version_of(api)
    api.apply(settings("other", app="blog"))
    assert watched(api, before, seconds=4, allowWatchBookmarks="true", **OF_SHOP) == []


@pytest.fixture
def claims(api: Api) -> Api:
    api.create(definition("Claim", "watched.example.com"))
    api.eventually(lambda: api("GET", CLAIMS).status == 200)
    return api


def claim(name: str, **spec: str) -> Object:
    metadata = {"name": name, "namespace": "default"}
    return {
        "apiVersion": "watched.example.com/v1",
        "kind": "Claim",
        "metadata": metadata,
        "spec": spec,
    }


def test_a_version_that_is_forgotten_is_an_error_in_the_stream(claims: Api) -> None:
    # A real server forgets what was before it began to watch etcd for a kind.
    claims.compact()
    (event,) = watched(claims, "1", CLAIMS)
    assert event["type"] == "ERROR"
    status = event["object"]
    assert (status["kind"], status["apiVersion"], status["code"]) == ("Status", "v1", 410)
    assert (status["status"], status["reason"]) == ("Failure", "Expired")
    assert status["message"].startswith("too old resource version: 1 (")


def test_what_is_known_outlives_the_compaction_of_etcd(api: Api) -> None:
    before = version_of(api)
    api.apply(settings("watched", app="shop"))
    now = version_of(api)
    api.compact()
    assert watched(api, now, **OF_SHOP) == []
    events = watched(api, before, **OF_SHOP)
    if api.name == "sandbox":
        # It has no cache beside its store, and forgets at once what a server may forget any time.
        assert [(one["type"], one["object"]["code"]) for one in events] == [("ERROR", 410)]
    else:
        assert told(events) == [("ADDED", "watched", "b")]


def test_a_new_definition_ends_the_watches_of_its_objects(claims: Api) -> None:
    version = version_of(claims, CLAIMS)
    ended: list[float] = []

    def watch() -> None:
        watched(claims, version, CLAIMS, seconds=25)
        ended.append(time.monotonic())

    thread = threading.Thread(target=watch, daemon=True)
    began = time.monotonic()
    thread.start()
    time.sleep(1)
    schema = "{properties: {spec: {type: object, properties: {size: {type: string}}}}}"
    changed = definition("Claim", "watched.example.com", schema=schema)
    name = changed["metadata"]["name"]
    path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}"
    live = claims("GET", path).body
    answer = claims("PUT", path, {**live, "spec": {**live["spec"], **changed["spec"]}})
    assert answer.status == 200, answer.body
    thread.join(30)
    assert ended
    assert ended[0] - began < 20


def test_a_watch_of_what_is_not_served_is_not_found(api: Api) -> None:
    assert api("GET", "/api/v1/nopes", watch="1", timeoutSeconds=1).status == 404


def test_a_watch_ends_in_its_time(api: Api) -> None:
    began = time.monotonic()
    assert watched(api, version_of(api), seconds=2) == []
    assert 1.5 < time.monotonic() - began < 15
