"""The resources that an API server serves: the built-in ones of v1.37, and custom ones."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from kubesim.objects import Object
from kubesim.schema import Shape, builtin_shape, custom_shape

_SAME_OBJECTS = {("events.k8s.io", "events"): ("", "events")}
_LIST_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource in one version; ``table`` says where its objects are kept."""

    group: str
    version: str
    plural: str
    singular: str
    kind: str
    namespaced: bool
    verbs: tuple[str, ...] = _LIST_VERBS
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    subresource_kinds: tuple[tuple[str, Object], ...] = ()
    list_kind: str = ""
    custom: bool = False
    scale: Object | None = None
    custom_schema: Object | None = None
    _shape: Shape | None = None

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def table(self) -> tuple[str, str]:
        return _SAME_OBJECTS.get((self.group, self.plural), (self.group, self.plural))

    @property
    def shape(self) -> Shape:
        if self._shape is not None:
            return self._shape
        shape = builtin_shape(self.group, self.version, self.kind)
        return shape or custom_shape(None)


Registry = dict[tuple[str, str, str], Resource]
"""(group, version, plural) -> Resource"""


@cache
def builtin_groups() -> list[Any]:
    """The items of aggregated discovery, as a real server gave them."""
    found: list[Any] = orjson.loads(Path(__file__).with_name("resources.json").read_bytes())
    return found


@cache
def builtin_resources() -> Registry:
    """Every built-in resource; made once and shared by all clusters."""
    registry: Registry = {}
    for item in builtin_groups():
        group = item["metadata"].get("name", "")
        for version in item["versions"]:
            for found in version["resources"]:
                subresources = found.get("subresources", ())
                registry[group, version["version"], found["resource"]] = Resource(
                    group,
                    version["version"],
                    found["resource"],
                    found["singularResource"],
                    found["responseKind"]["kind"],
                    found["scope"] == "Namespaced",
                    tuple(found["verbs"]),
                    tuple(found.get("shortNames", ())),
                    tuple(found.get("categories", ())),
                    tuple(sub["subresource"] for sub in subresources),
                    tuple((sub["subresource"], sub) for sub in subresources),
                    found["responseKind"]["kind"] + "List",
                )
    return registry


def custom_resources(definition: Object) -> list[Resource]:
    """The resources of one CustomResourceDefinition, in the order of its versions."""
    spec = definition["spec"]
    names = spec["names"]
    found = []
    for version in spec.get("versions", ()):
        if not version.get("served", True):
            continue
        schema = (version.get("schema") or {}).get("openAPIV3Schema")
        subresources = version.get("subresources") or {}
        found.append(
            Resource(
                spec["group"],
                version["name"],
                names["plural"],
                names.get("singular") or names["kind"].lower(),
                names["kind"],
                spec.get("scope") == "Namespaced",
                short_names=tuple(names.get("shortNames") or ()),
                categories=tuple(names.get("categories") or ()),
                subresources=tuple(name for name in ("status", "scale") if name in subresources),
                list_kind=names.get("listKind") or names["kind"] + "List",
                custom=True,
                scale=subresources.get("scale"),
                custom_schema=schema,
                _shape=custom_shape(schema),
            )
        )
    return found


class Kinds:
    """The registry of one cluster: shared built-in resources plus its own custom ones."""

    def __init__(self) -> None:
        self._builtin = builtin_resources()
        self._custom: Registry = {}
        self.generation = 0

    def get(self, group: str, version: str, plural: str) -> Resource | None:
        key = (group, version, plural)
        return self._builtin.get(key) or self._custom.get(key)

    def all(self) -> list[Resource]:
        return [*self._builtin.values(), *self._custom.values()]

    def custom(self) -> list[Resource]:
        return list(self._custom.values())

    def has_version(self, group: str, version: str) -> bool:
        return any(r.group == group and r.version == version for r in self.all())

    def of_table(self, table: tuple[str, str]) -> Resource:
        """The preferred resource of a table. Raises KeyError."""
        for resource in self.all():
            if (resource.group, resource.plural) == table:
                return resource
        raise KeyError(table)

    def of_kind(self, api_version: str, kind: str) -> Resource:
        """Raises KeyError when this version of the kind is not served."""
        group, _, version = api_version.rpartition("/")
        for resource in self.all():
            if (resource.group, resource.version, resource.kind) == (group, version, kind):
                return resource
        raise KeyError(f"{api_version} {kind}")

    def define(self, definition: Object) -> None:
        self.forget(definition)
        for resource in custom_resources(definition):
            self._custom[resource.group, resource.version, resource.plural] = resource

    def forget(self, definition: Object) -> None:
        group, plural = definition["spec"]["group"], definition["spec"]["names"]["plural"]
        self._custom = {
            key: resource
            for key, resource in self._custom.items()
            if (resource.group, resource.plural) != (group, plural)
        }
        self.generation += 1
