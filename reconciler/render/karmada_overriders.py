"""Karmada's overriders of images, command, args, labels, annotations and embedded documents.

Source: Karmada's published API types and user guide (1.16 to 1.19). Images, command and args are
those of containers (not of init containers) of Pods and of the workloads that Karmada knows; on
other manifests these overriders do nothing, unless an image is named by its path.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from reconciler.api.json_pointer import join_pointer, split_pointer
from reconciler.api.objects import Object, value_at
from reconciler.federation.model import (
    FieldOperation,
    ImageOperation,
    KarmadaOperation,
    ListOperation,
    MarkOperation,
    PatchOperation,
)
from reconciler.render.json_patch import PatchError, patched

_TEMPLATE = ("spec", "template", "spec")
_POD_SPEC = {
    "Pod": ("spec",),
    **dict.fromkeys(("ReplicaSet", "Deployment", "DaemonSet", "StatefulSet", "Job"), _TEMPLATE),
}
_TEXT = "tag:yaml.org,2002:str"
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9A-Fa-f]{32,}")


def with_overrider(body: Object, operation: KarmadaOperation) -> Object:
    """A copy of an object with one of these overriders done. Raises PatchError."""
    match operation:
        case ImageOperation():
            return _with_images(body, operation)
        case ListOperation():
            return _with_list(body, operation)
        case MarkOperation():
            return _with_marks(body, operation)
        case FieldOperation():
            return _with_field(body, operation)


def _containers(body: Object) -> Iterator[tuple[tuple[str, ...], Object]]:
    """Where each container is, and what it is."""
    path = _POD_SPEC.get(str(body.get("kind")))
    found = value_at(body, (*path, "containers")) if path else None
    for index, one in enumerate(found if isinstance(found, list) else ()):
        if path and isinstance(one, dict):
            yield (*path, "containers", str(index)), one


def _set(body: Object, steps: Sequence[str], value: Any) -> Object:
    return dict(patched(body, PatchOperation("add", join_pointer(steps), value)))


# -- images ----------------------------------------------------------------------------------------


def _with_images(body: Object, operation: ImageOperation) -> Object:
    if operation.path:
        steps = split_pointer(operation.path)
        image = _value_at(body, operation.path)
        if not isinstance(image, str):
            raise PatchError(f"{operation.path} is no image", "the path of an image")
        return dict(
            patched(body, PatchOperation("replace", operation.path, _image(image, operation)))
        )
    for steps, container in list(_containers(body)):
        image = container.get("image")
        if isinstance(image, str):
            pointer = join_pointer((*steps, "image"))
            changed = PatchOperation("replace", pointer, _image(image, operation))
            body = dict(patched(body, changed))
    return body


def _value_at(body: Any, pointer: str) -> Any:
    """Raises PatchError where nothing is."""
    for step in split_pointer(pointer):
        if isinstance(body, dict) and step in body:
            body = body[step]
        elif isinstance(body, list) and step.isdecimal() and int(step) < len(body):
            body = body[int(step)]
        else:
            raise PatchError(f"the override path {pointer} does not exist: no {step!r}")
    return body


def _image(image: str, operation: ImageOperation) -> str:
    """``[registry/]repository[:tag | @digest]`` with one part of it changed."""
    name, at, digest = image.partition("@")
    first, slash, _ = name.partition("/")
    # As everywhere: a registry has a dot or a port, or is localhost.
    registry = first if slash and (set(first) & {".", ":"} or first == "localhost") else ""
    repository = name[len(registry) + 1 :] if registry else name
    repository, colon, tag = repository.partition(":")
    if at and colon:
        raise PatchError(
            f"the image {image} has both a tag and a digest, of which Karmada would drop one",
            "a tag or a digest",
        )
    version, op, value = tag or digest, operation.op, operation.value

    def changed(part: str) -> str:
        return "" if op == "remove" else part + value if op == "add" else value

    if operation.component == "Registry":
        registry = changed(registry)
    elif operation.component == "Repository":
        repository = changed(repository)
    else:
        version = changed(version)
        if version and not (_TAG.fullmatch(version) or _DIGEST.fullmatch(version)):
            raise PatchError(f"{version!r} is neither a tag nor a digest", "1.2 or sha256:...")
    full = f"{registry}/{repository}" if registry else repository
    return full + (f"{'@' if ':' in version else ':'}{version}" if version else "")


# -- lists, labels, documents ----------------------------------------------------------------------


def _with_list(body: Object, operation: ListOperation) -> Object:
    for steps, container in list(_containers(body)):
        if container.get("name") != operation.container:
            continue
        there = container.get(operation.field)
        items = [str(item) for item in there] if isinstance(there, list) else []
        if operation.op == "add":
            items += operation.values
        else:
            items = [item for item in items if item not in operation.values]
        if items != (there or []):
            body = _set(body, (*steps, operation.field), items)
    return body


def _with_marks(body: Object, operation: MarkOperation) -> Object:
    there = (body.get("metadata") or {}).get(operation.part) or {}
    if operation.op == "add":
        found = {**there, **operation.values}
    elif operation.op == "replace":
        found = {key: operation.values.get(key, value) for key, value in there.items()}
    else:
        found = {key: value for key, value in there.items() if key not in operation.values}
    if found == there:
        return body
    metadata = {name: value for name, value in body["metadata"].items() if name != operation.part}
    return {**body, "metadata": {**metadata, **({operation.part: found} if found else {})}}


def _with_field(body: Object, operation: FieldOperation) -> Object:
    text = _value_at(body, operation.path)
    if not isinstance(text, str):
        raise PatchError(f"{operation.path} is no text", "a text that is a document")
    document = _read(text, operation)
    for change in operation.operations:
        try:
            document = patched(document, change)
        except PatchError as fault:
            raise PatchError(
                f"{change.path} in {operation.path} cannot be changed: {fault}",
                "a path that is there once the operations before it are done",
                "use operator: add to make a new field" if change.op == "replace" else "",
            ) from None
    made = PatchOperation("replace", operation.path, _written(document, operation.format))
    return dict(patched(body, made))


def _read(text: str, operation: FieldOperation) -> Any:
    """The document in a text. Nothing of it is in an error: it may be a Secret's."""
    if operation.format == "json":
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            raise PatchError(f"{operation.path} is not JSON", "a JSON document") from None
    from yaml import YAMLError

    from reconciler.manifests.yaml_nodes import Builder, compose

    builder = Builder("")
    try:
        values = [builder.build(node) for node in compose(text)]
    except (YAMLError, RecursionError):
        values = []
    if len(values) != 1 or builder.problems:
        raise PatchError(
            f"{operation.path} is not one YAML document that JSON can hold", "a YAML document"
        )
    return values[0]


def _written(document: Any, form: str) -> str:
    if form == "json":
        return orjson.dumps(document).decode()
    import yaml

    from reconciler.manifests.yaml_text import is_plain_text

    class Dumper(yaml.SafeDumper):
        """Quotes every text that kubectl's YAML would read as something else, and writes lines as
        such, in the style in which Karmada does, so that what it made stays as it is."""

    def represent(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
        known = dumper.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
        plain = is_plain_text(text) and known == _TEXT
        style = "|" if "\n" in text else None if plain else '"'
        return dumper.represent_scalar(_TEXT, text, style=style)

    Dumper.add_representer(str, represent)
    made: str = yaml.dump(document, Dumper=Dumper, sort_keys=True, allow_unicode=True, width=10**6)
    # After some texts it says that the document ends.
    return made.removesuffix("...\n") if made.endswith("\n...\n") else made
