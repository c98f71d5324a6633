"""The commit that was begun last, kept in Secrets of the host cluster for times without Git.

An index Secret, found by the repository alone, names the pieces and their digests. The pieces carry
the commit in their names and never change: new ones are complete before the index names them, and
old ones go after that. What the index does not name does not exist.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from reconciler.api.errors import Conflict, Forbidden, LeaseLost, ReconcileError, with_hint
from reconciler.api.notices import Notice, NoticeCause, notice
from reconciler.api.objects import Object, ObjectKey, map_of
from reconciler.api.options import RunOptions
from reconciler.cluster.client import Member
from reconciler.cluster.connect import Connector
from reconciler.cluster.discovery import RESTMapping
from reconciler.federation.model import Federation
from reconciler.git.kept_commit import (
    DamagedCommit,
    KeptCommit,
    Packed,
    TooLarge,
    digest_of_piece,
    kept_files,
    pack,
    unpack,
)
from reconciler.git.read import ReadSource, signed_as
from reconciler.state.run_memory import (
    RunMemory,
    digest_of,
    host_namespace,
    in_host_cluster,
    not_remembered,
    remember,
)
from reconciler.state.stores import SOURCE

SECRETS = RESTMapping("v1", "Secret", "secrets", namespaced=True)
INDEX_ENTRY, PIECE_ENTRY = "index.json", "piece"
TYPE = "federation.reconciler.dev/kept-commit"
_TOO_LARGE = " too large"


class KeptPiece(Struct, frozen=True):
    """A Secret by its name, and what it holds."""

    name: str
    sha256: str


class KeptIndex(Struct, frozen=True):
    """``pieces`` make ``commit``; nothing is kept where there are none. ``others`` are Secrets of
    ours that may be there as well: of a run that was cut off, or not deleted yet."""

    version: int = 1
    commit: str = ""
    sha256: str = ""
    pieces: tuple[KeptPiece, ...] = ()
    others: tuple[str, ...] = ()


class KeptCommits(Struct, frozen=True):
    """Where a repository's commit is kept: ``host`` is its cluster, ``source`` stands for the
    repository and path. ``slot`` is one of SLOTS, or empty: the newest commit that was begun."""

    host: Member
    namespace: str
    source: str
    slot: str = ""

    @property
    def where(self) -> str:
        return f"Secret {self.namespace}/{self._name}"

    @property
    def _name(self) -> str:
        return f"federation-commit-{self.source}" + (f"-{self.slot}" if self.slot else "")

    def read(self) -> KeptCommit | None:
        """None where nothing is kept. Raises DamagedCommit; ReconcileError when nobody can tell."""
        index, _ = self._index()
        if not index.pieces:
            return None
        found = []
        for piece in index.pieces:
            secret = self.host.get(SECRETS, self._key(piece.name))
            if secret is None or not self._is_ours(secret):
                raise DamagedCommit(f"{self.where}: Secret {piece.name} of it is missing")
            found.append(_bytes(secret, PIECE_ENTRY))
        digests = tuple(piece.sha256 for piece in index.pieces)
        try:
            return unpack(Packed(index.commit, index.sha256, tuple(found), digests))
        except DamagedCommit as error:
            raise DamagedCommit(f"{self.where}: {error}") from None

    def write(self, packed: Packed) -> None:
        """Keep this instead of what is kept. Raises ReconcileError, and then either is kept."""
        before, version = self._index(damaged=KeptIndex())
        stem = f"{self._name}-{packed.commit[:12]}-{packed.sha256[:8]}"
        pieces = tuple(
            KeptPiece(f"{stem}-{number}", digest) for number, digest in enumerate(packed.digests, 1)
        )
        names = tuple(piece.name for piece in pieces)
        others = (*before.others, *(piece.name for piece in before.pieces))
        # Known before they are made: a run that is cut off leaves nothing that nobody finds.
        ahead = replace(before, others=tuple(dict.fromkeys((*before.others, *names))))
        version = self._write_index(ahead, version)
        for piece, content in zip(pieces, packed.pieces, strict=True):
            self._make(piece, content, packed.commit)
        old = tuple(name for name in dict.fromkeys(others) if name not in names)
        after = KeptIndex(1, packed.commit, packed.sha256, pieces, old)
        self._end(after, self._write_index(after, version))

    def clear(self) -> None:
        """Keep nothing. Raises ReconcileError."""
        before, version = self._index(damaged=KeptIndex())
        others = tuple(dict.fromkeys((*before.others, *(p.name for p in before.pieces))))
        if version:
            after = KeptIndex(others=others)
            self._end(after, self._write_index(after, version))

    def _end(self, index: KeptIndex, version: str) -> None:
        """Delete what is no part of the kept commit any more."""
        if index.others:
            for name in index.others:
                self._delete(name)
            self._write_index(replace(index, others=()), version)

    def _index(self, *, damaged: KeptIndex | None = None) -> tuple[KeptIndex, str]:
        """With its resourceVersion; ``damaged`` is what one counts as that cannot be read."""
        found = self.host.get(SECRETS, self._key(self._name))
        if found is None:
            return KeptIndex(), ""
        if not self._is_ours(found):
            raise ReconcileError(
                f"{self.where} is not of reconcile, and stays as it is",
                hint="rename it, if you need it; else delete it",
            )
        version = str(found["metadata"].get("resourceVersion", ""))
        try:
            return msgspec.json.decode(_bytes(found, INDEX_ENTRY), type=KeptIndex), version
        except msgspec.DecodeError as error:
            if damaged is None:
                raise DamagedCommit(f"{self.where} cannot be read: {error}") from None
            return damaged, version

    def _write_index(self, index: KeptIndex, version: str) -> str:
        body = self._body(self._name, {INDEX_ENTRY: msgspec.json.encode(index)}, index.commit)
        if version:
            body["metadata"]["resourceVersion"] = version
            written = self.host.replace(SECRETS, self._key(self._name), body)
        else:
            written = self.host.create(SECRETS, body, namespace=self.namespace)
        return str(written["metadata"].get("resourceVersion", ""))

    def _make(self, piece: KeptPiece, content: bytes, commit: str) -> None:
        body = {**self._body(piece.name, {PIECE_ENTRY: content}, commit), "immutable": True}
        try:
            self.host.create(SECRETS, body, namespace=self.namespace)
        except Conflict:
            found = self.host.get(SECRETS, self._key(piece.name))
            if found and self._is_ours(found):
                if digest_of_piece(_bytes(found, PIECE_ENTRY)) == piece.sha256:
                    return
                self._delete(piece.name)
            self.host.create(SECRETS, body, namespace=self.namespace)

    def _delete(self, name: str) -> None:
        found = self.host.get(SECRETS, self._key(name))
        if found is None or not self._is_ours(found):
            return
        meta = found["metadata"]
        self.host.delete(
            SECRETS,
            self._key(name),
            uid=str(meta.get("uid", "")),
            resource_version=str(meta.get("resourceVersion", "")),
        )

    def _is_ours(self, secret: Object) -> bool:
        labels = map_of(map_of(secret.get("metadata")).get("labels"))
        return secret.get("type") == TYPE and labels.get(SOURCE) == self.source

    def _key(self, name: str) -> ObjectKey:
        return ObjectKey("", "Secret", self.namespace, name)

    def _body(self, name: str, data: dict[str, bytes], commit: str) -> Object:
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": TYPE,
            "metadata": {
                "name": name,
                "namespace": self.namespace,
                "labels": {
                    "app.kubernetes.io/managed-by": "federation-reconciler",
                    SOURCE: self.source,
                },
                "annotations": {"federation.reconciler.dev/commit": commit},
            },
            "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
        }


def _bytes(secret: Object, entry: str) -> bytes:
    text = map_of(secret.get("data")).get(entry)
    try:
        return base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    except ValueError:
        return b""


# -- around a run ----------------------------------------------------------------------------------


SLOTS = ("stable", "candidate")
"""Of commits that clusters are on beside the newest one, where those come in waves."""


def kept_commits(
    options: RunOptions, connector: Connector, namespace: str, slot: str = ""
) -> KeptCommits:
    """Where this run keeps the commit. Raises ReconcileError when the host has no address."""
    return KeptCommits(connector.host(), namespace, digest_of(options), slot)


def keep_begun(
    run_memory: RunMemory,
    source: ReadSource,
    connector: Connector,
    federation: Federation,
    commit: str,
    *,
    seat: str = "",
    others: Mapping[str, ReadSource] = {},
) -> tuple[RunMemory, list[Notice]]:
    """Keep the commit that is about to be applied, before anything of it is; and notices.

    ``others``: slot -> another commit that clusters are on.

    From then on what is kept is what the clusters get, whether or not all of it succeeds: a run
    without Git goes on from there, and takes nothing back. No request where it is kept already.
    Raises MemoryChanged, and ReconcileError where it cannot be remembered that it was begun.
    """
    options = source.options
    if run_memory.store is None or options.sandbox or not in_host_cluster(options) or not commit:
        return run_memory, []
    memory = run_memory.memory
    wanted = source.rules.unreachable == "Continue"
    kept = dict(memory.kept)
    notices: list[Notice] = []
    for slot in ("", *SLOTS):
        name = f"{seat}/{slot}" if slot else seat
        before, one = memory.kept.get(name, ""), others.get(slot) if slot else source
        if wanted and (source.kept or not source.where.is_remote):
            continue
        if wanted and one is not None and not one.kept:
            kept[name], new = _kept(one, connector, federation, before, slot)
            notices += new
        elif before:
            new = _tried(lambda place: place.clear(), options, connector, federation, slot)
            kept[name] = before if new else ""
            notices += new
    kept = {name: mark for name, mark in kept.items() if mark}
    # Where nobody keeps anything, nobody goes on from it.
    begun = commit if wanted or kept else ""
    changed = replace(memory, kept=kept, begun=begun)
    errors, run_memory = remember(replace(run_memory, memory=changed))
    if errors and begun:
        raise ReconcileError(
            f"{'; '.join(map(str, errors))}; a run without Git could not tell that commit "
            f"{commit[:12]} was begun, so nothing was written",
            hint="make the memory writable, or set spec.source.whenUnreachable: Stop",
        )
    return run_memory, [*notices, *not_remembered(errors)]


def _kept(
    source: ReadSource, connector: Connector, federation: Federation, before: str, slot: str
) -> tuple[str, list[Notice]]:
    """What stands for the commit in the memory, once it is kept; and notices."""
    demanded, checkout = source.demanded, source.checkout
    signed = signed_as(demanded) if demanded and source.signer else ""
    mark = " ".join(
        filter(None, [digest_of(source.options), checkout.commit, checkout.ref, signed])
    )
    if before == mark:
        return mark, []
    if before == mark + _TOO_LARGE:
        return before, [_too_large(checkout.commit, "it is too large")]
    kept = KeptCommit(
        checkout.commit,
        kept_files(checkout.files),
        source.options.ref,
        checkout.ref,
        checkout.tag,
        signed,
        source.signer,
        kept_files(source.whole),
        checkout.submodules,
        source.addresses,
    )
    options = source.options
    try:
        packed = pack(kept)
    except TooLarge as error:
        notices = _tried(lambda place: place.clear(), options, connector, federation, slot)
        too_large = _too_large(checkout.commit, with_hint(error))
        return mark + _TOO_LARGE, [too_large, *notices]
    notices = _tried(lambda place: place.write(packed), options, connector, federation, slot)
    return ("", notices) if notices else (mark, [])


def _too_large(commit: str, reason: str) -> Notice:
    return notice(NoticeCause.COMMIT_TOO_LARGE, commit=commit[:12], reason=reason)


def _tried(
    work: Callable[[KeptCommits], None],
    options: RunOptions,
    connector: Connector,
    federation: Federation,
    slot: str,
) -> list[Notice]:
    """Why it could not be done; nothing: it was. Raises LeaseLost."""
    try:
        work(kept_commits(options, connector, host_namespace(federation), slot))
    except LeaseLost:
        raise
    except ReconcileError as error:
        why = with_hint(error)
        if isinstance(error, Forbidden):
            why = f"{error} (cronjob/kept-commit has the rights that this takes)"
        return [notice(NoticeCause.COMMIT_NOT_KEPT, error=why)]
    return []
