"""Get, list, watch and discovery."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tests.contract.sides import DISCOVERY, METADATA, METADATA_LIST, Answer, Api

MAPS = "/api/v1/namespaces/default/configmaps"


def settings(name: str, **labels: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "default", "labels": labels}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "b"}}


@pytest.fixture
def five(api: Api) -> Api:
    for number in range(5):
        tier = "front" if number < 3 else "back"
        api.apply(settings(f"settings-{number}", app="shop", tier=tier))
    api.apply(settings("other", app="blog"))
    return api


def names(api: Api, **query: Any) -> list[str]:
    answer = api("GET", MAPS, **query)
    assert answer.status == 200, answer.body
    return [
        item["metadata"]["name"]
        for item in answer.body["items"]
        if item["metadata"]["name"] != "kube-root-ca.crt"
    ]


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("app=shop", 5),
        ("app==blog", 1),
        ("app=shop,tier!=front", 2),
        ("app in (shop, blog)", 6),
        ("app=shop,tier notin (back)", 3),
        ("tier", 5),
        ("app,!tier", 1),
        ("app=nothing", 0),
    ],
)
def test_a_label_selector_chooses(five: Api, selector: str, expected: int) -> None:
    assert len(names(five, labelSelector=selector)) == expected


def test_a_field_selector_chooses_by_name(five: Api) -> None:
    assert names(five, fieldSelector="metadata.name=other") == ["other"]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"labelSelector": "a in b"}, "unable to parse requirement: found 'b' expected: '('"),
        ({"fieldSelector": "spec.foo=b"}, '"spec.foo" is not a known field selector'),
        ({"limit": "x"}, 'strconv.ParseInt: parsing "x": invalid syntax'),
        ({"limit": "1", "continue": "abc"}, "invalid continue token"),
    ],
    ids=["labels", "fields", "limit", "continue"],
)
def test_a_bad_query_is_refused(api: Api, query: dict[str, str], message: str) -> None:
    answer = api("GET", MAPS, **query)
    assert answer.status == 400
    assert message in answer.body["message"]


def test_a_list_comes_in_pages(five: Api) -> None:
    found: list[str] = []
    query: dict[str, Any] = {"labelSelector": "app=shop", "limit": 2}
    versions = set()
    for pages in range(1, 10):  # noqa: B007
        answer = five("GET", MAPS, **query)
        found += [item["metadata"]["name"] for item in answer.body["items"]]
        versions.add(answer.body["metadata"]["resourceVersion"])
        if not answer.body["metadata"].get("continue"):
            break
        query["continue"] = answer.body["metadata"]["continue"]
    assert pages == 3
    assert found == [f"settings-{number}" for number in range(5)]
    assert len(versions) == 1


def _names(answer: Answer) -> list[str]:
    return [item["metadata"]["name"] for item in answer.body["items"]]


def _of_version(version: int, token: str) -> str:
    """The token of a list that was begun earlier, by how all servers write them."""
    start = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    text = json.dumps({**start, "rv": version}, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def test_all_pages_are_of_the_state_of_the_first(five: Api) -> None:
    first = five("GET", MAPS, labelSelector="app=shop", limit=2)
    five.delete(settings("settings-3"))
    five.apply(settings("settings-25", app="shop"))
    five.apply(settings("settings-2", app="blog"))
    token = first.body["metadata"]["continue"]
    rest = five("GET", MAPS, **{"labelSelector": "app=shop", "limit": 5, "continue": token})
    assert _names(first) == ["settings-0", "settings-1"]
    assert _names(rest) == ["settings-2", "settings-3", "settings-4"]
    versions = {page.body["metadata"]["resourceVersion"] for page in (first, rest)}
    assert len(versions) == 1
    assert names(five, labelSelector="app=shop") == [f"settings-{n}" for n in (0, 1, 25, 4)]


def test_a_page_of_a_forgotten_state_is_refused(five: Api) -> None:
    first = five("GET", MAPS, labelSelector="app=shop", limit=2)
    five.compact()
    query = {"labelSelector": "app=shop", "limit": 1}
    token = _of_version(1, first.body["metadata"]["continue"])
    refused = five("GET", MAPS, **query, **{"continue": token})
    if five.name == "real" and refused.status == 200:
        # Its watch cache may still know how things were, whatever etcd has forgotten.
        assert refused.body["metadata"]["resourceVersion"] == "1"
        assert refused.body["items"] == []
        return
    assert refused.status == 410, refused.body
    assert (refused.body["reason"], refused.body["code"]) == ("Expired", 410)
    assert "results in an inconsistent list" in refused.body["message"]
    five.delete(settings("settings-3"))
    # With what it gives, one goes on in what there is by now.
    rest = five("GET", MAPS, **query, **{"continue": refused.body["metadata"]["continue"]})
    assert _names(rest) == ["settings-2"]
    assert rest.body["metadata"]["resourceVersion"] != first.body["metadata"]["resourceVersion"]
    last = five("GET", MAPS, **query, **{"continue": rest.body["metadata"]["continue"]})
    assert _names(last) == ["settings-4"]
    assert "continue" not in last.body["metadata"]


def test_the_rest_is_counted_only_without_a_selector(five: Api) -> None:
    everything = five("GET", MAPS, limit=2).body["metadata"]
    chosen = five("GET", MAPS, limit=2, labelSelector="app=shop").body["metadata"]
    assert everything["remainingItemCount"] >= 4
    assert "remainingItemCount" not in chosen


def test_items_of_a_builtin_list_do_not_repeat_their_kind(five: Api) -> None:
    body = five("GET", MAPS).body
    assert (body["kind"], body["apiVersion"]) == ("ConfigMapList", "v1")
    assert all("kind" not in item and "apiVersion" not in item for item in body["items"])


def test_metadata_alone_can_be_asked_for(five: Api) -> None:
    body = five("GET", MAPS, accept=METADATA_LIST, labelSelector="app=blog").body
    assert (body["kind"], body["apiVersion"]) == ("PartialObjectMetadataList", "meta.k8s.io/v1")
    (item,) = body["items"]
    assert item["kind"] == "PartialObjectMetadata"
    assert item["metadata"]["name"] == "other"
    assert "data" not in item
    one = five("GET", f"{MAPS}/other", accept=METADATA).body
    assert one == item


def test_a_list_in_an_unknown_namespace_is_empty(api: Api) -> None:
    answer = api("GET", "/api/v1/namespaces/nowhere/configmaps")
    assert answer.status == 200
    assert answer.body["items"] == []


def test_what_is_not_there_is_named(api: Api) -> None:
    answer = api("GET", "/apis/apps/v1/namespaces/default/deployments/nope")
    assert answer.status == 404
    assert answer.body["reason"] == "NotFound"
    assert answer.body["message"] == 'deployments.apps "nope" not found'
    assert answer.body["details"] == {"name": "nope", "group": "apps", "kind": "deployments"}


def test_unknown_paths_are_told_apart(api: Api) -> None:
    assert api("GET", "/api/v1/nope").body["message"] == (
        "the server could not find the requested resource"
    )
    assert api("GET", "/apis/nope.example.com/v1/things").body == "404 page not found\n"
    assert api("POST", f"{MAPS}/x", {}).status == 405


def test_a_watch_reports_what_happens(api: Api) -> None:
    version = api("GET", MAPS).body["metadata"]["resourceVersion"]
    api.apply(settings("watched", app="shop"))
    changed = settings("watched", app="shop")
    changed["data"] = {"a": "c"}
    api.apply(changed)
    api.delete(changed)
    text = api(
        "GET", MAPS, watch="1", resourceVersion=version, timeoutSeconds=1, labelSelector="app=shop"
    ).body
    events = [json.loads(line) for line in text.splitlines()]
    assert [event["type"] for event in events] == ["ADDED", "MODIFIED", "DELETED"]
    assert events[1]["object"]["data"] == {"a": "c"}


def test_health_and_version_answer(api: Api) -> None:
    for path in ("/readyz", "/livez", "/healthz"):
        assert api("GET", path).body == "ok"
    version = api("GET", "/version").body
    assert version["major"] == "1"
    assert version["gitVersion"].startswith("v1.")


def resources(document: dict[str, Any]) -> dict[str, Any]:
    """group/version/resource -> what discovery says of it."""
    return {
        f"{item['metadata'].get('name', '')}/{version['version']}/{resource['resource']}": resource
        for item in document["items"]
        for version in item["versions"]
        for resource in version["resources"]
    }


@pytest.mark.integration
@pytest.mark.parametrize("path", ["/api", "/apis"])
def test_aggregated_discovery_is_the_same(both: tuple[Api, Api], path: str) -> None:
    sandbox, real = (resources(api("GET", path, accept=DISCOVERY).body) for api in both)
    assert sandbox == real


@pytest.mark.integration
@pytest.mark.parametrize("path", ["/api/v1", "/apis/apps/v1", "/apis/autoscaling/v2"])
def test_the_older_discovery_is_the_same(both: tuple[Api, Api], path: str) -> None:
    ignored = {"storageVersionHash"}
    found = []
    for api in both:
        listed = api("GET", path).body["resources"]
        found.append(
            sorted(
                ({k: v for k, v in item.items() if k not in ignored} for item in listed),
                key=lambda item: item["name"],
            )
        )
    assert found[0] == found[1]


@pytest.mark.integration
def test_the_groups_are_the_same(both: tuple[Api, Api]) -> None:
    sandbox, real = (api("GET", "/apis").body["groups"] for api in both)
    assert {g["name"]: g["preferredVersion"] for g in sandbox} == {
        g["name"]: g["preferredVersion"] for g in real
    }


def test_a_wrong_token_is_unauthorized(api: Api) -> None:
    api._token = "wrong"
    answer = api("GET", MAPS)
    assert answer.status == 401
    assert answer.body["reason"] == "Unauthorized"
