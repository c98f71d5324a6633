"""Where the fleet's memory is kept: a ConfigMap of the host cluster, or a file.

Both are read once and written with a condition: a memory that somebody else has changed since is
not overwritten. A damaged one is reported, and counts as empty.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from reconciler.api.errors import ApiError, Conflict, MemoryChanged, NotFound, ReconcileError
from reconciler.api.objects import Object, ObjectKey, map_of
from reconciler.cluster.client import Member
from reconciler.cluster.discovery import RESTMapping
from reconciler.state.memory import (
    MAX_BYTES,
    DamagedMemory,
    FleetMemory,
    decode_memory,
    encode_memory,
)

CONFIG_MAPS = RESTMapping("v1", "ConfigMap", "configmaps", namespaced=True)
ENTRY = "memory.json"
TRIES = 5
SOURCE = "federation.reconciler.dev/source"
MOVED = "federation.reconciler.dev/moved-to-seats"
"""An annotation: what is remembered here was taken over by these seats."""


class Remembered(Struct, frozen=True):
    """``version`` is what a later write must still find; "" where there was nothing.

    ``problem`` says why the memory counts as empty although there was one.
    """

    memory: FleetMemory
    version: str = ""
    problem: str = ""


class MemoryStore(Protocol):
    """``where`` names the place for people."""

    @property
    def where(self) -> str: ...

    def read(self) -> Remembered:
        """Raises ReconcileError when it cannot be read; that is not the same as empty."""
        ...

    def write(self, memory: FleetMemory, version: str) -> str:
        """The new version. Raises MemoryChanged when ``version`` is not what is there."""
        ...

    def namesakes(self) -> tuple[str, ...]:
        """Where memories of the same repository lie under other names of its Federation."""
        ...


class FileStore(Struct, frozen=True):
    """One JSON file, replaced as a whole, readable by its owner only.

    ``siblings`` is a glob pattern for the names of the same repository's files.
    """

    path: Path
    siblings: str = ""

    @property
    def where(self) -> str:
        return f"file {self.path}"

    def read(self) -> Remembered:
        try:
            data = self._bytes()
        except OSError as error:
            raise ReconcileError(f"{self.where} cannot be read: {error.strerror}") from error
        return _remembered(data, _digest(data)) if data is not None else Remembered(FleetMemory())

    def write(self, memory: FleetMemory, version: str) -> str:
        data = encode_memory(memory)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            lock = os.open(f"{self.path}.lock", os.O_CREAT | os.O_RDWR, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                now = self._bytes()
                if (_digest(now) if now is not None else "") != version:
                    raise MemoryChanged(f"{self.where} was changed by another run")
                temporary = self.path.with_name(f"{self.path.name}.{os.getpid()}.tmp")
                with suppress(FileNotFoundError):
                    temporary.unlink()
                handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                temporary.replace(self.path)
            finally:
                os.close(lock)
        except OSError as error:
            raise ReconcileError(f"{self.where} cannot be written: {error.strerror}") from error
        return _digest(data)

    def namesakes(self) -> tuple[str, ...]:
        if not self.siblings or not self.path.parent.is_dir():
            return ()
        found = {path.name for path in self.path.parent.glob(self.siblings)}
        return tuple(sorted(found - {self.path.name}))

    def _bytes(self) -> bytes | None:
        try:
            with self.path.open("rb") as file:
                # More than this was never written here.
                return file.read(MAX_BYTES * 2)
        except FileNotFoundError:
            return None


def update(store: MemoryStore, change: Callable[[FleetMemory], FleetMemory]) -> None:
    """Change a part of what is remembered, and leave the rest as whoever wrote it last left it.

    A damaged memory is recreated by this. Raises ReconcileError; MemoryChanged when others are
    quicker again and again.
    """
    for _ in range(TRIES):
        found = store.read()
        memory = change(found.memory)
        try:
            if memory != found.memory:
                store.write(memory, found.version)
        except MemoryChanged:
            continue
        return
    raise MemoryChanged(f"{store.where} keeps changing")


def config_map_key(federation: str, namespace: str) -> ObjectKey:
    """The ConfigMap that remembers, and that Events of a run are about."""
    return ObjectKey("", "ConfigMap", namespace, f"federation-{federation}-memory")


class ConfigMapStore:
    """The ConfigMap ``federation-<name>-memory`` of the host cluster.

    ``source`` stands for the repository, as a label's value.
    """

    def __init__(self, host: Member, federation: str, namespace: str, source: str = "") -> None:
        self._host = host
        self._source = source
        self._key = config_map_key(federation, namespace)
        self._federation = federation

    @property
    def where(self) -> str:
        return f"ConfigMap {self._key.namespace}/{self._key.name}"

    def read(self) -> Remembered:
        found = self._host.get(CONFIG_MAPS, self._key)
        if seats := _moved_to(found):
            raise ReconcileError(
                f"{self.where} was taken over by the seats {seats}",
                hint="put them back into the Federation's spec.seats, or end them: "
                "reconcile seats dissolve",
            )
        return self._remembered(found)

    def _remembered(self, found: Object | None) -> Remembered:
        if found is None:
            return Remembered(FleetMemory())
        version = str(found["metadata"].get("resourceVersion", ""))
        text = map_of(found.get("data")).get(ENTRY)
        if not isinstance(text, str):
            return Remembered(FleetMemory(), version, f"{self.where} has no {ENTRY}")
        return _remembered(text.encode(), version, self.where)

    def write(self, memory: FleetMemory, version: str) -> str:
        return self._write(memory, version, {})

    def _write(self, memory: FleetMemory, version: str, annotations: Mapping[str, str]) -> str:
        body = self._body(memory)
        if annotations:
            body["metadata"]["annotations"] = dict(annotations)
        try:
            if version:
                body["metadata"]["resourceVersion"] = version
                written = self._host.replace(CONFIG_MAPS, self._key, body)
            else:
                written = self._host.create(CONFIG_MAPS, body, namespace=self._key.namespace)
        except Conflict as error:
            raise MemoryChanged(f"{self.where} was changed by another run") from error
        except NotFound as error:
            if version:
                raise MemoryChanged(f"{self.where} was deleted meanwhile") from error
            raise ReconcileError(
                f"{self.where} cannot be written: {error}",
                hint=f"kubectl create namespace {self._key.namespace}, in the host cluster",
                subject=f"{self.where} cannot be written",
            ) from error
        except ApiError as error:
            raise ReconcileError(
                f"{self.where} cannot be written: {error}",
                hint=error.hint,
                subject=f"{self.where} cannot be written",
            ) from error
        return str(written["metadata"].get("resourceVersion", ""))

    def move_to(self, seats: Sequence[str]) -> FleetMemory | None:
        """Mark it as taken over by these seats, and return what it holds; None: there was none.

        From then on no run reads it. Raises ReconcileError, also where it is damaged.
        """
        found = self._host.get(CONFIG_MAPS, self._key)
        remembered = self._remembered(found)
        if remembered.problem:
            raise ReconcileError(
                f"{remembered.problem}; it cannot be taken over",
                hint="mend it, or delete it to begin without what earlier runs remember",
            )
        if not _moved_to(found):
            self._write(remembered.memory, remembered.version, {MOVED: ",".join(seats)})
        return remembered.memory if found is not None else None

    def move_back(self, memory: FleetMemory) -> None:
        """Remember here again. Raises ReconcileError where somebody did so meanwhile."""
        found = self._host.get(CONFIG_MAPS, self._key)
        remembered = self._remembered(found)
        if found is not None and not _moved_to(found):
            if remembered.memory == memory:
                return
            raise ReconcileError(
                f"{self.where} has a memory of its own",
                hint="delete it, if what the seats remember is to hold, and run this again",
            )
        self._write(memory, remembered.version, {})

    def namesakes(self) -> tuple[str, ...]:
        if not self._source:
            return ()
        found = self._host.list_objects(
            CONFIG_MAPS,
            namespace=self._key.namespace,
            label_selector=f"{SOURCE}={self._source}",
            metadata_only=True,
        )
        return tuple(sorted({obj["metadata"]["name"] for obj in found} - {self._key.name}))

    def _body(self, memory: FleetMemory) -> Object:
        labels = {SOURCE: self._source} if self._source else {}
        return {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": self._key.name,
                "namespace": self._key.namespace,
                "labels": {
                    "app.kubernetes.io/managed-by": "federation-reconciler",
                    "federation.reconciler.dev/federation": self._federation,
                    **labels,
                },
            },
            "data": {ENTRY: encode_memory(memory).decode()},
        }


def _moved_to(found: Object | None) -> str:
    """The seats that took a ConfigMap over, for people; empty: none did."""
    annotations = map_of(map_of((found or {}).get("metadata")).get("annotations"))
    return str(annotations.get(MOVED) or "").replace(",", ", ")


def _remembered(data: bytes, version: str, where: str = "") -> Remembered:
    try:
        return Remembered(decode_memory(data), version)
    except DamagedMemory as error:
        return Remembered(FleetMemory(), version, f"{where or 'the file'} is damaged: {error}")


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
