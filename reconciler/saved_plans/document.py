"""A plan with all that it takes to know it again: the value, and its form in a file. Pure.

The form is documented by ``schemas/saved-plan.json``.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from reconciler import __version__
from reconciler.api.objects import Object
from reconciler.api.options import Declaration, RunOptions, kept_options
from reconciler.inventory.records import Digester
from reconciler.manifests.document import Document
from reconciler.manifests.own_schemas import SCHEMA_OF
from reconciler.plan.model import Plan
from reconciler.report.json_report import plan_document
from reconciler.saved_plans.fingerprints import fingerprint

FORMAT_VERSION = 1


class Seal(Struct, frozen=True):
    """What two documents of one plan have in common: the ``salt`` of their digests (bytes), and
    when the plan was made (Unix seconds)."""

    salt: bytes
    made_at: float


@dataclass(frozen=True, slots=True)
class Origin:
    """What a plan was made of.

    repository   where it was read from, without any password
    commit       empty where there is none
    uncommitted  files that are not as the commit has them; then it does not identify what is read
    rules        the documents that are rules, needed only when the commit does not identify them
    """

    repository: str
    ref: str | None
    commit: str
    uncommitted: tuple[str, ...] = ()
    rules: Sequence[Document] = field(default=(), repr=False)

    @property
    def pinned_by_commit(self) -> bool:
        """Whether the commit says exactly what was read."""
        return bool(self.commit) and not self.uncommitted


class SavedPlan(Struct, frozen=True):
    """A saved plan as its file has it, which fits the schema."""

    document: Mapping[str, Any]

    @property
    def seal(self) -> Seal:
        made = datetime.fromisoformat(self.document["madeAt"])
        return Seal(base64.b64decode(self.document["salt"]), made.timestamp())

    @property
    def plan(self) -> Mapping[str, Any]:
        """As ``schemas/plan.json`` has it."""
        return dict(self.document["plan"])


def as_saved(plan: Plan, origin: Origin, options: RunOptions, seal: Seal) -> SavedPlan:
    """The plan as it is written; the same seal gives the same digests for the same plan."""
    digester = Digester(seal.salt)
    source = {
        "repository": origin.repository,
        "ref": origin.ref,
        "commit": origin.commit,
        "uncommitted": list(origin.uncommitted),
        "rules": {} if origin.pinned_by_commit else _digests(origin.rules, digester),
    }
    touched = {
        cluster.name: {
            str(change.key): found
            for change in cluster.changes
            if (found := fingerprint(change, digester))
        }
        for cluster in plan.clusters
    }
    document = {
        "formatVersion": FORMAT_VERSION,
        "madeBy": __version__,
        "madeAt": datetime.fromtimestamp(seal.made_at, UTC).isoformat(),
        "salt": base64.b64encode(seal.salt).decode(),
        "source": source,
        "options": options_document(options),
        "plan": plan_document(plan),
        "touched": touched,
    }
    return SavedPlan(document)


def options_document(options: RunOptions) -> dict[str, Any]:
    """Those that decide what a plan says. The repository and the commit are in its ``source``."""
    return {
        json_name(one): one.option.as_kept(getattr(options, one.name)) for one in kept_options()
    }


def json_name(declared: Declaration) -> str:
    """``forceConflicts``, as JSON has it."""
    first, *others = declared.name.split("_")
    return first + "".join(map(str.capitalize, others))


def is_rule(document: Document) -> bool:
    """Whether it is one of the kinds that say how to federate, and holds no manifest itself."""
    return (str(document.body["apiVersion"]), str(document.body["kind"])) in SCHEMA_OF


def _digests(rules: Sequence[Document], digester: Digester) -> dict[str, str]:
    """Name -> digest. Without overrides, which may set a Secret's values; what they make of other
    objects is in what would be sent."""
    found = {}
    for document in rules:
        metadata = document.body["metadata"]
        where = "/".join(filter(None, [metadata.get("namespace"), metadata["name"]]))
        spec = document.body.get("spec")
        plain: Object = {**document.body}
        if isinstance(spec, dict):
            plain["spec"] = {key: value for key, value in spec.items() if key != "overrides"}
        found[f"{document.body['kind']} {where}"] = digester.of(plain)
    return dict(sorted(found.items()))
