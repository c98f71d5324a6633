"""One change, carried out in one member by the verb for its action."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from reconciler.api.errors import (
    ClusterError,
    ClusterUnauthorized,
    ClusterUnreachable,
    LeaseLost,
)
from reconciler.apply.common import Otherwise, VerbResult
from reconciler.apply.create import AlreadyExists, create_planned
from reconciler.apply.orphan import orphan_planned
from reconciler.apply.prune import prune_planned
from reconciler.apply.recreate import recreate_planned
from reconciler.apply.update import update_planned
from reconciler.cluster.client import Member
from reconciler.cluster.discovery import RESTMapping
from reconciler.cluster.responses import reading_answers
from reconciler.cluster.warnings import warnings_about
from reconciler.inventory.managed_fields import (
    Fields,
)
from reconciler.inventory.records import AppliedRecord, Digester
from reconciler.plan.model import Action, Change, Outcome
from reconciler.plan.redact import refusal_words


class ChangeResult(Struct, frozen=True):
    """The outcome, and the record to keep (None: nothing to remember, or no longer ours).

    ``lost`` says that the member itself cannot be reached any more, so that the rest can be spared;
    ``already_exists`` that somebody else made the object before us, which was left as it is.
    """

    outcome: Outcome
    record: AppliedRecord | None = None
    fields: Fields | None = None
    lost: str = ""
    already_exists: bool = False


_VERBS: dict[Action, Callable[[Member, RESTMapping, Change, Otherwise, Digester], VerbResult]] = {
    Action.CREATE: create_planned,
    Action.UPDATE: update_planned,
    Action.ADOPT: update_planned,
    Action.RECREATE: recreate_planned,
    Action.PRUNE: prune_planned,
    Action.ORPHAN: orphan_planned,
}


def apply_change(
    member: Member,
    resource: RESTMapping,
    change: Change,
    otherwise: Otherwise,
    digester: Digester,
) -> ChangeResult:
    """Carry out ``change``. Refusals become a failed outcome; LeaseLost is raised."""
    started = time.monotonic()
    try:
        with reading_answers(member.name), warnings_about(change.key):
            record, fields, message = _VERBS[change.action](
                member, resource, change, otherwise, digester
            )
    except LeaseLost:
        raise
    except ClusterError as error:
        text = refusal_words(error, change.hidden, change.request, change.live)
        gone = isinstance(error, ClusterUnreachable | ClusterUnauthorized)
        outcome = _outcome(member, change, "failed", text, started)
        already_exists = isinstance(error, AlreadyExists)
        return ChangeResult(outcome, lost=text if gone else "", already_exists=already_exists)
    return ChangeResult(_outcome(member, change, "done", message, started), record, fields)


def _outcome(member: Member, change: Change, status: Any, message: str, started: float) -> Outcome:
    seconds = round(time.monotonic() - started, 3)
    return Outcome(member.name, change.action, change.key, status, message, seconds)
